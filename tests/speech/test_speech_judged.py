"""Engines whose takes are judged: what is passed on, what is drawn again, what is told of it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from numpy.typing import NDArray

from csm import SAMPLE_RATE, CsmError
from csm.takes import recognise
from csm.takes.drawing import Example
from csm.takes.notes import Note
from csm.takes.recognise import Recogniser
from narrator_daemon.settings import Settings, Speech, Takes
from narrator_daemon.speech import Amended, HasSlots, Slots, SpeechError, Spoken, choosing
from narrator_daemon.speech.judged import judged
from narrator_daemon.speech.tone import ToneSpeech

TEXTS = ["A sentence of the usual length, as it stands in a book.", "And another one, as long."]
#: Its syllables are no words.
DEAF = Takes(recognise=False)


def syllables(text: str, seed: int) -> NDArray[np.float32]:
    """A fifth of a second of a voice for every three characters: a pitch, two formants, a decay."""
    random = np.random.default_rng([seed, *text.encode()])
    time = np.arange(round(0.2 * SAMPLE_RATE)) / SAMPLE_RATE
    parts = []
    for _ in range(max(1, len(text) // 3)):
        pitch = random.uniform(95, 125) * (1 + random.uniform(-0.3, 0.3) * time)
        phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
        formants = random.uniform([300, 900], [800, 2400])
        tone = sum(
            np.sin(k * phase + k * k) * np.exp(-(((k * 110 - formants) / 250) ** 2)).sum()
            for k in range(1, 30)
        )
        parts.append(tone * np.exp(-time / 0.028) * np.minimum(time / 0.008, 1))
    return (0.1 * np.concatenate(parts)).astype(np.float32)


class Humming:
    """Says syllables; the first draw of the second text goes on far too long."""

    name = "humming"
    device = "cpu"
    pace = 0.065
    settings_fingerprint = "humming 1"

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], int, list[int], Example | None]] = []
        self.closed = False

    def load(self) -> None:
        pass

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Mapping[int, Note] = MappingProxyType({}),
        example: Example | None = None,
    ) -> Generator[Spoken, None, None]:
        self.asked.append((list(segments), seed, list(skip), example))
        for index, text in enumerate(segments):
            if index in skip:
                continue
            spoilt = text == TEXTS[1] and len(segments) > 1
            samples = syllables(text * 4 if spoilt else text, seed)
            yield Spoken(index, np.concatenate([samples, np.zeros(SAMPLE_RATE // 10, np.float32)]))

    def close(self) -> None:
        self.closed = True


def spoken_of(stream: Iterable[Spoken | Amended]) -> dict[int, Spoken]:
    """What stands at the end."""
    found: dict[int, Spoken] = {}
    for one in stream:
        if isinstance(one, Amended):
            found[one.index] = replace(found[one.index], note=one.note)
        else:
            found[one.index] = one
    return found


class Slotted(Humming):
    @property
    def slots(self) -> Slots:
        return Slots(1, 8)


def test_a_take_that_is_not_fit_is_drawn_again_and_told_of() -> None:
    engine = Humming()
    listened = judged(engine, DEAF)
    spoken = spoken_of(listened.speak(TEXTS, seed=5))
    assert sorted(spoken) == [0, 1]
    assert spoken[0].note["draws"] == 1 and spoken[0].note["faults"] == {}
    assert spoken[1].note["draws"] == 2 and spoken[1].note["faults"] == {}
    assert spoken[1].note["scores"]["pace"] < 1.5
    assert len(spoken[1].samples) / SAMPLE_RATE < 3
    (texts, seed, skip, example) = engine.asked[1]
    assert (texts, skip) == ([TEXTS[1]], [])
    assert seed != 5 and example is not None and example.text == TEXTS[0]


def test_with_one_draw_it_is_only_told_of() -> None:
    engine = Humming()
    listened = judged(engine, DEAF.model_copy(update={"most_draws": 1}))
    spoken = spoken_of(listened.speak(TEXTS, seed=5))
    assert "too_long" in spoken[1].note["faults"]
    assert len(engine.asked) == 1


def test_skipped_segments_and_the_example_reach_the_engine() -> None:
    engine = Humming()
    example = Example("Before.", Spoken(0, np.zeros(9, np.float32)))
    spoken = list(judged(engine, DEAF).speak(TEXTS, seed=5, skip={0: {}}, example=example))
    assert [one.index for one in spoken] == [1]
    assert engine.asked[0][2:] == ([0], example)


def test_settings_that_decide_on_takes_are_in_the_fingerprint() -> None:
    prints = [
        judged(Humming(), takes).settings_fingerprint
        for takes in (Takes(), Takes(most_draws=2), Takes(slowest=1.3), DEAF)
    ]
    assert len(set(prints)) == 4
    assert all(one.startswith("humming 1 ") for one in prints)
    assert judged(Humming(), Takes()).settings_fingerprint == prints[0]


def test_what_says_no_words_is_not_judged() -> None:
    engine = ToneSpeech()
    assert judged(engine, Takes()) is engine
    assert isinstance(choosing.create(Settings(speech=Speech(engine="tone"))), ToneSpeech)


def test_it_is_its_engine_in_all_else() -> None:
    engine = Slotted()
    listened = judged(engine, DEAF)
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


def test_words_are_judged_wherever_the_recogniser_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[int] = []

    def hear(_: Recogniser, samples: NDArray[np.float32]) -> str:
        heard.append(len(samples))
        return "nothing of the kind was ever said by anyone in this house"

    monkeypatch.setattr(Recogniser, "load", lambda _: None)
    monkeypatch.setattr(Recogniser, "hear", hear)
    spoken = spoken_of(judged(Humming(), Takes(most_draws=1)).speak(TEXTS, seed=5))
    assert len(heard) == 2 and "wrong_words" in spoken[0].note["faults"]
    monkeypatch.setattr(recognise, "installed", lambda: False)
    spoken = spoken_of(judged(Humming(), Takes(most_draws=1)).speak(TEXTS, seed=5))
    assert len(heard) == 2 and spoken[0].note["faults"] == {}


def test_a_recogniser_that_has_no_room_on_the_gpu_listens_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    def load(self: Recogniser) -> None:
        tried.append(self.device)
        if self.device != "cpu":
            raise CsmError("no room")

    class OnGpu(Humming):
        device = "cuda:1"

    monkeypatch.setattr(Recogniser, "load", load)
    judged(OnGpu(), Takes(recognise=True)).load()
    assert tried == ["cuda:1", "cpu"]
