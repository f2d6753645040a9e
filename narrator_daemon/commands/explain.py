"""One book's story: what it holds, what was tried, and what does not fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from narrator_daemon import catalogue as fields
from narrator_daemon.catalogue import (
    FAILED,
    JOBS,
    LEASES,
    PROCESSING,
    READY,
    REQUESTED,
    REQUESTED_BY,
    Record,
    children,
    is_key,
    moment,
)
from narrator_daemon.claims.claim import Claim, same
from narrator_daemon.clock import in_utc
from narrator_daemon.commands.status import reasons_among, workers_seen
from narrator_daemon.errors import NoSuchBook
from narrator_daemon.firebase import books
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.queue import demand
from narrator_daemon.queue.budgets import Budgets
from narrator_daemon.queue.reasons import Wait
from narrator_daemon.settings import Settings


@dataclass(frozen=True)
class Moment:
    """Something that happened to a book.

    Attributes:
        at: when, epoch milliseconds, or None where nobody wrote it down.
        what: in a sentence.
        facts: what is known besides. ``book``, ``attempt`` and ``token`` are named as in the log.
    """

    at: int | None
    what: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Story:
    """What is known of a book.

    Attributes:
        book_id: which.
        fields: the daemon's fields of it that say something to people, by name.
        timeline: what happened, oldest first.
        problems: what does not fit together, with what to do.
        waits: why it is not in work, where it is requested.
    """

    book_id: str
    fields: dict[str, str]
    timeline: list[Moment]
    problems: list[str]
    waits: Wait | None = None

    def as_record(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "book": self.book_id,
            "fields": self.fields,
            "timeline": [{"at": one.at, "what": one.what, **one.facts} for one in self.timeline],
            "problems": self.problems,
            "waits": (
                None
                if self.waits is None
                else {"reason": str(self.waits.reason), "until": self.waits.until}
            ),
        }


def explain(settings: Settings, book_id: str) -> Story:
    """Read all there is about a book.

    Raises:
        NoSuchBook: there is none of this id.
        ConfigError: the settings name no project.
        Unavailable: the database or storage did not answer.
    """
    if not is_key(book_id):
        raise NoSuchBook(f"There is no book {book_id!r}.")
    with Project(settings) as project:
        record = books.read(project, book_id)
        if not isinstance(record, dict):
            raise NoSuchBook(f"There is no book {book_id!r}.")
        with database_errors():
            history = children(project.node(JOBS, book_id).get())
            leases = children(project.node(LEASES, book_id).get())
        return Story(
            book_id,
            _fields(record),
            timeline(book_id, record, history),
            find_problems(record, set(leases), AudioStore(project, settings.storage)),
            _wait(settings, project, book_id, record),
        )


def _wait(settings: Settings, project: Project, book_id: str, record: Record) -> Wait | None:
    """Why a requested book is not in work; None for any other."""
    if record.get(fields.STATUS) != REQUESTED:
        return None
    # Those of the same requester that stand before it count towards the limit.
    others = books.with_status(project, REQUESTED, books.WINDOW)
    at_ms = project.database_clock.now_ms()
    uid = record.get(fields.REQUESTED_BY)
    same = {
        other: found for other, found in others.items() if children(found).get(REQUESTED_BY) == uid
    }
    waits = reasons_among(
        {**same, book_id: record},
        lambda uid: demand.limits_of(project, uid),
        workers_seen(project, settings.claims.lease_ttl_seconds, at_ms),
        settings.limits.requests_per_minute,
        at_ms,
        demand.control_of(project),
        Budgets(project, lambda: settings.limits, settings.speech.seconds_per_character).used_up,
    )
    return waits[book_id]


def timeline(book_id: str, record: Record, history: Mapping[str, object]) -> list[Moment]:
    """What happened to a book, oldest first, as far as it was written down.

    Where clocks contradict each other, cause stands before effect.

    Args:
        book_id: which.
        record: the book.
        history: its entries by token (``history``), of whatever shape.
    """
    attempts = [
        _attempt(book_id, token, entry)
        for token, entry in history.items()
        if isinstance(entry, dict)
    ]
    claim = Claim.from_record(record.get(fields.CLAIM))
    if claim is not None and claim.token is not None and claim.token not in history:
        what = f"claimed by {claim.owner} (attempt {claim.attempt}, take {claim.take}); in work"
        named = {"book": book_id, "attempt": claim.attempt, "token": claim.token}
        attempts.append([_Placed(moment(claim.at), Moment(moment(claim.at), what, named))])
    placed = [one for attempt in attempts for one in attempt]
    requested_at = moment(record.get(fields.REQUESTED_AT))
    if requested_at is not None:
        by = record.get(fields.REQUESTED_BY)
        what = "requested" if by is None else f"requested by {by}"
        place, began = requested_at, _began(record, claim, attempts)
        if began is not None and began < requested_at:
            place = began
            if requested_at - began > _APART_MS:
                what += f" ({_AHEAD})"
        # First, as it is before what is placed at the same moment.
        placed.insert(0, _Placed(place, Moment(requested_at, what, {"book": book_id})))
    # What was written at the same moment stays in the order of an attempt.
    return [one.moment for one in sorted(placed, key=lambda one: one.place or 0)]


@dataclass(frozen=True)
class _Placed:
    """A moment, and where it stands among the others: clocks that differ give it another time."""

    place: int | None
    moment: Moment


#: Times that contradict each other by less than this may be of one clock.
_APART_MS = 2_000

_AHEAD = "its time is by a clock that was ahead"


def _began(record: Record, claim: Claim | None, attempts: list[list[_Placed]]) -> int | None:
    """When work began on what is requested now, or was last; None where it has not yet."""
    taken_up = claim is not None and same(claim.requested_at, record.get(fields.REQUESTED_AT))
    if not taken_up and record.get(fields.STATUS) not in (READY, FAILED):
        return None
    firsts = [
        one[0].place
        for one in attempts
        if one[0].place is not None and one[0].moment.facts.get("attempt") == 1
    ]
    return max(firsts, default=None)


def _attempt(book_id: str, token: str, entry: dict[str, Any]) -> list[_Placed]:
    """A claim and its end, from one entry of the history."""
    attempt, take = entry.get("attempt"), entry.get("take")
    named = {"book": book_id, "attempt": attempt, "token": token}
    began, ended = moment(entry.get("claimedAt")), moment(entry.get("endedAt"))
    place, what = began, f"claimed by {entry.get('owner')} (attempt {attempt}, take {take})"
    # The end is stamped by the database, the claim by what its worker took for the time.
    if began is not None and ended is not None and began > ended:
        place = ended
        if began - ended > _APART_MS:
            what += f"; {_AHEAD}"
    told = {"attempt", "take", "claimedAt", "endedAt"}
    rest = {name: value for name, value in entry.items() if name not in told}
    return [
        _Placed(place, Moment(began, what, named)),
        _Placed(ended, Moment(ended, _ending(entry), {**named, **rest})),
    ]


def _ending(entry: dict[str, Any]) -> str:
    outcome = str(entry.get("outcome"))
    told = _OUTCOMES.get(outcome, outcome)
    error = entry.get("error")
    if isinstance(error, dict):
        told += f": {error.get('message')} ({error.get('code')})"
    if outcome == "worker_lost":
        told += f", found by {entry.get('reapedBy')}"
    audio, seconds = entry.get("audioSeconds"), entry.get("seconds")
    if audio is not None:
        told += f", {audio} s of audio"
    if seconds is not None:
        steps = children(entry.get("secondsByStep"))
        shares = ", ".join(f"{step} {value}" for step, value in steps.items())
        told += f", after {seconds} s" + (f" ({shares})" if shares else "")
    takes = children(entry.get("takes"))
    if faults := children(takes.get("faults")):
        named = ", ".join(f"{count} {fault}" for fault, count in faults.items())
        told += f"; {takes.get('passed')} of {takes.get('judged')} segments sound fit ({named})"
    drifts = children(takes.get("consistency")).get("drifts")
    if isinstance(drifts, list) and drifts:
        told += f"; from its first fifth to its last it drifts in {', '.join(map(str, drifts))}"
    return told


#: How the history's outcomes are told.
_OUTCOMES = {
    "published": "published",
    "failed": "failed for good",
    "retried": "went wrong and waits for another attempt",
    "given_back": "given back, at no cost to the book",
    "worker_lost": "the worker was lost",
    "fenced": "lost to another worker, and stopped",
    "cancelled": "cancelled by the frontend",
    "superseded": "asked for again with another text, and dropped",
    "discarded": "no longer wanted, and dropped",
}


def find_problems(record: Record, leases: set[str], store: AudioStore) -> list[str]:
    """What does not fit together in a book.

    Args:
        record: as read.
        leases: tokens of the leases there are on it.
        store: where its audio should be.

    Raises:
        Unavailable: storage did not answer.
    """
    problems = []
    status, path = record.get(fields.STATUS), record.get(fields.PATH)
    claim = Claim.from_record(record.get(fields.CLAIM))
    if status == READY and isinstance(path, str) and not store.exists(path):
        problems.append(
            f"it is ready, but the bucket has no object {path}: its player finds nothing. "
            "Ask for it again to have it narrated anew"
        )
    if status == READY:
        beside = [
            named for field in fields.BESIDE for named in fields.files_of(record, field).items()
        ]
        for name, file in beside:
            if not store.exists(file[fields.FILE_PATH]):
                problems.append(
                    f"its {name} is named, but the bucket has no object {file[fields.FILE_PATH]}: "
                    "players that prefer it find nothing. Ask for it again to have it made anew"
                )
    if status == PROCESSING and (claim is None or claim.token is None):
        problems.append(
            "it is processing, but nobody holds a claim on it: it will be put back to requested "
            "by a running daemon"
        )
    elif status == PROCESSING and claim is not None and claim.token not in leases:
        problems.append(
            f"it is processing, but {claim.owner} holds no lease on it: a running daemon will take "
            "it up"
        )
    if fields.CLAIM in record and claim is None:
        problems.append("its claim has a shape that no daemon writes")
    return problems


def _fields(record: Record) -> dict[str, str]:
    claim = Claim.from_record(record.get(fields.CLAIM))
    error = record.get(fields.ERROR)
    found = {
        "status": record.get(fields.STATUS, "none"),
        "requested": _when(record.get(fields.REQUESTED_AT)),
        "requested by": record.get(fields.REQUESTED_BY),
        "priority": record.get(fields.PRIORITY),
        "wanted from": _when(record.get(fields.NOT_BEFORE)),
        "progress": record.get(fields.PROGRESS),
        "take": record.get(fields.TAKE),
        "audio": record.get(fields.PATH),
        "seconds": record.get(fields.DURATION),
        "beside it": ", ".join(
            sorted(name for field in fields.BESIDE for name in fields.files_of(record, field))
        )
        or None,
        "URL expires": _when(record.get(fields.URL_EXPIRES_AT)),
        "updated": _when(record.get(fields.UPDATED_AT)),
        "claimed by": claim.owner if claim and claim.token else None,
        "attempt": claim.attempt if claim else None,
        "not before": _when(claim.not_before) if claim else None,
        "last error": claim.last_error.message if claim and claim.last_error else None,
        "error": error.get("message") if isinstance(error, dict) else error,
    }
    return {name: str(value) for name, value in found.items() if value is not None}


def _when(milliseconds: object) -> str | None:
    at = moment(milliseconds)
    return None if at is None else in_utc(at)
