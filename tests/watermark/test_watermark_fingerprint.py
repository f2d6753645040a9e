"""Fingerprints: a copy is the same recording, and a mark on other speech is not."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import resample_poly
from speechlike import RATE, speechlike

from watermark import Span, detect, embed
from watermark.marking.embedding import Signs, _Marker, _through
from watermark.marking.fingerprint import Fingerprinter, Levels, Likeness, fingerprint_of, likeness
from watermark.pattern import pattern_of

KEY = bytes(range(32))
BOOK = 77
NARRATION = embed(speechlike(24, seed=41), RATE, KEY, BOOK)
OTHER = speechlike(24, seed=42)
LONG = np.concatenate([NARRATION, OTHER, NARRATION[::-1]])


def powers(
    samples: NDArray[np.float32], rate: int = RATE, pitch: float = 1.0
) -> NDArray[np.float32]:
    levels = Levels(rate, pitch)
    levels.feed(samples)
    return levels.finish()


PRINT = fingerprint_of(NARRATION, RATE)


def judged(copy: NDArray[np.float32], rate: int = RATE) -> Likeness:
    found = detect(copy, rate, KEY, [BOOK])
    assert found.found
    return likeness(powers(copy, rate, found.speed * found.pitch), PRINT, found.spans)


def forged() -> NDArray[np.float32]:
    """The mark's very signs on other speech, as who copies it can at best do."""
    pattern = pattern_of(KEY)
    code, start = pattern.codeword(BOOK), pattern.start(BOOK)

    def signs(cells: NDArray[np.intp]) -> NDArray[np.int8]:
        return pattern.book_signs(code, start + cells)

    copied: Signs = signs
    return _through(_Marker(RATE, 1, [(copied, 1.5)]), OTHER, RATE)


def test_a_fingerprint_is_at_most_two_kilobytes_a_minute_as_text() -> None:
    assert 1_000 < len(base64.b64encode(PRINT)) * 60 / 24 <= 2_000


@pytest.mark.parametrize(
    ("copy", "rate"),
    [
        (NARRATION, RATE),
        (NARRATION[5 * RATE + 333 :], RATE),
        (resample_poly(NARRATION, 1, 3).astype(np.float32), 8_000),
        (
            NARRATION + np.random.default_rng(1).normal(0, NARRATION.std() / 25, len(NARRATION)),
            RATE,
        ),
        (resample_poly(NARRATION, 25, 26).astype(np.float32), RATE),
        (resample_poly(NARRATION, 4, 5).astype(np.float32), RATE),
        (np.concatenate([NARRATION[: 9 * RATE], NARRATION[13 * RATE :]]), RATE),
    ],
    ids=["as it is", "cropped", "8 kHz", "noise", "4 % faster", "25 % faster", "cut"],
)
def test_a_copy_is_the_same_recording(copy: NDArray[np.float32], rate: int) -> None:
    found = judged(copy.astype(np.float32), rate)
    assert found.same is True
    assert found.similarity > 0.3


def test_a_mark_copied_onto_other_speech_is_another_recording() -> None:
    copy = forged()
    assert detect(copy, RATE, KEY, [BOOK]).false_positive_probability < 1e-50
    found = judged(copy)
    assert found.same is False
    assert found.seconds > 15


def test_too_little_is_not_judged() -> None:
    short = Span(0.0, 3.0, 0.0, 1.0, 1.0, 1.0)
    assert likeness(powers(NARRATION), PRINT, [short]).same is None
    assert likeness(powers(NARRATION), PRINT, []).same is None
    assert likeness(powers(NARRATION[:0]), PRINT, [short]).same is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=8))
def test_streams_give_what_the_whole_gives(lengths: list[int]) -> None:
    levels, fingerprinter = Levels(RATE), Fingerprinter(RATE)
    at = 0
    for length in lengths:
        levels.feed(LONG[at : at + length])
        fingerprinter.feed(LONG[at : at + length])
        at += len(LONG[at : at + length])
    assert np.array_equal(levels.finish(), powers(LONG[:at]))
    assert fingerprinter.finish() == fingerprint_of(LONG[:at], RATE)


def test_each_eighth_of_a_second_has_its_bits() -> None:
    made = fingerprint_of(LONG, RATE)
    assert len(made) == 3 * (8 * 72 - 2)
    # What comes before and after changes nothing, but at the edges.
    assert made[: 3 * 180] == fingerprint_of(LONG[: 24 * RATE], RATE)[: 3 * 180]
    part = fingerprint_of(LONG[48 * RATE :], RATE)
    assert made[3 * (8 * 48 + 4) :] == part[3 * 4 :]
    assert fingerprint_of(LONG[:10], RATE) == b""


def test_a_place_that_drifts_over_minutes_is_followed() -> None:
    # A fifth of a second in four minutes, which a span's pace to four digits does not tell.
    sound = np.tile(LONG, 4)[: 240 * RATE]
    at = np.arange(0, len(sound) - 1, 1 + 0.2 / 240)
    copy = np.interp(at, np.arange(len(sound)), sound).astype(np.float32)
    span = Span(0.0, len(copy) / RATE, 0.0, 1.0, 1.0, 1.0)
    assert likeness(powers(copy), fingerprint_of(sound, RATE), [span]).similarity > 0.8


@settings(max_examples=50, deadline=None)
@given(
    st.binary(max_size=200),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.floats(0.4, 2.1),
)
def test_any_fingerprint_and_span_can_be_compared(
    octets: bytes, begin: float, length: float, offset: float, speed: float
) -> None:
    span = Span(begin, begin + length, offset, speed, 1.0, 1.0)
    found = likeness(powers(NARRATION[: 3 * RATE]), octets, [span])
    assert -1 <= found.similarity <= 1
