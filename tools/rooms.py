"""The rooms of the program and who leans on whom: rooms, arrows, circles, floors.

    python tools/rooms.py [FOLDER]      of this repository, or of another copy of it

A room is a folder of modules. Its ``__init__`` is its door, which those below may use where those
behind it may not, and counts as a room of its own where it imports anything; so does ``__main__``.
There is an arrow from each room to each that it imports from, wherever in a module that stands but
under ``TYPE_CHECKING``. A room's floor is the longest way down from it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("narrator_daemon", "csm", "watermark")


class House:
    """The rooms below a folder.

    Attributes:
        arrows: from a room to another, with the modules that make it: (importing, imported).
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._files = {
            ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
            for package in PACKAGES
            for path in sorted((root / package).rglob("*.py"))
        }
        self.arrows: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for module in self._files:
            for imported in set(self._imports(module)):
                ends = self._room(module), self._room(imported)
                if ends[0] != ends[1]:
                    self.arrows.setdefault(ends, []).append((module, imported))

    def _room(self, module: str) -> str:
        path = self._files[module]
        folder = path.parent.relative_to(self._root).as_posix()
        return f"{folder}/{path.stem}" if path.stem.startswith("__") else folder

    def _imports(self, module: str) -> Iterator[str]:
        for node in _carried_out(ast.parse(self._files[module].read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if name in self._files else node.module for name in inner]
            else:
                continue
            yield from (name for name in names if name in self._files)

    @property
    def rooms(self) -> list[str]:
        """Those that hold modules, and the doors that lead anywhere."""
        behind = {self._room(name) for name, path in self._files.items() if path.stem[:2] != "__"}
        return sorted(behind | {room for arrow in self.arrows for room in arrow})

    def below(self, room: str) -> set[str]:
        """All rooms that one leans on, over others too."""
        found: set[str] = set()
        waiting = [room]
        while waiting:
            at = waiting.pop()
            new = {end for begin, end in self.arrows if begin == at} - found
            found |= new
            waiting += new
        return found

    @property
    def circles(self) -> list[list[str]]:
        """Rooms that lean on each other."""
        below = {room: self.below(room) for room in self.rooms}
        found = {
            tuple(sorted(other for other in below[room] if room in below[other]))
            for room in self.rooms
            if room in below[room]
        }
        return [list(circle) for circle in sorted(found)]

    @property
    def floors(self) -> dict[str, int]:
        """The floor of each room, from 1; none that leans on a circle has one."""
        round_about = {room for circle in self.circles for room in circle}

        @cache
        def floor(room: str) -> int:
            under = {end for begin, end in self.arrows if begin == room}
            return 1 + max(map(floor, under), default=0)

        return {
            room: floor(room)
            for room in self.rooms
            if not round_about & (self.below(room) | {room})
        }


def _carried_out(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those for type checkers alone."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def main() -> int:
    """Print it; 1 where there is a circle."""
    house = House(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
    floors = house.floors
    for room in sorted(house.rooms, key=lambda room: (floors.get(room, 0), room)):
        onto = [end for begin, end in sorted(house.arrows) if begin == room]
        print(f"{floors.get(room, '-'):>3} {room}: {', '.join(onto) or 'nothing'}")
    print(f"\n{len(house.rooms)} rooms, {len(house.arrows)} arrows, {max(floors.values())} floors")
    for circle in house.circles:
        print(f"circle: {', '.join(circle)}")
        for (begin, end), made in sorted(house.arrows.items()):
            if begin in circle and end in circle:
                print(f"  {begin} → {end}: {', '.join(' → '.join(pair) for pair in made)}")
    return 1 if house.circles else 0


if __name__ == "__main__":
    sys.exit(main())
