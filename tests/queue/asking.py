"""What tests of the queue ask of it."""

from __future__ import annotations

from narrator_daemon.queue.waiting import Waiting

#: Epoch milliseconds.
NOW = 1_750_000_000_000


def order(waiting: Waiting, now: float = 0.0) -> list[str]:
    """The books in the order in which they are taken, to the last."""
    taken = []
    while (candidate := waiting.take(now)) is not None:
        taken.append(candidate.book_id)
    return taken
