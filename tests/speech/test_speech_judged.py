"""Engines whose takes are judged: what is passed on, what is drawn again, what is told of it."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from csm import SAMPLE_RATE
from csm.takes.drawing import Example
from csm.takes.recognise import Recogniser
from narrator_daemon import speech
from narrator_daemon.settings import Settings, Speech, Takes
from narrator_daemon.speech import HasSlots, Slots, SpeechError, Spoken
from narrator_daemon.speech.judged import judged
from narrator_daemon.speech.tone import ToneSpeech

TEXTS = ["A sentence of the usual length, as it stands in a book.", "And another one, as long."]
#: Noise is one sound all along.
PATIENT = Takes(most_held_seconds=100, most_repeated_seconds=100)


class Humming:
    """Says syllables of noise; the first draw of the second text goes on far too long."""

    name = "humming"
    device = "cpu"
    pace = 0.065
    settings_fingerprint = "humming 1"

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], int, Collection[int], Example | None]] = []
        self.closed = False
        self._tone = ToneSpeech()

    def load(self) -> None:
        self._tone.load()

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Collection[int] = (),
        example: Example | None = None,
    ) -> Generator[Spoken, None, None]:
        self.asked.append((list(segments), seed, skip, example))
        for one in self._tone.speak(segments, seed=seed, skip=skip):
            spoilt = segments[one.index] == TEXTS[1] and len(segments) > 1
            samples = np.tile(one.samples, 4) if spoilt else one.samples
            end = np.zeros(SAMPLE_RATE // 10, np.float32)
            yield replace(one, samples=np.concatenate([samples, end]))

    def close(self) -> None:
        self.closed = True


class Slotted(Humming):
    @property
    def slots(self) -> Slots:
        return Slots(1, 8)


def test_a_take_that_is_not_fit_is_drawn_again_and_told_of() -> None:
    engine = Humming()
    listened = judged(engine, PATIENT)
    spoken = {one.index: one for one in listened.speak(TEXTS, seed=5)}
    assert sorted(spoken) == [0, 1]
    assert spoken[0].note["draws"] == 1 and spoken[0].note["faults"] == {}
    assert spoken[1].note["draws"] == 2 and spoken[1].note["faults"] == {}
    assert spoken[1].note["scores"]["pace"] < 1.5
    assert len(spoken[1].samples) / SAMPLE_RATE < 3
    (texts, seed, skip, example) = engine.asked[1]
    assert (texts, skip) == ([TEXTS[1]], ())
    assert seed != 5 and example is not None and example.text == TEXTS[0]


def test_with_one_draw_it_is_only_told_of() -> None:
    engine = Humming()
    listened = judged(engine, PATIENT.model_copy(update={"most_draws": 1}))
    spoken = {one.index: one for one in listened.speak(TEXTS, seed=5)}
    assert list(spoken[1].note["faults"]) == ["too_long"]
    assert len(engine.asked) == 1


def test_skipped_segments_and_the_example_reach_the_engine() -> None:
    engine = Humming()
    example = Example("Before.", Spoken(0, np.zeros(9, np.float32)))
    spoken = list(judged(engine, Takes()).speak(TEXTS, seed=5, skip=[0], example=example))
    assert [one.index for one in spoken] == [1]
    assert engine.asked[0][2:] == ([0], example)


def test_settings_that_decide_on_takes_are_in_the_fingerprint() -> None:
    prints = [
        judged(Humming(), takes).settings_fingerprint
        for takes in (Takes(), Takes(most_draws=2), Takes(slowest=1.3), Takes(recognise=True))
    ]
    assert len(set(prints)) == 4
    assert all(one.startswith("humming 1 ") for one in prints)
    assert judged(Humming(), Takes()).settings_fingerprint == prints[0]


def test_what_says_no_words_is_not_judged() -> None:
    engine = ToneSpeech()
    assert judged(engine, Takes()) is engine
    assert isinstance(speech.create(Settings(speech=Speech(engine="tone"))), ToneSpeech)


def test_it_is_its_engine_in_all_else() -> None:
    engine = Slotted()
    listened = judged(engine, PATIENT)
    assert (listened.name, listened.device, listened.pace) == ("humming", "cpu", 0.065)
    assert isinstance(listened, HasSlots) and listened.slots == Slots(1, 8)
    assert not isinstance(judged(Humming(), Takes()), HasSlots)
    listened.close()
    assert engine.closed


def test_a_recogniser_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise RuntimeError("heard: a secret")

    monkeypatch.setattr(Recogniser, "hear", fail)
    with pytest.raises(
        SpeechError, match=r"recogniser failed on a take \(RuntimeError\)"
    ) as raised:
        list(judged(Humming(), Takes(recognise=True)).speak(TEXTS, seed=5))
    assert raised.value.code == "engine_error"
    assert "secret" not in str(raised.value)


def test_a_recogniser_that_cannot_listen_stops_the_start(tmp_path: Path) -> None:
    listened = judged(Humming(), Takes(recognise=True, recogniser=tmp_path / "absent"))
    with pytest.raises(SpeechError, match="no recogniser's model"):
        listened.load()
