"""Many histories at once, one told step by step, or mutants hunted.

``python -m tests.simulation --histories 100000`` runs that many, on as many processes as there are
cores, and prints the seeds that fail, shortened. ``--seed N`` tells one, and with ``--allowed``
only what is named there goes wrong in it. ``--mutants`` says how many seeds each mutant survives.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.simulation import mutants
from tests.simulation.histories import run, shortened, simulated
from tests.simulation.hunt import seeds_until_found

#: Seeds that a process takes at a time.
_BATCH = 50


def _batch(seeds: range) -> list[dict[str, Any]]:
    """What became of some seeds."""
    found = []
    with simulated():
        for seed in seeds:
            try:
                told = run(seed)
            except Exception as error:
                found.append({"seed": seed, "violation": f"the simulation itself: {error!r}"})
                continue
            if told.violation is not None:
                told = shortened(told)
                found.append(
                    {
                        "seed": seed,
                        "violation": str(told.violation),
                        "kind": told.violation.kind if told.violation else "",
                        "allowed": told.fired,
                    }
                )
    return found


def _batches(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, _BATCH):
        yield range(start, min(start + _BATCH, first + count))


def histories(first: int, count: int, processes: int, log: Path | None) -> int:
    """Run histories; gives how many violate something."""
    began, done, failed = time.time(), 0, 0
    pool = multiprocessing.Pool(processes, maxtasksperchild=20)
    with pool:
        batches = list(_batches(first, count))
        for seeds, found in zip(batches, pool.imap(_batch, batches), strict=True):
            done += len(seeds)
            failed += len(found)
            for one in found:
                print(json.dumps(one), flush=True)
            if log is not None:
                hours = (time.time() - began) / 3600
                state = {"from": first, "histories": done, "violations": failed}
                state["an hour"] = round(done / hours)
                log.write_text(json.dumps(state) + "\n", encoding="utf-8")
        pool.close()
        pool.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    hours = (time.time() - began) / 3600
    print(
        f"{done} histories from seed {first}, {failed} violations, {hours * 3600:.0f} s on "
        f"{processes} processes: {done / hours:,.0f} an hour, {done / cpu:.1f} for a second of CPU"
    )
    return failed


def tell(seed: int, allowed: frozenset[str] | None) -> int:
    """Tell a history step by step."""
    with simulated():
        told = run(seed, allowed, print)
    print(f"went wrong: {json.dumps(told.fired)}")
    print(told.violation or "nothing that is promised was broken")
    return told.violation is not None


def _hunt(named: tuple[str, int]) -> tuple[str, int | None, str]:
    name, most = named
    found = seeds_until_found(name, most)
    if found is None:
        return name, None, ""
    seeds, told = found
    return name, seeds, told.violation.kind if told.violation else ""


def hunt(names: list[str], most: int, processes: int) -> int:
    """Hunt mutants; gives how many survive."""
    survivors = 0
    print("| mutant | found after seeds | by |\n| --- | --- | --- |")
    with multiprocessing.Pool(processes, maxtasksperchild=1) as pool:
        for name, seeds, kind in pool.imap(_hunt, [(name, most) for name in names], chunksize=1):
            survivors += seeds is None
            shown = "survives" if seeds is None else str(seeds)
            print(f"| {mutants.said(name)} | {shown} | {kind} |", flush=True)
    return survivors


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--histories", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--log", type=Path, help="a file that says how far it is")
    parser.add_argument("--seed", type=int, help="tell this one history")
    parser.add_argument("--allowed", type=json.loads, help="what may go wrong in it, as JSON")
    parser.add_argument("--mutants", nargs="*", help="hunt these, or all")
    parser.add_argument("--most", type=int, default=1000, help="seeds for each mutant")
    given = parser.parse_args()
    if given.seed is not None:
        allowed = None if given.allowed is None else frozenset(given.allowed)
        return tell(given.seed, allowed)
    if given.mutants is not None:
        return hunt(given.mutants or list(mutants.ALL), given.most, given.processes) > 0
    return histories(given.first, given.histories, given.processes, given.log) > 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of texts is part of a history.
        os.execve(  # noqa: S606 - this program itself
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
