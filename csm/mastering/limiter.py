"""A limiter for true peaks that turns speech down smoothly and never clips it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d
from scipy.signal import fftconvolve

#: The limiter starts to turn down this long before a peak and lets go as long after it: with its
#: smoothing, what it does to a sound ends 40 ms from the peak.
LOOK_AHEAD_SECONDS = 0.02


def limited(
    samples: NDArray[np.float32],
    peaks: NDArray[np.float32],
    gain: float,
    ceiling: float,
    rate: int,
) -> NDArray[np.float32]:
    """``gain * samples``, turned down around each peak that would be above the ceiling.

    Args:
        samples: ``[n]``.
        peaks: their true peaks before the gain, ``[n]`` (``csm.mastering.loudness.true_peaks``).
        gain: a factor.
        ceiling: the largest magnitude, full scale 1.
        rate: samples a second.
    """
    limit = ceiling / gain
    raised = samples * np.float32(gain)
    reach = round(LOOK_AHEAD_SECONDS * rate)
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
