"""How steady a narration is from its first fifth to its last: voice, level, band, room, pace.

Long narrations drift: SwanBench-Speech (arXiv 2605.28618) names loss of the speaker's identity, of
the acoustic conditions and of the pace over time as what short tests don't show. Each aspect is
compared between the takes of the first fifth and of the last, and no single take decides; what
differs by chance alone, judged by how the takes differ from each other, is no drift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from csm.takes import noise
from csm.takes.sound import BANDS
from csm.takes.usual import LEAST_SECONDS, Profile
from csm.takes.voice import usual_voice

#: Takes in each fifth, at least, that sound long enough.
_LEAST_TAKES = 3
#: Means of few takes are off by chance; so many standard errors count for nothing.
_BY_CHANCE = 2.0
#: Of a normal distribution: standard deviation by median deviation.
_SPREAD = 1 / 0.6745
#: Takes that are further from the median than so many standard deviations count as being there.
_FAR_OUT = 3.0
#: Takes differ from each other by at least this share of what is tolerated.
_LEAST_SPREAD = 0.25
#: Nobody hears a floor below this, in dB beside the voice.
_FAINT_DB = -60.0

#: What a listener lets pass: the voice in what takes differ by, pace as a logarithm, others in dB.
TOLERATED = {
    "voice": 1.0,
    "level": 2.0,
    "band": 3.0,
    "room": 2.5,
    "noise": 6.0,
    "pace": 0.06,
}
#: Bands from about 3.5 kHz on.
_HIGH_BAND = 26


@dataclass(frozen=True)
class Consistency:
    """How much a narration drifts.

    Attributes:
        score: 1 for one that does not drift at all, 0.5 where one aspect drifts by as much as is
            tolerated, towards 0 beyond.
        changes: from the first fifth to the last, by aspect: ``voice`` (distance, in what takes of
            one voice differ by), ``level`` (dB), ``band`` (dB of the sound above 3.5 kHz beside all
            of it), ``room`` (dB in 40 ms by which the voice falls silent more slowly), ``noise``
            (dB of what fills the gaps in speech), ``pace`` (share of the seconds a character).
        drifts: the aspects that differ by more than is tolerated, and not by chance.
    """

    score: float
    changes: dict[str, float]
    drifts: tuple[str, ...]

    @property
    def written(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "score": round(self.score, 3),
            "changes": {name: round(value, 3) for name, value in self.changes.items()},
            "drifts": list(self.drifts),
        }


def consistency(profiles: Sequence[Profile]) -> Consistency | None:
    """Compare the first fifth of a narration with the last.

    Args:
        profiles: of its takes, in the order of the narration.

    Returns:
        None where there are too few takes to tell.
    """
    told = [one for one in profiles if one.seconds >= LEAST_SECONDS and one.voice is not None]
    fifth = max(_LEAST_TAKES, len(told) // 5)
    if len(told) < 3 * _LEAST_TAKES:
        return None
    first, last = slice(None, fifth), slice(-fifth, None)
    seconds = [one.seconds for one in told]

    measured = {
        "level": [one.level_db for one in told],
        "band": [_height(one) for one in told],
        "room": [one.fall_db for one in told],
        "noise": [max(_floor(one), _FAINT_DB) for one in told],
        "pace": [math.log(one.pace) for one in told],
    }
    aspects = {
        name: _difference(values, first, last, seconds, TOLERATED[name])
        for name, values in measured.items()
    }
    aspects["voice"] = _voices(told[first], told[last])
    excess = {
        name: max(0.0, abs(change) - chance) / TOLERATED[name]
        for name, (change, chance) in aspects.items()
    }
    worst = max(excess.values())
    changes = {name: change for name, (change, _) in aspects.items()}
    changes["pace"] = math.expm1(changes["pace"])
    return Consistency(
        score=1 / (1 + worst),
        changes={name: changes[name] for name in TOLERATED},
        drifts=tuple(name for name in TOLERATED if excess[name] > 1),
    )


def _difference(
    all_values: Sequence[float],
    first: slice,
    last: slice,
    weights: Sequence[float],
    tolerated: float,
) -> tuple[float, float]:
    """Of the means of two parts, the last less the first; and what it may be by chance."""
    values, worth = np.array(all_values), np.array(weights)
    spread = _SPREAD * float(np.median(np.abs(values - np.median(values))))
    spread = max(spread, _LEAST_SPREAD * tolerated)
    means, error = [], 0.0
    for part in (first, last):
        middle = float(np.median(values[part]))
        # A take that is far out has another fault.
        near = np.clip(values[part], middle - _FAR_OUT * spread, middle + _FAR_OUT * spread)
        means.append(float(np.average(near, weights=worth[part])))
        error += float(np.sum(worth[part] ** 2) / worth[part].sum() ** 2)
    return means[1] - means[0], _BY_CHANCE * spread * math.sqrt(error)


def _height(profile: Profile) -> float:
    """Power of the high bands beside all, in dB."""
    return float(10 * np.log10(np.sum(10 ** (profile.colour[_HIGH_BAND:] / 10)) + 1e-10))


def _floor(profile: Profile) -> float:
    """What never falls silent, mean over the bands where voices sound, in dB beside the voice."""
    return float(np.mean(profile.floor[noise.NEIGHBOURS : BANDS - noise.NEIGHBOURS]))


def _voices(first: Sequence[Profile], last: Sequence[Profile]) -> tuple[float, float]:
    """How far the voice of the last takes is from that of the first, and from each other's."""
    voices = [one.voice for one in first if one.voice is not None]
    usual = usual_voice(voices)
    own = [usual.strangeness(voice) for voice in voices]
    others = [usual.strangeness(one.voice) for one in last if one.voice is not None]
    return float(np.median(others)), float(np.median(own))
