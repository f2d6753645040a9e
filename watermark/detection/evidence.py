"""Following a line through the sound, and gathering what the data cells say along it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from watermark.detection.acquisition import Line, read_cells
from watermark.detection.features import Features, between_frames
from watermark.pattern import BLOCK_CELLS, CYCLE_CELLS, DATA_BANDS, PILOT_BANDS, Pattern
from watermark.payload import CODED_BITS

#: A piece is as long as a block, 2.4 s: what is judged as one when sound was cut and joined.
PIECE_CELLS = BLOCK_CELLS
#: Cells followed as one stretch, over which a line may bend a little.
STRETCH_CELLS = 4 * PIECE_CELLS
#: How far, in frames, a line may shift and tilt from one stretch to the next.
_SHIFT = 4
_TILT = 3
_SHIFTS, _TILTS = (
    grid.ravel().astype(float)
    for grid in np.meshgrid(np.arange(-_SHIFT, _SHIFT + 1), np.arange(-_TILT, _TILT + 1))
)
#: By how many deviations the pilot must gain for each frame of shift or tilt.
_CAUTION = 0.4
#: Bands this far apart are held to tell about as much, and by how much bands are held to differ
#: before the pilot was heard, as a share of what they tell.
_ALIKE_BANDS = 8
_DIFFER = 1.0
_DATA_LIKE_PILOT = np.exp(
    -np.square((DATA_BANDS[:, None] - PILOT_BANDS) / _ALIKE_BANDS) / 2
).astype(np.float32)


@dataclass(frozen=True)
class Trail:
    """What was found along one line.

    Attributes:
        line: the guess that was followed.
        seconds: when each cell is centred, ``[n]``.
        places: each cell's place in the cycle, ``[n]``.
        told: evidence of the pilot cells times their signs, ``[n, len(PILOT_BANDS)]``.
        cells: evidence of the data cells, ``[n, len(DATA_BANDS)]``.
    """

    line: Line
    seconds: NDArray[np.float64]
    places: NDArray[np.intp]
    told: NDArray[np.float32]
    cells: NDArray[np.float32]

    @property
    def pilot(self) -> NDArray[np.float32]:
        """Each cell's share of the pilot's sum, ``[n]``."""
        pilot: NDArray[np.float32] = self.told.sum(axis=1)
        return pilot

    @property
    def energy(self) -> NDArray[np.float32]:
        """And of its variance, ``[n]``."""
        energy: NDArray[np.float32] = np.einsum("nb,nb->n", self.told, self.told)
        return energy

    def part(self, chosen: NDArray[np.bool_]) -> Trail:
        """The trail's cells where ``chosen``."""
        return replace(
            self,
            seconds=self.seconds[chosen],
            places=self.places[chosen],
            told=self.told[chosen],
            cells=self.cells[chosen],
        )


def follow(
    pattern: Pattern,
    features: Features,
    line: Line,
    begin: float,
    end: float,
    *,
    stretch_cells: int = STRETCH_CELLS,
) -> Trail:
    """Follow a line both ways from where it was found.

    Each stretch, of ten seconds unless told otherwise, is read where the pilot fits best, within a
    tenth of a second of where the last one left off, so that small errors of pace do not add up.

    Args:
        pattern: the key's.
        features: of sound that holds the stretch.
        line: the guess; its origin lies between ``begin`` and ``end``.
        begin: the first second looked at.
        end: the last.
        stretch_cells: how much is shifted and tilted as one.
    """
    step = line.cell_seconds
    first = -int((line.origin - begin) / step)
    last = int((end - line.origin) / step)
    cells = np.arange(first, last + 1)
    places = (line.place + cells) % CYCLE_CELLS
    readings = features.bands(line.change.pitch, PILOT_BANDS)
    expected = (line.origin + cells * step) * features.frames_a_second
    signs = pattern.signs[places][:, PILOT_BANDS].astype(np.float32)
    shifts = np.zeros(len(cells))
    for way in (1, -1):
        # Outwards from the origin, each stretch going on from where the last one ended.
        outwards = np.flatnonzero(cells >= 0) if way > 0 else np.flatnonzero(cells < 0)[::-1]
        entry = slope = 0.0
        for at_cell in range(0, len(outwards), stretch_cells):
            span = outwards[at_cell : at_cell + stretch_cells]
            guess = entry + slope * np.arange(1, len(span) + 1)
            bend, tilt = best_fit(readings, signs[span], expected[span] + guess)
            shifts[span] = guess + bend
            entry = float(shifts[span[-1]])
            slope += tilt
    at = expected + shifts
    data = between_frames(features.bands(line.change.pitch, DATA_BANDS), at)
    return Trail(
        line,
        at / features.frames_a_second,
        places,
        between_frames(readings, at) * signs,
        data,
    )


def straight(features: Features, line: Line, begin: float, end: float) -> Trail:
    """Read the data along a line as it is, from a second to another; the pilot is not looked at."""
    step = line.cell_seconds
    cells = np.arange(-int((line.origin - begin) / step), int((end - line.origin) / step) + 1)
    seconds = np.asarray(line.origin + cells * step, np.float64)
    return Trail(
        line,
        seconds,
        (line.place + cells) % CYCLE_CELLS,
        np.zeros((len(cells), len(PILOT_BANDS)), np.float32),
        read_cells(features, line.change, seconds, DATA_BANDS),
    )


def best_fit(
    readings: NDArray[np.float32], signs: NDArray[np.float32], expected: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """How a stretch has to be shifted and tilted for its pilot to fit best.

    Returns:
        Frames to add to each expected cell, and the tilt in frames a cell.
    """
    reach = np.arange(-_SHIFT - _TILT, _SHIFT + _TILT + 1)
    centre = np.rint(expected).astype(int)
    frames = np.clip(centre[:, None] + reach, 0, len(readings) - 1)
    table = np.einsum("nob,nb->no", readings[frames], signs)
    norm = float(np.sqrt(np.square(readings[frames[:, len(reach) // 2]]).sum())) + 1e-6
    count = len(expected)
    ramp = np.arange(count) / max(count - 1, 1) - 0.5
    at = np.rint(_SHIFTS[:, None] + _TILTS[:, None] * ramp).astype(int) + len(reach) // 2
    sums = table[np.arange(count), at].sum(axis=1) / norm
    best = int((sums - _CAUTION * (np.abs(_SHIFTS) + np.abs(_TILTS))).argmax())
    return _SHIFTS[best] + _TILTS[best] * ramp, float(_TILTS[best] / count)


@dataclass(frozen=True)
class Evidence:
    """What sound says about each coded bit.

    Attributes:
        bits: positive for a coded 0, ``[CODED_BITS]``.
        energy: the variance of a sum of ``bits`` with random signs.
    """

    bits: NDArray[np.float32]
    energy: float


def weights_of(trails: Sequence[Trail]) -> NDArray[np.float32]:
    """How much more or less the data bands tell than the average, by the pilot among them.

    A copy by a telephone tells nothing above its band, one in noise little where the noise is
    louder. A pilot band's share is the regression of its sign on its evidence; neighbours are
    averaged, and drawn towards what all bands tell by as much as chance may have moved them. The
    pilot's signs are independent of the data's, so that a score with these weights is one test.

    Returns:
        ``[len(DATA_BANDS)]``, about 1; all 1 where the pilot tells nothing.
    """
    told = np.sum([trail.told.sum(axis=0) for trail in trails], axis=0)
    energy = np.sum([np.square(trail.told).sum(axis=0) for trail in trails], axis=0)
    share = float(told.sum() / (energy.sum() + 1e-6))
    if share <= 0:
        return np.ones(len(DATA_BANDS), np.float32)
    # The variance of a share is one over its energy.
    before = 1 / (_DIFFER * share) ** 2
    likely = (_DATA_LIKE_PILOT @ told + before * share) / (_DATA_LIKE_PILOT @ energy + before)
    weights: NDArray[np.float32] = np.maximum(likely / share, 0).astype(np.float32)
    return weights


def gather(pattern: Pattern, trails: Sequence[Trail]) -> Evidence:
    """Add up the data cells of trails, each band by what its neighbours in the pilot tell.

    Cells from the same place are summed before their energy is taken: they share one random sign.
    """
    places = np.concatenate([trail.places for trail in trails])
    cells = np.concatenate([trail.cells for trail in trails]) * weights_of(trails)
    once, which = np.unique(places, return_inverse=True)
    if len(once) < len(places):
        folded = np.zeros((len(once), cells.shape[1]), np.float32)
        np.add.at(folded, which, cells)
        places, cells = once, folded
    signed = cells * pattern.signs[places][:, DATA_BANDS]
    bits = np.bincount(
        pattern.coded_bit[places % BLOCK_CELLS].ravel(), signed.ravel(), minlength=CODED_BITS
    )
    return Evidence(bits.astype(np.float32), float(np.einsum("nb,nb->", cells, cells)))
