"""Who looks after everyone's leases: two replicas for all, and each one where those are not seen.

To read every lease each beat costs as much as there is in work, for each replica that does it. So
two seats lie under ``/narrationLookouts/{seat}`` = ``{owner, instance, beat}``. Who holds one reads
the leases each beat and changes ``beat`` once they are read. The others read the seats alone.
Liveness is judged as that of leases is: by a steady clock of one's own, from what one has seen
change. A replica that has seen no seat move lately reads the leases itself. So nothing depends on
the seats but cost, and how soon a death is noticed when both holders die along.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from narrator_daemon import logs
from narrator_daemon.catalogue import LOOKOUTS, Record, children, is_count
from narrator_daemon.claims.claim import same
from narrator_daemon.errors import Contended, NodeRefused, NodeUnavailable
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.transact import transact

#: Two, so that one may die: the other has been reading all the while.
SEATS = ("first", "second")

#: Beats for which a seat may stand still: one that was missed, and a round at the longest.
_STILL_BEATS = 3.0

#: Seconds for which a replica does without seats where the rules refuse them.
_ALONE_SECONDS = 600.0

_log = logs.get(__name__)


@dataclass(frozen=True)
class Seat:
    """A seat as one replica has seen it.

    Attributes:
        value: what lies there, of whatever shape.
        since: since when it has stood still, monotonic seconds.
        moved: whether it was seen to change; at first sight nobody knows whether it still does.
    """

    value: object
    since: float
    moved: bool = False

    def then(self, value: object, now: float) -> Seat:
        """The same seat at the next look."""
        return self if same(value, self.value) else Seat(value, now, moved=True)

    def is_kept(self, now: float, still_seconds: float) -> bool:
        """Whether its holder was seen to live."""
        return self.moved and _holds(self.value) and now - self.since < still_seconds

    def is_free(self, now: float, still_seconds: float) -> bool:
        """Whether another may take it."""
        return not _holds(self.value) or now - self.since >= still_seconds


def _holds(value: object) -> bool:
    return isinstance(children(value).get("instance"), str)


class Lookouts:
    """This replica's part in looking after the leases of all.

    Args:
        project: the database.
        owner: this worker's id.
        beat_seconds: between two looks.
        clock: monotonic seconds.
        instance: tells this process from all others.
    """

    def __init__(
        self,
        project: Project,
        owner: str,
        beat_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        instance: str | None = None,
    ) -> None:
        self._project = project
        self._owner = owner
        self._instance = instance or uuid.uuid4().hex
        self._still_seconds = _STILL_BEATS * beat_seconds
        self._clock = clock
        self._seats: dict[str, Seat] = {}
        self._held: str | None = None
        self._alone_until = float("-inf")

    @property
    def on_duty(self) -> bool:
        """Whether this replica looks for all: it holds a seat, or seats cannot be had."""
        return self._held is not None or self._clock() < self._alone_until

    @property
    def leads(self) -> bool:
        """Whether what one replica does for all is for this one.

        It holds the first seat, or the second while nobody is seen to live on the first.
        """
        return self._held is not None and not self.seconds

    @property
    def seconds(self) -> bool:
        """Whether it holds the second seat, and the holder of the first was seen to live."""
        first = self._seats.get(SEATS[0])
        return (
            self._held == SEATS[1]
            and first is not None
            and first.is_kept(self._clock(), self._still_seconds)
        )

    def look(self) -> bool:
        """Look at the seats and take one that is free; gives whether to read the leases now.

        Raises:
            Unavailable: the database did not answer.
        """
        if self._clock() < self._alone_until:
            return True
        try:
            return self._on_node(self._look)
        except NodeRefused as error:
            # Rules from before there were seats: each looks for itself.
            _log.info("no_lookouts", why=str(error))
            self._held, self._alone_until = None, self._clock() + _ALONE_SECONDS
            return True

    def _look(self) -> bool:
        stored = children(self._project.node(LOOKOUTS).get())
        now = self._clock()
        for name in SEATS:
            self._see(name, stored.get(name), now)
        if self._held is not None and not self._is_mine(stored.get(self._held)):
            self._held = None
        for name in SEATS:
            if self._held is None and self._seats[name].is_free(now, self._still_seconds):
                self._take(name, now)
        return self._held is not None or not any(
            seat.is_kept(now, self._still_seconds) for seat in self._seats.values()
        )

    def beat(self) -> None:
        """Say that the leases were just read, where a seat is held.

        Raises:
            Unavailable: the database did not answer.
        """
        if self._held is None:
            return

        def decide(seen: object) -> tuple[Record | None, bool]:
            if not self._is_mine(seen):
                return None, False
            beat = children(seen).get("beat")
            return self._record(beat + 1 if is_count(beat) else 0), True

        seat = self._project.node(LOOKOUTS, self._held)
        try:
            kept = self._on_node(lambda: transact(seat, decide))
        except (NodeUnavailable, Contended):
            return  # the next look says whose it is
        if not kept:
            self._held = None

    def _take(self, name: str, now: float) -> None:
        expected = self._seats[name].value
        mine = self._record(0)

        def decide(seen: object) -> tuple[Record | None, object]:
            return (mine, mine) if same(seen, expected) else (None, seen)

        try:
            found = transact(self._project.node(LOOKOUTS, name), decide)
        except Contended:
            return
        # Where another was faster, that one is seen to live.
        self._see(name, found, now)
        if found is mine:
            self._held = name

    def _see(self, name: str, value: object, now: float) -> None:
        seat = self._seats.get(name)
        self._seats[name] = Seat(value, now) if seat is None else seat.then(value, now)

    def _is_mine(self, value: object) -> bool:
        return children(value).get("instance") == self._instance

    def _record(self, beat: int) -> Record:
        return {"owner": self._owner, "instance": self._instance, "beat": beat}

    def _on_node(self, call: Callable[[], bool]) -> bool:
        return books.on_node(self._project, self._project.node_path(LOOKOUTS), call)
