"""Marks too weak in every minute of a file, and not in the file."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from speechlike import RATE, speechlike

from watermark import Detector, detect, embed
from watermark.detection import passes
from watermark.detection.acquisition import sum_unchanged
from watermark.detection.features import features_of
from watermark.detection.long_files import LongFile
from watermark.pattern import CELL_SECONDS, pattern_of

KEY = bytes(range(32))
BOOK = 4711
BOOKS = range(4000, 5000)
PLAIN = np.concatenate([speechlike(30, seed=seed) for seed in range(6)])


def drowned(samples: NDArray[np.float32], decibels: float) -> NDArray[np.float32]:
    draw = np.random.default_rng(5).standard_normal(len(samples)).astype(np.float32)
    return samples + draw * samples.std() * np.float32(10 ** (-decibels / 20))


@pytest.fixture(scope="module")
def copy() -> NDArray[np.float32]:
    """Three minutes in white noise."""
    return drowned(embed(PLAIN, RATE, KEY, BOOK), 9.0)


def test_a_mark_that_no_minute_shows_is_found_in_three(copy: NDArray[np.float32]) -> None:
    found = detect(copy, RATE, KEY, BOOKS)
    assert found.book_index == BOOK
    assert found.offset_seconds == pytest.approx(0.0, abs=0.3)
    assert found.spans[-1].end > 170


def test_it_is_not_found_minute_by_minute(
    copy: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LongFile, "readings", lambda _self: [])
    assert not detect(copy, RATE, KEY, BOOKS).found


def test_what_was_added_up_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watermark.detection.long_files.MOST_CHUNKS", 2)
    held: list[int] = []
    add = LongFile.add

    def counted(self: LongFile, *args: object) -> None:
        add(self, *args)  # type: ignore[arg-type]
        held.append(len(self._chunks))

    monkeypatch.setattr(passes.LongFile, "add", counted)
    detector = Detector(RATE, KEY, BOOKS)
    for _ in range(3):
        detector.feed(0.1 * PLAIN[: 60 * RATE])
    detector.finish()
    assert max(held) == 2
    assert len(held) > 2


def test_chunks_that_were_left_out_do_not_shift_what_follows() -> None:
    pattern = pattern_of(KEY)
    marked = embed(PLAIN, RATE, KEY, BOOK)
    together = LongFile(pattern)
    # As of a file whose second minute is silent.
    for begin in (0, 120):
        part = marked[begin * RATE : (begin + 60) * RATE]
        features = features_of(part, RATE)
        cell = int(np.ceil(begin / CELL_SECONDS))
        sums = sum_unchanged(pattern, features, cell * CELL_SECONDS - begin, 60.0)
        together.add(features, sums, cell, begin)
    best = together.readings()[0]
    assert best.trails[0].line.place == pattern.start(BOOK)
    assert best.pilot > 45
