"""What is done to waves to spoil a take: cut and join, filter, stretch, add to."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.linalg import solve_toeplitz

from benchmarks.judging.corpus import Samples
from csm import SAMPLE_RATE

RATE = SAMPLE_RATE


def samples_in(seconds: float) -> int:
    """How many samples so many seconds have."""
    return round(seconds * RATE)


def span(samples: Samples) -> tuple[int, int]:
    """Where the sound begins and ends, within 40 dB of its loud parts."""
    frame = RATE // 100
    level = np.sqrt(np.mean(samples[: len(samples) // frame * frame].reshape(-1, frame) ** 2, 1))
    sounds = np.flatnonzero(level > 0.01 * np.percentile(level, 95))
    return int(sounds[0]) * frame, (int(sounds[-1]) + 1) * frame


def loudness(samples: Samples) -> float:
    """Root mean square between the first sound and the last."""
    start, end = span(samples)
    return float(np.sqrt(np.mean(samples[start:end] ** 2)))


def joined(*parts: Samples, fade: float = 0.005) -> Samples:
    """End to end with short fades across."""
    whole = parts[0].astype(np.float32)
    size = samples_in(fade)
    rise = np.linspace(0, 1, size, dtype=np.float32)
    for part in parts[1:]:
        if min(len(whole), len(part)) < size:
            whole = np.concatenate([whole, part])
            continue
        cross = whole[-size:] * (1 - rise) + part[:size] * rise
        whole = np.concatenate([whole[:-size], cross, part[size:]])
    return whole.astype(np.float32)


def quiet_place(samples: Samples, around: float, within: float = 0.2) -> int:
    """The quietest place near a share of the sound."""
    start, end = span(samples)
    centre = start + round(around * (end - start))
    power = np.convolve(samples**2, np.ones(samples_in(0.02)), mode="same")
    low, high = max(0, centre - samples_in(within)), min(len(samples), centre + samples_in(within))
    return low + int(np.argmin(power[low:high]))


def filtered(samples: Samples, chain: str) -> Samples:
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


def at_tempo(samples: Samples, factor: float) -> Samples:
    """So many times as fast, the pitch kept."""
    return filtered(samples, f"atempo={factor}")


def shifted(samples: Samples, factor: float) -> Samples:
    """Pitch and formants together, the tempo kept."""
    return filtered(
        samples, f"asetrate={round(RATE * factor)},aresample={RATE},atempo={1 / factor}"
    )


def noisy(samples: Samples, noise: NDArray[np.floating], decibels: float) -> Samples:
    """With noise so many dB below the speech."""
    scale = loudness(samples) * 10 ** (-decibels / 20) / np.sqrt(np.mean(noise**2))
    return (samples + scale * noise).astype(np.float32)


def quiet_after(samples: Samples, place: int) -> int:
    """The quietest place in the 0.3 s after one."""
    power = np.convolve(samples**2, np.ones(samples_in(0.02)), mode="same")
    return (
        place + int(np.argmin(power[place : place + samples_in(0.3)]))
        if place < len(samples)
        else place
    )


def ending(piece: Samples) -> Samples:
    """Fade the end out, as a word does."""
    fade = min(len(piece), samples_in(0.05))
    return np.concatenate(
        [piece[:-fade], piece[-fade:] * np.linspace(1, 0, fade), np.zeros(samples_in(0.08))]
    ).astype(np.float32)


def whispered(samples: Samples, random: np.random.Generator) -> Samples:
    """The same mouth, noise for a voice: linear prediction of 24, excited by noise, 8 dB down."""
    size, hop, order = samples_in(0.03), samples_in(0.015), 24
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


def banded(samples: Samples, low: float, high: float) -> Samples:
    """Nothing but what is between two frequencies, in Hz."""
    shape = signal.butter(6, [low, high], "bandpass", fs=RATE, output="sos")
    return signal.sosfiltfilt(shape, samples).astype(np.float32)


def reverberant(samples: Samples, random: np.random.Generator) -> Samples:
    """In a bare room: 0.5 s of reverberation, 3 dB below the voice."""
    time = np.arange(samples_in(0.6)) / RATE
    room = random.normal(size=len(time)) * 10 ** (-3 * time / 0.5)
    tail = signal.fftconvolve(samples, room)[: len(samples)]
    return (0.8 * noisy(samples, tail, 3)).astype(np.float32)
