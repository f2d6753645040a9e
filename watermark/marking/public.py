"""The public mark: that a machine spoke, for everybody to find without a key.

It raises and lowers the same cells as the secret mark by less, after a pattern that is published:
``PERIOD`` cells of time by ``BANDS`` bands, over and over. ``docs/public-mark.md`` specifies it, so
that others can put it in and look for it. It says nothing of who or which book, and whoever wants
to can take it out; that tells nothing about the secret mark, whose signs are independent of it.

The search folds the sound's cells into one period and compares the sum with the pattern at every
offset, at the pace of the original and at others. Each comparison is a weighted sum of signs that
were drawn without regard to the sound, so the bound of ``watermark.statistics`` holds, with every
comparison counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from watermark.chunks import Chunk, Chunks
from watermark.detection.features import Features, between_frames, features_of
from watermark.pattern import BANDS, CELL_SECONDS
from watermark.public_pattern import PERIOD, public_pattern
from watermark.samples import as_float
from watermark.statistics import false_positive_bound

#: How far a cell is raised or lowered, dB in the middle of the range.
DEFAULT_PUBLIC_DB = 1.2
#: The probability of a false hit that a search may have at most.
PUBLIC_FALSE_POSITIVE = 1e-9
#: Shorter sound is not searched.
PUBLIC_MIN_SECONDS = 2.0

#: Offsets within a cell at which cells are read.
_PHASES = 4
_CHUNK_SECONDS, _LAST_SECONDS = 30, 40
#: Sound at another pace is searched in its liveliest stretch of so many seconds of narration.
_STRETCH_SECONDS = 12.0
_SILENCE = 1e-5
_LISTENING = (0.75, 0.8, 0.85, 0.9, 1.1, 1.15, 1.2, 1.25, 1.3, 1.4, 1.5, 1.75, 2.0)


def _paces() -> tuple[tuple[float, float], ...]:
    small = [1 + 0.004 * step for step in range(-15, 16) if step]
    rates = [rate * (1 + 0.004 * step) for rate in _LISTENING for step in (-1, 0, 1)]
    tempos = [(pace, 1.0) for pace in (*small, *rates)]
    return (*tempos, *((pace, pace) for pace in small))


#: Pace and pitch of the changes that are tried.
CHANGES = _paces()
#: Comparisons made at one pace: every offset.
OFFSETS = PERIOD * _PHASES


@dataclass(frozen=True)
class PublicDetection:
    """What a search for the public mark found.

    Attributes:
        found: whether it is there with a probability of error within the limit.
        score: of the best comparison, in standard deviations; 0 if nothing could be compared.
        false_positive_probability: at most this often would a search like this one give such a
            score on sound that was made without regard to the pattern.
        pace: how much faster the sound plays, by the best comparison.
        pitch: how much higher it sounds.
        seconds: of sound examined.
    """

    found: bool
    score: float
    false_positive_probability: float
    pace: float
    pitch: float
    seconds: float


class PublicDetector:
    """Looks for the public mark in a stream: feed blocks of any size, then ``finish``.

    Half of the false positives allowed goes to sound at the pace of the original, half to the
    changes.

    Args:
        rate: samples a second, 8,000 to 192,000.
        false_positive: the probability of a false hit allowed to the whole search.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, rate: int, *, false_positive: float = PUBLIC_FALSE_POSITIVE) -> None:
        if not 0 < false_positive < 1:
            raise ValueError(f"false_positive is {false_positive}; it must be between 0 and 1")
        self._chunks = Chunks(rate, _CHUNK_SECONDS, _LAST_SECONDS)
        self._rate = rate
        self._limit = false_positive
        self._searched = 0
        self._samples = 0
        self._best = {False: (0.0, 1.0, 1.0), True: (0.0, 1.0, 1.0)}

    def feed(self, block: ArrayLike) -> None:
        """Take samples in.

        Args:
            block: ``[n]`` or ``[n, channels]``, float or integer PCM of any level. What is not
                finite is taken as silence.

        Raises:
            ValueError: the shape or type is no sound's.
        """
        for chunk in self._chunks.feed(block):
            self._search(chunk)

    def finish(self) -> PublicDetection:
        """What was found."""
        for chunk in self._chunks.finish():
            self._search(chunk)
        chances = {changed: self._chance(changed) for changed in self._best}
        changed = min(chances, key=lambda each: (chances[each], -self._best[each][0]))
        chance, (score, pace, pitch) = chances[changed], self._best[changed]
        seconds = self._samples / self._rate
        return PublicDetection(chance <= self._limit, score, chance, pace, pitch, seconds)

    def _chance(self, changed: bool) -> float:
        """The bound for the best score of one kind, with all that a search of it may compare."""
        if not self._searched:
            return 1.0
        compared = OFFSETS * self._searched * (len(CHANGES) if changed else 1)
        return false_positive_bound(self._best[changed][0], 2 * compared)

    def _search(self, chunk: Chunk) -> None:
        self._samples += len(chunk.samples)
        seconds = len(chunk.samples) / self._rate
        peak = float(np.abs(chunk.samples).max())
        if peak < _SILENCE or seconds < PUBLIC_MIN_SECONDS:
            return
        self._searched += 1
        features = features_of(chunk.samples / np.float32(peak), self._rate)
        for score, pace, pitch in compare(features, seconds):
            changed = (pace, pitch) != (1.0, 1.0)
            self._best[changed] = max(self._best[changed], (score, pace, pitch))
            if not changed and self._chance(changed) <= self._limit:
                return


def compare(features: Features, seconds: float) -> Iterator[tuple[float, float, float]]:
    """The best score of a stretch of sound, of all of it first and then of each change.

    Args:
        features: of the sound.
        seconds: its length.

    Yields:
        Score in standard deviations, pace and pitch.
    """
    yield best_offset(features, 0.0, seconds, 1.0, 1.0)[0], 1.0, 1.0
    for pace, pitch in CHANGES:
        length = min(_STRETCH_SECONDS / pace, seconds)
        begin = liveliest(features, length)
        score, _ = best_offset(features, begin, begin + length, pace, pitch)
        yield score, pace, pitch


def best_offset(
    features: Features, begin: float, end: float, pace: float, pitch: float
) -> tuple[float, float]:
    """The best score of a stretch over all offsets, and the offset in cells.

    Args:
        features: of the sound.
        begin: the stretch's first second.
        end: its last.
        pace: how much faster it is held to play.
        pitch: how much higher it is held to sound.
    """
    best = (0.0, 0.0)
    rows = np.arange(PERIOD)
    for phase, folded in enumerate(folds(features, begin, end, pace, pitch)):
        norm = float(np.sqrt(np.square(folded).sum())) + 1e-6
        # Sum o is of cells k of what was folded with cells k + o of the pattern.
        products = folded @ public_pattern().T.astype(np.float32)
        sums = products[rows[:, None], (rows[:, None] + rows) % PERIOD].sum(axis=0)
        offset = int(sums.argmax())
        best = max(best, (float(sums[offset]) / norm, (offset - phase / _PHASES) % PERIOD))
    return best


def folds(
    features: Features, begin: float, end: float, pace: float, pitch: float
) -> Iterator[NDArray[np.float32]]:
    """A stretch's readings, those a period apart added up, for each offset within a cell.

    Args:
        features: of the sound.
        begin: the stretch's first second.
        end: its last.
        pace: how much faster it is held to play.
        pitch: how much higher it is held to sound.

    Yields:
        ``[PERIOD, BANDS]``, for cells that begin 0, ¼, ½ and ¾ of a cell after ``begin``.
    """
    readings = features.bands(pitch, np.arange(BANDS))
    cell = CELL_SECONDS / pace
    count = int((end - begin) / cell)
    for phase in range(_PHASES):
        at = (begin + (np.arange(count) + phase / _PHASES + 0.5) * cell) * features.frames_a_second
        cells = between_frames(readings, np.asarray(at, np.float64))
        folded = np.zeros((-(-count // PERIOD) * PERIOD, BANDS), np.float32)
        folded[:count] = cells
        yield folded.reshape(-1, PERIOD, BANDS).sum(axis=0)


def liveliest(features: Features, length: float) -> float:
    """Where the stretch of so many seconds begins that says most, in seconds."""
    frames = max(int(length * features.frames_a_second), 1)
    power = np.concatenate([[0.0], np.square(features.values).sum(axis=1).cumsum()])
    sums = power[frames:] - power[:-frames]
    return float(sums.argmax()) / features.frames_a_second if len(sums) else 0.0


def detect_public(
    samples: ArrayLike, rate: int, *, false_positive: float = PUBLIC_FALSE_POSITIVE
) -> PublicDetection:
    """Say whether sound bears the public mark.

    Args:
        samples: ``[n]`` or ``[n, channels]``, float or integer PCM, of any level and length.
        rate: samples a second, 8,000 to 192,000.
        false_positive: the probability of a false hit allowed to the whole search.

    Raises:
        ValueError: an argument is out of range.
    """
    detector = PublicDetector(rate, false_positive=false_positive)
    samples = np.asarray(samples)
    if samples.ndim == 0:
        samples = as_float(samples)
    for first in range(0, len(samples), 10 * rate):
        detector.feed(samples[first : first + 10 * rate])
    return detector.finish()
