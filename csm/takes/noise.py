"""What sounds beside the voice: hum and hiss, clicks, gaps in the signal, bursts of noise.

Of a ``csm.takes.sound.Sound``; nothing here decides, ``csm.takes.judging`` does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csm.audio import ratio
from csm.takes.sound import BANDS, FRAME_RATE, Sound, decibels, run_lengths

#: Every band of speech falls silent again and again: its floor is what a twentieth of the time
#: stays below, over 30 ms each.
_FLOOR_PERCENT = 5
_FLOOR_FRAMES = 3
#: Bands together that a noise fills, at least.
NEIGHBOURS = 4

#: A click stands out of the third difference of the samples around it; medians are over 5 ms, and
#: the largest of these and their neighbours counts, so that the onset of a vowel is no click.
_CLICK_SECONDS = 0.005
_CLICK_NEIGHBOURS = (-2, -1, 0, 1, 2)

#: Levels for finding gaps are over 2 ms.
_GAP_STEP_SECONDS = 0.002
#: A gap is this far below the loud parts, this long, and what is 2 ms before and after it is louder
#: than that: the closure of a stop falls over 10 ms and more, a creaking voice over 4.
_GAP_DB = -45.0
_GAP_SECONDS = (0.008, 0.4)
_EDGE_DB, _EDGE_STEPS = -22.0, 2

#: Breath and hiss count as sound of a voice within this of the loud parts.
_LOUD_WITHIN_DB = 30.0


def floor(sound: Sound) -> NDArray[np.float64]:
    """What never falls silent, in dB beside the voice, by band, ``[BANDS]``; -100 for nothing."""
    inner = sound.bands[sound.first : sound.last].astype(np.float64)
    if len(inner) < _FLOOR_FRAMES:
        return np.full(BANDS, -100.0)
    total = np.cumsum(np.pad(inner, ((1, 0), (0, 0))), axis=0)
    smooth = (total[_FLOOR_FRAMES:] - total[:-_FLOOR_FRAMES]) / _FLOOR_FRAMES
    voice = decibels(sound.bands[sound.sounding].sum(axis=1).mean())
    lowest = np.percentile(smooth, _FLOOR_PERCENT, axis=0)
    return np.asarray(np.maximum(decibels(lowest) - voice, -100.0))


def loudest_floor(floor: NDArray[np.float64]) -> float:
    """The highest mean over neighbouring bands."""
    return float(np.convolve(floor, np.ones(NEIGHBOURS) / NEIGHBOURS, "valid").max())


def click(sound: Sound) -> float:
    """How far the sharpest click stands out of what is around it, as a ratio of magnitudes."""
    edges = np.abs(np.diff(sound.samples.astype(np.float32), 3))
    size = round(_CLICK_SECONDS * sound.rate)
    if len(edges) < 5 * size:
        return 0.0
    blocks = edges[: len(edges) // size * size].reshape(-1, size)
    around = np.median(blocks, axis=1)
    around = np.maximum.reduce([np.roll(around, step) for step in _CLICK_NEIGHBOURS])
    # What is far below the voice is not heard.
    hidden = 1e-3 * float(np.abs(sound.samples).max())
    return float((blocks.max(axis=1) / (around + hidden + 1e-9)).max())


def gaps(sound: Sound) -> int:
    """How many times the signal breaks off and comes back at once."""
    size = round(_GAP_STEP_SECONDS * sound.rate)
    count = len(sound.samples) // size
    if not sound.loud or count < 8:
        return 0
    steps = sound.samples[: count * size].reshape(count, size)
    power = np.einsum("fn,fn->f", steps, steps) / size
    level = decibels(power) - decibels(sound.loud**2)
    edges = np.flatnonzero(np.diff(np.pad((level < _GAP_DB).astype(np.int8), 1)))
    found = 0
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        seconds = (end - start) * _GAP_STEP_SECONDS
        if start < _EDGE_STEPS or end >= count - 1:
            continue
        if not _GAP_SECONDS[0] <= seconds <= _GAP_SECONDS[1]:
            continue
        # A step holds the edge; the one before it is whole.
        edges_db = min(level[start - 2], level[end + 1])
        found += bool(edges_db > _EDGE_DB)
    return found


def toneless_seconds(sound: Sound) -> float:
    """The longest time that something loud has no pitch: noise, or a whisper."""
    loud = sound.level > sound.loud * ratio(-_LOUD_WITHIN_DB)
    return float(run_lengths(loud & ~sound.voiced & sound.sounding).max(initial=0)) / FRAME_RATE
