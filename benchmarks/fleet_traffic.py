"""What replicas with nothing to do ask of the database while much is in work elsewhere.

    python -m benchmarks.fleet_traffic [REPLICAS [BOOKS [BEATS]]]

Plays the rounds that each replica makes (the leases, what waits, its own entry) in one process
against the local Firebase, one round of all after another, by a clock that goes a beat a round.
The leases of the books in work beat, as those of living owners do. Bytes are those of bodies sent
by the database, which are what it bills besides headers; streams send nothing while nothing waits.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.reporting import report
from narrator_daemon import config
from narrator_daemon.catalogue import LEASES
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.lease_watch import LeaseWatch
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.daemon.controlled import Controlled
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.daemon.presence import Presence
from narrator_daemon.daemon.tally import Tally
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.firebase.project import Project
from narrator_daemon.housekeeping import reaper as reaping
from narrator_daemon.housekeeping.lookouts import Lookouts
from narrator_daemon.housekeeping.reaper import Reaper
from narrator_daemon.housekeeping.reconciler import Reconciler
from narrator_daemon.queue.waiting import Waiting
from narrator_daemon.settings import Settings

BEAT, RECONCILE, TTL = 10.0, 45.0, 45.0
_SETTLING_BEATS = 4
_TEXT = ("A sentence of forty letters for a book. " * 125)[:5_000]


class Clock:
    """The steady clock of all replicas."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


class Engine:
    """As far as a replica's entry names it."""

    name, device = "tone", "cpu"


class Replica:
    """One replica without work: the rounds it makes.

    Args:
        project: the database.
        name: its id.
        clock: of all.
    """

    def __init__(self, project: Project, name: str, clock: Clock) -> None:
        watch, refusals = LeaseWatch(TTL, 3 * BEAT), Refusals()
        leases = Leases(project, name, TTL)
        claims = Claims(
            project, Settings(), "voice", lambda book, token: watch.dead((book, token)), leases
        )
        self.lookouts = Lookouts(project, name, BEAT, clock)
        self.reaper = Reaper(
            project,
            claims,
            leases,
            watch,
            name,
            refusals,
            lambda _book: None,
            self.lookouts,
            RECONCILE,
        )
        self.reconciler = Reconciler(
            project, Waiting(), self.reaper, RECONCILE, lambda: None, clock=clock
        )
        engine: Any = Engine()
        self.presence = Presence(project, name, engine, InWork(lambda: 8), Tally(), clock=clock)
        self.controlled = Controlled(
            project, name, InWork(lambda: 8), threading.Event(), clock=clock
        )
        self._clock = clock
        self._reconcile_at = self._control_at = 0.0

    def beat(self) -> None:
        """What it does in one beat."""
        self.presence.show()
        self.reaper.round()
        if self._clock.now >= self._control_at:
            self._control_at = self._clock.now + 2 * BEAT
            self.controlled.look()
        if self._clock.now >= self._reconcile_at:
            self._reconcile_at = self._clock.now + self.reconciler.round()


def measure(count: int, in_work: int, beats: int) -> list[dict[str, object]]:
    """Rows for a replica that looks for all, and for one that does not, by kind of request."""
    clock, counted = Clock(), {True: Counts(), False: Counts()}
    with LocalFirebase() as firebase, pytest.MonkeyPatch.context() as patch:
        firebase.load("/books", {f"book-{n:05}": _book(n) for n in range(in_work)})
        for name, value in firebase.environment().items():
            patch.setenv(name, value)
        patch.setattr(reaping, "time", SimpleNamespace(monotonic=clock))
        with Project(config.load(None)) as project:
            replicas = [Replica(project, f"worker-{n:04}", clock) for n in range(count)]
            for beat in range(beats + _SETTLING_BEATS):
                clock.now += BEAT
                firebase.load(
                    f"/{LEASES}", {f"book-{n:05}": _lease(n, beat) for n in range(in_work)}
                )
                for one in replicas:
                    firebase.traffic.reset()
                    one.beat()
                    if beat >= _SETTLING_BEATS:
                        counted[one.lookouts.on_duty].add(firebase)
    duty = sum(one.lookouts.on_duty for one in replicas)
    shares = {True: duty, False: count - duty}
    return [
        row for on_duty in shares for row in counted[on_duty].rows(on_duty, shares[on_duty], beats)
    ]


class Counts:
    """Requests and bytes by kind."""

    def __init__(self) -> None:
        self._requests, self._sent = Counter[str](), Counter[str]()

    def add(self, firebase: LocalFirebase) -> None:
        """Add what was asked of the database since its counts were set to zero."""
        for row in firebase.traffic.rows():
            if row["service"] == "database":
                for kind in (f"{row['method']} {row['place']}", "all"):
                    self._requests[kind] += int(row["requests"])
                    self._sent[kind] += int(row["bytes_sent"])

    def rows(self, on_duty: bool, count: int, beats: int) -> list[dict[str, object]]:
        """What one of so many replicas asked for in a minute."""
        minutes = beats * BEAT / 60 * max(count, 1)
        return [
            {
                "replica": "on duty" if on_duty else "idle",
                "what": kind,
                "requests_a_minute": round(self._requests[kind] / minutes, 2),
                "bytes_a_minute": round(self._sent[kind] / minutes),
            }
            for kind in sorted(self._sent, key=lambda kind: -self._sent[kind])
        ]


def _book(number: int) -> dict[str, object]:
    claim = {
        "token": f"{number:032x}",
        "owner": f"worker-{number // 8:04}",
        "attempt": 1,
        "giveBacks": 0,
        "inputHash": "0" * 64,
        "textHash": "0" * 64,
        "take": 1,
        "at": 1_750_000_000_000,
    }
    return {
        "narrative": _TEXT,
        "narrativeAudioStatus": "processing",
        "narrativeAudioProgress": 0.5,
        "narrativeAudioClaim": claim,
    }


def _lease(number: int, beat: int) -> dict[str, object]:
    return {f"{number:032x}": {"owner": f"worker-{number // 8:04}", "beat": beat, "ttl": TTL}}


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:4]]
    replicas, books, beats = (*given, *(10, 200, 180)[len(given) :])
    report("fleet_traffic", measure(replicas, books, beats))
