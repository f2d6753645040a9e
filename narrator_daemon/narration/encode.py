"""Encode one stream of samples into several files, in a process of its own.

    python -P -m narrator_daemon.narration.encode < job-and-samples

PyAV's wheel carries FFmpeg, with libraries under the GPL beside those that are used here, so that
nothing of it is loaded into the daemon. What goes wrong in it ends this process and no other.

Standard input is one line, JSON, and behind it the samples, 16 bits, mono, in this machine's order
of bytes, to its end. The job: ``rate``; ``samples``, how many will come; ``tags``, by FFmpeg's
names; ``chapters``, ``[[title, start in ms], …]``; ``cover``, ``{kind: jpeg | png, width, height,
data: base64}`` or null; ``files``, each with ``descriptor`` (an open, empty file that was
inherited), ``container``, ``codec``, ``bits`` a second, ``options`` of the container and whether it
can hold a ``cover``.

What goes wrong is one line of JSON on standard error: ``{errno, what}``.
"""

from __future__ import annotations

import base64
import json
import sys
from contextlib import ExitStack
from fractions import Fraction
from typing import Any, BinaryIO

import av
from av.stream import Disposition


class _File:
    """One file in the making."""

    def __init__(self, asked: dict[str, Any], job: dict[str, Any], stack: ExitStack) -> None:
        # By this name and not by its descriptor: to put the index before the samples, FFmpeg opens
        # the file again. It has no other name, and needs none.
        self._out = stack.enter_context(
            av.open(
                f"/proc/self/fd/{asked['descriptor']}",
                "w",
                format=asked["container"],
                options=asked["options"],
            )
        )
        self._out.metadata.update(job["tags"])
        self._out.set_chapters(_chapters(job))  # type: ignore[arg-type]
        self._rate = job["rate"]
        self._stream = self._out.add_stream(
            asked["codec"], rate=self._rate, layout="mono", bit_rate=asked["bits"]
        )
        if job["cover"] and asked["cover"]:
            self._add_cover(job["cover"])

    def _add_cover(self, cover: dict[str, Any]) -> None:
        codec = {"jpeg": "mjpeg", "png": "png"}[cover["kind"]]
        stream: Any = self._out.add_mux_stream(codec, width=cover["width"], height=cover["height"])
        stream.disposition = Disposition.attached_pic
        self._out.start_encoding()
        packet = av.Packet(base64.b64decode(cover["data"]))
        packet.stream, packet.pts, packet.dts = stream, 0, 0
        packet.time_base, packet.is_keyframe = Fraction(1, 90_000), True
        self._out.mux(packet)

    def write(self, samples: bytes, start: int) -> None:
        """Add samples that begin at a place in the whole."""
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // 2)
        frame.planes[0].update(samples)
        frame.sample_rate, frame.pts = self._rate, start
        frame.time_base = Fraction(1, self._rate)
        self._out.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what is left and the index."""
        self._out.mux(self._stream.encode(None))
        self._out.close()


def _chapters(job: dict[str, Any]) -> list[dict[str, Any]]:
    ends = [start for _, start in job["chapters"][1:]]
    ends.append(round(1000 * job["samples"] / job["rate"]))
    return [
        {
            "id": number,
            "start": start,
            "end": end,
            "time_base": Fraction(1, 1000),
            "metadata": {"title": title},
        }
        for number, ((title, start), end) in enumerate(zip(job["chapters"], ends, strict=False), 1)
    ]


def encode(source: BinaryIO) -> None:
    """Write the files that the first line of ``source`` asks for.

    Raises:
        av.FFmpegError: it cannot be done; most are an ``OSError`` too.
        ValueError: no such format.
        EOFError: the samples ended before all had come.
    """
    job = json.loads(source.readline())
    with ExitStack() as stack:
        files = [_File(asked, job, stack) for asked in job["files"]]
        position = 0
        while block := source.read(2 * job["rate"]):
            for file in files:
                file.write(block, position)
            position += len(block) // 2
        if position != job["samples"]:
            raise EOFError(f"{position} samples came of {job['samples']}")
        for file in files:
            file.finish()


def main() -> int:
    """Encode what standard input asks for; exit 1 where it cannot be."""
    try:
        encode(sys.stdin.buffer)
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        # Without the name that it was given.
        what = getattr(error, "strerror", None) or str(error)
        print(json.dumps({"errno": getattr(error, "errno", None), "what": what}), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
