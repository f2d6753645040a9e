"""Takes waiting books while there is room, and starts a job for each."""

from __future__ import annotations

import threading
from collections.abc import Callable

from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.ending import Claimed, Ending
from narrator_daemon.claims.failure import ErrorCode, Failure
from narrator_daemon.claims.work import Attempted, Work
from narrator_daemon.clock import now_ms, seconds_since
from narrator_daemon.daemon.announcements import Announcements
from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.daemon.sharing import Share
from narrator_daemon.queue.picking import Picker
from narrator_daemon.queue.waiting import Waiting

#: Seconds between looks while a dependency is down.
_DOWN_SECONDS = 0.5

#: Seconds between looks while books wait for something, and while none are known. The end of a job
#: and a hint of the stream cut both short.
_WAIT_SECONDS, _IDLE_SECONDS = 1.0, 10.0


class Claimer:
    """Claims the next book whenever there is room and nothing is down.

    Args:
        picker: picks and claims.
        waiting: the books that are known to wait.
        share: of the room that there is for books in work.
        dependencies: while one is down nothing is claimed; it could only be given back.
        stopping: set once the worker is shutting down.
        start: starts the job of a claim.
        claims: where claims are announced.
        endings: where the end of books that failed unclaimed is announced.
        now_ms: the database's clock, epoch milliseconds.
        held: whether an operator has told it to claim nothing.
    """

    def __init__(
        self,
        picker: Picker,
        waiting: Waiting,
        share: Share,
        dependencies: Dependencies,
        stopping: threading.Event,
        start: Callable[[Work], None],
        claims: Announcements[Claimed],
        endings: Announcements[Ending],
        now_ms: Callable[[], int] = now_ms,
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        self._picker = picker
        self._waiting = waiting
        self._share = share
        self._dependencies = dependencies
        self._stopping = stopping
        self._start = start
        self._claims = claims
        self._endings = endings
        self._now_ms = now_ms
        self._held = held

    def step(self) -> float:
        """Claim one book, if one may be claimed; gives seconds until the next look.

        Raises:
            Unavailable: the database did not answer.
        """
        self._dependencies.look()
        if self._stopping.is_set() or self._dependencies.down or self._held():
            return _DOWN_SECONDS
        if not self._share.take():
            return _WAIT_SECONDS
        made = False
        try:
            attempted = self._picker.claim_next()
            if attempted is None:
                return _WAIT_SECONDS if len(self._waiting) else _IDLE_SECONDS
            self._begin(attempted)
            made = attempted.work is not None
            return 0.0
        finally:
            self._share.give_back(made=made)

    def _begin(self, attempted: Attempted) -> None:
        """Announce what a try has come to, and start the job of a claim."""
        if attempted.verdict is Verdict.EXHAUSTED:
            lost = Failure(ErrorCode.WORKER_LOST, "No attempt was left.")
            self._endings.announce(Ending(attempted.book_id, "failed", failure=lost))
        if attempted.work is not None:
            work = attempted.work
            since_request = seconds_since(work.waited_from, self._now_ms())
            self._claims.announce(Claimed(work.book_id, work.claim, since_request))
            self._start(work)
