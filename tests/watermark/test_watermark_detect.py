"""Detection: found after what copies go through, silent where there is nothing to find."""

from __future__ import annotations

import io
import math
import tracemalloc
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import resample_poly
from speechlike import RATE, speechlike

from watermark import Detector, Trace, detect, embed, picture, score_along

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
BOOK = 4711
BOOKS = range(4000, 5000)
PLAIN = speechlike(24, seed=5)
MARKED = embed(PLAIN, RATE, KEY, BOOK)


def written(samples: NDArray[np.float32], **how: object) -> tuple[NDArray[np.float32], int]:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, **how)
    file.seek(0)
    back, rate = soundfile.read(file, dtype="float32")
    return back, rate


def test_wav_round_trip_is_found_blind_and_among_books() -> None:
    back, rate = written(MARKED, format="WAV", subtype="PCM_16")
    for candidates in (None, BOOKS):
        found = detect(back, rate, KEY, candidates)
        assert found.found
        assert found.book_index == BOOK
        assert found.false_positive_probability < 1e-30
        assert found.offset_seconds == pytest.approx(0, abs=0.1)
        assert (found.speed, found.tempo, found.pitch) == pytest.approx((1, 1, 1), abs=2e-3)
        assert found.spans[0].begin < 0.5
        assert found.spans[-1].end > 23


def test_mp3_at_128_kbit_is_found_with_little_loss() -> None:
    # libsndfile spreads 160 to 8 kbit/s over its compression level at this rate.
    how = {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": 32 / 152}
    file = io.BytesIO()
    soundfile.write(file, MARKED, RATE, **how)
    assert 120_000 < len(file.getvalue()) * 8 / 24 < 136_000
    back, rate = written(MARKED, **how)
    found = detect(back, rate, KEY)
    assert found.book_index == BOOK
    assert found.score > 0.9 * detect(MARKED, RATE, KEY).score


ATTACKS: dict[str, Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], int]]] = {
    "cropped to 8 s": lambda x: (x[RATE * 9 + 1234 :][: 8 * RATE], RATE),
    "8 kHz": lambda x: (resample_poly(x, 1, 3).astype(np.float32), 8_000),
    "44.1 kHz stereo, quiet": lambda x: (
        np.stack([resample_poly(x, 147, 80) * 0.02] * 2, axis=1).astype(np.float32),
        44_100,
    ),
    "one channel turned over": lambda x: (np.stack([x, -x], axis=1), RATE),
    "96 kHz": lambda x: (resample_poly(x, 4, 1).astype(np.float32), 96_000),
    "played 4 % faster": lambda x: (resample_poly(x, 25, 26).astype(np.float32), RATE),
    "played 5 % slower": lambda x: (resample_poly(x, 21, 20).astype(np.float32), RATE),
    "8 bits": lambda x: (np.round(x * 127).astype(np.int8), RATE),
    "clipped": lambda x: (np.clip(x * 6, -1, 1), RATE),
    "noise at 20 dB": lambda x: (
        x + np.random.default_rng(0).standard_normal(len(x)) * x.std() * 0.1,
        RATE,
    ),
    "cut": lambda x: (np.concatenate([x[: 9 * RATE], x[14 * RATE + 777 :]]), RATE),
    "gaps that are not numbers": lambda x: (
        np.where(np.arange(len(x)) % 50_000 < 300, np.nan, x),
        RATE,
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_found_after(name: str) -> None:
    samples, rate = ATTACKS[name](MARKED)
    found = detect(samples, rate, KEY, BOOKS)
    assert found.book_index == BOOK
    assert found.false_positive_probability < 1e-12


def test_speed_is_measured() -> None:
    found = detect(resample_poly(MARKED, 25, 26), RATE, KEY)
    assert found.speed == pytest.approx(26 / 25, abs=3e-3)
    assert (found.tempo, found.pitch) == (1, 1)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10 * RATE))
def test_a_clip_tells_where_it_was_taken_from(offset: int) -> None:
    found = detect(MARKED[offset : offset + 9 * RATE], RATE, KEY)
    assert found.book_index == BOOK
    assert found.offset_seconds is not None
    first = found.offset_seconds - found.spans[0].begin
    assert first == pytest.approx(offset / RATE, abs=0.12)


def test_unmarked_sound_other_keys_and_other_books_are_not_named() -> None:
    assert not detect(PLAIN, RATE, KEY, BOOKS).found
    assert not detect(MARKED, RATE, OTHER, BOOKS).found
    assert not detect(PLAIN, RATE, KEY).found
    foreign = detect(MARKED, RATE, KEY, range(100_000))
    assert [each.book_index for each in foreign.sightings] == [BOOK]
    assert foreign.book_index == BOOK
    missing = [book for book in BOOKS if book != BOOK]
    assert detect(MARKED, RATE, KEY, missing).book_index in (None, BOOK)


def test_of_several_keys_the_right_one_is_told() -> None:
    found = detect(MARKED[: 10 * RATE], RATE, [OTHER, KEY])
    assert (found.book_index, found.key_index) == (BOOK, 1)


def test_two_books_mixed_are_both_found_and_joined_both_in_the_trace() -> None:
    second = embed(PLAIN, RATE, KEY, 77)
    both = detect(MARKED + second, RATE, KEY, BOOKS)
    assert {each.book_index for each in both.sightings} == {BOOK, 77}
    joined = np.concatenate([MARKED[: 10 * RATE], second[10 * RATE : 22 * RATE]])
    mine, other = (score_along(joined, RATE, KEY, book) for book in (BOOK, 77))
    early = mine.seconds < 9
    late = (mine.seconds > 11) & (mine.seconds < 21)
    assert mine.score[early].min() > 3 > np.abs(mine.score[late]).max()
    assert other.score[late].min() > 3 > np.abs(other.score[early]).max()
    assert mine.place[early] == pytest.approx(mine.seconds[early], abs=1.5)
    document = picture({"a & b": mine, "c": other}, "a <title> & more", ["a note"])
    drawn = ElementTree.fromstring(document)  # noqa: S314 — our own
    marked = [each for each in drawn.iter() if each.get("fill") == "#2c7a4b"]
    # Its bars, its places and its sign beside its name.
    assert len(marked) == 2 * int((mine.score > 3).sum()) + 1
    said = ["".join(each.itertext()) for each in drawn.iter() if each.tag.endswith("text")]
    assert said.count("a <title> & more") == 1
    assert said.count("Time in the file") == 2
    assert {"Score, in standard deviations", "0:00", "0:20", "0:10", "a note"} <= set(said)


def test_a_picture_of_hours_has_no_more_columns_than_can_be_told_apart() -> None:
    count = 20_000
    ramp = np.arange(count) * 2.0
    trace = Trace(ramp, np.full(count, 9.0), np.zeros(count), ramp)
    long = "a very long name of a book " * 9
    document = picture({long: trace}, long, [long])
    drawn = ElementTree.fromstring(document)  # noqa: S314 — our own
    width = float(drawn.get("width", "0"))
    assert len(document) < 100_000
    for each in drawn.iter():
        if each.tag.endswith("rect") and each.get("x"):
            left, wide = float(each.get("x", "0")), float(each.get("width", "0"))
            assert 0 <= left <= left + wide <= width
        if each.tag.endswith("circle"):
            assert 0 <= float(each.get("cy", "0")) <= float(drawn.get("height", "0"))
    # Eight tenths of a letter's height are a wide letter's width.
    for each in drawn.iter():
        if each.tag.endswith("text"):
            assert len("".join(each.itertext())) * float(each.get("font-size", "0")) * 0.55 < width


def test_spans_tell_what_is_the_books_and_what_is_not() -> None:
    joined = np.concatenate([MARKED[: 9 * RATE], PLAIN[: 8 * RATE], MARKED[14 * RATE :]])
    first, second = detect(joined, RATE, KEY).spans
    assert (first.begin, first.end, first.offset_seconds) == pytest.approx((0, 9, 0), abs=3)
    assert (second.begin, second.end) == pytest.approx((17, 27), abs=3)
    assert second.offset_seconds - second.begin == pytest.approx(14 - 17, abs=0.2)


def test_blocks_of_any_size_give_the_same_verdict() -> None:
    detector = Detector(RATE, KEY)
    for first in range(0, len(MARKED), 7_001):
        detector.feed(MARKED[first : first + 7_001])
    assert detector.finish() == detect(MARKED, RATE, KEY)


def test_minutes_add_up_and_silence_between_them_does_no_harm() -> None:
    long = np.concatenate([MARKED, np.zeros(70 * RATE, np.float32), MARKED])
    found = detect(long, RATE, KEY)
    assert found.book_index == BOOK
    assert found.seconds == pytest.approx(len(long) / RATE)
    assert found.spans[-1].begin > 80


TONE = np.sin(np.arange(10 * RATE) * 0.1)
NOTHING = {
    "empty": [],
    "empty stereo": np.zeros((0, 2)),
    "one sample": [0.5],
    "too short": MARKED[: 2 * RATE],
    "digital silence": np.zeros(10 * RATE),
    "faint silence": np.full(10 * RATE, 1e-7),
    "DC": np.ones(10 * RATE),
    "tone": TONE,
    "tones": TONE + np.sin(np.arange(10 * RATE) * 0.31),
    "square": np.sign(TONE),
    "clipping": np.clip(PLAIN[: 10 * RATE] * 1e6, -1, 1),
    "noise": np.random.default_rng(1).standard_normal(10 * RATE),
    "click": np.eye(1, 10 * RATE, 5 * RATE)[0],
    "not numbers": np.full(10 * RATE, np.nan),
    "infinite": np.full(10 * RATE, np.inf),
    "huge": PLAIN[: 10 * RATE] * 1e30,
    "bytes": (PLAIN[: 10 * RATE] * 100 + 128).astype(np.uint8),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_is_found_in(name: str) -> None:
    found = detect(NOTHING[name], RATE, KEY, BOOKS)
    assert not found.found
    assert found.book_index is None
    assert math.isfinite(found.score)
    assert 1e-9 < found.false_positive_probability <= 1


@pytest.mark.parametrize("name", ["empty", "too short", "digital silence", "click", "infinite"])
def test_the_trace_of_nothing_is_flat(name: str) -> None:
    trace = score_along(NOTHING[name], RATE, KEY, BOOK)
    assert np.abs(trace.score).max() < 7
    assert np.isfinite(trace.pilot).all()


def test_what_is_too_short_or_silent_is_said_so() -> None:
    assert "too short" in detect(MARKED[: 2 * RATE], RATE, KEY).note
    assert detect(np.zeros(10 * RATE), RATE, KEY).note == "silent"
    assert detect(PLAIN, RATE, KEY).note == ""


def test_keys_are_not_shown() -> None:
    detector = Detector(RATE, b"a secret of the publisher")
    assert "secret" not in repr(vars(detector))


def test_bad_input_is_told() -> None:
    with pytest.raises(ValueError, match="no key"):
        detect(MARKED, RATE, [])
    with pytest.raises(ValueError, match="sample rate"):
        detect(MARKED, 4_000, KEY)
    with pytest.raises(ValueError, match="false_positive"):
        detect(MARKED, RATE, KEY, false_positive=0)
    with pytest.raises(ValueError, match="book index"):
        detect(MARKED, RATE, KEY, [-1])


@pytest.mark.parametrize("kind", [np.int32, np.uint32, np.int64, np.uint8])
def test_candidates_may_be_numbers_of_numpy(kind: type[np.integer]) -> None:
    books = np.array([3, BOOK % 200, 100]).astype(kind)
    marked = embed(PLAIN, RATE, KEY, BOOK % 200)
    assert detect(marked, RATE, KEY, books).book_index == BOOK % 200
    assert detect(marked, RATE, KEY, list(books)).book_index == BOOK % 200


@pytest.mark.parametrize("books", [[1.5], [[1, 2]], ["7"], [2**32]])
def test_candidates_that_are_no_indices_are_told(books: list[object]) -> None:
    with pytest.raises(ValueError, match=r"book index|whole numbers"):
        detect(MARKED, RATE, KEY, books)  # type: ignore[arg-type]


def test_a_renewed_detector_knows_the_candidates_and_nothing_of_the_file_before() -> None:
    first = Detector(RATE, KEY, BOOKS)
    first.feed(MARKED)
    second = first.renewed(16_000)
    assert first.finish().book_index == BOOK
    second.feed(resample_poly(MARKED, 2, 3))
    assert second.finish().book_index == BOOK
    third = second.renewed(RATE)
    third.feed(PLAIN)
    assert not third.finish().found


def test_many_candidates_take_little_memory() -> None:
    tracemalloc.start()
    try:
        Detector(RATE, KEY, np.arange(100_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A million: 200 MB with what Python itself takes.
    assert peak < 20_000_000
