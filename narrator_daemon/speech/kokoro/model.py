"""The model itself: symbols and a voice in, samples and the length of each symbol out."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from narrator_daemon.speech import SpeechError
from narrator_daemon.speech.kokoro.symbols import NUMBERS

#: Numbers that make a voice's style, of which it has one for each length of text.
STYLE = 256
#: Samples for each unit of a symbol's length: 25 ms.
LENGTH_SAMPLES = 600

#: What the exports call their inputs, the samples and the lengths.
_SYMBOLS, _SOUND, _LENGTHS = ("input_ids", "tokens"), ("waveform", "audio"), ("durations",)
#: The tensor inside exports that have no such output.
_INNER_LENGTHS = b"/encoder/Clip_output_0"
#: Operators that draw numbers, for which onnxruntime reads a seed only as it builds a session.
_RANDOM = re.compile(rb"Random(Normal|Uniform)(Like)?|Bernoulli|Multinomial")

#: onnxruntime's seed is the process's.
_seeding = threading.Lock()


@dataclass(frozen=True)
class Sound:
    """What the model made.

    Attributes:
        samples: float32 mono at ``csm.SAMPLE_RATE``, ``[n]``.
        symbols: what it says.
        starts: the sample at which each symbol begins; None where the model does not tell.
    """

    samples: NDArray[np.float32]
    symbols: str
    starts: NDArray[np.int64] | None


class Model:
    """An ONNX export of Kokoro-82M. Its methods may be called by several threads at once.

    Args:
        file: the export.

    Raises:
        SpeechError: it cannot be read, or is another model.
    """

    def __init__(self, file: Path) -> None:
        content = file.read_bytes()
        self._draws = bool(_RANDOM.search(content))
        if _INNER_LENGTHS in content and b"durations" not in content:
            # Messages of protocol buffers are joined by joining their bytes: this adds an output to
            # the model's graph (7), an entry (12) with a name (1), and changes nothing else.
            content += _field(7, _field(12, _field(1, _INNER_LENGTHS)))
        self._content = content if self._draws else b""
        try:
            self._session = _session(content)
        except Exception as error:  # onnxruntime's errors have no common ancestor
            raise SpeechError(
                "engine_error",
                f"{file} cannot be loaded ({type(error).__name__}): delete it, so that it is "
                "downloaded again, or copy it again",
            ) from error
        inputs = {one.name: one.type for one in self._session.get_inputs()}
        outputs = [one.name for one in self._session.get_outputs()]
        symbols = next((name for name in _SYMBOLS if name in inputs), None)
        sound = next((name for name in _SOUND if name in outputs), None)
        if symbols is None or sound is None or not {"style", "speed"} <= inputs.keys():
            raise SpeechError(
                "engine_error",
                f"{file} is no export of Kokoro-82M: it takes {', '.join(inputs)}; the setting is "
                "kokoro.model",
            )
        self._symbols, self._sound = symbols, sound
        self._speed = np.int32 if inputs["speed"] == "tensor(int32)" else np.float32
        named = (*_LENGTHS, _INNER_LENGTHS.decode())
        self._turn = threading.Lock()
        self._running: list[onnxruntime.RunOptions] = []
        self._stopped = False
        self._lengths = next((name for name in named if name in outputs), None)

    def speak(self, symbols: str, voice: NDArray[np.float32], *, speed: float, seed: int) -> Sound:
        """Say symbols.

        Args:
            symbols: at most ``MOST_SYMBOLS``, all in ``NUMBERS``.
            voice: of ``read_voice``.
            speed: 1 is the voice's own.
            seed: of 31 bits; of use where the export draws its noise.
        """
        session = self._session
        if self._draws:
            with _seeding:
                onnxruntime.set_seed(seed)
                session = _session(self._content)
        asked = [self._sound] if self._lengths is None else [self._sound, self._lengths]
        given = {
            self._symbols: np.array([[0, *map(NUMBERS.__getitem__, symbols), 0]], np.int64),
            "style": voice[min(len(symbols), len(voice) - 1)][None],
            "speed": np.array([speed], self._speed),
        }
        made = self._run(session, asked, given)
        samples = np.asarray(made[0], np.float32).reshape(-1)
        if self._lengths is None:
            return Sound(samples, symbols, None)
        lengths = np.rint(np.asarray(made[1], np.float64).reshape(-1)).astype(np.int64)
        # The first symbol comes after the one that stands at the beginning.
        starts = np.cumsum(lengths)[: len(symbols)] * LENGTH_SAMPLES
        return Sound(samples, symbols, np.minimum(starts, len(samples)))

    def stop(self) -> None:
        """Have what is being said fail soon, and all that is asked for from now on."""
        with self._turn:
            self._stopped = True
            for options in self._running:
                options.terminate = True

    def _run(
        self, session: onnxruntime.InferenceSession, asked: list[str], given: dict[str, Any]
    ) -> list[Any]:
        options = onnxruntime.RunOptions()
        with self._turn:
            if self._stopped:
                raise SpeechError("engine_error", "the speech engine kokoro was closed")
            self._running.append(options)
        try:
            made: list[Any] = session.run(asked, given, options)
        except Exception as error:  # as above; what it says could hold the text's numbers
            raise SpeechError(
                "engine_error", f"Kokoro could not speak a segment ({type(error).__name__})"
            ) from error
        finally:
            with self._turn:
                self._running.remove(options)
        return made


def read_voice(file: Path) -> NDArray[np.float32]:
    """A voice's styles by the number of symbols, float32, ``[lengths, STYLE]``.

    Raises:
        SpeechError: it is no voice.
    """
    content = np.fromfile(file, dtype="<f4")
    if content.size < STYLE or content.size % STYLE or not np.isfinite(content).all():
        raise SpeechError(
            "engine_error",
            f"{file} is no voice of Kokoro: copy it again, or delete it, so that it is downloaded "
            "again",
        )
    return content.reshape(-1, STYLE)


def joined(sounds: Sequence[Sound]) -> Sound:
    """Sounds one after the other."""
    samples = np.concatenate([one.samples for one in sounds])
    symbols = "".join(one.symbols for one in sounds)
    starts = []
    before = 0
    for one in sounds:
        if one.starts is None:
            return Sound(samples, symbols, None)
        starts.append(one.starts + before)
        before += len(one.samples)
    return Sound(samples, symbols, np.concatenate(starts))


def _session(content: bytes) -> onnxruntime.InferenceSession:
    """One that computes on the thread that asks it: segments are what runs side by side."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # A plan of memory is kept for each length of text, and every text has another: 0.2 GB.
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(
        content, sess_options=options, providers=["CPUExecutionProvider"]
    )


def _field(number: int, content: bytes) -> bytes:
    """A field of a message of protocol buffers: its number and type, its length, its bytes."""
    return bytes([number << 3 | 2, len(content)]) + content
