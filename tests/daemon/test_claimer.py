"""When the next book is claimed, and what is announced of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.ending import Claimed, Ending
from narrator_daemon.claims.failure import ErrorCode
from narrator_daemon.claims.work import Attempted, Work
from narrator_daemon.clock import now_ms
from narrator_daemon.daemon.announcements import Announcements
from narrator_daemon.daemon.claimer import Claimer
from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.daemon.sharing import Sharing
from narrator_daemon.errors import Unavailable
from narrator_daemon.queue.waiting import Waiting


class Picker:
    def __init__(self) -> None:
        self.attempts: list[Attempted | None] = []
        self.asked = 0

    def claim_next(self) -> Attempted | None:
        self.asked += 1
        return self.attempts.pop(0)


class Job:
    stuck = False

    def __init__(self, work: Work) -> None:
        self.work = work


class Desk:
    def __init__(self) -> None:
        self.picker, self.waiting = Picker(), Waiting()
        self.in_work, self.stopping = InWork(lambda: 1), threading.Event()
        self.dependencies = Dependencies()
        self.dependencies.add("database", lambda: None)
        self.started: list[Work] = []
        self.claimed: list[Claimed] = []
        self.endings: list[Ending] = []
        claims = Announcements[Claimed](self.dependencies.report)
        claims.listen(self.claimed.append)
        endings = Announcements[Ending](self.dependencies.report)
        endings.listen(self.endings.append)
        picker: Any = self.picker
        self.share = Sharing(lambda: 1).join(self.in_work, lambda: True, lambda: None)
        self.claimer = Claimer(
            picker,
            self.waiting,
            self.share,
            self.dependencies,
            self.stopping,
            self.started.append,
            claims,
            endings,
        )


@pytest.fixture
def desk() -> Desk:
    return Desk()


def work(requested_at: Any = None) -> Work:
    return Work("b", {}, Claim("t", "w", 1, 0, "h", 1, requested_at, 0), 0.0)


def test_a_claim_is_announced_and_its_job_started(desk: Desk) -> None:
    made = work(requested_at=now_ms() - 2000)
    desk.picker.attempts = [Attempted("b", Verdict.CLAIMED, made)]
    assert desk.claimer.step() == 0
    assert desk.started == [made]
    (claimed,) = desk.claimed
    assert (claimed.book_id, claimed.claim) == ("b", made.claim)
    assert claimed.since_request is not None and 2 <= claimed.since_request < 60
    assert desk.endings == []


def test_a_book_with_no_attempt_left_has_failed(desk: Desk) -> None:
    desk.picker.attempts = [Attempted("b", Verdict.EXHAUSTED)]
    assert desk.claimer.step() == 0
    (ending,) = desk.endings
    assert (ending.book_id, ending.outcome, ending.claim) == ("b", "failed", None)
    assert ending.failure is not None and ending.failure.code is ErrorCode.WORKER_LOST
    assert desk.started == desk.claimed == []


@pytest.mark.parametrize("verdict", [Verdict.LOST, Verdict.LATER, Verdict.LEASED, Verdict.GONE])
def test_one_that_was_not_won_is_followed_by_the_next_at_once(desk: Desk, verdict: Verdict) -> None:
    desk.picker.attempts = [Attempted("b", verdict)]
    assert desk.claimer.step() == 0
    assert desk.started == desk.claimed == desk.endings == []


def test_nothing_is_claimed_while_a_dependency_is_down(desk: Desk) -> None:
    desk.dependencies.report(Unavailable("database", "503"))
    assert desk.claimer.step() == 0.5
    assert desk.picker.asked == 0


def test_nothing_is_claimed_by_one_that_stops(desk: Desk) -> None:
    desk.stopping.set()
    assert desk.claimer.step() == 0.5
    assert desk.picker.asked == 0


def test_nothing_is_claimed_without_room(desk: Desk) -> None:
    job: Any = Job(work())
    desk.in_work.add(job)
    assert desk.claimer.step() == 1
    assert desk.picker.asked == 0
    desk.in_work.remove(job)
    desk.in_work.remove(job)
    desk.picker.attempts = [None]
    desk.claimer.step()
    assert desk.picker.asked == 1


def test_looks_are_rare_while_nothing_waits(desk: Desk) -> None:
    desk.picker.attempts = [None, None]
    assert desk.claimer.step() == 10
    desk.waiting.offer("b", None, 0)
    assert desk.claimer.step() == 1


def test_the_wait_of_a_book_that_was_put_off_counts_from_when_it_was_wanted(desk: Desk) -> None:
    made = work(requested_at=now_ms() - 3_600_000)
    made.book["narrativeAudioNotBefore"] = now_ms() - 2000
    desk.picker.attempts = [Attempted("b", Verdict.CLAIMED, made)]
    desk.claimer.step()
    since = desk.claimed[0].since_request
    assert since is not None and 1.9 < since < 600
