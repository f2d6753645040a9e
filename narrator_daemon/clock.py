"""Wall-clock times: epoch milliseconds, as the database keeps them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from narrator_daemon.catalogue import is_number
from narrator_daemon.errors import WrongUse

#: The oldest request whose age is believed, in seconds: ten years.
_OLDEST_SECONDS = 10 * 365 * 86_400


def now_ms() -> int:
    """The wall clock, epoch milliseconds."""
    return time.time_ns() // 1_000_000


def seconds_since(requested_at: object, now_ms: int) -> float | None:
    """Seconds since a request; None where its time is missing or cannot be one.

    Args:
        requested_at: what the frontend wrote, of any JSON type.
        now_ms: epoch milliseconds.
    """
    if not is_number(requested_at):
        return None
    seconds = (now_ms - requested_at) / 1000
    # The service's clock may be a little ahead of this machine's.
    return max(0.0, seconds) if -60 < seconds < _OLDEST_SECONDS else None


def in_utc(milliseconds: int) -> str:
    """A time for people, such as ``2025-06-15 12:00:00+00:00``.

    Args:
        milliseconds: since the epoch, as ``catalogue.moment`` gives them.
    """
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(sep=" ", timespec="seconds")


def at_time(told: str) -> int:
    """A time as an operator says it, in epoch milliseconds.

    Args:
        told: a date, or a date with a time, as in ISO 8601; in UTC unless it says otherwise.

    Raises:
        WrongUse: it is none.
    """
    try:
        at = datetime.fromisoformat(told)
    except ValueError:
        raise WrongUse(
            f"{told!r} is no time: say a date such as 2026-05-31 or 2026-05-31T18:00, in UTC."
        ) from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
