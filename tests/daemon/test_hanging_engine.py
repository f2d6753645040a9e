"""A daemon whose engine does not even come back from being closed."""

from __future__ import annotations

from pathlib import Path

from narrator_daemon.emulator import LocalFirebase
from tests.actors import Daemon, Frontend

#: As a thread that waits for a GPU which has died.
_PROGRAM = """
import sys, threading
from narrator_daemon import config, logs
from narrator_daemon.firebase.project import Project
from narrator_daemon.speech.tone import ToneSpeech
from narrator_daemon.daemon import assembly

class Hung(ToneSpeech):
    def speak(self, segments, **settings):
        threading.Event().wait()
        yield from super().speak(segments, **settings)
    def close(self):
        threading.Event().wait()

settings = config.load(None)
logs.configure("info", "json")
sys.exit(assembly.worker(settings, Hung(), [Project(settings)]).run())
"""


def test_it_ends_all_the_same(firebase: LocalFirebase, frontend: Frontend, tmp_path: Path) -> None:
    settings = {
        "DAEMON__BOOKS_AT_ONCE": 1,
        "DAEMON__STUCK_SECONDS": 1,
        "CLAIMS__LEASE_TTL_SECONDS": 3,
        "CLAIMS__BEAT_SECONDS": 0.5,
    }
    daemon = Daemon(firebase.environment(), tmp_path / "daemon", settings, ("-c", _PROGRAM))
    try:
        daemon.wait_ready()
        frontend.add_requested("b", "A short tale.")
        assert daemon.process.wait(40) == 1
        assert "engine_stuck" in [event["event"] for event in daemon.events]
    finally:
        daemon.kill()
