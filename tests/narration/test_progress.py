"""How far a narration is, and how long the rest takes."""

from __future__ import annotations

from narrator_daemon.narration.progress import Pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_share_is_of_all_that_there_is_to_do() -> None:
    pace = Pace(10)
    assert pace.share == 0
    pace.advance(4)
    pace.advance(1)
    assert pace.share == 0.5
    pace.advance(6)
    assert pace.share == 1


def test_nothing_to_do_is_done() -> None:
    assert Pace(0).share == 1


def test_what_was_done_before_counts_for_the_share_and_not_for_the_pace() -> None:
    clock = Clock()
    pace = Pace(100, 60, clock)
    assert pace.share == 0.6
    clock.now += 4
    assert pace.seconds_left is None
    pace.advance(10)
    assert pace.share == 0.7
    # Ten in four seconds, and thirty to go.
    assert pace.seconds_left == 12


def test_nothing_is_said_in_the_first_two_seconds() -> None:
    clock = Clock()
    pace = Pace(10, clock=clock)
    pace.advance(5)
    clock.now += 1.99
    assert pace.seconds_left is None
    clock.now = 102.0
    assert pace.seconds_left == 2


def test_there_is_never_less_than_nothing_left() -> None:
    clock = Clock()
    pace = Pace(10, clock=clock)
    pace.advance(12)
    clock.now += 3
    assert pace.seconds_left == 0
