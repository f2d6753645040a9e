"""A model with the inputs and outputs of Kokoro-82M's exports, made by hand: no words, no download.

Each symbol sounds for 2 units of 600 samples, at a level that is its number. ONNX is protocol
buffers (github.com/onnx/onnx, ``onnx.proto``); what is used of them takes a few lines.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

_FLOAT, _INT64 = 1, 7
UNITS = 2
SAMPLES_A_SYMBOL = 600 * UNITS


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, content: bytes | str | int) -> bytes:
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    raw = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def _value(name: str, kind: int, *dimensions: int | str) -> bytes:
    shape = b"".join(_field(1, _field(1 if isinstance(one, int) else 2, one)) for one in dimensions)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, shape)))


def _node(kind: str, inputs: list[str], output: str, *attributes: bytes) -> bytes:
    names = b"".join(_field(1, one) for one in inputs) + _field(2, output)
    return names + _field(4, kind) + b"".join(_field(5, one) for one in attributes)


def _constant(name: str, kind: int, *values: float) -> bytes:
    raw = struct.pack(f"<{len(values)}{'f' if kind == _FLOAT else 'q'}", *values)
    return _field(1, len(values)) + _field(2, kind) + _field(8, name) + _field(9, raw)


def model(
    *, symbols: str = "tokens", sound: str = "audio", lengths: bool = True, draws: bool = False
) -> bytes:
    """An export.

    Args:
        symbols: what it calls its first input.
        sound: what it calls its output.
        lengths: whether the lengths of symbols are inside.
        draws: whether noise is added, drawn anew each time.
    """
    nodes = [
        _node("Cast", [symbols], "t", _field(1, "to") + _field(3, _FLOAT) + _field(20, 2)),
        _node("Div", ["t", "most"], "level"),
        _node(
            "Transpose",
            ["level"],
            "column",
            _field(1, "perm") + _field(8, 1) + _field(8, 0) + _field(20, 7),
        ),
        _node("Expand", ["column", "shape"], "rows"),
        _node("Reshape", ["rows", "flat"], "plain"),
        _node("Div", ["plain", "speed"], "scaled"),
    ]
    if draws:
        nodes.append(_node("RandomNormalLike", ["scaled"], "noise"))
        nodes.append(_node("Add", ["scaled", "noise"], sound))
    else:
        nodes.append(_node("Identity", ["scaled"], sound))
    if lengths:
        nodes.append(_node("Mul", ["t", "none"], "nothing"))
        nodes.append(_node("Add", ["nothing", "units"], "/encoder/Clip_output_0"))
    constants = [
        _constant("most", _FLOAT, 200.0),
        _constant("none", _FLOAT, 0.0),
        _constant("units", _FLOAT, float(UNITS)),
        _constant("shape", _INT64, 1, SAMPLES_A_SYMBOL),
        _constant("flat", _INT64, -1),
    ]
    inputs = [
        _value(symbols, _INT64, 1, "n"),
        _value("style", _FLOAT, 1, 256),
        _value("speed", _FLOAT, 1),
    ]
    graph = [
        *(_field(1, one) for one in nodes),
        _field(2, "tiny"),
        *(_field(5, one) for one in constants),
        *(_field(11, one) for one in inputs),
        _field(12, _value(sound, _FLOAT, "m")),
    ]
    return _field(1, 8) + _field(8, _field(2, 17)) + _field(7, b"".join(graph))


def save(folder: Path, content: bytes | None = None, *voices: str) -> Path:
    """A folder as ``kokoro.model`` wants it, with these voices or ``af_heart``."""
    for name in ("onnx", "voices"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "onnx/model_quantized.onnx").write_bytes(model() if content is None else content)
    for voice in voices or ("af_heart",):
        np.zeros((510, 1, 256), "<f4").tofile(folder / f"voices/{voice}.bin")
    return folder
