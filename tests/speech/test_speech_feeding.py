"""How many books an engine is given."""

from __future__ import annotations

from typing import Any, cast

import pytest

from csm.engine.sizing import MOST_ON_GPU
from narrator_daemon.settings import Daemon, Settings, Speech
from narrator_daemon.speech import Slots, SpeechEngine
from narrator_daemon.speech.feeding import MOST_SLOTS, books_at_once, most_books_at_once
from narrator_daemon.speech.tone import ToneSpeech


class WithSlots:
    def __init__(self, total: int) -> None:
        self.slots = Slots(0, total)


@pytest.mark.parametrize(
    ("slots", "books"), [(0, 2), (1, 2), (8, 2), (16, 2), (32, 3), (64, 5), (128, 9)]
)
def test_books_follow_the_slots(slots: int, books: int) -> None:
    engine = cast(SpeechEngine, WithSlots(slots))
    assert books_at_once(0, engine) == books
    assert books_at_once(7, engine) == 7


def test_books_become_fewer_with_the_slots() -> None:
    engine: Any = WithSlots(64)
    assert books_at_once(0, engine) == 5
    engine.slots = Slots(3, 32)
    assert books_at_once(0, engine) == 3


def test_an_engine_without_slots_is_given_two() -> None:
    assert books_at_once(0, ToneSpeech()) == 2


@pytest.mark.parametrize(
    ("settings", "books"),
    [
        (Settings(), 9),
        (Settings(speech=Speech(slots=32)), 3),
        (Settings(speech=Speech(engine="tone", slots=32)), 2),
        (Settings(daemon=Daemon(books_at_once=7)), 7),
    ],
)
def test_the_most_that_they_come_to(settings: Settings, books: int) -> None:
    assert most_books_at_once(settings) == books
    assert MOST_SLOTS == MOST_ON_GPU
