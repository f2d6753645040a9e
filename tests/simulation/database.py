"""A Realtime Database in memory: values, ETags, queries and streams, and who is told of each write.

Values are never changed in place: a write copies the nodes above it, so that a value that was read,
or that an ETag stands for, stays what it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from narrator_daemon.emulator.database.caller import Caller
from narrator_daemon.emulator.database.rules import Rules
from narrator_daemon.emulator.database.values import key_order

Path = tuple[str, ...]
Writes = list[tuple[Path, Any]]


class Denied(Exception):
    """The rules say no."""


@dataclass(frozen=True)
class Query:
    """What a query asks, by one child or by key."""

    child: str | None
    equal_to: Any = None
    start_at: Any = None
    end_at: Any = None
    first: int | None = None
    last: int | None = None

    def run(self, node: Any) -> dict[str, Any]:
        """The children of a node that it wants."""
        found = node if isinstance(node, dict) else {}
        if self.child is None:
            names = sorted(found, key=key_order)
            if self.start_at is not None:
                first = key_order(self.start_at)
                names = [name for name in names if key_order(name) >= first]
        else:
            keyed = []
            for name, record in found.items():
                value = record.get(self.child) if isinstance(record, dict) else None
                if self._wants(value):
                    keyed.append((_rank(value), key_order(name), name))
            names = [name for _, _, name in sorted(keyed)]
        if self.first is not None:
            names = names[: self.first]
        if self.last is not None:
            names = names[-self.last :]
        return {name: found[name] for name in names}

    def _wants(self, value: Any) -> bool:
        if self.equal_to is not None:
            return bool(value == self.equal_to)
        rank = _rank(value)
        if self.start_at is not None and rank < _rank(self.start_at):
            return False
        return self.end_at is None or rank <= _rank(self.end_at)


def _rank(value: Any) -> tuple[int, Any]:
    """The order of values: null, booleans, numbers, strings, objects."""
    if value is None:
        return 0, 0
    if isinstance(value, bool):
        return 1, value
    if isinstance(value, int | float):
        return 2, value
    if isinstance(value, str):
        return 3, value
    return 4, 0


@lru_cache(256)
def parse_query(text: str) -> Query | None:
    """The query in a request's parameters; None where there is none."""
    known = dict(part.split("=", 1) for part in text.split("&") if "=" in part)
    if "orderBy" not in known:
        return None
    order = json.loads(known["orderBy"])
    given = {name: json.loads(value) for name, value in known.items() if name != "print"}
    return Query(
        None if order == "$key" else order,
        given.get("equalTo"),
        given.get("startAt"),
        given.get("endAt"),
        given.get("limitToFirst"),
        given.get("limitToLast"),
    )


def copied(value: Any) -> Any:
    """A value that whoever gets it may change."""
    if isinstance(value, dict):
        return {key: copied(child) for key, child in value.items()}
    if isinstance(value, list):
        return [copied(child) for child in value]
    return value


def stored(value: Any, now_ms: int) -> Any:
    """A value as the database keeps it: without nulls and empty nodes, times filled in."""
    if isinstance(value, Mapping):
        if ".sv" in value:
            return now_ms
        kept = {str(key): stored(child, now_ms) for key, child in value.items()}
        return {key: child for key, child in kept.items() if child is not None} or None
    if isinstance(value, list | tuple):
        return [stored(child, now_ms) for child in value] or None
    return value


@dataclass
class Database:
    """The tree and whoever hears of its writes.

    Attributes:
        now_ms: the service's clock.
        root: the whole tree.
        rules: held up against each write of a caller that is no administrator; None for none.
        hears: told of each write, with the tree before it.
    """

    now_ms: Callable[[], int]
    root: dict[str, Any] = field(default_factory=dict)
    rules: Rules | None = None
    hears: list[Callable[[dict[str, Any], list[Path]], None]] = field(default_factory=list)
    # What is not there has a name of its own.
    _etags: dict[str, Any] = field(default_factory=lambda: {"null_etag": None})

    def get(self, path: Path) -> Any:
        """The value at a path; not to be changed."""
        node: Any = self.root
        for key in path:
            node = node.get(key) if isinstance(node, dict) else None
        return node

    def etag(self, value: Any) -> str:
        """A name for a value."""
        name = f"etag-{len(self._etags)}"
        self._etags[name] = value
        return name

    def is_named(self, etag: str, value: Any) -> bool:
        """Whether an ETag names this value."""
        named = self._etags[etag]
        return named is value or bool(named == value)

    def write(self, writes: Writes, caller: Caller | None = None) -> None:
        """Write all of it, at once.

        Raises:
            Denied: the rules say no.
        """
        now_ms = self.now_ms()
        values = [(path, stored(value, now_ms)) for path, value in writes]
        held = self.rules if caller is not None else None
        if held and caller and not held.may_write(caller, self.root, values, now_ms):
            raise Denied
        before = self.root
        for path, value in values:
            self.root = _with(self.root, path, value) or {}
        paths = [path for path, _ in values]
        for hear in self.hears:
            hear(before, paths)


def _with(node: Any, path: Path, value: Any) -> Any:
    """A node with another value at a path; None for a node without children."""
    if not path:
        return value
    children = dict(node) if isinstance(node, dict) else {}
    child = _with(children.get(path[0]), path[1:], value)
    if child is None:
        children.pop(path[0], None)
    else:
        children[path[0]] = child
    return children or None
