"""What one narration asks of the database: requests and bytes a book, and for each second of work.

    python -m benchmarks.book_traffic

The first by short books, one after another; the second by a book whose upload is held up. Counts,
not times: a slow machine changes little. Bytes are those of bodies, in both directions, without
headers. The text has 5,000 characters, and its book is read whole by each transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.common import daemon, status_changes
from benchmarks.reporting import report
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.harness.faults import Fault

BOOKS = 20
HELD_SECONDS = 30.0
#: Much text and little speech: what is counted is not how long it is read.
_TEXT = ("An almost silent text. " + "." * 5_000)[:5_000]

#: What goes on however many books there are: everyone's leases, workers, queries of what waits.
_SHARED = {("GET", "/books"), ("GET", "/narrationLeases"), ("PUT", "/narrationWorkers/*")}


def measure() -> list[dict[str, object]]:
    """A row for a book, and one for a second of work on it."""
    with LocalFirebase() as firebase:
        firebase.load("/books", {f"b{n}": {"narrative": _TEXT} for n in range(BOOKS + 1)})
        changes = status_changes(firebase)
        with daemon(firebase):
            firebase.traffic.reset()
            for number in range(BOOKS):
                _narrate(firebase, changes, f"b{number}")
            requests, size = _counted(firebase)
            slow = Fault("slow", "storage", method="POST|PUT", path="upload", seconds=HELD_SECONDS)
            firebase.faults.add(slow)
            firebase.traffic.reset()
            started = time.monotonic()
            _narrate(firebase, changes, f"b{BOOKS}")
            held = time.monotonic() - started
            more, larger = _counted(firebase)
    return [
        {"what": "a book", "requests": requests / BOOKS, "bytes": size / BOOKS},
        {
            "what": "a second of work on it",
            "requests": (more - requests / BOOKS) / held,
            "bytes": (larger - size / BOOKS) / held,
        },
    ]


def _narrate(
    firebase: LocalFirebase, changes: Iterator[tuple[float, str, str]], book_id: str
) -> None:
    firebase.load(f"/books/{book_id}/narrativeAudioStatus", "requested")
    next(status for _, book, status in changes if (book, status) == (book_id, "ready"))


def _counted(firebase: LocalFirebase) -> tuple[int, int]:
    """Requests and bytes for books so far; streams send the same whoever works."""
    rows = [
        row
        for row in firebase.traffic.rows()
        if row["service"] == "database"
        and row["kind"] not in ("stream", "query-stream")
        and (row["method"], row["place"]) not in _SHARED
    ]
    sizes = [int(row["bytes_received"]) + int(row["bytes_sent"]) for row in rows]
    return sum(int(row["requests"]) for row in rows), sum(sizes)


if __name__ == "__main__":
    report("book_traffic", measure())
