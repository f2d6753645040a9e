"""What comes twice, or does not go on: in the sound of a take, and in the codes it is made of.

Nothing here decides; ``csm.takes.judging`` does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from csm.takes.sound import FRAME_RATE, Sound, decibels, run_lengths

#: Spectra for finding a long stretch that comes again are this many frames apart.
_STEP = 3
#: A stretch counts as said again where its spectra are this alike (cosine, after the mean of the
#: segment is taken off) over this many seconds. Of 94 segments of the preview voice none reached
#: 0.73 but those whose text says a phrase twice; copies lie above 0.8.
_ALIKE = 0.78
_ALIKE_SECONDS = 0.6
#: At least this share of such a stretch is sound.
_ALIKE_SOUND = 0.6
#: The least time from a sound to its return.
_SOONEST_SECONDS = 0.3

#: A word or a syllable that is there twice at once: the waves below 2 kHz of a stretch this long,
#: and from when to when they may come again.
_COPY_RATE, _COPY_SECONDS = 4000, 0.12
_COPY_FROM_SECONDS, _COPY_TO_SECONDS = 0.1, 1.6
#: Stretches that are weaker than this beside the loud parts are passed over.
_COPY_POWER = 0.02

#: A sound that hardly changes: the spectrum over this many seconds is this like the one before it.
_HELD_ALIKE = 0.97
_HELD_LAG_SECONDS = 0.12

#: Spectra reach this far below their peak.
_RANGE_DB = 60.0


def repeated_codes(codes: NDArray[np.int64], *, shortest: int = 4) -> int:
    """The longest run of frames that comes again, of the first codebook; 0 if none does.

    Args:
        codes: shape ``[frames, codebooks]``, or ``[frames]``.
        shortest: frames in the shortest run that counts.
    """
    first = codes if codes.ndim == 1 else codes[:, 0]
    longest = 0
    for lag in range(shortest, len(first) - shortest + 1):
        lengths = run_lengths(first[lag:] == first[:-lag])
        longest = max(longest, int(lengths.max(initial=0)))
    return longest if longest >= shortest else 0


def held_codes(codes: NDArray[np.int64]) -> int:
    """The longest run of frames that are the one before them in most codebooks, and that one.

    Args:
        codes: shape ``[frames, codebooks]``, or ``[frames]``.
    """
    frames = codes[:, None] if codes.ndim == 1 else codes
    if not len(frames):
        return 0
    same = np.mean(frames[1:] == frames[:-1], axis=1) > 0.5
    return int(run_lengths(same).max(initial=0)) + 1


def said_again_seconds(sound: Sound) -> float:
    """The longest stretch of sound that comes again in the segment, in seconds; 0 if none does.

    Works on the likeness of every pair of spectra: 20 MB and 40 ms for 30 seconds.
    """
    spectra, sounds = _shapes(sound, _STEP)
    rate = FRAME_RATE / _STEP
    window, first = round(_ALIKE_SECONDS * rate), round(_SOONEST_SECONDS * rate)
    if len(spectra) <= window + first:
        return 0.0
    both = sounds[:, None] & sounds
    alike = _by_lag(np.where(both, spectra @ spectra.T - np.float32(_ALIKE), np.float32(0)))[first:]
    near = _window_sums(alike, window) > 0
    near &= _window_sums(_by_lag(both)[first:], window) >= _ALIKE_SOUND * window
    # A pair whose later stretch would reach past the end of the segment counts for nothing.
    near[
        np.arange(len(near))[:, None] + first + np.arange(near.shape[1]) > len(spectra) - window
    ] = False
    longest = max((int(run_lengths(row).max()) for row in near[near.any(axis=1)]), default=0)
    return (longest + window - 1) / rate if longest else 0.0


def copy_likeness(sound: Sound) -> float:
    """How like each other the waves of two stretches of 0.12 s are at most, 0..1.

    No voice says a word or a syllable twice so alike (of 441 clean clips none comes to 0.99); what
    is there twice because something went wrong is the same.
    """
    slow = resample_poly(sound.samples.astype(np.float64), _COPY_RATE, sound.rate)
    energy = np.cumsum(np.pad(slow * slow, (1, 0)))
    size = round(_COPY_SECONDS * _COPY_RATE)
    soonest, latest = (round(edge * _COPY_RATE) for edge in (_COPY_FROM_SECONDS, _COPY_TO_SECONDS))
    length = 1 << (latest + size - 1).bit_length()
    weakest = _COPY_POWER * sound.loud**2 * size
    best = 0.0
    for start in range(0, len(slow) - size - soonest, size // 2):
        power = energy[start + size] - energy[start]
        if power < weakest:
            continue
        stretch = slow[start : start + size]
        later = slow[start + soonest : start + latest + size]
        if len(later) < size:
            break
        spectrum = np.fft.rfft(later, length) * np.conj(np.fft.rfft(stretch, length))
        alike = np.fft.irfft(spectrum, length)[: len(later) - size + 1]
        first = start + soonest
        ends = energy[first + size : first + size + len(alike)]
        powers = ends - energy[first : first + len(alike)]
        best = max(best, float((alike / np.sqrt(power * np.maximum(powers, 1e-4 * power))).max()))
    return min(best, 1.0)


def held_seconds(sound: Sound) -> float:
    """The longest time that one sound is held (a hum, a hiss, a stuck vowel), in seconds."""
    power = sound.bands[::_STEP]
    sounds = sound.sounding[::_STEP]
    rate = FRAME_RATE / _STEP
    lag = round(_HELD_LAG_SECONDS * rate)
    if len(power) <= 2 * lag:
        return 0.0
    shape = np.sqrt(np.maximum(_window_sums(power.T, lag).T, 0.0))
    shape /= np.linalg.norm(shape, axis=1, keepdims=True) + 1e-12
    alike = np.einsum("fb,fb->f", shape[lag:], shape[:-lag])
    whole = _window_sums(sounds, 2 * lag) == 2 * lag
    longest = int(run_lengths((alike >= _HELD_ALIKE) & whole).max(initial=0))
    return (longest + 2 * lag - 1) / rate if longest else 0.0


def _shapes(sound: Sound, step: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What sets each spectrum off from the segment's mean, of length 1, and which frames sound.

    Of frames that are silent, zeros.
    """
    power, sounds = sound.bands[::step], sound.sounding[::step]
    if not sounds.any():
        return np.zeros_like(power), sounds
    level = decibels(power)
    level = np.maximum(level, level.max() - _RANGE_DB)
    level -= level[sounds].mean(axis=0)
    level[~sounds] = 0.0
    lengths = np.linalg.norm(level, axis=1, keepdims=True) + 1e-9
    return (level / lengths).astype(np.float32), sounds


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
