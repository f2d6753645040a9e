"""One spoken segment taken apart once, for all measures: levels, bands, voicing, pitch.

    sound = hear(samples, 24_000)
    print(sound.pitch[sound.voiced].mean())

Frames are 10 ms apart; frame ``t`` is about the sample ``t * rate / 100``. numpy alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csm import silence
from csm.audio import LEVEL_SECONDS

#: Frames a second.
FRAME_RATE = round(1 / LEVEL_SECONDS)
#: Bands on the mel scale, and what they reach over, in Hz.
BANDS = 40
LOWEST_HERTZ, HIGHEST_HERTZ = 60.0, 11_000.0

#: Spectra are taken over 40 ms, which holds two periods of the lowest voice.
_WINDOW_SECONDS = 0.04
_LOWEST_PITCH, _HIGHEST_PITCH = 60.0, 400.0
#: The autocorrelation is that of the sound below this, in Hz.
_PITCH_BAND = 4000.0
#: A frame is voiced where it is like itself a period later by this much.
_VOICED = 0.5
#: Frames that are taken apart at once; bounds the memory to 8 MB.
_BLOCK = 512


@dataclass(frozen=True, eq=False)
class Sound:
    """A segment taken apart.

    Attributes:
        samples: float32 mono, ``[n]``.
        rate: of the samples, in Hz.
        level: root mean square of each 10 ms, ``[frames]``.
        loud: the level that a twentieth of the frames exceeds.
        sounding: which frames are no silence (``csm.silence``), ``[frames]``.
        first: the first frame that sounds; 0 in silence.
        last: the one after the last that sounds; 0 in silence.
        bands: power in mel bands, ``[frames, BANDS]``.
        voiced: which frames have a pitch, ``[frames]``.
        pitch: in Hz where voiced, else 0, ``[frames]``.
    """

    samples: NDArray[np.float32]
    rate: int
    level: NDArray[np.float64]
    loud: float
    sounding: NDArray[np.bool_]
    first: int
    last: int
    bands: NDArray[np.float32]
    voiced: NDArray[np.bool_]
    pitch: NDArray[np.float32]

    @property
    def seconds(self) -> float:
        """From the first sound to the last."""
        return (self.last - self.first) / FRAME_RATE


def hear(samples: NDArray[np.float32], rate: int) -> Sound:
    """Take a segment apart.

    Args:
        samples: float32 mono, ``[n]``, any length.
        rate: in Hz, 24,000 or near.
    """
    level = silence.levels(samples, rate)
    loud, sounding = silence.loudest(level), silence.sounding(level)
    frame, count = round(LEVEL_SECONDS * rate), len(level)
    places = np.flatnonzero(sounding)
    first, last = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
    bands = np.zeros((count, BANDS), np.float32)
    strength, pitch = np.zeros(count, np.float32), np.zeros(count, np.float32)
    size = round(_WINDOW_SECONDS * rate)
    around = np.pad(samples, (size // 2, size))
    windows = np.lib.stride_tricks.sliding_window_view(around, size)[frame // 2 :: frame][:count]
    window, shape = _window(size), _mel_bands(2 * size, rate)
    for start in range(0, count, _BLOCK):
        block = windows[start : start + _BLOCK] * window
        spectrum = np.fft.rfft(block, 2 * size, axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        bands[start : start + _BLOCK] = power @ shape
        found = _periods(power, size, rate)
        strength[start : start + _BLOCK], pitch[start : start + _BLOCK] = found
    voiced = (strength > _VOICED) & sounding
    return Sound(
        samples, rate, level, loud, sounding, first, last, bands, voiced, np.where(voiced, pitch, 0)
    )


def _periods(
    power: NDArray[np.float32], size: int, rate: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How periodic each frame is (0..1) and at which frequency, of power ``[frames, bins]``."""
    kept = round(_PITCH_BAND * 2 * size / rate)
    alike = np.fft.irfft(power[:, : kept + 1], axis=1)
    slow = 2 * _PITCH_BAND
    low, high = math.floor(slow / _HIGHEST_PITCH), math.ceil(slow / _LOWEST_PITCH)
    whole = alike[:, :1] + 1e-9
    alike = alike[:, low : high + 1] / whole / _self_likeness(size, rate)[low : high + 1]
    # Every multiple of a period is one, too: of equals the shortest is meant.
    best = np.argmax(alike - _octave_cost(low, high), axis=1)
    return (
        np.clip(alike[np.arange(len(best)), best], 0, 1).astype(np.float32),
        (slow / (low + best)).astype(np.float32),
    )


@cache
def _octave_cost(low: int, high: int) -> NDArray[np.float64]:
    return np.asarray(0.03 * np.log2(np.arange(low, high + 1) / low))


@cache
def _window(size: int) -> NDArray[np.float32]:
    return np.asarray(np.hanning(size), np.float32)


@cache
def _self_likeness(size: int, rate: int) -> NDArray[np.float64]:
    """The autocorrelation of the window at the slow rate, 1 at lag 0."""
    slow = np.hanning(round(size * 2 * _PITCH_BAND / rate))
    whole = np.correlate(slow, slow, "full")[len(slow) - 1 :]
    return np.asarray(np.maximum(whole / whole[0], 0.1))


@cache
def _mel_bands(size: int, rate: int) -> NDArray[np.float32]:
    """Triangles on the mel scale, ``[size // 2 + 1, BANDS]``."""
    mel = 2595 * np.log10(1 + np.fft.rfftfreq(size, 1 / rate) / 700)
    low, high = (2595 * math.log10(1 + edge / 700) for edge in (LOWEST_HERTZ, HIGHEST_HERTZ))
    edges = np.linspace(low, high, BANDS + 2)
    rising = (mel[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - mel[:, None]) / np.diff(edges)[1:]
    shapes = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(shapes, np.float32)


def decibels(power: Any) -> Any:
    """Of power, full scale 1; -100 for nothing."""
    return 10 * np.log10(np.maximum(power, 1e-10))


def run_lengths(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The length of each run of True."""
    edges = np.flatnonzero(np.diff(np.pad(flags.astype(np.int8), 1)))
    return edges[1::2] - edges[::2]
