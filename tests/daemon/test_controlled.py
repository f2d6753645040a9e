"""A worker does what an operator tells it."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from narrator_daemon.daemon.controlled import Controlled
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.errors import Unavailable
from tests.memory import MemoryProject, refusal


class Job:
    work = type("Work", (), {"token": "t"})()
    stuck = False


class Desk:
    def __init__(self) -> None:
        self.project = MemoryProject()
        self.in_work = InWork(lambda: 1)
        self.changes = 0
        self.now = 100.0
        project: Any = self.project

        def changed() -> None:
            self.changes += 1

        self.controlled = Controlled(project, "w", self.in_work, changed, lambda: self.now)

    def say(self, state: str | None, of: str = "fleet") -> None:
        node = {} if state is None else {"state": state}
        self.project.tree["narrationControl"] = {of: node if of == "fleet" else {"w": node}}

    def holds(self) -> bool:
        return self.controlled.holds

    def look(self, times: int = 1) -> str:
        for _ in range(times):
            self.controlled.look()
        return str(self.controlled.control.state)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_nothing_is_claimed_before_the_first_look(desk: Desk) -> None:
    assert desk.holds()
    desk.look()
    assert not desk.holds()
    assert desk.changes == 1


def test_nothing_is_claimed_while_nobody_could_look(desk: Desk) -> None:
    desk.project.fail("get /narrationControl", refusal(503), times=1)
    with pytest.raises(Unavailable):
        desk.look()
    assert desk.holds()
    desk.look()
    assert not desk.holds()


@pytest.mark.parametrize("of", ["fleet", "workers"])
def test_a_pause_holds_until_it_is_over(desk: Desk, of: str) -> None:
    desk.look()
    desk.say("paused", of)
    assert desk.look() == "paused" and desk.holds()
    desk.project.fail("get /narrationControl", refusal(503), times=1)
    with pytest.raises(Unavailable):
        desk.look()
    assert desk.holds()
    desk.say(None)
    assert desk.look() == "running" and not desk.holds()
    assert desk.changes == 3 and not desk.controlled.drained


def test_a_worker_that_drains_ends_once_nothing_is_in_work(desk: Desk) -> None:
    desk.look()
    job: Any = Job()
    desk.in_work.add(job)
    desk.say("draining")
    assert desk.look(5) == "draining" and desk.holds()
    assert not desk.controlled.drained
    desk.in_work.remove(job)
    desk.look()
    assert not desk.controlled.drained  # a claim may be on its way
    desk.in_work.add(job)
    desk.look()
    desk.in_work.remove(job)
    desk.look()
    assert not desk.controlled.drained
    desk.look()
    assert desk.controlled.drained


def test_one_that_is_started_while_the_fleet_drains_stays_idle(desk: Desk) -> None:
    desk.say("draining")
    desk.look(5)
    assert desk.holds() and not desk.controlled.drained
    desk.say("running")
    desk.look()
    desk.say("draining")
    desk.look(3)
    assert desk.controlled.drained


def test_a_drain_that_is_taken_back_ends_nobody(desk: Desk) -> None:
    desk.look()
    job: Any = Job()
    desk.in_work.add(job)
    desk.say("draining")
    desk.look(3)
    desk.say(None)
    desk.in_work.remove(job)
    desk.look(3)
    assert not desk.controlled.drained and not desk.holds()


def test_rules_without_the_node_tell_nothing(desk: Desk) -> None:
    desk.project.fail("get /narrationControl", refusal(401))
    desk.look()
    assert not desk.holds()
    asked = desk.project.count("get /narrationControl")
    desk.look(5)
    assert desk.project.count("get /narrationControl") == asked
    desk.project.mend()
    desk.say("paused")
    desk.now += 601
    assert desk.look() == "paused"


def test_a_refusal_of_everything_that_is_over_when_it_is_asked_for_ends_no_pause(
    desk: Desk,
) -> None:
    desk.say("paused")
    desk.project.fail("get /narrationControl", refusal(401), times=1)
    assert desk.look() == "paused" and desk.holds()
    desk.project.fail("get /narrationControl", refusal(401), times=1)
    assert desk.look() == "paused" and desk.holds()
    desk.say(None)
    assert desk.look() == "running"


def test_what_is_ignored_is_told_once(desk: Desk) -> None:
    desk.project.tree["narrationControl"] = {"fleet": {"state": "stop"}}
    with structlog.testing.capture_logs() as logged:
        desk.look(3)
    told = [event["why"] for event in logged if event["event"] == "control_ignored"]
    assert len(told) == 1 and '"stop"' in told[0]
    assert not desk.holds()
    assert desk.controlled.control.ignored


def test_nothing_new_costs_no_reading_of_the_node(desk: Desk) -> None:
    desk.look(4)
    assert desk.changes == 1
