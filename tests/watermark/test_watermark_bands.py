"""Copies in which some bands tell more of the mark than others."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import butter, resample_poly, sosfiltfilt
from speechlike import RATE, speechlike

from watermark import detect, embed
from watermark.detection.acquisition import UNCHANGED, Line, sum_unchanged
from watermark.detection.evidence import Trail, gather, weights_of
from watermark.detection.features import features_of
from watermark.pattern import DATA_BANDS, PILOT_BANDS, pattern_of

KEY = bytes(range(32))
BOOK = 4711
BOOKS = range(4000, 5000)
PLAIN = speechlike(30, seed=8)
_LOW = np.array([band < 18 for band in range(60)])


def only_below(hertz: float, strength: float) -> NDArray[np.float32]:
    """Sound as it was, but for a mark below a frequency, as telephones' codecs leave it."""
    sections = butter(6, hertz, "low", fs=RATE, output="sos")
    added = embed(PLAIN, RATE, KEY, BOOK, strength_db=strength) - PLAIN
    return (PLAIN + sosfiltfilt(sections, added)).astype(np.float32)


def trail_of(share: NDArray[np.float64], cells: int, seed: int = 1) -> Trail:
    """Made evidence of which each band's sign tells its share, the rest is chance."""
    draw = np.random.default_rng(seed)
    pattern = pattern_of(KEY)
    places = np.arange(cells)
    signs = pattern.book_signs(pattern.codeword(BOOK), places).astype(np.float32)
    read = (draw.standard_normal(signs.shape) + share * signs).astype(np.float32)
    return Trail(
        Line(UNCHANGED, 0.0, 0, 0.0),
        places * 0.085,
        places,
        read[:, PILOT_BANDS] * signs[:, PILOT_BANDS],
        read[:, DATA_BANDS],
    )


def score_of(trail: Trail) -> float:
    evidence = gather(pattern_of(KEY), [trail])
    codeword = pattern_of(KEY).codeword(BOOK)
    return float(codeword @ evidence.bits / np.sqrt(evidence.energy))


def test_bands_count_by_what_the_pilot_tells_of_their_neighbours() -> None:
    weights = weights_of([trail_of(np.where(_LOW, 0.3, 0.0), 300)])
    low = _LOW[DATA_BANDS]
    assert weights[low].min() > 3 * weights[DATA_BANDS > 32].max()


def test_where_all_tell_alike_they_count_alike() -> None:
    weights = weights_of([trail_of(np.full(60, 0.3), 300)])
    assert weights == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("cells", [3, 300])
def test_a_pilot_that_tells_nothing_or_the_opposite_weighs_nothing(cells: int) -> None:
    against = weights_of([trail_of(np.full(60, -0.3), cells)])
    assert against.tolist() == [1.0] * len(DATA_BANDS)
    silent = trail_of(np.zeros(60), cells)
    nothing = np.zeros_like(silent.told)
    still = Trail(silent.line, silent.seconds, silent.places, nothing, silent.cells)
    assert weights_of([still]).tolist() == [1.0] * len(DATA_BANDS)


def test_weights_raise_the_score_of_what_tells_in_some_bands_alone() -> None:
    trail = trail_of(np.where(_LOW, 0.2, 0.0), 300)
    shared = np.where(_LOW, 0.2, 0.0)
    flat = score_of(Trail(trail.line, trail.seconds, trail.places, trail.told * 0, trail.cells))
    assert score_of(trail) > 1.25 * flat
    # And of chance they make no more than chance.
    scores = [score_of(trail_of(shared * 0, 60, seed)) for seed in range(200)]
    assert abs(np.mean(scores)) < 0.25
    assert np.std(scores) == pytest.approx(1.0, abs=0.15)


def test_weights_depend_on_no_data() -> None:
    trail = trail_of(np.where(_LOW, 0.3, 0.0), 100)
    other = Trail(trail.line, trail.seconds, trail.places, trail.told, -trail.cells)
    assert (weights_of([trail]) == weights_of([other])).all()


def test_a_mark_that_is_left_below_two_kilohertz_is_found() -> None:
    copy = only_below(2_000, 2.2)
    found = detect(copy, RATE, KEY, BOOKS)
    assert found.book_index == BOOK
    assert found.offset_seconds == pytest.approx(0.0, abs=0.2)


def test_low_bands_tell_the_place_where_all_together_do_not() -> None:
    copy = only_below(2_000, 2.2)
    pattern = pattern_of(KEY)
    sums = sum_unchanged(pattern, features_of(copy, RATE), 0.0, 30.0)
    start = pattern.start(BOOK)
    scores = sums.total[:, :, start].max(axis=1) / np.sqrt(sums.energy.max(axis=1))
    assert scores[1] > 1.4 * scores[0]
    assert any(line.place in (start, start + 1) for line in sums.lines(2, low=True))


def test_a_rate_of_large_prime_factors_is_read_as_others_are() -> None:
    """At 44.1 kHz a frame is 3,764 samples long, which is padded for the transform."""
    plain = features_of(PLAIN[: 6 * RATE], RATE)
    other = features_of(resample_poly(PLAIN[: 6 * RATE], 147, 80).astype(np.float32), 44_100)
    count = min(len(plain.values), len(other.values)) - 8
    alike = np.corrcoef(plain.values[4:count].ravel(), other.values[4:count].ravel())[0, 1]
    assert alike > 0.95
