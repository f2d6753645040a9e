"""Many replicas, many books at once: claims that were lost to another replica, and who won.

    python -m benchmarks.claims_contention [REPLICAS] [BOOKS]

All books are asked for in one write once every replica is ready. A lost try is a transaction that
found its book taken: at once, or when its write came second. `least_share` is the wins of the
replica that won least, as a part of BOOKS / REPLICAS.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from benchmarks.common import daemon, frontend, status_changes, wait_until
from benchmarks.reporting import report
from narrator_daemon.emulator import LocalFirebase


def verdicts(log: Path) -> Counter[str]:
    """What a replica's tries at claims came to."""
    events = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return Counter(event["verdict"] for event in events if event["event"] == "tried")


def main(replicas: int, count: int) -> None:
    """Measure and report."""
    order: list[str] = []
    ready: set[str] = set()
    with LocalFirebase() as firebase, frontend(firebase) as node, ExitStack() as stack:

        def watch() -> None:
            for _, book_id, status in status_changes(firebase):
                if status == "processing":
                    order.append(book_id)
                elif status == "ready":
                    ready.add(book_id)

        threading.Thread(target=watch, daemon=True).start()
        settings = {"WATERMARK__SELF_CHECK": "false", "LOGGING__LEVEL": "debug"}
        folders = [
            stack.enter_context(
                daemon(
                    firebase, **settings, LOGGING__FORMAT="json", DAEMON__WORKER_ID=f"replica-{one}"
                )
            )
            for one in range(replicas)
        ]
        shelf = {
            f"book-{number:04}": {
                "narrative": f"Book number {number} is short.",
                "narrativeAudioStatus": "requested",
                "narrativeAudioRequestedAt": 1_000_000 + number,
            }
            for number in range(count)
        }
        node("/books").update(shelf)
        wait_until(lambda: len(ready) >= count, 60 + count)
        seen = [verdicts(folder / "log") for folder in folders]
    wins = sorted(one["claimed"] + one["mine"] for one in seen)
    lost = sum(one["lost"] + one["leased"] for one in seen)
    # How far from its place in the order of requests a book was taken up.
    off = [abs(place - int(book_id[5:])) for place, book_id in enumerate(order)]
    report(
        "claims_contention",
        [
            {
                "replicas": replicas,
                "books": count,
                "won": sum(wins),
                "lost": lost,
                "lost_per_book": lost / count,
                "wins": " ".join(map(str, wins)),
                "least_share": wins[0] * replicas / count,
                "mean_places_off": sum(off) / len(off),
                "most_places_off": max(off),
            }
        ],
    )


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*[*numbers, *[8, 200][len(numbers) :]])
