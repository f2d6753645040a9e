"""Where a segment sounds and where it is silent: one rule for trimming it and for judging it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from csm.audio import LEVEL_SECONDS, SILENCE_DBFS, SOUND_BELOW_LOUD_DB, ratio


def levels(samples: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Root mean squares over ``LEVEL_SECONDS`` each, shape ``[n]``; the last part counts as whole.

    Args:
        samples: float32 mono, ``[n]``.
        rate: samples a second.
    """
    size = max(1, round(LEVEL_SECONDS * rate))
    count = -(-len(samples) // size)
    padded = np.zeros(count * size, dtype=np.float64)
    padded[: len(samples)] = samples
    if not count:
        return padded
    return np.asarray(np.sqrt(np.mean(padded.reshape(-1, size) ** 2, axis=1)))


def loudest(level: NDArray[np.float64]) -> float:
    """The level of a segment's loud parts: what 5 % of its levels exceed; 0 where there is none."""
    return float(np.percentile(level, 95)) if len(level) else 0.0


def sounding(level: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where a segment sounds; the rest is silence.

    Args:
        level: from ``levels``, ``[n]``.
    """
    faintest = max(loudest(level) * ratio(-SOUND_BELOW_LOUD_DB), ratio(SILENCE_DBFS))
    return np.asarray(level > faintest)
