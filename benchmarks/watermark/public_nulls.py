"""Null trials of the public mark: scores where it is not, against the theory. See README.md.

The theory is for any sound made without regard to the pattern, over the draw of the pattern. So
that the tail is seen far out, each reading of a search is compared with many patterns that are
drawn as the published one is, from other constants, at every offset. Three populations: speech
without a mark; speech with the secret mark of some key; and speech with the published mark, which
another pattern must not be found in. Beside them whole searches for the published pattern.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from battery import RESULTS
from corpus import RATE, Clip, load
from held_out import load_held_out
from nulls import key_of, picture, summary
from numpy.typing import NDArray

from watermark import detect_public, embed, embed_public
from watermark.detection.features import features_of
from watermark.marking.public import CHANGES, folds, liveliest
from watermark.pattern import BANDS
from watermark.public_pattern import CONSTANT, PERIOD

POPULATIONS = ("unmarked", "secret mark", "another public mark")
#: Of the changes of pace and pitch every so many is compared.
STEP = 9


def patterns(first: int, count: int) -> NDArray[np.float32]:
    """Patterns that nobody has published, each at every offset: ``[PERIOD * BANDS, offsets]``."""
    drawn = []
    for number in range(first, first + count):
        octets = hashlib.shake_256(CONSTANT + b", trial %d" % number).digest(PERIOD * 8)
        bits = np.unpackbits(
            np.frombuffer(octets, np.uint8).reshape(PERIOD, 8), axis=1, count=BANDS
        )
        signs = 1 - 2 * bits.astype(np.float32)
        drawn += [np.roll(signs, -offset, axis=0).ravel() for offset in range(PERIOD)]
    return np.stack(drawn, axis=1)


def scores(samples: NDArray[np.float32], signs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every pattern's score at every offset on the readings of a search, flat."""
    seconds = len(samples) / RATE
    features = features_of(samples / np.float32(np.abs(samples).max()), RATE)
    found = []
    for pace, pitch in [(1.0, 1.0), *CHANGES[::STEP]]:
        length = min(12.0 / pace, seconds) if pace != 1 else seconds
        begin = liveliest(features, length)
        for folded in folds(features, begin, begin + length, pace, pitch):
            found.append(folded.ravel() @ signs / (np.linalg.norm(folded) + 1e-6))
    return np.concatenate(found)


def sound_of(population: str, clip: Clip, number: int) -> NDArray[np.float32]:
    """A clip as it is in a population."""
    if population == "unmarked":
        return clip.samples
    if population == "secret mark":
        return embed(clip.samples, RATE, key_of(70_000 + number), 5)
    return embed_public(clip.samples, RATE)


def _pieces(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Stretches of 3 and of 10 s, one behind the other."""
    return [
        samples[first : first + seconds * RATE]
        for seconds in (3, 10)
        for first in range(0, len(samples) - seconds * RATE, seconds * RATE)
    ]


def main() -> None:
    """Run, print the summary, write JSON and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patterns", type=int, default=150, help="tried on every clip")
    parser.add_argument("--clips", type=int, help="of all clips the first so many")
    arguments = parser.parse_args()
    clips = [*load(RESULTS / "clips"), *load_held_out(RESULTS / "held-out")][: arguments.clips]
    gathered: dict[str, list[NDArray[np.float32]]] = {name: [] for name in POPULATIONS}
    whole: dict[str, Any] = {"searches": 0, "false_hits": 0, "highest_score": 0.0}
    for number, clip in enumerate(clips):
        for which, population in enumerate(POPULATIONS):
            samples = sound_of(population, clip, number)
            first = (len(POPULATIONS) * number + which) * arguments.patterns
            gathered[population].append(scores(samples, patterns(first, arguments.patterns)))
            if population != "another public mark":
                for piece in (samples, *_pieces(samples)):
                    found = detect_public(piece, RATE)
                    whole["searches"] += 1
                    whole["false_hits"] += found.found
                    whole["highest_score"] = max(whole["highest_score"], found.score)
    populations = {name: np.concatenate(each) for name, each in gathered.items()}
    result: dict[str, Any] = {name: summary(values) for name, values in populations.items()}
    tails = {name: result[name]["tail"] for name in populations}
    result["whole searches"] = whole
    Path(RESULTS / "nulls-public.json").write_text(json.dumps(result, indent=1))
    Path(RESULTS / "nulls-public.svg").write_text(picture(tails))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
