"""What one idle replica asks of the database, at the default settings.

    python -m benchmarks.claims_idle [MINUTES]

With nothing waiting; and with 1,000 waiting books of 1,200 characters that may not be claimed,
because their one requester is limited to a narration a minute. Bytes are those of bodies, in both
directions, without headers.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from benchmarks.common import daemon
from benchmarks.reporting import report
from narrator_daemon.emulator import LocalFirebase

BACKLOG = 1_000
_TEXT = "A sentence of forty letters for a book. " * 30
#: Seconds that the first readings get before the count begins.
_SETTLING_SECONDS = 60.0


def measure(waiting: int, minutes: float) -> list[dict[str, object]]:
    """Rows for one state of the queue: each kind of request, and all."""
    shelf = {
        f"book-{number:05}": {
            "narrative": _TEXT,
            "narrativeAudioStatus": "requested",
            "narrativeAudioRequestedAt": 1_000_000 + number,
            "narrativeAudioRequestedBy": "eager",
        }
        for number in range(waiting)
    }
    with LocalFirebase() as firebase:
        firebase.load("/books", shelf)
        with daemon(firebase, LIMITS__REQUESTS_PER_MINUTE=1):
            time.sleep(_SETTLING_SECONDS)
            firebase.traffic.reset()
            time.sleep(60 * minutes)
            rows = firebase.traffic.rows()
    requests: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for row in rows:
        if row["service"] == "database":
            kind = f"{row['method']} {row['place']} {row['kind']}"
            requests[kind] += int(row["requests"])
            total[kind] += int(row["bytes_received"]) + int(row["bytes_sent"])
    requests["all"], total["all"] = requests.total(), total.total()
    return [
        {
            "waiting": waiting,
            "what": kind,
            "requests_a_minute": requests[kind] / minutes,
            "bytes_a_minute": round(total[kind] / minutes),
        }
        for kind in sorted(requests, key=lambda kind: -total[kind])
    ]


if __name__ == "__main__":
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    report("claims_idle", [*measure(0, minutes), *measure(BACKLOG, minutes)])
