"""Applies the book's state machine by transaction, and keeps the leases of what this worker holds.

Every change of a book is one transaction on the whole book: a write to a child of it could bring
back a book that was deleted meanwhile. Two answers can get lost: that of a claim, which is then
recognised by its token, and that of a publication, recognised by its object's path.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from narrator_daemon.claims import book as books
from narrator_daemon.claims.book import Outcome, Record, Transition, Verdict
from narrator_daemon.claims.claim import Claim, waits_until
from narrator_daemon.firebase.project import LEASES, Project, children, database_errors, transact
from narrator_daemon.settings import Settings


def now_ms() -> int:
    """The wall clock, epoch milliseconds."""
    return time.time_ns() // 1_000_000


#: A leaf that holds what it held before.
_SAME = object()


@dataclass
class Work:
    """One claim of this worker, from claim to outcome.

    Attributes:
        book_id: the book's key.
        book: the record as it was claimed.
        claim: the fence.
        claimed_at: when its lease was first written, by the monotonic clock, seconds.
        asked_again: whether the frontend has written the status since.
        etags: of the fields that are looked after, as last seen.
    """

    book_id: str
    book: Record
    claim: Claim
    claimed_at: float
    asked_again: bool = False
    etags: dict[str, str] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _why: Verdict | None = None

    @property
    def token(self) -> str:
        """The claim's token. Work always has one."""
        return str(self.claim.token)

    def stop(self, why: Verdict) -> None:
        """Ask the one who works on it to stop at the next boundary."""
        if not self._stopped.is_set():
            self._why = why
            self._stopped.set()

    @property
    def stopped(self) -> Verdict | None:
        """Why it must stop, or None."""
        return self._why if self._stopped.is_set() else None


@dataclass(frozen=True)
class Attempted:
    """How a try at a claim went.

    Attributes:
        verdict: what was found.
        work: the claim, if it was won.
        wait_seconds: how long the book waits for its retry, where that is why.
    """

    verdict: Verdict
    work: Work | None = None
    wait_seconds: float = 0.0


class Claims:
    """This worker's claims.

    Args:
        project: the database.
        settings: where the text is, how many attempts.
        fingerprint: all that shapes the audio besides the text (``book.input_hash``).
        lease_dead: whether the lease of a book and a foreign token was seen to be dead.
        leases: where each claim's lease is written, just before the claim itself.
        now_ms: the wall clock, epoch milliseconds.
    """

    def __init__(
        self,
        project: Project,
        settings: Settings,
        fingerprint: str,
        lease_dead: Callable[[str, str], bool],
        leases: Leases,
        now_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._project = project
        self._leases = leases
        self._owner = settings.daemon.worker_id
        self._max_attempts = settings.claims.max_attempts
        self._text_field = settings.books.text_field
        self._fingerprint = fingerprint
        self._lease_dead = lease_dead
        self._now_ms = now_ms

    def text(self, record: Record) -> object:
        """What the book holds in its text field, whatever that is."""
        return record.get(self._text_field)

    def digest(self, record: Record) -> str:
        """The input hash of a book as this worker would narrate it."""
        return books.input_hash(self.text(record), self._fingerprint)

    def claim(self, book_id: str) -> Attempted:
        """Try to claim a waiting book.

        The lease is written first. A claim whose owner died, or never heard that it stands, is then
        found by its lease, whatever the frontend has made of the book's status since.

        Raises:
            Unavailable: the database did not answer. The claim may stand all the same; nobody beats
                for it, so it is reaped like any other that lost its owner.
        """
        token = uuid.uuid4().hex
        written = dict[str, Record]()
        announced_at: float | None = None

        def decide(record: object) -> Transition:
            nonlocal announced_at
            seen = books.claim(
                record,
                token=token,
                owner=self._owner,
                digest=self.digest,
                lease_dead=lambda foreign: self._lease_dead(book_id, foreign),
                now_ms=self._now_ms(),
                max_attempts=self._max_attempts,
            )
            if seen.verdict is Verdict.CLAIMED and seen.book is not None and seen.claim is not None:
                written[seen.claim.input_hash] = seen.book
                if announced_at is None:
                    announced_at = time.monotonic()
                    self._leases.announce(book_id, token)
            return seen

        seen = self._transact(book_id, decide)
        if announced_at is not None and seen.verdict not in (Verdict.CLAIMED, Verdict.MINE):
            self._leases.delete(book_id, token)
        if seen.verdict is Verdict.LATER and seen.claim is not None:
            until = waits_until(seen.claim, self._now_ms()) or 0
            return Attempted(seen.verdict, wait_seconds=max(0, until - self._now_ms()) / 1000)
        if seen.claim is None or seen.claim.input_hash not in written or announced_at is None:
            return Attempted(seen.verdict)
        # Where the answer was lost, the book may have been edited since: what was claimed is what
        # was written, and the claim's input hash is of that.
        work = Work(book_id, written[seen.claim.input_hash], seen.claim, announced_at)
        return Attempted(seen.verdict, work)

    def settle(self, work: Work, outcome: Outcome) -> Transition:
        """End a claim with an outcome. May be called again when the answer was lost.

        Raises:
            Unavailable: the database did not answer, or it is not known whether it took the write.
        """
        return self._transact(
            work.book_id,
            lambda record: books.settle(
                record, token=work.token, outcome=outcome, digest=self.digest
            ),
        )

    def reap(self, book_id: str, token: str | None, record: object = None) -> Transition:
        """Free a book of a claim that was judged dead, if that claim stands on it still.

        Args:
            book_id: the book.
            token: the dead claim's; None for one that holds no token.
            record: without a token, the claim as it was judged.

        Raises:
            Unavailable: the database did not answer.
        """
        return self._transact(book_id, lambda seen: books.reap(seen, token=token, record=record))

    def read(self, book_id: str) -> Record | None:
        """The book, or None where there is none."""
        with database_errors(self._project.books_path):
            record = self._project.book(book_id).get()
        return record if isinstance(record, dict) else None

    def show_progress(self, work: Work, fraction: float) -> None:
        """Write ``narrativeAudioProgress`` of a book that still has one.

        A transaction on the leaf: where there is none, the claim is over.
        """

        def update(seen: object) -> float | None:
            return None if seen is None or work.stopped else round(fraction, 3)

        leaf = self._project.book(work.book_id, books.PROGRESS)
        transact(leaf, update, self._project.books_path)

    def look_after(self, work: Work) -> None:
        """Stop ``work`` if its book no longer wants it.

        Costs a conditional read of two leaves while nothing changes: the status, which the
        frontend writes, and the token, which is gone when the whole book was overwritten.
        """
        status = self._changed(work, books.STATUS)
        token = self._changed(work, books.CLAIM, "token")
        if status is not _SAME:
            work.asked_again = status != books.PROCESSING
        # Asked again with the same text goes on, until a text is edited and asked for once more:
        # the status tells nothing of that any longer.
        if work.asked_again or token not in (_SAME, work.token):
            verdict = books.still_wanted(
                self.read(work.book_id), token=work.token, digest=self.digest
            )
            if verdict is not Verdict.UNCHANGED:
                work.stop(verdict)

    def _changed(self, work: Work, *keys: str) -> object:
        """What a leaf of the book holds now, or ``_SAME`` where that is what it held before."""
        leaf = self._project.book(work.book_id, *keys)
        name = "/".join(keys)
        with database_errors(self._project.books_path):
            if name in work.etags:
                changed, value, etag = leaf.get_if_changed(work.etags[name])
            else:
                changed = True
                value, etag = leaf.get(etag=True)
        if not changed:
            return _SAME
        work.etags[name] = etag
        return value

    def _transact(self, book_id: str, decide: Callable[[Any], Transition]) -> Transition:
        last = Transition(Verdict.UNCHANGED)

        def update(record: object) -> Record | None:
            nonlocal last
            last = decide(record)
            return last.book

        transact(self._project.book(book_id), update, self._project.books_path)
        return last


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
