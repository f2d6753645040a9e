"""The settings of the daemon's csm engine: how many slots, how a segment ends, what is told."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import structlog

from csm import Sampling
from narrator_daemon.settings import Settings, Takes
from narrator_daemon.settings import Speech as SpeechSettings
from narrator_daemon.speech import HasSlots, Slots
from narrator_daemon.speech import csm as csm_speech
from narrator_daemon.speech.choosing import create
from narrator_daemon.speech.csm import CsmSpeech

#: Sampling.reference() as the configuration says it.
REFERENCE = {"guard_end": False, "first_end": 1, "cap_factor": math.inf, "most_held": 0}


def loaded(tiny: Path, **settings: Any) -> CsmSpeech:
    engine = CsmSpeech(model=str(tiny), device="cpu", max_segment_seconds=0.5, **settings)
    assert engine.slots == Slots(0, 0)
    engine.load()
    return engine


def test_slots_are_those_of_the_settings(tiny: Path) -> None:
    with structlog.testing.capture_logs() as logged:
        engine = loaded(tiny, slots=3)
    try:
        assert isinstance(engine, HasSlots) and engine.slots == Slots(0, 3)
        assert len(list(engine.speak(["One.", "Two.", "Three.", "Four."], seed=0))) == 4
    finally:
        engine.close()
    assert engine.slots == Slots(0, 0)
    # What takes long is told of while it goes on, and readiness after it.
    events = [line["event"] for line in logged]
    assert events[0] == "speech_loading" and events[-1] == "speech_loaded"
    steps = [line for line in logged if line["event"] == "speech_warming_up" and "step" in line]
    assert steps and steps[-1]["step"] == steps[-1]["steps"]
    assert logged[-1]["slots"] == 3


@pytest.mark.parametrize(("free", "slots"), [(0, 1), (2**40, 8)])
def test_slots_are_chosen_by_what_is_free(
    free: int, slots: int, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csm_speech, "free_memory", lambda _: free)
    engine = loaded(tiny)
    assert engine.slots.total == slots
    engine.close()


def test_the_guards_are_settings() -> None:
    def fingerprint(**settings: Any) -> str:
        speech = SpeechSettings(model="owner/a", device="cpu", **settings)
        return create(Settings(speech=speech, takes=Takes(most_draws=1))).settings_fingerprint

    usual = fingerprint()
    assert f":{Sampling()}:" in usual
    changes: list[dict[str, Any]] = [
        {"guard_end": False},
        {"end_zeros": 28},
        {"first_end": 6},
        {"seconds_per_character": 0.08},
        {"cap_factor": 2.0},
        {"cap_seconds": 2.0},
        {"most_held": 20},
        REFERENCE,
    ]
    prints = {fingerprint(**change) for change in changes}
    assert len(prints) == len(changes) and usual not in prints
    assert f":{Sampling.reference()}:" in fingerprint(**REFERENCE)
    # How many are spoken at once is no part of how they sound.
    assert fingerprint(slots=8) == usual
