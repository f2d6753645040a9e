"""The averaging attack: what an attacker learns by adding up, and what is left. See README.md.

The attacker is given all but the key: the code, where every file starts in the cycle, and each
cell's evidence as the detector reads it. He adds up the evidence of all cells that lie at the same
place of the cycle, takes the likeliest size of the mark there (the posterior mean), and turns the
gain back by so much.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from attacks import codec
from battery import BOOK, BOOKS, KEY, RESULTS
from corpus import RATE, hour
from numpy.typing import NDArray

from watermark import DEFAULT_STRENGTH_DB, detect, embed
from watermark.detection.acquisition import UNCHANGED, read_cells
from watermark.detection.features import features_of
from watermark.marking.embedding import Embedder
from watermark.pattern import (
    BANDS,
    BLOCK_CELLS,
    CELL_SECONDS,
    CYCLE_CELLS,
    DATA_BANDS,
    PILOT_BANDS,
    pattern_of,
)

_CYCLE_HOURS = CYCLE_CELLS * CELL_SECONDS / 3600
_CHUNK = 700


def evidence_of(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Evidence of every cell of a file that starts where its mark does, ``[cells, BANDS]``."""
    out = []
    for first in range(0, int(len(samples) / RATE / CELL_SECONDS), _CHUNK):
        begin = round(first * CELL_SECONDS * RATE)
        chunk = samples[begin : begin + round(_CHUNK * CELL_SECONDS * RATE)]
        seconds = (np.arange(int(len(chunk) / RATE / CELL_SECONDS)) + 7 / 16) * CELL_SECONDS
        out.append(read_cells(features_of(chunk, RATE), UNCHANGED, seconds, np.arange(BANDS)))
    return np.concatenate(out)


class _Estimate:
    """Stands in for the pattern when the attacker turns gains back."""

    def __init__(self, signs: NDArray[np.float32]) -> None:
        self._signs = signs

    def book_signs(self, codeword: object, places: NDArray[np.intp]) -> NDArray[np.float32]:
        return -self._signs[np.clip(places, 0, len(self._signs) - 1)]


def turned_back(samples: NDArray[np.float32], estimate: NDArray[np.float32]) -> NDArray[np.float32]:
    """The attacker's copy: each cell's gain undone as far as he knows it."""
    embedder = Embedder(RATE, KEY, 0)
    embedder._pattern, embedder._start = _Estimate(estimate), 0  # type: ignore[assignment]
    return np.concatenate([embedder.feed(samples), embedder.finish()])


def learned(
    cells: NDArray[np.float32], right: NDArray[np.float32], files: float, draw: np.random.Generator
) -> NDArray[np.float32]:
    """The attacker's estimate of each cell's sign from so many files at the same place.

    Each file's evidence is drawn from the cells measured on the real hour, in the same band.
    """
    count, bands = right.shape
    toward = cells * right
    power = np.square(cells).mean(axis=0)
    strength = toward.mean(axis=0)
    total = np.zeros_like(right)
    whole = int(files) + (draw.random(right.shape) < files % 1)
    for each in range(int(whole.max())):
        rows = draw.integers(0, count, right.shape)
        total += np.where(each < whole, toward[rows, np.arange(bands)], 0)
    # The posterior mean of a sign whose evidence is normal.
    return (np.tanh(total * strength / power) * right).astype(np.float32)


def judged(samples: NDArray[np.float32], *, thorough: bool) -> dict[str, Any]:
    """How detection fares on clips of it, and a thorough blind search where asked."""
    result: dict[str, Any] = {}
    mp3 = codec("mp3", "-c:a", "libmp3lame", "-b:a", "64k")
    for seconds in (60, 20, 10):
        for name, attack in (("", None), (", MP3 64", mp3)):
            hits, exact, searched, scores = 0, 0, 0, []
            starts = range(100, 1700, 200)
            for start in starts:
                clip = samples[start * RATE : (start + seconds) * RATE]
                clip = attack(clip)[0] if attack else clip
                found = detect(clip, RATE, KEY, BOOKS)
                hits += found.book_index == BOOK
                exact += detect(clip, RATE, KEY).book_index == BOOK
                if thorough:
                    searched += detect(clip, RATE, KEY, thorough=True).book_index == BOOK
                scores.append(found.score)
            result[f"{seconds} s{name}"] = {
                "detected": f"{hits}/{len(starts)}",
                "exact": f"{exact}/{len(starts)}",
                "median_score": round(float(np.median(scores)), 1),
            }
            if thorough:
                result[f"{seconds} s{name}"]["thorough"] = f"{searched}/{len(starts)}"
    return result


def main() -> None:
    """Run, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--last", action="store_true", help="judge the hundred books alone")
    arguments = parser.parse_args()
    draw = np.random.default_rng(5)
    plain = hour(RESULTS / "hour")
    begin = time.process_time()
    marked = embed(plain, RATE, KEY, BOOK)
    embedding = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pattern = pattern_of(KEY)
    cells = evidence_of(marked)
    places = pattern.start(BOOK) + np.arange(len(cells))
    right = pattern.book_signs(pattern.codeword(BOOK), places).astype(np.float32)
    per_cell = (cells * right).mean(axis=0) / np.sqrt(np.square(cells).mean(axis=0))
    # One real hour, folded at a block's length and at the best of many other lengths.
    folds = {}
    for period in (BLOCK_CELLS, 48, 200, 1_000, 7_000):
        rows = np.arange(len(cells)) % period
        folded = np.zeros((period, BANDS))
        np.add.at(folded, rows, cells)
        guess = folded[rows]
        # The cell itself is taken out: it is what is to be guessed.
        guess = guess - cells
        norm = np.sqrt(np.square(guess).sum())
        folds[period] = round(float((guess * right).sum() / norm), 2)
    result: dict[str, Any] = {
        "embed_cpu_seconds": round(embedding, 2),
        "embed_peak_mib": round(peak),
        "deviations_per_cell": round(float(per_cell.mean()), 3),
        "one_hour": {
            "score_of_folded_estimate_by_period": folds,
            "deviations_per_cell_if_it_repeated_every_4_s": round(
                float(per_cell.mean() * np.sqrt(3600 / 4.096)), 2
            ),
        },
        "untouched": judged(marked, thorough=False) if not arguments.last else {},
    }
    silent = np.zeros_like(right)
    for name, files, data_too in (
        ("ten hours of one book", 10 / _CYCLE_HOURS, True),
        ("a hundred books of an hour", 100 / _CYCLE_HOURS, False),
    ):
        if data_too and arguments.last:
            continue
        estimate = learned(cells, right, files, draw)
        if not data_too:
            # Other books' data have other signs there: their sum says nothing of this one's.
            noise = silent.copy()
            rows = draw.integers(0, len(cells), right.shape)
            flips = draw.choice([-1.0, 1.0], right.shape)
            noise = cells[rows, np.arange(BANDS)] * flips * np.sqrt(files)
            power = np.square(cells).mean(axis=0)
            strength = (cells * right).mean(axis=0)
            guess = np.tanh(noise * strength / power).astype(np.float32)
            estimate[:, DATA_BANDS] = guess[:, DATA_BANDS]
        left = 1 - (estimate * right).mean(axis=0)
        result[name] = {
            "files_at_a_place": round(files, 2),
            "deviations_per_cell": round(float(per_cell.mean() * np.sqrt(files)), 2),
            "pilot_left": round(float(left[PILOT_BANDS].mean()), 3),
            "data_left": round(float(left[DATA_BANDS].mean()), 3),
            "after_subtraction": judged(turned_back(marked, estimate), thorough=not data_too),
        }
    result["strength_db"] = DEFAULT_STRENGTH_DB
    Path(RESULTS / "averaging.json").write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
