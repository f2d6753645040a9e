"""Reads again what waits and what is in work: the stream may have missed something."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from narrator_daemon.catalogue import PROCESSING, REQUESTED
from narrator_daemon.clock import now_ms
from narrator_daemon.firebase import books
from narrator_daemon.firebase.books import WINDOW
from narrator_daemon.firebase.project import Project
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
        on_read: called after each round.
        random_unit: gives numbers in 0..1, for the jitter of rounds.

    Attributes:
        read_at: when the last round was done, monotonic seconds, or None.
    """

    def __init__(
        self,
        project: Project,
        waiting: Waiting,
        reaper: Reaper,
        seconds: float,
        on_read: Callable[[], object],
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self._project = project
        self._waiting = waiting
        self._reaper = reaper
        self._seconds = seconds
        self._on_read = on_read
        self._random_unit = random_unit
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
        waiting = books.with_status(self._project, REQUESTED, self._window)
        in_work = books.with_status(self._project, PROCESSING)
        complete = books.is_complete(waiting, self._window)
        self._waiting.refresh(waiting, now_ms(), complete=complete, since=reading)
        all_wait = (
            not complete
            and self._window < _WIDEST_WINDOW
            and self._waiting.free(time.monotonic()) == 0
        )
        self._window = 2 * self._window if all_wait else max(WINDOW, self._window // 2)
        self._reaper.take_in({**waiting, **in_work})
        self.read_at = time.monotonic()
        self._on_read()
        return 0.0 if all_wait else self._seconds * (0.75 + 0.5 * self._random_unit())
