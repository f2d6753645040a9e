"""White noise at 10 dB on short clips, on more of them than the battery has. See README.md."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict

import numpy as np
from attacks import noise
from battery import BOOK, BOOKS, KEY, RESULTS
from corpus import RATE, load
from held_out import load_held_out

from watermark import DEFAULT_STRENGTH_DB, detect, embed

#: Lengths of the clips, seconds; from each recording as many as fit, end to end.
LENGTHS = (10, 12, 15, 18)
#: Of each recording at most.
_MOST = 2


def main() -> None:
    """Run, print a row for each length and set of recordings, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decibels", type=float, default=10)
    parser.add_argument("--strength", type=float, default=DEFAULT_STRENGTH_DB, help="dB")
    arguments = parser.parse_args()
    attack = noise(arguments.decibels)
    rows = []
    for name, clips in (
        ("tuned on", load(RESULTS / "clips")),
        ("held out", load_held_out(RESULTS / "held-out")),
    ):
        for clip in clips:
            marked = embed(clip.samples, RATE, KEY, BOOK, strength_db=arguments.strength)
            for length in LENGTHS:
                for first in range(0, len(marked) - length * RATE + 1, length * RATE)[:_MOST]:
                    copy, rate = attack(marked[first : first + length * RATE])
                    found = detect(copy, rate, KEY, BOOKS)
                    verified = found if found.found else detect(copy, rate, KEY, [BOOK])
                    rows.append(
                        {
                            "set": name,
                            "clip": clip.name,
                            "seconds": length,
                            "detected": found.book_index == BOOK,
                            "verified": verified.book_index == BOOK,
                            "wrong": found.found and found.book_index != BOOK,
                            "score": found.score,
                        }
                    )
    (RESULTS / "short-noise.json").write_text(json.dumps(rows, indent=1))
    print(
        "| recordings | seconds | copies | detected | verified | wrong |\n|---|---|---|---|---|---|"
    )
    groups = defaultdict(list)
    for row in rows:
        for name, seconds in ((row["set"], row["seconds"]), (row["set"], "all")):
            groups[name, seconds].append(row)
    for (name, seconds), each in groups.items():
        shares = (f"{np.mean([row[key] for row in each]):.0%}" for key in ("detected", "verified"))
        wrong = sum(row["wrong"] for row in each)
        print(f"| {name} | {seconds} | {len(each)} | {' | '.join(shares)} | {wrong} |")


if __name__ == "__main__":
    main()
