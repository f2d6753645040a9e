"""Says why books wait: to health and metrics when they ask, to the log once a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from narrator_daemon import logs
from narrator_daemon.clock import now_ms
from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.queue.reasons import Reason, Waits, of_candidates
from narrator_daemon.queue.waiting import Waiting

#: Seconds between two lines of the log.
SAY_SECONDS = 60.0

_log = logs.get(__name__)


class WhyWaiting:
    """Why the books that this worker knows are not in work.

    Args:
        waiting: the books.
        refused: gives the books whose claim the database does not take.
        dependencies: while one is down nothing is claimed.
        stopping: set once nothing more is claimed.
        limit: gives ``limits.requests_per_minute`` as it is now.
        now_ms: the database's clock, epoch milliseconds.
        held: whether an operator has told it to claim nothing.
    """

    def __init__(
        self,
        waiting: Waiting,
        refused: Callable[[], Collection[str]],
        dependencies: Dependencies,
        stopping: threading.Event,
        limit: Callable[[], int],
        now_ms: Callable[[], int] = now_ms,
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        self._waiting = waiting
        self._refused = refused
        self._dependencies = dependencies
        self._stopping = stopping
        self._limit = limit
        self._now_ms = now_ms
        self._held = held

    def now(self) -> Waits:
        """Why they wait now."""
        held_up = None
        if self._stopping.is_set():
            held_up = Reason.PAUSED
        elif self._held():
            held_up = Reason.OPERATOR
        elif self._dependencies.down:
            held_up = Reason.DEPENDENCY
        now = time.monotonic()
        return of_candidates(
            self._waiting.candidates,
            now,
            self._now_ms(),
            limited=self._waiting.limited(now),
            limit=self._limit(),
            refused=self._refused(),
            held_up=held_up,
            over_budget=self._waiting.over_budget(now),
        )

    def say(self) -> float:
        """Write it to the log, if any wait; gives seconds until the next time."""
        counts = {str(reason): count for reason, count in self.now().counts.items() if count}
        if counts:
            _log.info("waiting", **counts)
        return SAY_SECONDS
