"""In how many short stretches the public mark is found, and what both marks cost. See README.md.

Marked as the daemon does, the secret mark beside it. Stretches lie one behind the other, of clean
copies and of recompressed ones, whatever is in them; PESQ-wb is of whole clips with the secret mark
alone and with both. On speech that nothing was tuned on unless ``--tuned``.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from attacks import RATE, Attack, Sound, codec
from battery import BOOK, KEY, RESULTS, quality
from corpus import load
from held_out import load_held_out

from watermark import detect_public, embed
from watermark.marking.public import DEFAULT_PUBLIC_DB

#: Copy, how it is made, and seconds of a stretch.
COPIES: tuple[tuple[str, Attack, int], ...] = (
    ("clean", lambda sound: (sound, RATE), 3),
    ("clean", lambda sound: (sound, RATE), 5),
    ("MP3 64 kbit/s", codec("mp3", "-c:a", "libmp3lame", "-b:a", "64k"), 10),
    ("MP3 32 kbit/s", codec("mp3", "-c:a", "libmp3lame", "-b:a", "32k"), 10),
    ("AAC 48 kbit/s", codec("m4a", "-c:a", "aac", "-b:a", "48k"), 10),
    ("Opus 24 kbit/s", codec("opus", "-c:a", "libopus", "-b:a", "24k"), 10),
)


def stretches(sound: Sound, seconds: int) -> list[Sound]:
    """One behind the other; the rest is left."""
    size = seconds * RATE
    return [sound[first : first + size] for first in range(0, len(sound) - size + 1, size)]


def main() -> None:
    """Run, print the tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--public", type=float, default=DEFAULT_PUBLIC_DB, help="dB")
    parser.add_argument("--tuned", action="store_true", help="the speech that it was tuned on")
    arguments = parser.parse_args()
    clips = load(RESULTS / "clips") if arguments.tuned else load_held_out(RESULTS / "held-out")
    rows: list[dict[str, Any]] = []
    heard = []
    for clip in clips:
        alone = embed(clip.samples, RATE, KEY, BOOK)
        both = embed(clip.samples, RATE, KEY, BOOK, public_db=arguments.public)
        heard.append([quality(clip, sound)["pesq_wb"] for sound in (alone, both)])
        for name, attack, seconds in COPIES:
            copy, _ = attack(both)
            for number, stretch in enumerate(stretches(copy, seconds)):
                found = detect_public(stretch, RATE)
                rows.append(
                    {
                        "clip": clip.name,
                        "copy": f"{name}, {seconds} s",
                        "number": number,
                        "found": found.found,
                        "score": found.score,
                    }
                )
    name = "tuned" if arguments.tuned else "held-out"
    kept = {"public_db": arguments.public, "rows": rows, "pesq_wb": heard}
    Path(RESULTS / f"public-found-{name}.json").write_text(json.dumps(kept, indent=1))
    by_copy: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_copy[row["copy"]].append(row)
    print("| copy | stretches | found | lowest score, median | clips with one missed |")
    print("| --- | --- | --- | --- | --- |")
    for copy_name, some in by_copy.items():
        scores = [row["score"] for row in some]
        missed = sorted({row["clip"] for row in some if not row["found"]})
        print(
            f"| {copy_name} | {len(some)} | {sum(row['found'] for row in some)} | "
            f"{min(scores):.1f}, {np.median(scores):.1f} | {', '.join(missed)} |"
        )
    alone_, both_ = np.array(heard).T
    print(f"PESQ-wb, secret mark alone: mean {alone_.mean():.3f}, lowest {alone_.min():.3f}")
    print(f"PESQ-wb, both: mean {both_.mean():.3f}, lowest {both_.min():.3f}")
    print(f"most that the second takes: {(alone_ - both_).max():.3f}")


if __name__ == "__main__":
    main()
