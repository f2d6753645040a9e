"""A book is read in the voices that it asks for, or fails and says why."""

from __future__ import annotations

import io
import wave
from dataclasses import replace
from pathlib import Path

import pytest

from narrator_daemon.claims.claims import Claims
from narrator_daemon.narration.manner import Manners
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Settings
from narrator_daemon.speech.tone import ToneSpeech
from tests.desk import Desk

TEXT = (
    '"Why is a raven like a writing-desk?" said the Hatter to all of them.\n\n'
    '"You should learn not to make personal remarks," said Alice with some severity.'
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.settings = Settings.model_validate(
        {
            **desk.settings.model_dump(exclude={"voices", "storage_emulator"}),
            "voices": {"anna": {}, "bob": {}},
        }
    )
    engine = ToneSpeech(voices=desk.settings.voices.by_name)
    engine.load()
    manners = Manners(desk.settings, engine)
    project = desk.project
    desk.claims = Claims(
        project,  # type: ignore[arg-type]
        desk.settings,
        "voice",
        lambda *_: False,
        desk.leases,
        manner=manners.fingerprint,
    )
    desk.context = replace(
        desk.context,
        settings=desk.settings,
        engine=engine,
        claims=desk.claims,
        manners=manners,
    )
    desk.edit(narrative=TEXT)
    return desk


def test_a_voice_that_is_not_set_up_fails_at_once_with_a_code_of_its_own(desk: Desk) -> None:
    desk.edit(narrativeAudioVoice="carl")
    assert desk.run().outcome == "failed"
    error = desk.book["narrativeAudioError"]
    assert (error["code"], error["attempts"]) == ("unknown_voice", 1)
    assert "anna, bob" in error["message"]
    assert desk.store.objects_by_path == {}


def test_a_bad_lexicon_fails_at_once(desk: Desk) -> None:
    desk.edit(narrativeAudioLexicon="Bingley")
    assert desk.run().outcome == "failed"
    assert desk.book["narrativeAudioError"]["code"] == "bad_lexicon"


def sound(desk: Desk) -> bytes:
    """What is heard of the book, without what the file says of itself."""
    assert desk.run().outcome == "published"
    with wave.open(io.BytesIO(desk.store.objects_by_path[desk.book["narrativeAudioPath"]])) as file:
        return file.readframes(file.getnframes())


def test_segments_are_kept_by_the_voice_that_read_them(desk: Desk) -> None:
    kept = desk.settings.kept.model_copy(update={"days": 7.0})
    desk.context = replace(desk.context, kept=KeptSegments(kept))
    desk.edit(narrativeAudioVoice="anna")
    assert desk.run().outcome == "published"
    (entry,) = desk.project.tree["narrationRegister"].values()
    assert entry["voice"] == "anna"
    (first,) = desk.kept_folder.iterdir()
    assert first.suffix == ".published"

    desk.edit(
        narrativeAudioStatus="requested", narrativeAudioRequestedAt=8, narrativeAudioRetake=[1]
    )
    desk.endings.clear()
    desk.over.clear()
    again = desk.run()
    assert (again.outcome, again.facts["segmentsKept"]) == (
        "published",
        again.facts["segments"] - 1,
    )
    # The new take's in the place of the old one's.
    (second,) = desk.kept_folder.iterdir()
    assert second.suffix == ".published" and second != first


@pytest.fixture
def plain(tmp_path: Path) -> Desk:
    """One that knows of no voices."""
    plain = Desk(tmp_path / "plain")
    plain.edit(narrative=TEXT)
    return plain


@pytest.mark.parametrize(
    "asked",
    [
        {"narrativeAudioVoice": "anna"},
        {"narrativeAudioCast": {"Alice": "anna", "Hatter": "bob"}},
        {"narrativeAudioLexicon": "raven\tray ven"},
    ],
)
def test_what_a_book_asks_for_is_heard(desk: Desk, plain: Desk, asked: dict[str, object]) -> None:
    desk.edit(**asked)
    assert sound(desk) != sound(plain)
    assert desk.book["narrativeAudioInputHash"] != plain.book["narrativeAudioInputHash"]


def test_without_any_of_it_nothing_changes(desk: Desk, plain: Desk) -> None:
    assert sound(desk) == sound(plain)
    assert desk.book["narrativeAudioInputHash"] == plain.book["narrativeAudioInputHash"]
