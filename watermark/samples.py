"""Samples as callers have them, made into float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_RATE = 8_000
MAX_RATE = 192_000


def check_rate(rate: int) -> int:
    """Refuse sample rates outside 8–192 kHz.

    Raises:
        ValueError: with the rate and the range.
    """
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ValueError(f"sample rate {rate} Hz is not within {MIN_RATE}..{MAX_RATE} Hz")
    return int(rate)


def as_float(samples: ArrayLike) -> NDArray[np.float32]:
    """Samples as float32; integers are scaled by their type's range to −1..1.

    Args:
        samples: mono ``[n]`` or ``[n, channels]``; float, or integer PCM.

    Returns:
        The same shape. Float32 input is given back as it is, not copied.

    Raises:
        ValueError: the shape is neither, or the values are not real numbers.
    """
    array = np.asarray(samples)
    if array.ndim not in (1, 2) or (array.ndim == 2 and not 1 <= array.shape[1] <= 64):
        raise ValueError(f"samples must be [n] or [n, channels], not of shape {array.shape}")
    if array.dtype == np.uint8:
        return (array.astype(np.float32) - np.float32(128)) / np.float32(128)
    if np.issubdtype(array.dtype, np.signedinteger):
        return array.astype(np.float32) / np.float32(-float(np.iinfo(array.dtype).min))
    if np.issubdtype(array.dtype, np.floating):
        return array.astype(np.float32, copy=False)
    raise ValueError(f"samples must be float or signed PCM, not {array.dtype}")


def mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The channels' mean, or the first channel where they cancel."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    mean: NDArray[np.float32] = samples.mean(axis=1)
    if np.square(mean).sum() < 0.05 * np.square(samples).mean(axis=1).sum():
        return samples[:, 0]
    return mean
