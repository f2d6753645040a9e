"""Wall time of `narrator-daemon health --live`, on this machine as it is and with every core busy.

    python -m benchmarks.health_time [RUNS] [BUSY_PROCESSES_A_CORE]

An idle daemon runs beside it. The busy processes compete at the same priority.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.common import daemon
from benchmarks.reporting import median, report
from narrator_daemon.emulator import LocalFirebase


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that only compute."""
    spin = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(spin) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(runs: int, environment: dict[str, str]) -> list[float]:
    """Seconds of each run."""
    seconds = []
    command = [sys.executable, "-m", "narrator_daemon", "health", "--live"]
    for _ in range(runs):
        started = time.monotonic()
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL)
        seconds.append(time.monotonic() - started)
        assert done.returncode == 0
    return seconds


def main(runs: int, a_core: int) -> None:
    """Measure and report."""
    rows = []
    with LocalFirebase() as firebase, daemon(firebase) as folder:
        environment = {**os.environ, "NARRATOR_DAEMON__STATE_DIR": str(folder / "state")}
        for count in (0, a_core * (os.cpu_count() or 1)):
            with busy(count):
                seconds = measure(runs, environment)
            rows.append(
                {
                    "busy_processes": count,
                    "runs": runs,
                    "median_s": median(seconds),
                    "worst_s": max(seconds),
                }
            )
    report("health_time", rows)


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 20,
        int(sys.argv[2]) if len(sys.argv) > 2 else 4,
    )
