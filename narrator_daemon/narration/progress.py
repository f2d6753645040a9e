"""How far a narration is, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

#: Seconds of work before anything is said of the time left.
_LEAST_SECONDS = 2.0


@dataclass(frozen=True)
class Progress:
    """How far a narration is.

    Attributes:
        step: ``speech``, or ``finishing``: joins, level, watermark, the file.
        share: of the whole, 0..1; never falls.
        seconds_left: of this step; None while nothing can be said.
    """

    step: str
    share: float
    seconds_left: float | None = None


class Pace:
    """Judges the time left by the time taken.

    Args:
        total: how much there is to do, in any unit.
        done: how much of it was done before, and says nothing of the pace.
        clock: monotonic seconds.
    """

    def __init__(
        self, total: float, done: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = total
        self._before = self._done = done
        self._clock = clock
        self._started = clock()

    def advance(self, amount: float) -> None:
        """Take in that so much more is done."""
        self._done += amount

    @property
    def share(self) -> float:
        """What is done, 0..1."""
        return min(1.0, self._done / self._total) if self._total else 1.0

    @property
    def seconds_left(self) -> float | None:
        """For the rest, at the pace up to now; None in the first two seconds."""
        taken = self._clock() - self._started
        achieved = self._done - self._before
        if taken < _LEAST_SECONDS or achieved <= 0:
            return None
        return max(0.0, self._total - self._done) * taken / achieved
