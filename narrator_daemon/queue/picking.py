"""Which waiting book this replica tries next, and the try.

By level, oldest first. A book that has to wait (for its retry, its requester's limit, another's
lease, the time from which it is wanted) goes back to the waiting ones until then and holds nobody
else up.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from narrator_daemon import logs
from narrator_daemon.catalogue import CLAIM, REQUESTED, STATUS
from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.claims.work import Attempted
from narrator_daemon.errors import Contended, NodeRefused, Unavailable
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.queue import requesters
from narrator_daemon.queue.budgets import Budgets
from narrator_daemon.queue.waiting import Candidate, Waiting
from narrator_daemon.settings import Settings

#: Most books that the next one is picked among.
_MOST_AMONG = 32

#: Seconds a book is left alone when the database did not answer to its claim, and when others kept
#: writing to it.
_UNANSWERED_PAUSE_SECONDS, _CONTENDED_PAUSE_SECONDS = 10.0, 1.0

#: Seconds until a budget that is used up is asked for again; varied by a quarter.
_BUDGET_PAUSE_SECONDS = 60.0

_log = logs.get(__name__)


class Picker:
    """Picks and claims, one book at a time.

    Args:
        project: the database, for the requesters' limits.
        settings: the limit, the beat.
        claims: to claim with.
        waiting: the books to pick from.
        refusals: told of the books that the database does not take.
        budgets: asked for the audio of new requests; None where there are none.
        random_unit: gives numbers in 0..1, for the jitter of asking again.
    """

    def __init__(
        self,
        project: Project,
        settings: Settings,
        claims: Claims,
        waiting: Waiting,
        refusals: Refusals,
        budgets: Budgets | None = None,
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self._project = project
        #: Grants a minute of one requester; 0 for no limit.
        self.limit = settings.limits.requests_per_minute
        self._beat_seconds = settings.claims.beat_seconds
        self._claims = claims
        self._waiting = waiting
        self._refusals = refusals
        self._budgets = budgets
        self._random_unit = random_unit
        self._text_field = settings.books.text_field
        # The next book is picked among so many of the oldest: more each time that another replica
        # was faster, fewer with each book won. One that is alone keeps the order.
        self._among = 1

    def claim_next(self) -> Attempted | None:
        """Try to claim the next book; None where none may be tried now.

        Raises:
            Unavailable: the database did not answer; the book is tried again later.
        """
        candidate = self._waiting.take(time.monotonic(), self._among)
        if candidate is None:
            return None
        try:
            attempted = self._try(candidate)
        except NodeRefused as error:
            # One book that cannot be written must not stand before all others.
            return self._put_off(candidate, self._refusals.add(candidate.book_id, error))
        except Contended:
            return self._put_off(candidate, _CONTENDED_PAUSE_SECONDS)
        except Unavailable:
            self._waiting.put_back(candidate, time.monotonic() + _UNANSWERED_PAUSE_SECONDS)
            raise
        self._refusals.clear(candidate.book_id)
        return attempted

    def _put_off(self, candidate: Candidate, seconds: float) -> Attempted:
        self._waiting.put_back(candidate, time.monotonic() + seconds)
        return Attempted(candidate.book_id, Verdict.LATER, wait_seconds=seconds)

    def _try(self, candidate: Candidate) -> Attempted:
        may_not = self._ask(candidate) if self.limit or self._budgets else None
        return self._claim(candidate) if may_not is None else may_not

    def _claim(self, candidate: Candidate) -> Attempted:
        attempted = self._claims.claim(candidate.book_id)
        _log.debug("tried", book=candidate.book_id, verdict=attempted.verdict.value)
        if attempted.verdict is Verdict.LOST:
            # What is known of a book may be late: this one may have read it itself, or it was
            # cancelled. One of which the id alone was known may never have waited.
            if candidate.known and attempted.rival is not None:
                self._among = min(2 * self._among, _MOST_AMONG)
        elif attempted.work is not None:
            self._among = max(self._among - 1, 1)
        elif attempted.verdict is Verdict.LATER:
            candidate.waits_for_retry |= attempted.waits_for_retry
            self._waiting.put_back(candidate, time.monotonic() + attempted.wait_seconds)
        elif attempted.verdict is Verdict.LEASED:
            self._waiting.put_back(candidate, time.monotonic() + self._beat_seconds)
        elif attempted.verdict is Verdict.EXHAUSTED:
            _log.warning("book_failed", book=candidate.book_id, why="attempts used up")
        return attempted

    def _ask(self, candidate: Candidate) -> Attempted | None:
        """Ask limit and budgets for a new narration; None where it may be claimed."""
        if candidate.known and not self._is_to_ask(candidate):
            return None
        if not candidate.known or candidate.held_by is not None:
            record = books.read(self._project, candidate.book_id)
            if not isinstance(record, dict) or record.get(STATUS) != REQUESTED:
                return None  # the claim will say why not
            candidate = Candidate.of(candidate.book_id, record, candidate.order, self._text_field)
            held = Claim.from_record(record.get(CLAIM))
            left_ms = (candidate.wanted_at or 0) - self._project.database_clock.now_ms()
            if left_ms > 0:
                # Nothing is granted in advance: the grant would be over by then.
                return self._put_off(candidate, left_ms / 1000)
            if not self._is_to_ask(candidate):
                return None
            if held and held.token and self._claims.lease_alive(candidate.book_id, held.token):
                # Asked for again while another reads it: nothing new is granted for that.
                self._waiting.put_back(candidate, time.monotonic() + self._beat_seconds)
                return Attempted(candidate.book_id, Verdict.LEASED)
        name = requesters.grant_name(candidate.book_id, candidate.requested_at, candidate.shown)
        return self._ask_limit(candidate, name) or self._ask_budgets(candidate, name)

    def _is_to_ask(self, candidate: Candidate) -> bool:
        """Whether a book is a new request that counts towards a limit or a budget."""
        if candidate.is_retry:
            return False
        uid = candidate.requested_by
        limited = bool(self.limit) and uid is not None
        return limited or (self._budgets is not None and self._budgets.concern(uid))

    def _ask_limit(self, candidate: Candidate, name: str) -> Attempted | None:
        uid = candidate.requested_by
        if uid is None or not self.limit:
            return None
        wait = requesters.grant(self._project, uid, name, limit=self.limit)
        if wait == 0:
            return None
        # One answer is enough for all that the requester has asked for.
        now = time.monotonic()
        self._waiting.pass_over(uid, now + wait / 1000, now)
        self._waiting.put_back(candidate, now)
        return Attempted(candidate.book_id, Verdict.LATER, wait_seconds=wait / 1000)

    def _ask_budgets(self, candidate: Candidate, name: str) -> Attempted | None:
        uid = candidate.requested_by
        if self._budgets is None or not self._budgets.concern(uid):
            return None
        text = books.read(self._project, candidate.book_id, self._text_field)
        over = self._budgets.ask(uid, name, text)
        if over is None:
            return None
        whose, until_ms = over
        wait = max(0, until_ms - self._project.database_clock.now_ms()) / 1000
        # Books may end with less audio than was reckoned, and settings may change: asked anew.
        pause = min(wait, _BUDGET_PAUSE_SECONDS * (0.75 + 0.5 * self._random_unit()))
        now = time.monotonic()
        self._waiting.pass_over_budget(whose, now + pause, now)
        self._waiting.put_back(candidate, now)
        return Attempted(candidate.book_id, Verdict.LATER, wait_seconds=wait)
