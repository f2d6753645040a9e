"""When books will be ready: the queue played forward as it is worked off."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.queue.forecast import Load, Pace, Place, Sums, forecast, seconds_left
from narrator_daemon.queue.place import Level
from narrator_daemon.queue.waiting import Waiting
from tests.queue.asking import NOW

LEVELS = {level.name.lower(): level for level in Level}


def load(
    book_id: str,
    order: float = 0,
    characters: int = 100,
    *,
    level: str = "normal",
    not_before: float = 0,
) -> Load:
    return Load(book_id, LEVELS[level], order, characters, not_before)


def test_books_are_ready_one_after_the_other() -> None:
    found = forecast([load("b", 2), load("a", 1), load("c", 3)], [Place(0, Pace(0, 0.1))])
    assert found == pytest.approx({"a": 10, "b": 20, "c": 30})


def test_a_place_that_is_busy_is_free_later_and_each_has_its_own_pace() -> None:
    places = [Place(5, Pace(0, 0.1)), Place(0, Pace(0, 0.3))]
    found = forecast([load("a", 1), load("b", 2), load("c", 3)], places)
    assert found == pytest.approx({"a": 30, "b": 15, "c": 25})


def test_what_is_not_wanted_yet_holds_nobody_up() -> None:
    found = forecast([load("late", 1, not_before=60), load("b", 2)], [Place(0, Pace(0, 0.1))])
    assert found == pytest.approx({"b": 10, "late": 70})


def test_a_press_goes_before_a_catalogue() -> None:
    waiting = [load(f"bulk{n:02}", n, level="bulk") for n in range(20)]
    found = forecast([*waiting, load("press", 99, level="now")], [Place(0, Pace(0, 0.1))])
    assert found["press"] == pytest.approx(10)
    assert found["bulk00"] == pytest.approx(20)


def test_where_nobody_works_nothing_is_foretold() -> None:
    assert forecast([load("a")], []) == {}
    assert forecast([], [Place(0, Pace(0, 1))]) == {}


_LOADS = st.lists(
    st.builds(
        Load,
        st.uuids().map(str),
        st.sampled_from(list(Level)),
        st.integers(1, 50).map(float),
        st.integers(0, 500),
    ),
    max_size=40,
    unique_by=lambda one: one.book_id,
)


@given(_LOADS)
def test_the_order_is_that_of_the_queue_itself(loads: list[Load]) -> None:
    waiting = Waiting(lambda: 0.0)
    for one in loads:
        book = {
            "narrativeAudioStatus": "requested",
            "narrativeAudioRequestedAt": one.order,
            "narrativeAudioPriority": one.level.name.lower(),
            "narrative": "x" * one.characters,
        }
        waiting.offer(one.book_id, book, NOW)
    at, expected = 0.0, {}
    while (candidate := waiting.take(0.0)) is not None:
        assert candidate.characters is not None
        at += candidate.characters
        expected[candidate.book_id] = at
    assert forecast(loads, [Place(0, Pace(0, 1.0))]) == pytest.approx(expected)


# Whole seconds, whose sums are exact.
@given(_LOADS, st.lists(st.integers(0, 100).map(float), min_size=1, max_size=5))
def test_no_place_stands_empty_while_books_wait(loads: list[Load], busy: list[float]) -> None:
    found = forecast(loads, [Place(free, Pace(0, 1.0)) for free in busy])
    assert found.keys() == {one.book_id for one in loads}
    # As many places as were given, each used from when it is free.
    free = list(busy)
    heapq.heapify(free)
    for one in sorted(
        loads, key=lambda one: (found[one.book_id] - one.characters, found[one.book_id])
    ):
        began = found[one.book_id] - one.characters
        assert began == pytest.approx(heapq.heappop(free), abs=1e-6)
        heapq.heappush(free, found[one.book_id])


def test_what_comes_meanwhile_puts_off_what_it_goes_before() -> None:
    waiting = [load("normal", 1), load("bulk", 2, level="bulk")]
    place = Place(0, Pace(0, 0.1))
    alone = forecast(waiting, [place])
    assert alone == pytest.approx({"normal": 10, "bulk": 20})
    # Half the room goes to presses.
    found = forecast(waiting, [place], {Level.NORMAL: 5.0, Level.BULK: 9.0})
    assert found == pytest.approx({"normal": 10, "bulk": 30})
    found = forecast(waiting, [place], {Level.NOW: 1e9})
    assert found == pytest.approx({"normal": 10, "bulk": 60})


def test_where_length_costs_nothing_nobody_waits_for_what_comes_meanwhile() -> None:
    found = forecast([load("a", level="bulk")], [Place(0, Pace(5, 0.0))], {Level.NOW: 5.0})
    assert found == {"a": 5}


def test_what_is_put_off_waits_for_others_only_from_then_on() -> None:
    place = Place(0, Pace(0, 0.1))
    found = forecast([load("b", level="bulk", not_before=90)], [place], {Level.NOW: 5.0})
    assert found == pytest.approx({"b": 100})


def test_a_pace_tells_what_is_besides_from_what_is_each() -> None:
    books = [(100 * n, 2.0 + 0.5 * n) for n in range(1, 20)]
    sums = sum((Sums.of_book(*book) for book in books), Sums())
    assert sums.pace is not None
    assert (sums.pace.besides, sums.pace.each) == pytest.approx((2.0, 0.005))
    again = Sums.of_record(sums.as_record())
    assert again.pace is not None and again.pace.takes(1000) == pytest.approx(7.0, rel=0.01)


def test_what_is_besides_may_be_less_than_a_second() -> None:
    sums = sum((Sums.of_book(100 * n, 0.5 + 0.5 * n) for n in range(1, 20)), Sums())
    assert sums.pace is not None
    assert (sums.pace.besides, sums.pace.each) == pytest.approx((0.5, 0.005))


@pytest.mark.parametrize(
    "books",
    [
        [(100, 5.0)],
        [(100, 5.0)] * 20,
        [(100 * n, 5.0) for n in range(1, 20)],
        [(100 * n, 30.0 - n) for n in range(1, 20)],
    ],
)
def test_where_the_length_tells_nothing_the_pace_is_plain(books: list[tuple[int, float]]) -> None:
    sums = sum((Sums.of_book(*book) for book in books), Sums())
    assert sums.pace is not None and sums.pace.besides == 0
    assert sums.pace.takes(sums.characters) == pytest.approx(sums.seconds)


def test_a_length_tells_something_from_eight_books_on() -> None:
    books = [Sums.of_book(100 * n, 2.0 + 0.5 * n) for n in range(1, 9)]
    seven, eight = sum(books[:7], Sums()), sum(books, Sums())
    assert (seven.books, eight.books) == (7, 8)
    assert seven.pace == Pace(0, pytest.approx(28 / 2800))
    assert eight.pace is not None and eight.pace.besides == pytest.approx(2.0)


@pytest.mark.parametrize(("characters", "seconds"), [(0, 5.0), (100, 0.0), (0, 0.0)])
def test_what_took_nothing_tells_no_pace(characters: int, seconds: float) -> None:
    assert Sums.of_book(characters, seconds).pace is None


@pytest.mark.parametrize("record", [None, "x", {}, {"books": "x"}, {"books": -1}])
def test_nothing_is_known_of_an_odd_record(record: object) -> None:
    assert Sums.of_record(record).pace is None and Sums().pace is None


@pytest.mark.parametrize(
    ("elapsed", "share", "expected", "left"),
    [
        (0, 0, None, None),
        (0, 0, 60, 60),
        (10, 0.01, None, None),
        (10, 0.01, 60, 50),
        (10, 0.5, None, 10),
        (10, 0.5, 30, 15),
        (10, 1, None, 0),
        (10, 1, 60, 0),
        (0, 1, 60, 0),
        (10, 0.05, None, 190),
        (10, 0.049, None, None),
        (90, 0.01, 60, 0),
    ],
)
def test_what_is_left_of_a_book_in_work(
    elapsed: float, share: float, expected: float | None, left: float | None
) -> None:
    found = seconds_left(elapsed, share, expected)
    assert found == (left if left is None else pytest.approx(left))


def test_several_that_are_wanted_later_are_not_ready_before_they_are_wanted() -> None:
    places = [Place(0, Pace(0, 0.1)) for _ in range(3)]
    wanted = [load(f"b{n}", n, not_before=60) for n in range(4)]
    found = forecast(wanted, places)
    assert found == {"b0": 70.0, "b1": 70.0, "b2": 70.0, "b3": 80.0}


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.integers(0, 9), st.integers(1, 10_000)), max_size=20),
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(0.001, 1)), min_size=1, max_size=5),
)
def test_no_book_is_ready_before_it_can_be(
    books: list[tuple[float, int, int]], rooms: list[tuple[float, float]]
) -> None:
    loads = [
        load(f"b{n}", order, characters, not_before=wanted)
        for n, (wanted, order, characters) in enumerate(books)
    ]
    found = forecast(loads, [Place(free_in, Pace(1.0, each)) for free_in, each in rooms])
    assert found.keys() == {one.book_id for one in loads}
    first, quickest = min(free for free, _ in rooms), min(each for _, each in rooms)
    for one in loads:
        begins = max(first, one.not_before)
        assert found[one.book_id] >= begins + 1.0 + quickest * one.characters - 1e-6
