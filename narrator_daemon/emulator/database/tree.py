"""The database itself: one tree of values, written in place, with observers by path.

A write costs the size of what is written and the depth of its path, whatever else the tree holds.
Observers are told of every commit that touches their path, from above or from below; REST streams
are observers (`narrator_daemon.emulator.database.feeds`), and any other connection can be one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from narrator_daemon.emulator.database.values import LEAF, PRIORITY, Path, Value, same, value_at


@dataclass(frozen=True, slots=True)
class Change:
    """One place that a commit has changed.

    Attributes:
        path: where.
        old: the value before, detached from the tree.
        new: the value after; part of the tree, so read it before the next write.
    """

    path: Path
    old: Value
    new: Value


@dataclass(frozen=True, slots=True)
class Commit:
    """One atomic write.

    Attributes:
        location: the path the request named.
        merge: True for an update of several children, False for a set.
        changes: what has changed; never empty, places that kept their value left out.
    """

    location: Path
    merge: bool
    changes: tuple[Change, ...]


class Observer(Protocol):
    """Whoever wants to hear of commits at, above or below a path."""

    def committed(self, commit: Commit) -> None:
        """Hear of a commit, right after it, before any other write."""


def starts_with(path: Path, prefix: Path) -> bool:
    """Whether ``prefix`` is ``path`` or an ancestor of it."""
    return path[: len(prefix)] == prefix


def children_changed(commit: Commit, path: Path) -> list[str]:
    """The children of ``path`` that a commit has changed from the inside or whole, each once."""
    depth = len(path)
    return list(
        dict.fromkeys(
            change.path[depth]
            for change in commit.changes
            if len(change.path) > depth and starts_with(change.path, path)
        )
    )


@dataclass(slots=True)
class _Place:
    observers: list[Observer] = field(default_factory=list)
    below: dict[str, _Place] = field(default_factory=dict)


class Observers:
    """Observers by path, found without a look at those that a path does not concern."""

    def __init__(self) -> None:
        self._root = _Place()

    def add(self, path: Path, observer: Observer) -> None:
        """Tell ``observer`` of commits that touch ``path``."""
        place = self._root
        for key in path:
            place = place.below.setdefault(key, _Place())
        place.observers.append(observer)

    def remove(self, path: Path, observer: Observer) -> None:
        """Tell it no more. An observer that is not there is no error."""
        line = [self._root]
        for key in path:
            place = line[-1].below.get(key)
            if place is None:
                return
            line.append(place)
        line[-1].observers = [o for o in line[-1].observers if o is not observer]
        for key, parent, place in zip(
            reversed(path), reversed(line[:-1]), line[:0:-1], strict=True
        ):
            if place.observers or place.below:
                break
            del parent.below[key]

    def touched(self, paths: Iterable[Path]) -> list[Observer]:
        """Those at, above or below any of the paths, each once, in order of discovery."""
        found: dict[int, Observer] = {}
        for path in paths:
            for observer in self._on(path):
                found.setdefault(id(observer), observer)
        return list(found.values())

    def _on(self, path: Path) -> Iterator[Observer]:
        place = self._root
        yield from place.observers
        for key in path:
            below = place.below.get(key)
            if below is None:
                return
            place = below
            yield from place.observers
        waiting = list(place.below.values())
        while waiting:
            place = waiting.pop()
            yield from place.observers
            waiting.extend(place.below.values())


class Tree:
    """The values of one database. Not thread-safe: it belongs to one event loop.

    Attributes:
        root: everything.
        indexes: told of a commit first, so that the observers find them up to date.
        observers: told of a commit after the indexes.
        steps: nodes looked at by writes so far.
    """

    def __init__(self, root: Value = None) -> None:
        self.root = root
        self.indexes = Observers()
        self.observers = Observers()
        self.steps = 0

    def get(self, path: Path) -> Value:
        """The value at a path, None where there is none. Read it before the next write."""
        return value_at(self.root, path)

    def write(
        self, location: Path, writes: Sequence[tuple[Path, Value]], *, merge: bool = False
    ) -> Commit | None:
        """Store values, all at once, and tell whom it concerns.

        Args:
            location: the path the request named.
            writes: absolute paths, none the ancestor of another, and normalised values.
            merge: whether this is an update of several children.

        Returns:
            The commit, or None if nothing has changed.
        """
        changes = []
        for path, value in writes:
            old = self.get(path)
            if not same(old, value):
                self._set(path, value)
                new = self.get(path)
                # A priority on nothing is nothing.
                if not same(old, new):
                    changes.append(Change(path, old, new))
        if not changes:
            return None
        commit = Commit(location, merge, tuple(changes))
        paths = [change.path for change in changes]
        for observer in self.indexes.touched(paths):
            observer.committed(commit)
        for observer in self.observers.touched(paths):
            observer.committed(commit)
        return commit

    def _set(self, path: Path, value: Value) -> None:
        self.steps += 1
        if not path:
            self.root = value
            return
        line: list[dict[str, Value]] = []
        node: Value = self.root
        for depth, key in enumerate(path):
            self.steps += 1
            if not isinstance(node, dict):
                if value is None:
                    return
                fresh: dict[str, Value] = {}
                if key == PRIORITY:
                    if node is None:
                        return
                    fresh[LEAF] = node
                node = fresh
                self._attach(line, path, depth, node)
            elif value is not None and key != PRIORITY:
                node.pop(LEAF, None)
            line.append(node)
            node = node.get(key)
        if value is not None:
            line[-1][path[-1]] = value
            return
        line[-1].pop(path[-1], None)
        if path[-1] == PRIORITY and len(line[-1]) == 1 and LEAF in line[-1]:
            self._attach(line[:-1], path, len(path) - 1, line[-1][LEAF])
            return
        for depth in range(len(line) - 1, -1, -1):
            if len(line[depth]) > (PRIORITY in line[depth]):
                return
            if depth == 0:
                self.root = None
            else:
                line[depth - 1].pop(path[depth - 1], None)

    def _attach(self, line: list[dict[str, Value]], path: Path, depth: int, node: Value) -> None:
        if depth == 0:
            self.root = node
        else:
            line[-1][path[depth - 1]] = node
