"""Readings against books: by candidate, and by blind decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watermark.detection.evidence import Evidence
from watermark.pattern import Pattern
from watermark.payload import CODED_BITS, INDEX_LIMIT, decode, encode, index_of, payload_of
from watermark.statistics import false_positive_bound

#: Codewords multiplied at once.
_BATCH = 8192
#: A book must account for this share of the score of the likeliest payload of all. A mark of the
#: same key for a book that is not among the candidates is like a little of every candidate's: a
#: tenth, a fifth among very many. The right book reaches seven tenths even where it is barely
#: beyond chance.
_SHARE = 0.6
#: Scores below this prove nothing whatever their share, and are reported as they are.
_CHANCE = 6.0
#: Decoding's part of the false positives allowed.
_BLIND_ALLOWANCE = 0.1


@dataclass(frozen=True)
class Match:
    """A book and how well a reading fits it.

    Attributes:
        book_index: which.
        score: in standard deviations.
        blind: whether decoding gave the book, else it was a candidate.
        reading: the number of the row of evidence.
    """

    book_index: int
    score: float
    blind: bool
    reading: int

    def false_positive(self, readings: int, candidates: int) -> float:
        """The bound for a search of so many readings and candidates."""
        return false_positive_bound(self.score, self.hypotheses(readings, candidates))

    def hypotheses(self, readings: int, candidates: int) -> float:
        """For how many tests a search of so many readings and candidates counts.

        A decoded payload is held to have been chosen among all indices there can be. Where both
        ways are tried, a tenth of the allowance goes to decoding, which gains nothing from more.
        """
        books = INDEX_LIMIT if self.blind else candidates
        share = 1.0 if not candidates else _BLIND_ALLOWANCE if self.blind else 1 - _BLIND_ALLOWANCE
        return readings * books / share


class Scorer:
    """Scores evidence against one key's candidates, and decodes it.

    Args:
        pattern: the key's.
        candidates: book indices, ``[n]``; may be empty.
    """

    def __init__(self, pattern: Pattern, candidates: NDArray[np.uint32]) -> None:
        self._pattern = pattern
        self.candidates = candidates
        # A bit a coded bit: 36 bytes a book, so that a million books take 40 MB.
        self._codewords = np.empty((len(candidates), CODED_BITS // 8), np.uint8)
        for first in range(0, len(candidates), _BATCH):
            batch = slice(first, first + _BATCH)
            payloads = [payload_of(pattern.key, int(index)) for index in candidates[batch]]
            coded = encode(np.array(payloads, np.uint64))
            self._codewords[batch] = np.packbits(coded > 0, axis=1)

    def matches(self, evidence: Sequence[Evidence]) -> list[Match]:
        """The best candidate and the decoded book of each row, where there are any."""
        if not evidence:
            return []
        energy = np.array([each.energy for each in evidence], np.float32)
        norms = np.sqrt(energy + np.float32(1e-6))
        bits = np.stack([each.bits for each in evidence]) / norms[:, None]
        found: list[Match] = []
        lists = decode(bits)
        likeliest = np.empty(len(bits), np.float32)
        for row, payloads in enumerate(lists):
            codewords = encode(np.array(payloads, np.uint64))
            scores = codewords @ bits[row]
            likeliest[row] = scores.max()
            for payload, score in zip(payloads, scores, strict=True):
                index = index_of(self._pattern.key, payload)
                if index is not None:
                    found.append(Match(index, float(score), True, row))
                    break
        best, which = self._best_candidates(bits)
        for row in range(len(bits)):
            share = best[row] / max(likeliest[row], 1e-6)
            if which[row] >= 0 and (share >= _SHARE or best[row] < _CHANCE):
                index = int(self.candidates[which[row]])
                found.append(Match(index, float(best[row]), False, row))
        return found

    def _best_candidates(
        self, bits: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        best = np.full(len(bits), -np.inf, np.float32)
        which = np.full(len(bits), -1, np.intp)
        for first in range(0, len(self._codewords), _BATCH):
            raised = np.unpackbits(self._codewords[first : first + _BATCH], axis=1)
            scores = (2 * raised.astype(np.float32) - 1) @ bits.T
            top = scores.argmax(axis=0)
            score = scores[top, np.arange(len(bits))]
            better = score > best
            best[better], which[better] = score[better], top[better] + first
        return best, which
