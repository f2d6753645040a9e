"""The leases of what this worker holds, and the reading of everyone's.

A lease is ``/narrationLeases/{bookId}/{token}`` = ``{owner, beat}``. Its owner changes the beat
every few seconds; ``lease_watch`` judges those of all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from narrator_daemon.catalogue import LEASES, children
from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.work import Work
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.project import Project


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

    def announce(self, book_id: str, token: str) -> None:
        """Write the lease of a claim that is about to be made.

        Raises:
            Unavailable: the database did not answer.
        """
        with database_errors():
            lease = {"owner": self._owner, "beat": 0}
            self._project.reference(LEASES, book_id, token).set(lease)

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
                lease = {"owner": self._owner, "beat": self._beat}
            if not works:
                return
            with database_errors():
                self._project.reference(LEASES).update(
                    {f"{work.book_id}/{work.token}": lease for work in works}
                )
            with self._lock:
                for work in works:
                    self._beat_at[work.token] = started

    def let_go(self, now: float) -> None:
        """Stop work that has gone without a beat for so long that others may soon take it.

        Does not wait for a beat that is under way, however long the database takes for it.

        Args:
            now: monotonic seconds.
        """
        with self._lock:
            for token, work in self._held.items():
                if now - self._beat_at[token] > 0.7 * self._ttl:
                    work.stop(Verdict.FENCED)

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
        """
        with database_errors():
            self._project.reference(LEASES, book_id, token).delete()

    def read(self) -> dict[tuple[str, str], Any]:
        """The beats of all leases there are, by book and token.

        Raises:
            Unavailable: the database did not answer.
        """
        with database_errors():
            tree = self._project.reference(LEASES).get()
        return {
            (book_id, token): lease.get("beat") if isinstance(lease, Mapping) else lease
            for book_id, leases in children(tree).items()
            for token, lease in children(leases).items()
        }
