"""The failed books: ``narrator-daemon failed``, and which of them ``retry`` asks for again."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from narrator_daemon.catalogue import ERROR, FAILED, REQUESTED_BY, children, is_count, moment
from narrator_daemon.clock import at_time
from narrator_daemon.errors import WrongUse
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project

#: Failed books that are read at once, texts included: the database sends no more than 256 MB.
MOST_READ = 10_000

_AGO = re.compile(r"([0-9]{1,6})([mhd])")
_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True)
class Failed:
    """A book that has failed.

    Attributes:
        book_id: its key.
        code: why, as the database holds it; empty where it holds none.
        message: the same for people.
        attempts: how often it was tried, or None.
        at: when it failed, epoch milliseconds, or None.
        requested_by: the uid of who asked, or None.
    """

    book_id: str
    code: str
    message: str
    attempts: int | None
    at: int | None
    requested_by: str | None

    @classmethod
    def of(cls, book_id: str, record: object) -> Failed:
        """Read out of a book of whatever shape."""
        book = children(record)
        error = children(book.get(ERROR))
        code, message, attempts = (error.get(name) for name in ("code", "message", "attempts"))
        uid = book.get(REQUESTED_BY)
        return cls(
            book_id,
            code if isinstance(code, str) else "",
            message if isinstance(message, str) else "",
            attempts if is_count(attempts) else None,
            moment(error.get("at")),
            uid if isinstance(uid, str) and uid else None,
        )

    def as_record(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "book": self.book_id,
            "code": self.code,
            "message": self.message,
            "attempts": self.attempts,
            "at": self.at,
            "requestedBy": self.requested_by,
        }


@dataclass(frozen=True)
class Filter:
    """Which failed books are meant: those that fit all that is said.

    Attributes:
        codes: any of these; empty for all.
        since: failed then or later, epoch milliseconds.
        until: failed before then, epoch milliseconds.
        requested_by: asked for by this uid.
    """

    codes: Collection[str] = ()
    since: int | None = None
    until: int | None = None
    requested_by: str | None = None

    def takes(self, one: Failed) -> bool:
        """Whether a book is meant. One without a time fits no time."""
        if self.since is not None and (one.at is None or one.at < self.since):
            return False
        if self.until is not None and (one.at is None or one.at >= self.until):
            return False
        return (not self.codes or one.code in self.codes) and (
            self.requested_by is None or one.requested_by == self.requested_by
        )


@dataclass(frozen=True)
class Listing:
    """What was found.

    Attributes:
        failed: latest first.
        more: whether not all failed books were looked at.
    """

    failed: list[Failed]
    more: bool


def find(project: Project, wanted: Filter, most: int = MOST_READ) -> Listing:
    """The failed books that a filter takes.

    Args:
        project: the database.
        wanted: which.
        most: how many failed books are looked at, in the order of their ids.

    Raises:
        Unavailable: the database did not answer.
    """
    read = books.with_status(project, FAILED, most)
    seen = [Failed.of(book_id, record) for book_id, record in read.items()]
    found = sorted(filter(wanted.takes, seen), key=lambda one: (-(one.at or 0), one.book_id))
    return Listing(found, not books.is_complete(read, most))


def now_of(project: Project) -> int:
    """Now by the clock that dates failures, the database's; epoch milliseconds.

    Raises:
        Unavailable: the database did not answer.
    """
    # Whatever is asked: the answer says what time it is.
    books.check_indices(project)
    return project.database_clock.now_ms()


def time_of(told: str, now: int) -> int:
    """A time as an operator says it, in epoch milliseconds.

    Args:
        told: ``30m``, ``2h`` or ``7d`` for so long ago; else a date or a date with a time as in ISO
            8601, in UTC unless it says otherwise.
        now: epoch milliseconds (``now_of``).

    Raises:
        WrongUse: it is neither.
    """
    if ago := _AGO.fullmatch(told):
        return now - int(ago[1]) * _UNIT_MS[ago[2]]
    try:
        return at_time(told)
    except WrongUse:
        raise WrongUse(
            f"{told!r} is no time: say 30m, 2h or 7d for so long ago, or a date such as "
            "2026-05-31 or 2026-05-31T18:00, in UTC."
        ) from None
