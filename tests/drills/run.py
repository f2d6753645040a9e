"""The long drills: many seeds, a table and JSON.

    python -m tests.drills.run --books 150 --daemons 4 --faults 60 --seeds 20
    python -m tests.drills.run --seed 7            # this one again, with its plan
    python -m tests.drills.run --other ../before   # half of the daemons by other sources
    python -m tests.drills.run --upgrade --daemons 4 --books 80 --seeds 5 [--other ../before]

Columns: narrations published; books failed, and of those for lost workers; claims, those given
back, those lost to other replicas, and of those for no reason of the plan's (a replica that was too
slow to beat); objects swept; then what must be 0, such as secrets told in logs or database. Exits
with 1 when a seed was not survived; the logs of its daemons are kept, and their folder named.

With ``--upgrade`` a fleet is replaced daemon by daemon while it works (``tests.drills.upgrade``),
as many times as there are seeds. Columns: narrations published; claims, those given back and those
lost; books that an old daemon began and a new one ended, and those that needed a second attempt.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from narrator_daemon import logs
from tests.drills import drill, upgrade
from tests.drills.plan import TTL_SECONDS, make_plan


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drills.run")
    parser.add_argument("--books", type=int, default=150)
    parser.add_argument("--daemons", type=int, default=4)
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=60.0, help="over which they are spread")
    parser.add_argument(
        "--ttl", type=float, default=TTL_SECONDS, help="seconds that a lease lives; more where busy"
    )
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seed", type=int, help="this one alone, and print its plan")
    parser.add_argument("--upgrade", action="store_true", help="an upgrade in place of faults")
    parser.add_argument("--other", type=Path, help="a folder with the sources of another version")
    parser.add_argument(
        "--patience",
        type=float,
        default=drill.PATIENCE,
        help="seconds for daemons to be ready, and after the last fault for every book to end",
    )
    parser.add_argument("--json", type=Path, help="where the rows go as JSON")
    asked = parser.parse_args()
    logs.configure("warning", "auto")
    if asked.upgrade:
        return _upgrades(asked)
    seeds = (
        [asked.seed]
        if asked.seed is not None
        else range(asked.first_seed, asked.first_seed + asked.seeds)
    )
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        plan = make_plan(
            seed,
            books=asked.books,
            daemons=asked.daemons,
            faults=asked.faults,
            seconds=asked.seconds,
            ttl=asked.ttl,
        )
        if asked.seed is not None:
            print(plan)
        folder = Path(tempfile.mkdtemp(prefix=f"drill-{seed}-"))
        other = asked.other and asked.other.resolve()
        result = drill.run(plan, folder, patience=asked.patience, other=other)
        _add(rows, result.row(), asked.json)
        if result.violations:
            print(f"{result}\nlogs: {folder}", flush=True)
        else:
            shutil.rmtree(folder)
    survived = sum(
        not any(row[kind] for kind in ("books_lost", "duplicates", "ghosts", "secrets", "other"))
        for row in rows
    )
    print(f"{survived} of {len(rows)} seeds survived")
    return 0 if survived == len(rows) else 1


def _add(rows: list[dict[str, Any]], row: dict[str, Any], record: Path | None) -> None:
    """Print a row, below the names of its columns where it is the first, and keep all as JSON."""
    if not rows:
        print("  ".join(row))
    rows.append(row)
    print("  ".join(str(value).rjust(len(name)) for name, value in row.items()), flush=True)
    if record is not None:
        record.write_text(json.dumps(rows, indent=2) + "\n")


def _upgrades(asked: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = []
    for _ in range(asked.seeds):
        folder = Path(tempfile.mkdtemp(prefix="upgrade-"))
        result = upgrade.run(
            folder,
            daemons=asked.daemons,
            books=asked.books,
            other=asked.other and asked.other.resolve(),
            ttl=max(asked.ttl, 6.0),
            patience=asked.patience,
        )
        _add(rows, result.row(), asked.json)
        if result.violations:
            print("\n".join([*result.violations, f"logs: {folder}"]), flush=True)
        else:
            shutil.rmtree(folder)
    survived = sum(row["violations"] == 0 for row in rows)
    print(f"{survived} of {len(rows)} upgrades survived")
    return 0 if survived == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
