"""Decode an audio file to Sun's audio format, in a process of its own.

    python -P -m narrator_daemon.marks.decode FILE FORMATS HOURS > out.au

For machines without ffmpeg, by the FFmpeg that PyAV carries. The file comes
from strangers: only the demuxers of FORMATS (names with commas between) may look at it, none of
them may open another file or an address, and whoever starts this process holds it to limits of time
and memory.
"""

from __future__ import annotations

import sys
from array import array
from itertools import chain
from pathlib import Path
from struct import Struct
from typing import BinaryIO

import av

#: Magic, offset of the samples, their size (unknown), encoding (32-bit float), rate, channels; all
#: big-endian.
_HEADER = Struct(">4s5I")
_UNKNOWN_SIZE, _FLOAT = 0xFFFFFFFF, 6


def decode(name: str, formats: str, hours: float, out: BinaryIO) -> None:
    """Write the first audio stream of a file, as 32-bit floats.

    Args:
        name: of the file.
        formats: demuxers of FFmpeg that may open it.
        hours: the rest is left out.
        out: where it goes.

    Raises:
        av.FFmpegError: it cannot be read, or not to its end.
        ValueError: there is no sound in it.
        OSError: it cannot be opened.
    """
    # No protocol is called so: nothing that a file names is opened.
    options = {"format_whitelist": formats, "protocol_whitelist": "none"}
    with Path(name).open("rb") as file, av.open(file, "r", options=options) as container:
        if not container.streams.audio:
            raise ValueError("no sound in it")
        stream = container.streams.audio[0]
        rate, layout = stream.codec_context.sample_rate, stream.codec_context.layout
        channels = layout.nb_channels
        resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)
        out.write(_HEADER.pack(b".snd", _HEADER.size, _UNKNOWN_SIZE, _FLOAT, rate, channels))
        left = int(hours * 3600 * rate)
        for frame in chain(container.decode(stream), (None,)):
            for packed in resampler.resample(frame):
                count = min(packed.samples, left)
                samples = array("f", bytes(packed.planes[0])[: 4 * channels * count])
                if sys.byteorder == "little":
                    samples.byteswap()
                out.write(samples)
                left -= count
            if left <= 0:
                return


def main() -> int:
    """Decode what the command line names; exit 1 where it cannot be."""
    name, formats, hours = sys.argv[1:]
    try:
        decode(name, formats, float(hours), sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        return 1
    except (av.FFmpegError, ValueError, OSError) as error:
        # Without the name, which libraries put before or behind what is wrong.
        print(getattr(error, "strerror", None) or error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
