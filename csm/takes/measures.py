"""What can be measured of one spoken segment without knowing its words; numpy alone.

Samples are float32 mono, shape ``[n]``, full scale 1. Nothing here decides;
``csm.takes.judging`` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csm.audio import LEVEL_SECONDS, SILENCE_DBFS, decibels, ratio
from csm.silence import levels, loudest, sounding

#: Spectra for finding sound that comes again: seconds between them, samples in each at 24 kHz,
#: bands on the mel scale and the frequencies they reach over.
_HOP_SECONDS = 0.03
_WINDOW_SECONDS = 0.045
_BANDS = 32
_LOWEST_HERTZ, _HIGHEST_HERTZ = 80.0, 8000.0
#: A stretch counts as said again where its spectra are this alike (cosine, after the mean of the
#: segment is taken off) over this many seconds. Of 94 segments of the preview voice none reached
#: 0.73 but those whose text says a phrase twice; copies lie above 0.8.
_ALIKE = 0.78
_ALIKE_SECONDS = 0.6
#: At least this share of such a stretch is sound.
_ALIKE_SOUND = 0.6
#: The least time from a sound to its return.
_SOONEST_SECONDS = 0.3
#: A sound that hardly changes: the spectrum over this many seconds is this like the one before it.
_HELD_ALIKE = 0.97
_HELD_LAG_SECONDS = 0.12

#: A clipped wave stays this near to its peak for this many samples …
_PEAK_SHARE = 0.985
_FLAT_SAMPLES = 4


@dataclass(frozen=True)
class Pauses:
    """Where a segment sounds and where it is silent.

    Attributes:
        start_seconds: where the first sound is.
        sound_seconds: from the first sound to the last; 0 for silence.
        longest_seconds: the longest silence between two sounds.
        share: of the time from the first sound to the last, what is silent, 0..1.
        end_db: level of the last 30 ms below the loud parts, in dB; near 0 where speech is cut off.
    """

    start_seconds: float
    sound_seconds: float
    longest_seconds: float
    share: float
    end_db: float


def pauses(samples: NDArray[np.float32], rate: int) -> Pauses:
    """Find the silences of a segment."""
    level = levels(samples, rate)
    sounds = sounding(level)
    places = np.flatnonzero(sounds)
    if not len(places):
        return Pauses(0.0, 0.0, 0.0, 0.0, -math.inf)
    inside = sounds[places[0] : places[-1] + 1]
    gaps = np.diff(places) - 1
    end = float(np.sqrt(np.mean(np.square(samples[-round(0.03 * rate) :]))))
    return Pauses(
        start_seconds=int(places[0]) * LEVEL_SECONDS,
        sound_seconds=len(inside) * LEVEL_SECONDS,
        longest_seconds=float(gaps.max(initial=0)) * LEVEL_SECONDS,
        share=1 - float(inside.mean()),
        end_db=decibels(max(end, 1e-9) / loudest(level)),
    )


def clipped_share(samples: NDArray[np.float32]) -> float:
    """The share of samples, 0..1, on flat tops: clipped before, whatever its level is now."""
    peak = float(np.abs(samples).max(initial=0.0))
    if peak < ratio(SILENCE_DBFS):
        return 0.0
    lengths = _run_lengths(np.abs(samples) >= _PEAK_SHARE * peak)
    return float(lengths[lengths >= _FLAT_SAMPLES].sum()) / len(samples)


def repeated_codes(codes: NDArray[np.int64], *, shortest: int = 4) -> int:
    """The longest run of frames that comes again, of the first codebook; 0 if none does.

    Args:
        codes: shape ``[frames, codebooks]``, or ``[frames]``.
        shortest: frames in the shortest run that counts.
    """
    first = codes if codes.ndim == 1 else codes[:, 0]
    longest = 0
    for lag in range(shortest, len(first) - shortest + 1):
        lengths = _run_lengths(first[lag:] == first[:-lag])
        longest = max(longest, int(lengths.max(initial=0)))
    return longest if longest >= shortest else 0


def said_again_seconds(samples: NDArray[np.float32], rate: int) -> float:
    """The longest stretch of sound that comes again in the segment, in seconds; 0 if none does.

    Works on the likeness of every pair of frames: 20 MB and 40 ms for 30 seconds.
    """
    spectra, sounds = _spectra(samples, rate)
    window, first = round(_ALIKE_SECONDS / _HOP_SECONDS), round(_SOONEST_SECONDS / _HOP_SECONDS)
    if len(spectra) <= window + first:
        return 0.0
    both = sounds[:, None] & sounds
    alike = _by_lag(np.where(both, spectra @ spectra.T - np.float32(_ALIKE), np.float32(0)))[first:]
    # From here on a frame is worth its likeness above the threshold, so that a window in which
    # the sum is positive is alike enough.
    near = _window_sums(alike, window) >= 0
    near &= _window_sums(_by_lag(both)[first:], window) >= _ALIKE_SOUND * window
    near[
        np.arange(len(near))[:, None] + first + np.arange(near.shape[1]) > len(spectra) - window
    ] = False
    longest = max((int(_run_lengths(row).max()) for row in near[near.any(axis=1)]), default=0)
    return (longest + window - 1) * _HOP_SECONDS if longest else 0.0


def held_seconds(samples: NDArray[np.float32], rate: int) -> float:
    """The longest time that one sound is held (a hum, a hiss, a stuck vowel), in seconds."""
    power, sounds = _band_power(samples, rate)
    lag = round(_HELD_LAG_SECONDS / _HOP_SECONDS)
    if len(power) <= 2 * lag:
        return 0.0
    shape = np.sqrt(_window_sums(power.T, lag).T)
    shape /= np.linalg.norm(shape, axis=1, keepdims=True) + 1e-12
    alike = np.einsum("fb,fb->f", shape[lag:], shape[:-lag])
    whole = _window_sums(sounds, 2 * lag) == 2 * lag
    longest = int(_run_lengths((alike >= _HELD_ALIKE) & whole).max(initial=0))
    return (longest + 2 * lag - 1) * _HOP_SECONDS if longest else 0.0


def _by_lag(pairs: NDArray[Any]) -> NDArray[Any]:
    """From ``[i, j]``, square, to ``[lag, i]`` with ``j = i + lag``; zeros beyond the end."""
    size = len(pairs)
    padded = np.zeros((size, 2 * size), pairs.dtype)
    padded[:, :size] = pairs
    row, column = padded.strides
    return np.lib.stride_tricks.as_strided(padded, (size, size), (column, row + column))


def _window_sums(values: Any, window: int) -> Any:
    """Sums over each ``window`` neighbours along the last axis."""
    kind = np.int32 if values.dtype == np.bool_ else np.float64
    total: Any = np.cumsum(values, axis=-1, dtype=kind)
    total = np.concatenate([np.zeros((*total.shape[:-1], 1), total.dtype), total], axis=-1)
    return total[..., window:] - total[..., :-window]


def _run_lengths(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The length of each run of True."""
    edges = np.flatnonzero(np.diff(np.pad(flags.astype(np.int8), 1)))
    return edges[1::2] - edges[::2]


def _band_power(
    samples: NDArray[np.float32], rate: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Power in mel bands, ``[frames, bands]``, and which frames sound, ``[frames]``."""
    size, hop = round(_WINDOW_SECONDS * rate), round(_HOP_SECONDS * rate)
    if len(samples) < size:
        return np.zeros((0, _BANDS), np.float32), np.zeros(0, np.bool_)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(size).astype(np.float32), axis=1)) ** 2
    power = (spectrum @ _mel_bands(size, rate)).astype(np.float32)
    total = power.sum(axis=1)
    floor = max(float(np.percentile(total, 95)) * 1e-3, 1e-9)
    return power, total > floor


def _spectra(
    samples: NDArray[np.float32], rate: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What sets each frame off from the segment's mean, of length 1, and which frames sound."""
    power, sounds = _band_power(samples, rate)
    if not sounds.any():
        return power, sounds
    spectra = 10 * np.log10(power + 1e-10)
    spectra = np.maximum(spectra, spectra.max() - 60)
    spectra -= spectra[sounds].mean(axis=0)
    lengths = np.linalg.norm(spectra, axis=1, keepdims=True) + 1e-9
    return (spectra / lengths).astype(np.float32), sounds


def _mel_bands(size: int, rate: int) -> NDArray[np.float64]:
    """Triangles on the mel scale, ``[size // 2 + 1, bands]``."""
    mel = 2595 * np.log10(1 + np.fft.rfftfreq(size, 1 / rate) / 700)
    low, high = (2595 * math.log10(1 + edge / 700) for edge in (_LOWEST_HERTZ, _HIGHEST_HERTZ))
    edges = np.linspace(low, high, _BANDS + 2)
    rising = (mel[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - mel[:, None]) / np.diff(edges)[1:]
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))
