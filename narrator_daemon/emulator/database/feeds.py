"""What a listener hears: the events of a path, or of a filtered query, commit by commit.

A feed knows no HTTP: it observes the tree and hands finished events to a sink, so that an event
stream and any other connection can carry them.

Source: https://firebase.google.com/docs/reference/rest/database#section-streaming
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from narrator_daemon.emulator.database.query import Indexes, Query
from narrator_daemon.emulator.database.tree import (
    Commit,
    Tree,
    children_changed,
    starts_with,
)
from narrator_daemon.emulator.database.values import (
    PRIORITY,
    Path,
    Value,
    render,
    same,
    value_at,
)


@dataclass(frozen=True, slots=True)
class Event:
    """One ``put`` or ``patch``.

    Attributes:
        name: ``put`` or ``patch``.
        path: where, relative to the feed's path; ``/`` is that path itself.
        data: the value that is there now, as JSON; for ``patch`` a dict of such by relative path.
    """

    name: str
    path: str
    data: object


Sink: TypeAlias = Callable[[Event], None]


def _text(path: Path) -> str:
    return "/" + "/".join(path)


class Feed(ABC):
    """What one listener hears.

    Args:
        tree: what is listened to.
        path: where.
        sink: gets the events.
        export: whether priorities are sent along, as the REST API's ``format=export`` does.
    """

    def __init__(self, tree: Tree, path: Path, sink: Sink, *, export: bool = False) -> None:
        self._tree = tree
        self._path = path
        self._sink = sink
        self._export = export

    def open(self, *, known: bool = False) -> None:
        """Send the value as it is, unless it is known, and every change from now on."""
        self._tree.observers.add(self._path, self)
        if known:
            self._follow()
        else:
            self._whole()

    def close(self) -> None:
        """Send no more."""
        self._tree.observers.remove(self._path, self)

    @abstractmethod
    def current(self) -> Value:
        """The value as it is. Read it before the next write."""

    @abstractmethod
    def committed(self, commit: Commit) -> None:
        """Follow a commit."""

    @abstractmethod
    def _follow(self) -> None:
        """Take what the tree holds now as what the listener knows."""

    def _whole(self) -> None:
        self._follow()
        self._put((), self.current())

    def _put(self, path: Path, value: Value) -> None:
        self._sink(Event("put", _text(path), render(value, export=self._export)))

    def _send_commit(self, commit: Commit, values: Mapping[Path, Value]) -> None:
        """The one event of a commit.

        Args:
            commit: what was written.
            values: what is there now, at places below the listener's.
        """
        if not self._export:
            # A stream shows no priorities.
            values = {path: value for path, value in values.items() if path[-1] != PRIORITY}
        if not values:
            return
        at = self._updated(commit, values)
        if at is None and len(values) == 1:
            for path, value in values.items():
                self._put(path, value)
            return
        at = at or ()
        data = {
            "/".join(path[len(at) :]): render(value, export=self._export)
            for path, value in values.items()
        }
        self._sink(Event("patch", _text(at), data))

    def _updated(self, commit: Commit, values: Mapping[Path, Value]) -> Path | None:
        """Where an update of children was, if all that is to be sent lies below it."""
        if not commit.merge:
            return None
        at = commit.location[len(self._path) :]
        holds_all = all(len(path) > len(at) and starts_with(path, at) for path in values)
        return at if holds_all else None


class PathFeed(Feed):
    """The events of one path."""

    def current(self) -> Value:
        """The value of the path. Read it before the next write."""
        return self._tree.get(self._path)

    def committed(self, commit: Commit) -> None:
        """Follow a commit."""
        below = []
        for change in commit.changes:
            if starts_with(self._path, change.path):
                inside = self._path[len(change.path) :]
                if not same(value_at(change.old, inside), value_at(change.new, inside)):
                    self._whole()
                return
            if starts_with(change.path, self._path):
                below.append(change)
        base = len(self._path)
        self._send_commit(commit, {change.path[base:]: change.new for change in below})

    def _follow(self) -> None:
        # Every change below is sent, whatever the listener knew before.
        pass


class QueryFeed(Feed):
    """The events of one filtered query.

    A child that comes in is sent whole, a child that goes out is sent as null, what happens to the
    others is not sent. Without limits a commit costs no more than the children it has changed;
    with a limit it costs the limit too, as one child can push another out.
    """

    def __init__(
        self,
        tree: Tree,
        indexes: Indexes,
        path: Path,
        query: Query,
        sink: Sink,
        *,
        export: bool = False,
    ) -> None:
        super().__init__(tree, path, sink, export=export)
        self._index = indexes.on(path, query.order)
        self._query = query
        self._members: set[str] = set()

    def current(self) -> Value:
        """The children that the query wants. Read them before the next write."""
        return {key: self._child(key) for key in self._index.keys(self._query)} or None

    def committed(self, commit: Commit) -> None:
        """Follow a commit."""
        if any(starts_with(self._path, change.path) for change in commit.changes):
            self._whole()
            return
        changed = children_changed(commit, self._path)
        gone, come = self._moves(changed)
        self._members.difference_update(gone)
        self._members.update(come)
        values: dict[Path, Value] = {(key,): None for key in gone}
        values.update(((key,), self._child(key)) for key in come)
        depth = len(self._path)
        for change in commit.changes:
            if starts_with(change.path, self._path):
                path = change.path[depth:]
                if path[0] in self._members and path[:1] not in values:
                    values[path] = change.new
        self._send_commit(commit, values)

    def _moves(self, changed: list[str]) -> tuple[list[str], list[str]]:
        """The children that have left and those that have come in."""
        if self._query.limited:
            wanted = list(self._index.keys(self._query))
            gone = self._members.difference(wanted)
            return sorted(gone), [key for key in wanted if key not in self._members]
        left: list[str] = []
        entered: list[str] = []
        for key in changed:
            entry = self._index.entry(key)
            inside = entry is not None and self._query.accepts(entry)
            if inside != (key in self._members):
                (entered if inside else left).append(key)
        return left, entered

    def _follow(self) -> None:
        self._members = set(self._index.keys(self._query))

    def _child(self, key: str) -> Value:
        return self._tree.get((*self._path, key))
