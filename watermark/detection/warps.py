"""Sound cut so often that hardly two seconds of it are whole: the way through one neighbourhood.

Look-ups of two seconds that lie near one another in the cycle, in their order, say where in the
narration a copy comes from, even where none is beyond chance by itself. Then the whole copy is laid
beside those minutes of the narration alone, cell by half cell, and dynamic programming chooses the
way: on along the narration, a skip forward as where a pause was cut, or, dearer, a jump to any
other place or out of the mark. Fewer places to jump to are cheaper jumps than in the whole cycle.
All is chosen by the pilot, so a way is one reading.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watermark.detection.acquisition import Change, Line, read_cells
from watermark.detection.evidence import Trail
from watermark.detection.features import Features
from watermark.pattern import CYCLE_CELLS, DATA_BANDS, PILOT_BANDS, Pattern

#: Readings in a cell.
STEPS = 2
#: Look-ups that lie near one another count by how much they are beyond this.
_CHANCE = 4.0
#: What they must come to, and more for each second, so that unmarked sound is hardly ever tried.
_WORTH_A_TRY, _WORTH_A_SECOND = 1.2, 0.02
#: Cells of the narration before the first and behind the last that the copy may come from.
_AROUND = 60
#: How much longer than the copy the narration may be.
_LONGER = 1.8
#: What a cell of the mark is held to say, in deviations.
_TELLS = 0.3
#: What a skip forward costs, in nepers, and more for each half cell; and a jump anywhere.
_SKIP, _SKIP_FAR, _JUMP = 5.0, 0.02, 9.0


@dataclass(frozen=True)
class PublicAt:
    """What a public mark says beside the key's pilot.

    Attributes:
        gains: of each reading, half a cell apart, at each place of its period, in nepers,
            ``[n, period]``.
        phase: its place where the key's cycle is at 0.
    """

    gains: NDArray[np.float32]
    phase: int


def likely_home(lines: list[Line], seconds: float) -> Line | None:
    """The line of look-ups in whose neighbourhood others say most, if they say enough.

    Args:
        lines: of look-ups along a copy.
        seconds: its length; the longer, the more of them lie near one another by chance.
    """
    if not lines:
        return None
    origin = np.array([line.origin for line in lines])
    place = np.array([line.place for line in lines])
    beyond = np.maximum(np.array([line.score for line in lines]) - _CHANCE, 0)
    cell = lines[0].cell_seconds
    passed = (origin[None, :] - origin[:, None]) / cell
    moved = (place[None, :] - place[:, None] + CYCLE_CELLS // 2) % CYCLE_CELLS - CYCLE_CELLS // 2
    # Later in the copy is later in the narration, by as much or more.
    ahead = np.where(passed >= 0, 1, -1)
    near = (moved * ahead >= np.abs(passed) - 3) & (
        moved * ahead <= _LONGER * np.abs(passed) + _AROUND
    )
    # Both offsets within a cell, and windows that overlap, say the same once.
    apart = np.abs(passed) > 20
    support = (near & apart) @ beyond + beyond
    best = int(support.argmax())
    others = (near & apart)[best] & (beyond > 0)
    if not others.any() or support[best] < _WORTH_A_TRY + _WORTH_A_SECOND * seconds:
        return None
    return lines[best]


def way_around(
    pattern: Pattern,
    features: Features,
    seconds: float,
    change: Change,
    home: Line,
    public: PublicAt | None = None,
) -> Trail | None:
    """The likeliest way of a copy through the minutes of the narration around a line.

    Args:
        pattern: the key's.
        features: of the copy.
        seconds: its length.
        change: of pace and pitch.
        home: a line that is held to be right.
        public: what the public mark says, where there is one.

    Returns:
        The cells along the way, or ``None`` where it leads nowhere.
    """
    cell = home.cell_seconds
    count = int(seconds / cell * STEPS) - 1
    if count < 4 * STEPS:
        return None
    at = np.asarray((np.arange(count) + 1) / STEPS * cell, np.float64)
    read = read_cells(features, change, at, PILOT_BANDS)
    energy = np.einsum("nb,nb->n", read, read)
    unit = float(np.sqrt(energy.mean() / len(PILOT_BANDS)))
    if not unit > 0:
        return None
    before = int(home.origin / cell * _LONGER) + _AROUND
    length = before + int((seconds - home.origin) / cell * _LONGER) + _AROUND
    places = (home.place - before + np.arange(length)) % CYCLE_CELLS
    signs = pattern.signs[places][:, PILOT_BANDS].astype(np.float32)
    gains = (_TELLS / unit * (read @ signs.T) - (_TELLS**2 / 2 / unit * energy)[:, None]).astype(
        np.float32
    )
    if public is not None:
        gains += public.gains[:, (places + public.phase) % public.gains.shape[1]]
    way = _best_way(gains)
    on = np.flatnonzero((way >= 0) & (way % STEPS == 0))
    if not len(on):
        return None
    # A cell of the copy is read once: of overlapping readings at a skip the first.
    rows = way[on] // STEPS
    return Trail(
        home,
        at[on],
        places[rows],
        read[on] * signs[rows],
        read_cells(features, change, at[on], DATA_BANDS),
    )


def _best_way(gains: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which half cell of the narration each reading belongs to, −1 where to none.

    Args:
        gains: of each reading at each cell, in nepers, ``[n, cells]``.
    """
    count, cells = gains.shape
    width = cells * STEPS
    reach = np.arange(width, dtype=np.float64) * _SKIP_FAR
    total, nothing = np.zeros(width), 0.0
    came = np.empty((count, width + 1), np.int32)
    numbers = np.arange(width)
    for step in range(count):
        # Along the narration.
        new = np.full(width, -np.inf)
        new[1:] = total[:-1]
        source = numbers - 1
        # A skip forward, from the best place before.
        ahead = total + reach
        best = np.maximum.accumulate(ahead)
        which = np.maximum.accumulate(np.where(ahead == best, numbers, 0))
        skipped = np.full(width, -np.inf)
        skipped[2:] = best[:-2] - reach[2:] - _SKIP
        taken = skipped > new
        new[taken] = skipped[taken]
        source[2:][taken[2:]] = which[:-2][taken[2:]]
        # A jump from anywhere, or back from where there was no mark.
        top = int(total.argmax())
        jump, back = float(total[top]) - _JUMP, nothing - _JUMP
        taken = new < max(jump, back)
        new[taken] = max(jump, back)
        source[taken] = top if jump >= back else width
        came[step, :width] = source
        came[step, width] = top if jump > nothing else width
        nothing = max(nothing, jump)
        total = new
        total[::STEPS] += gains[step]
    at = int(total.argmax()) if total.max() > nothing else width
    way = np.empty(count, np.intp)
    for step in range(count - 1, -1, -1):
        way[step] = at if at < width else -1
        at = int(came[step, at])
    return way
