"""Applies the book's state machine by transaction.

Every change of a book is one transaction on the whole book. Two answers can get lost: that of a
claim, which is then recognised by its token, and that of a publication, recognised by its object's
path.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable

from narrator_daemon import notice
from narrator_daemon.catalogue import CLAIM, PROCESSING, PROGRESS, RETAKE, STATUS, Record
from narrator_daemon.claims import book as books
from narrator_daemon.claims import outcome as outcomes
from narrator_daemon.claims.book import Transition, Verdict
from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.outcome import Outcome
from narrator_daemon.claims.work import Attempted, Work
from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase import books as shelf
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.transact import transact
from narrator_daemon.settings import Settings

#: A leaf that holds what it held before.
_SAME = object()


class Claims:
    """This worker's claims.

    Args:
        project: the database.
        settings: where the text is, how many attempts.
        fingerprint: all that shapes the audio besides the text (``book.input_hash``).
        lease_dead: whether the lease of a book and a foreign token was seen to be dead.
        leases: where each claim's lease is written, just before the claim itself.
        now_ms: epoch milliseconds; the database's own clock unless another is given.
        manner: what else of a book shapes its audio, as one string.
    """

    def __init__(
        self,
        project: Project,
        settings: Settings,
        fingerprint: str,
        lease_dead: Callable[[str, str], bool],
        leases: Leases,
        now_ms: Callable[[], int] | None = None,
        manner: Callable[[Record], str] = lambda _record: "",
    ) -> None:
        self._project = project
        self._leases = leases
        self._owner = settings.daemon.worker_id
        self._max_attempts = settings.claims.max_attempts
        self._text_field = settings.books.text_field
        self._fingerprint = fingerprint
        self._manner = manner
        self._credentials = settings.credentials
        self._lease_dead = lease_dead
        self._now_ms = now_ms or project.database_clock.now_ms

    def text(self, record: Record) -> object:
        """What the book holds in its text field, whatever that is."""
        return record.get(self._text_field)

    def digest(self, record: Record) -> str:
        """The input hash of a book as this worker would narrate it."""
        shaped_by = self._fingerprint + notice.fingerprint_of(self._credentials, record)
        shaped_by += self._manner(record)
        if RETAKE in record:
            # Another wish for the same text is another input.
            shaped_by += f" again {json.dumps(record[RETAKE], sort_keys=True)}"
        return books.input_hash(self.text(record), shaped_by)

    def text_digest(self, record: Record) -> str:
        """The hash of a book's text alone, which all replicas find alike."""
        return books.claimed_text_hash(self.text(record))

    def lease_alive(self, book_id: str, token: str) -> bool:
        """Whether another's claim may be alive: its lease was not seen to be dead."""
        return not self._lease_dead(book_id, token)

    def answers(self) -> bool:
        """Whether the database answers to what has nothing to do with any one book."""
        try:
            shelf.check_indices(self._project)
        except Unavailable:
            return False
        return True

    def claim(self, book_id: str) -> Attempted:
        """Try to claim a waiting book.

        The lease is written first. A claim whose owner died, or never heard that it stands, is then
        found by its lease, whatever the frontend has made of the book's status since.

        Raises:
            Unavailable: the database did not answer. The claim may stand all the same; nobody beats
                for it, so it is reaped like any other that lost its owner.
        """
        token = uuid.uuid4().hex
        claiming = _Claiming(
            lambda record: books.claim(
                record,
                token=token,
                owner=self._owner,
                digest=self.digest,
                text_digest=self.text_digest,
                lease_dead=lambda foreign: self._lease_dead(book_id, foreign),
                now_ms=self._now_ms(),
                max_attempts=self._max_attempts,
            ),
            lambda: self._leases.announce(book_id, token),
        )
        seen = shelf.change(self._project, book_id, claiming.decide)
        announced_at = claiming.announced_at
        if announced_at is not None and seen.verdict not in (Verdict.CLAIMED, Verdict.MINE):
            self._leases.delete(book_id, token)
        if seen.verdict is Verdict.LATER and seen.until is not None:
            left = max(0, seen.until - self._now_ms())
            is_retry = seen.claim is not None
            return Attempted(
                book_id, seen.verdict, wait_seconds=left / 1000, waits_for_retry=is_retry
            )
        if seen.verdict is Verdict.LOST:
            return Attempted(book_id, seen.verdict, rival=self._rival(seen.claim))
        if seen.claim is None or announced_at is None:
            return Attempted(book_id, seen.verdict)
        # Where the answer was lost, the book may have been edited since: what was claimed is what
        # was written, and the claim's input hash is of that.
        written = claiming.written.get(seen.claim.input_hash)
        if written is None:
            return Attempted(book_id, seen.verdict)
        return Attempted(book_id, seen.verdict, Work(book_id, written, seen.claim, announced_at))

    def _rival(self, found: Claim | None) -> str | None:
        if found is None or found.token is None or found.owner == self._owner:
            return None
        return found.owner

    def settle(self, work: Work, outcome: Outcome) -> Transition:
        """End a claim with an outcome. May be called again when the answer was lost.

        Raises:
            Unavailable: the database did not answer, or it is not known whether it took the write.
        """
        return shelf.change(
            self._project,
            work.book_id,
            lambda record: outcomes.settle(
                record, claim=work.claim, outcome=outcome, digest=self.digest
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
        return shelf.change(
            self._project, book_id, lambda seen: books.reap(seen, token=token, record=record)
        )

    def show_progress(self, work: Work, fraction: float) -> None:
        """Write ``narrativeAudioProgress`` of a book that still has one.

        A transaction on the leaf: where there is none, the claim is over.
        """

        def decide(seen: object) -> tuple[float | None, None]:
            return None if seen is None or work.stopped else round(fraction, 3), None

        leaf = self._project.book(work.book_id, PROGRESS)
        place = f"{shelf.place_of(self._project, work.book_id)}/{PROGRESS}"
        shelf.on_node(self._project, place, lambda: transact(leaf, decide))

    def show_preview(self, work: Work, preview: Record) -> Transition:
        """Write ``narrativeAudioPreview`` of a book that is still in work here.

        Raises:
            Unavailable: the database did not answer.
        """
        return shelf.change(
            self._project,
            work.book_id,
            lambda record: outcomes.show_preview(record, claim=work.claim, preview=preview),
        )

    def show_ready_by(self, work: Work, ready_by: int) -> Transition:
        """Write ``narrativeAudioReadyBy`` of a book that is still in work here.

        Args:
            work: the claim.
            ready_by: epoch milliseconds.

        Raises:
            Unavailable: the database did not answer.
        """
        return shelf.change(
            self._project,
            work.book_id,
            lambda record: outcomes.show_ready_by(record, claim=work.claim, ready_by=ready_by),
        )

    def foretell(self, book_id: str, requested_at: object, ready_by: int | None) -> Transition:
        """Write ``narrativeAudioReadyBy`` of a book that waits, or remove it.

        Args:
            book_id: which.
            requested_at: of the request that this is about.
            ready_by: epoch milliseconds; None where nobody knows.

        Raises:
            Unavailable: the database did not answer.
        """
        return shelf.change(
            self._project,
            book_id,
            lambda record: books.foretell(record, requested_at=requested_at, ready_by=ready_by),
        )

    def look_after(self, work: Work) -> None:
        """Stop ``work`` if its book no longer wants it.

        Costs a conditional read of two leaves while nothing changes: the status, which the
        frontend writes, and the token, which is gone when the whole book was overwritten.
        """
        status = self._changed(work, STATUS)
        token = self._changed(work, CLAIM, "token")
        if status is not _SAME:
            work.asked_again = status != PROCESSING
        # Asked again with the same text goes on, until a text is edited and asked for once more:
        # the status tells nothing of that any longer.
        if work.asked_again or token not in (_SAME, work.token):
            verdict = outcomes.still_wanted(
                shelf.read(self._project, work.book_id),
                claim=work.claim,
                digest=self.digest,
            )
            if verdict is not Verdict.UNCHANGED:
                work.stop(verdict)

    def _changed(self, work: Work, *keys: str) -> object:
        """What a leaf of the book holds now, or ``_SAME`` where that is what it held before."""
        leaf = self._project.book(work.book_id, *keys)
        name = "/".join(keys)

        def read() -> tuple[bool, object, str]:
            if name in work.etags:
                changed, value, etag = leaf.get_if_changed(work.etags[name])
                return bool(changed), value, etag
            return True, *leaf.get(etag=True)

        place = shelf.place_of(self._project, work.book_id)
        changed, value, etag = shelf.on_node(self._project, place, read)
        if not changed:
            return _SAME
        work.etags[name] = etag
        return value


class _Claiming:
    """One claim in the making: what was written, and whether its lease was, over all tries.

    Args:
        decide: what a claim would make of the book as it was read.
        announce: writes the lease.
    """

    def __init__(
        self, decide: Callable[[object], Transition], announce: Callable[[], None]
    ) -> None:
        self._decide = decide
        self._announce = announce
        #: The books that were written, by the input hash of the claim.
        self.written: dict[str, Record] = {}
        #: When the lease was, monotonic seconds.
        self.announced_at: float | None = None

    def decide(self, record: object) -> Transition:
        """What becomes of the book as it was just read; writes the lease before the first claim."""
        seen = self._decide(record)
        if seen.verdict is Verdict.CLAIMED and seen.book is not None and seen.claim is not None:
            self.written[seen.claim.input_hash] = seen.book
            if self.announced_at is None:
                self.announced_at = time.monotonic()
                self._announce()
        return seen
