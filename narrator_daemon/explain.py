"""One book's story: what it holds, what was tried, and what does not fit together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from narrator_daemon import book as books
from narrator_daemon.claim import Claim
from narrator_daemon.project import JOBS, LEASES, Project, children, database_errors, is_key
from narrator_daemon.settings import Settings
from narrator_daemon.storage import AudioStore


@dataclass(frozen=True)
class Story:
    """What is known of a book.

    Attributes:
        fields: the daemon's fields of it that say something to people, by name.
        attempts: entries of its history, oldest first.
        problems: what does not fit together, with what to do.
    """

    fields: dict[str, str]
    attempts: list[dict[str, Any]]
    problems: list[str]


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
            _fields(record),
            sorted(
                ({"token": token, **entry} for token, entry in history.items()),
                key=lambda entry: entry.get("claimedAt") or 0,
            ),
            find_problems(record, set(leases), AudioStore(project, settings.storage)),
        )
    finally:
        project.close()


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
    if not isinstance(milliseconds, int | float) or not 0 < milliseconds < 1e14:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(sep=" ", timespec="seconds")
