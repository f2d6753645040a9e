"""Books a second through one daemon with the tone engine, two seconds of speech a book.

    python -m benchmarks.throughput [BOOKS] [BOOKS_AT_ONCE ...]

All books are requested before the daemon starts; the clock runs from the first `processing` to the
last `ready` that a frontend's stream shows. The watermark's self-check is off. Database, storage
and daemon share the machine.
"""

from __future__ import annotations

import sys
import threading

from benchmarks.common import daemon, status_changes, wait_until
from benchmarks.reporting import report
from narrator_daemon.emulator import LocalFirebase


def run(count: int, at_once: int) -> dict[str, object]:
    """One run."""
    shelf = {
        f"book-{number:05}": {
            "narrative": f"Book number {number} is short.",
            "narrativeAudioStatus": "requested",
        }
        for number in range(count)
    }
    times: dict[str, list[float]] = {"processing": [], "ready": []}
    with LocalFirebase() as firebase:
        firebase.load("/books", shelf)

        def watch() -> None:
            for at, _, status in status_changes(firebase):
                times[status].append(at)

        threading.Thread(target=watch, daemon=True).start()
        with daemon(firebase, WATERMARK__SELF_CHECK="false", DAEMON__BOOKS_AT_ONCE=at_once):
            wait_until(lambda: len(times["ready"]) >= count, 30 + count)
    seconds = max(times["ready"]) - min(times["processing"])
    return {
        "books": count,
        "at_once": at_once,
        "seconds": seconds,
        "books_a_second": count / seconds,
    }


if __name__ == "__main__":
    books = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    report("throughput", [run(books, int(at_once)) for at_once in sys.argv[2:] or ["1", "2", "4"]])
