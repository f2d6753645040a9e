"""Finding how much faster and higher a copy plays, from half to double.

The usual search tries changes of up to 6 % over stretches of twenty seconds, at which pace must be
right to a quarter of a per cent. Over four seconds of the narration two per cent do, so that a few
hundred coarse guesses cover listening speeds with and without their pitch, wrong sample rates and
shifted pitch. A guess is looked up in the whole cycle; the best are then made exact around the
place they found, which costs next to nothing, and are lines like any other.

All is chosen by the pilot; it adds to the hypotheses only the readings it leads to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from watermark.detection.acquisition import (
    SHORT,
    Change,
    Line,
    best_places,
    distinct,
    read_cells,
)
from watermark.detection.features import Features, features_of
from watermark.pattern import CELL_SECONDS, CYCLE_CELLS, PILOT_BANDS, Pattern

#: Steps of pace and of pitch between guesses, and cells of a stretch in which they do: of tempo,
#: where sound may have been cut besides; of speed, whose steps pitch decides; and off both axes.
_TEMPO_STEP, _TEMPO_CELLS = 1.035, 52
_PITCH_STEP, _SPEED_CELLS = 1.015, 94
_OTHER_STEP, _OTHER_CELLS = 1.022, 80
#: The slowest and the fastest, and how far pitch alone may be shifted, a little over two semitones.
_SLOWEST, _FASTEST, _SHIFTED = 0.49, 2.04, 1.135
#: Up to here the usual search has looked.
_LOOKED = 1.055
#: Stretches looked up for each guess of tempo, of which one may have a cut in it.
_STRETCHES = 2
#: The same where the tempo is known to a per cent or two.
_NEAR_STRETCHES = 4
#: A look-up of so many guesses hardly reaches this without chance.
_WORTH_A_LOOK = 5.4
#: Guesses made exact.
_KEEP = 3
#: Cells over which a guess is made exact then, less and less coarsely.
_EXACT_CELLS = (96, 192)
#: What chance made of a guess does not reach when it is made exact.
_HOLDS_UP = 6.4
#: Pace and pitch this close are one number; pitch this close to 1 is 1.
_ALIKE = 0.007


@dataclass(frozen=True)
class _Group:
    """Guesses that can share one reading of the sound.

    Attributes:
        pace: that of the reading.
        pitch: that of the reading.
        margin: by which the guesses' pitch may differ.
        cells: how long a stretch is looked up.
        stretches: how many of them.
        changes: the guesses.
    """

    pace: float
    pitch: float
    margin: float
    cells: int
    stretches: int
    changes: tuple[Change, ...]


def ladder(low: float, high: float, step: float) -> NDArray[np.float64]:
    """Values from ``low`` to ``high`` by equal ratios of at most ``step``."""
    count = int(np.ceil(np.log(high / low) / np.log(step))) + 1
    return np.asarray(np.geomspace(low, high, count), np.float64)


def _groups() -> Iterator[_Group]:
    edges = (_SLOWEST, 0.64, 0.8, 1 / _LOOKED), (_LOOKED, 1.26, 1.6, _FASTEST)
    for low, high in (pair for side in edges for pair in pairwise(side)):
        middle = float(np.sqrt(low * high))
        tempos = tuple(Change(float(p), 1.0) for p in ladder(low, high, _TEMPO_STEP))
        yield _Group(middle, 1.0, 1.0, _TEMPO_CELLS, _STRETCHES, tempos)
        speeds = tuple(Change(float(p), float(p)) for p in ladder(low, high, _PITCH_STEP))
        yield _Group(middle, middle, 1.15, _SPEED_CELLS, 1, speeds)
    paces = ladder(1 / _LOOKED, _LOOKED, _OTHER_STEP)
    pitches = ladder(1 / _SHIFTED, _SHIFTED, _PITCH_STEP)
    around = tuple(Change(float(p), float(q)) for p in paces for q in pitches)
    yield _Group(1.0, 1.0, _SHIFTED, _OTHER_CELLS, 1, around)


def _shifted_groups() -> Iterator[_Group]:
    """Other tempos with a pitch that was shifted besides."""
    pitches = [float(p) for p in ladder(1 / _LOOKED, _LOOKED, _PITCH_STEP) if abs(p - 1) > 0.01]
    for group in _groups():
        if group.margin == 1.0:
            changes = tuple(Change(each.pace, p) for each in group.changes for p in pitches)
            yield replace(group, margin=_LOOKED, stretches=1, changes=changes)


_GROUPS = tuple(_groups())
_MORE_GROUPS = tuple(_shifted_groups())


def find_changes(
    pattern: Pattern,
    features: Features,
    samples: NDArray[np.float32],
    rate: int,
    *,
    thorough: bool = False,
) -> list[Line]:
    """Lines along which a copy that plays at another speed may run.

    Args:
        pattern: the key's.
        features: of the sound, read as if nothing had been changed.
        samples: the sound, ``[n]``, within −1..1.
        rate: samples a second.
        thorough: look for other tempos with shifted pitch too.

    Returns:
        A few lines, the likeliest first, their pace right to a tenth of a per cent; none where
        chance explains what was found.
    """
    return _lines(pattern, features, samples, rate, _GROUPS + (_MORE_GROUPS if thorough else ()))


def find_near(
    pattern: Pattern,
    features: Features,
    samples: NDArray[np.float32],
    rate: int,
    tempo: float,
) -> list[Line]:
    """The same for a copy whose tempo is known to a per cent or two.

    Args:
        pattern: the key's.
        features: of the sound, read as if nothing had been changed.
        samples: the sound, ``[n]``, within −1..1.
        rate: samples a second.
        tempo: about how much faster it runs, its pitch unchanged.
    """
    near = tuple(Change(float(p), 1.0) for p in tempo * np.linspace(0.976, 1.012, 4))
    group = _Group(tempo, 1.0, 1.0, _TEMPO_CELLS, _NEAR_STRETCHES, near)
    return _lines(pattern, features, samples, rate, (group,))


def _lines(
    pattern: Pattern,
    features: Features,
    samples: NDArray[np.float32],
    rate: int,
    groups: Iterable[_Group],
) -> list[Line]:
    cells = {
        line: group.cells
        for group in groups
        for line in _look_up(pattern, features, samples, rate, group)
        if line.score > _WORTH_A_LOOK
    }
    best = distinct(sorted(cells, key=lambda line: -line.score), _KEEP)
    exact = [_made_exact(pattern, line, cells[line], samples, rate) for line in best]
    return sorted((line for line in exact if line.score >= _HOLDS_UP), key=lambda line: -line.score)


def read_as(change: Change, samples: NDArray[np.float32], rate: int) -> Features:
    """Features of sound that was changed, on a grid that fits the change."""
    return features_of(samples, rate, pace=change.pace, pitch=change.pitch)


def _look_up(
    pattern: Pattern,
    features: Features,
    samples: NDArray[np.float32],
    rate: int,
    group: _Group,
) -> Iterator[Line]:
    length = (group.cells + 2) * CELL_SECONDS / min(change.pace for change in group.changes)
    for begin in busiest(features, length, group.stretches):
        first = int(begin * rate)
        stretch = samples[first : first + int(length * rate)]
        read = features_of(stretch, rate, pace=group.pace, pitch=group.pitch, margin=group.margin)
        for line in _correlated(pattern, read, group, len(stretch) / rate):
            yield replace(line, origin=line.origin + first / rate)


def busiest(features: Features, length: float, count: int) -> list[float]:
    """Where the stretches begin that say most, none overlapping another, in seconds."""
    frames = max(int(length * features.frames_a_second), 1)
    sums = features.power[frames:] - features.power[:-frames]
    begins = []
    for _ in range(count if len(sums) > frames else 1):
        best = int(sums.argmax()) if len(sums) else 0
        begins.append(best / features.frames_a_second)
        sums[max(best - frames, 0) : best + frames] = -1
    return begins


def _correlated(pattern: Pattern, read: Features, group: _Group, seconds: float) -> Iterator[Line]:
    """The best place of each guess; one reading a cell is enough, as the next is a guess away."""
    queries = np.zeros((len(group.changes), SHORT.transform, len(PILOT_BANDS)), np.float32)
    for row, change in zip(queries, group.changes, strict=True):
        cell = CELL_SECONDS / change.pace
        count = min(int(seconds / cell), group.cells)
        at = np.asarray((np.arange(count) + 0.5) * cell, np.float64)
        row[:count] = read_cells(read, change, at, PILOT_BANDS)
    places = best_places(pattern, queries, SHORT, 1)
    for change, ((score, place),) in zip(group.changes, places, strict=True):
        yield Line(change, CELL_SECONDS / change.pace / 2, place, score)


def _made_exact(
    pattern: Pattern, line: Line, found_in: int, samples: NDArray[np.float32], rate: int
) -> Line:
    """The line's neighbour in pace, pitch and place that fits best, found in ever finer steps.

    First over as many cells as it was found in: a part of them may say nothing by itself.
    """
    middle = line.origin + found_in / 2 * line.cell_seconds
    place = line.place + found_in // 2
    best = line
    pace_reach, pitch_reach = 0.022, 0.0075
    for cells in (found_in, *(longer for longer in _EXACT_CELLS if longer > found_in)):
        numbers = np.arange(-cells // 2, cells // 2)
        reach = (cells // 2 + 2) * best.cell_seconds
        begin = max(int((middle - reach) * rate), 0)
        read = read_as(best.change, samples[begin : int((middle + reach) * rate)], rate)
        signs = pattern.signs[(place + numbers) % CYCLE_CELLS][:, PILOT_BANDS].astype(np.float32)
        tries = [
            (_fit(read, signs, numbers, middle - begin / rate + shift, change), shift, change)
            for change in _around(best.change, pace_reach, pitch_reach)
            for shift in np.linspace(-0.6, 0.6, 5) * best.cell_seconds
        ]
        score, shift, change = max(tries, key=lambda each: each[0])
        if cells > found_in and score < best.score:
            # The sound was cut near by; what holds is as long as that.
            break
        best, middle = replace(best, change=change, score=score), middle + float(shift)
        if score < _HOLDS_UP:
            break
        pace_reach, pitch_reach = pace_reach / 3, pitch_reach / 2
    return replace(best, change=_plain(best.change), origin=middle, place=place % CYCLE_CELLS)


def _around(change: Change, pace_reach: float, pitch_reach: float) -> Iterator[Change]:
    for pitch in change.pitch * (1 + np.linspace(-pitch_reach, pitch_reach, 3)):
        for pace in change.pace * (1 + np.linspace(-pace_reach, pace_reach, 9)):
            yield Change(float(pace), float(pitch))


def _fit(
    read: Features,
    signs: NDArray[np.float32],
    numbers: NDArray[np.intp],
    middle: float,
    change: Change,
) -> float:
    """The pilot's score of cells around a second, if changed so."""
    at = (middle + numbers * (CELL_SECONDS / change.pace)) * read.frames_a_second
    inside = (at >= 0) & (at < len(read.values) - 1)
    rows = np.rint(at[inside]).astype(int)
    values = read.at(rows, change.pitch, PILOT_BANDS)
    energy = float(np.einsum("nb,nb->", values, values))
    return float(np.einsum("nb,nb->", values, signs[inside]) / np.sqrt(energy + 1e-6))


def _plain(change: Change) -> Change:
    """The same change said simply: as speed or as tempo, where it is one."""
    if abs(change.pitch - 1) < _ALIKE:
        return Change(change.pace, 1.0)
    if abs(change.pitch / change.pace - 1) < _ALIKE:
        return Change(change.pace, change.pace)
    return change
