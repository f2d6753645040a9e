"""The leases of what this worker holds, and the reading of everyone's.

A lease is ``/narrationLeases/{bookId}/{token}`` = ``{owner, beat, ttl}``. Its owner changes the
beat every few seconds, and at least once in ``ttl`` seconds; ``lease_watch`` judges those of all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from narrator_daemon.catalogue import LEASES, children, is_number
from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.work import Work
from narrator_daemon.errors import NodeUnavailable, Unavailable
from narrator_daemon.firebase import books
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.project import Project
from narrator_daemon.rounds import Round

#: The dependency that is down after leases could not be renewed in time.
NAME = "leases"


def too_late(ttl: float) -> Unavailable:
    """What is told where a lease could not be renewed in time.

    Args:
        ttl: how long it lives, seconds.
    """
    return Unavailable(
        NAME,
        f"a lease of {ttl:g} s could not be renewed in time: this machine or the way to the "
        "database is too slow for its work",
        advice="give it more CPU, or fewer books at once (daemon.books_at_once)",
    )


#: The lifetimes that are believed of a lease, in seconds: those that can be configured.
_SHORTEST_TTL, _LONGEST_TTL = 1.0, 3600.0


@dataclass(frozen=True)
class Reading:
    """All leases at one moment, by book and token.

    Attributes:
        beats: of each.
        ttls: what those promise that say so, seconds.
    """

    beats: Mapping[Hashable, object] = field(default_factory=dict)
    ttls: Mapping[Hashable, float] = field(default_factory=dict)


class Leases:
    """The leases of this worker's claims, and the reading of everyone's.

    Args:
        project: the database.
        owner: this worker's id.
        ttl: seconds after which others may take a lease that stood still for dead.
    """

    def __init__(self, project: Project, owner: str, ttl: float) -> None:
        self._project = project
        self._owner = owner
        self._ttl = ttl
        self._lock = threading.Lock()
        # Held while a beat is under way, so that none lands after its lease was deleted.
        self._beating = threading.Lock()
        self._held: dict[str, Work] = {}
        self._beat_at: dict[str, float] = {}
        self._beat = 0
        # Without a beat for longer, others may soon take a claim.
        self._longest = 0.7 * ttl

    def announce(self, book_id: str, token: str) -> None:
        """Write the lease of a claim that is about to be made.

        Raises:
            Unavailable: the database did not answer.
        """
        with database_errors():
            self._project.node(LEASES, book_id, token).set(self._lease(0))

    def _lease(self, beat: int) -> dict[str, Any]:
        return {"owner": self._owner, "beat": beat, "ttl": self._ttl}

    def hold(self, work: Work) -> None:
        """Begin to beat for a claim that was just made.

        Raises:
            Unavailable: the database did not answer; the claim is held all the same, and the next
                beat tries again.
        """
        with self._lock:
            self._held[work.token] = work
            self._beat_at[work.token] = work.claimed_at
        self.beat([work])

    def beat(self, alive: list[Work]) -> None:
        """Beat for these claims, as far as they are held.

        Raises:
            Unavailable: the database did not answer.
        """
        with self._beating:
            started = time.monotonic()
            # A process that slept must not take the beat that it can send now for a proof.
            self.let_go(started)
            with self._lock:
                works = [work for work in alive if work.token in self._held]
                self._beat += 1
                lease = self._lease(self._beat)
            if not works:
                return
            beaten = self._write(works, lease)
            with self._lock:
                for work in beaten:
                    self._beat_at[work.token] = started

    def _write(self, works: list[Work], lease: dict[str, Any]) -> list[Work]:
        """Write one lease for each; gives those that were taken."""
        try:
            node, place = self._project.node(LEASES), self._project.node_path(LEASES)
            beaten = {f"{work.book_id}/{work.token}": lease for work in works}
            books.on_node(self._project, place, lambda: node.update(beaten))
            return works
        except NodeUnavailable:
            if len(works) == 1:
                raise
        # One of them is refused, and an update takes all or none.
        beats, taken = Round("beat"), []
        for work in works:
            with beats.item(book=work.book_id):
                taken += self._write([work], lease)
        return taken

    def let_go(self, now: float) -> None:
        """Stop work that has gone without a beat for so long that others may soon take it.

        Does not wait for a beat that is under way, however long the database takes for it.

        Args:
            now: monotonic seconds.
        """
        with self._lock:
            for token, work in self._held.items():
                if now - self._beat_at[token] > self._longest:
                    work.late = True
                    work.stop(Verdict.FENCED)

    def check(self) -> None:
        """See that those that are held were renewed in time.

        A job that does not come back within two lifetimes hangs, and its lease is left to die: that
        is no reason to claim no other book, and what becomes of the process the worker decides.

        Raises:
            Unavailable: one was not.
        """
        now = time.monotonic()
        with self._lock:
            silent = [now - beat_at for beat_at in self._beat_at.values()]
        if any(self._longest < seconds < 2 * self._ttl for seconds in silent):
            raise too_late(self._ttl)

    def held(self) -> tuple[int, float | None]:
        """How many are held, and the monotonic time of the oldest of their last beats, or None."""
        with self._lock:
            return len(self._held), min(self._beat_at.values(), default=None)

    def drop(self, work: Work) -> None:
        """Stop beating for a claim and delete its lease.

        Raises:
            Unavailable: the database did not answer; the lease stands still and is reaped.
        """
        with self._beating, self._lock:
            self._held.pop(work.token, None)
            self._beat_at.pop(work.token, None)
        self.delete(work.book_id, work.token)

    def delete(self, book_id: str, token: str) -> None:
        """Delete a lease.

        Raises:
            Unavailable: the database did not answer.
            NodeRefused: it does not let this one go.
        """
        place = self._project.node_path(LEASES, book_id, token)
        books.on_node(self._project, place, self._project.node(LEASES, book_id, token).delete)

    def read(self) -> Reading:
        """All leases there are.

        Raises:
            Unavailable: the database did not answer.
        """
        with database_errors():
            tree = self._project.node(LEASES).get()
        beats, ttls = dict[Hashable, object](), dict[Hashable, float]()
        for book_id, leases in children(tree).items():
            for token, lease in children(leases).items():
                known = isinstance(lease, Mapping)
                beats[book_id, token] = lease.get("beat") if known else lease
                ttl = lease.get("ttl") if known else None
                if is_number(ttl) and _SHORTEST_TTL <= ttl <= _LONGEST_TTL:
                    ttls[book_id, token] = float(ttl)
        return Reading(beats, ttls)
