"""The searches that a chunk of sound is put through, the likeliest to find something first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from watermark.detection.acquisition import UNCHANGED, Change, Line, sum_unchanged
from watermark.detection.evidence import follow
from watermark.detection.features import Features
from watermark.detection.long_files import LongFile
from watermark.detection.public_pace import likely_changes, told_tempo
from watermark.detection.public_way import search_public_way
from watermark.detection.scales import find_changes, find_near, read_as
from watermark.detection.search import Reading, search, whole
from watermark.detection.stretches import search_stretches
from watermark.pattern import CELL_SECONDS, Pattern


class Passes:
    """Searches chunk by chunk with one key, and remembers at which speed something was found.

    Args:
        pattern: the key's.
        thorough: look for other tempos with shifted pitch too.
    """

    def __init__(self, pattern: Pattern, *, thorough: bool = False) -> None:
        self._pattern = pattern
        self._thorough = thorough
        self._known: list[Change] = []
        self._chunk = 0
        #: The chunks so far as one, for a mark too weak in each of them.
        self.together = LongFile(pattern)

    def over(
        self, features: Features, samples: NDArray[np.float32], rate: int, begin: float
    ) -> Iterator[list[Reading]]:
        """Readings of a chunk, search by search; go on while they lead to nothing.

        Args:
            features: of the chunk, read as if nothing had been changed.
            samples: the chunk, ``[n]``, within −1..1.
            rate: samples a second.
            begin: the chunk's first second in the file.
        """
        seconds = len(samples) / rate
        self._chunk += 1
        # Cells are those of the file, so that its chunks can be added up.
        cell = int(np.ceil(begin / CELL_SECONDS - 1e-6))
        sums = sum_unchanged(self._pattern, features, cell * CELL_SECONDS - begin, seconds)
        self.together.add(features, sums, cell, begin)
        yield search(self._pattern, features, seconds, sums)
        yield search_stretches(self._pattern, features, seconds, UNCHANGED)
        for change in self._known:
            read = read_as(change, samples, rate)
            yield search_stretches(self._pattern, read, seconds, change)
            yield search_public_way(self._pattern, read, seconds, change)
        # A file plays at one speed as a rule: chunks 1, 2, 4, 8 and so on are enough.
        looks_around = self._thorough or not self._chunk & (self._chunk - 1)
        tempo = told_tempo(features, samples, rate) if looks_around else None
        for change in likely_changes(tempo) if tempo is not None else ():
            read = read_as(change, samples, rate)
            yield search_stretches(self._pattern, read, seconds, change)
            yield search_public_way(self._pattern, read, seconds, change)
        if not self._known:
            # Only now: wavering, a way leads through a copy at another tempo, too.
            yield search_public_way(self._pattern, features, seconds, UNCHANGED)
        if not looks_around:
            return
        if tempo is not None:
            near = find_near(self._pattern, features, samples, rate, tempo)
            yield from self._along(near, samples, rate)
        lines = find_changes(self._pattern, features, samples, rate, thorough=self._thorough)
        yield from self._along(lines, samples, rate)

    def _along(
        self, lines: list[Line], samples: NDArray[np.float32], rate: int
    ) -> Iterator[list[Reading]]:
        """Readings along lines of a copy at another speed: of all of it, and as if it was cut."""
        seconds = len(samples) / rate
        for line in lines:
            read = read_as(line.change, samples, rate)
            trail = follow(self._pattern, read, line, 0.0, seconds)
            yield [whole(trail, seconds)]
            yield search_stretches(self._pattern, read, seconds, line.change)

    def remember(self, change: Change) -> None:
        """Try a change on the chunks to come, as it led to a mark."""
        if change.pace != 1.0 and all(abs(change.pace - each.pace) > 0.01 for each in self._known):
            self._known = [*self._known[-2:], change]
