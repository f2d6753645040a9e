"""MB of text a second on one core, from raw text to segments, and its two halves.

    python -m benchmarks.text_speed [RUNS]

The example books, forty times; the best of the runs, in CPU time. Most of what the table of
normalisation cases holds follows once, so that every rule is met.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.reporting import report
from csm.text import normalise, segment
from csm.text.normalise import spoken_blocks
from csm.text.segments import pack

ROOT = Path(__file__).parent.parent


def seconds(work: Callable[[], object], runs: int) -> float:
    """The least CPU time that the work took."""
    taken = []
    for _ in range(runs):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def main(runs: int) -> None:
    """Measure and report."""
    books = json.loads((ROOT / "examples" / "books.json").read_text(encoding="utf-8"))
    cases = (ROOT / "tests" / "data" / "normalisation.tsv").read_text(encoding="utf-8")
    prose = "\n\n".join(book["narrative"] for book in books.values())
    hard = "\n\n".join(line.split("\t")[1] for line in cases.splitlines()[1:])
    rows = []
    for name, text in (("prose", prose * 40), ("prose and all cases", f"{prose}\n\n{hard}" * 20)):
        size = len(text.encode()) / 1e6
        spoken = spoken_blocks(text)
        rows.append(
            {
                "text": name,
                "MB": size,
                "MB/s": size / seconds(lambda text=text: segment(text), runs),
                "normalise MB/s": size / seconds(lambda text=text: normalise(text), runs),
                "pack MB/s": size / seconds(lambda spoken=spoken: pack(spoken, 300), runs),
            }
        )
    report("text_speed", rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
