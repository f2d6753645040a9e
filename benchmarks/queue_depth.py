"""What it costs to know how many books wait, and how old what is known gets.

    python -m benchmarks.queue_depth [BOOKS …]

So many waiting books of 5,000 characters lie in the local Firebase. A replica's reconciler goes
round for ten minutes by a clock that is set on after each round, so that only the readings
themselves take time; and ``narrator-daemon queue`` counts once. Bytes are those of bodies.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest

from benchmarks.reporting import report
from narrator_daemon import config
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.firebase.project import Project
from narrator_daemon.housekeeping.reconciler import Reconciler
from narrator_daemon.queue import demand
from narrator_daemon.queue.waiting import Waiting

SECONDS = 600.0
_CHARACTERS = 5_000


class _Deaf:
    """In place of the reaper, which has no part in it."""

    def take_in(self, _books: object) -> None:
        """Take no notice."""


def measure(count: int) -> dict[str, object]:
    """One row: so many books."""
    shelf = {
        f"book-{number:06}": {
            "narrative": "A sentence. " * (_CHARACTERS // 12),
            "narrativeAudioStatus": "requested",
            "narrativeAudioRequestedAt": 1_750_000_000_000 + number,
        }
        for number in range(count)
    }
    with LocalFirebase() as firebase, pytest.MonkeyPatch.context() as patch:
        for name, value in firebase.environment().items():
            patch.setenv(name, value)
        firebase.load("/books", shelf)
        with Project(config.load(None)) as project:
            waiting, now, known = Waiting(), [0.0], []
            reaper: Any = _Deaf()
            reconciler = Reconciler(
                project,
                waiting,
                reaper,
                45.0,
                lambda: None,
                random_unit=lambda: 0.5,
                clock=lambda: now[0],
            )
            while now[0] < SECONDS:
                read_before = firebase.traffic.total("bytes_sent", kind="query")
                now[0] += max(0.01, reconciler.round())
                read = firebase.traffic.total("bytes_sent", kind="query") - read_before
                known.append((now[0], read))
            queries = firebase.traffic.total("requests", kind="query")
            sent = firebase.traffic.total("bytes_sent", kind="query")
            firebase.traffic.reset()
            started = time.monotonic()
            found = demand.read(project, limit=0)
            took = time.monotonic() - started
            counted = firebase.traffic.total("bytes_sent", kind="query")
    whole = [at for at, read in known if read > 0.9 * max(read for _, read in known)]
    return {
        "waiting": count,
        "depth": len(waiting),
        "queries_a_minute": round(60 * queries / now[0], 1),
        "bytes_a_second": round(sent / now[0]),
        "seconds_between_whole": round((whole[-1] - whole[0]) / max(1, len(whole) - 1), 1),
        "counted": found.claimable,
        "count_bytes": counted,
        "count_seconds": round(took, 2),
        "counted_every_seconds": round(max(5.0, found.seconds_between), 1),
    }


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]] or [90, 2_000, 10_000]
    report("queue_depth", [measure(count) for count in given])
