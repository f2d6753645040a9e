"""Embedding: slow gain changes of a decibel or two, cell by cell.

The mark multiplies what is there, so speech masks it and silence stays silent. Frames of 43 ms, a
quarter apart, are transformed; each band is raised or lowered as the pattern says, with the steps
between cells smoothed over three frames, and by less where a tone is held that would not hide it;
only the difference is transformed back and added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from watermark.keys import check_key
from watermark.marking.public import DEFAULT_PUBLIC_DB
from watermark.marking.steadiness import REACH, Steadiness
from watermark.pattern import BAND_HZ, BANDS, CELL_SECONDS, LOWEST_HZ, pattern_of
from watermark.public_pattern import public_signs
from watermark.samples import as_float, check_rate

#: How far a cell is raised or lowered unless told otherwise, in the middle of the range.
DEFAULT_STRENGTH_DB = 1.5
MAX_STRENGTH_DB = 6.0

#: Strength of each band relative to the nominal: it rises with frequency, because the lowest
#: harmonics are heard best and the mark is read best above them. At the same PESQ a cell tells a
#: sixth more than with the same strength everywhere.
_TILT = np.interp(
    np.log(LOWEST_HZ + (np.arange(BANDS) + 0.5) * BAND_HZ), np.log([300, 6_000]), [0.56, 1.21]
).astype(np.float32)

#: Hops to a cell: at 24 kHz a hop is 256 samples. The window is ``_OVERLAP`` hops.
_HOPS_A_CELL = 8
_OVERLAP = 4
#: Frames transformed at once. Fixed, so that the result does not depend on how samples are fed.
_BATCH = 256
#: The sum of squared Hann windows a quarter apart.
_WINDOW_GAIN = 1.5


#: The signs of cells, counted from the first, ``[n]`` to ``[n, BANDS]``.
Signs = Callable[[NDArray[np.intp]], NDArray[np.int8]]


def _secret(key: bytes, book_index: int) -> Signs:
    """The signs of a book's mark."""
    pattern = pattern_of(check_key(key))
    codeword, start = pattern.codeword(book_index), pattern.start(book_index)
    return lambda cells: pattern.book_signs(codeword, start + cells)


def _checked(strength_db: float, name: str) -> float:
    if not 0 < strength_db <= MAX_STRENGTH_DB:
        raise ValueError(
            f"{name} is {strength_db}; it must be above 0 and at most {MAX_STRENGTH_DB:g}"
        )
    return strength_db


class _Marker:
    """Raises and lowers the cells of a stream as one or two marks say.

    Args:
        rate: samples a second, 8,000 to 192,000.
        channels: 1 for blocks ``[n]``, else blocks are ``[n, channels]``.
        marks: the signs of each mark and how far it raises or lowers, dB.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, rate: int, channels: int, marks: Sequence[tuple[Signs, float]]) -> None:
        check_rate(rate)
        if channels < 1:
            raise ValueError(f"channels is {channels}; it must be at least 1")
        self._marks = tuple(marks)
        self._channels = channels
        self._rate = rate
        self._hop = round(rate * CELL_SECONDS / _HOPS_A_CELL)
        size = _OVERLAP * self._hop
        phase = 2 * np.pi * np.arange(size) / size
        self._window = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
        centres = np.arange(size // 2 + 1) * rate / size
        band = np.floor((centres - LOWEST_HZ) / BAND_HZ).astype(int)
        marked = np.flatnonzero((band >= 0) & (band < BANDS))
        self._bins = slice(int(marked[0]), int(marked[-1]) + 1)
        self._band_of_bin = band[self._bins]
        self._first_bins = np.flatnonzero(np.diff(self._band_of_bin, prepend=-1))
        self._marked_bands = self._band_of_bin[self._first_bins]
        self._steadiness = Steadiness(BANDS)
        # The first frame that touches sample 0 is centred one hop before it.
        self._frame = -1
        self._lead = (_OVERLAP - 1) * self._hop
        self._waiting = np.zeros((channels, self._lead), np.float32)
        self._tail = np.zeros((channels, self._lead), np.float32)
        self._fed = 0
        self._given = 0

    def feed(self, block: ArrayLike) -> NDArray[np.float32]:
        """Take samples in, give finished ones out.

        Args:
            block: ``[n]``, or ``[n, channels]``; finite, within −1..1; integers are scaled.

        Returns:
            Marked samples in the same layout; possibly none yet.

        Raises:
            ValueError: the layout differs from what was announced, or a sample is not finite.
        """
        samples = as_float(block)
        if samples.ndim == 1:
            samples = samples[:, None]
        if samples.shape[1] != self._channels:
            raise ValueError(f"a block has {samples.shape[1]} channels, not {self._channels}")
        if not np.isfinite(samples).all():
            raise ValueError("samples hold a value that is not finite; there is nothing to mark")
        self._fed += len(samples)
        self._waiting = np.concatenate([self._waiting, samples.T], axis=1)
        return self._layout(self._drain())

    def finish(self) -> NDArray[np.float32]:
        """The marked samples that were still held back, ``[n]`` or ``[n, channels]``."""
        owed = self._fed - self._given
        batch = _BATCH * self._hop
        padding = -(-owed // batch) * batch + self._lead + REACH * self._hop
        silence = np.zeros((self._channels, padding), np.float32)
        self._waiting = np.concatenate([self._waiting, silence], axis=1)
        return self._layout(self._drain()[:, :owed])

    def _layout(self, marked: NDArray[np.float32]) -> NDArray[np.float32]:
        self._given += marked.shape[1]
        return np.ascontiguousarray(marked[0] if self._channels == 1 else marked.T)

    def _drain(self) -> NDArray[np.float32]:
        """Mark whole batches out of what waits; ``[channels, n]``."""
        done = []
        batch = _BATCH * self._hop
        ahead = self._lead + REACH * self._hop
        while self._waiting.shape[1] >= batch + ahead:
            span = self._waiting[:, : batch + ahead]
            marked = span[:, :batch] + self._difference(span)
            # What lies before sample 0 is not the caller's.
            done.append(marked[:, self._lead if self._frame < 0 else 0 :])
            self._waiting = self._waiting[:, batch:]
            self._frame += _BATCH
        if not done:
            return np.zeros((self._channels, 0), np.float32)
        return np.clip(np.concatenate(done, axis=1), -1, 1)

    def _difference(self, span: NDArray[np.float32]) -> NDArray[np.float32]:
        """What a batch of frames adds to its samples; ``[channels, _BATCH * hop]``.

        ``span`` goes on beyond the batch, so that it is known what is held.
        """
        hop, size = self._hop, len(self._window)
        frames = np.lib.stride_tricks.sliding_window_view(span, size, axis=1)[:, ::hop]
        spectra = scipy.fft.rfft(frames * self._window, axis=2)
        gain = self._gain(self._hidden(spectra))
        added = np.zeros((self._channels, _BATCH + _OVERLAP - 1, hop), np.float32)
        for channel in range(self._channels):
            spectrum = spectra[channel, :_BATCH]
            change = np.zeros_like(spectrum)
            change[:, self._bins] = spectrum[:, self._bins] * gain
            back = scipy.fft.irfft(change, n=size, axis=1) * self._window
            for quarter in range(_OVERLAP):
                part = back[:, quarter * hop : (quarter + 1) * hop]
                added[channel, quarter : quarter + _BATCH] += part
        flat = added.reshape(self._channels, -1)
        flat[:, : self._lead] += self._tail
        self._tail = flat[:, _BATCH * hop :].copy()
        return flat[:, : _BATCH * hop]

    def _hidden(self, spectra: NDArray[np.complex64]) -> NDArray[np.float64]:
        """The share of the mark that each frame of the batch hides in each band."""
        power = np.square(np.abs(spectra[:, :, self._bins])).sum(axis=0)
        of_bands = np.zeros((len(power), BANDS), np.float32)
        of_bands[:, self._marked_bands] = np.add.reduceat(power, self._first_bins, axis=1)
        return self._steadiness.hidden(of_bands)

    def _gain(self, hidden: NDArray[np.float64]) -> NDArray[np.float32]:
        """Gain less one of each frame of the batch and each marked bin."""
        frames = np.arange(self._frame - 1, self._frame + _BATCH + 1)
        cells = np.floor(frames * (self._hop / (self._rate * CELL_SECONDS)) + 1e-9).astype(int)
        total = np.zeros((_BATCH, BANDS))
        for signs_of, strength in self._marks:
            signs = signs_of(cells).astype(np.float32)
            smooth = 0.25 * signs[:-2] + 0.5 * signs[1:-1] + 0.25 * signs[2:]
            total += strength * _TILT * np.log(10) / 20 * smooth
        gain = np.expm1(total * hidden) / _WINDOW_GAIN
        return gain[:, self._band_of_bin].astype(np.float32)


class Embedder(_Marker):
    """Marks a stream: feed blocks of any size, the same samples come out as from ``embed``.

    Output lags input by up to three and a half seconds; ``finish`` gives the rest. Memory does not
    grow.

    Args:
        rate: samples a second, 8,000 to 192,000.
        key: the secret, at least 16 bytes.
        book_index: what the mark says, 0 to 2**32 − 1.
        channels: 1 for blocks ``[n]``, else blocks are ``[n, channels]``.
        strength_db: how far a cell is raised or lowered, above 0 and at most 6.
        public_db: how far the public mark beside it does (``watermark.marking.public``); 0 for
            none.

    Raises:
        WatermarkKeyError: the key cannot serve.
        ValueError: another argument is out of range.
    """

    def __init__(
        self,
        rate: int,
        key: bytes,
        book_index: int,
        *,
        channels: int = 1,
        strength_db: float = DEFAULT_STRENGTH_DB,
        public_db: float = 0.0,
    ) -> None:
        marks = [(_secret(key, book_index), _checked(strength_db, "strength_db"))]
        if public_db:
            marks.append((public_signs, _checked(public_db, "public_db")))
        super().__init__(rate, channels, marks)


class PublicEmbedder(_Marker):
    """Puts the public mark alone on a stream, as ``Embedder`` does the secret one.

    Args:
        rate: samples a second, 8,000 to 192,000.
        channels: 1 for blocks ``[n]``, else blocks are ``[n, channels]``.
        public_db: how far a cell is raised or lowered, above 0 and at most 6.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self, rate: int, *, channels: int = 1, public_db: float = DEFAULT_PUBLIC_DB
    ) -> None:
        super().__init__(rate, channels, [(public_signs, _checked(public_db, "public_db"))])


def embed(
    samples: ArrayLike,
    rate: int,
    key: bytes,
    book_index: int,
    *,
    strength_db: float = DEFAULT_STRENGTH_DB,
    public_db: float = 0.0,
) -> NDArray[np.float32]:
    """Mark samples with a book's index.

    The same samples, key and index give the same result, bit for bit. Beyond input and output it
    needs a few megabytes, however long the input.

    Args:
        samples: ``[n]`` or ``[n, channels]``; finite, within −1..1; integer PCM is scaled. Any
            length; what is shorter than ``watermark.MIN_SECONDS`` cannot be told again.
        rate: samples a second, 8,000 to 192,000.
        key: the secret, at least 16 bytes.
        book_index: 0 to 2**32 − 1.
        strength_db: how far a cell is raised or lowered.
        public_db: how far the public mark beside it does; 0 for none.

    Returns:
        The marked samples, same shape, clipped to −1..1.

    Raises:
        WatermarkKeyError: the key cannot serve.
        ValueError: a sample is not finite, or an argument is out of range.
    """
    samples = np.asarray(samples)
    channels = samples.shape[1] if samples.ndim == 2 else 1
    embedder = Embedder(
        rate, key, book_index, channels=channels, strength_db=strength_db, public_db=public_db
    )
    return _through(embedder, samples, rate)


def embed_public(
    samples: ArrayLike, rate: int, *, public_db: float = DEFAULT_PUBLIC_DB
) -> NDArray[np.float32]:
    """Put the public mark alone on samples.

    Args:
        samples: ``[n]`` or ``[n, channels]``; finite, within −1..1; integer PCM is scaled.
        rate: samples a second, 8,000 to 192,000.
        public_db: how far a cell is raised or lowered.

    Returns:
        The marked samples, same shape, clipped to −1..1.

    Raises:
        ValueError: a sample is not finite, or an argument is out of range.
    """
    samples = np.asarray(samples)
    channels = samples.shape[1] if samples.ndim == 2 else 1
    return _through(PublicEmbedder(rate, channels=channels, public_db=public_db), samples, rate)


def _through(marker: _Marker, samples: NDArray[Any], rate: int) -> NDArray[np.float32]:
    marked = np.empty(samples.shape, np.float32)
    written = 0
    block = 4 * rate
    for first in range(0, len(samples), block):
        out = marker.feed(samples[first : first + block])
        marked[written : written + len(out)] = out
        written += len(out)
    marked[written:] = marker.finish()
    return marked
