"""The quiet noise under a whole narration, so that its pauses are no holes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from csm.audio import ratio

#: Root mean square of the room tone.
ROOM_TONE_DBFS = -70.0
#: How much of a sample of room tone the next one holds, and how many are made at once.
_POLE = 0.9
_BLOCK = 1 << 16


class RoomTone:
    """Soft noise that falls towards the treble: the same from its start, whenever it is made."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(1770)
        self._state = np.zeros(1)

    def take(self, length: int) -> NDArray[np.float32]:
        """The next ``length`` samples."""
        noise = self._random.standard_normal(length, dtype=np.float32)
        soft, self._state = lfilter([1.0], [1.0, -_POLE], noise, zi=self._state)
        # The root mean square of such noise is 1 / sqrt(1 - pole²).
        level = ratio(ROOM_TONE_DBFS) * math.sqrt(1 - _POLE**2)
        return np.asarray(soft * level, dtype=np.float32)

    def blocks(self, length: int) -> Iterator[NDArray[np.float32]]:
        """The next ``length`` samples in blocks."""
        for start in range(0, length, _BLOCK):
            yield self.take(min(_BLOCK, length - start))
