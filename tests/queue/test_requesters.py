from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.queue.requesters import grant, grant_name, take
from tests.memory import SERVER_NOW, MemoryProject

NOW = 1_750_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE


def test_so_many_a_minute_are_granted_and_the_next_waits_for_the_oldest() -> None:
    granted: dict[str, int] | None = None
    for number in range(10):
        granted, wait = take(granted, name=f"r{number}", now_ms=NOW + number * 1000, limit=10)
        assert granted is not None and wait == 0
    stored, wait = take(granted, name="one more", now_ms=NOW + 10_000, limit=10)
    assert (stored, wait) == (None, 50_000)
    stored, wait = take(granted, name="one more", now_ms=NOW + MINUTE, limit=10)
    assert wait == 0 and stored is not None
    assert "r0" not in stored and len(stored) == 10


def test_a_grant_whose_answer_was_lost_is_not_counted_twice() -> None:
    assert take({"mine": NOW}, name="mine", now_ms=NOW + 5, limit=1) == (None, 0)


def test_a_request_has_one_short_name_whatever_the_order_of_its_fields() -> None:
    name = grant_name("b", {"x": 1, "y": 2}, None)
    assert name == grant_name("b", {"y": 2, "x": 1}, None) and len(name) == 32
    assert name != grant_name("b", {"x": 1, "y": 3}, None)


@pytest.mark.parametrize("ahead", [1, 30_000, MINUTE - 1])
def test_a_time_a_little_ahead_counts_as_now(ahead: int) -> None:
    assert take({"r": NOW + ahead}, name="mine", now_ms=NOW, limit=1) == (None, MINUTE)


@pytest.mark.parametrize("off", [-HOUR, -MINUTE, MINUTE, HOUR])
def test_grants_stamped_by_a_wrong_clock_hold_nobody_up(off: int) -> None:
    wrong = {f"r{number}": NOW + off for number in range(10)}
    assert take(wrong, name="mine", now_ms=NOW, limit=10) == ({"mine": NOW}, 0)


@pytest.mark.parametrize("stored", [None, "x", 5, True, [], {"a": "b"}, {"a": True}, {"a": {}}])
def test_what_is_not_a_grant_is_not_counted(stored: Any) -> None:
    assert take(stored, name="mine", now_ms=NOW, limit=1) == ({"mine": NOW}, 0)


def test_grants_under_small_numbers_come_as_a_list() -> None:
    assert take([NOW, None, NOW], name="mine", now_ms=NOW, limit=2) == (None, MINUTE)


@given(
    st.dictionaries(st.text(max_size=3), st.integers(NOW - 2 * HOUR, NOW + 2 * HOUR)),
    st.integers(1, 12),
)
def test_no_wait_is_longer_than_the_window(granted: dict[str, int], limit: int) -> None:
    stored, wait = take(granted, name="mine!", now_ms=NOW, limit=limit)
    assert 0 <= wait <= MINUTE
    assert (stored is None) == (wait > 0)
    assert stored is None or len(stored) <= limit


@given(st.lists(st.integers(0, 20_000), max_size=60), st.integers(1, 5))
def test_no_minute_has_more_than_the_limit(pauses: list[int], limit: int) -> None:
    granted: dict[str, int] | None = None
    times, now = list[int](), NOW
    for number, pause in enumerate(pauses):
        now += pause
        stored, wait = take(granted, name=str(number), now_ms=now, limit=limit)
        if wait == 0:
            granted = stored
            times.append(now)
    for start in times:
        assert sum(start <= at < start + MINUTE for at in times) <= limit


def test_grants_are_named_by_book_and_request() -> None:
    # Without a time, a request that comes after another narration is shown is another request.
    requests = [("a", 1, None), ("a", 2, None), ("b", 1, None), ("a", None, None), ("a", None, "p")]
    names = {grant_name(*request) for request in requests}
    assert len(names) == 5
    assert grant_name("b/ü", {"x": 1}, "p") == grant_name("b/ü", {"x": 1}, "p")
    assert all(name.isalnum() for name in names)


def test_a_grant_is_stamped_by_the_database_and_judged_by_its_clock() -> None:
    project = MemoryProject()
    as_any: Any = project
    # As far as its answers tell, which is not exact.
    project.wall = lambda: (SERVER_NOW + 400) / 1000
    assert grant(as_any, "ada", "one", limit=1) == 0
    ((stored,),) = (node.values() for node in project.tree["narrationLimits"].values())
    assert stored == SERVER_NOW
    assert grant(as_any, "ada", "two", limit=1) == 60_000 - 400
    project.wall = lambda: (SERVER_NOW + 60_000) / 1000
    assert grant(as_any, "ada", "two", limit=1) == 0
