"""Ways in which speech models fail, done to clean clips on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import signal

from benchmarks.judging.corpus import Clip, Samples
from benchmarks.judging.waves import (
    RATE,
    at_tempo,
    banded,
    ending,
    joined,
    loudness,
    noisy,
    quiet_after,
    quiet_place,
    reverberant,
    samples_in,
    shifted,
    span,
    whispered,
)


@dataclass(frozen=True)
class Beside:
    """What a clip may be spoiled with.

    Attributes:
        mates: other clips of its narration.
        others: clips of another speaker.
        words: where its words are, from and to in seconds, where that is known.
    """

    mates: list[Clip]
    others: list[Clip]
    words: list[tuple[float, float]]


Spoil = Callable[[Samples, Beside, np.random.Generator], Samples]


def _words(samples: Samples, beside: Beside, random: np.random.Generator) -> tuple[int, int]:
    """A word in the middle half, by its place in samples."""
    inner = [(start, end) for start, end in beside.words[1:-1] if 0.22 <= end - start <= 0.8]
    if inner:
        start, end = inner[int(random.integers(len(inner)))]
        return samples_in(start), min(samples_in(end), len(samples))
    start = quiet_place(samples, random.uniform(0.3, 0.6))
    return start, min(quiet_after(samples, start + samples_in(0.3)), len(samples))


# --- saying more ---------------------------------------------------------------------------------


def _doubled_word(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    start, end = _words(samples, beside, random)
    return joined(samples[:end], samples[start:])


def _stutter(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    start, _ = _words(samples, beside, random)
    piece = samples[start : start + samples_in(0.15)]
    return joined(samples[:start], piece, piece, piece, samples[start:])


def _repeated_phrase(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    start = quiet_place(samples, 0.3)
    end = min(quiet_after(samples, start + samples_in(1.0)), len(samples))
    return joined(samples[:end], samples[start:])


def _made_up_tail(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    other = _mate(beside, random)
    start, _ = span(other)
    pause = np.zeros(samples_in(0.15), np.float32) + samples[-1]
    _, end = span(samples)
    return joined(samples[:end], pause, ending(other[start : start + samples_in(1.6)]))


def _made_up_head(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    other = _mate(beside, random)
    start, _ = span(other)
    pause = np.zeros(samples_in(0.15), np.float32)
    return joined(ending(other[start : start + samples_in(1.6)]), pause, samples)


def _runaway(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """No words any more, and as long again."""
    size = samples_in(0.08)
    starts = random.integers(0, len(samples) - size, len(samples) // size)
    return joined(samples, *(samples[start : start + size] for start in starts))


def _mate(beside: Beside, random: np.random.Generator) -> Samples:
    long = [mate for mate in beside.mates if len(mate.samples) > samples_in(2.0)]
    return long[int(random.integers(len(long)))].samples


# --- saying less ---------------------------------------------------------------------------------


def _dropped_word(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    start, end = _words(samples, beside, random)
    return joined(samples[:start], samples[end:])


def _first_half_second_missing(
    samples: Samples, beside: Beside, random: np.random.Generator
) -> Samples:
    start, _ = span(samples)
    return samples[start + samples_in(0.5) :]


def _second_half_missing(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return ending(samples[: quiet_place(samples, 0.5)])


def _middle_missing(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return joined(samples[: quiet_place(samples, 0.35)], samples[quiet_place(samples, 0.65) :])


# --- other words ---------------------------------------------------------------------------------


def _wrong_sentence(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    near = sorted(beside.mates, key=lambda mate: abs(len(mate.samples) - len(samples)))[:8]
    return near[int(random.integers(len(near)))].samples


def _thirds_swapped(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    one, two = quiet_place(samples, 1 / 3), quiet_place(samples, 2 / 3)
    return joined(samples[two:], samples[one:two], samples[:one])


def _babble(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    size = samples_in(0.12)
    order = random.permutation(len(samples) // size)
    return joined(*(samples[place * size : (place + 1) * size] for place in order))


def _reversed_whole(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return np.ascontiguousarray(samples[::-1])


def _reversed_part(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    start, end = span(samples)
    size = min(samples_in(0.8), (end - start) // 2)
    place = start + round(0.5 * (end - start - size))
    return joined(samples[:place], samples[place : place + size][::-1], samples[place + size :])


def _mangled_passage(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """A second and a half of syllables in any order."""
    start, end = span(samples)
    size = min(samples_in(1.5), (end - start) // 2)
    place = start + round(0.5 * (end - start - size))
    return joined(
        samples[:place],
        _babble(samples[place : place + size], beside, random),
        samples[place + size :],
    )


# --- changing voice ------------------------------------------------------------------------------


def _other_voice_midway(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """Higher or lower, formants and all, in the same words."""
    place = quiet_place(samples, 0.5)
    return joined(samples[:place], shifted(samples[place:], _either(random, 1.2, 1 / 1.2)))


def _other_voice(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return shifted(samples, _either(random, 1.2, 1 / 1.2))


def _other_speaker_midway(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    place = quiet_place(samples, 0.5)
    other = beside.others[int(random.integers(len(beside.others)))].samples
    start, _ = span(other)
    piece = other[start : start + len(samples) - place]
    return joined(samples[:place], ending(piece * (loudness(samples) / loudness(other))))


def _other_speaker(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """Somebody else all along; of the words only the sound is judged."""
    other = beside.others[int(random.integers(len(beside.others)))].samples
    return (other * (loudness(samples) / loudness(other))).astype(np.float32)


def _whispered_tail(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    start, end = span(samples)
    place = max(start, end - samples_in(1.5))
    tail = whispered(samples[place:end], random)
    return joined(samples[:place], tail, samples[end:])


def _half_quieter(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    place = quiet_place(samples, 0.5)
    return joined(samples[:place], samples[place:] * np.float32(10 ** (-15 / 20)))


def _speed_ramp(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """From four fifths of its speed to five thirds of that, the pitch kept."""
    parts = np.array_split(samples, 6)
    speeds = np.geomspace(0.77, 1.3, 6)
    if random.integers(2):
        speeds = speeds[::-1]
    made = [at_tempo(part, speed) for part, speed in zip(parts, speeds, strict=True)]
    return joined(*made, fade=0.01)


def _tape_ramp(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """The same as a tape that speeds up or slows down: the pitch with it."""
    speeds = np.geomspace(0.8, 1.25, len(samples))
    if random.integers(2):
        speeds = speeds[::-1]
    places = np.cumsum(speeds)
    steps = np.arange(0, min(places[-1], len(samples) - 1))
    return np.interp(
        np.interp(steps, np.arange(len(places)), places), np.arange(len(samples)), samples
    ).astype(np.float32)


def _half_as_fast_again(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return at_tempo(samples, 1.5)


def _second_half_faster(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    place = quiet_place(samples, 0.5)
    return joined(samples[:place], at_tempo(samples[place:], 1.5))


# --- noise ---------------------------------------------------------------------------------------


def _hum(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    time = np.arange(len(samples)) / RATE
    base = _either(random, 50, 60)
    parts = (np.sin(2 * np.pi * base * part * time) / part**1.5 for part in range(1, 7))
    return noisy(samples, sum(parts, np.zeros(len(samples))), 20)


def _buzz(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    time = np.arange(len(samples)) / RATE
    return noisy(samples, signal.sawtooth(2 * np.pi * _either(random, 100, 120) * time), 20)


def _hiss(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return noisy(samples, random.normal(size=len(samples)), 22)


def _music(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    time = np.arange(len(samples)) / RATE
    sound = np.zeros(len(samples))
    for place, chord in enumerate(([0, 4, 7], [5, 9, 12], [7, 11, 14], [0, 4, 7]) * 6):
        for note in chord:
            pitch = 220 * 2 ** (note / 12)
            since = time - 0.8 * place
            shape = np.where(since >= 0, np.exp(-1.2 * np.maximum(since, 0)), 0)
            sound += shape * sum(np.sin(2 * np.pi * pitch * k * since) / k for k in range(1, 5))
    return noisy(samples, sound, 12)


def _clicks(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    spoiled = samples.copy()
    start, end = span(samples)
    for place in random.integers(start, end - 4, 6):
        spoiled[place : place + 2] += np.array([0.5, -0.4]) * np.abs(samples).max()
    return spoiled


def _dropouts(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    spoiled = samples.copy()
    start, end = span(samples)
    for place in random.integers(start, end - samples_in(0.06), 6):
        spoiled[place : place + samples_in(random.uniform(0.02, 0.06))] = 0
    return spoiled


def _narrow_band(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return banded(samples, 300, 3400)


def _noise_burst(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """0.4 s of noise as loud as the speech, in its place."""
    spoiled = samples.copy()
    place = quiet_place(samples, 0.5)
    piece = spoiled[place : place + samples_in(0.4)]
    piece[:] = random.normal(size=len(piece)) * loudness(samples)
    return spoiled


def _leading_noise(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    noise = random.normal(size=samples_in(0.3)) * loudness(samples) * 0.3
    return joined(noise.astype(np.float32), samples)


def _echo(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return reverberant(samples, random)


def _clipped(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    loud = float(np.percentile(np.abs(samples), 99.5))
    return np.clip(samples, -0.5 * loud, 0.5 * loud)


# --- stopping ------------------------------------------------------------------------------------


def _last_80_ms_cut(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    _, end = span(samples)
    return samples[: end - samples_in(0.08)]


def _cut_in_a_word(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    start, end = span(samples)
    power = np.convolve(samples**2, np.ones(samples_in(0.05)), mode="same")
    low, high = start + (end - start) // 2, end - (end - start) // 8
    return samples[: low + int(np.argmax(power[low:high]))]


def _long_pause(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    place = quiet_place(samples, 0.5)
    return joined(samples[:place], np.zeros(samples_in(1.6), np.float32), samples[place:])


def _silence(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return np.zeros_like(samples)


def _hummed_pause(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """One sound held for a second and a half."""
    place, time = quiet_place(samples, 0.5), np.arange(samples_in(1.5)) / RATE
    tone = sum(np.sin(2 * np.pi * 120 * part * time) / part for part in range(1, 9))
    return joined(samples[:place], (loudness(samples) * tone).astype(np.float32), samples[place:])


def _either(random: np.random.Generator, one: float, other: float) -> float:
    return (one, other)[int(random.integers(2))]


#: By what speech models do wrong.
KINDS: dict[str, tuple[Spoil, ...]] = {
    "more": (
        _doubled_word,
        _stutter,
        _repeated_phrase,
        _made_up_tail,
        _made_up_head,
        _runaway,
    ),
    "less": (
        _dropped_word,
        _first_half_second_missing,
        _second_half_missing,
        _middle_missing,
    ),
    "other": (
        _wrong_sentence,
        _thirds_swapped,
        _babble,
        _reversed_whole,
        _reversed_part,
        _mangled_passage,
    ),
    "voice": (
        _other_voice_midway,
        _other_voice,
        _other_speaker_midway,
        _other_speaker,
        _whispered_tail,
        _half_quieter,
        _speed_ramp,
        _tape_ramp,
        _half_as_fast_again,
        _second_half_faster,
    ),
    "noise": (
        _hum,
        _buzz,
        _hiss,
        _music,
        _clicks,
        _dropouts,
        _narrow_band,
        _noise_burst,
        _leading_noise,
        _echo,
        _clipped,
        _hummed_pause,
    ),
    "stopping": (_last_80_ms_cut, _cut_in_a_word, _long_pause, _silence),
}


def name_of(spoil: Spoil) -> str:
    """What a way to spoil a clip is called."""
    return spoil.__name__.strip("_")
