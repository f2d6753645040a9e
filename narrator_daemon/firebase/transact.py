"""Transactions that give back what was decided in them, and may end without a write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from firebase_admin import db

from narrator_daemon.errors import Contended
from narrator_daemon.firebase.answers import database_errors

T = TypeVar("T")


class _NothingToWrite(Exception):
    """Leaves the SDK's transaction without a write."""


def transact(reference: Any, decide: Callable[[Any], tuple[Any | None, T]]) -> T:
    """Run a transaction on a node; gives what was decided on what it held at last.

    The SDK's own always writes, even a value that was not changed, and gives back the value alone.

    Args:
        reference: the node (``Project.reference``).
        decide: from what the node holds to what it shall hold, or None to write nothing, and what
            the caller wants to know of it. Called again with what another wrote in between.

    Raises:
        Unavailable: the database did not answer. Whether the write was taken may not be known.
        Contended: others kept writing in between.
    """
    decisions: list[T] = []

    def update(seen: Any) -> Any:
        value, decision = decide(seen)
        decisions[:] = [decision]
        if value is None:
            raise _NothingToWrite
        return value

    with database_errors():
        try:
            reference.transaction(update)
        except _NothingToWrite:
            pass
        except db.TransactionAbortedError as error:
            raise Contended(
                "database",
                "a node changed faster than it could be written; it is read again later",
            ) from error
    return decisions[0]
