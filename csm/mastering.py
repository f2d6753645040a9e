"""Segments of speech to one finished narration: trims, joins, pauses, room tone, loudness."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d
from scipy.signal import fftconvolve, lfilter

from csm import SAMPLE_RATE
from csm.loudness import integrated_loudness, true_peaks

#: Integrated loudness by default. Speech with its pauses then has an RMS between the −23 and
#: −18 dBFS that audiobook shops ask for, with room for its peaks.
TARGET_LUFS = -20.0
#: Peaks between samples included; the shops' limit is −3 dBFS.
CEILING_DBTP = -3.0
#: The most that quiet speech is raised; beyond it there is only noise to be heard.
MOST_GAIN_DB = 30.0

#: Seconds before the first segment and after the last.
HEAD_SECONDS = 0.5
TAIL_SECONDS = 1.0
#: Seconds kept before and after the sound of a segment, and faded at its ends.
PAD_SECONDS = 0.06
FADE_SECONDS = 0.01
#: Root mean square of the room tone under the whole narration.
ROOM_TONE_DBFS = -70.0

#: Sound is what is at most this much below the loud parts of a segment …
_SOUND_BELOW_LOUD_DB = 45.0
#: … and above this, measured in frames of 10 ms.
_SILENCE_DBFS = -65.0
_FRAME_SECONDS = 0.01
#: The limiter starts to turn down this long before a peak and lets go as long after it.
_LOOK_AHEAD_SECONDS = 0.02
#: Between the ceiling and what the limiter aims at: room for the room tone and for its own curve.
_LIMITER_MARGIN_DB = 0.1
#: Limiting lowers the loudness, and raising it again needs more limiting.
_LEVEL_ROUNDS = 6
_LEVEL_TOLERANCE_LU = 0.05


def master(
    parts: Sequence[tuple[NDArray[np.float32], float]],
    rate: int = SAMPLE_RATE,
    *,
    target_lufs: float = TARGET_LUFS,
) -> NDArray[np.float32]:
    """Join segments to a narration of even loudness.

    Only the silent ends of a segment are trimmed, never a silence inside it. A pause reaches from
    the end of one segment's sound to the start of the next one's, and holds quiet room tone, which
    is the same for the same length.

    Args:
        parts: for each segment its samples, ``[n]`` (float, mono, any n), and the pause after it in
            seconds; the last one's pause is replaced by the tail.
        rate: samples a second.
        target_lufs: integrated loudness by BS.1770. It is missed only by silence, by speech that
            would need more than 30 dB of gain, and by sound so peaky that −3 dBTP forbids it.

    Returns:
        float32 ``[n]``: head, segments and pauses, tail; its true peak is at most −3 dBTP.

    Raises:
        ValueError: a segment is not one-dimensional or holds NaN or infinity; a pause is negative.
    """
    speech = _join(parts, rate)
    speech = _levelled(speech, rate, target_lufs)
    return speech + _room_tone(len(speech))


def pcm16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples in −1..1 as 16-bit PCM: rounded to the nearest, clipped, without dither.

    Raises:
        ValueError: a sample is NaN.
    """
    if np.isnan(samples).any():
        raise ValueError("the samples hold NaN")
    scaled = np.rint(samples.astype(np.float64) * 32767)
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def _join(parts: Sequence[tuple[NDArray[np.float32], float]], rate: int) -> NDArray[np.float32]:
    pad = round(PAD_SECONDS * rate)
    placed: list[tuple[int, NDArray[np.float32]]] = []
    position = round(HEAD_SECONDS * rate)
    pause = 2 * pad
    for number, (samples, pause_seconds) in enumerate(parts):
        _check(samples, pause_seconds, number)
        sound = _trimmed(samples, rate)
        if len(sound):
            if placed:
                # The pads of both neighbours are part of the pause.
                position += max(0, pause - 2 * pad)
            placed.append((position, sound))
            position += len(sound)
            pause = 0
        # A silent segment adds its pause to the one before it only where it is longer.
        pause = max(pause, round(pause_seconds * rate))
    joined = np.zeros(position + round(TAIL_SECONDS * rate), dtype=np.float32)
    for start, sound in placed:
        joined[start : start + len(sound)] = sound
    return joined


def _check(samples: NDArray[np.float32], pause_seconds: float, number: int) -> None:
    if samples.ndim != 1:
        raise ValueError(f"segment {number} has {samples.ndim} dimensions instead of one")
    if not np.isfinite(samples).all():
        raise ValueError(f"segment {number} holds NaN or infinity")
    if not 0 <= pause_seconds < math.inf:
        raise ValueError(f"the pause after segment {number} is {pause_seconds} s")


def _trimmed(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """The sound of a segment with its pads and fades; empty if it is silent."""
    frame = max(1, round(_FRAME_SECONDS * rate))
    frames = -(-len(samples) // frame)
    padded = np.zeros(frames * frame, dtype=np.float64)
    padded[: len(samples)] = samples
    level = np.sqrt(np.mean(padded.reshape(-1, frame) ** 2, axis=1)) if frames else padded
    loud = float(np.percentile(level, 95)) if frames else 0.0
    threshold = max(loud * _gain(-_SOUND_BELOW_LOUD_DB), _gain(_SILENCE_DBFS))
    sounding = np.flatnonzero(level > threshold)
    if not len(sounding):
        return np.zeros(0, dtype=np.float32)

    pad = round(PAD_SECONDS * rate)
    start = int(sounding[0]) * frame
    end = min(len(samples), (int(sounding[-1]) + 1) * frame)
    kept = np.zeros(end - start + 2 * pad, dtype=np.float32)
    low, high = max(0, start - pad), min(len(samples), end + pad)
    offset = low - (start - pad)
    kept[offset : offset + high - low] = samples[low:high]
    fade = min(round(FADE_SECONDS * rate), (high - low) // 2)
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / max(1, fade))).astype(np.float32)
    kept[offset : offset + fade] *= ramp
    kept[offset + high - low - fade : offset + high - low] *= ramp[::-1]
    return kept


def _levelled(speech: NDArray[np.float32], rate: int, target_lufs: float) -> NDArray[np.float32]:
    loudness = integrated_loudness(speech, rate)
    if loudness == -math.inf:
        return speech
    peaks = true_peaks(speech)
    gain = min(target_lufs - loudness, MOST_GAIN_DB)
    limited = _limited(speech, peaks, _gain(gain), rate)
    for _ in range(_LEVEL_ROUNDS):
        missing = target_lufs - integrated_loudness(limited, rate)
        if abs(missing) < _LEVEL_TOLERANCE_LU or gain + missing > MOST_GAIN_DB:
            break
        gain += missing
        limited = _limited(speech, peaks, _gain(gain), rate)
    return limited


def _limited(
    samples: NDArray[np.float32], peaks: NDArray[np.float32], gain: float, rate: int
) -> NDArray[np.float32]:
    """``gain * samples``, turned down smoothly around each peak above the ceiling, never clipped.

    ``peaks`` are the true peaks of ``samples`` before the gain.
    """
    limit = _gain(CEILING_DBTP - _LIMITER_MARGIN_DB) / gain
    raised = samples * np.float32(gain)
    reach = round(_LOOK_AHEAD_SECONDS * rate)
    window = np.hanning(2 * reach + 3)[1:-1]
    window /= window.sum()
    over = np.flatnonzero(peaks > limit)
    # Peaks so near to each other that their curves meet are turned down together.
    for near in np.split(over, np.flatnonzero(np.diff(over) > 4 * reach) + 1) if len(over) else ():
        span = slice(max(0, near[0] - 2 * reach), near[-1] + 2 * reach + 1)
        wanted = limit / np.maximum(peaks[span], limit)
        held = minimum_filter1d(wanted, 2 * reach + 1, mode="nearest")
        # Each smoothed value is a mean of held ones that all reach the peak, so none is above
        # what that peak allows.
        raised[span] *= fftconvolve(np.pad(held, reach, mode="edge"), window, mode="valid")
    return raised


def _room_tone(length: int) -> NDArray[np.float32]:
    """Soft noise that falls towards the treble; always the same for the same length."""
    noise = np.random.default_rng(1770).standard_normal(length, dtype=np.float32)
    soft = lfilter([1.0], [1.0, -0.9], noise)
    level = math.sqrt(float(np.mean(soft**2))) if length else 1.0
    return (soft * (_gain(ROOM_TONE_DBFS) / level)).astype(np.float32)


def _gain(decibels: float) -> float:
    return float(10 ** (decibels / 20))
