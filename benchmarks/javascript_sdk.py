"""Operations a second of the Firebase JavaScript SDK against the local Firebase.

    python -m benchmarks.javascript_sdk [OPERATIONS [LISTENERS]]

One client over one WebSocket, and many that listen. Needs Node.js and the packages that
``make frontend`` installs. The local Firebase runs in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.reporting import report

SCRIPT = Path(__file__).with_suffix(".mjs")
RULES = {"rules": {".read": True, ".write": True}}


def main(operations: int, listeners: int) -> None:
    """Measure and report."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as rules:
        json.dump(RULES, rules)
        rules.flush()
        serve = [sys.executable, "-m", "narrator_daemon", "emulator", "--rules", rules.name]
        emulator = subprocess.Popen(
            [*serve, "--database-port", "0", "--storage-port", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert emulator.stdout is not None
            host = json.loads(emulator.stdout.readline())["database_host"]
            node = ["node", str(SCRIPT), host, str(operations), str(listeners)]
            done = subprocess.run(node, stdout=subprocess.PIPE, check=True)
        finally:
            emulator.terminate()
            emulator.wait(10)
    report("javascript_sdk", json.loads(done.stdout))


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(*numbers, *[5000, 50][len(numbers) :])
