"""Pauses by kind and levels of six narrations, measured on the finished files.

    python -m benchmarks.pauses_levels [ENGINE]

Five example books and a text of headings, scenes, a list and short turns of dialogue are narrated,
watermark and all, by ENGINE: `piper`, the preview voice, unless told otherwise. A pause is what
lies 45 dB below the loud parts and ends nearest to where the next sentence should start; `inside`
are those between two sentences of one segment, `between` those of two segments. `stray` are
silences of 0.4 s and more with no break in the text within half a second: what the voice does at
commas and quotes. Levels are those of the segments; neighbours of which one is shouted or whispered
are left out.
"""

from __future__ import annotations

import io
import itertools
import json
import sys
import tempfile
import wave
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.reporting import report
from csm import SAMPLE_RATE
from csm.mastering.loudness import integrated_loudness
from csm.text import Delivery, Pauses
from narrator_daemon.marks import keys
from narrator_daemon.narration.marking import Mark
from narrator_daemon.narration.narrate import narrate
from narrator_daemon.narration.narrated import Narration
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Kept, Settings, Speech, Takes
from narrator_daemon.speech import choosing

Samples = NDArray[np.float32]

_BOOKS = (
    "alice",
    "pride-and-prejudice",
    "moby-dick",
    "a-scandal-in-bohemia",
    "frankenstein",
)
_STRUCTURED = """# The Lamp

## Chapter 1

The train came in late. Nobody was waiting on the platform but a boy with a lamp. He held it up and
looked along the carriages, one after another, until the last of them had gone by.

"Who is it?"

"Me."

"Open the door, will you? It is cold out here, and I have walked all the way from the mill."

"No, I will not. Go round to the back."

* * *

In the morning there was snow on all the windows. He packed what he had:

- a loaf of bread
- two candles and a box of matches that were still dry
- the letter

Then he went out. The road was white, and there was not a track on it.

## Chapter 2

Years later he told me of it. "I was never so cold," he said. "Never."
"""
#: Seconds from where a sentence should start within which the silence before it must end.
_NEAR = 0.6
_FRAME = SAMPLE_RATE // 100


def silences(samples: Samples) -> list[tuple[float, float]]:
    """Start and end in seconds of what lies 45 dB below the loud parts for 80 ms or more."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    level = np.sqrt(np.mean(frames.astype(np.float64) ** 2, axis=1))
    places = np.flatnonzero(level > np.percentile(level, 95) * 10 ** (-45 / 20))
    gaps = [(one + 1, two) for one, two in itertools.pairwise(places) if two - one > 8]
    return [(float(start) / 100, float(end) / 100) for start, end in gaps]


def measured(narration: Narration, samples: Samples) -> dict[str, Any]:
    """Pauses by kind and place, stray silences, and levels of one file."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    quiet = silences(samples)
    starts = [
        (start, sentence, position > 0)
        for part in narration.parts
        for position, (start, sentence) in enumerate(
            zip(part.sentence_seconds, part.segment.sentences, strict=True)
        )
    ]
    breaks = []
    for (_, before, _), (start, _, inside) in itertools.pairwise(starts):
        breaks.append(start)
        near = [(abs(end - start), end - begin) for begin, end in quiet if abs(end - start) < _NEAR]
        place = "inside" if inside else "between"
        found[before.follows.name.lower(), place].append(min(near, default=(0.0, 0.0))[1])
    stray = [
        (begin, end)
        for begin, end in quiet
        if end - begin >= 0.4 and not any(begin - 0.5 < one < end + 0.5 for one in breaks)
    ]
    levels = [
        integrated_loudness(
            samples[
                round(part.start_seconds * SAMPLE_RATE) : round(part.end_seconds * SAMPLE_RATE)
            ],
            SAMPLE_RATE,
        )
        for part in narration.parts
    ]
    plain = [part.segment.delivery is Delivery.PLAIN for part in narration.parts]
    steps = [
        abs(two - one)
        for (one, two), both in zip(
            itertools.pairwise(levels), itertools.pairwise(plain), strict=True
        )
        if all(both)
    ]
    return {
        "pauses": found,
        "stray": len(stray),
        "quietest": min(levels),
        "loudest": max(levels),
        "apart": max(steps, default=0.0),
        "segments": len(levels),
    }


def samples_of(wav: io.BytesIO) -> Samples:
    """Of a finished file, -1..1."""
    wav.seek(0)
    with wave.open(wav) as opened:
        data = opened.readframes(opened.getnframes())
    return np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768


def main(engine: str) -> None:
    """Narrate, measure and report."""
    # Words are for the judges to hear; here they would only cost time.
    settings = Settings(speech=Speech(engine=engine), takes=Takes(recognise=False))  # type: ignore[arg-type]
    examples = Path(__file__).parent.parent / "examples" / "books.json"
    books = json.loads(examples.read_text(encoding="utf-8"))
    texts = {name: books[name]["narrative"] for name in _BOOKS} | {"structured": _STRUCTURED}
    speaker = choosing.create(settings)
    speaker.load()
    mark = Mark(keys.DEMO_KEY, 7, settings.watermark.strength_db, False)
    pauses: dict[tuple[str, str], list[float]] = defaultdict(list)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        kept = KeptSegments(Kept(folder=Path(folder)))
        for name, text in texts.items():
            wav = io.BytesIO()
            narration = narrate(
                text,
                wav,
                engine=speaker,
                limits=settings.limits,
                seed=7,
                mark=mark,
                kept=kept,
                loudness_lufs=settings.mastering.loudness_lufs,
                pauses=settings.pauses,
            )
            one = measured(narration, samples_of(wav))
            for kind, lengths in one.pop("pauses").items():
                pauses[kind] += lengths
            rows.append({"book": name, **one})
    speaker.close()
    wanted = vars(Pauses())
    report(
        f"pauses_{engine}",
        [
            {
                "break": kind,
                "where": place,
                "count": len(lengths),
                "wanted": wanted.get({"item": "list_item"}.get(kind, kind)),
                "median": float(np.median(lengths)),
                "5 %": float(np.percentile(lengths, 5)),
                "95 %": float(np.percentile(lengths, 95)),
            }
            for (kind, place), lengths in sorted(pauses.items())
        ],
    )
    report(f"levels_{engine}", rows)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "piper")
