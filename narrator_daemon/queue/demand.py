"""How much work there is for workers that do not run yet: what autoscaling from zero goes by.

Counted from the database alone, by whoever asks, without claiming or granting anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from narrator_daemon.catalogue import (
    CLAIM,
    LIMITS,
    PATH,
    PROCESSING,
    REQUESTED,
    REQUESTED_AT,
    REQUESTED_BY,
    children,
)
from narrator_daemon.claims.claim import Claim, same, waits_until
from narrator_daemon.firebase import books
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.project import Project
from narrator_daemon.queue import requesters


@dataclass(frozen=True)
class Demand:
    """What there is to do.

    Attributes:
        claimable: requested books that a worker with room would be given now.
        later: requested books that have to wait, for a retry or for their requester's limit.
        in_work: books that are being narrated, or were left so by a worker that died: while no
            worker runs nobody else takes those up.
        more: whether there are more books than were counted.
    """

    claimable: int
    later: int
    in_work: int
    more: bool

    @property
    def work(self) -> int:
        """Books that one worker or another is needed for now."""
        return self.claimable + self.in_work

    def as_record(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "work": self.work,
            "claimable": self.claimable,
            "later": self.later,
            "inWork": self.in_work,
            "more": self.more,
        }


def count(
    requested: Mapping[str, Any],
    granted: Callable[[str], object],
    *,
    limit: int,
    now_ms: int,
) -> tuple[int, int]:
    """Which requested books may be claimed now.

    Args:
        requested: records by id, of whatever shape.
        granted: gives what ``/narrationLimits`` holds of a uid.
        limit: grants a minute of one uid; 0 for no limit.
        now_ms: epoch milliseconds.

    Returns:
        How many may be claimed, and how many have to wait.
    """
    grants: dict[str, object] = {}
    claimable = 0
    for book_id, book in requested.items():
        record = children(book)
        claim = Claim.from_record(record.get(CLAIM))
        requested_at, uid = record.get(REQUESTED_AT), record.get(REQUESTED_BY)
        is_retry = claim is not None and same(claim.requested_at, requested_at)
        if is_retry and waits_until(claim, now_ms) is not None:
            continue
        if limit and not is_retry and isinstance(uid, str) and uid:
            if uid not in grants:
                grants[uid] = granted(uid)
            shown = record.get(PATH)
            name = requesters.grant_name(
                book_id, requested_at, None if shown is None else str(shown)
            )
            stored, wait = requesters.take(grants[uid], name=name, now_ms=now_ms, limit=limit)
            if wait:
                continue
            grants[uid] = stored or grants[uid]
        claimable += 1
    return claimable, len(requested) - claimable


def read(project: Project, *, limit: int, now_ms: int) -> Demand:
    """Count, by the index of the status, at most a hundred books that wait and a hundred in work.

    Args:
        project: the database.
        limit: ``limits.requests_per_minute``.
        now_ms: epoch milliseconds.

    Raises:
        Unavailable: the database did not answer.
    """

    def granted(uid: str) -> object:
        node = hashlib.sha256(uid.encode("utf-8", errors="surrogatepass")).hexdigest()
        with database_errors():
            return project.reference(LIMITS, node).get()

    requested = books.with_status(project, REQUESTED, books.WINDOW)
    in_work = books.with_status(project, PROCESSING, books.WINDOW)
    claimable, later = count(requested, granted, limit=limit, now_ms=now_ms)
    complete = books.is_complete(requested) and books.is_complete(in_work)
    return Demand(claimable, later, len(in_work), more=not complete)
