"""Reads again what waits and what is in work: the stream may have missed something."""

from __future__ import annotations

import random
import time

from narrator_daemon.claims import book as books
from narrator_daemon.claims.claims import now_ms
from narrator_daemon.firebase.project import Project, children, database_errors
from narrator_daemon.firebase.subscription import WINDOW
from narrator_daemon.housekeeping.reaper import Reaper
from narrator_daemon.queue.waiting import Waiting

#: Most waiting books that are read at once, when all of them have to wait.
_WIDEST_WINDOW = 32 * WINDOW


class Reconciler:
    """Reconciles what this replica knows with the database.

    Args:
        project: the database.
        waiting: told what waits.
        reaper: told what holds a claim.
        seconds: between two rounds; varied by a quarter.

    Attributes:
        read_at: when the last round was done, monotonic seconds, or None.
    """

    def __init__(self, project: Project, waiting: Waiting, reaper: Reaper, seconds: float) -> None:
        self._project = project
        self._waiting = waiting
        self._reaper = reaper
        self._seconds = seconds
        self._window = WINDOW
        self.read_at: float | None = None

    def round(self) -> float:
        """Read once; gives seconds until the next round.

        The window is a hundred books, in the order of their ids. Where all of them have to wait
        (for their requester's limit, say), others may stand behind them: it grows until one may be
        tried or all are seen.

        Raises:
            Unavailable: the database did not answer.
        """
        reading = self._waiting.now_reading()
        with database_errors(self._project.books_path):
            by_status = self._project.books().order_by_child(books.STATUS)
            waiting = children(
                by_status.equal_to(books.REQUESTED).limit_to_first(self._window).get()
            )
            by_status = self._project.books().order_by_child(books.STATUS)
            in_work = children(by_status.equal_to(books.PROCESSING).get())
        complete = len(waiting) < self._window
        self._waiting.refresh(waiting, now_ms(), complete=complete, since=reading)
        all_wait = (
            not complete
            and self._window < _WIDEST_WINDOW
            and self._waiting.free(time.monotonic()) == 0
        )
        self._window = 2 * self._window if all_wait else max(WINDOW, self._window // 2)
        self._reaper.take_in({**waiting, **in_work})
        self.read_at = time.monotonic()
        if all_wait:
            return 0.0
        return self._seconds * random.uniform(0.75, 1.25)  # noqa: S311
