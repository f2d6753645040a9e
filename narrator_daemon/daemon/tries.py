"""How often, and how long, a job tries again."""

from __future__ import annotations

from collections.abc import Callable

from narrator_daemon.claims.claim import MAX_BACKOFF_MS
from narrator_daemon.claims.claims import Claims
from narrator_daemon.errors import Contended, NodeRefused, Unavailable

#: Seconds in which an outcome that the database refuses is tried again, as an operator may be
#: changing rules just then. After that the book fails, or is left to be reaped.
_REFUSED_SECONDS = 10.0

#: Tries of an outcome that find the database answering to everything else, after which it is the
#: book that cannot be written.
_TRIES_ALONE = 3


def backoff_ms(attempt: int, random_unit: float) -> int:
    """Milliseconds before the next attempt: doubling from 2 s to 60 s, full jitter.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Args:
        attempt: the one that failed, from 1.
        random_unit: a number in 0..1.
    """
    ceiling = min(MAX_BACKOFF_MS, 2_000 * 2 ** min(attempt - 1, 10))
    return int(ceiling * random_unit)


class Finality:
    """Whether to go on trying to write one outcome.

    Args:
        clock: monotonic seconds.
        claims: told the outcome; asked whether the database answers at all.
        patience: seconds in which an outage is waited out, whatever it is.
    """

    def __init__(self, clock: Callable[[], float], claims: Claims, patience: float) -> None:
        self._clock = clock
        self._claims = claims
        self._patience = patience
        self._since = clock()
        self._refused_since: float | None = None
        self._alone = 0

    def reached(self, error: BaseException) -> bool:
        """Whether this error is the last: the fault is the book's, and will not pass by itself."""
        if not isinstance(error, Unavailable):
            return True
        now = self._clock()
        if isinstance(error, NodeRefused):
            if self._refused_since is None:
                self._refused_since = now
            return now - self._refused_since >= _REFUSED_SECONDS
        self._refused_since = None
        if now - self._since < self._patience:
            return False
        # For so long an outage is waited out, but not a book that alone cannot be written.
        alone = isinstance(error, Contended) or self._claims.answers()
        self._alone = self._alone + 1 if alone else 0
        return self._alone >= _TRIES_ALONE
