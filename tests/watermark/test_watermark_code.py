"""The payload's code, and the arithmetic of scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from watermark.detection.evidence import Evidence
from watermark.detection.scoring import Scorer
from watermark.pattern import pattern_of
from watermark.payload import CODED_BITS, decode, encode, index_of, payload_of
from watermark.statistics import false_positive_bound, threshold

KEY = bytes(range(32))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_any_payload_comes_back_through_noise(index: int, seed: int) -> None:
    payload = payload_of(KEY, index)
    signs = encode(np.array([payload], np.uint64))[0]
    noise = np.random.default_rng(seed).standard_normal(CODED_BITS)
    # A total score of 18 standard deviations.
    paths = decode((signs * 18 / np.sqrt(CODED_BITS) + noise).astype(np.float32)[None])[0]
    assert paths[0] == payload
    assert index_of(KEY, payload) == index
    assert index_of(KEY, payload ^ 1 << seed % 48) != index


def test_codewords_of_neighbouring_indices_have_nothing_in_common() -> None:
    payloads = np.array([payload_of(KEY, index) for index in range(400)], np.uint64)
    signs = encode(payloads).astype(float)
    likeness = signs @ signs.T / CODED_BITS
    assert np.abs(likeness[~np.eye(400, dtype=bool)]).max() < 0.45
    # Nor does any coded bit favour one sign over many books.
    assert np.abs(signs.mean(axis=0)).max() < 5 / np.sqrt(400)


@given(st.floats(1, 35), st.integers(1, 10**12))
def test_the_bound_is_the_normal_tail_times_a_small_factor(score: float, count: int) -> None:
    bound = false_positive_bound(score, count)
    assert bound == pytest.approx(min(1.0, 3.178 * norm.sf(score) * count), rel=1e-3)


@given(st.floats(1e-15, 1e-3), st.integers(1, 10**9))
def test_the_threshold_undoes_the_bound(probability: float, count: int) -> None:
    assert false_positive_bound(threshold(probability, count), count) <= probability


def test_the_bound_holds_for_the_worst_weights_tried() -> None:
    draw = np.random.default_rng(3)
    for weights in (np.ones(2), np.ones(9), 0.7 ** np.arange(12), draw.pareto(1.5, 30)):
        signs = draw.choice([-1.0, 1.0], (200_000, len(weights)))
        scores = signs @ weights / np.linalg.norm(weights)
        for level in (0.5, 1, 1.4, 2, 3):
            assert (scores >= level).mean() <= false_positive_bound(level, 1) + 0.005


def test_another_books_strong_mark_is_nobody_elses() -> None:
    pattern = pattern_of(KEY)
    bits = (pattern.codeword(5) * 40 / CODED_BITS).astype(np.float32)
    books = np.arange(100, 20_100, dtype=np.uint32)
    matches = Scorer(pattern, books).matches([Evidence(bits, 1.0)])
    # Some candidate's codeword agrees with it by chance far beyond what silence would give.
    likeliest = max(float(pattern.codeword(book) @ bits) for book in range(100, 2_100))
    assert likeliest > 7.5
    assert [(match.book_index, match.blind) for match in matches] == [(5, True)]
