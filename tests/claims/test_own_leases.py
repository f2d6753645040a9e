"""A worker's own leases: when it must take itself for dead."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.work import Work
from narrator_daemon.errors import Unavailable
from tests.actors import wait_until
from tests.memory import MemoryProject

TTL = 0.5
#: Of a lease that no test, however slow, outlives.
LONG_TTL = 600.0


class Database:
    """Takes beats, or lets them hang while ``answering`` is not set."""

    def __init__(self) -> None:
        self.answering = threading.Event()
        self.answering.set()
        self.leases: dict[str, Any] = {}

    def node_path(self, *keys: str) -> str:
        return "/".join(keys)

    def node(self, *keys: str) -> Any:
        database, name = self, "/".join(keys[1:])

        class Reference:
            def update(self, leases: dict[str, Any]) -> None:
                assert database.answering.wait(60)
                database.leases.update(leases)

            def delete(self) -> None:
                database.leases.pop(name, None)

        return Reference()


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def leases(database: Database) -> Leases:
    project: Any = database
    return Leases(project, "w", TTL)


@pytest.fixture
def long_leases(database: Database) -> Leases:
    project: Any = database
    return Leases(project, "w", LONG_TTL)


def work(name: str = "t") -> Work:
    claim = Claim(name, "w", 1, 0, "h", 1, None, 0)
    return Work("b", {}, claim, time.monotonic())


def test_a_beat_in_time_keeps_the_work(long_leases: Leases) -> None:
    held = work()
    long_leases.hold(held)
    long_leases.beat([held])
    long_leases.let_go(time.monotonic() + 0.6 * LONG_TTL)
    assert held.stopped is None


def test_work_is_let_go_once_seven_tenths_of_its_lease_are_over(long_leases: Leases) -> None:
    held = work()
    long_leases.hold(held)
    _, beat = long_leases.held()
    assert beat is not None
    long_leases.let_go(beat + 419)
    assert (held.late, held.stopped) == (False, None)
    long_leases.let_go(beat + 421)
    assert (held.late, held.stopped) == (True, Verdict.FENCED)


def test_a_lease_that_was_not_renewed_in_time_is_an_outage(
    long_leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_leases.check()
    held = work()
    held.claimed_at = now = time.monotonic()
    long_leases.hold(held)
    monkeypatch.setattr(time, "monotonic", lambda: now + 419)
    long_leases.check()
    monkeypatch.setattr(time, "monotonic", lambda: now + 425)
    with pytest.raises(Unavailable, match="600 s could not be renewed"):
        long_leases.check()
    long_leases.drop(held)
    long_leases.check()


def test_the_lease_of_a_job_that_hangs_is_no_outage_for_ever(
    long_leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = work()
    held.claimed_at = now = time.monotonic()
    long_leases.hold(held)
    monkeypatch.setattr(time, "monotonic", lambda: now + 1199)
    with pytest.raises(Unavailable):
        long_leases.check()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1201)
    long_leases.check()


def test_a_lifetime_is_believed_that_can_be_configured() -> None:
    project: Any = MemoryProject()
    promised = {"a": 0.99, "b": 1, "c": 3600, "d": 3601, "e": "45", "f": True, "g": None}
    project.tree["narrationLeases"] = {
        "b": {name: {"beat": 5, "ttl": ttl} for name, ttl in promised.items()},
        "odd": {"t": "x"},
    }
    seen = Leases(project, "w", TTL).read()
    assert seen.ttls == {("b", "b"): 1.0, ("b", "c"): 3600.0}
    assert seen.beats == {("b", name): 5 for name in promised} | {("odd", "t"): "x"}


def test_of_several_the_oldest_beat_is_told(long_leases: Leases) -> None:
    first, second = work("first"), work("second")
    second.claimed_at = first.claimed_at + 5
    for one in (first, second):
        long_leases.hold(one)
    count, oldest = long_leases.held()
    assert count == 2 and oldest == min(long_leases._beat_at.values())
    assert oldest < max(long_leases._beat_at.values())


def test_a_process_that_slept_stops_though_it_can_beat_again(leases: Leases) -> None:
    held = work()
    leases.hold(held)
    time.sleep(0.8 * TTL)
    leases.beat([held])
    assert held.stopped is Verdict.FENCED


def test_a_beat_that_is_not_answered_does_not_hide_the_loss(
    database: Database, leases: Leases
) -> None:
    held = work()
    leases.hold(held)
    database.answering.clear()
    beating = threading.Thread(target=leases.beat, args=[[held]])
    beating.start()
    wait_until(lambda: leases.let_go(time.monotonic()) or held.stopped, "the work to stop")
    database.answering.set()
    beating.join()
    assert held.stopped is Verdict.FENCED


def test_no_beat_brings_a_dropped_lease_back(database: Database, long_leases: Leases) -> None:
    leases, first, second = long_leases, work("first"), work("second")
    leases.hold(first)
    leases.hold(second)
    database.answering.clear()
    beating = threading.Thread(target=leases.beat, args=[[first, second]])
    beating.start()
    dropping = threading.Thread(target=leases.drop, args=[first])
    dropping.start()
    database.answering.set()
    beating.join()
    dropping.join()
    leases.beat([first, second])
    assert list(database.leases) == ["b/second"]
