"""The whole fleet as the database shows it: what waits, what is in work, who works, what failed.

Reads are bounded, however large the catalogue: a hundred waiting books, a hundred in work and some
that failed, each by the index of the status, and the workers' own entries.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from narrator_daemon import logs
from narrator_daemon.catalogue import (
    CLAIM,
    ERROR,
    FAILED,
    PROCESSING,
    PROGRESS,
    REQUESTED,
    REQUESTED_AT,
    REQUESTED_BY,
    WORKERS,
    Record,
    children,
    is_number,
    moment,
)
from narrator_daemon.claims.claim import Claim
from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase import books
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.books import WINDOW
from narrator_daemon.firebase.project import Project
from narrator_daemon.queue import demand
from narrator_daemon.queue.budgets import Budgets
from narrator_daemon.queue.control import Control, holds_all, of_fleet
from narrator_daemon.queue.reasons import Reason, Wait, of_records
from narrator_daemon.settings import Settings

#: Failed books that are looked at for the latest failures, and failures that are shown.
_FAILED_READ, _FAILURES_SHOWN = 50, 10

#: Requesters whose limits are looked up: those who ask for most.
_REQUESTERS_READ = 20


@dataclass(frozen=True)
class Queue:
    """What waits.

    Attributes:
        depth: how many books.
        more: whether there are more than that, which were not read.
        oldest_seconds: since the oldest request that was read and has a time, or None.
        reasons: how many of them wait for what (``queue.reasons``).
    """

    depth: int
    more: bool
    oldest_seconds: float | None
    reasons: dict[str, int]


@dataclass(frozen=True)
class InWork:
    """A book that is being narrated.

    Attributes:
        book_id: which.
        progress: 0..1, or None.
        owner: the worker that claimed it; None where nobody holds a claim.
        attempt: which, from 1, or None.
        seconds: since the claim, by the owner's clock, or None.
    """

    book_id: str
    progress: float | None
    owner: str | None
    attempt: int | None
    seconds: float | None


@dataclass(frozen=True)
class WorkerSeen:
    """A worker by its own last word.

    Attributes:
        worker_id: which.
        beat_seconds: since it was written, or None where it has no time.
        alive: whether that is less than a lease's time to live.
        version: of the program.
        engine: who reads.
        device: where it computes.
        in_work: books in work.
        at_once: most of them.
        books_per_hour: narrations published, over the last hour or since its start.
        failed_per_hour: books that failed for good.
        audio_rate: seconds of audio published a second.
        down: what it depends on and does not answer, and why: it claims nothing meanwhile.
        refused: books whose changes the database does not take from it, and why; some of them,
            where there are many.
        control: ``paused`` or ``draining`` where an operator keeps it from claiming; else empty.
    """

    worker_id: str
    beat_seconds: float | None
    alive: bool
    version: str
    engine: str
    device: str
    in_work: int
    at_once: int
    books_per_hour: float
    failed_per_hour: float
    audio_rate: float
    down: dict[str, str]
    refused: dict[str, str]
    control: str = ""


@dataclass(frozen=True)
class FailureSeen:
    """A book that has failed: what its admin reads."""

    book_id: str
    code: str
    message: str
    attempts: int | None
    seconds: float | None


@dataclass(frozen=True)
class Fleet:
    """All of it at one moment.

    Attributes:
        queue: what waits.
        in_work: oldest claim first.
        workers: by id; those that were not seen for a day are forgotten.
        failures: latest first.
        more_failures: whether not all failed books were looked at.
        emulated: whether this is a local Firebase.
        control: what an operator tells all workers.
    """

    queue: Queue
    in_work: list[InWork]
    workers: list[WorkerSeen]
    failures: list[FailureSeen]
    more_failures: bool
    emulated: bool
    control: Control = field(default_factory=Control)

    @property
    def books_per_hour(self) -> float:
        """Of all workers that are alive."""
        return sum(worker.books_per_hour for worker in self.workers if worker.alive)

    @property
    def audio_rate(self) -> float:
        """Seconds of audio a second, of all workers that are alive."""
        return sum(worker.audio_rate for worker in self.workers if worker.alive)

    def as_record(self) -> dict[str, Any]:
        """JSON values."""
        rates = {"books_per_hour": self.books_per_hour, "audio_rate": self.audio_rate}
        return {**asdict(self), **rates}


def read(
    project: Project,
    lease_ttl: float,
    limit: int = 0,
    clock: Callable[[], int] | None = None,
    used_up: Callable[[str | None], int | None] = lambda _uid: None,
) -> Fleet:
    """Read the fleet.

    Args:
        project: the database.
        lease_ttl: seconds after which a worker that says nothing is taken for dead.
        limit: ``limits.requests_per_minute``.
        clock: epoch milliseconds; the database's own unless another is given.
        used_up: gives until when the budget of a uid, or of the catalogue alone, is used up.

    Raises:
        Unavailable: the database did not answer.
    """
    waiting = _with_status(project, REQUESTED, WINDOW)
    in_work = _with_status(project, PROCESSING, WINDOW)
    failed = _with_status(project, FAILED, _FAILED_READ)
    at_ms = (clock or project.database_clock.now_ms)()
    workers = workers_seen(project, lease_ttl, at_ms)
    control = demand.control_of(project)
    waits = reasons_among(
        waiting, _grants(project, waiting), workers, limit, at_ms, control, used_up
    )
    counts = Counter(str(wait.reason) for wait in waits.values())
    requests = [_since(record.get(REQUESTED_AT), at_ms) for record in waiting.values()]
    ages = [age for age in requests if age is not None]
    seen = [_in_work(book_id, record, at_ms) for book_id, record in in_work.items()]
    failures = [_failure(book_id, record, at_ms) for book_id, record in failed.items()]
    return Fleet(
        Queue(len(waiting), not books.is_complete(waiting), max(ages, default=None), dict(counts)),
        sorted(seen, key=lambda one: -(one.seconds or 0)),
        workers,
        sorted(failures, key=lambda one: one.seconds or 0)[:_FAILURES_SHOWN],
        not books.is_complete(failed, _FAILED_READ),
        project.storage_emulator is not None,
        of_fleet(control),
    )


def workers_seen(project: Project, lease_ttl: float, at_ms: int) -> list[WorkerSeen]:
    """All workers that the database remembers, by their ids.

    Args:
        project: the database.
        lease_ttl: seconds after which one that says nothing is taken for dead.
        at_ms: now, epoch milliseconds.

    Raises:
        Unavailable: the database did not answer.
    """
    with database_errors():
        workers = children(project.node(WORKERS).get())
    return [
        _worker(worker_id, entry, lease_ttl, at_ms)
        for worker_id, entry in sorted(workers.items())
        if isinstance(entry, dict)
    ]


def reasons_among(
    requested: Mapping[str, Any],
    granted: Callable[[str], object],
    workers: Sequence[WorkerSeen],
    limit: int,
    at_ms: int,
    control: object = None,
    used_up: Callable[[str | None], int | None] = lambda _uid: None,
) -> dict[str, Wait]:
    """Why requested books wait, with what the workers say of themselves.

    Args:
        requested: records by id.
        granted: gives what ``/narrationLimits`` holds of a uid.
        workers: as they were seen.
        limit: ``limits.requests_per_minute``.
        at_ms: now, epoch milliseconds.
        control: what ``/narrationControl`` holds.
        used_up: gives until when the budget of a uid, or of the catalogue alone, is used up.
    """
    alive = [worker for worker in workers if worker.alive]
    held = holds_all(control, [worker.worker_id for worker in alive])
    waits = of_records(
        requested,
        granted,
        limit=limit,
        now_ms=at_ms,
        held_up=Reason.OPERATOR if held else None,
        used_up=used_up,
    )
    for book_id in {book_id for worker in alive for book_id in worker.refused} & waits.keys():
        waits[book_id] = Wait(Reason.REFUSED)
    if alive and all(worker.down for worker in alive):
        for book_id, wait in waits.items():
            if wait.reason is Reason.NO_ROOM:
                waits[book_id] = Wait(Reason.DEPENDENCY)
    return waits


def _grants(project: Project, waiting: Mapping[str, Any]) -> Callable[[str], object]:
    """What is granted to those who ask for most; of the others nothing is read."""
    asked = Counter(str(record.get(REQUESTED_BY)) for record in waiting.values())
    read_of = {uid for uid, _ in asked.most_common(_REQUESTERS_READ)}
    return lambda uid: demand.limits_of(project, uid) if uid in read_of else None


def _with_status(project: Project, status: str, most: int) -> dict[str, dict[str, Any]]:
    found = books.with_status(project, status, most)
    return {book_id: record for book_id, record in found.items() if isinstance(record, dict)}


def _in_work(book_id: str, record: Record, at_ms: int) -> InWork:
    claim = Claim.from_record(record.get(CLAIM))
    held = claim if claim is not None and claim.token is not None else None
    return InWork(
        book_id,
        _number(record.get(PROGRESS)),
        held.owner if held else None,
        held.attempt if held else None,
        _since(held.at, at_ms) if held else None,
    )


def _worker(worker_id: str, entry: Record, lease_ttl: float, at_ms: int) -> WorkerSeen:
    lately = children(entry.get("lately"))
    seconds = max(_number(lately.get("seconds")) or 0.0, 1.0)
    counted = {
        name: (_number(lately.get(name)) or 0.0) / seconds
        for name in ("books", "failed", "audioSeconds")
    }
    beat_seconds = _since(entry.get("at"), at_ms)
    return WorkerSeen(
        worker_id,
        beat_seconds,
        beat_seconds is not None and beat_seconds < lease_ttl,
        str(entry.get("version", "")),
        str(entry.get("engine", "")),
        str(entry.get("device", "")),
        int(_number(entry.get("inWork")) or 0),
        int(_number(entry.get("atOnce")) or 0),
        books_per_hour=round(3600 * counted["books"], 1),
        failed_per_hour=round(3600 * counted["failed"], 1),
        audio_rate=round(counted["audioSeconds"], 2),
        down={str(name): str(why) for name, why in children(entry.get("down")).items()},
        refused={str(name): str(why) for name, why in children(entry.get("refused")).items()},
        control=str(entry.get("control", "")),
    )


def _failure(book_id: str, record: Record, at_ms: int) -> FailureSeen:
    error = children(record.get(ERROR))
    attempts = _number(error.get("attempts"))
    return FailureSeen(
        book_id,
        str(error.get("code", "")),
        str(error.get("message", "")),
        None if attempts is None else int(attempts),
        _since(error.get("at"), at_ms),
    )


def _number(value: object) -> float | None:
    return float(value) if is_number(value) else None


def _since(at: object, at_ms: int) -> float | None:
    """Seconds since a time of the database, which may be a little ahead of this machine's."""
    then = moment(at)
    return None if then is None else round(max(0.0, (at_ms - then) / 1000), 1)


#: What was read of each database by its name (``Settings.by_database``), or why it did not answer.
Readings: TypeAlias = dict[str, Fleet | Unavailable]


def as_records(found: Readings) -> list[dict[str, Any]]:
    """JSON values of each database, with its name where there are several."""
    return [
        {
            **({"database": name} if name else {}),
            **(
                {"error": logs.redact(str(one))}
                if isinstance(one, Unavailable)
                else one.as_record()
            ),
        }
        for name, one in found.items()
    ]


def readings(settings: Settings, every: float | None) -> Generator[Readings, None, None]:
    """Read the fleet of each database once, or again and again.

    Args:
        settings: one project, or several.
        every: seconds between two readings; None for one.

    Raises:
        ConfigError: the settings name no project.
        Unavailable: there is one database, and it did not answer the first time; later ones are
            tried again.
    """
    seen = False
    with ExitStack() as opened:
        each = {
            name: (one, opened.enter_context(Project(one)))
            for name, one in settings.by_database.items()
        }
        while True:
            found = {name: _answer(one, project) for name, (one, project) in each.items()}
            alone = found.get("")
            if not isinstance(alone, Unavailable):
                yield found
                seen = True
            elif not seen:
                raise alone
            if every is None:
                return
            time.sleep(every)


def _answer(settings: Settings, project: Project) -> Fleet | Unavailable:
    pace = settings.speech.seconds_per_character
    budgets = Budgets(project, lambda: settings.limits, pace)
    try:
        return read(
            project,
            settings.claims.lease_ttl_seconds,
            settings.limits.requests_per_minute,
            used_up=budgets.used_up,
        )
    except Unavailable as error:
        return error
