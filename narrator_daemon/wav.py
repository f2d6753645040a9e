"""WAV files: RIFF, PCM 16-bit, mono, 24 kHz, written as the samples come."""

from __future__ import annotations

import wave
from contextlib import suppress
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from csm import SAMPLE_RATE

#: Bytes before the samples.
HEADER_BYTES = 44
#: Bytes that are left behind the samples for what the file says of itself.
ROOM_BYTES = 1 << 16
#: The most samples that a file can hold: RIFF counts bytes with 32 bits. 24.8 hours.
MOST_SAMPLES = ((1 << 32) - HEADER_BYTES - ROOM_BYTES) // 2


class WavWriter:
    """Writes a file whose length is known from the start, so that nothing is written twice.

    It is complete at the end of its ``with``; one that is left by an error is closed all the same,
    as Python's own writer would try that once more when it is collected, and the file may be gone
    by then.

    Args:
        file: where to; it is left open.
        length: samples that will come, at most ``MOST_SAMPLES``.
    """

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._out = wave.Wave_write(file)
        self._out.setnchannels(1)
        self._out.setsampwidth(2)
        self._out.setframerate(SAMPLE_RATE)
        self._out.setnframes(length)

    def write(self, samples: NDArray[np.int16]) -> None:
        """Add samples, ``[n]``."""
        self._out.writeframesraw(samples.astype("<i2", copy=False).data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self._out.close()
            return
        # Nobody wants what is there, and the disk may be what failed.
        with suppress(OSError, ValueError):
            self._out.close()
