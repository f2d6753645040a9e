"""Copies of one text for several books, averaged: how many of them still show. See README.md.

Each of N colluders has the same narration with a mark of his own; all are averaged, sample by
sample, or a median is taken, and the result is looked for among 1,000 books.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from attacks import RATE, Sound, codec
from battery import BOOKS, KEY, RESULTS
from corpus import load
from held_out import load_held_out

from watermark import detect, embed

#: How many average, and lengths of what they have, seconds.
NUMBERS = (2, 3, 4, 5, 7, 10)
LENGTHS = (30, 60, 180)


def speech(held: bool) -> Sound:
    """The clips of one set end to end, without those that a telephone had."""
    clips = load_held_out(RESULTS / "held-out") if held else load(RESULTS / "clips")
    return np.concatenate([c.samples for c in clips if not c.name.startswith("telephone")])


def main() -> None:
    """Run, print a row for each number and length, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--held-out", action="store_true", help="speech nothing was tuned on")
    parser.add_argument("--most", type=int, default=3, help="stretches of each length")
    parser.add_argument("--mp3", action="store_true", help="averaged copies as MP3, 64 kbit/s")
    arguments = parser.parse_args()
    whole = speech(arguments.held_out)
    lame = codec("mp3", "-c:a", "libmp3lame", "-b:a", "64k")
    rows = []
    print("| copies averaged | seconds | stretches | found | books told | wrong | highest scores |")
    print("|---|---|---|---|---|---|---|")
    total = np.zeros_like(whole)
    for number in range(1, max(NUMBERS) + 1):
        total += embed(whole, RATE, KEY, 37 * number)
        if number not in NUMBERS:
            continue
        books = {37 * each for each in range(1, number + 1)}
        for seconds in LENGTHS:
            step = seconds * RATE
            found = []
            for first in range(0, len(whole) - step + 1, step)[: arguments.most]:
                copy = (total[first : first + step] / number).astype(np.float32)
                copy = lame(copy)[0] if arguments.mp3 else copy
                found.append(detect(copy, RATE, KEY, BOOKS))
            told = [{sighting.book_index for sighting in each.sightings} for each in found]
            wrong = sum(len(each - books) for each in told)
            rows.append(
                {
                    "copies": number,
                    "seconds": seconds,
                    "stretches": len(found),
                    "found": sum(bool(each & books) for each in told),
                    "told": [len(each & books) for each in told],
                    "wrong": wrong,
                    "scores": [round(each.score, 1) for each in found],
                }
            )
            print("| " + " | ".join(str(value) for value in rows[-1].values()) + " |", flush=True)
    name = f"collusion{'-held-out' * arguments.held_out}{'-mp3' * arguments.mp3}.json"
    (RESULTS / name).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
