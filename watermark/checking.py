"""Judging a mark whose key and book are known: before upload, and along a suspect file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from watermark.acquisition import UNCHANGED, read_cells
from watermark.evidence import Trail, gather
from watermark.features import features_of
from watermark.keys import check_key
from watermark.pattern import BANDS, CELL_SECONDS, Pattern, pattern_of
from watermark.samples import as_float, check_rate, mono
from watermark.search import PIECE_SECONDS, search

#: A freshly marked file that scores less in :func:`self_check` is too short or too quiet to be
#: told again once it was recompressed.
WEAK_SCORE = 10.0

#: Cells judged at once, about a minute.
_CHUNK_CELLS = 700
#: Where the middle of a cell's eight frames lies, as a share of the cell.
_CELL_CENTRE = 7 / 16


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
    check_rate(rate)
    pattern = pattern_of(check_key(key))
    codeword = pattern.codeword(book_index)
    start = pattern.start(book_index)
    sound = mono_of(samples)
    total, energy = 0.0, 0.0
    for first in range(0, int(len(sound) / rate / CELL_SECONDS), _CHUNK_CELLS):
        begin = round(first * CELL_SECONDS * rate)
        end = round((first + _CHUNK_CELLS) * CELL_SECONDS * rate)
        chunk = sound[begin:end]
        count = int(len(chunk) / rate / CELL_SECONDS + 0.01)
        if not count or not chunk.any():
            continue
        # The chunk begins up to half a sample off the cell's edge.
        lag = first * CELL_SECONDS - begin / rate
        seconds = np.asarray((np.arange(count) + _CELL_CENTRE) * CELL_SECONDS + lag, np.float64)
        cells = read_cells(features_of(chunk, rate), UNCHANGED, seconds, np.arange(BANDS))
        signs = pattern.book_signs(codeword, start + first + np.arange(count))
        total += float((cells * signs).sum())
        energy += float(np.square(cells).sum())
    return total / float(np.sqrt(energy)) if energy > 0 else 0.0


def mono_of(samples: ArrayLike) -> NDArray[np.float32]:
    """Samples of any layout as one channel, what is not finite as silence."""
    array = as_float(samples)
    array = array[:, None] if array.ndim == 1 else array
    return mono(np.where(np.isfinite(array), array, np.float32(0)))


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


def score_along(samples: ArrayLike, rate: int, key: bytes, book_index: int) -> Trace:
    """Where along a file a book's mark is, for a picture of it.

    It takes as long as :func:`watermark.detect` does.

    Args:
        samples: as for :func:`watermark.detect`.
        rate: samples a second.
        key: the secret.
        book_index: the book that was found.

    Raises:
        WatermarkKeyError: the key cannot serve.
        ValueError: another argument is out of range.
    """
    check_rate(rate)
    pattern = pattern_of(check_key(key))
    codeword = pattern.codeword(book_index)
    sound = mono_of(samples)
    pieces = max(1, -int(-len(sound) / rate // PIECE_SECONDS))
    score, pilot = np.zeros(pieces), np.zeros(pieces)
    place = np.full(pieces, np.nan)
    a_chunk = 25
    for first in range(0, pieces, a_chunk):
        begin = round(first * PIECE_SECONDS * rate)
        chunk = sound[begin : round((first + a_chunk) * PIECE_SECONDS * rate)]
        length = len(chunk) / rate
        if length < PIECE_SECONDS or not chunk.any():
            continue
        readings = search(pattern, features_of(chunk / np.abs(chunk).max(), rate), length)
        for trail in readings[0].trails if readings else ():
            at = (trail.seconds / PIECE_SECONDS).astype(int)
            for piece in np.unique(at[(at >= 0) & (first + at < pieces)]):
                part = trail.part(at == piece)
                evidence = gather(pattern, [part])
                energy = float(part.energy.sum())
                score[first + piece] = codeword @ evidence.bits / np.sqrt(evidence.energy + 1e-6)
                pilot[first + piece] = part.pilot.sum() / np.sqrt(energy + 1e-6)
                place[first + piece] = _narration_second(pattern, book_index, part)
    seconds = np.asarray((np.arange(pieces) + 0.5) * PIECE_SECONDS, np.float64)
    return Trace(seconds, score, pilot, np.where(score > 3, place, np.nan))


def _narration_second(pattern: Pattern, book_index: int, part: Trail) -> float:
    middle = int(part.places[len(part.places) // 2])
    return pattern.seconds_into(book_index, middle)
