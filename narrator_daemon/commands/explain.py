"""One book's story: what it holds, what was tried, and what does not fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from narrator_daemon.claims import book as books
from narrator_daemon.claims.claim import Claim
from narrator_daemon.firebase.project import (
    JOBS,
    LEASES,
    Project,
    children,
    database_errors,
    is_key,
)
from narrator_daemon.firebase.storage import AudioStore
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
    """

    book_id: str
    fields: dict[str, str]
    timeline: list[Moment]
    problems: list[str]

    def as_record(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "book": self.book_id,
            "fields": self.fields,
            "timeline": [
                {"at": moment.at, "what": moment.what, **moment.facts} for moment in self.timeline
            ],
            "problems": self.problems,
        }


def explain(settings: Settings, book_id: str) -> Story | None:
    """Read all there is about a book; None where there is no such book.

    Raises:
        ConfigError: the settings name no project.
        Unavailable: the database or storage did not answer.
    """
    if not is_key(book_id):
        return None
    project = Project(settings)
    try:
        with database_errors(project.books_path):
            record = project.book(book_id).get()
            history = children(project.reference(JOBS, book_id).get())
            leases = children(project.reference(LEASES, book_id).get())
        if not isinstance(record, dict):
            return None
        return Story(
            book_id,
            _fields(record),
            timeline(book_id, record, history),
            find_problems(record, set(leases), AudioStore(project, settings.storage)),
        )
    finally:
        project.close()


def timeline(book_id: str, record: books.Record, history: Mapping[str, object]) -> list[Moment]:
    """What happened to a book, oldest first, as far as it was written down.

    Args:
        book_id: which.
        record: the book.
        history: its entries by token (``history``), of whatever shape.
    """
    moments = [
        moment
        for token, entry in history.items()
        if isinstance(entry, dict)
        for moment in _attempt(book_id, token, entry)
    ]
    requested_at = _milliseconds(record.get(books.REQUESTED_AT))
    if requested_at is not None:
        by = record.get(books.REQUESTED_BY)
        what = "requested" if by is None else f"requested by {by}"
        moments.append(Moment(requested_at, what, {"book": book_id}))
    claim = Claim.from_record(record.get(books.CLAIM))
    if claim is not None and claim.token is not None and claim.token not in history:
        what = f"claimed by {claim.owner} (attempt {claim.attempt}, take {claim.take}); in work"
        named = {"book": book_id, "attempt": claim.attempt, "token": claim.token}
        moments.append(Moment(_milliseconds(claim.at), what, named))
    # What was written at the same moment stays in the order of an attempt.
    return sorted(moments, key=lambda moment: moment.at or 0)


def _attempt(book_id: str, token: str, entry: dict[str, Any]) -> Iterator[Moment]:
    """A claim and its end, from one entry of the history."""
    attempt, take = entry.get("attempt"), entry.get("take")
    named = {"book": book_id, "attempt": attempt, "token": token}
    yield Moment(
        _milliseconds(entry.get("claimedAt")),
        f"claimed by {entry.get('owner')} (attempt {attempt}, take {take})",
        named,
    )
    told = {"attempt", "take", "claimedAt", "endedAt"}
    rest = {name: value for name, value in entry.items() if name not in told}
    yield Moment(_milliseconds(entry.get("endedAt")), _ending(entry), {**named, **rest})


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


def find_problems(record: books.Record, leases: set[str], store: AudioStore) -> list[str]:
    """What does not fit together in a book.

    Args:
        record: as read.
        leases: tokens of the leases there are on it.
        store: where its audio should be.

    Raises:
        Unavailable: storage did not answer.
    """
    problems = []
    status, path = record.get(books.STATUS), record.get(books.PATH)
    claim = Claim.from_record(record.get(books.CLAIM))
    if status == books.READY and isinstance(path, str) and not store.exists(path):
        problems.append(
            f"it is ready, but the bucket has no object {path}: its player finds nothing. "
            "Ask for it again to have it narrated anew"
        )
    if status == books.PROCESSING and (claim is None or claim.token is None):
        problems.append(
            "it is processing, but nobody holds a claim on it: it will be put back to requested "
            "by a running daemon"
        )
    elif status == books.PROCESSING and claim is not None and claim.token not in leases:
        problems.append(
            f"it is processing, but {claim.owner} holds no lease on it: a running daemon will take "
            "it up"
        )
    if books.CLAIM in record and claim is None:
        problems.append("its claim has a shape that no daemon writes")
    return problems


def _fields(record: books.Record) -> dict[str, str]:
    claim = Claim.from_record(record.get(books.CLAIM))
    error = record.get(books.ERROR)
    found = {
        "status": record.get(books.STATUS, "none"),
        "requested": _when(record.get(books.REQUESTED_AT)),
        "requested by": record.get(books.REQUESTED_BY),
        "progress": record.get(books.PROGRESS),
        "take": record.get(books.TAKE),
        "audio": record.get(books.PATH),
        "seconds": record.get(books.DURATION),
        "URL expires": _when(record.get(books.URL_EXPIRES_AT)),
        "updated": _when(record.get(books.UPDATED_AT)),
        "claimed by": claim.owner if claim and claim.token else None,
        "attempt": claim.attempt if claim else None,
        "not before": _when(claim.not_before) if claim else None,
        "last error": claim.last_error.message if claim and claim.last_error else None,
        "error": error.get("message") if isinstance(error, dict) else error,
    }
    return {name: str(value) for name, value in found.items() if value is not None}


def _when(milliseconds: object) -> str | None:
    at = _milliseconds(milliseconds)
    return None if at is None else when(at)


def when(milliseconds: int) -> str:
    """A time in UTC for people."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(sep=" ", timespec="seconds")


def _milliseconds(value: object) -> int | None:
    """A time of the database, if it can be one."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e14:
        return None
    return int(value)
