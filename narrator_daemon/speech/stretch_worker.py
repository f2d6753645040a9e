"""The process that stretches sound, started by ``narrator_daemon.speech.stretched``.

PyAV's wheel carries FFmpeg, with libraries under the GPL beside those that are used here, so that
it is loaded into a program of its own, driven over pipes (``narrator_daemon.speech.child``).
A request is ``{"samples": n, "rate": hertz, "tempo": …}``, followed by ``n`` float32 little-endian
samples; its answer ``{"samples": m}``, followed by as many, or ``{"error": "…"}``.
"""

from __future__ import annotations

import json
import os
import sys
from fractions import Fraction
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray


def stretched(samples: NDArray[np.float32], rate: int, tempo: float) -> NDArray[np.float32]:
    """Samples at another tempo, by FFmpeg's ``atempo``: WSOLA, pitch and formants stay.

    Args:
        samples: float32, ``[n]``.
        rate: samples a second.
        tempo: 0.5 to 100, above 1 for faster.

    Returns:
        Float32; about ``n / tempo`` of them.
    """
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        format="flt", sample_rate=rate, layout="mono", time_base=Fraction(1, rate)
    )
    tempo_filter = graph.add("atempo", f"{tempo:g}")
    sink = graph.add("abuffersink")
    source.link_to(tempo_filter)
    tempo_filter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    source.push(frame)
    source.push(None)
    made: list[NDArray[np.float32]] = []
    while True:
        try:
            made.append(cast(av.AudioFrame, sink.pull()).to_ndarray()[0])
        except (av.EOFError, av.BlockingIOError):
            return np.concatenate(made) if made else samples[:0]


def main() -> None:
    """Answer requests until standard input ends."""
    # The answers keep the pipe to themselves: whatever a library prints goes to standard error.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    out.write(b'{"ready": true}\n')
    out.flush()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        body = sys.stdin.buffer.read(4 * request["samples"])
        samples = np.frombuffer(body, dtype="<f4").astype(np.float32)
        try:
            made = stretched(samples, request["rate"], request["tempo"]).astype("<f4")
        except (av.FFmpegError, OSError, ValueError) as error:
            out.write(json.dumps({"error": type(error).__name__}).encode() + b"\n")
        else:
            out.write(json.dumps({"samples": len(made)}).encode() + b"\n" + made.tobytes())
        out.flush()


if __name__ == "__main__":
    main()
