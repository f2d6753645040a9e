"""How loud each take of a narration is to be, beside its neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

#: How far a take may be from the others by a reader's emphasis, in LU. Limited peaks and the mark
#: move takes against each other by as much again: in the file neighbours are at most 2 LU apart.
EMPHASIS_LU = 0.5
#: The same where the text shouts, upwards, and where it whispers, downwards.
SHOUT_LU = 3.0
WHISPER_LU = 4.0
#: A take is raised or lowered by no more than this, in dB: what is further off is not speech.
_MOST_DB = 18.0


def level_gains(
    loudness: Sequence[float], seconds: Sequence[float], allowed: Sequence[tuple[float, float]]
) -> list[float]:
    """The gain of each take in dB that brings it near to the narration's level.

    Args:
        loudness: of each take in LUFS; ``-inf`` for silence.
        seconds: how long each is.
        allowed: how far each may stay below and above the level of the whole, in LU, as a negative
            and a positive number.

    Returns:
        Gains; 0 for silence. The level of the whole is the median by time, so that a few takes
        that are far off draw nothing after them.
    """
    sounding = [
        (one, length) for one, length in zip(loudness, seconds, strict=True) if one > -math.inf
    ]
    if not sounding:
        return [0.0] * len(loudness)
    middle = _median(sounding)
    gains = []
    for one, (low, high) in zip(loudness, allowed, strict=True):
        off = one - middle
        wanted = float(np.clip(off, low, high))
        gains.append(0.0 if one == -math.inf else float(np.clip(wanted - off, -_MOST_DB, _MOST_DB)))
    return gains


def _median(values: list[tuple[float, float]]) -> float:
    """The median of values with weights."""
    ordered = sorted(values)
    half = sum(weight for _, weight in ordered) / 2
    reached = 0.0
    for value, weight in ordered:
        reached += weight
        if reached >= half:
            return value
    return ordered[-1][0]
