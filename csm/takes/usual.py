"""How the takes of a narration usually sound, for each to be measured against.

    usual = usual_of([(profile, faults) for …])   # None where there are too few
    usual.voice.strangeness(profile.voice)

A profile is small and is kept with its take as text, so that a narration that was interrupted
compares what it goes on with to what it had.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csm.takes import measures, noise
from csm.takes.sound import BANDS, Sound, decibels
from csm.takes.verdict import OF_A_VOICE, Fault
from csm.takes.voice import COEFFICIENTS, Change, UsualVoice, Voice, usual_voice, voice_of

#: Takes below which nothing is usual.
LEAST_TAKES = 6
#: Takes that sound for less than this are compared with the others, but the others not with them.
LEAST_SECONDS = 1.5
#: A fault that more than this share of the takes have is the voice's own, or its recording's.
_COMMON_SHARE = 1 / 3
#: A floor and an end that so many per cent of the takes stay below are usual.
_MOST_PERCENT = 90
#: Neighbouring bands whose sound is compared with the usual.
_WIDTH = 12
#: Numbers in a profile that is written down.
_TRIANGLE = np.tril_indices(COEFFICIENTS)
_FIRST = 9
_SIZE = _FIRST + 2 * BANDS + 3 * COEFFICIENTS + len(_TRIANGLE[0])


@dataclass(frozen=True, eq=False)
class Profile:
    """What of a take is compared with others of its narration.

    Attributes:
        seconds: of sound, without the silences.
        pace: of these, a character.
        level_db: of the sound, beside full scale.
        brink_db: of the last 10 ms, beside the loud parts.
        fall_db: how fast it falls silent; see ``measures.fall_db``.
        floor: see ``noise.floor``, ``[BANDS]``.
        colour: power by band, in dB beside all, ``[BANDS]``.
        voice: None where it says too little.
    """

    seconds: float
    pace: float
    level_db: float
    brink_db: float
    fall_db: float
    floor: NDArray[np.float64]
    colour: NDArray[np.float64]
    voice: Voice | None

    def written(self) -> str:
        """As text, to about three digits."""
        voice = self.voice or _NO_VOICE
        (before, one), (after, two) = voice.parts or ((0, voice.mean), (0, voice.mean))
        numbers = np.concatenate(
            [
                [self.seconds, self.pace, self.level_db, self.brink_db, self.fall_db],
                # Of 16 bits a number holds 65,504 at most.
                [min(frames, 60_000) for frames in (voice.frames, before, after)],
                [voice.pitch],
                self.floor,
                self.colour,
                voice.mean,
                one,
                two,
                voice.covariance[_TRIANGLE],
            ]
        )
        return base64.b85encode(numbers.astype("<f2").tobytes()).decode("ascii")


_NO_VOICE = Voice(0, np.zeros(COEFFICIENTS), np.eye(COEFFICIENTS), 0.0)


def read(written: object) -> Profile | None:
    """From ``Profile.written``; None of anything else."""
    if not isinstance(written, str):
        return None
    try:
        data = base64.b85decode(written)
    except ValueError:
        return None
    numbers = np.frombuffer(data, "<f2").astype(np.float64) if len(data) == 2 * _SIZE else None
    if numbers is None or not np.isfinite(numbers).all():
        return None
    seconds, pace, level, brink, fall, frames, before, after, pitch = map(float, numbers[:_FIRST])
    edges = np.cumsum([_FIRST, BANDS, BANDS, COEFFICIENTS, COEFFICIENTS, COEFFICIENTS])
    _, floor, colour, mean, one, two, triangle = np.split(numbers, edges)
    voice = None
    if frames:
        covariance = np.zeros((COEFFICIENTS, COEFFICIENTS))
        covariance[_TRIANGLE] = triangle
        covariance += np.tril(covariance, -1).T
        parts = ((int(before), one), (int(after), two)) if before else ()
        voice = Voice(int(frames), mean, covariance, pitch, parts)
    return Profile(seconds, pace, level, brink, fall, floor, colour, voice)


def profile_of(
    sound: Sound, text: str, cepstra: NDArray[np.float64], change: Change
) -> Profile | None:
    """What of a take is compared with others; None of silence."""
    if not sound.sounding.any():
        return None
    pauses = measures.pauses(sound)
    power = sound.bands[sound.sounding].astype(np.float64).mean(axis=0)
    return Profile(
        seconds=pauses.spoken_seconds,
        pace=pauses.spoken_seconds / max(1, len(text)),
        level_db=float(decibels(np.mean(sound.level[sound.sounding] ** 2))),
        brink_db=pauses.brink_db,
        fall_db=measures.fall_db(sound),
        floor=noise.floor(sound),
        colour=np.maximum(decibels(power) - decibels(power.sum()), -100.0),
        voice=voice_of(sound, cepstra, change),
    )


@dataclass(frozen=True, eq=False)
class Usual:
    """Medians over the takes of a narration.

    Attributes:
        pace: seconds of sound a character.
        brink_db: level of the last 10 ms beside the loud parts, what most takes stay below.
        fall_db: how fast takes fall silent.
        floor_db: of the loudest neighbouring bands, what most takes stay below.
        colour: power by band, in dB beside all, ``[BANDS]``.
        voice: of all takes.
        common: faults of a voice that many takes have, so that they are no fault of a take.
    """

    pace: float
    brink_db: float
    fall_db: float
    floor_db: float
    colour: NDArray[np.float64]
    voice: UsualVoice
    common: frozenset[Fault]

    def missing_db(self, colour: NDArray[np.float64]) -> float:
        """By how much the weakest run of 12 bands is weaker than usual, in dB."""
        return float(np.convolve(self.colour - colour, np.ones(_WIDTH) / _WIDTH, "valid").max())

    def discolouration_db(self, colour: NDArray[np.float64]) -> float:
        """How far all bands are from usual, whatever the level, root mean square in dB."""
        apart = self.colour - colour
        return float(np.std(apart))


def usual_of(takes: Sequence[tuple[Profile, Collection[Fault]]]) -> Usual | None:
    """How takes usually are; None where fewer than ``LEAST_TAKES`` are long enough to tell.

    Args:
        takes: what each is like, and what was found wrong with it by itself.
    """
    told = [(take, take.voice, faults) for take, faults in takes if take.seconds >= LEAST_SECONDS]
    voices = [voice for _, voice, _ in told if voice is not None]
    if len(voices) < LEAST_TAKES:
        return None
    counts = Counter(fault for _, _, faults in told for fault in OF_A_VOICE.intersection(faults))
    floors = [noise.loudest_floor(take.floor) for take, _, _ in told]
    return Usual(
        pace=float(np.median([take.pace for take, _, _ in told])),
        brink_db=float(np.percentile([take.brink_db for take, _, _ in told], _MOST_PERCENT)),
        fall_db=float(np.median([take.fall_db for take, _, _ in told])),
        floor_db=float(np.percentile(floors, _MOST_PERCENT)),
        colour=np.median([take.colour for take, _, _ in told], axis=0),
        voice=usual_voice(voices),
        common=frozenset(
            fault for fault, count in counts.items() if count > _COMMON_SHARE * len(told)
        ),
    )
