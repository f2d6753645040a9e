"""From the start of a daemon with the tone engine to its first claim, and until it takes books.

    python -m benchmarks.start_time [RUNS]

One book waits. The first time ends when a frontend's stream shows it `processing`; the second when
the service manager's socket hears how many books wait, which it is told once the model is loaded.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.common import daemon_process, status_changes, wait_until
from benchmarks.reporting import median, report
from narrator_daemon.emulator import LocalFirebase


def run() -> tuple[float, float]:
    """Seconds to the claim, and to readiness."""
    with (
        LocalFirebase() as firebase,
        tempfile.TemporaryDirectory() as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        firebase.load("/books/b", {"narrative": "A sentence.", "narrativeAudioStatus": "requested"})
        claimed: list[float] = []

        def watch() -> None:
            for at, _, status in status_changes(firebase):
                if status == "processing":
                    claimed.append(at)

        threading.Thread(target=watch, daemon=True).start()
        address = str(Path(name) / "notify")
        manager.bind(address)
        manager.settimeout(60)
        os.environ["NOTIFY_SOCKET"] = address
        started = time.monotonic()
        process = daemon_process(firebase, Path(name))
        try:
            while b" books waiting, " not in manager.recv(65_536):
                pass
            ready = time.monotonic()
            wait_until(lambda: bool(claimed), 60)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        return claimed[0] - started, ready - started


def main(runs: int) -> None:
    """Measure and report."""
    seconds = [run() for _ in range(runs)]
    claims, readiness = zip(*seconds, strict=True)
    report(
        "start_time",
        [
            {
                "runs": runs,
                "claim_median_s": median(claims),
                "claim_worst_s": max(claims),
                "ready_median_s": median(readiness),
                "ready_worst_s": max(readiness),
            }
        ],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
