"""Where sound is held so still that the mark itself would be heard: tones, organs, singing.

A cell that is raised or lowered for 85 ms makes its band swell and fall a few times a second. In
speech every band does so by ten decibels and more of its own, which hides it. In a held tone
nothing does, and the ear notices from about half a decibel on (E. Zwicker, H. Fastl,
Psychoacoustics, chapter 10: a degree of modulation of 4 to 6 % at these rates). So a band is marked
by as much less as it changes less by itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: A band's level is compared with that of so many frames before, which share no sample with it.
_APART = 4
#: It is judged by its changes over so many frames, a quarter of a second, before and after.
_FRAMES = 24
#: Frames before and after one that it takes.
REACH = _FRAMES + _APART - 1
#: Where levels change by this from one window to the next the mark is hidden, dB. In speech 99 of
#: 100 loud bands change by more, in a held tone none.
_HIDDEN = 2.0
#: What is left of the mark where nothing changes: a degree of modulation of 4 %.
_LEAST = 0.25
#: Power below which a band is silent.
_SILENT = 1e-6


class Steadiness:
    """Says of a stream, frame by frame, how much of the mark each band can hide.

    Args:
        bands: how many there are.
    """

    def __init__(self, bands: int) -> None:
        self._before = np.full((REACH, bands), 10 * np.log10(_SILENT))

    def hidden(self, power: NDArray[np.float32]) -> NDArray[np.float64]:
        """The share of the mark that is hidden in some frames.

        Args:
            power: of each band, ``[n + REACH, bands]``: of ``n`` frames that follow the last ones
                given, and of those behind them, which are given again the next time.

        Returns:
            ``[n, bands]``, up to 1.
        """
        count = len(power) - REACH
        levels = np.concatenate([self._before, 10 * np.log10(power + _SILENT)])
        self._before = levels[count : count + REACH]
        moved = np.abs(levels[_APART:] - levels[:-_APART])
        sums = np.concatenate([np.zeros((1, moved.shape[1])), moved.cumsum(axis=0)])
        # Entry k is the mean of what changes end with frames k − _FRAMES + 1 to k bring.
        means = (sums[_FRAMES:] - sums[:-_FRAMES]) / _FRAMES
        before, after = means[:count], means[REACH : REACH + count]
        return np.asarray(np.clip(np.minimum(before, after) / _HIDDEN, _LEAST, 1.0))
