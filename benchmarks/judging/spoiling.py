"""Ways in which speech models fail, done to clean clips on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.linalg import solve_toeplitz

from benchmarks.judging.corpus import Clip, Samples
from csm import SAMPLE_RATE

RATE = SAMPLE_RATE


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


def _n(seconds: float) -> int:
    return round(seconds * RATE)


def _span(samples: Samples) -> tuple[int, int]:
    """Where the sound begins and ends, within 40 dB of its loud parts."""
    frame = RATE // 100
    level = np.sqrt(np.mean(samples[: len(samples) // frame * frame].reshape(-1, frame) ** 2, 1))
    sounds = np.flatnonzero(level > 0.01 * np.percentile(level, 95))
    return int(sounds[0]) * frame, (int(sounds[-1]) + 1) * frame


def _rms(samples: Samples) -> float:
    start, end = _span(samples)
    return float(np.sqrt(np.mean(samples[start:end] ** 2)))


def _joined(*parts: Samples, fade: float = 0.005) -> Samples:
    """End to end with short fades across."""
    whole = parts[0].astype(np.float32)
    size = _n(fade)
    rise = np.linspace(0, 1, size, dtype=np.float32)
    for part in parts[1:]:
        if min(len(whole), len(part)) < size:
            whole = np.concatenate([whole, part])
            continue
        cross = whole[-size:] * (1 - rise) + part[:size] * rise
        whole = np.concatenate([whole[:-size], cross, part[size:]])
    return whole.astype(np.float32)


def _quiet(samples: Samples, around: float, within: float = 0.2) -> int:
    """The quietest place near a share of the sound."""
    start, end = _span(samples)
    centre = start + round(around * (end - start))
    power = np.convolve(samples**2, np.ones(_n(0.02)), mode="same")
    low, high = max(0, centre - _n(within)), min(len(samples), centre + _n(within))
    return low + int(np.argmin(power[low:high]))


def _filtered(samples: Samples, chain: str) -> Samples:
    """Through a chain of FFmpeg's audio filters."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=RATE, format="flt", layout="mono", time_base=Fraction(1, RATE)
    )
    nodes = [source]
    for one in [*chain.split(","), "aformat=sample_fmts=flt"]:
        name, _, options = one.partition("=")
        nodes.append(graph.add(name, options))
    nodes.append(graph.add("abuffersink"))
    for here, there in pairwise(nodes):
        here.link_to(there)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples[None], np.float32), format="flt", layout="mono"
    )
    frame.sample_rate = RATE
    graph.push(frame)
    graph.push(None)
    parts = []
    while True:
        try:
            parts.append(graph.pull().to_ndarray()[0])
        except (av.EOFError, av.BlockingIOError):
            break
    return np.concatenate(parts).astype(np.float32)


def _tempo(samples: Samples, factor: float) -> Samples:
    return _filtered(samples, f"atempo={factor}")


def _shifted(samples: Samples, factor: float) -> Samples:
    """Pitch and formants together, the tempo kept."""
    return _filtered(
        samples, f"asetrate={round(RATE * factor)},aresample={RATE},atempo={1 / factor}"
    )


def _noisy(samples: Samples, noise: NDArray[np.floating], decibels: float) -> Samples:
    """With noise so many dB below the speech."""
    scale = _rms(samples) * 10 ** (-decibels / 20) / np.sqrt(np.mean(noise**2))
    return (samples + scale * noise).astype(np.float32)


def _words(samples: Samples, beside: Beside, random: np.random.Generator) -> tuple[int, int]:
    """A word in the middle half, by its place in samples."""
    inner = [(start, end) for start, end in beside.words[1:-1] if 0.22 <= end - start <= 0.8]
    if inner:
        start, end = inner[int(random.integers(len(inner)))]
        return _n(start), min(_n(end), len(samples))
    start = _quiet(samples, random.uniform(0.3, 0.6))
    return start, min(_quiet_after(samples, start + _n(0.3)), len(samples))


def _quiet_after(samples: Samples, place: int) -> int:
    power = np.convolve(samples**2, np.ones(_n(0.02)), mode="same")
    return place + int(np.argmin(power[place : place + _n(0.3)])) if place < len(samples) else place


# --- saying more ---------------------------------------------------------------------------------


def _doubled_word(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    start, end = _words(samples, beside, random)
    return _joined(samples[:end], samples[start:])


def _stutter(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    start, _ = _words(samples, beside, random)
    piece = samples[start : start + _n(0.15)]
    return _joined(samples[:start], piece, piece, piece, samples[start:])


def _repeated_phrase(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    start = _quiet(samples, 0.3)
    end = min(_quiet_after(samples, start + _n(1.0)), len(samples))
    return _joined(samples[:end], samples[start:])


def _made_up_tail(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    other = _mate(beside, random)
    start, _ = _span(other)
    pause = np.zeros(_n(0.15), np.float32) + samples[-1]
    _, end = _span(samples)
    return _joined(samples[:end], pause, _ending(other[start : start + _n(1.6)]))


def _made_up_head(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    other = _mate(beside, random)
    start, _ = _span(other)
    pause = np.zeros(_n(0.15), np.float32)
    return _joined(_ending(other[start : start + _n(1.6)]), pause, samples)


def _runaway(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """No words any more, and as long again."""
    size = _n(0.08)
    starts = random.integers(0, len(samples) - size, len(samples) // size)
    return _joined(samples, *(samples[start : start + size] for start in starts))


def _mate(beside: Beside, random: np.random.Generator) -> Samples:
    long = [mate for mate in beside.mates if len(mate.samples) > _n(2.0)]
    return long[int(random.integers(len(long)))].samples


def _ending(piece: Samples) -> Samples:
    """Fade the end out, as a word does."""
    fade = min(len(piece), _n(0.05))
    return np.concatenate(
        [piece[:-fade], piece[-fade:] * np.linspace(1, 0, fade), np.zeros(_n(0.08))]
    ).astype(np.float32)


# --- saying less ---------------------------------------------------------------------------------


def _dropped_word(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    start, end = _words(samples, beside, random)
    return _joined(samples[:start], samples[end:])


def _first_half_second_missing(
    samples: Samples, beside: Beside, random: np.random.Generator
) -> Samples:
    start, _ = _span(samples)
    return samples[start + _n(0.5) :]


def _second_half_missing(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return _ending(samples[: _quiet(samples, 0.5)])


def _middle_missing(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return _joined(samples[: _quiet(samples, 0.35)], samples[_quiet(samples, 0.65) :])


# --- other words ---------------------------------------------------------------------------------


def _wrong_sentence(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    near = sorted(beside.mates, key=lambda mate: abs(len(mate.samples) - len(samples)))[:8]
    return near[int(random.integers(len(near)))].samples


def _thirds_swapped(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    one, two = _quiet(samples, 1 / 3), _quiet(samples, 2 / 3)
    return _joined(samples[two:], samples[one:two], samples[:one])


def _babble(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    size = _n(0.12)
    order = random.permutation(len(samples) // size)
    return _joined(*(samples[place * size : (place + 1) * size] for place in order))


def _reversed_whole(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return np.ascontiguousarray(samples[::-1])


def _reversed_part(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    start, end = _span(samples)
    size = min(_n(0.8), (end - start) // 2)
    place = start + round(0.5 * (end - start - size))
    return _joined(samples[:place], samples[place : place + size][::-1], samples[place + size :])


def _mangled_passage(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """A second and a half of syllables in any order."""
    start, end = _span(samples)
    size = min(_n(1.5), (end - start) // 2)
    place = start + round(0.5 * (end - start - size))
    return _joined(
        samples[:place],
        _babble(samples[place : place + size], beside, random),
        samples[place + size :],
    )


# --- changing voice ------------------------------------------------------------------------------


def _other_voice_midway(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """Higher or lower, formants and all, in the same words."""
    place = _quiet(samples, 0.5)
    return _joined(samples[:place], _shifted(samples[place:], _either(random, 1.2, 1 / 1.2)))


def _other_voice(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return _shifted(samples, _either(random, 1.2, 1 / 1.2))


def _other_speaker_midway(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    place = _quiet(samples, 0.5)
    other = beside.others[int(random.integers(len(beside.others)))].samples
    start, _ = _span(other)
    piece = other[start : start + len(samples) - place]
    return _joined(samples[:place], _ending(piece * (_rms(samples) / _rms(other))))


def _other_speaker(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """Somebody else all along; of the words only the sound is judged."""
    other = beside.others[int(random.integers(len(beside.others)))].samples
    return (other * (_rms(samples) / _rms(other))).astype(np.float32)


def _whispered_tail(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    start, end = _span(samples)
    place = max(start, end - _n(1.5))
    tail = _whispered(samples[place:end], random)
    return _joined(samples[:place], tail, samples[end:])


def _whispered(samples: Samples, random: np.random.Generator) -> Samples:
    """The same mouth, noise for a voice: linear prediction of 24, excited by noise, 8 dB down."""
    size, hop, order = _n(0.03), _n(0.015), 24
    window = np.hanning(size + 1)[:size]
    out = np.zeros(len(samples) + size)
    for start in range(0, len(samples) - size, hop):
        frame = samples[start : start + size] * window
        power = np.correlate(frame, frame, "full")[size - 1 : size + order]
        power[0] = power[0] * 1.001 + 1e-9
        shape = solve_toeplitz(power[:-1], power[1:])
        noise = signal.lfilter([1], np.r_[1, -shape], random.normal(size=size)) * window
        scale = np.sqrt(np.sum(frame**2) / max(np.sum(noise**2), 1e-12))
        out[start : start + size] += 0.4 * scale * noise
    return out[: len(samples)].astype(np.float32)


def _half_quieter(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    place = _quiet(samples, 0.5)
    return _joined(samples[:place], samples[place:] * np.float32(10 ** (-15 / 20)))


def _speed_ramp(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """From four fifths of its speed to five thirds of that, the pitch kept."""
    parts = np.array_split(samples, 6)
    speeds = np.geomspace(0.77, 1.3, 6)
    if random.integers(2):
        speeds = speeds[::-1]
    made = [_tempo(part, speed) for part, speed in zip(parts, speeds, strict=True)]
    return _joined(*made, fade=0.01)


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
    return _tempo(samples, 1.5)


def _second_half_faster(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    place = _quiet(samples, 0.5)
    return _joined(samples[:place], _tempo(samples[place:], 1.5))


# --- noise ---------------------------------------------------------------------------------------


def _hum(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    time = np.arange(len(samples)) / RATE
    base = _either(random, 50, 60)
    parts = (np.sin(2 * np.pi * base * part * time) / part**1.5 for part in range(1, 7))
    return _noisy(samples, sum(parts, np.zeros(len(samples))), 20)


def _buzz(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    time = np.arange(len(samples)) / RATE
    return _noisy(samples, signal.sawtooth(2 * np.pi * _either(random, 100, 120) * time), 20)


def _hiss(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return _noisy(samples, random.normal(size=len(samples)), 22)


def _music(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    time = np.arange(len(samples)) / RATE
    sound = np.zeros(len(samples))
    for place, chord in enumerate(([0, 4, 7], [5, 9, 12], [7, 11, 14], [0, 4, 7]) * 6):
        for note in chord:
            pitch = 220 * 2 ** (note / 12)
            since = time - 0.8 * place
            shape = np.where(since >= 0, np.exp(-1.2 * np.maximum(since, 0)), 0)
            sound += shape * sum(np.sin(2 * np.pi * pitch * k * since) / k for k in range(1, 5))
    return _noisy(samples, sound, 12)


def _clicks(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    spoiled = samples.copy()
    start, end = _span(samples)
    for place in random.integers(start, end - 4, 6):
        spoiled[place : place + 2] += np.array([0.5, -0.4]) * np.abs(samples).max()
    return spoiled


def _dropouts(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    spoiled = samples.copy()
    start, end = _span(samples)
    for place in random.integers(start, end - _n(0.06), 6):
        spoiled[place : place + _n(random.uniform(0.02, 0.06))] = 0
    return spoiled


def _narrow_band(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return _band(samples, 300, 3400)


def _band(samples: Samples, low: float, high: float) -> Samples:
    shape = signal.butter(6, [low, high], "bandpass", fs=RATE, output="sos")
    return signal.sosfiltfilt(shape, samples).astype(np.float32)


def _noise_burst(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """0.4 s of noise as loud as the speech, in its place."""
    spoiled = samples.copy()
    place = _quiet(samples, 0.5)
    piece = spoiled[place : place + _n(0.4)]
    piece[:] = random.normal(size=len(piece)) * _rms(samples)
    return spoiled


def _leading_noise(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    noise = random.normal(size=_n(0.3)) * _rms(samples) * 0.3
    return _joined(noise.astype(np.float32), samples)


def _echo(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """In a bare room: 0.5 s of reverberation, 3 dB below the voice."""
    time = np.arange(_n(0.6)) / RATE
    room = random.normal(size=len(time)) * 10 ** (-3 * time / 0.5)
    tail = signal.fftconvolve(samples, room)[: len(samples)]
    return (0.8 * _noisy(samples, tail, 3)).astype(np.float32)


def _clipped(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    loud = float(np.percentile(np.abs(samples), 99.5))
    return np.clip(samples, -0.5 * loud, 0.5 * loud)


# --- stopping ------------------------------------------------------------------------------------


def _last_80_ms_cut(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    _, end = _span(samples)
    return samples[: end - _n(0.08)]


def _cut_in_a_word(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    start, end = _span(samples)
    power = np.convolve(samples**2, np.ones(_n(0.05)), mode="same")
    low, high = start + (end - start) // 2, end - (end - start) // 8
    return samples[: low + int(np.argmax(power[low:high]))]


def _long_pause(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    place = _quiet(samples, 0.5)
    return _joined(samples[:place], np.zeros(_n(1.6), np.float32), samples[place:])


def _silence(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    return np.zeros_like(samples)


def _hummed_pause(samples: Samples, beside: Beside, random: np.random.Generator) -> Samples:
    """One sound held for a second and a half."""
    place, time = _quiet(samples, 0.5), np.arange(_n(1.5)) / RATE
    tone = sum(np.sin(2 * np.pi * 120 * part * time) / part for part in range(1, 9))
    return _joined(samples[:place], (_rms(samples) * tone).astype(np.float32), samples[place:])


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
