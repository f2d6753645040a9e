"""Which waiting book this replica tries next, and the try.

Oldest first. A book that has to wait (for its retry, its requester's limit, another's lease) goes
back to the waiting ones until then and holds nobody else up.
"""

from __future__ import annotations

import time

from narrator_daemon import logs
from narrator_daemon.catalogue import REQUESTED, STATUS
from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.work import Attempted
from narrator_daemon.clock import now_ms
from narrator_daemon.errors import Contended, Unavailable
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.queue import requesters
from narrator_daemon.queue.waiting import Candidate, Waiting
from narrator_daemon.settings import Settings

#: Most books that the next one is picked among.
_MOST_AMONG = 32

#: Seconds a book is left alone when the database did not take its claim.
_REFUSED_PAUSE_SECONDS = 10.0

_log = logs.get(__name__)


class Picker:
    """Picks and claims, one book at a time.

    Args:
        project: the database, for the requesters' limits.
        settings: the limit, the beat.
        claims: to claim with.
        waiting: the books to pick from.
    """

    def __init__(
        self, project: Project, settings: Settings, claims: Claims, waiting: Waiting
    ) -> None:
        self._project = project
        #: Grants a minute of one requester; 0 for no limit.
        self.limit = settings.limits.requests_per_minute
        self._beat_seconds = settings.claims.beat_seconds
        self._claims = claims
        self._waiting = waiting
        # The next book is picked among so many of the oldest: more each time that another replica
        # was faster, fewer with each book won. One that is alone keeps the order.
        self._among = 1
        # Until when the requesters that are at their limit wait, by the monotonic clock: one answer
        # is enough for all that they have asked for.
        self._limited: dict[str, float] = {}

    @property
    def limited(self) -> frozenset[str]:
        """The requesters that are known to be at their limit."""
        now = time.monotonic()
        return frozenset(uid for uid, until in self._limited.items() if until > now)

    def claim_next(self) -> Attempted | None:
        """Try to claim the next book; None where none may be tried now.

        Raises:
            Unavailable: the database did not answer; the book is tried again later.
        """
        candidate = self._waiting.take(time.monotonic(), self._among)
        if candidate is None:
            return None
        try:
            return self._try(candidate)
        except Unavailable as error:
            # One book that cannot be written must not stand before all others.
            pause = 1.0 if isinstance(error, Contended) else _REFUSED_PAUSE_SECONDS
            self._waiting.put_back(candidate, time.monotonic() + pause)
            raise

    def _try(self, candidate: Candidate) -> Attempted:
        wait = self._wait_for_limit(candidate)
        if wait > 0:
            self._waiting.put_back(candidate, time.monotonic() + wait)
            return Attempted(candidate.book_id, Verdict.LATER, wait_seconds=wait)
        attempted = self._claims.claim(candidate.book_id)
        _log.debug("tried", book=candidate.book_id, verdict=attempted.verdict.value)
        if attempted.verdict is Verdict.LOST:
            self._among = min(2 * self._among, _MOST_AMONG)
        elif attempted.work is not None:
            self._among = max(self._among - 1, 1)
        elif attempted.verdict is Verdict.LATER:
            self._waiting.put_back(candidate, time.monotonic() + attempted.wait_seconds)
        elif attempted.verdict is Verdict.LEASED:
            self._waiting.put_back(candidate, time.monotonic() + self._beat_seconds)
        elif attempted.verdict is Verdict.EXHAUSTED:
            _log.warning("book_failed", book=candidate.book_id, why="attempts used up")
        return attempted

    def _wait_for_limit(self, candidate: Candidate) -> float:
        """Seconds that the requester's limit makes a book wait; 0 for none."""
        if self.limit == 0:
            return 0.0
        if not candidate.known:
            record = books.read(self._project, candidate.book_id)
            if not isinstance(record, dict) or record.get(STATUS) != REQUESTED:
                return 0.0  # the claim will say why not
            whole = Waiting()
            whole.offer(candidate.book_id, record, now_ms())
            candidate = whole.take(time.monotonic()) or candidate
        if candidate.requested_by is None or candidate.is_retry:
            return 0.0
        uid, now = candidate.requested_by, time.monotonic()
        if self._limited.get(uid, now) > now:
            return self._limited[uid] - now
        wait = requesters.grant(
            self._project,
            uid,
            requesters.grant_name(candidate.book_id, candidate.requested_at, candidate.shown),
            now_ms=now_ms(),
            limit=self.limit,
        )
        if wait > 0:
            still = {other: until for other, until in self._limited.items() if until > now}
            self._limited = {**still, uid: now + wait / 1000}
        return wait / 1000
