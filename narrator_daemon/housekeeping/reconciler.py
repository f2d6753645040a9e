"""Reads again what waits: the stream may have missed something."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from narrator_daemon.catalogue import REQUESTED
from narrator_daemon.firebase import books
from narrator_daemon.firebase.books import MOST, READ_BYTES_PER_SECOND, WINDOW
from narrator_daemon.firebase.project import Project
from narrator_daemon.housekeeping.reaper import Reaper
from narrator_daemon.queue.waiting import Waiting

#: The least pause between two readings of all that waits, in seconds.
LEAST_PAUSE_SECONDS = 5.0


class Reconciler:
    """Reconciles what this replica knows with the database.

    Args:
        project: the database.
        waiting: told what waits.
        reaper: told what waits, as a claim may stand on it.
        seconds: between two rounds; varied by a quarter.
        on_read: called after each round.
        random_unit: gives numbers in 0..1, for the jitter of rounds.
        clock: monotonic seconds.

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._project = project
        self._waiting = waiting
        self._reaper = reaper
        self._seconds = seconds
        self._on_read = on_read
        self._random_unit = random_unit
        self._clock = clock
        self._read_last = False
        self._more_wait = False
        # When all that waits may be read again, monotonic seconds.
        self._whole_at = 0.0
        self.read_at: float | None = None

    def round(self) -> float:
        """Read once; gives seconds until the next round.

        A query gives waiting books in the order of their ids, and whole. While there are no more
        than a window of them, that is all that is read. Where there are more, the oldest request
        may be any of those behind it: then all are read, as often as their size allows. Where there
        are more than can be read at once, the first and the last of so many are read in turn.

        Raises:
            Unavailable: the database did not answer.
        """
        whole = self._more_wait and self._clock() >= self._whole_at
        most = MOST if whole else WINDOW
        reading = self._waiting.now_reading()
        waiting = books.with_status(self._project, REQUESTED, most, last=whole and self._read_last)
        complete = books.is_complete(waiting, most)
        now_ms = self._project.database_clock.now_ms()
        self._waiting.refresh(waiting, now_ms, complete=complete, since=reading)
        self._reaper.take_in(waiting)
        now = self.read_at = self._clock()
        if whole:
            self._read_last = not complete and not self._read_last
            pause = max(LEAST_PAUSE_SECONDS, books.size(waiting) / READ_BYTES_PER_SECOND)
            self._whole_at = now + pause
        self._more_wait = len(waiting) >= WINDOW
        self._on_read()
        usual = self._seconds * (0.75 + 0.5 * self._random_unit())
        return min(usual, max(0.0, self._whole_at - now)) if self._more_wait else usual
