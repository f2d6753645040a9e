"""Loudness and true peak by ITU-R BS.1770-4, for mono at any rate.

Small enough to be ours: two biquads, two gates and an oversampled maximum on scipy, with no further
dependency.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly, sosfilt

from csm.audio import decibels, ratio

#: Blocks of 400 ms that overlap by three quarters, and the two gates (BS.1770-4, annex 1).
_STEP_SECONDS = 0.1
_STEPS_A_BLOCK = 4
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_OFFSET_LUFS = -0.691

#: Oversampling for the true peak (annex 2), and the samples that are worked on at once.
OVERSAMPLING = 4
_BLOCK = 1 << 18
_MARGIN = 64


def k_weighting(rate: int) -> NDArray[np.float64]:
    """The two second-order sections of K-weighting at ``rate`` hertz, shape ``[2, 6]``.

    The standard gives coefficients for 48 kHz; these come from the analogue filters behind them by
    the bilinear transform, equal the standard's at 48 kHz and read 0.06 LU higher at 24 kHz.
    """
    shelf_hertz, shelf_decibels, shelf_q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    pass_hertz, pass_q = 38.13547087602444, 0.5003270373238773

    k = math.tan(math.pi * shelf_hertz / rate)
    high = ratio(shelf_decibels)
    middle = high**0.4996667741545416
    norm = 1 + k / shelf_q + k * k
    shelf = (
        (high + middle * k / shelf_q + k * k) / norm,
        2 * (k * k - high) / norm,
        (high - middle * k / shelf_q + k * k) / norm,
        1.0,
        2 * (k * k - 1) / norm,
        (1 - k / shelf_q + k * k) / norm,
    )
    k = math.tan(math.pi * pass_hertz / rate)
    norm = 1 + k / pass_q + k * k
    high_pass = (1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / norm, (1 - k / pass_q + k * k) / norm)
    return np.array([shelf, high_pass])


def integrated_loudness(samples: NDArray[np.float32], rate: int) -> float:
    """The gated loudness of ``samples`` ``[n]`` in LUFS; ``-inf`` when all of it is gated away.

    Less than one block (400 ms) is measured as if it were one.
    """
    return gated_loudness(step_energies(samples, rate), len(samples), rate)


def step_energies(samples: NDArray[np.float32], rate: int, start: int = 0) -> NDArray[np.float64]:
    """The K-weighted energy of a sound in each step of 100 ms that it touches.

    Energies of sounds that lie apart in silence add up to those of the whole: the filters settle
    within 60 ms to a millionth.

    Args:
        samples: ``[n]``.
        rate: samples a second.
        start: where on the timeline its first sample is; steps are counted from 0.

    Returns:
        Sums of squares, from step ``start // step_samples(rate)`` on.
    """
    if not len(samples):
        return np.zeros(0)
    power = sosfilt(k_weighting(rate), samples.astype(np.float64))
    np.square(power, out=power)
    step = step_samples(rate)
    edges = np.arange(step - start % step, len(samples), step)
    return np.asarray(np.add.reduceat(power, np.concatenate(([0], edges))), dtype=np.float64)


def step_samples(rate: int) -> int:
    """Samples in a step of 100 ms."""
    return round(_STEP_SECONDS * rate)


def gated_loudness(energies: NDArray[np.float64], length: int, rate: int) -> float:
    """The integrated loudness of a timeline, in LUFS; ``-inf`` when all of it is gated away.

    Args:
        energies: of each step of 100 ms (``step_energies``), the last perhaps not a whole one.
        length: samples of the timeline.
        rate: samples a second.
    """
    step = step_samples(rate)
    if length < step * _STEPS_A_BLOCK:
        blocks = np.array([energies.sum() / length]) if length else np.zeros(0)
    else:
        sums = np.convolve(energies[: length // step], np.ones(_STEPS_A_BLOCK), mode="valid")
        blocks = sums / (_STEPS_A_BLOCK * step)
    blocks = blocks[blocks > _power(_ABSOLUTE_GATE_LUFS)]
    if not len(blocks):
        return -math.inf
    blocks = blocks[blocks > blocks.mean() * 10 ** (_RELATIVE_GATE_LU / 10)]
    return _OFFSET_LUFS + 10 * math.log10(blocks.mean())


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - _OFFSET_LUFS) / 10))


def true_peaks(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each of ``samples`` ``[n]`` the largest magnitude from it to the next one, ``[n]``."""
    peaks = np.empty(len(samples), dtype=np.float32)
    for start in range(0, len(samples), _BLOCK):
        low, high = max(0, start - _MARGIN), min(len(samples), start + _BLOCK + _MARGIN)
        fine = np.abs(resample_poly(samples[low:high], OVERSAMPLING, 1))
        end = min(len(samples), start + _BLOCK)
        # A maximum along so short an axis takes three times as long.
        coarse = fine[::OVERSAMPLING].copy()
        for phase in range(1, OVERSAMPLING):
            np.maximum(coarse, fine[phase::OVERSAMPLING], out=coarse)
        peaks[start:end] = coarse[start - low : end - low]
    return peaks


def true_peak_decibels(samples: NDArray[np.float32]) -> float:
    """The true peak of ``samples`` in dBTP; ``-inf`` for silence."""
    peak = float(true_peaks(samples).max(initial=0.0))
    return decibels(peak)
