"""What could be told of a single word that a take leaves out, by the recogniser's own likelihoods.

    python -m benchmarks.missing_word CACHE [tune | report]

CACHE is that of ``benchmarks.judges``. The text is known: for each of the few words that the
recogniser expects least, given the sound, its likelihood of the whole text is set against that of
the text without the word. A word that nobody said costs likelihood; so does a rare one, and that
part is told by the same ratio over silence, of which a share is taken off. Told are the score that
a share of clean clips goes below, and how many clips without one word (as ``benchmarks.judges``
spoils them) do, beside what comparing words finds of them today.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from benchmarks.judges import CLIPS, LEAST_SECONDS, Heard, Words, seed_of, some
from benchmarks.judging.corpus import Samples, is_segment, load, without_shared
from benchmarks.judging.spoiling import KINDS, Beside, name_of
from benchmarks.reporting import report
from csm import SAMPLE_RATE
from csm.takes.judging import Judge
from csm.takes.recognise import Recogniser
from csm.takes.verdict import Fault
from csm.text import normalise

#: Words whose absence is tried in each take, and the shares of the ratio over silence taken off.
_TRIED = 4
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_RATE = 16_000
_MARKS = re.compile(r"[.,;:!?]+\Z")
_OF_WORDS = {Fault.WRONG_WORDS, Fault.LOST_WORDS, Fault.MADE_UP_WORDS, Fault.DOUBLED_WORDS}


class Weigher:
    """Log-likelihood ratios of a text with and without each of a few words."""

    def __init__(self) -> None:
        recogniser = Recogniser()
        recogniser.load()
        self._model: Any = recogniser._model
        self._prompt = recogniser._prompt[:-1]
        self._silence = self._encoded(np.zeros(2 * _RATE, np.float32))

    def __call__(self, text: str, samples: Samples) -> list[tuple[float, float]]:
        """The ratio given the sound and given silence, of each word that is tried."""
        words = [re.sub(r"^\W+|[\"']+", "", word) for word in text.split()]
        words = [word for word in words if word]
        sound = resample_poly(samples, 2, 3).astype(np.float32)
        if len(words) < 2 or len(sound) > 27 * _RATE:
            return []
        heard = self._encoded(sound)
        pieces = [self._tokens([word]) for word in words]
        whole = self._tokens(words)
        (logs,) = self._logs(heard, [whole])
        ends = np.cumsum([0, *map(len, pieces)])
        means = [logs[a:b].mean() for a, b in itertools.pairwise(ends)]
        tried = [int(place) for place in np.argsort(means)[:_TRIED]]
        rows = [self._tokens(without(words, place)) for place in tried]
        given = [float(logs.sum() - row.sum()) for row in self._logs(heard, rows)]
        alone, *others = (float(row.sum()) for row in self._logs(self._silence, [whole, *rows]))
        return list(zip(given, [alone - other for other in others], strict=True))

    def _tokens(self, words: list[str]) -> list[int]:
        encode = self._model.hf_tokenizer.encode
        return [
            token for word in words for token in encode(f" {word}", add_special_tokens=False).ids
        ]

    def _encoded(self, sound: Samples) -> NDArray[np.float32]:
        """Only the sound and a second: nothing is written down that could go round in circles."""
        size = -(-(len(sound) + _RATE) // _RATE) * _RATE
        padded = np.zeros(size, np.float32)
        padded[: len(sound)] = sound
        features = self._model.feature_extractor(padded, padding=0)[:, : size // 160]
        view = ctranslate2.StorageView.from_array(np.ascontiguousarray(features[None], np.float32))
        return np.array(self._model.model.encode(view, to_cpu=True), dtype=np.float32)

    def _logs(self, heard: NDArray[np.float32], rows: list[list[int]]) -> list[NDArray[np.float64]]:
        view = ctranslate2.StorageView.from_array(np.repeat(heard, len(rows), axis=0))
        found = self._model.model.align(view, self._prompt, rows, 2 * heard.shape[1])
        return [np.log(np.array(one.text_token_probs) + 1e-9) for one in found]


def without(words: list[str], place: int) -> list[str]:
    """A text without one word, whose mark goes to the word before."""
    left = [*words[:place], *words[place + 1 :]]
    mark = _MARKS.search(words[place])
    if mark and place:
        left[place - 1] = _MARKS.sub("", left[place - 1]) + mark.group()
    if not place:
        left[0] = left[0][:1].upper() + left[0][1:]
    return left


def score(ratios: list[tuple[float, float]], share: float) -> float:
    """The least ratio given the sound, with a share of the ratio over silence taken off."""
    return min((given - share * alone for given, alone in ratios), default=99.0)


def main(cache: Path, half: str) -> None:
    """Weigh, and report."""
    clips = [clip for clip in without_shared(load(cache / "corpus")) if is_segment(clip)]
    words, heard, weigh = Words(cache / "words.json"), Heard(cache / "heard.json"), Weigher()
    (drop,) = [spoil for spoil in KINDS["less"] if name_of(spoil) == "dropped_word"]
    rows = []
    spent = seconds = 0.0
    for kind in ("people", "preview"):
        mine = [clip for clip in clips if (clip.kind, clip.half) == (kind, half) and clip.text]
        long = [clip for clip in mine if len(clip.samples) > LEAST_SECONDS * SAMPLE_RATE]
        told = some(long, CLIPS)
        judge = Judge(1.0, listen=heard)
        clean, dropped, today = [], [], []
        for number, (clip, places) in enumerate(zip(told, words(told), strict=True)):
            random = np.random.default_rng(seed_of(f"dropped_word{number}{half}{kind}"))
            spoiled = drop(clip.samples, Beside([], [], places), random)
            dropped.append(weigh(normalise(clip.text), spoiled))
            today.append(bool(_OF_WORDS & set(judge(clip.text, spoiled).faults)))
        for clip in mine:
            started = time.process_time()
            clean.append(weigh(normalise(clip.text), clip.samples))
            spent += time.process_time() - started
            seconds += len(clip.samples) / SAMPLE_RATE
        (cache / f"missing_{half}_{kind}.json").write_text(json.dumps([clean, dropped, today]))
        for share in _SHARES:
            usual = sorted(score(one, share) for one in clean)
            row: dict[str, Any] = {"voices": kind, "clean": len(clean), "share": share}
            for alarms in (0.005, 0.01, 0.02, 0.05):
                limit = usual[int(alarms * len(usual))]
                found = [score(one, share) < limit for one in dropped]
                row[f"{100 * alarms:g} %: limit"] = limit
                row[f"found at {100 * alarms:g} %"] = float(np.mean(found))
                row[f"or by words at {100 * alarms:g} %"] = float(
                    np.mean([one or other for one, other in zip(found, today, strict=True)])
                )
            rows.append(row | {"by words": float(np.mean(today))})
    heard.save()
    report(f"missing_word_{half}", rows)
    print(f"CPU ms for a second of sound: {1000 * spent / seconds:.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "report")
