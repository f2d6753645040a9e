"""The register's nodes: ``/narrationRegister/{token}``, one entry a published narration.

Its only queries. Three indices are needed: by state, by book and by time of publication. The
fingerprint of an entry's sound, 2 KB a minute, is ``/narrationFingerprints/{token}``: it is read
alone, and not with every list of entries.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from narrator_daemon.catalogue import (
    FINGERPRINTS,
    REGISTER,
    SERVER_TIMESTAMP,
    Record,
    children,
    is_count,
)
from narrator_daemon.firebase import books
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.transact import transact

#: Of an entry whose narration may not be published yet; one that is has none.
PENDING = "pending"


def enter(project: Project, token: str, entry: Record) -> None:
    """Write an entry that is not confirmed yet.

    Raises:
        Unavailable: the database did not answer.
        NodeRefused: it takes no such entry.
    """
    place = project.node_path(REGISTER, token)
    record = {**entry, "state": PENDING, "enteredAt": dict(SERVER_TIMESTAMP)}
    books.on_node(project, place, lambda: project.node(REGISTER, token).set(record))


def keep_fingerprint(project: Project, token: str, fingerprint: bytes, form: int) -> None:
    """Write the fingerprint of an entry's sound. Safe to repeat.

    Args:
        project: the database.
        token: the entry's.
        fingerprint: of the sound.
        form: which kind of fingerprint it is (``watermark.marking.fingerprint.FORM``).

    Raises:
        Unavailable: the database did not answer.
        NodeRefused: it takes no such node.
    """
    place = project.node_path(FINGERPRINTS, token)
    record = {"form": form, "bits": base64.b64encode(fingerprint).decode("ascii")}
    books.on_node(project, place, lambda: project.node(FINGERPRINTS, token).set(record))


def fingerprint_of(project: Project, token: str, form: int) -> bytes | None:
    """The fingerprint of an entry's sound; None where there is none of that form.

    Raises:
        Unavailable: the database did not answer.
    """
    with database_errors():
        record = project.node(FINGERPRINTS, token).get()
    if not isinstance(record, dict) or record.get("form") != form:
        return None
    try:
        return base64.b64decode(record["bits"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None


def confirm(project: Project, token: str) -> None:
    """Say of an entry that its narration was published. Safe to repeat.

    Raises:
        Unavailable: the database did not answer.
    """

    def decide(seen: Any) -> tuple[Record | None, None]:
        if not isinstance(seen, dict) or seen.get("state") != PENDING:
            return None, None
        kept = {name: value for name, value in seen.items() if name != "state"}
        return {**kept, "publishedAt": dict(SERVER_TIMESTAMP)}, None

    entry = project.node(REGISTER, token)
    books.on_node(project, project.node_path(REGISTER, token), lambda: transact(entry, decide))


def remove(project: Project, token: str) -> None:
    """Remove an entry, and before it the fingerprint, which nothing else leads to.

    Raises:
        Unavailable: the database did not answer.
    """
    for name in (FINGERPRINTS, REGISTER):
        node = project.node(name, token)
        books.on_node(project, project.node_path(name, token), node.delete)


def pending(project: Project, most: int) -> Record:
    """Entries that are not confirmed, by their tokens.

    Raises:
        Unavailable: the database did not answer, or lacks an index.
    """
    with database_errors():
        by_state = project.node(REGISTER).order_by_child("state")
        return children(by_state.equal_to(PENDING).limit_to_first(most).get())


def published_before(project: Project, until: int, most: int) -> Record:
    """Entries of what was published before a time (epoch ms), the oldest first.

    Raises:
        Unavailable: the database did not answer, or lacks an index.
    """
    with database_errors():
        by_time = project.node(REGISTER).order_by_child("publishedAt")
        return children(by_time.start_at(1).end_at(until).limit_to_first(most).get())


def of_book(project: Project, book_id: str) -> Record:
    """A book's entries, by their tokens.

    Raises:
        Unavailable: the database did not answer, or lacks an index.
    """
    with database_errors():
        return children(project.node(REGISTER).order_by_child("book").equal_to(book_id).get())


def is_before(entry: Any, name: str, until: int) -> bool:
    """Whether a time of an entry is known and before another (epoch ms)."""
    at = entry.get(name) if isinstance(entry, dict) else None
    return is_count(at) and at < until
