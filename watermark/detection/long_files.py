"""Minutes of a file added up: copies by codecs so poor that no minute says enough by itself.

What plays at the pace of the original stays in step for minutes, so that the pilot's sums over the
whole cycle can be added from chunk to chunk. The likeliest places of their total are read again
from the levels that were kept of each chunk: at most a quarter of an hour, in which clocks that
differ by fifty in a million drift apart by half a cell. The place is chosen by the pilot, so that
each reading is one test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watermark.detection.acquisition import UNCHANGED, Line, Sums
from watermark.detection.evidence import Trail, best_fit
from watermark.detection.features import Features, between_frames
from watermark.detection.search import Reading
from watermark.pattern import BANDS, CELL_SECONDS, CYCLE_CELLS, DATA_BANDS, PILOT_BANDS, Pattern

#: Chunks of a minute that are added up; 11 kB a second are kept meanwhile.
MOST_CHUNKS = 15
#: Places that are read, found by all bands and by the low ones.
_KEEP, _KEEP_LOW = 4, 2


@dataclass(frozen=True)
class _Kept:
    """What is kept of a chunk.

    Attributes:
        begin: its first second in the file.
        cell: the first cell of the file that begins in it.
        count: cells in it.
        readings: of all bands, ``[frames, BANDS]``.
        rate: frames a second.
    """

    begin: float
    cell: int
    count: int
    readings: NDArray[np.float32]
    rate: float


class LongFile:
    """Adds chunks up.

    Args:
        pattern: the key's.
    """

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self.clear()

    def clear(self) -> None:
        """Forget what was added."""
        self._chunks: list[_Kept] = []
        self._sums: Sums | None = None

    @property
    def full(self) -> bool:
        """Whether as much was added as stays in step."""
        return len(self._chunks) >= MOST_CHUNKS

    def add(self, features: Features, sums: Sums, cell: int, begin: float) -> None:
        """Take a chunk in.

        Args:
            features: of the chunk.
            sums: how well it fits each place, from the first whole cell of the file on.
            cell: that cell's number in the file.
            begin: the chunk's first second in the file.
        """
        readings = features.bands(UNCHANGED.pitch, np.arange(BANDS))
        seconds = (len(readings) - 1) / features.frames_a_second
        count = int((seconds - sums.begin) / CELL_SECONDS)
        kept = _Kept(begin, cell, count, readings, features.frames_a_second)
        self._chunks.append(kept)
        first = self._chunks[0].cell
        if self._sums is None:
            self._sums = Sums(sums.total, sums.energy, cell * CELL_SECONDS)
            return
        self._sums = Sums(
            self._sums.total + np.roll(sums.total, first - cell, axis=-1),
            self._sums.energy + sums.energy,
            first * CELL_SECONDS,
        )

    def readings(self) -> list[Reading]:
        """What the chunks may hold of the key's mark, the likeliest first by the pilot.

        Nothing of fewer than two chunks, which were searched one by one.
        """
        if self._sums is None or len(self._chunks) < 2:
            return []
        lines = [*self._sums.lines(_KEEP), *self._sums.lines(_KEEP_LOW, low=True)]
        found = [self._read(line) for line in lines]
        return sorted(found, key=lambda reading: -reading.pilot)

    def _read(self, line: Line) -> Reading:
        first = self._chunks[0].cell
        cells = np.concatenate([c.cell - first + np.arange(c.count) for c in self._chunks])
        expected, offset = [], 0
        for kept in self._chunks:
            numbers = kept.cell - first + np.arange(kept.count)
            seconds = line.origin + numbers * CELL_SECONDS - kept.begin
            expected.append(offset + seconds * kept.rate)
            offset += len(kept.readings)
        at = np.concatenate(expected)
        readings = np.concatenate([kept.readings for kept in self._chunks])
        places = (line.place + cells) % CYCLE_CELLS
        signs = self._pattern.signs[places][:, PILOT_BANDS].astype(np.float32)
        at += best_fit(readings[:, PILOT_BANDS], signs, at)[0]
        trail = Trail(
            line,
            np.asarray(line.origin + cells * CELL_SECONDS, np.float64),
            places,
            between_frames(readings[:, PILOT_BANDS], at) * signs,
            between_frames(readings[:, DATA_BANDS], at),
        )
        score = float(trail.pilot.sum() / np.sqrt(float(trail.energy.sum()) + 1e-6))
        return Reading((trail,), score)
