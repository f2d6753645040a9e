"""Many books asked for together by an operator: ``narrator-daemon batch``."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from narrator_daemon.catalogue import (
    BATCHES,
    NOT_BEFORE,
    OPERATOR,
    PRIORITY,
    SERVER_TIMESTAMP,
    Record,
    children,
    is_key,
    moment,
)
from narrator_daemon.claims.book import Verdict, request_in_batch
from narrator_daemon.errors import WrongUse
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.queue import batches
from narrator_daemon.queue.batches import BookState
from narrator_daemon.settings import Settings


@dataclass(frozen=True)
class Batch:
    """A batch as it stands.

    Attributes:
        batch_id: its id.
        title: what it is called; may be empty.
        open: whether books of it are still to come.
        cancelled: whether it was taken back.
        counts: books in all (``total``) and by state.
        requested_at: when, epoch milliseconds, or None.
        failed: ids of the books that have failed.
    """

    batch_id: str
    title: str
    open: bool
    cancelled: bool
    counts: dict[str, int]
    requested_at: int | None
    failed: list[str]

    @classmethod
    def of(cls, batch_id: str, value: object) -> Batch:
        """Read out of what lies there, of whatever shape."""
        record = children(value)
        title, states = record.get("title"), children(record.get(batches.BOOKS))
        return cls(
            batch_id,
            title if isinstance(title, str) else "",
            record.get(batches.OPEN) is True,
            record.get(batches.CANCEL) is True,
            batches.counts(record),
            moment(record.get("requestedAt")),
            sorted(book for book, state in states.items() if state == BookState.FAILED),
        )

    def as_record(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "batch": self.batch_id,
            "title": self.title,
            "open": self.open,
            "cancelled": self.cancelled,
            "counts": self.counts,
            "requestedAt": self.requested_at,
            "failed": self.failed,
        }


def request(
    settings: Settings,
    book_ids: Sequence[str],
    *,
    batch_id: str | None = None,
    title: str = "",
    priority: str | None = None,
    not_before: int | None = None,
) -> tuple[Batch, list[str]]:
    """Ask for books together; gives the batch, and the ids of which there is no book.

    Books that are asked for already stay as they are, and count all the same.

    Args:
        settings: the project.
        book_ids: which.
        batch_id: a new one unless another is given.
        title: what it is called.
        priority: as ``narrativeAudioPriority``.
        not_before: as ``narrativeAudioNotBefore``.

    Raises:
        WrongUse: an id cannot be one, or is taken; too many books, or none of them is there.
        ConfigError: the settings name no project.
        Unavailable: the database did not answer; books asked for before stay so.
    """
    batch_id = batch_id or uuid.uuid4().hex[:12]
    wanted = list(dict.fromkeys(book_ids))
    if not batches.is_id(batch_id):
        raise WrongUse(f"{batch_id!r} is no id of a batch: letters, digits, _ and -, at most 100.")
    if not 0 < len(wanted) <= batches.MOST_BOOKS:
        raise WrongUse(f"A batch holds 1 to {batches.MOST_BOOKS} books, and not {len(wanted)}.")
    wishes: Record = {PRIORITY: priority, NOT_BEFORE: not_before}
    wishes = {name: value for name, value in wishes.items() if value is not None}
    with Project(settings) as project:
        node, place = project.node(BATCHES, batch_id), project.node_path(BATCHES, batch_id)
        if books.on_node(project, place, lambda: node.get(shallow=True)) is not None:
            raise WrongUse(f"There is a batch {batch_id!r} already.")
        there: list[str] = []
        missing: list[str] = []
        for book_id in wanted:
            known = is_key(book_id) and _ask(project, book_id, batch_id, wishes)
            (there if known else missing).append(book_id)
        if not there:
            raise WrongUse("None of these books is in the catalogue.")
        record = {
            "requestedAt": dict(SERVER_TIMESTAMP),
            "requestedBy": OPERATOR,
            "title": title[:200] or None,
            batches.OPEN: True,
            batches.BOOKS: dict.fromkeys(there, str(BookState.REQUESTED)),
        }
        known_of_it = {name: value for name, value in record.items() if value is not None}
        books.on_node(project, place, lambda: node.set(known_of_it))
        return Batch.of(batch_id, books.on_node(project, place, node.get)), missing


def _ask(project: Project, book_id: str, batch_id: str, wishes: Record) -> bool:
    now_ms = project.database_clock.now_ms()
    seen = books.change(
        project,
        book_id,
        lambda book: request_in_batch(book, batch_id, now_ms=now_ms, wishes=wishes),
    )
    return seen.verdict is not Verdict.GONE


def read(settings: Settings, batch_id: str | None = None) -> list[Batch]:
    """One batch, or all there are, the newest first.

    Raises:
        WrongUse: there is none of this id.
        ConfigError: the settings name no project.
        Unavailable: the database did not answer.
    """
    with Project(settings) as project:
        if batch_id is None:
            every, place = project.node(BATCHES), project.node_path(BATCHES)
            found = children(books.on_node(project, place, every.get))
            listed = [Batch.of(name, value) for name, value in found.items()]
            return sorted(listed, key=lambda one: (-(one.requested_at or 0), one.batch_id))
        return [Batch.of(batch_id, _require(project, batch_id))]


def cancel(settings: Settings, batch_id: str) -> Batch:
    """Take back what of a batch is not over; a running daemon does it within half a minute.

    Raises: as ``read``.
    """
    with Project(settings) as project:
        _require(project, batch_id)
        node, place = project.node(BATCHES, batch_id), project.node_path(BATCHES, batch_id)
        books.on_node(project, place, lambda: node.update({batches.CANCEL: True}))
        return Batch.of(batch_id, books.on_node(project, place, node.get))


def _require(project: Project, batch_id: str) -> object:
    if batches.is_id(batch_id):
        node, place = project.node(BATCHES, batch_id), project.node_path(BATCHES, batch_id)
        found: object = books.on_node(project, place, node.get)
        if found is not None:
            return found
    raise WrongUse(f"There is no batch {batch_id!r}.")
