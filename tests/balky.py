"""A daemon whose engine does what a test says: it waits to load, or hangs."""

from __future__ import annotations

#: The engine loads once a file ``load`` is in the working folder, and hangs while ``hang`` is.
PROGRAM = """
import sys, time
from pathlib import Path
from narrator_daemon import config, logs
from narrator_daemon.firebase.project import Project
from narrator_daemon.speech.tone import ToneSpeech
from narrator_daemon.daemon import assembly

class Balky(ToneSpeech):
    def load(self):
        while not Path("load").exists():
            time.sleep(0.02)
        super().load()
    def speak(self, segments, **settings):
        while Path("hang").exists():
            time.sleep(0.02)
        yield from super().speak(segments, **settings)

settings = config.load(None)
logs.configure("info", "json")
sys.exit(assembly.worker(settings, Balky(), [Project(settings)]).run())
"""
