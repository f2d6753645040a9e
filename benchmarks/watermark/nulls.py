"""Null trials: scores where there is no mark to find, against the theory. See README.md.

Three populations: speech without a mark; speech marked with another key; and speech marked with
the same key for a book that is not among the candidates. The bound of ``watermark.statistics`` is
for the first two. For the third the score depends on how alike two books' coded payloads are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from battery import RESULTS
from corpus import RATE, load
from numpy.typing import NDArray
from scipy.stats import norm

from watermark import detect, embed, embed_public
from watermark.detection import public_way, scales, warps
from watermark.detection.acquisition import UNCHANGED, Line, sum_unchanged
from watermark.detection.evidence import follow, gather
from watermark.detection.features import features_of
from watermark.detection.long_files import LongFile
from watermark.detection.public_pace import likely_changes, told_tempo
from watermark.detection.public_way import search_public_way
from watermark.detection.search import Reading, reading_of, search, whole
from watermark.detection.stretches import look_up, search_stretches
from watermark.detection.thorough import search_by_data
from watermark.pattern import CELL_SECONDS, Pattern, pattern_of
from watermark.payload import encode, payload_of
from watermark.statistics import threshold

#: Candidates scored on every reading.
BOOKS = range(1_000, 3_000)
LEVELS = (2.0, 3.0, 3.5, 4.0, 4.5, 5.0)
#: Scores at which the picture has the tail.
GRID = np.arange(0, 7.01, 0.1)
#: The searches whose tails are drawn together, by their results' names.
SEARCHES = {
    "nulls": "usual",
    "nulls-changed": "cut, sped",
    "nulls-told": "tempo told",
    "nulls-warped": "ways",
    "nulls-laid-out": "laid out",
    "nulls-long": "minutes",
}


def key_of(number: int) -> bytes:
    """The key of a trial."""
    return np.random.default_rng(number).bytes(32)


def scores(samples: NDArray[np.float32], key: bytes) -> NDArray[np.float32]:
    """Every candidate's score on every reading of a search, flat."""
    pattern = pattern_of(key)
    seconds = len(samples) / RATE
    features = features_of(samples, RATE)
    sums = sum_unchanged(pattern, features, 0.0, seconds)
    return _scored(pattern, key, search(pattern, features, seconds, sums))


def changed_scores(samples: NDArray[np.float32], key: bytes) -> NDArray[np.float32]:
    """The same on readings of short stretches, and of copies held to play at another speed.

    Where there is no mark these searches mostly give nothing to score. So that there is something,
    jumps are made cheap here and guesses go on however badly they hold up: the way is chosen by
    the pilot all the more.
    """
    pattern = pattern_of(key)
    seconds = len(samples) / RATE
    features = features_of(samples, RATE)
    readings = search_stretches(pattern, features, seconds, UNCHANGED, jump=8.0)
    lines = scales.find_changes(pattern, features, samples, RATE)
    readings += _along(pattern, lines, samples)
    return _scored(pattern, key, readings)


def _along(pattern: Pattern, lines: list[Line], samples: NDArray[np.float32]) -> list[Reading]:
    """Readings along lines of copies at another speed, of all of it and as if it was cut."""
    seconds, readings = len(samples) / RATE, []
    for line in lines:
        read = scales.read_as(line.change, samples, RATE)
        readings.append(whole(follow(pattern, read, line, 0.0, seconds), seconds))
        readings += search_stretches(pattern, read, seconds, line.change, jump=8.0)
    return readings


def told_scores(samples: NDArray[np.float32], key: bytes) -> NDArray[np.float32]:
    """The same on readings at the tempo that a public mark tells, or seems to."""
    pattern = pattern_of(key)
    seconds = len(samples) / RATE
    features = features_of(samples, RATE)
    tempo = told_tempo(features, samples, RATE, least=-np.inf)
    if tempo is None:
        raise AssertionError("with nothing asked of it some tempo is the likeliest")
    readings = []
    for change in likely_changes(tempo):
        read = scales.read_as(change, samples, RATE)
        readings += search_stretches(pattern, read, seconds, change, jump=8.0)
    readings += _along(pattern, scales.find_near(pattern, features, samples, RATE, tempo), samples)
    return _scored(pattern, key, readings)


def warped_scores(samples: NDArray[np.float32], key: bytes) -> NDArray[np.float32]:
    """The same on ways through the minutes around the best look-ups, however poor they are."""
    pattern = pattern_of(key)
    readings = []
    for first in range(0, len(samples) - 10 * RATE + 1, 10 * RATE):
        part = samples[first : first + 10 * RATE]
        features = features_of(part, RATE)
        lines = look_up(pattern, features, 10.0, UNCHANGED)
        for home in sorted(lines, key=lambda line: -line.score)[:4]:
            way = warps.way_around(pattern, features, 10.0, UNCHANGED, home)
            readings += [reading_of([way])] if way is not None else []
    return _scored(pattern, key, readings)


def laid_out_scores(samples: NDArray[np.float32], key: bytes) -> NDArray[np.float32]:
    """The same on ways that the public mark tells of stretches of five seconds, however poor."""
    pattern = pattern_of(key)
    readings = []
    for first in range(0, len(samples) - 5 * RATE + 1, 5 * RATE):
        features = features_of(samples[first : first + 5 * RATE], RATE)
        readings += search_public_way(pattern, features, 5.0, UNCHANGED, least=-np.inf)
    return _scored(pattern, key, readings)


def long_scores(samples: NDArray[np.float32], key: bytes) -> NDArray[np.float32]:
    """The same on readings of minutes that were added up."""
    pattern = pattern_of(key)
    together = LongFile(pattern)
    for begin in range(0, len(samples) // RATE - 60 + 1, 60):
        features = features_of(samples[begin * RATE : (begin + 60) * RATE], RATE)
        cell = int(np.ceil(begin / CELL_SECONDS))
        sums = sum_unchanged(pattern, features, cell * CELL_SECONDS - begin, 60.0)
        together.add(features, sums, cell, begin)
    return _scored(pattern, key, together.readings())


def _scored(pattern: Pattern, key: bytes, readings: list[Reading]) -> NDArray[np.float32]:
    if not readings:
        return np.zeros(0, np.float32)
    codewords = encode(np.array([payload_of(key, book) for book in BOOKS], np.uint64))
    evidence = [gather(pattern, reading.trails) for reading in readings]
    bits = np.stack([each.bits / np.sqrt(each.energy + 1e-6) for each in evidence])
    return (bits @ codewords.astype(np.float32).T).ravel()


def trials(keys: int) -> Iterator[tuple[str, NDArray[np.float32], bytes]]:
    """Population, samples and the key that is searched for."""
    for number, clip in enumerate(load(RESULTS / "clips")):
        for each in range(keys):
            trial = 1_000 * number + each
            key = key_of(trial)
            yield "unmarked", clip.samples, key
            yield "another key", embed(clip.samples, RATE, key_of(trial + 500), 5), key
            if each == 0:
                yield "another book", embed(clip.samples, RATE, key, 5), key


def told_trials(keys: int) -> Iterator[tuple[str, NDArray[np.float32], bytes]]:
    """The same of clips that bear the public mark, without a secret one and with another key's."""
    for number, clip in enumerate(load(RESULTS / "clips")):
        public = embed_public(clip.samples, RATE)
        for each in range(keys):
            trial = 200_000 + 1_000 * number + each
            yield "unmarked", public, key_of(trial)
            other = embed(public, RATE, key_of(trial + 500), 5)
            yield "another key", other, key_of(trial)


def long_trials(keys: int) -> Iterator[tuple[str, NDArray[np.float32], bytes]]:
    """The same of the clips end to end, two stretches of two minutes and a half or more each."""
    clips = [clip.samples for clip in load(RESULTS / "clips")]
    for number, parts in enumerate((clips[::2], clips[1::2])):
        speech = np.concatenate(parts)
        for each in range(keys):
            trial = 100_000 + 10_000 * number + each
            yield "unmarked", speech, key_of(trial)
            yield "another key", embed(speech, RATE, key_of(trial + 5_000), 5), key_of(trial)


def summary(values: NDArray[np.float32]) -> dict[str, Any]:
    """Moments and tail of a population."""
    count = len(values)
    return {
        "tests": count,
        "mean": float(values.mean()),
        "deviation": float(values.std()),
        "max": float(values.max()),
        "expected_max": float(norm.isf(1 / count)),
        "beyond": {str(level): int((values >= level).sum()) for level in LEVELS},
        "expected_beyond": {
            str(level): round(float(norm.sf(level) * count), 2) for level in LEVELS
        },
        "tail": tail_of(values),
    }


def tail_of(values: NDArray[np.float32]) -> list[float]:
    """The share of scores at or beyond each of ``GRID``."""
    counted = np.searchsorted(np.sort(values), GRID.astype(np.float32), side="left")
    return [float(share) for share in 1 - counted / len(values)]


def thorough_trials(clips: int | None) -> dict[str, Any]:
    """Searches by the data alone over 10 s of each clip, without a mark and with another key's.

    The place is chosen by the scored cells there, so what counts is the highest score beside the
    threshold for all places and candidates.
    """
    highest, places, searches = 0.0, 0, 0
    for number, clip in enumerate(load(RESULTS / "clips")[:clips]):
        samples = clip.samples[: 10 * RATE]
        key = key_of(50_000 + number)
        pattern = pattern_of(key)
        codewords = encode(np.array([payload_of(key, book) for book in BOOKS], np.uint64))
        for sound in (samples, embed(samples, RATE, key_of(60_000 + number), 5)):
            searches += 1
            features = features_of(sound, RATE)
            for lookup in search_by_data(pattern, features, len(sound) / RATE):
                places += lookup.places
                for trail in lookup.trails:
                    found = gather(pattern, [trail])
                    score = codewords @ found.bits / np.sqrt(found.energy + 1e-6)
                    highest = max(highest, float(score.max()))
    return {
        "searches": searches,
        "places": places,
        "highest_score": highest,
        "threshold_of_one_search": threshold(1e-9, 2 * places / searches * len(BOOKS) / 0.9),
    }


_COLOURS = (
    *("#1f77b4", "#aec7e8", "#d62728", "#ff9896", "#2ca02c", "#98df8a"),
    *("#9467bd", "#c5b0d5", "#ff7f0e", "#ffbb78", "#17becf", "#9edae5"),
)


def picture(tails: dict[str, list[float]]) -> str:
    """Tail probabilities on a logarithmic axis beside the normal's, as SVG."""
    width, height, left, bottom = 720, 420, 60, 40

    def at(score: float, probability: float) -> str:
        x = left + score / 7 * (width - left - 10)
        y = 10 + -np.log10(max(probability, 1e-8)) / 8 * (height - bottom - 10)
        return f"{x:.1f},{y:.1f}"

    lines = [("normal", "#999", [at(s, norm.sf(s)) for s in GRID])]
    lines.append(("bound", "#ccc", [at(s, min(1, 3.178 * norm.sf(s))) for s in GRID]))
    for (name, tail), colour in zip(tails.items(), _COLOURS, strict=False):
        points = [at(s, p) for s, p in zip(GRID, tail, strict=True) if p > 0]
        lines.append((name, colour, points))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">']
    parts.append('<rect width="100%" height="100%" fill="white"/>')
    parts.append('<g font-family="sans-serif" font-size="12">')
    for score in range(8):
        x, y = at(score, 1e-8).split(",")
        parts.append(f'<text x="{x}" y="{float(y) + 18:.0f}" text-anchor="middle">{score}</text>')
    for power in range(0, 9, 2):
        x, y = at(0, 10.0**-power).split(",")
        parts.append(f'<text x="{float(x) - 8:.0f}" y="{y}" text-anchor="end">1e-{power}</text>')
    for row, (name, colour, points) in enumerate(lines):
        parts.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" '
            'stroke-width="2"/>'
        )
        parts.append(f'<text x="{width - 210}" y="{30 + 16 * row}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</g></svg>"])


def main() -> None:
    """Run, print the summary, write JSON and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=6, help="keys tried on every clip")
    parser.add_argument("--thorough", action="store_true", help="only searches by the data")
    parser.add_argument("--changed", action="store_true", help="only cut and sped copies")
    parser.add_argument("--told", action="store_true", help="only tempos told by the public mark")
    parser.add_argument("--warped", action="store_true", help="only ways through one minute")
    parser.add_argument("--laid-out", action="store_true", help="only ways told by the public mark")
    parser.add_argument("--long", action="store_true", help="only minutes added up")
    parser.add_argument("--picture", type=Path, help="only draw the results' tails into this file")
    parser.add_argument("--scores-only", action="store_true", help="no whole searches beside")
    parser.add_argument("--clips", type=int, help="of those the first so many clips")
    arguments = parser.parse_args()
    if arguments.picture:
        tails = {}
        for stem, name in SEARCHES.items():
            if not (RESULTS / f"{stem}.json").exists():
                continue
            found = json.loads((RESULTS / f"{stem}.json").read_text())
            for population in ("unmarked", "another key"):
                tails[f"{name}, {population}"] = found[population]["tail"]
        arguments.picture.write_text(picture(tails))
        return
    if arguments.thorough:
        result = thorough_trials(arguments.clips)
        Path(RESULTS / "nulls-thorough.json").write_text(json.dumps(result, indent=1))
        print(json.dumps(result, indent=1))
        return
    if arguments.changed or arguments.told:
        scales._HOLDS_UP = scales._WORTH_A_LOOK = 0.0
    stem, score, these = "nulls", scores, trials
    if arguments.changed:
        stem, score = "nulls-changed", changed_scores
    if arguments.told:
        stem, score, these = "nulls-told", told_scores, told_trials
    if arguments.warped:
        stem, score = "nulls-warped", warped_scores
        # So that there is always a way.
        warps._JUMP, warps._SKIP = 3.0, 2.0
    if arguments.laid_out:
        stem, score, these = "nulls-laid-out", laid_out_scores, told_trials
        # Of skips and jumps as many as can be.
        public_way._COSTS = np.where(public_way._FORWARD == 1, 0.0, 1.5)
        warps._JUMP, warps._SKIP = 3.0, 2.0
    if arguments.long:
        stem, score, these = "nulls-long", long_scores, long_trials
    gathered: dict[str, list[NDArray[np.float32]]] = {}
    hits = {"unmarked": 0, "another key": 0, "another book": 0}
    searches = dict.fromkeys(hits, 0)
    for population, samples, key in these(arguments.keys):
        gathered.setdefault(population, []).append(score(samples, key))
        searches[population] += 1
        if arguments.scores_only:
            continue
        found = detect(samples, RATE, key, BOOKS)
        hits[population] += found.found and (population != "another book" or found.book_index != 5)
    populations = {name: np.concatenate(each) for name, each in gathered.items()}
    result = {name: summary(values) for name, values in populations.items()}
    for name in result:
        result[name] |= {"searches": searches[name], "false_hits": int(hits[name])}
    Path(RESULTS / f"{stem}.json").write_text(json.dumps(result, indent=1))
    tails = {name: result[name]["tail"] for name in result}
    Path(RESULTS / f"{stem}.svg").write_text(picture(tails))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
