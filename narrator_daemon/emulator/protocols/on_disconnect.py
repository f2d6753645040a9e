"""What a client wants written once it has gone.

Source: https://firebase.google.com/docs/database/web/offline-capabilities
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from narrator_daemon.emulator.database.caller import Caller
from narrator_daemon.emulator.database.database import Database, PermissionDeniedError
from narrator_daemon.emulator.database.tree import starts_with
from narrator_daemon.emulator.database.values import InvalidDataError, Path

#: Values that one connection may leave behind.
MAX_VALUES = 1000


@dataclass(frozen=True, slots=True)
class _Write:
    """A set of ``location``, or an update of several places below it."""

    location: Path
    merge: bool
    values: dict[Path, object]


class OnDisconnect:
    """The writes of one connection; rules are asked when they are left, and when they are made."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writes: list[_Write] = []

    def put(self, caller: Caller, path: Path, raw: object) -> None:
        """Set a value in the end.

        Raises:
            InvalidDataError: the data breaks a rule of the database, or there is too much of it.
            PermissionDeniedError: the security rules say no, as of now.
        """
        self._database.check_set(caller, path, raw)
        self._remember(_Write(path, False, {path: raw}))

    def merge(self, caller: Caller, path: Path, raw: Mapping[str, object]) -> None:
        """Set several children in the end, all at once; each can be cancelled on its own.

        Raises:
            InvalidDataError, PermissionDeniedError: as for `put`.
        """
        self._database.check_update(caller, path, raw)
        values = {
            (*path, *(key for key in name.split("/") if key)): item for name, item in raw.items()
        }
        self._remember(_Write(path, True, values))

    def _remember(self, write: _Write) -> None:
        for path in write.values:
            self.cancel(path)
        waiting = sum(len(earlier.values) for earlier in self._writes)
        if waiting + len(write.values) > MAX_VALUES:
            raise InvalidDataError(f"Invalid data; {MAX_VALUES} onDisconnect values at most.")
        self._writes.append(write)

    def cancel(self, path: Path) -> None:
        """Forget what was to be written at a path and below."""
        for write in self._writes:
            for known in [known for known in write.values if starts_with(known, path)]:
                del write.values[known]
        self._writes = [write for write in self._writes if write.values]

    def run(self, caller: Caller) -> None:
        """Write, in order. What the rules or the data forbid by now is left out."""
        writes, self._writes = self._writes, []
        for write in writes:
            try:
                if write.merge:
                    depth = len(write.location)
                    children = {"/".join(path[depth:]): raw for path, raw in write.values.items()}
                    self._database.update(caller, write.location, children)
                else:
                    self._database.set(caller, write.location, write.values[write.location])
            except (InvalidDataError, PermissionDeniedError):
                continue
