"""Bytes that the daemon downloads at start from a large catalogue of which little is requested.

    python -m benchmarks.start_bytes [BOOKS]

Counted by the local Firebase: bodies that it sent, from before the daemon starts until it has
narrated the requested books and ended. Beside it, what a bare listener on the catalogue would be
sent before anything else.
"""

from __future__ import annotations

import sys

from benchmarks.common import daemon, wait_until
from benchmarks.reporting import report
from narrator_daemon.emulator import LocalFirebase

REQUESTED = 3
TEXT = ("Call me Ishmael. Some years ago, never mind how long precisely. " * 80)[:5000]


def main(count: int) -> None:
    """Measure and report."""
    catalogue = {f"book-{number:06}": {"narrative": TEXT} for number in range(count)}
    for number in range(REQUESTED):
        catalogue[f"book-{number * count // REQUESTED:06}"]["narrativeAudioStatus"] = "requested"
    with LocalFirebase() as firebase:
        firebase.load("/books", catalogue)
        firebase.traffic.reset()
        with daemon(firebase):
            wait_until(lambda: finished(firebase) >= REQUESTED, 60)
    rows = [row for row in firebase.traffic.rows() if row["service"] == "database"]
    report(
        "start_bytes",
        [
            {
                "books": count,
                "requested": REQUESTED,
                "downloaded": sum(int(row["bytes_sent"]) for row in rows),
                "bare_listener": sum(len(str(book)) for book in catalogue.values()),
            }
        ],
    )
    for row in rows:
        print(f"  {row['method']:7} {row['kind']:13} {row['place']:20} {row['bytes_sent']:>8}")


def finished(firebase: LocalFirebase) -> int:
    """Books that are over: the history of each is written last."""
    return sum(
        int(row["requests"])
        for row in firebase.traffic.rows()
        if (row["method"], row["place"]) == ("PUT", "/narrationJobs/*")
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
