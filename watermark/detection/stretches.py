"""Short stretches without a common pace: sound with pauses removed, jump cuts, or shuffled.

The usual search follows a line for twenty seconds. Where sound was cut every two, no line holds as
long. Here each two seconds are looked up in the cycle on their own, a second apart; what the
look-ups suggest is laid side by side, and the best way through it is chosen by dynamic
programming: along a line as long as it holds, a jump where another says more. All of that is
chosen by the pilot, so the way is one reading, scored once. What was cut more often still is left
to ``watermark.detection.warps``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from watermark.detection.acquisition import (
    PHASES,
    SHORT,
    Change,
    Line,
    best_places,
    read_cells,
)
from watermark.detection.evidence import Trail
from watermark.detection.features import Features, between_frames
from watermark.detection.search import Reading, reading_of
from watermark.detection.warps import likely_home, way_around
from watermark.pattern import CYCLE_CELLS, DATA_BANDS, PILOT_BANDS, Pattern

#: Cells looked up at once, two seconds, and from one look-up to the next.
_WINDOW, _APART = 24, 15
#: Places kept of each look-up.
_KEEP = 2
#: Cells before and after a look-up's in which its line may go on.
_REACH = 12
#: Cells to a slot: at a slot's end the way may jump.
_SLOT = 4
#: What a cell of the mark is held to say, in deviations.
_TELLS = 0.3
#: What a jump must gain, in nepers of likelihood, so that chance is hardly ever followed.
JUMP = 13.0


def search_stretches(
    pattern: Pattern,
    features: Features,
    seconds: float,
    change: Change,
    *,
    jump: float = JUMP,
) -> list[Reading]:
    """What a chunk may hold of the key's mark if it was cut often, the likelier first.

    Args:
        pattern: the key's.
        features: of the sound.
        seconds: its length.
        change: of pace and pitch, the same in all stretches.
        jump: what a jump must gain, in nepers of likelihood.

    Returns:
        At most two readings, the likelier first by the pilot: along the best lines of look-ups, and
        along the best way through the part of the narration that most of them come from.
    """
    lines = look_up(pattern, features, seconds, change)
    if not lines:
        return []
    pilot = features.bands(change.pitch, PILOT_BANDS)
    data = features.bands(change.pitch, DATA_BANDS)
    rate = features.frames_a_second
    trails = [_near(pattern, (pilot, data), line, seconds, rate) for line in lines]
    chosen = _best_way(trails, int(seconds / lines[0].cell_seconds / _SLOT) + 1, jump)
    home = likely_home(lines, seconds)
    way = way_around(pattern, features, seconds, change, home) if home is not None else None
    readings = [reading_of(parts) for parts in (chosen, [way] if way is not None else []) if parts]
    return sorted(readings, key=lambda reading: -reading.pilot)


def look_up(pattern: Pattern, features: Features, seconds: float, change: Change) -> list[Line]:
    """Lines that windows suggest, each once."""
    cell = Line(change, 0.0, 0, 0.0).cell_seconds
    count = int(seconds / cell) - 1
    if count < _WINDOW:
        return []
    at = (np.arange(count * PHASES) / PHASES + 0.5 / PHASES) * cell
    cells = read_cells(features, change, at, PILOT_BANDS)
    starts = np.arange(0, count - _WINDOW + 1, _APART)
    queries = np.zeros((len(starts), PHASES, SHORT.transform, len(PILOT_BANDS)), np.float32)
    for phase in range(PHASES):
        read = np.lib.stride_tricks.sliding_window_view(cells[phase::PHASES], _WINDOW, axis=0)
        queries[:, phase, :_WINDOW] = read[starts].transpose(0, 2, 1)
    flat = queries.reshape(-1, SHORT.transform, len(PILOT_BANDS))
    found: dict[tuple[int, int, int], Line] = {}
    for row, places in enumerate(best_places(pattern, flat, SHORT, _KEEP)):
        window, phase = divmod(row, PHASES)
        start = int(starts[window])
        for score, place in places:
            line = Line(change, float(at[start * PHASES + phase]), place, score)
            # The same diagonal from the next window is the same line.
            key = ((place - start) % CYCLE_CELLS, phase, window // 3)
            if key not in found or found[key].score < score:
                found[key] = line
    return list(found.values())


def _near(
    pattern: Pattern,
    readings: tuple[NDArray[np.float32], NDArray[np.float32]],
    line: Line,
    seconds: float,
    rate: float,
) -> Trail:
    """A line's cells around where it was found, shifted by up to a frame to fit best.

    ``readings`` are those of the pilot's and the data's bands, ``rate`` their frames a second.
    """
    step = line.cell_seconds
    numbers = np.arange(-_WINDOW - _REACH, 2 * _WINDOW + _REACH)
    at = line.origin + numbers * step
    inside = (at > 0) & (at < seconds)
    numbers, at = numbers[inside], at[inside]
    places = (line.place + numbers) % CYCLE_CELLS
    signs = pattern.signs[places][:, PILOT_BANDS].astype(np.float32)
    home = (numbers >= 0) & (numbers < _WINDOW)
    ways = []
    for shift in (-1, 0, 1):
        shifted = np.asarray(at * rate + shift, np.float64)
        read = between_frames(readings[0], shifted)
        ways.append((float(np.einsum("nb,nb->", read[home], signs[home])), shifted, read))
    _, at, cells = max(ways, key=lambda way: way[0])
    return Trail(
        line,
        at / rate,
        places,
        cells * signs,
        between_frames(readings[1], at),
    )


def _best_way(trails: list[Trail], slots: int, jump: float) -> list[Trail]:
    """The parts of trails that are the likeliest way through the sound, none at one time."""
    cells = len(PILOT_BANDS)
    unit = float(np.sqrt(np.mean([t.energy.mean() for t in trails if len(t.energy)]) / cells))
    if not unit > 0:
        return []
    slot_seconds = trails[0].line.cell_seconds * _SLOT
    gains = np.full((slots, len(trails) + 1), -np.inf)
    gains[:, -1] = 0.0
    slot_of = []
    for column, trail in enumerate(trails):
        slot = np.clip((trail.seconds / slot_seconds).astype(int), 0, slots - 1)
        slot_of.append(slot)
        energy = trail.energy / unit
        gain = _TELLS * trail.pilot / unit - _TELLS**2 / 2 * energy / unit
        sums = np.bincount(slot, gain, minlength=slots)
        gains[np.unique(slot), column] = sums[np.unique(slot)]
    total = np.zeros(len(trails) + 1)
    came = np.empty((slots, len(trails) + 1), np.intp)
    for number in range(slots):
        best = int(total.argmax())
        jumps = total[best] - jump > total
        came[number] = np.where(jumps, best, np.arange(len(total)))
        total = np.where(jumps, total[best] - jump, total) + gains[number]
    at = int(total.argmax())
    way = np.empty(slots, np.intp)
    for number in range(slots - 1, -1, -1):
        way[number] = at
        at = int(came[number, at])
    parts = [
        trail.part(way[slot] == column)
        for column, (trail, slot) in enumerate(zip(trails, slot_of, strict=True))
        if (way == column).any()
    ]
    return sorted((p for p in parts if len(p.seconds)), key=lambda part: float(part.seconds[0]))
