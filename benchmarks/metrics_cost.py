"""What metrics cost: a daemon's CPU for each book without them, and with a scrape every second.

    python -m benchmarks.metrics_cost [BOOKS] [RUNS]

Tone engine, two seconds of speech a book, self-check off. Off and on take turns, so that a machine
that gets slower or faster does so for both. CPU is the daemon's own, user and system, from its
start to the last book; a scrape's time is what the one who asks waits.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

import requests

from benchmarks.common import daemon, status_changes, wait_until
from benchmarks.reporting import median, report
from narrator_daemon.emulator import LocalFirebase


def cpu_seconds(process_id: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def run(count: int, port: int) -> dict[str, float]:
    """One run; port 0 is without metrics."""
    shelf = {
        f"book-{number:05}": {
            "narrative": f"Book number {number} is short.",
            "narrativeAudioStatus": "requested",
        }
        for number in range(count)
    }
    ready: list[float] = []
    scrapes: list[float] = []
    sizes = [0]
    over = threading.Event()
    with LocalFirebase() as firebase:
        firebase.load("/books", shelf)

        def watch() -> None:
            for at, _, status in status_changes(firebase):
                if status == "ready":
                    ready.append(at)

        def scrape() -> None:
            while not over.wait(1.0):
                started = time.monotonic()
                answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
                scrapes.append(time.monotonic() - started)
                sizes.append(len(answer.content))

        threading.Thread(target=watch, daemon=True).start()
        settings = {"WATERMARK__SELF_CHECK": "false", "METRICS__PORT": port}
        with daemon(firebase, **settings) as folder:
            if port:
                threading.Thread(target=scrape, daemon=True).start()
            process_id = json.loads((folder / "state" / "state.json").read_text())["pid"]
            wait_until(lambda: len(ready) >= count, 30 + count)
            spent = cpu_seconds(process_id)
            over.set()
    return {
        "cpu_ms_a_book": 1000 * spent / count,
        "scrape_ms": 1000 * median(scrapes) if scrapes else 0.0,
        "bytes": float(max(sizes)),
    }


def main(count: int, runs: int) -> None:
    """Measure and report."""
    seen: dict[str, list[dict[str, float]]] = {"off": [], "on": []}
    for _ in range(runs):
        seen["off"].append(run(count, 0))
        seen["on"].append(run(count, free_port()))
    report(
        "metrics_cost",
        [
            {
                "metrics": name,
                "books": count,
                "runs": runs,
                **{key: median([row[key] for row in rows]) for key in rows[0]},
            }
            for name, rows in seen.items()
        ],
    )


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 300,
        int(sys.argv[2]) if len(sys.argv) > 2 else 3,
    )
