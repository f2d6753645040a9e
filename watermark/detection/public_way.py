"""Where each moment of a cut copy comes from, told by the public mark beside the secret one.

The public mark comes again every 32 cells and stands in all bands, so that a third of a second of
it tells which of the 32 is heard. Dynamic programming over those places follows a copy through cuts
of which no two are a second apart; what was skipped is known then, but for whole periods. Laid out
again so, the copy is looked up by the key's pilot as one piece, and the place that this gives is a
home for ``watermark.detection.warps``.

The public signs are known to everybody and tell nothing of the key's: a way adds the readings it
leads to.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from watermark.detection.acquisition import Change, Line, places_of_cells, read_cells
from watermark.detection.features import Features
from watermark.detection.search import Reading, reading_of
from watermark.detection.warps import STEPS, PublicAt, way_around
from watermark.pattern import BANDS, CELL_SECONDS, CYCLE_CELLS, PILOT_BANDS, Pattern
from watermark.public_pattern import PERIOD, public_pattern

#: What a cell of the public mark is held to say, in deviations.
TELLS = 0.17
#: What a skip costs, in nepers, and more for each half cell; a step back or none the same.
_SKIP, _SKIP_FAR = 3.5, 0.04
#: What the mark must say along its best way, in nepers, for the way to be tried; chance falls
#: behind by two for each second.
_WORTH_A_TRY = 20.0
#: Skips back by so many half cells are wavering, longer ones go forward by the rest of the period.
_WAVERS = 8
_FORWARD = np.subtract.outer(np.arange(PERIOD * STEPS), np.arange(PERIOD * STEPS)) % (
    PERIOD * STEPS
)
_COSTS = np.where(_FORWARD > PERIOD * STEPS - _WAVERS, _SKIP, _SKIP + _SKIP_FAR * _FORWARD)
_COSTS[_FORWARD == 1] = 0.0
#: Places that are held to be home, one after the other.
_HOMES = 3
#: Cells in which the laid out copy must fit best, to be home.
_HOME_CELLS = 36


def search_public_way(
    pattern: Pattern,
    features: Features,
    seconds: float,
    change: Change,
    *,
    least: float = _WORTH_A_TRY,
) -> list[Reading]:
    """What a copy holds of the key's mark if it is cut however often, and bears a public mark.

    Args:
        pattern: the key's.
        features: of the sound.
        seconds: its length.
        change: of pace and pitch, the same all over.
        least: what the public mark must say, in nepers.

    Returns:
        A reading for each of the likeliest places, the likelier first by the pilot; none where
        there is no public mark.
    """
    cell = CELL_SECONDS / change.pace
    at = np.asarray((np.arange(int(seconds / cell * STEPS) - 1) + 1) / STEPS * cell, np.float64)
    if len(at) < _HOME_CELLS * STEPS:
        return []
    read = read_cells(features, change, at, np.arange(BANDS))
    gains = public_gains(read)
    way = _way(gains, least)
    if way is None:
        return []
    on = np.flatnonzero(way % STEPS == 0)
    cells = _unwrapped(way)[on] // STEPS
    pilot = read[on][:, PILOT_BANDS]
    ways = []
    for score, place in places_of_cells(pattern, cells, pilot, _HOMES):
        signs = pattern.signs[(place + cells) % CYCLE_CELLS][:, PILOT_BANDS]
        fits = np.convolve(np.einsum("nb,nb->n", pilot, signs), np.ones(_HOME_CELLS), "same")
        best = int(fits.argmax())
        home = Line(change, float(at[on[best]]), int(place + cells[best]) % CYCLE_CELLS, score)
        public = PublicAt(gains, (int(way[on[best]]) // STEPS - home.place) % PERIOD)
        trail = way_around(pattern, features, seconds, change, home, public)
        ways += [reading_of([trail])] if trail is not None else []
    return sorted(ways, key=lambda reading: -reading.pilot)


def public_gains(read: NDArray[np.float32]) -> NDArray[np.float32]:
    """What cells say for each place of the public mark, in nepers.

    Args:
        read: evidence of cells in all bands, ``[n, BANDS]``.

    Returns:
        ``[n, PERIOD]``.
    """
    energy = np.einsum("nb,nb->n", read, read)
    tells = TELLS / (np.sqrt(energy.mean() / BANDS) + 1e-6)
    signs = public_pattern().T.astype(np.float32)
    gains: NDArray[np.float32] = tells * (read @ signs) - (tells**2 / 2 * energy)[:, None]
    return gains


def _way(gains: NDArray[np.float32], least: float) -> NDArray[np.intp] | None:
    """The likeliest half cell of the period at each reading, where that says enough."""
    width = PERIOD * STEPS
    total = np.zeros(width)
    came = np.empty((len(gains), width), np.intp)
    for step, said in enumerate(gains):
        ways = total - _COSTS
        came[step] = ways.argmax(axis=1)
        total = ways.max(axis=1)
        total[::STEPS] += said
    at = int(total.argmax())
    if total[at] < least:
        return None
    way = np.empty(len(gains), np.intp)
    for step in range(len(gains) - 1, -1, -1):
        way[step] = at
        at = int(came[step, at])
    return way


def _unwrapped(way: NDArray[np.intp]) -> NDArray[np.intp]:
    """The same as half cells of the narration, from its first period on."""
    width = PERIOD * STEPS
    moved = np.diff(way) % width
    moved[moved > width - _WAVERS] -= width
    half_cells = way[0] + np.concatenate([[0], moved.cumsum()])
    return np.asarray(half_cells - min(half_cells.min() // width, 0) * width, np.intp)
