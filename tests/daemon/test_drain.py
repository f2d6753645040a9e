"""A worker that works off the queue and ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from narrator_daemon.clock import now_ms
from narrator_daemon.daemon import drain as drains
from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.daemon.drain import Drain
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.errors import Unavailable
from narrator_daemon.queue.waiting import Waiting
from narrator_daemon.settings import Settings
from tests.actors import Frontend, Inside, wait_until
from tests.memory import MemoryProject

Start = Callable[..., Inside]

CLAIM = {
    "owner": "other",
    "attempt": 1,
    "giveBacks": 0,
    "inputHash": "a" * 64,
    "take": 1,
    "requestedAt": 5,
    "at": 6,
}


def book(status: str, **fields: Any) -> dict[str, Any]:
    named = {f"narrativeAudio{name}": value for name, value in fields.items()}
    return {"narrative": "Text.", "narrativeAudioStatus": status, **named}


class Desk:
    def __init__(self) -> None:
        self.project = MemoryProject()
        self.waiting, self.in_work = Waiting(), InWork(lambda: 1)
        self.dependencies = Dependencies()
        self.dependencies.add("database", lambda: None)
        self.refused: set[str] = set()
        self.now, self.held = 100.0, False
        project: Any = self.project
        settings = Settings()
        self.drain = Drain(
            project,
            settings,
            self.waiting,
            self.in_work,
            self.dependencies,
            lambda: 1,
            lambda: self.refused,
            lambda: self.now,
            lambda: self.held,
        )

    def over(self, seconds: float = 0.0) -> bool:
        self.drain.step()
        self.now += seconds
        self.drain.step()
        return self.drain.done


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_what_is_not_wanted_yet_is_left_to_the_next_drain(desk: Desk) -> None:
    clock: Any = desk.project.database_clock
    desk.project.shelf["tonight"] = book("requested", NotBefore=clock.now_ms() + 3_600_000)
    assert desk.over()


def test_what_is_wanted_by_now_is_not_left(desk: Desk) -> None:
    clock: Any = desk.project.database_clock
    desk.project.shelf["tonight"] = book("requested", NotBefore=clock.now_ms())
    assert not desk.over(3600)


def test_it_is_over_when_nothing_waits_and_nothing_is_in_work(desk: Desk) -> None:
    desk.project.shelf["done"] = book("ready")
    assert desk.over()


@pytest.mark.parametrize(
    "waits",
    [
        book("requested"),
        book("requested", RequestedAt=5, Claim={**CLAIM, "notBefore": now_ms() + 60_000}),
    ],
    ids=["free", "retry"],
)
def test_what_waits_is_waited_for(desk: Desk, waits: dict[str, Any]) -> None:
    desk.project.shelf["b"] = waits
    assert not desk.over(seconds=1000)
    del desk.project.shelf["b"]
    assert desk.over()


def test_a_requesters_limit_is_waited_for(desk: Desk) -> None:
    for number in range(3):
        desk.project.shelf[f"b{number}"] = book("requested", RequestedBy="ada")
    assert not desk.over(seconds=1000)


@pytest.mark.parametrize("status", ["processing", "requested"])
def test_what_another_holds_is_waited_for_until_it_is_known_to_live(
    desk: Desk, status: str
) -> None:
    desk.project.shelf["b"] = book(status, RequestedAt=5, Claim={**CLAIM, "token": "t"})
    assert not desk.over(seconds=60)
    assert desk.over(seconds=60)


def test_a_claim_is_known_to_live_a_lease_and_three_beats_later(desk: Desk) -> None:
    desk.project.shelf["b"] = book("processing", Claim={**CLAIM, "token": "t"})
    assert not desk.over(seconds=74)
    assert desk.over(seconds=1)


def test_it_looks_again_when_the_next_book_may_be_tried(desk: Desk) -> None:
    clock: Any = desk.project.database_clock
    for pause, looks_in in ((3_000, 3.0), (100, 0.5), (60_000, 5.0)):
        claim = {**CLAIM, "notBefore": clock.now_ms() + pause}
        desk.project.shelf["b"] = book("requested", RequestedAt=5, Claim=claim)
        desk.project.shelf["later"] = book(
            "requested", RequestedAt=5, Claim={**claim, "notBefore": clock.now_ms() + 90_000}
        )
        assert desk.drain.step() == looks_in
    desk.project.shelf["b"] = book("requested")
    assert desk.drain.step() == 0.5
    desk.project.shelf.clear()
    assert desk.drain.step() == 5.0 and desk.drain.done


def test_what_this_worker_may_take_is_waited_for_without_a_reading(desk: Desk) -> None:
    desk.waiting.offer("b", book("requested"), 0)
    assert desk.drain.step() == 0.5 and desk.project.calls == []
    desk.waiting.forget(["b"])
    assert desk.over()


def test_who_is_kept_from_claiming_does_not_wait_for_what_it_could_take(desk: Desk) -> None:
    desk.held = True
    desk.waiting.offer("b", book("requested"), 0)
    desk.project.shelf["b"] = book("requested")
    assert desk.over()


def test_each_claim_is_given_its_time(desk: Desk) -> None:
    desk.project.shelf["b"] = book("processing", Claim={**CLAIM, "token": "t"})
    assert not desk.over(seconds=70)
    desk.project.shelf["b"] = book("processing", Claim={**CLAIM, "token": "u"})
    assert not desk.over(seconds=70)
    assert desk.over(seconds=70)


def test_what_is_processing_and_nobodys_is_waited_for(desk: Desk) -> None:
    desk.project.shelf["b"] = book("processing")
    assert not desk.over()
    desk.project.shelf["b"] = book("requested")
    assert not desk.over(seconds=1000)


def test_what_the_database_refuses_is_not_waited_for(desk: Desk) -> None:
    desk.project.shelf["b"] = book("requested")
    desk.refused.add("b")
    assert desk.over()


def test_an_outage_is_waited_for(desk: Desk) -> None:
    desk.dependencies.report(Unavailable("database", "down"))
    assert not desk.over()


def test_more_than_can_be_read_at_once_is_not_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drains, "_WINDOW", 2)
    for number in range(2):
        desk.project.shelf[f"b{number}"] = book("requested")
        desk.refused.add(f"b{number}")
    assert not desk.over()


def test_a_daemon_works_off_the_queue_and_ends_with_0(
    frontend: Frontend, start_inside: Start
) -> None:
    for number in range(5):
        frontend.add_requested(f"b{number}", "A short tale.")
    frontend.add_requested("bad", 17)
    daemon = start_inside(drain=True)
    assert daemon.wait(90) == 0
    assert {frontend.status(f"b{number}") for number in range(5)} == {"ready"}
    assert frontend.status("bad") == "failed"
    assert len(daemon.logged("drained")) == 1
    assert frontend.node("narrationWorkers").get() is None


def test_it_takes_up_first_what_a_dead_one_left(
    firebase: LocalFirebase, frontend: Frontend, start_inside: Start
) -> None:
    frontend.add("dead", "A short tale.")
    claim = {**CLAIM, "token": "t" * 32}
    frontend.node("books", "dead").update(
        {"narrativeAudioStatus": "processing", "narrativeAudioClaim": claim}
    )
    frontend.node("narrationLeases", "dead", "t" * 32).set({"owner": "other", "beat": 1})
    quick = {"claims__lease_ttl_seconds": 2, "claims__beat_seconds": 0.5}
    assert start_inside(drain=True, claims__reconcile_seconds=0.5, **quick).wait(90) == 0
    assert frontend.status("dead") == "ready"


def test_it_leaves_what_a_living_one_holds(frontend: Frontend, start_inside: Start) -> None:
    frontend.add("held", "A short tale.")
    claim = {**CLAIM, "token": "t" * 32}
    frontend.node("books", "held").update(
        {"narrativeAudioStatus": "processing", "narrativeAudioClaim": claim}
    )
    lease = frontend.node("narrationLeases", "held", "t" * 32)
    beats = 1
    lease.set({"owner": "other", "beat": beats})
    quick = {"claims__lease_ttl_seconds": 2, "claims__beat_seconds": 0.5}
    daemon = start_inside(drain=True, claims__reconcile_seconds=0.5, **quick)

    def ended() -> bool:
        nonlocal beats
        beats += 1
        lease.set({"owner": "other", "beat": beats})
        return daemon.status is not None

    wait_until(ended, "the daemon to end", 60)
    assert (daemon.status, frontend.status("held")) == (0, "processing")


def test_what_is_done_is_told_each_time_and_not_read_all_over(desk: Desk) -> None:
    """As where other databases are not done for hours."""

    def readings() -> int:
        return desk.project.count("query /books by narrativeAudioStatus")

    told: list[float] = []
    desk.drain._on_done = lambda: told.append(desk.now)
    assert desk.over()
    before = readings()
    for _ in range(10):
        desk.now += 5
        desk.drain.step()
    assert desk.drain.done and readings() == before and len(told) == 12
    desk.now += 10
    desk.drain.step()
    assert desk.drain.done and readings() > before
    # What is heard of meanwhile is waited for.
    desk.project.shelf["b"] = book("requested")
    clock: Any = desk.project.database_clock
    desk.waiting.offer("b", desk.project.shelf["b"], clock.now_ms())
    desk.drain.step()
    assert not desk.drain.done
