"""How far words' times are from the truth, where the truth is known.

    python -m benchmarks.word_times [PAGE …]    # of tests/data/dialogue/held_out

Two truths: what the preview voice says of its own phonemes, and joins: phrases of three words that
were spoken alone, cut where their sound begins and ends, and put together with known pauses.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import numpy as np

from csm.audio import SAMPLE_RATE
from csm.mastering.sounds import sound_of
from csm.takes.recognise import Recogniser
from csm.takes.word_times import estimated
from csm.text import segment
from narrator_daemon.speech.piper import PiperSpeech

PAGES = Path(__file__).parent.parent / "tests" / "data" / "dialogue" / "held_out"
_PHRASE, _PAUSE_SECONDS = 3, 0.15


def _pages(names: list[str]) -> list[str]:
    paths = [path for path in sorted(PAGES.glob("*.txt")) if not names or path.stem in names]
    texts = [re.sub(r"\{[^}]*\}", "", path.read_text("utf-8")) for path in paths]
    return [part.text for text in texts for part in segment(text)]


def _told(name: str, errors: list[float]) -> None:
    off = np.abs(errors)
    median, most = np.percentile(off, (50, 95)) * 1000
    print(f"{name:32} {median:4.0f} ms median, {most:4.0f} ms 95 %, {len(errors)} words")


def main() -> None:
    """Print the table."""
    engine, recogniser = PiperSpeech(), Recogniser()
    recogniser.load()
    texts = _pages(sys.argv[1:])
    found: dict[str, list[float]] = {}
    seconds = taken = 0.0

    def compare(what: str, got: tuple[float, ...] | None, truth: list[float], step: int) -> None:
        if got is not None:
            found.setdefault(what, []).extend(np.array(got[::step]) - np.array(truth))

    for spoken in engine.speak(texts, seed=1):
        words = texts[spoken.index].split()
        truth = list(spoken.word_seconds or ())
        started = time.process_time()
        heard = recogniser.align(spoken.samples, words)
        taken += time.process_time() - started
        seconds += len(spoken.samples) / SAMPLE_RATE
        compare("recogniser, against the voice", heard, truth, 1)
        compare("lengths, against the voice", estimated(spoken.samples, words), truth, 1)
    for text in texts[:12]:
        words = text.split()[: 12 * _PHRASE]
        phrases = [" ".join(words[at : at + _PHRASE]) for at in range(0, len(words), _PHRASE)]
        parts, truth, engines = [np.zeros(SAMPLE_RATE // 10, np.float32)], [], []
        place = len(parts[0])
        for one in sorted(engine.speak(phrases, seed=2), key=lambda one: one.index):
            start, end = sound_of(one.samples, SAMPLE_RATE)
            truth.append(place / SAMPLE_RATE)
            engines.append((one.word_seconds or (0.0,))[0] - start / SAMPLE_RATE)
            parts += [
                one.samples[start:end],
                np.zeros(round(_PAUSE_SECONDS * SAMPLE_RATE), np.float32),
            ]
            place += sum(map(len, parts[-2:]))
        joined = np.concatenate(parts)
        compare("recogniser, against joins", recogniser.align(joined, words), truth, _PHRASE)
        compare("lengths, against joins", estimated(joined, words), truth, _PHRASE)
        found.setdefault("the voice, against joins", []).extend(engines)
    engine.close()
    for name, errors in found.items():
        _told(name, errors)
    print(f"recogniser: {taken / seconds:.3f} CPU s for a second of sound")


if __name__ == "__main__":
    main()
