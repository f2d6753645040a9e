"""Where a spoken segment sounds and is silent, how it begins and ends, whether it is clipped.

Nothing here decides; ``csm.takes.judging`` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csm.audio import SILENCE_DBFS, ratio
from csm.takes.sound import FRAME_RATE, Sound, decibels, run_lengths

#: A clipped wave stays this near to its peak for this many samples …
_PEAK_SHARE = 0.985
_FLAT_SAMPLES = 4

#: The edges of a take whose level tells whether it was cut.
_EDGE_SECONDS = 0.01
_END_SECONDS = 0.03

#: Speech falls silent faster than it begins, backwards it is the other way round: the skew of the
#: steps of the level, over 30 ms, no further down than this below the loud parts.
_SLOPE_RANGE_DB = 40.0
_SMOOTH_FRAMES = 3

#: Where a room is heard: in how fast the middle bands (0.6 to 3 kHz) fall silent. Of their changes
#: over 40 ms, as far as 50 dB below the loud parts, so many per cent are steeper.
_ROOM_BANDS = slice(8, 24)
_FALL_FRAMES, _FALL_RANGE_DB, _FALL_PERCENT = 4, 50.0, 5


@dataclass(frozen=True)
class Pauses:
    """Where a segment sounds and where it is silent.

    Attributes:
        start_seconds: where the first sound is.
        sound_seconds: from the first sound to the last; 0 for silence.
        spoken_seconds: what of that sounds.
        longest_seconds: the longest silence between two sounds.
        share: of the time from the first sound to the last, what is silent, 0..1.
        end_db: level of the last 30 ms beside the loud parts, in dB; near 0 where speech is cut.
        brink_db: likewise of the last 10 ms.
    """

    start_seconds: float
    sound_seconds: float
    spoken_seconds: float
    longest_seconds: float
    share: float
    end_db: float
    brink_db: float


def pauses(sound: Sound) -> Pauses:
    """Find the silences of a segment."""
    inside = sound.sounding[sound.first : sound.last]
    if not len(inside):
        return Pauses(0.0, 0.0, 0.0, 0.0, 0.0, -100.0, -100.0)
    return Pauses(
        start_seconds=sound.first / FRAME_RATE,
        sound_seconds=len(inside) / FRAME_RATE,
        spoken_seconds=int(inside.sum()) / FRAME_RATE,
        longest_seconds=float(run_lengths(~inside).max(initial=0)) / FRAME_RATE,
        share=1 - float(inside.mean()),
        end_db=_end(sound, _END_SECONDS),
        brink_db=_end(sound, _EDGE_SECONDS),
    )


def _end(sound: Sound, seconds: float) -> float:
    last = sound.samples[-round(seconds * sound.rate) :]
    return float(decibels(np.mean(np.square(last))) - decibels(sound.loud**2))


def clipped_share(samples: NDArray[np.float32]) -> float:
    """The share of samples, 0..1, on flat tops: clipped before, whatever its level is now."""
    peak = float(np.abs(samples).max(initial=0.0))
    if peak < ratio(SILENCE_DBFS):
        return 0.0
    lengths = run_lengths(np.abs(samples) >= _PEAK_SHARE * peak)
    return float(lengths[lengths >= _FLAT_SAMPLES].sum()) / len(samples)


def forwardness(sound: Sound) -> float:
    """How much more suddenly it begins to sound than it falls silent; below 0 it is the reverse."""
    if sound.last - sound.first < 2 * _SMOOTH_FRAMES:
        return 0.0
    level = np.convolve(
        decibels(sound.level**2), np.ones(_SMOOTH_FRAMES) / _SMOOTH_FRAMES, mode="same"
    )
    level = np.maximum(level, decibels(sound.loud**2) - _SLOPE_RANGE_DB)
    steps = np.diff(level)[sound.first : sound.last]
    return float(np.mean(steps**3) / (np.mean(steps**2) ** 1.5 + 1e-9))


def fall_db(sound: Sound) -> float:
    """How fast the voice falls silent, in dB in 40 ms, below 0; near 0 in a reverberant room."""
    power = decibels(sound.bands[:, _ROOM_BANDS].sum(axis=1, dtype=np.float64))
    if sound.last - sound.first <= 2 * _FALL_FRAMES:
        return 0.0
    level = np.convolve(power, np.ones(_SMOOTH_FRAMES) / _SMOOTH_FRAMES, mode="same")
    level = np.maximum(level, np.percentile(level, 95) - _FALL_RANGE_DB)
    steps = (level[_FALL_FRAMES:] - level[:-_FALL_FRAMES])[sound.first : sound.last]
    return float(np.percentile(steps, _FALL_PERCENT))
