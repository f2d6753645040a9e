"""The time as a service tells it with each of its answers, whatever this machine's clock says.

Each answer carries ``Date``: the service's clock in whole seconds, some time between the request
and the answer. Between answers the time is carried on by a clock that nobody sets. So a replica
whose wall clock is days off, or is set while it runs, signs and grants like the others.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

#: Answers that took longer say too little, in seconds.
_LONGEST_ANSWER_SECONDS = 30.0


def steady_seconds() -> float:
    """A clock that nobody sets and that goes on while the machine sleeps, where there is one."""
    kind = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if kind is None else time.clock_gettime(kind)


class ServiceClock:
    """A service's clock, as far as its answers tell. Safe to use from several threads.

    Args:
        otherwise: the time until the service has answered, epoch seconds: another service's, or
            this machine's.
        steady: carries the time on between answers, in seconds.
    """

    def __init__(
        self,
        otherwise: Callable[[], float] = time.time,
        steady: Callable[[], float] = steady_seconds,
    ) -> None:
        self._otherwise = otherwise
        self._steady = steady
        self._lock = threading.Lock()
        # Between these lies the service's time less the steady one; none is known at first.
        self._least, self._most = -math.inf, math.inf

    @property
    def known(self) -> bool:
        """Whether the service has said what time it is."""
        return math.isfinite(self._least)

    def take_in(self, date: str | None, seconds: float) -> None:
        """Take in an answer that came just now.

        Args:
            date: its ``Date`` header, if it has one.
            seconds: since it was asked for.
        """
        try:
            told = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, OverflowError):
            return
        if not 0 <= seconds <= _LONGEST_ANSWER_SECONDS:
            return
        now = self._steady()
        # Written at the end of that second at the latest, and no sooner than it was asked for.
        least, most = told - now, told + 1.0 - (now - seconds)
        with self._lock:
            both = max(least, self._least), min(most, self._most)
            # What contradicts is believed: clocks drift, and services' clocks are set.
            self._least, self._most = both if both[0] <= both[1] else (least, most)

    def see(self, response: Any, *_: object, **__: object) -> None:
        """The same from an answer of ``requests``, as one of its hooks."""
        # What stands between may keep its own time in errors, and an old one in what it has kept.
        if response.status_code < 500 and response.headers.get("Age", "0") == "0":
            self.take_in(response.headers.get("Date"), response.elapsed.total_seconds())

    def now(self) -> float:
        """The service's time, epoch seconds: right to a second where its answers are quick."""
        with self._lock:
            if self.known:
                return self._steady() + (self._least + self._most) / 2
        return self._otherwise()

    def now_ms(self) -> int:
        """The same in epoch milliseconds."""
        return int(self.now() * 1000)
