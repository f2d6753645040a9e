"""What happened to a book: ``/narrationJobs/{bookId}``, one entry a claim, bounded in size.

An entry holds how the claim ended, with which error, and what it took: seconds by step, segments,
watermark score. For people and for ``narrator-daemon explain``; nothing is decided on it.
"""

from __future__ import annotations

from typing import Any

from narrator_daemon.claims.book import SERVER_TIMESTAMP, Record
from narrator_daemon.firebase.project import JOBS, Project, children, transact

#: Entries kept for a book; the oldest go first.
MAX_ENTRIES = 20


def add(entries: object, token: str, entry: Record) -> dict[str, Any]:
    """The history with one entry more and the oldest beyond ``MAX_ENTRIES`` dropped."""
    kept = {key: value for key, value in children(entries).items() if isinstance(value, dict)}

    def claimed_at(key: str) -> float:
        at = kept[key].get("claimedAt")
        return at if isinstance(at, int | float) else 0

    newest = sorted(kept, key=claimed_at)[-(MAX_ENTRIES - 1) :]
    return {key: kept[key] for key in newest if key != token} | {token: entry}


def record(project: Project, book_id: str, token: str, entry: Record) -> None:
    """Write how a claim ended.

    Args:
        project: the database.
        book_id: the book.
        token: the claim's.
        entry: JSON values; ``claimedAt`` in epoch milliseconds orders the entries.

    Raises:
        Unavailable: the database did not answer.
    """
    stamped = {**entry, "endedAt": dict(SERVER_TIMESTAMP)}
    transact(project.reference(JOBS, book_id), lambda seen: add(seen, token, stamped))
