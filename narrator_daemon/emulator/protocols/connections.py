"""The connections that stay open, event streams and WebSockets: found, checked, ended on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from narrator_daemon.emulator.database.database import Database

Wanted: TypeAlias = Callable[[str], bool]


class Connection(Protocol):
    """One client that listens."""

    @property
    def database(self) -> Database:
        """What it listens to."""

    def concerns(self, wanted: Wanted) -> bool:
        """Whether it is open and listens to a path that is wanted."""

    def check(self) -> None:
        """Cancel what the rules no longer let it listen to."""

    def cancel(self, wanted: Wanted) -> None:
        """Cancel what it listens to and is wanted."""

    def revoke(self) -> None:
        """Tell it that its credential is no longer valid."""

    def drop(self) -> None:
        """End it without a word."""

    def end(self) -> None:
        """End it as a server does that stops."""


class Connections:
    """Every open connection of a server. Belongs to one event loop."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()

    def add(self, connection: Connection) -> None:
        """Take one in."""
        self._open.add(connection)

    def remove(self, connection: Connection) -> None:
        """Forget one that has ended."""
        self._open.discard(connection)

    def cancel(self, wanted: Wanted) -> int:
        """Cancel the listeners whose path is wanted; gives the number of their connections."""
        return self._act(wanted, lambda connection: connection.cancel(wanted))

    def revoke(self, wanted: Wanted) -> int:
        """Revoke the credentials of those connections."""
        return self._act(wanted, lambda connection: connection.revoke())

    def drop(self, wanted: Wanted) -> int:
        """End those connections without a word."""
        return self._act(wanted, lambda connection: connection.drop())

    def _act(self, wanted: Wanted, act: Callable[[Connection], None]) -> int:
        found = [connection for connection in self._open if connection.concerns(wanted)]
        for connection in found:
            act(connection)
        return len(found)

    def check(self, database: Database) -> None:
        """Cancel the listeners to a database that its rules no longer allow."""
        for connection in tuple(self._open):
            if connection.database is database:
                connection.check()

    def end_all(self) -> None:
        """End every connection, as a server does that stops."""
        for connection in tuple(self._open):
            connection.end()
