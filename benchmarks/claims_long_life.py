"""Memory, threads and file descriptors of one daemon over a long life.

    python -m benchmarks.claims_long_life [BOOKS]

Books of two seconds each through the tone engine, a hundred waiting at a time; narrated books are
deleted, so that the database stays small and only the daemon can grow. The first row is taken after
a tenth of the books, when everything has been used once.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from benchmarks.common import daemon, frontend, status_changes, wait_until
from benchmarks.reporting import report
from narrator_daemon.emulator import LocalFirebase

_BATCH = 100


def measure(pid: int) -> dict[str, float]:
    """What a process holds now."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {
        "rss_mib": int(status["VmRSS"].split()[0]) / 1024,
        "threads": int(status["Threads"]),
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


def main(count: int) -> None:
    """Measure and report."""
    rows: list[dict[str, object]] = []
    ready: set[str] = set()
    started = time.monotonic()
    with LocalFirebase() as firebase, frontend(firebase) as node:

        def watch() -> None:
            for _, book_id, status in status_changes(firebase):
                if status == "ready":
                    ready.add(book_id)

        threading.Thread(target=watch, daemon=True).start()
        with daemon(firebase, WATERMARK__SELF_CHECK="false") as folder:
            pid = json.loads((folder / "state" / "state.json").read_text())["pid"]
            tenth = max(count // 10, _BATCH)
            for first in range(0, count, _BATCH):
                batch = {f"book-{number:06}": number for number in range(first, first + _BATCH)}
                shelf = {
                    book_id: {
                        "narrative": f"Book number {number} is short.",
                        "narrativeAudioStatus": "requested",
                    }
                    for book_id, number in batch.items()
                }
                node("/books").set(shelf)
                wait_until(lambda batch=batch: ready >= batch.keys(), 60 + _BATCH)
                ready.clear()
                done = first + _BATCH
                if done % tenth == 0:
                    time.sleep(1.0)  # the last answers are under way
                    seconds = time.monotonic() - started
                    rows.append({"books": done, **measure(pid), "seconds": round(seconds)})
    report("claims_long_life", rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
