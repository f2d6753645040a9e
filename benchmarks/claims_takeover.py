"""From SIGKILL of an owner to `processing` by another replica, at the default settings.

    python -m benchmarks.claims_takeover [SAMPLES]

Each sample is an owner of its own that is killed while its upload hangs, at a random time in its
beat; one replica with room for all is left. Promised is the TTL and two beat intervals.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.common import (
    daemon,
    daemon_process,
    frontend,
    status_changes,
    stream_is_live,
    wait_until,
)
from benchmarks.reporting import median, report
from narrator_daemon.emulator import Fault, LocalFirebase
from narrator_daemon.settings import Claims


def main(samples: int) -> None:
    """Measure and report."""
    taken_at: dict[str, list[float]] = {}
    killed_at: dict[str, float] = {}
    with (
        LocalFirebase() as firebase,
        frontend(firebase) as node,
        ExitStack() as stack,
    ):

        def watch() -> None:
            for at, book_id, status in status_changes(firebase):
                if status == "processing":
                    taken_at.setdefault(book_id, []).append(at)

        threading.Thread(target=watch, daemon=True).start()
        hung = firebase.faults.add(Fault("hang", "storage", method="POST|PUT"))
        owners: dict[str, subprocess.Popen[bytes]] = {}
        for number in range(samples):
            name = f"owner-{number}"
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            owners[name] = daemon_process(
                firebase, folder, DAEMON__WORKER_ID=name, DAEMON__BOOKS_AT_ONCE=1
            )
            stack.enter_context(owners[name])  # waits for its end, which the next line brings
            stack.callback(owners[name].kill)
            state = folder / "state" / "state.json"
            wait_until(lambda state=state: stream_is_live(state), 60)
        books = {
            f"book-{number}": {
                "narrative": "A sentence that is read aloud.",
                "narrativeAudioStatus": "requested",
            }
            for number in range(samples)
        }
        node("/books").update(books)
        wait_until(lambda: len(taken_at) == samples, 60)
        stack.enter_context(daemon(firebase, DAEMON__BOOKS_AT_ONCE=samples))
        found = node("/books").get()
        owned = {book["narrativeAudioClaim"]["owner"]: key for key, book in found.items()}
        assert owned.keys() == owners.keys(), "each owner holds one book"
        for name, process in sorted(owners.items(), key=lambda _: random.random()):
            time.sleep(random.uniform(0, 10) / samples)
            process.kill()
            killed_at[owned[name]] = time.monotonic()
        wait_until(lambda: all(len(times) == 2 for times in taken_at.values()), 120)
        firebase.faults.clear(hung)
        seconds = [taken_at[book_id][1] - at for book_id, at in killed_at.items()]
    claims = Claims()
    report(
        "claims_takeover",
        [
            {
                "samples": samples,
                "median_seconds": median(seconds),
                "least_seconds": min(seconds),
                "most_seconds": max(seconds),
                "promised_seconds": claims.lease_ttl_seconds + 2 * claims.beat_seconds,
            }
        ],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
