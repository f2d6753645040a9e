"""Several databases share one worker fairly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.daemon.sharing import Share, Sharing


class Job:
    stuck = False

    def __init__(self, token: int) -> None:
        self.work = type("Work", (), {"token": str(token)})()


class Database:
    """One that has some books to read."""

    def __init__(self, sharing: Sharing, most: int, waiting: int = 0) -> None:
        self.waiting, self.most, self.woken = waiting, most, 0
        self.in_work = InWork(lambda: self.most)
        self.share: Share = sharing.join(self.in_work, lambda: self.waiting > 0, self._wake)
        self._made = 0

    def _wake(self) -> None:
        self.woken += 1

    def claim(self) -> bool:
        """A look of its claimer."""
        if not self.waiting or not self.share.take():
            return False
        self._made += 1
        job: Any = Job(self._made)
        self.in_work.add(job)
        self.waiting -= 1
        self.share.give_back(made=True)
        return True

    def try_in_vain(self) -> bool:
        """A look of its claimer that finds another to have been faster."""
        if not self.share.take():
            return False
        self.share.give_back(made=False)
        return True

    def end(self) -> None:
        self.in_work.remove(self.in_work.jobs[0])


def test_one_alone_has_all_the_room() -> None:
    sharing = Sharing(lambda: 3)
    alone = Database(sharing, 3, waiting=5)
    assert [alone.claim() for _ in range(4)] == [True, True, True, False]
    assert (sharing.most, sharing.in_work, sharing.stuck) == (3, 3, 0)
    assert alone.share.at_once == 3
    # An operator tells it fewer, or more.
    alone.most = 4
    assert alone.claim() and not alone.claim()


def test_each_has_as_many_in_work_as_the_others() -> None:
    sharing = Sharing(lambda: 4)
    busy, late = Database(sharing, 4, waiting=9), Database(sharing, 4)
    assert [busy.claim() for _ in range(5)] == [True] * 4 + [False]
    late.waiting = 9
    # Room that comes free is for the one that has less, until both have the same.
    for shares in ((3, 1), (2, 2)):
        busy.end()
        sharing.wake()
        assert not busy.claim() and late.claim()
        assert (len(busy.in_work), len(late.in_work)) == shares
    busy.end()
    assert busy.claim()


def test_who_has_nothing_to_read_leaves_its_room_to_others() -> None:
    sharing = Sharing(lambda: 2)
    one, other = Database(sharing, 2, waiting=9), Database(sharing, 2, waiting=1)
    assert one.claim() and not one.claim()
    assert other.claim()
    other.end()
    assert one.claim()
    assert (one.share.at_once, other.share.at_once) == (2, 1)


def test_with_room_for_one_they_take_turns() -> None:
    sharing = Sharing(lambda: 1)
    every = [Database(sharing, 1, waiting=4) for _ in range(3)]
    taken = []
    for _ in range(9):
        # Whoever looks first, and as often as it likes.
        taken += [number for number in (0, 0, 1, 2) if every[number].claim()]
        every[taken[-1]].end()
    assert [taken.count(number) for number in range(3)] == [3, 3, 3]


def test_one_that_was_kept_waiting_is_told_when_the_others_claim_is_made() -> None:
    sharing = Sharing(lambda: 2)
    one, other = Database(sharing, 2, waiting=9), Database(sharing, 2, waiting=9)
    assert one.claim() and not one.claim() and one.woken == 0
    assert other.claim() and one.woken == 1
    # Once is enough.
    other.end()
    assert other.claim() and one.woken == 1


def test_a_claim_that_is_being_made_takes_room() -> None:
    sharing = Sharing(lambda: 1)
    one, other = Database(sharing, 1, waiting=1), Database(sharing, 1, waiting=1)
    assert one.share.take()
    assert not other.claim()
    one.share.give_back(made=False)
    # It came to nothing: the other is told, and goes first.
    assert other.woken == 1
    assert not one.claim() and other.claim()


def test_a_database_that_hangs_holds_up_no_other() -> None:
    now = [0.0]
    sharing = Sharing(lambda: 2, lambda: now[0])
    hung, other = Database(sharing, 2, waiting=9), Database(sharing, 2, waiting=9)
    assert hung.share.take()
    assert other.claim() and not other.claim()
    now[0] = 2.0
    assert other.claim() and not other.claim()
    other.end()
    # Nor once its claim has come to nothing, though it has the fewest in work.
    hung.share.give_back(made=False)
    assert other.claim()


def test_one_that_is_never_the_fastest_lets_the_others_go_first_in_turn() -> None:
    sharing = Sharing(lambda: 8)
    slow, other = Database(sharing, 8, waiting=10**6), Database(sharing, 8, waiting=9)
    claimed = 0
    for _ in range(20):
        assert slow.try_in_vain() or len(other.in_work) == 8
        claimed += other.claim()
    assert claimed == 8


def test_what_operators_tell_each_is_of_each() -> None:
    sharing = Sharing(lambda: 8)
    one, other = Database(sharing, 3, waiting=9), Database(sharing, 3, waiting=9)
    for _ in range(9):
        one.claim()
        other.claim()
    assert (len(one.in_work), len(other.in_work), sharing.most) == (3, 3, 6)
    one.most = other.most = 12
    assert sharing.most == 12


@given(
    st.integers(1, 5),
    st.lists(st.integers(0, 6), min_size=2, max_size=4),
    st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60),
)
def test_room_is_never_exceeded_nor_left_empty(
    most: int, waiting: list[int], events: list[tuple[bool, int]]
) -> None:
    sharing = Sharing(lambda: most)
    every = [Database(sharing, most, count) for count in waiting]
    for ends, number in events:
        database = every[number % len(every)]
        if ends and database.in_work:
            database.end()
        else:
            database.claim()
        assert sharing.in_work <= most
        # Once all have looked often enough, no room is left while one has a book to read.
        for _ in range(most):
            for one in every:
                one.claim()
        assert sharing.in_work == most or not any(one.waiting for one in every)


@pytest.mark.parametrize("count", [2, 3])
def test_nobody_starves_beside_a_database_that_is_never_done(count: int) -> None:
    sharing = Sharing(lambda: 2)
    every = [Database(sharing, 2, waiting=10**6 if n == 0 else 5) for n in range(count)]
    for _ in range(5 * count):
        for database in every:
            database.claim()
        for database in every:
            if database.in_work:
                database.end()
    assert all(database.waiting == 0 for database in every[1:])
