"""Finding the place in the key's four-hour cycle that a stretch of sound comes from.

The pilot is ±1 in twenty bands at each place of the cycle. A stretch of up to 22 s is correlated
with all 172,032 places at once, by transforms of 2,048 places of which 1,792 come out free of
wrap-around, and so for every hypothesis of changed speed, tempo or pitch. Per frequency the sum
over bands is a small matrix product, which is what makes a four-hour pattern affordable: about
1.5 ms of CPU for one hypothesis over four hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from watermark.detection.features import Features, between_frames
from watermark.pattern import (
    BAND_HZ,
    CELL_SECONDS,
    CYCLE_CELLS,
    LOWEST_HZ,
    PILOT_BANDS,
    Pattern,
    pattern_of,
)


@dataclass(frozen=True)
class Blocks:
    """How the cycle is cut for correlation.

    Attributes:
        transform: places in a transform.
        step: of which so many come out free of wrap-around.
    """

    transform: int
    step: int

    @property
    def longest(self) -> int:
        """The longest stretch, in cells, that leaves ``step`` places free of wrap-around."""
        return self.transform - self.step + 1

    @property
    def segments(self) -> int:
        """Transforms that cover the cycle."""
        return -(-CYCLE_CELLS // self.step)


#: For stretches of 20 s, and for those of 8 s, which take two thirds of the time.
LONG, SHORT = Blocks(2048, 1792), Blocks(512, 416)
#: The longest stretch, in cells, that can be looked up.
MAX_CELLS = LONG.longest
#: A stretch's cells are read at this many offsets within a cell.
PHASES = 2
#: Queries, and segments of the cycle, correlated at once: so few that the work stays in the cache,
#: which halves the time.
BATCH = 16
_SEGMENTS = 24
#: Pilot bands below 2 kHz.
_IS_LOW: NDArray[np.float32] = (PILOT_BANDS * BAND_HZ + LOWEST_HZ < 2_000).astype(np.float32)
#: Places so close, in cells, are of one peak.
_PEAK = 3
#: Chance alone brings some ninety segments of a full search above this.
_WORTH_A_LOOK = 4.5


@dataclass(frozen=True)
class Change:
    """How a copy was played or processed.

    Attributes:
        pace: how much faster it runs than the original.
        pitch: how much higher it sounds.
    """

    pace: float
    pitch: float


def _steps(step: float) -> list[float]:
    count = round(0.06 / step)
    return [1 + step * i for i in range(-count, count + 1) if i]


#: As it was; played faster or slower; tempo alone; pitch alone; each up to ±6 %. Pace must be right
#: to a quarter of a per cent for a stretch to stay in step; pitch may be off by a little more.
UNCHANGED = Change(1.0, 1.0)
CHANGES: tuple[Change, ...] = (
    UNCHANGED,
    *(Change(s, s) for s in _steps(0.004)),
    *(Change(s, 1.0) for s in _steps(0.004)),
    *(Change(1.0, s) for s in _steps(0.0075)),
)


@dataclass(frozen=True)
class Line:
    """A guess at where sound comes from: a place for every moment.

    Attributes:
        change: what was done to the sound.
        origin: the second at which cell 0 of the guess is centred.
        place: cell 0's place in the cycle; cell k is ``place + k``.
        score: the pilot's score over the stretch that gave the guess.
    """

    change: Change
    origin: float
    place: int
    score: float

    @property
    def cell_seconds(self) -> float:
        """The length of a cell in the copy."""
        return CELL_SECONDS / self.change.pace


@lru_cache(maxsize=8)
def _pilot_spectra(key: bytes, blocks: Blocks) -> tuple[NDArray[np.float32], ...]:
    """Spectra of the pilot's overlapping segments, some together; 17 MB.

    Each ``[frequency, segment, 2 * band]``: the real parts, then the imaginary ones, since a
    product of real matrices takes two thirds of the time of a complex one.
    """
    pilot = pattern_of(key).signs[:, PILOT_BANDS]
    together = []
    for begin in range(0, blocks.segments, _SEGMENTS):
        count = min(_SEGMENTS, blocks.segments - begin)
        shape = (blocks.transform // 2 + 1, count, 2, len(PILOT_BANDS))
        spectra = np.empty(shape, np.float32)
        for segment in range(count):
            first = (begin + segment) * blocks.step
            places = np.arange(first, first + blocks.transform) % CYCLE_CELLS
            spectrum = scipy.fft.rfft(pilot[places].astype(np.float32), axis=0)
            spectra[:, segment, 0], spectra[:, segment, 1] = spectrum.real, spectrum.imag
        together.append(spectra.reshape(*shape[:2], -1))
    return tuple(together)


def read_cells(
    features: Features, change: Change, seconds: NDArray[np.float64], bands: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Evidence of cells centred at given seconds, ``[len(seconds), len(bands)]``."""
    readings = features.bands(change.pitch, bands)
    return between_frames(readings, seconds * features.frames_a_second)


def _queries(
    features: Features, changes: tuple[Change, ...], begin: float, end: float
) -> NDArray[np.float32]:
    """A stretch's cells for each change and phase, ``[change, phase, transform, band]``."""
    queries = np.zeros((len(changes), PHASES, LONG.transform, len(PILOT_BANDS)), np.float32)
    rate = features.frames_a_second
    frames = np.arange(int(begin * rate), min(int(end * rate) + 2, len(features.values)))
    readings = {
        pitch: features.at(frames, pitch, PILOT_BANDS)
        for pitch in {change.pitch for change in changes}
    }
    for row, change in zip(queries, changes, strict=True):
        cell = CELL_SECONDS / change.pace
        count = min(int((end - begin) / cell), MAX_CELLS)
        seconds = begin + (np.arange(count * PHASES) / PHASES + 0.5 / PHASES) * cell
        cells = between_frames(readings[change.pitch], seconds * rate - int(begin * rate))
        for phase in range(PHASES):
            row[phase, :count] = cells[phase::PHASES]
    return queries


def acquire(
    pattern: Pattern,
    features: Features,
    begin: float,
    end: float,
    *,
    changes: tuple[Change, ...] = CHANGES,
    keep: int = 12,
) -> list[Line]:
    """The likeliest places a stretch comes from.

    Args:
        pattern: the key's.
        features: of sound that holds the stretch.
        begin: the stretch's first second.
        end: its last, at most ``MAX_CELLS`` cells later at any pace.
        changes: the hypotheses tried.
        keep: how many lines to give at most.

    Returns:
        Lines by falling score, no two telling the same; empty if the stretch is silent.
    """
    queries = _queries(features, changes, begin, end).reshape(-1, LONG.transform, len(PILOT_BANDS))
    norms = np.sqrt(np.einsum("qtb,qtb->q", queries, queries))
    if not norms.any():
        return []
    peaks: list[tuple[float, int, int]] = []
    for first in range(0, len(queries), BATCH):
        batch = slice(first, first + BATCH)
        for base, sums in _correlate(pattern, queries[batch], LONG):
            scores = sums.max(axis=0) / np.maximum(norms[batch], 1e-6)
            for segment, query in np.argwhere(scores > _WORTH_A_LOOK):
                place = base + segment * LONG.step + sums[:, segment, query].argmax()
                peaks.append((float(scores[segment, query]), first + int(query), int(place)))
    found = (
        Line(
            changes[query // PHASES],
            begin + (query % PHASES + 0.5) / PHASES * CELL_SECONDS / changes[query // PHASES].pace,
            place,
            score,
        )
        for score, query, place in sorted(peaks, reverse=True)
    )
    return distinct(found, keep)


@dataclass(frozen=True)
class Sums:
    """How well unchanged sound fits the pilot at every place of the cycle.

    Attributes:
        total: of cell 0 at each place, by all bands and by the low ones alone,
            ``[2, PHASES, CYCLE_CELLS]``.
        energy: its variance, ``[2, PHASES]``.
        begin: the second at which cell 0 begins.
    """

    total: NDArray[np.float32]
    energy: NDArray[np.float32]
    begin: float

    def lines(self, keep: int, *, low: bool = False) -> list[Line]:
        """The likeliest places, by falling score; none where the sound is silent.

        Args:
            keep: how many.
            low: by the low bands alone.
        """
        if not self.energy[int(low)].any():
            return []
        deviations = np.sqrt(self.energy[int(low)] + np.float32(1e-12))
        scores = self.total[int(low)] / deviations[:, None]
        best = np.argpartition(scores, -4 * keep, axis=None)[-4 * keep :]
        found = (
            Line(
                UNCHANGED,
                self.begin + (flat // CYCLE_CELLS + 0.5) / PHASES * CELL_SECONDS,
                int(flat % CYCLE_CELLS),
                float(scores.flat[flat]),
            )
            for flat in sorted(best.tolist(), key=lambda flat: -scores.flat[flat])
        )
        return distinct(found, keep)


def sum_unchanged(pattern: Pattern, features: Features, begin: float, end: float) -> Sums:
    """Compare sound as a whole with the pilot, if its speed and pitch were not changed.

    It stays in step then however long it is, so its stretches can be added up: noise that drowns
    each of them may leave their sum. Codecs of telephones leave little of the mark above 2 kHz but
    sound enough to drown the rest, so that the bands below are compared by themselves too.

    Args:
        pattern: the key's.
        features: of the sound.
        begin: the second at which cell 0 begins.
        end: the last.
    """
    total = np.zeros((2, PHASES, CYCLE_CELLS), np.float32)
    energy = np.zeros((2, PHASES), np.float32)
    for first in range(0, max(int((end - begin) / CELL_SECONDS), 1), MAX_CELLS):
        read = _queries(features, (UNCHANGED,), begin + first * CELL_SECONDS, end)[0]
        queries = np.stack([read, read * _IS_LOW])
        energy += np.einsum("gqtb,gqtb->gq", queries, queries)
        flat = queries.reshape(2 * PHASES, *read.shape[1:])
        for at, sums in _correlate(pattern, flat, LONG):
            of_places = sums.transpose(2, 1, 0).reshape(2, PHASES, -1)
            places = np.arange(at - first, at - first + of_places.shape[2]) % CYCLE_CELLS
            total[:, :, places] += of_places
    return Sums(total, energy, begin)


def places_of_cells(
    pattern: Pattern, cells: NDArray[np.intp], read: NDArray[np.float32], keep: int
) -> list[tuple[float, int]]:
    """Where in the cycle sound begins of which it is known how its cells lie to one another.

    Args:
        pattern: the key's.
        cells: their numbers, from 0 on, ``[n]``.
        read: their evidence, ``[n, len(PILOT_BANDS)]``.
        keep: how many places.

    Returns:
        The likeliest places of number 0, no two of one peak, each behind its score in standard
        deviations.
    """
    stretch, within = np.divmod(cells, MAX_CELLS)
    queries = np.zeros((int(stretch.max()) + 1, LONG.transform, len(PILOT_BANDS)), np.float32)
    np.add.at(queries, (stretch, within), read)
    total = np.zeros(CYCLE_CELLS, np.float32)
    for number, query in enumerate(queries):
        for at, sums in _correlate(pattern, query[None], LONG):
            flat = sums[:, :, 0].T.ravel()
            total[(np.arange(at, at + len(flat)) - number * MAX_CELLS) % CYCLE_CELLS] += flat
    deviation = float(np.sqrt(np.square(queries).sum() + 1e-6))
    found = []
    for _ in range(keep):
        best = int(total.argmax())
        found.append((float(total[best]) / deviation, best))
        total[np.arange(best - _PEAK, best + _PEAK + 1) % CYCLE_CELLS] = -np.inf
    return found


def _correlate(
    pattern: Pattern, queries: NDArray[np.float32], blocks: Blocks
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Sums of stretches of cells with the pilot at every place of the cycle.

    Args:
        pattern: the key's.
        queries: ``[query, blocks.transform, len(PILOT_BANDS)]``, zero beyond ``blocks.longest``.
        blocks: how the cycle is cut.

    Yields:
        A place, and the sums of some segments from there on, ``[blocks.step, segment, query]``;
        places beyond the cycle's end are its first again.
    """
    spectrum = scipy.fft.rfft(queries, axis=1).transpose(1, 2, 0)
    # Against real and imaginary parts, so that the products' own come out side by side.
    columns = np.empty((spectrum.shape[0], 2, *spectrum.shape[1:], 2), np.float32)
    columns[:, 0, :, :, 0] = columns[:, 1, :, :, 1] = spectrum.real
    columns[:, 1, :, :, 0] = spectrum.imag
    np.negative(spectrum.imag, out=columns[:, 0, :, :, 1])
    columns = columns.reshape(spectrum.shape[0], 2 * spectrum.shape[1], -1)
    begin = 0
    for spectra in _pilot_spectra(pattern.key, blocks):
        products = np.matmul(spectra, columns).view(np.complex64)
        sums = scipy.fft.irfft(products, n=blocks.transform, axis=0)
        yield begin, np.asarray(sums[: blocks.step], np.float32)
        begin += blocks.step * spectra.shape[1]


def best_places(
    pattern: Pattern, queries: NDArray[np.float32], blocks: Blocks, keep: int
) -> list[list[tuple[float, int]]]:
    """The places where short stretches of cells fit the pilot best.

    Args:
        pattern: the key's.
        queries: ``[query, blocks.transform, len(PILOT_BANDS)]``, zero beyond ``blocks.longest``.
        blocks: how the cycle is cut.
        keep: how many places of each query, no two of one segment.

    Returns:
        Of each query the scores, in standard deviations, and the places, best first.
    """
    norms = np.sqrt(np.einsum("qtb,qtb->q", queries, queries)) + np.float32(1e-6)
    found: list[list[tuple[float, int]]] = []
    for first in range(0, len(queries), BATCH):
        batch = queries[first : first + BATCH]
        best = [[(-np.inf, 0)] * keep for _ in batch]
        for begin, sums in _correlate(pattern, batch, blocks):
            peaks = sums.max(axis=0) / norms[first : first + BATCH]
            least = np.array([kept[-1][0] for kept in best])
            for segment, query in np.argwhere(peaks > least):
                score = float(peaks[segment, query])
                if score > best[query][-1][0]:
                    place = begin + segment * blocks.step + sums[:, segment, query].argmax()
                    kept = [*best[query], (score, int(place) % CYCLE_CELLS)]
                    best[query] = sorted(kept, reverse=True)[:keep]
        found += best
    return found


def distinct(found: Iterable[Line], keep: int) -> list[Line]:
    """The first so many lines of which no two are neighbours of one peak."""
    lines: list[Line] = []
    for line in found:
        if not any(_same(line, other) for other in lines):
            lines.append(line)
        if len(lines) == keep:
            break
    return lines


def _same(one: Line, other: Line) -> bool:
    """Whether two lines found on one stretch are neighbours of one peak."""
    apart = (one.place - other.place + CYCLE_CELLS // 2) % CYCLE_CELLS - CYCLE_CELLS // 2
    return (
        abs(apart) <= _PEAK
        and abs(one.change.pace - other.change.pace) < 0.01
        and abs(one.change.pitch - other.change.pitch) < 0.02
    )
