"""Judging a mark whose key and book are known: before upload, and along a suspect file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from watermark.acquisition import UNCHANGED, read_cells
from watermark.chunks import Chunk, Chunks
from watermark.evidence import Trail, gather
from watermark.features import features_of
from watermark.keys import check_key
from watermark.pattern import BANDS, CELL_SECONDS, pattern_of
from watermark.search import PIECE_SECONDS, search

#: A freshly marked file that scores less in :func:`self_check` is too short or too quiet to be
#: told again once it was recompressed.
WEAK_SCORE = 10.0

#: Pieces judged at once, about a minute; the last chunk may have a third more.
_CHUNK_PIECES, _LAST_PIECES = 25, 33
#: Where the middle of a cell's eight frames lies, as a share of the cell.
_CELL_CENTRE = 7 / 16
#: Score, pilot and second of the narration of a piece without a mark, ``[1, 3]``.
_NO_MARK = np.array([[0.0, 0.0, np.nan]])


class _Judge(ABC):
    """What judging a stream by one book takes: feed blocks of any size, then finish.

    Memory does not grow but for a few bytes a second.

    Args:
        rate: samples a second, 8,000 to 192,000.
        key: the secret.
        book_index: the book.

    Raises:
        WatermarkKeyError: the key cannot serve.
        ValueError: another argument is out of range.
    """

    def __init__(self, rate: int, key: bytes, book_index: int) -> None:
        self._chunks = Chunks(rate, _CHUNK_PIECES * PIECE_SECONDS, _LAST_PIECES * PIECE_SECONDS)
        self._rate = rate
        self._pattern = pattern_of(check_key(key))
        self._book_index = book_index
        self._codeword = self._pattern.codeword(book_index)

    def feed(self, block: ArrayLike) -> None:
        """Take samples in.

        Args:
            block: ``[n]`` or ``[n, channels]``, float or integer PCM. What is not finite is taken
                as silence.

        Raises:
            ValueError: the shape or type is no sound's.
        """
        for chunk in self._chunks.feed(block):
            self._judge(chunk)

    def _flush(self) -> None:
        for chunk in self._chunks.finish():
            self._judge(chunk)

    @abstractmethod
    def _judge(self, chunk: Chunk) -> None: ...


class SelfCheck(_Judge):
    """Scores a mark that was just embedded, at its known place and pace, in a stream."""

    def __init__(self, rate: int, key: bytes, book_index: int) -> None:
        super().__init__(rate, key, book_index)
        self._start = self._pattern.start(book_index)
        self._total = self._energy = 0.0

    def finish(self) -> float:
        """The score; see :func:`self_check`."""
        self._flush()
        return self._total / float(np.sqrt(self._energy)) if self._energy > 0 else 0.0

    def _judge(self, chunk: Chunk) -> None:
        begin = chunk.begin / self._rate
        first = round(begin / CELL_SECONDS)
        count = int(len(chunk.samples) / self._rate / CELL_SECONDS + 0.01)
        if not count or not chunk.samples.any():
            return
        # The chunk begins up to half a sample off the cell's edge.
        lag = first * CELL_SECONDS - begin
        seconds = np.asarray((np.arange(count) + _CELL_CENTRE) * CELL_SECONDS + lag, np.float64)
        features = features_of(chunk.samples, self._rate)
        cells = read_cells(features, UNCHANGED, seconds, np.arange(BANDS))
        signs = self._pattern.book_signs(self._codeword, self._start + first + np.arange(count))
        self._total += float((cells * signs).sum())
        self._energy += float(np.square(cells).sum())


def self_check(samples: ArrayLike, rate: int, key: bytes, book_index: int) -> float:
    """The score of a mark that was just embedded, at its known place and pace.

    Args:
        samples: as :func:`watermark.embed` gave them, from the first, perhaps rounded to 16 bits.
        rate: samples a second.
        key: the secret.
        book_index: the book.

    Returns:
        Standard deviations; without the mark it is above 6 once in a billion times. A minute of
        speech gives about 80; 0 for silence. Compare with :data:`WEAK_SCORE`.

    Raises:
        WatermarkKeyError: the key cannot serve.
        ValueError: another argument is out of range.
    """
    check = SelfCheck(rate, key, book_index)
    check.feed(samples)
    return check.finish()


@dataclass(frozen=True)
class Trace:
    """A book's score along a file.

    Attributes:
        seconds: the middle of each piece, 2.4 s apart, ``[n]``.
        score: of the book's data in each piece, in standard deviations, ``[n]``; around 0 where
            its mark is not. A clean copy gives about 10.
        pilot: of the key's pilot, whichever book's it is, ``[n]``.
        place: which second of the narration each piece is, not a number where there is no mark,
            ``[n]``; a jump is a cut.
    """

    seconds: NDArray[np.float64]
    score: NDArray[np.float64]
    pilot: NDArray[np.float64]
    place: NDArray[np.float64]


class Tracer(_Judge):
    """Finds where along a stream a book's mark is. It takes as long as detection does."""

    def __init__(self, rate: int, key: bytes, book_index: int) -> None:
        super().__init__(rate, key, book_index)
        self._rows: list[NDArray[np.float64]] = []

    def finish(self) -> Trace:
        """The trace of all that was fed."""
        self._flush()
        score, pilot, place = np.concatenate(self._rows or [_NO_MARK]).T
        seconds = np.asarray((np.arange(len(score)) + 0.5) * PIECE_SECONDS, np.float64)
        return Trace(seconds, score, pilot, np.where(score > 3, place, np.nan))

    def _judge(self, chunk: Chunk) -> None:
        length = len(chunk.samples) / self._rate
        rows = np.repeat(_NO_MARK, max(1, -int(-length // PIECE_SECONDS)), axis=0)
        self._rows.append(rows)
        peak = np.abs(chunk.samples).max()
        if length < PIECE_SECONDS or not peak:
            return
        features = features_of(chunk.samples / peak, self._rate)
        readings = search(self._pattern, features, length)
        for trail in readings[0].trails if readings else ():
            at = (trail.seconds / PIECE_SECONDS).astype(int)
            for piece in np.unique(at[(at >= 0) & (at < len(rows))]):
                rows[piece] = self._row(trail.part(at == piece))

    def _row(self, part: Trail) -> tuple[float, float, float]:
        """Score, pilot and second of the narration of a piece."""
        evidence = gather(self._pattern, [part])
        score = float(self._codeword @ evidence.bits / np.sqrt(evidence.energy + 1e-6))
        pilot = float(part.pilot.sum() / np.sqrt(float(part.energy.sum()) + 1e-6))
        middle = int(part.places[len(part.places) // 2])
        return score, pilot, self._pattern.seconds_into(self._book_index, middle)


def score_along(samples: ArrayLike, rate: int, key: bytes, book_index: int) -> Trace:
    """Where along a file a book's mark is, for a picture of it.

    Args:
        samples: as for :func:`watermark.detect`.
        rate: samples a second.
        key: the secret.
        book_index: the book that was found.

    Raises:
        WatermarkKeyError: the key cannot serve.
        ValueError: another argument is out of range.
    """
    tracer = Tracer(rate, key, book_index)
    tracer.feed(samples)
    return tracer.finish()
