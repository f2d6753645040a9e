"""The books whose changes the database does not take: which, why, and when to try again.

A rule of the catalogue, or a limit of the database, can refuse the one change that a book needs,
while every other book goes on. Such a book is left alone with a pause that grows, and told to the
operator by its name; what else can be done for it nobody here knows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from narrator_daemon import logs
from narrator_daemon.errors import NodeRefused

#: Seconds that a refused book is left alone: doubling from the first to the longest.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 10.0, 600.0

#: Seconds after the end of its pause in which a book that nobody tries any more is forgotten.
_FORGET_SECONDS = 120.0

_log = logs.get(__name__)


@dataclass
class _Refused:
    why: str
    pause: float
    until: float


class Refusals:
    """What was refused, by book. Safe to use from several threads.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: dict[str, _Refused] = {}

    def add(self, book_id: str, error: NodeRefused) -> float:
        """Take in that a change of a book was refused; gives seconds to leave it alone."""
        now = self._clock()
        with self._lock:
            old = self._refused.get(book_id)
            if old is not None and now < old.until:
                # Met by several at once: the claimer, the reaper.
                old.why = str(error)
                return old.until - now
            pause = (
                FIRST_PAUSE_SECONDS if old is None else min(2 * old.pause, LONGEST_PAUSE_SECONDS)
            )
            self._refused[book_id] = _Refused(str(error), pause, now + pause)
        _log.error("book_refused", book=book_id, why=str(error), again_in_seconds=pause)
        return pause

    def clear(self, book_id: str) -> None:
        """Take in that a change of a book was taken, or that it needs none."""
        with self._lock:
            self._refused.pop(book_id, None)

    def waits(self, book_id: str) -> bool:
        """Whether a book is to be left alone now."""
        with self._lock:
            refused = self._refused.get(book_id)
            return refused is not None and self._clock() < refused.until

    @property
    def books(self) -> dict[str, str]:
        """Those that are refused, by id, and why."""
        now = self._clock()
        with self._lock:
            self._refused = {
                book_id: refused
                for book_id, refused in self._refused.items()
                if now < refused.until + _FORGET_SECONDS
            }
            return {book_id: refused.why for book_id, refused in self._refused.items()}
