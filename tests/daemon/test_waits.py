"""Why books wait, as health, metrics and the log are told."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import structlog

from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.daemon.waits import WhyWaiting
from narrator_daemon.errors import Unavailable
from narrator_daemon.queue.reasons import Reason
from narrator_daemon.queue.waiting import Waiting
from tests.queue.asking import NOW

REQUESTED = {"narrativeAudioStatus": "requested", "narrative": "A"}


class Desk:
    def __init__(self, **more: Any) -> None:
        self.waiting, self.stopping = Waiting(), threading.Event()
        self.dependencies = Dependencies()
        self.dependencies.add("database", lambda: None)
        self.why = WhyWaiting(
            self.waiting,
            tuple,
            self.dependencies,
            self.stopping,
            lambda: 1,
            lambda: NOW,
            **more,
        )

    @property
    def counts(self) -> dict[Reason, int]:
        return {reason: count for reason, count in self.why.now().counts.items() if count}


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.waiting.offer("b", REQUESTED, NOW)
    return desk


def test_what_could_be_taken_waits_for_room(desk: Desk) -> None:
    assert desk.counts == {Reason.NO_ROOM: 1}


def test_while_nothing_is_claimed_all_wait_for_that(desk: Desk) -> None:
    desk.dependencies.report(Unavailable("database", "down"))
    assert desk.counts == {Reason.DEPENDENCY: 1}
    held = Desk(held=lambda: True)
    held.waiting.offer("b", REQUESTED, NOW)
    assert held.counts == {Reason.OPERATOR: 1}
    held.stopping.set()
    assert held.counts == {Reason.PAUSED: 1}


def test_what_waits_for_a_limit_or_a_budget_says_so(desk: Desk) -> None:
    for number in range(2):
        book = {**REQUESTED, "narrativeAudioRequestedBy": "ada", "narrativeAudioRequestedAt": NOW}
        desk.waiting.offer(f"a{number}", book, NOW)
    assert desk.counts == {Reason.NO_ROOM: 2, Reason.LIMIT: 1}
    desk.waiting.pass_over_budget("ada", float("inf"), 0.0)
    assert desk.counts == {Reason.NO_ROOM: 1, Reason.BUDGET: 2}


def test_the_log_says_it_once_a_minute_where_any_wait(desk: Desk) -> None:
    with structlog.testing.capture_logs() as logged:
        assert desk.why.say() == 60
        desk.waiting.forget(["b"])
        assert desk.why.say() == 60
    assert [(line["event"], line["no_room"]) for line in logged] == [("waiting", 1)]
