"""What copies go through, each a function of marked samples at 24 kHz to samples and a rate."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, iirpeak, lfilter, resample_poly, sosfilt

RATE = 24_000
Sound = NDArray[np.float32]
Attack = Callable[[Sound], tuple[Sound, int]]


def _decoded(path: Path, rate: int = RATE) -> Sound:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "f32le", "-ar", str(rate)]
    raw = subprocess.run([*command, "-ac", "1", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.float32)


def codec(suffix: str, *options: str) -> Attack:
    """Encode with ffmpeg's encoder of that name and settings, and decode again."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"coded.{suffix}"
            command = ["ffmpeg", "-v", "error", "-f", "f32le", "-ar", str(RATE), "-ac", "1"]
            command += ["-i", "-", *options, str(path)]
            subprocess.run(command, input=samples.astype(np.float32).tobytes(), check=True)
            return _decoded(path), RATE

    return attack


def filtered(graph: str) -> Attack:
    """Put through ffmpeg's audio filters."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        command = ["ffmpeg", "-v", "error", "-f", "f32le", "-ar", str(RATE), "-ac", "1", "-i", "-"]
        command += ["-af", graph, "-f", "f32le", "-ar", str(RATE), "-ac", "1", "-"]
        data = samples.astype(np.float32).tobytes()
        raw = subprocess.run(command, input=data, capture_output=True, check=True).stdout
        return np.frombuffer(raw, np.float32), RATE

    return attack


def noise(decibels: float) -> Attack:
    """White noise so far below the speech."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        draw = np.random.default_rng(len(samples)).standard_normal(len(samples))
        return (samples + draw * samples.std() * 10 ** (-decibels / 20)).astype(np.float32), RATE

    return attack


def crop(seconds: float) -> Attack:
    """A stretch from the middle, off any cell's edge."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        count = int(seconds * RATE)
        first = max(0, (len(samples) - count) // 2 - 777)
        return samples[first : first + count], RATE

    return attack


def cuts(samples: Sound) -> tuple[Sound, int]:
    """Every third stretch of three seconds is taken out, off any cell's edge."""
    stretch = 3 * RATE + 501
    parts = [samples[i : i + stretch] for i in range(0, len(samples), stretch)]
    return np.concatenate([part for i, part in enumerate(parts) if i % 3 != 1]), RATE


def room(decay: float, *, loudspeaker: bool = False) -> Attack:
    """A room of so many seconds' decay; a small loudspeaker and a microphone in it, if asked."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        draw = np.random.default_rng(int(decay * 100))
        if loudspeaker:
            band = butter(2, [250, 7_000], "bandpass", fs=RATE, output="sos")
            samples = np.tanh(2.2 * sosfilt(band, samples) / np.abs(samples).max()) / 2.2
        time = np.arange(int(decay * RATE)) / RATE
        tail = draw.standard_normal(len(time)) * np.exp(-6.9 * time / decay)
        answer = np.concatenate([[1.0], np.zeros(60), 0.6 * tail / np.linalg.norm(tail)])
        heard = fftconvolve(samples, answer)[: len(samples)]
        if loudspeaker:
            heard = heard + draw.standard_normal(len(heard)) * heard.std() * 10 ** (-25 / 20)
            heard = resample_poly(resample_poly(heard, 2, 3), 3, 2)
            # Clocks of player and recorder differ by 100 in a million.
            at = np.arange(0, len(heard) - 1, 1.0001)
            heard = np.interp(at, np.arange(len(heard)), heard)
        return heard.astype(np.float32), RATE

    return attack


def speed(change: float) -> Attack:
    """Played faster or slower, pitch and all."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        up, down = 1000, round(1000 * (1 + change))
        return resample_poly(samples, up, down).astype(np.float32), RATE

    return attack


def music(seconds: float) -> Sound:
    """Chords of struck harmonics over a bass and a noisy beat."""
    draw = np.random.default_rng(11)
    out = np.zeros(int((seconds + 3) * RATE))
    length = np.arange(2 * RATE) / RATE
    for step in range(int(seconds / 0.4)):
        at = int(step * 0.4 * RATE)
        for note in draw.choice([45, 52, 57, 60, 64, 67, 69, 72, 76], 3):
            pitch = 440 * 2 ** ((note - 69) / 12)
            struck = sum(np.sin(2 * np.pi * pitch * k * length) / k for k in range(1, 9))
            out[at : at + len(length)] += struck * np.exp(-3 * length)
        beat = draw.standard_normal(RATE // 8) * np.exp(-np.arange(RATE // 8) / 500)
        out[at : at + len(beat)] += beat
    return out[: int(seconds * RATE)].astype(np.float32)


def mixed(other: Callable[[float], Sound], decibels: float) -> Attack:
    """With other sound so far below the speech."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        beside = other(len(samples) / RATE)[: len(samples)]
        beside = np.resize(beside, len(samples))
        level = samples.std() / beside.std() * 10 ** (-decibels / 20)
        return (samples + beside * level).astype(np.float32), RATE

    return attack


def equalised(samples: Sound) -> tuple[Sound, int]:
    """Bass and treble up by 6 dB, a notch of 8 dB between."""
    low = lfilter(*iirpeak(200, 1, fs=RATE), samples)
    high = lfilter(*iirpeak(5_000, 1, fs=RATE), samples)
    middle = lfilter(*iirpeak(1_200, 2, fs=RATE), samples)
    return (samples + low + high - 0.6 * middle).astype(np.float32), RATE


def resampled(rate: int) -> Attack:
    """To another rate, and handed over at that."""
    return lambda samples: (resample_poly(samples, rate, RATE).astype(np.float32), rate)


def passed(kind: str, hertz: float) -> Attack:
    """A low-pass or high-pass of sixth order."""
    sections = butter(6, hertz, kind, fs=RATE, output="sos")
    return lambda samples: (sosfilt(sections, samples).astype(np.float32), RATE)


def all_attacks(other_speech: Callable[[float], Sound]) -> dict[str, Attack]:
    """Every attack on one marked copy; ``other_speech`` gives unmarked speech to mix in."""
    lame, aac = ("-c:a", "libmp3lame", "-b:a"), ("-c:a", "aac", "-b:a")
    opus = ("-c:a", "libopus", "-b:a")
    attacks: dict[str, Attack] = {"none": lambda x: (x, RATE)}
    attacks |= {f"MP3 {b}": codec("mp3", *lame, f"{b}k") for b in (128, 64, 48, 32)}
    attacks |= {f"AAC {b}": codec("m4a", *aac, f"{b}k") for b in (64, 32)}
    attacks |= {f"Opus {b}": codec("ogg", *opus, f"{b}k") for b in (32, 16)}
    attacks["Vorbis q2"] = codec("ogg", "-c:a", "libvorbis", "-q:a", "2")
    attacks |= {f"{r} Hz": resampled(r) for r in (44_100, 16_000, 8_000)}
    attacks["low-pass 4 kHz"] = passed("low", 4_000)
    attacks["high-pass 300 Hz"] = passed("high", 300)
    attacks |= {f"noise {d} dB": noise(d) for d in (30, 20, 10)}
    attacks["+12 dB, clipped"] = lambda x: (np.clip(x * 4, -1, 1), RATE)
    attacks["-12 dB"] = lambda x: (x / 4, RATE)
    attacks["8 bits"] = lambda x: ((np.round(x * 127) / 127).astype(np.float32), RATE)
    attacks["equaliser"] = equalised
    attacks["dynamics"] = filtered(
        "acompressor=threshold=0.05:ratio=6:attack=5:release=80:makeup=4"
    )
    for percent in (0.5, 1, 2, 5):
        attacks[f"speed +{percent} %"] = speed(percent / 100)
        attacks[f"speed -{percent} %"] = speed(-percent / 100)
    for percent in (2, 5):
        for sign, change in (("+", percent / 100), ("-", -percent / 100)):
            pace = 1 + change
            attacks[f"tempo {sign}{percent} %"] = filtered(f"atempo={pace}")
            shifted = f"asetrate={round(RATE * pace)},aresample={RATE},atempo={1 / pace}"
            attacks[f"pitch {sign}{percent} %"] = filtered(shifted)
    attacks |= {f"crop {s} s": crop(s) for s in (30, 15, 10, 5)}
    attacks["cuts"] = cuts
    attacks["offset"] = lambda x: (x[1_013:], RATE)
    attacks |= {f"reverb {t} s": room(t) for t in (0.3, 0.6)}
    attacks["loudspeaker, room, microphone"] = room(0.35, loudspeaker=True)
    attacks |= {f"music at -{d} dB": mixed(music, d) for d in (20, 10, 5, 0)}
    attacks |= {f"other speech at -{d} dB": mixed(other_speech, d) for d in (20, 10, 5, 0)}
    return attacks
