"""A daemon whose engine fails on every book, as one that has lost its GPU."""

from __future__ import annotations

from pathlib import Path

from narrator_daemon.emulator import LocalFirebase
from tests.actors import Daemon, Frontend

_PROGRAM = """
import sys
from narrator_daemon import config, logs
from narrator_daemon.firebase.project import Project
from narrator_daemon.speech import SpeechError
from narrator_daemon.speech.tone import ToneSpeech
from narrator_daemon.daemon import assembly

class Broken(ToneSpeech):
    def speak(self, segments, **settings):
        raise SpeechError("engine_error", "the model failed on cuda:0")

settings = config.load(None)
logs.configure("info", "json")
sys.exit(assembly.worker(settings, Broken(), [Project(settings)]).run())
"""


def test_it_ends_before_the_books_have_no_attempts_left(
    firebase: LocalFirebase, frontend: Frontend, tmp_path: Path
) -> None:
    books = ("a", "b", "c")
    for book_id in books:
        frontend.add_requested(book_id, "A short tale.")
    daemon = Daemon(firebase.environment(), tmp_path / "daemon", {}, ("-c", _PROGRAM))
    try:
        assert daemon.process.wait(60) == 1
        assert "engine_broken" in [event["event"] for event in daemon.events]
        assert {frontend.status(book_id) for book_id in books} == {"requested"}
        frontend.wait_for_no_lease()
    finally:
        daemon.kill()
    # Which is what it is started anew for.
    healthy = Daemon(firebase.environment(), tmp_path / "healthy", {})
    try:
        for book_id in books:
            frontend.wait_for(book_id, "ready", 60)
    finally:
        healthy.kill()
