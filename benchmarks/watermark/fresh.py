"""Speech made after the searches were: voices that no other set has, reading other texts.

Kokoro's, four women and four men, American and British, each with other sentences of the example
books. Wants what `make kokoro` brings.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from corpus import Clip, clip_of, kept
from numpy.typing import NDArray

from csm import SAMPLE_RATE
from csm.text import segment
from narrator_daemon.commands.demo import example_books
from narrator_daemon.speech.kokoro_engine import KokoroSpeech

#: The model and its voices, as `make kokoro` brings them.
_KOKORO = str(Path(__file__).parents[2] / ".venv/kokoro")
_VOICES = (
    "af_bella",
    "af_nicole",
    "am_michael",
    "am_puck",
    "bf_emma",
    "bf_isabella",
    "bm_george",
    "bm_lewis",
)
#: The longest, and what a character takes at least, seconds.
_SECONDS, _CHARACTER = 40, 0.045


def _kokoro(_: Path) -> Iterator[Clip]:
    books = [str(book["narrative"]) for book in example_books().values()]
    prose = [book for book in books if len(book) > _SECONDS / _CHARACTER]
    for number, voice in enumerate(_VOICES):
        book = prose[number % len(prose)]
        # Two voices of one book read its beginning and its end.
        parts = [part.text for part in segment(book)][:: 1 if number < len(prose) else -1]
        engine = KokoroSpeech(model=_KOKORO, voice=voice, at_once=1)
        engine.load()
        spoken: list[NDArray[np.float32]] = []
        for take in engine.speak(parts, seed=7):
            spoken += [take.samples, np.zeros(int(0.35 * SAMPLE_RATE), np.float32)]
            if sum(map(len, spoken)) > _SECONDS * SAMPLE_RATE:
                break
        engine.close()
        yield clip_of(voice, "neural", np.concatenate(spoken), SAMPLE_RATE, _SECONDS)


def load_fresh(cache: Path) -> list[Clip]:
    """All clips, about 40 s each; made on the first call, then kept in ``cache``."""
    return kept(cache, _kokoro)
