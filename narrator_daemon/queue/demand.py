"""How much work there is for workers that do not run yet: what autoscaling from zero goes by.

Counted from the database alone, by whoever asks, without claiming or granting anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, TypeVar

from narrator_daemon.catalogue import CONTROL, LIMITS, PROCESSING, REQUESTED, Record
from narrator_daemon.errors import NodeRefused
from narrator_daemon.firebase import books
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.project import Project
from narrator_daemon.queue import control, reasons
from narrator_daemon.queue.reasons import Reason, Wait

#: About so many bytes are read for one count of what waits, and for one of what is in work.
MOST_BYTES = 12_500_000

#: Of so many requesters it is asked whether their requests have to wait: those of the books that
#: are first in the queue.
_MOST_ASKED = 100

_Uid = TypeVar("_Uid", bound=str | None)
_Answer = TypeVar("_Answer")


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
        bytes_read: about so many were sent for it.
    """

    claimable: int
    later: int
    in_work: int
    more: bool
    bytes_read: int = field(default=0, compare=False)

    @property
    def seconds_between(self) -> float:
        """The next such count may follow after so long, for what it costs."""
        return self.bytes_read / books.READ_BYTES_PER_SECOND

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


def together(each: Iterable[Demand]) -> Demand:
    """What there is to do in several databases: all of it added up."""
    demands = list(each)
    return Demand(
        sum(one.claimable for one in demands),
        sum(one.later for one in demands),
        sum(one.in_work for one in demands),
        any(one.more for one in demands),
        sum(one.bytes_read for one in demands),
    )


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
        return books.on_node(project, project.node_path(CONTROL), project.node(CONTROL).get)
    except NodeRefused:
        return None


def read(
    project: Project,
    *,
    limit: int,
    clock: Callable[[], int] | None = None,
    used_up: Callable[[str | None], int | None] = lambda _uid: None,
) -> Demand:
    """Count, by the index of the status, what waits and what is in work.

    The database gives whole books, texts included. So the first hundred tell how many more may be
    read for ``MOST_BYTES``: 2,500 of 5,000 characters. Of more than a hundred requesters, the
    others are taken to be below their limits and budgets.

    Args:
        project: the database.
        limit: ``limits.requests_per_minute``.
        clock: epoch milliseconds; the database's own unless another is given.
        used_up: gives until when the budget of a uid, or of the catalogue alone, is used up.

    Raises:
        Unavailable: the database did not answer.
    """
    requested, waiting_more, waiting_bytes = _as_many_as_may_be(project, REQUESTED)
    in_work, working_more, working_bytes = _as_many_as_may_be(project, PROCESSING)
    held = control.of_fleet(control_of(project)).holds
    now_ms = (clock or project.database_clock.now_ms)()
    of_catalogue = cache(partial(used_up, None))
    waits = reasons.of_records(
        requested,
        _of_the_first(partial(limits_of, project), lambda _uid: None),
        limit=limit,
        now_ms=now_ms,
        held_up=Reason.OPERATOR if held else None,
        used_up=_of_the_first(used_up, lambda _uid: of_catalogue()),
    )
    claimable, later = count(waits)
    return Demand(
        claimable,
        later,
        len(in_work),
        more=waiting_more or working_more,
        bytes_read=waiting_bytes + working_bytes,
    )


def _of_the_first(
    ask: Callable[[_Uid], _Answer], then: Callable[[_Uid], _Answer]
) -> Callable[[_Uid], _Answer]:
    """What ``ask`` says of the first requesters, and ``then`` of the others."""
    left = iter(range(_MOST_ASKED))
    return lambda uid: (then if next(left, None) is None else ask)(uid)


def _as_many_as_may_be(project: Project, status: str) -> tuple[Record, bool, int]:
    """Books of a status, whether there are more, and how many bytes were read."""
    found = books.with_status(project, status, books.WINDOW)
    read = books.size(found)
    if books.is_complete(found):
        return found, False, read
    most = min(MOST_BYTES * len(found) // read, books.MOST)
    if most <= books.WINDOW:
        return found, True, read
    found = books.with_status(project, status, most)
    return found, not books.is_complete(found, most), read + books.size(found)
