"""What the detector looks at: how each spot of the spectrogram stands out from its neighbours.

A mark raises or lowers cells by a decibel or so, the voice itself varies by twenty. But what the
voice does at one moment it does to neighbouring bands alike. So each spot's level is taken relative
to the two bands on either side at the same moment, only then averaged over a cell's length,
measured in local deviations, and cut off where it is plainly the voice's doing. (Comparing with the
neighbours in time as well, as is usual, brings the voice's onsets back in: a cell then tells a
third as much.) Spots near the noise floor, where the noise and not the mark decides, count less,
and so do spots among lively neighbours, where the mark is the smaller part of what is seen.

Levels are taken on a grid finer than the pattern's, so that a changed speed or pitch is a matter of
where to read it, not of computing it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from watermark.pattern import BAND_HZ, BANDS, CELL_SECONDS, LOWEST_HZ

#: Frames in a cell; their hop is a quarter of a cell, 21 ms.
FRAMES_A_CELL = 4
#: Readings in a band, 23 Hz apart.
_READINGS_A_BAND = 4
#: The grid spans the pattern's bands at pitches of ±7 % around what it was made for.
MARGIN = 1.07
_GRID_HZ = BAND_HZ / _READINGS_A_BAND
#: The transform's window in hops: 85 ms tell harmonics from the noise between them.
_WINDOW_HOPS = 4
#: The bands that a spot is compared with at the same moment.
_ABREAST_BANDS = 4
#: The neighbourhood whose deviation is the unit, in cells and in bands.
_AROUND_CELLS = 1
_AROUND_BANDS = 5
_CLIP = 2.0
#: A band's noise floor is this percentile of its level, raised by a little, in nepers.
_FLOOR_PERCENTILE = 8
_FLOOR_MARGIN = 0.2
_SILENCE = np.float32(1e-7)
#: Deviations below this are rounding, not sound.
_STILL = np.float32(1e-2)
#: What is seen is this and the mark even where neighbours hardly differ, in nepers.
_LEAST_DEVIATION = np.float32(0.3)
#: How fast a spot gains weight above the floor: in power, and a little more cautiously.
_WEIGHT_EXPONENT = 1.5


@dataclass(frozen=True)
class Features:
    """Evidence on a fine grid of time and frequency.

    Attributes:
        values: ``[frames, grid]``, zero where there is nothing to see.
        frames_a_second: frame rate; frame 0 is centred on sample 0.
        pitch: the pitch that the grid was made for.
        margin: how far other pitches may be from it, as a factor.
    """

    values: NDArray[np.float32]
    frames_a_second: float
    pitch: float = 1.0
    margin: float = MARGIN

    @cached_property
    def power(self) -> NDArray[np.float64]:
        """What frames say up to each, from none on, ``[frames + 1]``."""
        said = np.square(self.values).sum(axis=1).cumsum()
        return np.asarray(np.concatenate([[0.0], said]), np.float64)

    def bands(self, pitch: float, bands: NDArray[np.intp]) -> NDArray[np.float32]:
        """Readings of bands of sound whose frequencies were multiplied by ``pitch``."""
        return self.at(slice(None), pitch, bands)

    def at(
        self, frames: slice | NDArray[np.intp], pitch: float, bands: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        """The same of some frames, ``[frames, bands]``."""
        centres = (LOWEST_HZ + (bands + 0.5) * BAND_HZ) * (pitch / self.pitch)
        at = (centres - LOWEST_HZ / self.margin) / _GRID_HZ
        low = np.clip(at.astype(int), 0, self.values.shape[1] - 2)
        part = (at - low).astype(np.float32)
        values = self.values[frames]
        below, above = values[:, low], values[:, low + 1]
        return np.asarray(below + (above - below) * part, np.float32)


def between_frames(readings: NDArray[np.float32], at: NDArray[np.float64]) -> NDArray[np.float32]:
    """Readings at fractional frames, ``[len(at), bands]``; the outermost frames hold beyond."""
    low = np.clip(at.astype(int), 0, max(len(readings) - 2, 0))
    part = np.clip(at - low, 0, 1).astype(np.float32)[:, None]
    below, above = readings[low], readings[np.minimum(low + 1, len(readings) - 1)]
    return np.asarray(below + (above - below) * part, np.float32)


def _grid(margin: float) -> NDArray[np.float64]:
    """Where the grid reads, Hz, if nothing was changed."""
    begin = LOWEST_HZ / margin
    end = int((LOWEST_HZ + BANDS * BAND_HZ) * margin / _GRID_HZ) + 1
    return np.asarray(begin + _GRID_HZ * np.arange(end - int(begin / _GRID_HZ)), np.float64)


def _band_means(bin_hz: float, bins: int, centre: NDArray[np.float64]) -> NDArray[np.float32]:
    """Weights that average transform bins over a band around each reading, ``[bins, grid]``."""
    edges = (np.arange(bins + 1) - 0.5) * bin_hz
    inside = np.clip(
        (edges[:, None] - (centre - BAND_HZ / 2)) / BAND_HZ,
        0,
        1,
    )
    weights: NDArray[np.float32] = np.diff(inside, axis=0).astype(np.float32)
    return weights


def features_of(
    samples: NDArray[np.float32],
    rate: int,
    *,
    pace: float = 1.0,
    pitch: float = 1.0,
    margin: float = MARGIN,
) -> Features:
    """Read a stretch of mono sound, seconds to minutes long.

    Args:
        samples: ``[n]``, finite.
        rate: samples a second.
        pace: how much faster it is held to run; frames are so much shorter.
        pitch: how much higher it is held to sound; bands are so much wider.
        margin: by which factor the pitches that are read may differ from that.

    Returns:
        Features of ``n // hop + 1`` frames.
    """
    hop = round(rate * CELL_SECONDS / FRAMES_A_CELL / pace)
    size = _WINDOW_HOPS * hop
    silence = np.zeros(size // 2, np.float32)
    padded = np.concatenate([silence, samples, silence])
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    phase = 2 * np.pi * np.arange(size) / size
    window = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
    # Padded with silence where a length of large prime factors would take five times as long.
    transform = scipy.fft.next_fast_len(size, real=True)
    bin_hz = rate / transform / pitch
    grid = _grid(margin)
    bins = min(transform // 2 + 1, int((grid[0] + len(grid) * _GRID_HZ) / bin_hz) + 5)
    spectrum = scipy.fft.rfft(frames * window, n=transform, axis=1)[:, :bins]
    level = np.abs(spectrum) @ _band_means(bin_hz, bins, grid)
    return Features(_standing_out(np.log(level + _SILENCE)), rate / hop, pitch, margin)


def _standing_out(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """What ``Features`` holds, from levels in nepers, ``[frames, grid]``."""
    abreast = (1, _ABREAST_BANDS * _READINGS_A_BAND)
    around = (_AROUND_CELLS * FRAMES_A_CELL, _AROUND_BANDS * _READINGS_A_BAND)
    over_cell = (FRAMES_A_CELL, 1)
    apart = uniform_filter(level - uniform_filter(level, abreast, mode="nearest"), over_cell)
    # A running mean of squares can fall below zero by rounding.
    spread = np.maximum(uniform_filter(apart * apart, around, mode="nearest"), 0)
    held = uniform_filter(level, over_cell, mode="nearest")
    floor = np.percentile(held, _FLOOR_PERCENTILE, axis=0, keepdims=True) + _FLOOR_MARGIN
    weight = (-np.expm1(-2 * np.maximum(held - floor, 0))) ** _WEIGHT_EXPONENT
    deviation = np.sqrt(spread) + _STILL
    values = np.clip(apart / deviation, -_CLIP, _CLIP) * weight / (deviation + _LEAST_DEVIATION)
    return np.asarray(values, np.float32)
