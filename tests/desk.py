"""A job and all that it works with, in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.ending import Ending
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.register import Register
from narrator_daemon.claims.work import Work
from narrator_daemon.credentials import signer as signers
from narrator_daemon.credentials.files import FileCredentials
from narrator_daemon.daemon.announcements import Announcements
from narrator_daemon.daemon.job import Job
from narrator_daemon.daemon.job_context import JobContext
from narrator_daemon.errors import Unavailable
from narrator_daemon.marks.keys import DEMO_KEY
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Settings
from narrator_daemon.speech import Spoken
from narrator_daemon.speech.tone import ToneSpeech
from tests.memory import MemoryProject, MemoryStore

TEXT = "It was a bright cold day in April.\n\nThe clocks were striking thirteen."
REQUESTED = {"narrative": TEXT, "narrativeAudioStatus": "requested", "narrativeAudioRequestedAt": 7}


class Engine(ToneSpeech):
    """A tone that does something before each segment."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[int], object] = lambda index: None

    def speak(self, segments: Any, **settings: Any) -> Generator[Spoken, None, None]:
        for spoken in super().speak(segments, **settings):
            self.before(spoken.index)
            yield spoken


class Desk:
    """A job and all that it works with."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = Settings.model_validate(
            {
                "daemon": {"worker_id": "w", "stuck_seconds": 100},
                "kept": {"folder": folder, "days": 0},
                "watermark": {"self_check": False},
                "files": {"formats": [], "captions": False},
                **settings,
            }
        )
        self.kept_folder = folder / "segments"
        self.project = MemoryProject({"b": REQUESTED})
        self.store = MemoryStore()
        self.engine = Engine()
        self.engine.load()
        self.stopping = threading.Event()
        self.reported: list[Unavailable] = []
        self.endings: list[Ending] = []
        self.ended: list[Job] = []
        self.over = threading.Event()
        self.now = 1000.0
        project: Any = self.project
        self.leases = Leases(project, "w", 45.0)
        self.claims = Claims(project, self.settings, "voice", lambda *_: False, self.leases)
        announced = Announcements[Ending](self.reported.append)
        announced.listen(self.endings.append)
        store: Any = self.store
        self.context = JobContext(
            self.settings,
            self.engine,
            DEMO_KEY,
            FileCredentials(signers.throwaway(), self.settings),
            lambda _book_id, _is_new: 1,
            store,
            KeptSegments(self.settings.kept),
            self.claims,
            self.leases,
            self.reported.append,
            self.stopping,
            announced,
            Register(project, self.settings, "voice", "key"),
            random_unit=lambda: 1.0,
            sleep=lambda _seconds: None,
            clock=lambda: self.now,
        )

    def pass_seconds(self, seconds: float) -> None:
        self.now += seconds

    @property
    def book(self) -> Any:
        return self.project.shelf.get("b")

    @property
    def leases_left(self) -> Any:
        return self.project.tree.get("narrationLeases")

    def claim(self) -> Work:
        work = self.claims.claim("b").work
        assert work is not None
        return work

    def job(self, work: Work | None = None) -> Job:
        def end(job: Job) -> None:
            self.ended.append(job)
            self.over.set()

        return Job(self.context, work or self.claim(), end)

    def run(self, job: Job | None = None) -> Ending:
        """Work to the end; how it ended."""
        (job or self.job()).start()
        assert self.over.wait(90)
        (ending,) = self.endings
        return ending

    def edit(self, **fields: Any) -> None:
        """What a frontend writes; None removes a field."""
        self.book.update(fields)
        for name in [name for name, value in fields.items() if value is None]:
            del self.book[name]
