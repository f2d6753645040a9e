"""How much work there is for workers that do not run yet: what autoscaling from zero goes by.

Counted from the database alone, by whoever asks, without claiming or granting anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from narrator_daemon.catalogue import CONTROL, LIMITS, PROCESSING, REQUESTED
from narrator_daemon.errors import NodeRefused
from narrator_daemon.firebase import books
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.project import Project
from narrator_daemon.queue import control, reasons
from narrator_daemon.queue.reasons import Reason, Wait


@dataclass(frozen=True)
class Demand:
    """What there is to do.

    Attributes:
        claimable: requested books that a worker with room would be given now.
        later: requested books that have to wait: for a retry, for their requester's limit, for the
            time from which they are wanted, or as an operator has paused the fleet.
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


def count(waits: Mapping[str, Wait]) -> tuple[int, int]:
    """How many of the books that wait may be claimed now, and how many have to wait.

    Args:
        waits: of each, why (``reasons.of_records``).
    """
    # The claim of another may be a dead worker's, whom only a living one takes it from.
    claimable = sum(wait.reason in (Reason.NO_ROOM, Reason.CLAIMED) for wait in waits.values())
    return claimable, len(waits) - claimable


def limits_of(project: Project, uid: str) -> object:
    """What ``/narrationLimits`` holds of a requester.

    Raises:
        Unavailable: the database did not answer.
    """
    node = hashlib.sha256(uid.encode("utf-8", errors="surrogatepass")).hexdigest()
    with database_errors():
        return project.node(LIMITS, node).get()


def control_of(project: Project) -> object:
    """What ``/narrationControl`` holds; None where rules of an earlier version close it.

    Raises:
        Unavailable: the database did not answer.
    """
    try:
        with books.one_node(project, project.node_path(CONTROL)), database_errors():
            return project.node(CONTROL).get()
    except NodeRefused:
        return None


def read(
    project: Project,
    *,
    limit: int,
    clock: Callable[[], int] | None = None,
    used_up: Callable[[str | None], int | None] = lambda _uid: None,
) -> Demand:
    """Count, by the index of the status, at most a hundred books that wait and a hundred in work.

    Args:
        project: the database.
        limit: ``limits.requests_per_minute``.
        clock: epoch milliseconds; the database's own unless another is given.
        used_up: gives until when the budget of a uid, or of the catalogue alone, is used up.

    Raises:
        Unavailable: the database did not answer.
    """
    requested = books.with_status(project, REQUESTED, books.WINDOW)
    in_work = books.with_status(project, PROCESSING, books.WINDOW)
    granted = partial(limits_of, project)
    held = control.of_fleet(control_of(project)).holds
    now_ms = (clock or project.database_clock.now_ms)()
    waits = reasons.of_records(
        requested,
        granted,
        limit=limit,
        now_ms=now_ms,
        held_up=Reason.OPERATOR if held else None,
        used_up=used_up,
    )
    claimable, later = count(waits)
    complete = books.is_complete(requested) and books.is_complete(in_work)
    return Demand(claimable, later, len(in_work), more=not complete)
