"""Whose voice is it? Means and spreads of its cepstrum and its pitch, and where they change.

What tells speakers apart on one recording channel is the mean and the covariance of their cepstra
(F. Bimbot, I. Magrin-Chagnolleau, L. Mathan, "Second-order statistical measures for
text-independent speaker identification", Speech Communication 17, 1995). No trained model is asked:
those that carry their weights in a package are not kept up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from csm.takes.sound import Sound, decibels

#: Coefficients of the cepstrum, without the first, which is the level.
COEFFICIENTS = 16
#: Voiced frames below which nothing is said of a voice: a quarter of a second.
LEAST_FRAMES = 25
#: Frames that hold one independent look at the mouth.
_FRAMES_A_LOOK = 8

#: Until there are many takes, how they differ is guessed from how a take differs in itself: this
#: share of that, and as many takes for half of the trust. It never falls below the last.
_BETWEEN_UNKNOWN, _TAKES_TO_TRUST, _BETWEEN_LEAST = 0.1, 40, 0.01

#: Of sounding frames, how many are on either side of a change at least, and how far apart the
#: places are where one is looked for.
_SIDE_FRAMES, _CUT_STEP = 120, 15
#: Voiced ones among them, at least.
_SIDE_VOICED = 40


@dataclass(frozen=True, eq=False)
class Voice:
    """The voice of a take.

    Attributes:
        frames: how many voiced frames it is of.
        mean: of their cepstra, ``[COEFFICIENTS]``.
        covariance: likewise, ``[COEFFICIENTS, COEFFICIENTS]``.
        pitch: median, in octaves above 1 Hz.
        parts: frames and mean of what is before the place where it changes most, and after it.
    """

    frames: int
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    pitch: float
    parts: tuple[tuple[int, NDArray[np.float64]], ...] = ()


@dataclass(frozen=True, eq=False)
class Change:
    """The largest differences between what is before a place in a take and what is after it.

    Attributes:
        voice: squared distance of the means of the cepstra, in variances.
        level_db: of the sounding parts.
        voicing: of the shares of frames with a pitch.
        parts: of the voice, where it changes most; see ``Voice``.
    """

    voice: float = 0.0
    level_db: float = 0.0
    voicing: float = 0.0
    parts: tuple[tuple[int, NDArray[np.float64]], ...] = ()


def cepstra(sound: Sound) -> NDArray[np.float64]:
    """Of every frame, ``[frames, COEFFICIENTS]``."""
    whole = dct(decibels(sound.bands.astype(np.float64)), axis=1, norm="ortho")
    return np.asarray(whole[:, 1 : COEFFICIENTS + 1])


def voice_of(sound: Sound, cepstra: NDArray[np.float64], change: Change) -> Voice | None:
    """The voice of a take; None where it says too little."""
    frames = int(sound.voiced.sum())
    if frames < LEAST_FRAMES:
        return None
    voiced = cepstra[sound.voiced]
    return Voice(
        frames,
        voiced.mean(axis=0),
        np.cov(voiced, rowvar=False, bias=True),
        float(np.median(np.log2(sound.pitch[sound.voiced]))),
        change.parts,
    )


@dataclass(frozen=True, eq=False)
class UsualVoice:
    """The voice of a narration.

    Attributes:
        mean: median over its takes of their mean cepstra, ``[COEFFICIENTS]``.
        between: covariance of the takes' means, ``[COEFFICIENTS, COEFFICIENTS]``.
        within: usual covariance inside a take, likewise.
        pitch: median, in octaves above 1 Hz.
    """

    mean: NDArray[np.float64]
    between: NDArray[np.float64]
    within: NDArray[np.float64]
    pitch: float

    def strangeness(self, voice: Voice) -> float:
        """How far a voice is from this one, all along or in a part: 1 is what takes differ by."""
        means = ((voice.frames, voice.mean), *voice.parts)
        return max(self._distance(frames, mean) for frames, mean in means)

    def _distance(self, frames: int, mean: NDArray[np.float64]) -> float:
        spread = self.between + self.within / max(frames / _FRAMES_A_LOOK, 1)
        apart = mean - self.mean
        return float(np.sqrt(apart @ np.linalg.solve(spread, apart) / COEFFICIENTS))


def usual_voice(voices: Sequence[Voice]) -> UsualVoice:
    """What is common to the voices of a narration's takes, at least one."""
    means = np.array([voice.mean for voice in voices])
    within = np.mean([voice.covariance for voice in voices], axis=0) + np.eye(COEFFICIENTS)
    middle = np.median(means, axis=0)
    apart = means - middle
    # Of a normal distribution the median deviation is 0.67 of the standard one; who is further out
    # than three of these may be another.
    most = 3 * np.median(np.abs(apart), axis=0) / 0.6745
    apart = np.clip(apart, -most, most)
    known = len(means) / (len(means) + _TAKES_TO_TRUST)
    between = known * apart.T @ apart / len(means)
    between += (_BETWEEN_UNKNOWN * (1 - known) + _BETWEEN_LEAST) * within
    pitch = float(np.median([voice.pitch for voice in voices]))
    return UsualVoice(middle, between, within, pitch)


def change(sound: Sound, cepstra: NDArray[np.float64]) -> Change:
    """Look for the place where a take becomes another."""
    sounding = np.flatnonzero(sound.sounding)
    voiced = sound.voiced[sounding]
    power = np.cumsum(np.pad(sound.level[sounding] ** 2, (1, 0)))
    voicing = np.cumsum(np.pad(voiced, (1, 0)))
    largest = Change()
    for cut, distance, parts in _distances(cepstra[sounding], voiced):
        after = len(sounding) - cut
        level = decibels(power[cut] / cut) - decibels((power[-1] - power[cut]) / after)
        shares = voicing[cut] / cut - (voicing[-1] - voicing[cut]) / after
        largest = Change(
            max(largest.voice, distance),
            max(largest.level_db, abs(float(level))),
            max(largest.voicing, abs(float(shares))),
            parts if distance > largest.voice else largest.parts,
        )
    return largest


def _distances(
    cepstra: NDArray[np.float64], voiced: NDArray[np.bool_]
) -> Iterator[tuple[int, float, tuple[tuple[int, NDArray[np.float64]], ...]]]:
    """For each place, the squared distance between the voices on its two sides, and these."""
    kept = np.where(voiced[:, None], cepstra, 0.0)
    first = np.cumsum(np.pad(kept, ((1, 0), (0, 0))), axis=0)
    numbers = np.cumsum(np.pad(voiced, (1, 0)))
    whole = kept.T @ kept
    for cut in range(_SIDE_FRAMES, len(cepstra) - _SIDE_FRAMES + 1, _CUT_STEP):
        before, after = int(numbers[cut]), int(numbers[-1] - numbers[cut])
        if min(before, after) < _SIDE_VOICED:
            yield cut, 0.0, ()
            continue
        one, two = first[cut] / before, (first[-1] - first[cut]) / after
        # What is left of all products when each side's mean is taken off: the pooled covariance.
        pooled = whole - before * np.outer(one, one) - after * np.outer(two, two)
        pooled = pooled / (before + after) + np.eye(COEFFICIENTS)
        apart = one - two
        distance = float(apart @ np.linalg.solve(pooled, apart))
        yield cut, distance, ((before, one), (after, two))
