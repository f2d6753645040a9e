"""One claim of this worker while it is worked on, and how a try at one went."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from narrator_daemon.catalogue import Record, is_number
from narrator_daemon.claims.book import Verdict, wanted_from
from narrator_daemon.claims.claim import Claim


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
        late: whether it was stopped as its lease could not be renewed in time.
    """

    book_id: str
    book: Record
    claim: Claim
    claimed_at: float
    asked_again: bool = False
    etags: dict[str, str] = field(default_factory=dict)
    late: bool = False
    _stopped: threading.Event = field(default_factory=threading.Event)
    _why: Verdict | None = None

    @property
    def token(self) -> str:
        """The claim's token. Work always has one."""
        return str(self.claim.token)

    @property
    def waited_from(self) -> object:
        """The request's time as it was claimed, or that from which it was wanted, if later."""
        asked, wanted = self.claim.requested_at, wanted_from(self.book)
        return max(asked, wanted) if wanted is not None and is_number(asked) else asked

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
        book_id: of which book.
        verdict: what was found.
        work: the claim, if it was won.
        wait_seconds: how long the book waits for its retry, or until it is wanted.
        waits_for_retry: whether that is for its retry: a claim without a token stands on it.
        rival: the worker that was faster, where the book was lost to another's claim; None where
            nobody's or this worker's own stands on it.
    """

    book_id: str
    verdict: Verdict
    work: Work | None = None
    wait_seconds: float = 0.0
    waits_for_retry: bool = False
    rival: str | None = None
