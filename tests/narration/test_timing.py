"""Whose word is taken for where the words of a segment are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from csm import SAMPLE_RATE
from narrator_daemon.narration.timing import with_words, with_words_of, without_words, word_times
from narrator_daemon.speech import Spoken

SAMPLES = (0.1 * np.sin(np.arange(SAMPLE_RATE) / 9)).astype(np.float32)


class Deaf:
    """An engine that finds no words."""


class Listener:
    """An engine that finds words in what it has spoken, unless it cannot say."""

    def __init__(self, starts: tuple[float, ...] | None) -> None:
        self.starts = starts

    def words_in(self, _samples: Any, _text: str) -> tuple[float, ...] | None:
        return self.starts


ENGINE, RECOGNISER = "engine", "recogniser"


@pytest.mark.parametrize(
    ("told", "engine", "kept"),
    [
        ((0.0, 0.51234), Deaf(), {"by": ENGINE, "starts": [0.0, 0.512]}),
        ((0.0, 0.5), Listener((0.1, 0.6)), {"by": ENGINE, "starts": [0.0, 0.5]}),
        (None, Listener((0.1, 0.6)), {"by": RECOGNISER, "starts": [0.1, 0.6]}),
        (None, Listener(None), None),
        (None, Deaf(), None),
    ],
)
def test_the_engine_comes_before_who_listens(
    told: tuple[float, ...] | None, engine: Any, kept: dict[str, Any] | None
) -> None:
    spoken = Spoken(0, SAMPLES, {"draws": 2}, word_seconds=told)
    note = with_words(spoken, "two words", engine)
    assert note == {"draws": 2, **({"words": kept} if kept else {})}
    assert without_words(note) == {"draws": 2}
    assert with_words_of(note, {"draws": 3}) == {**note, "draws": 3}


class Sound:
    """A segment that was spoken."""

    def __init__(self, note: Any) -> None:
        self._note = note

    def samples(self, _index: int) -> Any:
        return SAMPLES

    def note(self, _index: int) -> Any:
        return self._note


class Placed:
    """Mastering that puts a segment ten seconds into the narration."""

    def place(self, number: int, sample: int) -> int:
        assert number == 4
        return 10 * SAMPLE_RATE + sample


@pytest.mark.parametrize(
    ("words", "by", "starts"),
    [
        ({"by": "engine", "starts": [0.25, 0.5]}, "engine", [10.25, 10.5]),
        ({"by": "recogniser", "starts": [0.25, 0.5]}, "recogniser", [10.25, 10.5]),
        ({"by": "engine", "starts": [0.25]}, "length", None),
        ({"by": "nobody", "starts": [0.25, 0.5]}, "length", None),
        ({"by": "engine", "starts": ["x", 0.5]}, "length", None),
        ({"by": "engine"}, "length", None),
        (None, "length", None),
    ],
)
def test_what_was_kept_is_believed_where_it_is_of_these_words(
    words: Any, by: str, starts: list[float] | None
) -> None:
    spoken: Any = Sound({} if words is None else {"words": words})
    mastering: Any = Placed()
    places, known = word_times(4, 0, "Two words.", spoken, mastering)
    assert known.value == by and len(places) == 2
    assert all(10 <= start <= end <= 11 for start, end in places)
    if starts is not None:
        assert [start for start, _ in places] == pytest.approx(starts)
