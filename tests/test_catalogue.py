"""Which values of a database can be used for what they mean, and what times are made of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.catalogue import children, is_count, is_key, is_number, moment
from narrator_daemon.clock import in_utc, now_ms, seconds_since

LARGEST = 2**53
NOW = 1_750_000_000_000
JUNK: list[Any] = [None, True, False, "7", "", [], [1], {}, {".sv": "timestamp"}]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("value", [0, -1, 1.5, LARGEST, -LARGEST, 1e15])
def test_what_is_a_number(value: Any) -> None:
    assert is_number(value)


@pytest.mark.parametrize(
    "value",
    [*JUNK, LARGEST + 1, -LARGEST - 1, 10**400, float("nan"), float("inf"), -float("inf"), 1e300],
)
def test_what_is_none(value: Any) -> None:
    assert not is_number(value)


def test_a_count_is_whole_and_within_its_bounds() -> None:
    assert is_count(0) and is_count(LARGEST)
    assert is_count(3, 3, 3)
    for value in [*JUNK, -1, 1.0, LARGEST + 1]:
        assert not is_count(value)
    assert not is_count(2, 3) and not is_count(4, 0, 3)


def test_a_moment_is_a_time_after_the_epoch() -> None:
    assert (moment(1), moment(NOW), moment(NOW + 0.9)) == (1, NOW, NOW)
    assert moment(10**14 - 1) == 10**14 - 1
    for value in [*JUNK, 0, -1, 10**14, float("nan")]:
        assert moment(value) is None


@given(json_values)
def test_no_value_breaks_them(value: Any) -> None:
    is_number(value)
    is_count(value)
    children(value)
    at = moment(value)
    assert at is None or in_utc(at)
    seconds_since(value, NOW)


def test_children_of_a_list_are_named_by_their_places() -> None:
    assert children([None, {"a": 1}, 0]) == {"1": {"a": 1}, "2": 0}
    assert children({"a": 1}) == {"a": 1}
    for value in (None, "x", 5, True):
        assert children(value) == {}


@pytest.mark.parametrize("key", ["a", "50%25?", "ü ☂", "x" * 768, " ", "-", "0"])
def test_what_can_be_a_key(key: str) -> None:
    assert is_key(key)


@pytest.mark.parametrize(
    "key",
    ["", "x" * 769, "ü" * 385, "a.b", "#", "$", "[", "]", "a/b", "\0", "\x1f", "\x7f", "\ud800"],
)
def test_what_cannot(key: str) -> None:
    assert not is_key(key)


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        (NOW, 0),
        (NOW - 2500, 2.5),
        (NOW + 59_999, 0),
        (NOW + 60_000, None),
        (NOW - 10 * 365 * 86_400_000 + 1, 10 * 365 * 86_400 - 0.001),
        (NOW - 10 * 365 * 86_400_000, None),
        (0, None),
    ],
)
def test_the_age_of_a_request(at: Any, seconds: float | None) -> None:
    assert seconds_since(at, NOW) == seconds


@pytest.mark.parametrize("at", JUNK)
def test_a_request_without_a_time_has_no_age(at: Any) -> None:
    assert seconds_since(at, NOW) is None


def test_times_are_told_in_utc() -> None:
    assert in_utc(0) == "1970-01-01 00:00:00+00:00"
    assert in_utc(NOW) == "2025-06-15 15:06:40+00:00"
    assert in_utc(NOW + 999) == "2025-06-15 15:06:40+00:00"


def test_the_clock_is_in_milliseconds() -> None:
    assert NOW < now_ms() < 100 * NOW
