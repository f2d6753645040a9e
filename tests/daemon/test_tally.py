"""What a worker has done lately, and whether its engine is broken."""

from __future__ import annotations

import pytest

from narrator_daemon.claims.ending import Ending
from narrator_daemon.claims.failure import ErrorCode, Failure
from narrator_daemon.daemon.tally import Tally


def published(audio_seconds: float = 2.0, book_id: str = "b") -> Ending:
    return Ending(book_id, "published", facts={"audioSeconds": audio_seconds})


def broke(book_id: str) -> Ending:
    return Ending(book_id, "retried", failure=Failure(ErrorCode.ENGINE_ERROR, "It failed."))


def test_one_bad_book_is_no_broken_engine() -> None:
    tally = Tally()
    for _ in range(5):
        tally.add(broke("bad"))
    assert not tally.engine_is_broken
    tally.add(published())
    for book_id in ("bad", "bad", "bad"):
        tally.add(broke(book_id))
    assert not tally.engine_is_broken
    tally.add(broke("good"))
    assert tally.engine_is_broken


def test_what_is_spoken_between_shows_that_it_works() -> None:
    tally = Tally()
    for book_id in ("a", "b", "c", "d"):
        tally.add(broke(book_id))
        tally.add(published())
    assert not tally.engine_is_broken


def test_rates_are_of_the_last_hour() -> None:
    now = 0.0
    tally = Tally(clock=lambda: now)
    tally.add(published(30.0))
    now = 600.0
    tally.add(Ending("b", "failed", failure=Failure(ErrorCode.NO_TEXT, "No text.")))
    tally.add(Ending("b", "given_back"))
    counted = {"seconds": 600, "books": 1, "failed": 1, "audioSeconds": 30.0}
    assert tally.as_record() == counted
    now = 3700.0
    counted = {"seconds": 3600, "books": 0, "failed": 1, "audioSeconds": 0}
    assert tally.as_record() == counted
    for second in range(3700, 11_000):
        now = float(second)
        tally.add(published(1.0))
    assert tally.as_record()["books"] == pytest.approx(3600, abs=60)
    assert len(tally._steps) <= 61


def test_other_failures_say_nothing_of_the_engine() -> None:
    tally = Tally()
    for book_id in ("a", "b", "c", "d"):
        failure = Failure(ErrorCode.STUCK, "It hangs.")
        tally.add(Ending(book_id, "retried", failure=failure))
        tally.add(Ending(book_id, "given_back"))
    assert not tally.engine_is_broken
    for book_id in ("a", "b"):
        tally.add(broke(book_id))
    tally.add(Ending("c", "given_back"))
    assert not tally.engine_is_broken
    tally.add(broke("b"))
    assert tally.engine_is_broken


def test_the_row_of_failures_is_bounded() -> None:
    tally = Tally()
    tally.add(broke("first"))
    for _ in range(99):
        tally.add(broke("bad"))
    assert tally.engine_is_broken
    assert len(tally._broke_on) == 100
    tally.add(broke("bad"))
    assert len(tally._broke_on) == 100
    assert not tally.engine_is_broken


def test_a_young_worker_counts_from_its_start() -> None:
    now = 1000.0
    tally = Tally(clock=lambda: now)
    now = 1030.04
    tally.add(published(1.26))
    counted = {"seconds": 30.0, "books": 1, "failed": 0, "audioSeconds": 1.3}
    assert tally.as_record() == counted


def test_the_pace_is_that_of_the_books_that_were_published() -> None:
    now = 0.0
    tally = Tally(clock=lambda: now)
    assert tally.pace is None
    for seconds, characters in ((20.0, 100), (10.0, 200)):
        facts = {"audioSeconds": 1.0, "characters": characters}
        tally.add(Ending("b", "published", facts=facts, seconds=seconds))
    tally.add(Ending("b", "retried", facts={"characters": 999}, seconds=999.0))
    pace = tally.pace
    assert pace is not None and (pace.besides, pace.each) == (0, pytest.approx(0.1, rel=0.01))
    assert tally.as_record()["took"]["seconds"] == pytest.approx(30, rel=0.02)
    # A worker that had nothing to do is as fast as before.
    now = 90_000.0
    assert tally.pace == pace


def test_a_minute_is_counted_together_and_forgotten_together() -> None:
    now = 0.0
    tally = Tally(clock=lambda: now)
    tally.add(published())
    now = 59.9
    tally.add(published())
    now = 60.0
    tally.add(published())
    assert len(tally._steps) == 2
    now = 3599.9
    assert tally.as_record()["books"] == 3
    now = 3600.0
    assert tally.as_record()["books"] == 1
    now = 3660.0
    assert tally.as_record()["books"] == 0
