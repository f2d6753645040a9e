"""What a listener hears: the events of a path, or of a filtered query, commit by commit.

A feed knows no HTTP: it observes the tree and hands finished events to a sink, so that an event
stream and any other connection can carry them.

Source: https://firebase.google.com/docs/reference/rest/database#section-streaming
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from narrator_daemon.emulator.query import Indexes, Query
from narrator_daemon.emulator.tree import Change, Commit, Tree, children_changed, starts_with
from narrator_daemon.emulator.values import Path, Value, coerce_list, render, same, value_at


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


class PathFeed:
    """The events of one path."""

    def __init__(self, tree: Tree, path: Path, sink: Sink) -> None:
        self._tree = tree
        self._path = path
        self._sink = sink

    def open(self) -> None:
        """Send the value as it is, and every change from now on."""
        self._tree.observers.add(self._path, self)
        self._whole()

    def close(self) -> None:
        """Send no more."""
        self._tree.observers.remove(self._path, self)

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
        _send_changes(self._sink, self._path, commit, below)

    def _whole(self) -> None:
        self._sink(Event("put", "/", render(self._tree.get(self._path))))


def _send_changes(sink: Sink, base: Path, commit: Commit, changes: list[Change]) -> None:
    """The event of one commit for a listener above what has changed."""
    if not commit.merge or not changes:
        for change in changes:
            sink(Event("put", _text(change.path[len(base) :]), render(change.new)))
        return
    at = commit.location if starts_with(commit.location, base) else base
    data = {"/".join(change.path[len(at) :]): render(change.new) for change in changes}
    sink(Event("patch", _text(at[len(base) :]), data))


class QueryFeed:
    """The events of one filtered query.

    A child that comes in is sent whole, a child that goes out is sent as null, what happens to the
    others is not sent. Without limits a commit costs no more than the children it has changed;
    with a limit it costs the limit too, as one child can push another out.
    """

    def __init__(self, tree: Tree, indexes: Indexes, path: Path, query: Query, sink: Sink) -> None:
        self._tree = tree
        self._index = indexes.on(path, query.order)
        self._path = path
        self._query = query
        self._sink = sink
        self._members: set[str] = set()

    def open(self) -> None:
        """Send the children that the query wants, and every change of that from now on."""
        self._tree.observers.add(self._path, self)
        self._whole()

    def close(self) -> None:
        """Send no more."""
        self._tree.observers.remove(self._path, self)

    def committed(self, commit: Commit) -> None:
        """Follow a commit."""
        if any(starts_with(self._path, change.path) for change in commit.changes):
            self._whole()
            return
        changed = children_changed(commit, self._path)
        gone, come = self._moves(changed)
        for key in gone:
            self._members.discard(key)
            self._sink(Event("put", _text((key,)), None))
        for key in come:
            self._members.add(key)
            self._sink(Event("put", _text((key,)), render(self._child(key))))
        stayed = {key for key in changed if key in self._members}.difference(come)
        depth = len(self._path)
        _send_changes(
            self._sink,
            self._path,
            commit,
            [
                change
                for change in commit.changes
                if starts_with(change.path, self._path) and change.path[depth] in stayed
            ],
        )

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

    def _whole(self) -> None:
        keys = list(self._index.keys(self._query))
        self._members = set(keys)
        children = {key: render(self._child(key)) for key in keys}
        self._sink(Event("put", "/", coerce_list(children) if children else None))

    def _child(self, key: str) -> Value:
        return self._tree.get((*self._path, key))
