"""The database as rules see it: as it is, and as it would be after a write.

The state after a write is never built: it is the stored tree with the writes laid over it, looked
up as far as a rule asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from narrator_daemon.emulator.database.values import Path, Value, children_of, leaf_of, priority_of


class Node:
    """A value with writes laid over it.

    Args:
        base: the stored value.
        writes: what is to be stored, by path relative to ``base``.
    """

    __slots__ = ("_base", "_writes")

    def __init__(self, base: Value, writes: Sequence[tuple[Path, Value]] = ()) -> None:
        self._base = base
        self._writes: list[tuple[Path, Value]] = []
        for path, value in writes:
            if path:
                self._writes.append((path, value))
            else:
                self._base, self._writes = value, []
                break

    def child(self, key: str) -> Node:
        """The child of that name; a node that does not exist is a node too."""
        if key.startswith("."):
            # How priorities and leaves are kept is no business of the rules.
            return Node(None)
        base = self._base.get(key) if isinstance(self._base, dict) else None
        return Node(base, [(path[1:], value) for path, value in self._writes if path[0] == key])

    def at(self, path: Path) -> Node:
        """The node at a path below."""
        node = self
        for key in path:
            node = node.child(key)
        return node

    def children(self) -> list[str]:
        """The names of the children that exist."""
        written = dict.fromkeys(path[0] for path, _ in self._writes if path[0][0] != ".")
        stored = [key for key, _ in children_of(self._base) if key not in written]
        return stored + [key for key in written if self.child(key).exists]

    @property
    def has_children(self) -> bool:
        """Whether any child exists."""
        if not self._writes:
            return any(True for _ in children_of(self._base))
        written = {path[0] for path, _ in self._writes}
        if any(key not in written for key, _ in children_of(self._base)):
            return True
        return any(self.child(key).exists for key in written if key[0] != ".")

    @property
    def exists(self) -> bool:
        """Whether there is a value."""
        return self.leaf is not None or self.has_children

    @property
    def leaf(self) -> Value:
        """The boolean, number or string here; None for nothing and for an object."""
        leaf = leaf_of(self._base)
        if isinstance(leaf, dict) or (self._writes and self.has_children):
            return None
        return leaf

    @property
    def priority(self) -> Value:
        """The priority here, None without one."""
        for path, value in self._writes:
            if path == (".priority",):
                return value
        return priority_of(self._base)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A place in one state of the database: the rules' ``data``, ``newData`` and ``root``.

    Attributes:
        state: the root of that state.
        path: the place.
    """

    state: Node
    path: Path = ()

    @property
    def node(self) -> Node:
        """What is there."""
        return self.state.at(self.path)

    @property
    def parent(self) -> Snapshot:
        """The place above; the root's is the root itself."""
        return Snapshot(self.state, self.path[:-1])

    def child(self, path: str) -> Snapshot:
        """The place below, by a path with slashes."""
        return Snapshot(self.state, self.path + tuple(key for key in path.split("/") if key))
