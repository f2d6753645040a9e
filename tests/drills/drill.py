"""One drill: a plan is carried out on real processes, and what came of it is judged."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from narrator_daemon import config
from narrator_daemon.catalogue import BESIDE, files_of
from narrator_daemon.claims.signed_url import is_by_a_wrong_clock
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.harness.faults import Fault
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.housekeeping.sweep import Sweeper
from tests.actors import Frontend
from tests.drills.fleet import Fleet, fleet
from tests.drills.leaks import Secrets
from tests.drills.observer import Observer
from tests.drills.plan import Action, Plan

MAX_ATTEMPTS = 5

#: Seconds for daemons to be ready, and after a plan's end for every book to have its outcome. A
#: machine that is busy with other work needs more.
PATIENCE = 120.0

_SETTINGS = {
    "CLAIMS__RECONCILE_SECONDS": 2,
    "CLAIMS__MAX_ATTEMPTS": MAX_ATTEMPTS,
    "DAEMON__GRACE_SECONDS": 1.5,
    "WATERMARK__SELF_CHECK": "false",
    "FILES__FORMATS": "m4a",
    # All that can be logged is searched for secrets.
    "LOGGING__LEVEL": "debug",
    # The limiter takes part, but holds nobody up for a minute.
    "LIMITS__REQUESTS_PER_MINUTE": 5000,
}

#: Some uploads take a while, so that there is something to hit.
_SLOW_UPLOADS = Fault(
    "slow", "storage", method="POST|PUT", path="upload", seconds=2.0, fraction=0.6
)

#: Seconds after a disturbance of the database, and a TTL, in which a claim may still be lost to it:
#: for requests that were under way when it ended.
_AFTERMATH_SECONDS = 3.0


@dataclass
class Result:
    """What came of a drill.

    Attributes:
        plan: what was done.
        seconds: from the first action until all was quiet.
        counts: claims by how they ended, outcomes, objects.
        violations: what must not be; each begins with its kind and a colon.
    """

    plan: Plan
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """For a table."""
        kinds = Counter(violation.partition(":")[0] for violation in self.violations)
        names = ["published", "retaken", "failed", "worker_lost", "claims", "given_back", "lost"]
        names += ["false_alarms", "swept"]
        return {
            "seed": self.plan.seed,
            "books": self.plan.books,
            "faults": self.plan.faults,
            "seconds": round(self.seconds, 1),
            **{name: self.counts[name] for name in names},
            "books_lost": kinds["lost"],
            "duplicates": kinds["duplicate"] + kinds["duplicate take"],
            "ghosts": kinds["ghost"],
            "secrets": kinds["secret"],
            "other": sum(kinds.values())
            - kinds["lost"]
            - kinds["duplicate"]
            - kinds["duplicate take"]
            - kinds["ghost"]
            - kinds["secret"],
        }

    def __str__(self) -> str:
        return "\n".join([*self.violations, "the plan, and what plays it again:", str(self.plan)])


def run(plan: Plan, folder: Path, patience: float = PATIENCE, other: Path | None = None) -> Result:
    """Carry out a plan and judge.

    Args:
        plan: what to do.
        folder: an empty one, for the daemons' states and logs.
        patience: seconds for the daemons to be ready, and after the plan's end for every book to
            have its outcome.
        other: a folder with the sources of another version, which half of the daemons run.
    """
    result = Result(plan)
    kept = Secrets()
    with (
        LocalFirebase(keep_alive_seconds=1.0) as firebase,
        Observer(firebase.endpoints["database_host"], MAX_ATTEMPTS) as observer,
        Frontend(firebase.endpoints) as frontend,
        fleet(
            firebase.environment() | kept.environment,
            folder,
            {
                **_SETTINGS,
                # One for all, so that any of them has the segments for a retake.
                "KEPT__FOLDER": folder / "kept",
                "CLAIMS__LEASE_TTL_SECONDS": plan.ttl,
                "CLAIMS__BEAT_SECONDS": plan.ttl / 6,
            },
            plan.daemons,
            other,
            patience=patience,
        ) as daemons,
    ):
        slow = firebase.faults.add(_SLOW_UPLOADS)
        started = time.monotonic()
        network = _Network(firebase, _AFTERMATH_SECONDS + plan.ttl)
        for action in plan.actions:
            time.sleep(max(0.0, started + action.at - time.monotonic()))
            _do(action, frontend, daemons, network)
        network.calm()
        firebase.faults.clear(slow)
        result.violations += await_quiet(observer, patience)
        result.seconds = time.monotonic() - started
        daemons.stop_all()
        result.violations += daemons.bad_ends()
        result.violations += _judge_claims(observer, daemons, network, result.counts)
        result.violations += observer.violations
        result.violations += kept.told(daemons.logs(), frontend.node().get())
        with _sweeper(firebase) as (sweeper, store):
            result.counts["swept"] = _sweep(sweeper)
            result.violations += _judge_objects(store, observer.books())
        if other is None:
            result.violations += _judge_urls(observer.books())
    result.counts["claims"] = len(observer.claims)
    result.counts["worker_lost"] = len(observer.failed_for)
    result.counts.update(observer.outcomes)
    return result


class _Network:
    """The faults of the plan, and when the database was disturbed by them."""

    def __init__(self, firebase: LocalFirebase, aftermath: float) -> None:
        self._firebase = firebase
        self._aftermath = aftermath
        self._here = "http://localhost:" + firebase.endpoints["database_host"].rsplit(":", 1)[1]
        self._numbers: list[int] = []
        self.disturbed: list[tuple[float, float]] = []

    def do(self, action: Action) -> None:
        faults = self._firebase.faults
        if action.verb != "fault":
            getattr(faults, action.verb)(action.target)
            return
        fault: Fault = action.value
        if fault.kind == "redirect":
            fault = replace(fault, to=self._here)
        if fault.service == "database" and fault.kind != "silence":
            now = time.monotonic()
            self.disturbed.append((now, now + (fault.for_seconds or 0.0) + self._aftermath))
        self._numbers.append(faults.add(fault))

    def calm(self) -> None:
        """End what goes on."""
        for number in self._numbers:
            self._firebase.faults.clear(number)


def _do(action: Action, frontend: Frontend, daemons: Fleet, network: _Network) -> None:
    if action.doer == "network":
        network.do(action)
    elif action.doer == "process":
        value = () if action.value is None else (action.value,)
        getattr(daemons, action.verb)(action.target, *value)
    elif action.verb in ("add", "overwrite", "delete"):
        frontend.node().update({f"books/{action.target}": action.value})
    else:
        fields = {f"books/{action.target}/{name}": value for name, value in action.value.items()}
        frontend.node().update(fields)


def await_quiet(observer: Observer, patience: float) -> list[str]:
    """Wait until nothing is owed, claimed or leased; gives the violations if something stays so."""

    def in_work() -> list[str]:
        return [
            book_id
            for book_id, book in observer.books().items()
            if "token" in book.get("narrativeAudioClaim", {})
            or book.get("narrativeAudioStatus") in ("requested", "processing")
        ]

    deadline = time.monotonic() + patience
    while observer.owed() or in_work() or observer.leases():
        if time.monotonic() > deadline:
            books = observer.books()
            return [
                *(
                    f"lost: {book_id}: {books.get(book_id)}"
                    for book_id in sorted({*observer.owed(), *in_work()})
                ),
                *[f"lease left: {observer.leases()}"] * bool(observer.leases()),
            ]
        time.sleep(0.1)
    return []


def _judge_claims(
    observer: Observer, daemons: Fleet, network: _Network, counts: Counter[str]
) -> list[str]:
    """Every claim that made a book fail was lost to something that the plan did."""

    def explained(claim: Any) -> bool:
        disturbed = [*daemons.lives[claim.owner].disturbed, *network.disturbed]
        return any(begin <= claim.ended and claim.began <= end for begin, end in disturbed)

    for claim in observer.claims:
        counts[claim.how] += claim.how in ("lost", "given_back")
        counts["false_alarms"] += claim.how == "lost" and not explained(claim)
    return [
        f"failed for no reason of the plan's: {book_id} lost {lost}"
        for book_id, lost in observer.failed_for
        if len(lost) < MAX_ATTEMPTS or not all(map(explained, lost))
    ]


@contextmanager
def _sweeper(firebase: LocalFirebase) -> Iterator[tuple[Sweeper, AudioStore]]:
    with mock.patch.dict(os.environ, firebase.environment()):
        settings = config.load(None)
        project = Project(settings)
    store = AudioStore(project, settings.storage)
    # An hour from now, so that what was uploaded just now is old enough.
    clock: Callable[[], float] = lambda: time.time() + 4000  # noqa: E731
    try:
        with mock.patch.dict(os.environ, firebase.environment()):
            yield Sweeper(project, store, clock=clock), store
    finally:
        project.close()


def _sweep(sweeper: Sweeper) -> int:
    swept = 0
    while deleted := sweeper.round():
        swept += deleted
    return swept


def _judge_urls(books: dict[str, dict[str, Any]]) -> list[str]:
    """No URL was signed by a clock that was wrong."""
    now_ms = int(time.time() * 1000)
    return [
        f"URL by a wrong clock: {book_id}: {book['narrativeAudioUrl']}"
        for book_id, book in books.items()
        if "narrativeAudioUrl" in book
        and (
            is_by_a_wrong_clock(
                book["narrativeAudioUrl"], book["narrativeAudioUrlExpiresAt"], now_ms
            )
            or book["narrativeAudioUrlExpiresAt"] < now_ms + 6 * 86_400_000
        )
    ]


def _judge_objects(store: AudioStore, books: dict[str, dict[str, Any]]) -> list[str]:
    there = {stored.path for stored in store.objects(most=100_000)}
    named = {book["narrativeAudioPath"] for book in books.values() if "narrativeAudioPath" in book}
    named |= {
        file["path"]
        for book in books.values()
        for field in BESIDE
        for file in files_of(book, field).values()
    }
    return [
        *(f"object of no book: {path}" for path in sorted(there - named)),
        *(f"object missing: {path}" for path in sorted(named - there)),
    ]
