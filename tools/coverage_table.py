"""Coverage by package, as a table: coverage_table.py coverage.json.

What `coverage json` measured, added up by the folders of the packages. Fails below the floor.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

#: Per cent of lines and of ways at branches, all packages together, that must be reached.
FLOOR = (96.0, 91.0)


def packages(files: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Sums of each folder; files at the top of a package count as the package's own.

    Args:
        files: ``files`` of coverage's JSON, by their paths from the repository's root.
    """
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for name, file in sorted(files.items()):
        top, *folders = PurePath(name).parent.parts
        sums[f"{top}/{folders[0]}" if folders else top].update(
            {key: value for key, value in file["summary"].items() if isinstance(value, int)}
        )
    return dict(sums)


def shares(sums: Mapping[str, int]) -> tuple[float, float]:
    """Per cent of lines and of ways at branches; 100 of nothing."""
    return (
        _share(sums["covered_lines"], sums["num_statements"]),
        _share(sums["covered_branches"], sums["num_branches"]),
    )


def _share(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 100.0


def rows(found: Mapping[str, Counter[str]]) -> Iterator[str]:
    """The table in Markdown, all together last."""
    yield "| package | lines | reached | branches | ways reached |"
    yield "| --- | --- | --- | --- | --- |"
    for name, sums in [*found.items(), ("all", sum(found.values(), Counter()))]:
        lines, ways = shares(sums)
        shown = name if name == "all" else f"`{name}`"
        yield (
            f"| {shown} | {sums['num_statements']:,} | {lines:.1f} % "
            f"| {sums['num_branches']:,} | {ways:.1f} % |"
        )


def main(path: Path) -> int:
    """Print the table; 1 where the floor is not reached."""
    found = packages(json.loads(path.read_text(encoding="utf-8"))["files"])
    print(*rows(found), sep="\n")
    reached = shares(sum(found.values(), Counter()))
    low = [
        f"{what}: {share:.1f} % of at least {floor:.0f} %"
        for what, share, floor in zip(("lines", "ways"), reached, FLOOR, strict=True)
        if share < floor
    ]
    print(*low, sep="\n", end="\n" if low else "", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
