"""From a minute of sound to readings: each a set of cells that may hold one book's mark.

Every choice here is made by the pilot alone, whose signs tell nothing of the data's; so scoring a
reading against a book is one test, however many places were looked at to find it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watermark.detection.acquisition import (
    CHANGES,
    MAX_CELLS,
    Change,
    Line,
    Sums,
    acquire,
)
from watermark.detection.evidence import Trail, follow
from watermark.detection.features import Features
from watermark.pattern import BLOCK_CELLS, CELL_SECONDS, CYCLE_CELLS, Pattern

#: Stretches are looked up in the cycle one by one; this long, they fit at any pace.
_STRETCH_SECONDS = (MAX_CELLS - 2) * CELL_SECONDS / 1.06
#: Lines kept of each stretch.
_KEEP = 6
#: And of the minute as a whole, looked up as if nothing had been changed.
_KEEP_UNCHANGED = 4
#: The same by low bands alone.
_KEEP_LOW = 2
#: A pilot score that chance does not reach in a search.
SURE = 8.0
#: Sound is judged in pieces of a block's length, each with its neighbours.
PIECE_SECONDS = BLOCK_CELLS * CELL_SECONDS
#: Neighbours on either side that a piece is judged with: many when asking where a line holds on,
#: few when asking where sound was cut.
_HOLDS, _HOLDS_ABOVE = 4, 0.5
_CUT, _CUT_ABOVE = 1, 3.0
#: The median score, with few neighbours, of pieces along a line that plainly holds, and the least
#: of a piece that then belongs to it.
_CLEAR, _BELONGS = 5.0, 1.5
#: A mosaic must beat the best single line's pilot score by this: it picks the best of many, which
#: alone is worth a little.
_MOSAIC_GAIN = 2.0


@dataclass(frozen=True)
class Reading:
    """Cells that may hold one mark.

    Attributes:
        trails: parts of trails, none overlapping in time.
        pilot: the pilot's score over them all.
    """

    trails: tuple[Trail, ...]
    pilot: float


def search(pattern: Pattern, features: Features, seconds: float, sums: Sums) -> list[Reading]:
    """Everything in a minute of sound that may be this key's mark.

    Args:
        pattern: the key's.
        features: of the sound.
        seconds: its length, at most two minutes.
        sums: how well the sound as a whole fits each place, unchanged.

    Returns:
        Readings, the likeliest first by the pilot; empty where all is silent.
    """
    # What was found on the sound as a whole is read as a whole.
    as_one = int(seconds / CELL_SECONDS) + 2
    straight, low = (
        [follow(pattern, features, line, 0.0, seconds, stretch_cells=as_one) for line in lines]
        for lines in (sums.lines(_KEEP_UNCHANGED), sums.lines(_KEEP_LOW, low=True))
    )
    trails: list[Trail] = []
    stretches = max(1, -int(-seconds // _STRETCH_SECONDS))
    length = seconds / stretches
    for stretch in range(stretches):
        begin, end = stretch * length, (stretch + 1) * length
        # Low bands tell a place without telling a pitch.
        known = [trail.line for trail in straight + trails]
        for line in _look_up(pattern, features, begin, end, known):
            if not any(_on(line, trail) for trail in trails):
                trails.append(follow(pattern, features, line, 0.0, seconds))
    readings = [whole(trail, seconds) for trail in straight + low + trails]
    readings.sort(key=lambda reading: -reading.pilot)
    mosaic = _mosaic(straight + low + trails, seconds)
    if mosaic is not None and mosaic.pilot > readings[0].pilot + _MOSAIC_GAIN:
        return [mosaic, *readings]
    return readings


def _look_up(
    pattern: Pattern, features: Features, begin: float, end: float, known: Sequence[Line]
) -> list[Line]:
    """Lines of one stretch; where the sound's change is known already, that is tried first."""
    sure = [line for line in known if line.score > SURE]
    if sure:
        change = max(sure, key=lambda line: line.score).change
        lines = acquire(pattern, features, begin, end, changes=_near(change), keep=_KEEP)
        if lines and lines[0].score > SURE:
            return lines
    return acquire(pattern, features, begin, end, keep=_KEEP)


def _near(change: Change) -> tuple[Change, ...]:
    return tuple(
        other
        for other in CHANGES
        if abs(other.pace - change.pace) < 0.006 and abs(other.pitch - change.pitch) < 0.01
    )


def _on(line: Line, trail: Trail) -> bool:
    """Whether a line is what a trail already follows."""
    if not len(trail.seconds):
        return False
    nearest = int(np.abs(trail.seconds - line.origin).argmin())
    apart = (int(trail.places[nearest]) - line.place + CYCLE_CELLS // 2) % CYCLE_CELLS
    return (
        abs(apart - CYCLE_CELLS // 2) <= 3
        and abs(line.change.pitch - trail.line.change.pitch) < 0.012
        and abs(line.change.pace - trail.line.change.pace) < 0.006
    )


def _pieces(trail: Trail, count: int, around: int) -> NDArray[np.float64]:
    """The pilot's score of each piece with its neighbours, ``[count]``."""
    piece = np.clip((trail.seconds / PIECE_SECONDS).astype(int), 0, count - 1)
    width = np.ones(2 * around + 1)
    # "same" would give the longer of the two where the sound is shorter than the neighbourhood.
    sums, energy = (
        np.convolve(np.bincount(piece, each, minlength=count), width)[around : around + count]
        for each in (trail.pilot, trail.energy)
    )
    scores: NDArray[np.float64] = sums / np.sqrt(energy + 1e-6)
    return scores


def _count(seconds: float) -> int:
    return max(1, -int(-seconds // PIECE_SECONDS))


def _chosen(trail: Trail, pieces: NDArray[np.bool_]) -> Trail:
    at = np.clip((trail.seconds / PIECE_SECONDS).astype(int), 0, len(pieces) - 1)
    return trail.part(pieces[at])


def reading_of(trails: Sequence[Trail]) -> Reading:
    """Trails as one reading; none may overlap another in time."""
    energy = sum(float(trail.energy.sum()) for trail in trails)
    pilot = sum(float(trail.pilot.sum()) for trail in trails)
    return Reading(tuple(trails), pilot / float(np.sqrt(energy + 1e-6)))


def whole(trail: Trail, seconds: float) -> Reading:
    """A trail where its line holds, and where it was found in any case."""
    count = _count(seconds)
    holds = _pieces(trail, count, _HOLDS) > _HOLDS_ABOVE
    home = int(np.clip(trail.line.origin / PIECE_SECONDS, 0, count - 1))
    holds[home : home + 2 * _HOLDS] = True
    close = _pieces(trail, count, _CUT)
    if np.median(close[holds]) > _CLEAR:
        # Where the mark is plain, pieces without it are plainly another's or silent.
        holds &= close > _BELONGS
        holds &= _pieces(trail, count, 0) > 0
    return reading_of([_chosen(trail, holds)])


def _mosaic(trails: Sequence[Trail], seconds: float) -> Reading | None:
    """The best trail of each piece, if that takes more than one."""
    if len(trails) < 2:
        return None
    count = _count(seconds)
    scores = np.stack([_pieces(trail, count, _CUT) for trail in trails])
    best = np.where(scores.max(axis=0) > _CUT_ABOVE, scores.argmax(axis=0), -1)
    parts = [_chosen(trail, best == i) for i, trail in enumerate(trails) if (best == i).any()]
    return reading_of(parts) if len(parts) > 1 else None
