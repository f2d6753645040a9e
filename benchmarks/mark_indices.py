"""How fast indices of new books are drawn from the one counter of a database.

    python -m benchmarks.mark_indices [REPLICAS]

Against the local Firebase whose answers on the counter take 50 ms, as those of a database far away
do: each replica is a thread that draws as fast as it can for ten seconds, one index at a time or a
block, from the first one on. What writing the index to the book's own node takes is not in it: that
is a node of each book.
"""

from __future__ import annotations

import sys
import threading
import time

import pytest

from benchmarks.reporting import report
from narrator_daemon import config
from narrator_daemon.catalogue import NEXT_MARK
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.harness.faults import Fault
from narrator_daemon.errors import Contended
from narrator_daemon.firebase.project import Project
from narrator_daemon.marks import allotment
from narrator_daemon.marks.allotment import Indices

SECONDS, TRIP_SECONDS = 10.0, 0.05


def measure(replicas: int, blocks: bool) -> dict[str, object]:
    """One row: so many replicas, with blocks or without."""
    drawn, contended = [0] * replicas, [0] * replicas
    with LocalFirebase() as firebase, pytest.MonkeyPatch.context() as patch:
        for name, value in firebase.environment().items():
            patch.setenv(name, value)
        firebase.load(f"/{NEXT_MARK}", 1)
        firebase.faults.add(Fault("slow", "database", path=NEXT_MARK, seconds=TRIP_SECONDS))
        with Project(config.load(None)) as project:
            ends_at = time.monotonic() + SECONDS

            def draw(number: int) -> None:
                indices = Indices(project)
                while time.monotonic() < ends_at:
                    try:
                        if blocks:
                            indices._next()
                        else:
                            allotment._draw(project, 1)
                        drawn[number] += 1
                    except Contended:
                        contended[number] += 1

            threads = [threading.Thread(target=draw, args=(n,)) for n in range(replicas)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    return {
        "replicas": replicas,
        "drawn": "in blocks" if blocks else "one at a time",
        "indices_a_second": round(sum(drawn) / SECONDS, 1),
        "least_of_one_replica": min(drawn),
        "gave_up": sum(contended),
    }


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]] or [1, 8]
    report("mark_indices", [measure(count, blocks) for count in given for blocks in (False, True)])
