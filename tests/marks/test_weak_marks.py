"""The mark of each narration is checked; one that is too weak is recorded and fails no book."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import watermark
from csm import SAMPLE_RATE
from narrator_daemon.marks.keys import DEMO_KEY
from narrator_daemon.narration.marking import Mark
from narrator_daemon.narration.narrate import narrate
from narrator_daemon.narration.narrated import Narration
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Kept, Limits
from narrator_daemon.speech import Spoken
from narrator_daemon.speech.tone import ToneSpeech

TEXT = "A text of a few words, long enough to be told by its mark, is read aloud here. " * 4


class Short(ToneSpeech):
    """Says next to nothing."""

    def speak(self, segments: Sequence[str], *, seed: int, **rest: object) -> Iterator[Spoken]:
        for index, _ in enumerate(segments):
            noise = np.random.default_rng(seed).standard_normal(SAMPLE_RATE // 4)
            yield Spoken(index, (noise * 0.1).astype(np.float32))


def narrated(
    engine: ToneSpeech, folder: Path, *, text: str = TEXT, self_check: bool = True
) -> tuple[Narration, NDArray[np.float32]]:
    engine.load()
    out = io.BytesIO()
    narration = narrate(
        text,
        out,
        engine=engine,
        limits=Limits(),
        seed=1,
        mark=Mark(DEMO_KEY, 7, 1.5, self_check),
        kept=KeptSegments(Kept(folder=folder, max_gigabytes=0)),
    )
    out.seek(0)
    return narration, soundfile.read(out, dtype="float32")[0]


def test_the_score_is_that_of_the_file(tmp_path: Path) -> None:
    narration, samples = narrated(ToneSpeech(), tmp_path)
    score = watermark.self_check(samples, SAMPLE_RATE, DEMO_KEY, 7)
    assert narration.facts["watermarkScore"] == pytest.approx(score, abs=0.01)
    assert narration.facts["watermarkWeak"] is False
    assert watermark.detect(samples, SAMPLE_RATE, DEMO_KEY, [7]).found


def test_a_mark_too_weak_is_recorded_and_the_book_is_narrated(tmp_path: Path) -> None:
    narration, samples = narrated(Short(), tmp_path, text="Hi.")
    assert narration.facts["watermarkWeak"] is True
    assert len(samples) == round(narration.duration_seconds * SAMPLE_RATE) > 0


def test_an_embedder_that_marks_nothing_is_caught(tmp_path: Path) -> None:
    with _marking_nothing():
        narration, _ = narrated(ToneSpeech(), tmp_path)
    assert narration.facts["watermarkScore"] < 6
    assert narration.facts["watermarkWeak"] is True


def test_without_the_check_nothing_is_recorded_of_it(tmp_path: Path) -> None:
    facts = narrated(ToneSpeech(), tmp_path, self_check=False)[0].facts
    assert (facts["watermarkScore"], facts["watermarkWeak"]) == (None, None)
    assert "self_check" not in facts["secondsByStep"]


@contextmanager
def _marking_nothing() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        embedder = watermark.Embedder
        patch.setattr(
            watermark,
            "Embedder",
            lambda *words, **rest: embedder(*words, **{**rest, "strength_db": 1e-9}),
        )
        yield
