"""Judging a mark whose key and book are known: before upload, and along a suspect file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from watermark.chunks import Chunk, Chunks
from watermark.detection.acquisition import UNCHANGED, read_cells
from watermark.detection.evidence import Trail, gather
from watermark.detection.features import features_of
from watermark.detection.passes import Passes
from watermark.detection.search import PIECE_SECONDS
from watermark.keys import check_key
from watermark.pattern import BANDS, CELL_SECONDS, pattern_of

#: A freshly marked file that scores less in ``self_check`` is too short or too quiet to be
#: told again once it was recompressed.
WEAK_SCORE = 10.0

#: Pieces judged at once, about a minute; the last chunk may have a third more.
_CHUNK_PIECES, _LAST_PIECES = 25, 33
#: Where the middle of a cell's eight frames lies, as a share of the cell.
_CELL_CENTRE = 7 / 16
#: A reading whose data score more for a book is the book's, and no further one is sought.
_BOOK_FOUND = 6.0
#: A piece whose data score more for a book holds its mark; by chance one in a thousand does.
MARKED_SCORE = 3.0


class _Judge(ABC):
    """What judging a stream with one key takes."""

    def __init__(self, rate: int, key: bytes) -> None:
        self._chunks = Chunks(rate, _CHUNK_PIECES * PIECE_SECONDS, _LAST_PIECES * PIECE_SECONDS)
        self._rate = rate
        self._pattern = pattern_of(check_key(key))

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
    """Scores a mark that was just embedded, at its known place and pace, in a stream.

    Feed blocks of any size, then finish. Memory does not grow.

    Args:
        rate: samples a second, 8,000 to 192,000.
        key: the secret.
        book_index: the book.

    Raises:
        WatermarkKeyError: the key cannot serve.
        ValueError: another argument is out of range.
    """

    def __init__(self, rate: int, key: bytes, book_index: int) -> None:
        super().__init__(rate, key)
        self._codeword = self._pattern.codeword(book_index)
        self._start = self._pattern.start(book_index)
        self._total = self._energy = 0.0

    def finish(self) -> float:
        """The score; see ``self_check``."""
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
        samples: as ``watermark.embed`` gave them, from the first, perhaps rounded to 16 bits.
        rate: samples a second.
        key: the secret.
        book_index: the book.

    Returns:
        Standard deviations; without the mark it is above 6 once in a billion times. A minute of
        speech gives about 80; 0 for silence. Compare with ``WEAK_SCORE``.

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
    """Finds where along a stream the marks of books are. It takes as long as detection does.

    Feed blocks of any size, then finish. Memory grows by a few bytes a second.

    Args:
        rate: samples a second, 8,000 to 192,000.
        key: the secret.
        book_indices: the books.

    Raises:
        WatermarkKeyError: the key cannot serve.
        ValueError: another argument is out of range.
    """

    def __init__(self, rate: int, key: bytes, book_indices: Sequence[int]) -> None:
        super().__init__(rate, key)
        self._books = list(book_indices)
        self._codewords = [self._pattern.codeword(index) for index in self._books]
        self._passes = Passes(self._pattern)
        self._rows: list[NDArray[np.float64]] = []

    def finish(self) -> list[Trace]:
        """Each book's trace of all that was fed."""
        self._flush()
        rows = np.concatenate(self._rows or [self._no_mark(1)])
        seconds = np.asarray((np.arange(len(rows)) + 0.5) * PIECE_SECONDS, np.float64)
        return [
            Trace(seconds, score, pilot, np.where(score > MARKED_SCORE, place, np.nan))
            for score, pilot, place in rows.transpose(1, 2, 0)
        ]

    def _no_mark(self, pieces: int) -> NDArray[np.float64]:
        """Score, pilot and second of the narration, ``[pieces, book, 3]``."""
        return np.tile([0.0, 0.0, np.nan], (pieces, len(self._books), 1))

    def _judge(self, chunk: Chunk) -> None:
        length = len(chunk.samples) / self._rate
        rows = self._no_mark(max(1, -int(-length // PIECE_SECONDS)))
        self._rows.append(rows)
        peak = np.abs(chunk.samples).max()
        if length < PIECE_SECONDS or not peak:
            return
        for trail in self._trails(chunk.samples / peak, chunk.begin / self._rate):
            at = (trail.seconds / PIECE_SECONDS).astype(int)
            for piece in np.unique(at[(at >= 0) & (at < len(rows))]):
                rows[piece] = self._row(trail.part(at == piece))

    def _trails(self, samples: NDArray[np.float32], begin: float) -> tuple[Trail, ...]:
        """Along the likeliest reading of the first search that finds one of the books."""
        likeliest: tuple[Trail, ...] = ()
        features = features_of(samples, self._rate)
        for readings in self._passes.over(features, samples, self._rate, begin):
            if not readings:
                continue
            evidence = gather(self._pattern, readings[0].trails)
            scores = np.array(self._codewords) @ evidence.bits / np.sqrt(evidence.energy + 1e-6)
            if scores.max() > _BOOK_FOUND:
                self._passes.remember(readings[0].trails[0].line.change)
                return readings[0].trails
            likeliest = likeliest or readings[0].trails
        return likeliest

    def _row(self, part: Trail) -> NDArray[np.float64]:
        """What a piece says of each book, ``[book, 3]``."""
        evidence = gather(self._pattern, [part])
        bits = evidence.bits / np.sqrt(evidence.energy + 1e-6)
        pilot = float(part.pilot.sum() / np.sqrt(float(part.energy.sum()) + 1e-6))
        middle = int(part.places[len(part.places) // 2])
        return np.array(
            [
                (float(codeword @ bits), pilot, self._pattern.seconds_into(index, middle))
                for codeword, index in zip(self._codewords, self._books, strict=True)
            ]
        )


def score_along(samples: ArrayLike, rate: int, key: bytes, book_index: int) -> Trace:
    """Where along a file a book's mark is, for a picture of it.

    Args:
        samples: as for ``watermark.detect``.
        rate: samples a second.
        key: the secret.
        book_index: the book that was found.

    Raises:
        WatermarkKeyError: the key cannot serve.
        ValueError: another argument is out of range.
    """
    tracer = Tracer(rate, key, [book_index])
    tracer.feed(samples)
    return tracer.finish()[0]
