from __future__ import annotations

import pytest

from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.errors import NodeRefused


class Time:
    now = 1000.0


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def refusals(time: Time) -> Refusals:
    return Refusals(lambda: time.now)


def refused(why: str = "a rule") -> NodeRefused:
    return NodeRefused("database", why)


def test_each_refusal_doubles_the_pause_to_the_longest(refusals: Refusals, time: Time) -> None:
    pauses = []
    for _ in range(9):
        pauses.append(refusals.add("b", refused()))
        time.now += pauses[-1]
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600, 600]


def test_a_book_waits_to_the_end_of_its_pause(refusals: Refusals, time: Time) -> None:
    refusals.add("b", refused())
    time.now += 9.5
    assert refusals.waits("b") and not refusals.waits("another")
    time.now += 0.5
    assert not refusals.waits("b")


def test_several_that_meet_one_refusal_make_it_no_longer(refusals: Refusals, time: Time) -> None:
    refusals.add("b", refused())
    time.now += 4
    assert refusals.add("b", refused("another rule")) == 6
    assert "another rule" in refusals.books["b"]
    time.now += 6
    assert refusals.add("b", refused()) == 20


def test_what_was_taken_begins_anew(refusals: Refusals, time: Time) -> None:
    refusals.add("b", refused())
    refusals.clear("b")
    assert not refusals.waits("b") and refusals.books == {}
    assert refusals.add("b", refused()) == 10


def test_one_that_nobody_tries_any_more_is_forgotten(refusals: Refusals, time: Time) -> None:
    refusals.add("b", refused())
    time.now += 10 + 119
    assert set(refusals.books) == {"b"}
    time.now += 1
    assert refusals.books == {}
    assert refusals.add("b", refused()) == 10
