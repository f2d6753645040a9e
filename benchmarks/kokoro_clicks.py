"""Where the judge of clicks must stand for Kokoro: its clean segments, and the same with clicks.

    python -m benchmarks.kokoro_clicks [SEGMENTS A VOICE]

Every English voice reads other sentences of the example books; each is scored as it is, and with
six clicks of half the largest sample, a quarter and an eighth of it. The table gives, by
threshold, what is faulted. Kokoro reads from the folder that `make kokoro` brings.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import KOKORO
from benchmarks.judging.waves import span
from benchmarks.reporting import percentile, report
from csm import SAMPLE_RATE
from csm.takes import noise
from csm.takes.sound import hear
from csm.text import segment
from narrator_daemon.commands.demo import example_books
from narrator_daemon.speech.kokoro_engine import KokoroSpeech

#: How loud a click is, as a share of the largest sample.
SIZES = (0.5, 0.25, 0.125)
CLICKS = 6
THRESHOLDS = (27.0, 40.0, 50.0, 60.0, 80.0, 100.0)


def sentences() -> list[str]:
    """What is read: segments that take two to eight seconds."""
    books = [str(book["narrative"]) for book in example_books().values()]
    parts = [part.text for book in books if any(map(str.isalpha, book)) for part in segment(book)]
    return [part for part in parts if 40 <= len(part) <= 130]


def score(samples: NDArray[np.float32]) -> float:
    """As the judge scores it."""
    return noise.click(hear(samples, SAMPLE_RATE))


def clicked(
    samples: NDArray[np.float32], size: float, random: np.random.Generator
) -> NDArray[np.float32]:
    """With clicks of two samples between the first sound and the last."""
    spoiled = samples.copy()
    start, end = span(samples)
    for place in random.integers(start, end - 4, CLICKS):
        spoiled[place : place + 2] += (
            np.array([1.0, -0.8], np.float32) * size * np.abs(samples).max()
        )
    return spoiled


def main(count: int) -> None:
    """Measure and report."""
    random, texts = np.random.default_rng(5), cycle(sentences())
    clean: dict[str, list[float]] = {}
    spoiled: dict[float, list[float]] = {size: [] for size in SIZES}
    for file in sorted(Path(KOKORO, "voices").glob("[ab][fm]_*.bin")):
        engine = KokoroSpeech(model=KOKORO, voice=file.stem, at_once=1)
        engine.load()
        for spoken in engine.speak(list(islice(texts, count)), seed=7):
            clean.setdefault(file.stem, []).append(score(spoken.samples))
            for size in SIZES:
                spoiled[size].append(score(clicked(spoken.samples, size, random)))
        engine.close()
        print(file.stem, [round(one, 1) for one in clean[file.stem]], file=sys.stderr, flush=True)
    scores = [one for voice in clean.values() for one in voice]
    shares = {one: percentile(scores, one) for one in (0.5, 0.9, 0.99)}
    print(json.dumps({"clean": shares, "most": max(scores)}), file=sys.stderr)
    report(
        "kokoro_clicks",
        [
            {
                "threshold": threshold,
                "segments": len(scores),
                "clean, faulted %": 100 * float(np.mean([one > threshold for one in scores])),
                **{
                    f"clicks of {size:g}, found %": 100
                    * float(np.mean([one > threshold for one in spoiled[size]]))
                    for size in SIZES
                },
            }
            for threshold in THRESHOLDS
        ],
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
