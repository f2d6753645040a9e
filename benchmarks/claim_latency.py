"""From `requested` written to `processing` visible, with an idle daemon.

    python -m benchmarks.claim_latency [BOOKS]

One book at a time; the next is requested once the last is ready. The clock starts when the SDK has
the answer to the frontend's write and stops when a frontend's stream shows `processing`.
"""

from __future__ import annotations

import sys
import time

from benchmarks.common import daemon, frontend, status_changes
from benchmarks.reporting import median, percentile, report
from narrator_daemon.emulator import LocalFirebase


def main(count: int) -> None:
    """Measure and report."""
    seconds = []
    with LocalFirebase() as firebase, frontend(firebase) as node, daemon(firebase):
        changes = status_changes(firebase)
        for number in range(count):
            book = node(f"books/book-{number}")
            book.set({"narrative": "A sentence that is read aloud."})
            book.update({"narrativeAudioStatus": "requested"})
            written = time.monotonic()
            for at, book_id, status in changes:
                if book_id != f"book-{number}":
                    continue
                if status == "processing":
                    seconds.append(at - written)
                elif status == "ready":
                    break
    milliseconds = [1000 * value for value in seconds]
    report(
        "claim_latency",
        [
            {
                "books": len(seconds),
                "median_ms": median(milliseconds),
                "p99_ms": percentile(milliseconds, 0.99),
                "max_ms": max(milliseconds),
            }
        ],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
