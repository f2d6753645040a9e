"""Levels of the queue: what goes first, and that nothing waits for ever."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.queue.place import Level, level_of, waits_since
from narrator_daemon.queue.waiting import MOST_OVERTAKINGS, Waiting
from tests.queue.asking import NOW, order


def asked(level: object = None, at: int | None = None, wanted: object = None) -> dict[str, Any]:
    fields = {
        "narrativeAudioStatus": "requested",
        "narrativeAudioRequestedAt": at,
        "narrativeAudioPriority": level,
        "narrativeAudioNotBefore": wanted,
    }
    return {name: value for name, value in fields.items() if value is not None}


@pytest.mark.parametrize("odd", [None, "NOW", "urgent", "", 0, True, ["now"], {"now": 1}])
def test_what_names_no_level_is_of_the_usual_one(odd: object) -> None:
    assert level_of({"narrativeAudioPriority": odd}) is Level.NORMAL


def test_levels_go_one_after_the_other_and_the_oldest_first_in_each() -> None:
    waiting = Waiting()
    for level in ("bulk", "normal", "now"):
        for number in (2, 1):
            waiting.offer(f"{level}{number}", asked(level, NOW + number), NOW)
    assert order(waiting) == ["now1", "now2", "normal1", "normal2", "bulk1", "bulk2"]


def test_after_so_many_of_a_higher_level_the_oldest_goes() -> None:
    waiting = Waiting()
    waiting.offer("bulk", asked("bulk", NOW), NOW)
    for number in range(20):
        waiting.offer(f"press{number:02}", asked(None, NOW + 1 + number), NOW)
    assert order(waiting).index("bulk") == MOST_OVERTAKINGS


def test_a_younger_book_of_a_lower_level_is_overtaken_by_nobody_older() -> None:
    waiting = Waiting()
    for number in range(20):
        waiting.offer(f"press{number:02}", asked(None, NOW + number), NOW)
    waiting.offer("bulk", asked("bulk", NOW + 100), NOW)
    assert order(waiting)[-1] == "bulk"


levels = st.sampled_from(["now", "normal", "bulk", None])


@given(
    st.lists(levels, min_size=1, max_size=20),
    st.lists(st.lists(levels, max_size=3), max_size=200),
    st.integers(1, 4),
)
def test_nothing_waits_for_ever(first: list[Any], arrivals: list[list[Any]], among: int) -> None:
    """Whatever arrives, a book behind k older ones goes within (k + 1) · 8 takes."""
    waiting = Waiting()
    at = NOW
    for number, level in enumerate(first):
        waiting.offer(f"first{number}", asked(level, at + number), NOW)
    at += len(first)
    last = f"first{len(first) - 1}"
    takes = 0
    endless = [*arrivals, *([["now"]] * 200)]
    for new in endless:
        for level in new:
            at += 1
            waiting.offer(f"new{at}", asked(level, at), NOW)
        taken = waiting.take(0.0, among)
        assert taken is not None
        takes += 1
        if taken.book_id == last:
            break
    assert takes <= len(first) * (MOST_OVERTAKINGS + 1)


def test_one_that_is_not_wanted_yet_holds_nobody_up_and_then_goes_as_asked_for_then() -> None:
    now = 100.0
    waiting = Waiting(lambda: now)
    waiting.offer("later", asked(None, NOW - 9, wanted=NOW + 60_000), NOW)
    waiting.offer("young", asked(None, NOW + 60_001), NOW)
    waiting.offer("old", asked(None, NOW + 59_999), NOW)
    assert waiting.free(159.9) == 2
    assert order(waiting, 160.0) == ["old", "later", "young"]


def test_a_clock_that_was_behind_at_first_keeps_nothing_waiting_for_longer() -> None:
    now = 100.0
    waiting = Waiting(lambda: now)
    book = asked(None, NOW - 9, wanted=NOW + 60_000)
    # Nobody has said yet what time it is, and this machine's clock is an hour behind.
    waiting.offer("b", book, NOW - 3_600_000)
    assert waiting.free(160.0) == 0
    waiting.offer("b", book, NOW)
    assert waiting.free(159.9) == 0
    assert order(waiting, 160.0) == ["b"]


@pytest.mark.parametrize("odd", ["tonight", True, -5, 0, 10**15, {"at": 1}, [1]])
def test_what_is_no_time_keeps_nothing_waiting(odd: object) -> None:
    waiting = Waiting(lambda: 100.0)
    waiting.offer("b", asked(None, NOW, wanted=odd), NOW)
    assert order(waiting, 100.0) == ["b"]
    assert waits_since(asked(None, NOW, wanted=odd), 0.0) == NOW


def test_wishes_that_change_while_it_waits_count() -> None:
    waiting = Waiting(lambda: 100.0)
    waiting.offer("old", asked(None, NOW), NOW)
    waiting.offer("b", asked("bulk", NOW + 1, wanted=NOW + 60_000), NOW)
    waiting.offer("b", asked("now", NOW + 1), NOW)
    assert order(waiting, 100.0) == ["b", "old"]


def test_a_hint_without_the_record_keeps_level_and_place() -> None:
    waiting = Waiting(lambda: 100.0)
    waiting.offer("b", asked("now", NOW + 5), NOW)
    waiting.offer("old", asked(None, NOW), NOW)
    waiting.offer("b", None, NOW + 10)
    assert order(waiting, 100.0) == ["b", "old"]


def test_a_request_without_a_time_keeps_its_first_sight_when_its_record_comes() -> None:
    waiting = Waiting(lambda: 100.0)
    waiting.offer("b", None, NOW)
    waiting.offer("next", asked(None, NOW + 5), NOW)
    waiting.offer("b", asked(), NOW + 10)
    assert order(waiting, 100.0) == ["b", "next"]


def test_among_many_replicas_too_a_press_goes_before_a_bulk_request() -> None:
    waiting = Waiting()
    for number in range(40):
        waiting.offer(f"bulk{number}", asked("bulk", NOW + 100 + number), NOW)
    for number in range(5):
        waiting.offer(f"press{number}", asked(None, NOW + number), NOW)
    taken = [waiting.take(0.0, among=32) for _ in range(5)]
    assert {one.book_id for one in taken if one} == {f"press{number}" for number in range(5)}
