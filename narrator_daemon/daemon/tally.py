"""What a worker has done lately: the rates that it shows under ``/narrationWorkers``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from narrator_daemon.catalogue import is_count
from narrator_daemon.claims.ending import Ending
from narrator_daemon.queue.forecast import Pace, Sums

#: What a rate is taken over, in seconds.
WINDOW_SECONDS = 3600.0

#: So many engine errors in a row, over more than one book, are the engine's own fault.
_ENGINE_ERRORS = 3

#: Most of them that are remembered.
_LONGEST_ROW = 100

#: Seconds that are counted together, so that a busy worker remembers no more than an idle one.
_STEP_SECONDS = 60.0


@dataclass
class _Step:
    begins: float
    books: int = 0
    failed: int = 0
    audio_seconds: float = 0.0


class Tally:
    """Counts over the last hour, or since the start. Safe to use from several threads.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._steps: list[_Step] = []
        self._broke_on: list[str] = []
        self._took = Sums()

    @property
    def engine_is_broken(self) -> bool:
        """Whether the engine has failed on one book after the other, and spoken none between.

        Such as one whose GPU is lost to the process: it would use up the attempts of every book.
        """
        with self._lock:
            return len(self._broke_on) >= _ENGINE_ERRORS and len(set(self._broke_on)) > 1

    def add(self, ending: Ending) -> None:
        """Count one claim that ended."""
        with self._lock:
            now = self._clock()
            if not self._steps or now - self._steps[-1].begins >= _STEP_SECONDS:
                self._forget(now)
                self._steps.append(_Step(now))
            if ending.engine_broke:
                self._broke_on = [*self._broke_on[1 - _LONGEST_ROW :], ending.book_id]
            elif ending.published:
                self._broke_on = []
            step = self._steps[-1]
            step.books += ending.published
            step.failed += ending.outcome == "failed"
            step.audio_seconds += ending.audio_seconds
            characters = ending.facts.get("characters")
            if ending.published and is_count(characters, 1):
                self._took = self._took.then(characters, ending.seconds)

    def _forget(self, now: float) -> None:
        self._steps = [step for step in self._steps if now - step.begins < WINDOW_SECONDS]

    @property
    def pace(self) -> Pace | None:
        """What a book took of late, from claim to end; None before the first."""
        with self._lock:
            return self._took.pace

    def as_record(self) -> dict[str, Any]:
        """How long it counted, and what.

        ``{seconds, books, failed, audioSeconds, took}``; the last of books that were published
        (``queue.forecast.Sums``), however long ago; absent before the first.
        """
        with self._lock:
            now = self._clock()
            self._forget(now)
            took = self._took
            return {
                "seconds": round(min(WINDOW_SECONDS, now - self._started), 1),
                "books": sum(step.books for step in self._steps),
                "failed": sum(step.failed for step in self._steps),
                "audioSeconds": round(sum(step.audio_seconds for step in self._steps), 1),
                **({"took": took.as_record()} if took.books else {}),
            }
