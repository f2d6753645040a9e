"""The thorough search: found by the data alone where the pilot was taken out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import resample_poly
from speechlike import RATE, speechlike

from watermark import Detector, detect, embed
from watermark.pattern import PILOT_BANDS, Pattern, pattern_of

KEY = bytes(range(32))
BOOK = 99
BOOKS = range(1_000)
PLAIN = speechlike(6.5, seed=21)


@pytest.fixture(scope="module")
def without_pilot() -> NDArray[np.float32]:
    """What is left when an attacker knows the pilot to the last sign."""

    def data_only(self: Pattern, codeword: NDArray[np.int8], places: NDArray[np.intp]):
        signs = marked_signs(self, codeword, places)
        signs[:, PILOT_BANDS] = 0
        return signs

    marked_signs = Pattern.book_signs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pattern, "book_signs", data_only)
        return embed(PLAIN, RATE, KEY, BOOK)


def test_a_mark_without_its_pilot_is_found_by_the_data(without_pilot: NDArray[np.float32]) -> None:
    offset = 29_000
    clip = without_pilot[offset:]
    assert not detect(clip, RATE, KEY, BOOKS).found
    found = detect(clip, RATE, KEY, BOOKS, thorough=True)
    assert found.book_index == BOOK
    assert found.offset_seconds == pytest.approx(offset / RATE, abs=0.1)
    assert detect(clip, RATE, KEY, thorough=True).book_index == BOOK


def test_and_if_it_was_played_faster(without_pilot: NDArray[np.float32]) -> None:
    found = detect(
        resample_poly(without_pilot[: 6 * RATE], 25, 26), RATE, KEY, BOOKS, thorough=True
    )
    assert (found.book_index, found.speed) == (BOOK, 1.04)


def test_a_thorough_search_of_unmarked_sound_finds_nothing_and_says_how_unsure_it_is() -> None:
    usual, thorough = (detect(PLAIN, RATE, KEY, BOOKS, thorough=way) for way in (False, True))
    assert not thorough.found
    assert usual.false_positive_probability <= thorough.false_positive_probability <= 1


def test_what_is_found_at_once_is_not_searched_thoroughly() -> None:
    marked = embed(PLAIN, RATE, KEY, BOOK)
    usual, thorough = (detect(marked, RATE, KEY, BOOKS, thorough=way) for way in (False, True))
    assert thorough.book_index == usual.book_index == BOOK
    # The way that was not gone had its half of the allowance all the same.
    assert thorough.false_positive_probability == pytest.approx(
        2 * usual.false_positive_probability
    )


@pytest.mark.parametrize("samples", [[], [0.5] * 100, np.zeros(4 * RATE), np.ones(3 * RATE)])
def test_nothing_is_found_in_nothing(samples: object) -> None:
    detector = Detector(RATE, KEY, BOOKS, thorough=True)
    detector.feed(samples)
    found = detector.finish()
    assert not found.found
    assert np.isfinite(found.score)


def test_scores_at_wrong_places_are_those_of_chance() -> None:
    pattern = pattern_of(KEY)
    codeword = pattern.codeword(BOOK)
    draw = np.random.default_rng(3)
    cells = draw.standard_normal((56, 60)).astype(np.float32)
    cells[:, PILOT_BANDS] = 0
    starts = draw.integers(0, 150_000, 20_000)
    places = starts[:, None] + np.arange(56)
    signs = np.stack([pattern.book_signs(codeword, each) for each in places])
    scores = np.einsum("ncb,cb->n", signs, cells) / np.linalg.norm(cells)
    assert scores.mean() == pytest.approx(0, abs=0.05)
    assert scores.std() == pytest.approx(1, abs=0.03)
