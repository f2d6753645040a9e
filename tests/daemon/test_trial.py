"""Whose fault it is that a narration went wrong."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from narrator_daemon.credentials import signer as signers
from narrator_daemon.credentials.errors import CannotSign
from narrator_daemon.credentials.files import FileCredentials
from narrator_daemon.daemon import finishing
from narrator_daemon.daemon import trial as trials
from narrator_daemon.daemon.trial import Trial
from narrator_daemon.errors import Unavailable, Unreadable
from narrator_daemon.marks.keys import DEMO_KEY
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Settings
from narrator_daemon.speech import SpeechError, Spoken
from narrator_daemon.speech.tone import ToneSpeech
from tests.actors import Frontend, Inside, wait_until


class Engine(ToneSpeech):
    """Fails with an error, or on some texts."""

    fault: Exception | None = None
    but_only_on = ""
    asked = 0

    def speak(self, segments: Any, **settings: Any) -> Generator[Spoken, None, None]:
        self.asked += 1
        if self.fault is not None and self.but_only_on in " ".join(segments):
            raise self.fault
        yield from super().speak(segments, **settings)


@pytest.fixture
def engine() -> Engine:
    made = Engine()
    made.load()
    return made


@pytest.fixture
def trial(engine: Engine, tmp_path: Path) -> Trial:
    settings = Settings.model_validate(
        {"kept": {"folder": tmp_path}, "files": {"formats": ["m4a", "mp3"]}}
    )
    credentials = FileCredentials(signers.throwaway(), settings)
    return Trial(engine, settings, DEMO_KEY, credentials, KeptSegments(settings.kept))


BROKEN = SpeechError("engine_error", "the model failed on cuda:0")


def test_a_worker_that_can_narrate_is_not_at_fault(trial: Trial, tmp_path: Path) -> None:
    assert trial.own_fault(BROKEN) is None
    trial.check()
    assert list((tmp_path / "segments").iterdir()) == []


@pytest.mark.parametrize("fault", [BROKEN, OSError(errno.EMFILE, "Too many open files")])
def test_one_that_cannot_is(trial: Trial, engine: Engine, fault: Exception) -> None:
    engine.fault = fault
    found = trial.own_fault(fault)
    assert found is not None and found.dependency == "narration"
    assert str(fault) in str(found)
    with pytest.raises(Unavailable):
        trial.check()
    assert not trial.broken
    with pytest.raises(Unavailable):
        trial.check()
    assert trial.broken
    engine.fault = None
    trial.check()
    assert not trial.broken and trial.own_fault(BROKEN) is None


@pytest.mark.parametrize(
    ("place", "name", "error"),
    [
        (finishing, "score", Unreadable("no decoder here")),
        (finishing, "score", OSError(errno.EAGAIN, "Resource temporarily unavailable")),
        (trials, "captions_of", ValueError("no captions")),
    ],
)
def test_what_comes_after_the_narration_is_tried_too(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, error: Exception
) -> None:
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise error

        patch.setattr(place, name, fail)
        found = trial.own_fault(error)
    assert found is not None and found.dependency == "narration"
    assert trial.own_fault(error) is None


def test_a_signer_that_fails_is_told_as_one_and_breaks_no_engine(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise CannotSign("the command ended with 1")

    monkeypatch.setattr(FileCredentials, "add_to_compressed", fail)
    for _ in range(trials.BROKEN_AFTER + 1):
        found = trial.own_fault(BROKEN)
        assert found is not None and found.dependency == "credentials"
    assert not trial.broken


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_the_disk_is_told_from_the_rest(trial: Trial, engine: Engine, number: int) -> None:
    full = OSError(number, os.strerror(number))
    wrapped = SpeechError("engine_error", "no audio could be written")
    wrapped.__cause__ = full
    for error in (full, wrapped):
        found = trial.own_fault(error)
        assert found is not None and found.dependency == "disk"
    assert engine.asked == 0
    # A disk that fills during the trial breaks no engine.
    engine.fault = full
    for _ in range(5):
        found = trial.own_fault(BROKEN)
        assert found is not None and found.dependency == "disk"
    assert not trial.broken


def test_a_book_that_the_engine_cannot_read_uses_up_its_own_attempts_only(
    frontend: Frontend, start_inside: Callable[..., Inside]
) -> None:
    engine = Engine()
    engine.fault, engine.but_only_on = BROKEN, "cursed"
    daemon = start_inside(engine, claims__max_attempts=1).wait_ready()
    frontend.add_requested("bad", "A cursed tale.")
    frontend.add_requested("good", "A short tale.")
    frontend.wait_for("good", "ready", 60)
    book = frontend.wait_for("bad", "failed", 60)
    assert book["narrativeAudioError"]["code"] == "engine_error"
    assert daemon.condition.status == "healthy"


def test_an_engine_that_is_broken_for_a_while_costs_no_book_an_attempt(
    frontend: Frontend, start_inside: Callable[..., Inside]
) -> None:
    engine = Engine()
    daemon = start_inside(engine, claims__max_attempts=1).wait_ready()
    engine.fault = BROKEN
    for book_id in ("a", "b", "c"):
        frontend.add_requested(book_id, "A short tale.")
    wait_until(lambda: "narration" in daemon.condition.down, "health to say so")
    # A book that fails just before, and a trial that goes well just after, is the book's fault.
    wait_until(lambda: not daemon.parts.jobs, "no book to be in work")
    engine.fault = None
    for book_id in ("a", "b", "c"):
        frontend.wait_for(book_id, "ready", 60)
