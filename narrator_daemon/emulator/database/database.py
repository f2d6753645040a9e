"""One database: its tree, indexes, rules and journal, behind the operations that clients have."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from narrator_daemon.emulator.database.caller import Caller
from narrator_daemon.emulator.database.feeds import Feed, PathFeed, QueryFeed, Sink
from narrator_daemon.emulator.database.query import Indexes, Query
from narrator_daemon.emulator.database.rules import Rules
from narrator_daemon.emulator.database.tree import Commit, Tree
from narrator_daemon.emulator.database.values import (
    PRIORITY,
    InvalidDataError,
    Path,
    Value,
    is_valid_key,
    normalise,
)


class PermissionDeniedError(Exception):
    """The rules say no."""


class IndexMissingError(Exception):
    """A query needs an index that the rules don't name; the text is the REST API's answer."""


class Database:
    """What REST and any other connection work on. Not thread-safe: it belongs to one event loop.

    Args:
        tree: the values.
        rules: who may do what.
        clock: seconds since the epoch.

    Attributes:
        tree: the values.
        indexes: what queries are answered from.
        rules: replaced as a whole by `change_rules`.
        settings: what the Firebase CLI sets; kept, and nothing else done with it.
        rules_changed: called after that.
        committed: called with each commit.
    """

    def __init__(self, tree: Tree, rules: Rules, clock: Callable[[], float] = time.time) -> None:
        self.tree = tree
        self.indexes = Indexes(tree)
        self.rules = rules
        self.settings: dict[str, object] = {}
        self.rules_changed: list[Callable[[], None]] = []
        self.committed: list[Callable[[Commit], None]] = []
        self._clock = clock

    def now(self) -> int:
        """Server time in epoch milliseconds."""
        return int(self._clock() * 1000)

    def change_rules(self, rules: Rules) -> None:
        """Use other rules from now on; listeners they shut out are to be cancelled."""
        self.rules = rules
        for hear in self.rules_changed:
            hear()

    def may_read(self, caller: Caller, path: Path, query: Query | None = None) -> bool:
        """Whether the rules let a caller read a path, as a whole or filtered."""
        return self.rules.may_read(caller, self.tree.root, path, self.now(), query)

    def read(self, caller: Caller, path: Path) -> Value:
        """The value at a path. Render it before the next write.

        Raises:
            PermissionDeniedError: the rules say no.
        """
        if not self.may_read(caller, path):
            raise PermissionDeniedError
        return self.tree.get(path)

    def query(self, caller: Caller, path: Path, query: Query) -> dict[str, Value]:
        """The children of a path that a query wants, in its order. Render before the next write.

        Raises:
            PermissionDeniedError: the rules say no.
            IndexMissingError: the rules name no index for it.
        """
        self._check_query(caller, path, query)
        return self.indexes.run(path, query)

    def feed(
        self, caller: Caller, path: Path, query: Query | None, sink: Sink, *, export: bool = False
    ) -> Feed:
        """A feed of a path or of a query, to be opened by the caller.

        Raises:
            PermissionDeniedError: the rules say no.
            IndexMissingError: the rules name no index for the query.
        """
        if query is None:
            return self.whole_feed(caller, path, None, sink, export=export)
        self._check_query(caller, path, query)
        return QueryFeed(self.tree, self.indexes, path, query, sink, export=export)

    def whole_feed(
        self, caller: Caller, path: Path, query: Query | None, sink: Sink, *, export: bool = False
    ) -> Feed:
        """A feed of a whole path, for a client that applies the query itself.

        Raises:
            PermissionDeniedError: the rules say no.
        """
        if not self.may_read(caller, path, query):
            raise PermissionDeniedError
        return PathFeed(self.tree, path, sink, export=export)

    def _check_query(self, caller: Caller, path: Path, query: Query) -> None:
        if not self.may_read(caller, path, query):
            raise PermissionDeniedError
        name = query.order.index_name
        if name is not None and not self.rules.has_index(path, name):
            where = "/" + "/".join(path)
            raise IndexMissingError(
                f'Index not defined, add ".indexOn": "{name}", for path "{where}", to the rules'
            )

    def set(self, caller: Caller, path: Path, raw: object) -> Value:
        """Store a parsed JSON value at a path and give back what was stored.

        Raises:
            InvalidDataError: the data breaks a rule of the database.
            PermissionDeniedError: the security rules say no.
        """
        now = self.now()
        value = self._normalised(path, raw, now)
        self._write(caller, path, [(path, value)], now, merge=False)
        return value

    def update(self, caller: Caller, path: Path, raw: Mapping[str, object]) -> dict[str, Value]:
        """Store several children, named by key or by path, all at once.

        Raises:
            InvalidDataError: the data breaks a rule of the database, or one path lies in another.
            PermissionDeniedError: the security rules say no.
        """
        now = self.now()
        writes = self._children(path, raw, now)
        self._write(caller, path, writes, now, merge=True)
        return {name: value for name, (_, value) in zip(raw, writes, strict=True)}

    def check_set(self, caller: Caller, path: Path, raw: object) -> None:
        """Raise what `set` would raise, and store nothing."""
        now = self.now()
        self._check_rules(caller, [(path, self._normalised(path, raw, now))], now)

    def check_update(self, caller: Caller, path: Path, raw: Mapping[str, object]) -> None:
        """Raise what `update` would raise, and store nothing."""
        now = self.now()
        self._check_rules(caller, self._children(path, raw, now), now)

    def _children(
        self, path: Path, raw: Mapping[str, object], now: int
    ) -> list[tuple[Path, Value]]:
        writes: list[tuple[Path, Value]] = []
        for name, item in raw.items():
            where = (*path, *_update_path(name))
            writes.append((where, self._normalised(where, item, now)))
        _check_apart([where for where, _ in writes])
        return writes

    def _normalised(self, path: Path, raw: object, now: int) -> Value:
        value = normalise(raw, now=now, existing=self.tree.get(path), depth=len(path))
        if path and path[-1] == PRIORITY and isinstance(value, (bool, dict)):
            raise InvalidDataError("Invalid data; priority must be a number, a string or null.")
        return value

    def _write(
        self,
        caller: Caller,
        location: Path,
        writes: Sequence[tuple[Path, Value]],
        now: int,
        *,
        merge: bool,
    ) -> None:
        self._check_rules(caller, writes, now)
        commit = self.tree.write(location, writes, merge=merge)
        if commit is not None:
            for hear in self.committed:
                hear(commit)

    def _check_rules(self, caller: Caller, writes: Sequence[tuple[Path, Value]], now: int) -> None:
        if not self.rules.may_write(caller, self.tree.root, writes, now):
            raise PermissionDeniedError


def _update_path(name: str) -> Path:
    path = tuple(part for part in name.split("/") if part)
    keys = path[:-1] if path and path[-1] == PRIORITY else path
    if not path or not all(map(is_valid_key, keys)):
        raise InvalidDataError(
            "Invalid data; couldn't parse JSON object. "
            "Are you sending a JSON object with valid key names?"
        )
    return path


def _check_apart(paths: list[Path]) -> None:
    known = set(paths)
    if len(known) < len(paths):
        raise InvalidDataError("Invalid data; a path is given twice in one update.")
    for path in paths:
        for depth in range(1, len(path)):
            if path[:depth] in known:
                ancestor, descendant = "/".join(path[:depth]), "/".join(path)
                raise InvalidDataError(
                    f"Invalid data; path '/{ancestor}' is an ancestor of '/{descendant}'."
                )
