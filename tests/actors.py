"""The two who meet over the database: a frontend, and a daemon in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import firebase_admin
from firebase_admin import db

from narrator_daemon import config
from narrator_daemon.daemon import assembly
from narrator_daemon.daemon.worker import Worker
from narrator_daemon.firebase.project import Project
from narrator_daemon.health.condition import Condition
from narrator_daemon.health.notify import ServiceManager
from narrator_daemon.speech import SpeechEngine, choosing
from tests.bad_machine import in_a_fresh_interpreter
from tests.processes import Forked, needs_fresh_interpreter

ROOT = Path(__file__).parent.parent

#: Seconds for what comes at once on a quiet machine, and may take ten times as long on a busy one.
LIMIT = 90.0


def wait_until(condition: Callable[[], Any], what: str, seconds: float = LIMIT) -> Any:
    """The first true value of ``condition``; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)


class Frontend:
    """Writes what a frontend writes and reads what it shows, through the public SDK."""

    def __init__(self, endpoints: Mapping[str, str]) -> None:
        self._app = firebase_admin.initialize_app(
            options={"databaseURL": endpoints["database_url"], "projectId": "demo-books"},
            name=f"frontend-{id(self)}",
        )

    def __enter__(self) -> Frontend:
        return self

    def __exit__(self, *_: object) -> None:
        firebase_admin.delete_app(self._app)

    def node(self, *keys: str) -> Any:
        return db.reference("/" + "/".join(quote(key, safe="") for key in keys), app=self._app)

    def book(self, book_id: str) -> Any:
        return self.node("books", book_id).get()

    def add(self, book_id: str, narrative: object, **more: object) -> None:
        record = {"title": book_id[:20], "narrative": narrative, **more}
        self.node("books", book_id).set({k: v for k, v in record.items() if v is not None})

    def request(self, book_id: str, uid: str | None = None) -> None:
        fields: dict[str, Any] = {
            "narrativeAudioStatus": "requested",
            "narrativeAudioRequestedAt": {".sv": "timestamp"},
        }
        if uid is not None:
            fields["narrativeAudioRequestedBy"] = uid
        self.node("books", book_id).update(fields)

    def add_requested(self, book_id: str, narrative: object, uid: str | None = None) -> None:
        self.add(book_id, narrative)
        self.request(book_id, uid)

    def cancel(self, book_id: str) -> None:
        self.node("books", book_id, "narrativeAudioStatus").delete()

    def delete(self, book_id: str) -> None:
        self.node("books", book_id).delete()

    def status(self, book_id: str) -> Any:
        return self.node("books", book_id, "narrativeAudioStatus").get()

    def wait_for_history(self, book_id: str, entries: int = 1) -> list[dict[str, Any]]:
        """The book's history once it has so many entries: each is written after the outcome."""

        def written() -> list[dict[str, Any]] | None:
            found = list((self.node("narrationJobs", book_id).get() or {}).values())
            return found if len(found) >= entries else None

        history: list[dict[str, Any]] = wait_until(written, f"{entries} entries of {book_id!r}")
        return history

    def wait_for_no_lease(self) -> None:
        """Until no claim has a lease: each is deleted after the outcome."""
        wait_until(lambda: self.node("narrationLeases").get() is None, "no lease to be left")

    def wait_for(self, book_id: str, status: str, seconds: float = LIMIT) -> dict[str, Any]:
        """The book once it has this status."""

        def reached() -> dict[str, Any] | None:
            book = self.book(book_id)
            found = isinstance(book, dict) and book.get("narrativeAudioStatus") == status
            return book if found else None

        book: dict[str, Any] = wait_until(reached, f"{book_id[:40]!r} to be {status}", seconds)
        return book


class Inside:
    """The daemon in a thread of this process: for all that needs no process of its own.

    Args:
        environment: of the local Firebase; must be that of this process, too.
        folder: where it keeps its things.
        settings: as for ``Daemon``.
        engine: who reads; that of the settings, where none is given.
        events: what this process logs.
        drain: whether it ends once nothing is left for it to do.
        file: what ``config.toml`` holds.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        settings: Mapping[str, object],
        engine: SpeechEngine | None,
        events: list[Any],
        *,
        drain: bool = False,
        file: str = "",
    ) -> None:
        chosen = {
            "SPEECH__ENGINE": "tone",
            "DAEMON__STATE_DIR": folder / "state",
            "KEPT__FOLDER": folder / "kept",
            "DAEMON__GRACE_SECONDS": 5,
            "FILES__FORMATS": "",
            **settings,
        }
        named = {f"NARRATOR_{name.upper()}": str(value) for name, value in chosen.items()}
        (folder / "config.toml").write_text(file)
        self.settings = config.load(folder / "config.toml", {**environment, **named})
        self.events = events
        self.status: int | None = None
        self.projects = [Project(one) for one in self.settings.each_database]
        self.parts = assembly.parts(
            self.settings, engine or choosing.create(self.settings), self.projects, drain=drain
        )
        self._worker = Worker(self.settings, self.parts, ServiceManager({}))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.ExitStack() as opened:
            for project in self.projects:
                opened.enter_context(project)
            self.status = self._worker.work()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """What was logged under this name."""
        return [one for one in list(self.events) if one["event"] == event]

    @property
    def condition(self) -> Condition:
        """How it is now."""
        return self.parts.condition("running")

    def wait_ready(self, seconds: float = LIMIT) -> Inside:
        """Once it takes books: its stream is open."""

        def ready() -> bool:
            assert self.status is None, f"the daemon ended with {self.status}"
            return self.condition.ready

        wait_until(ready, "the daemon to be ready", seconds)
        return self

    def wait(self, seconds: float = LIMIT) -> int | None:
        """Once it has ended: its exit status."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"the daemon has not ended in {seconds:.0f} s"
        return self.status

    def stop(self, seconds: float = LIMIT) -> int | None:
        """Ask it to stop, as a signal does; its exit status."""
        self._worker.stop()
        return self.wait(seconds)

    def end(self) -> None:
        """Stop it at once, if it still runs."""
        if self._thread.is_alive():
            self._worker.stop()
            self._worker.stop()
            self._thread.join(30)


class Daemon:
    """``narrator-daemon run`` with the tone engine, unless told otherwise.

    Args:
        environment: of the local Firebase.
        folder: where it keeps its things; made here.
        settings: by the second half of their variables' names; None for one that is not set.
        program: what Python is told to run.
        fresh: whether the interpreter is a new one that has imported nothing.
    """

    process: subprocess.Popen[bytes] | Forked

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        settings: Mapping[str, object],
        program: Sequence[str] = ("-m", "narrator_daemon"),
        *,
        fresh: bool = False,
    ) -> None:
        folder.mkdir()
        self.folder = folder
        self.log_path = folder / "log"
        chosen = {
            "SPEECH__ENGINE": "tone",
            "DAEMON__STATE_DIR": folder / "state",
            "KEPT__FOLDER": folder / "kept",
            "DAEMON__GRACE_SECONDS": 5,
            "LOGGING__FORMAT": "json",
            # Half a second of CPU for each file, which is for tests of files to spend.
            "FILES__FORMATS": "",
            **settings,
        }
        self.environment = {
            **os.environ,
            **environment,
            "OMP_NUM_THREADS": "1",
            **{
                f"NARRATOR_{name.upper()}": str(value)
                for name, value in chosen.items()
                if value is not None
            },
        }
        self.log_path.touch()
        arguments, env = [*program, "run"], self.environment
        if fresh or needs_fresh_interpreter(env):
            env = in_a_fresh_interpreter(env)
            with self.log_path.open("wb") as log:
                self.process = subprocess.Popen(
                    [sys.executable, *arguments], env=env, stdout=log, stderr=log, cwd=folder
                )
        else:
            self.process = Forked(arguments, env=env, output=self.log_path, cwd=folder)

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it logged, the lines that are events."""
        lines = [line for line in self.log.splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines if line.endswith("}")]

    def health(self) -> tuple[int, dict[str, Any]]:
        """Exit status and report of ``narrator-daemon health``."""
        answer = subprocess.run(
            [sys.executable, "-m", "narrator_daemon", "health"],
            env=self.environment,
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=LIMIT,
        )
        return answer.returncode, json.loads(answer.stdout)

    def wait_ready(self, seconds: float = LIMIT) -> Daemon:
        """Once it takes books: its stream is open."""

        def ready() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with {self.process.returncode}: {self.log}")
            try:
                folder = Path(self.environment["NARRATOR_DAEMON__STATE_DIR"])
                state = json.loads((folder / "state.json").read_text())
            except (OSError, ValueError):
                return False
            return bool(state["stream"]["state"] == "live")

        wait_until(ready, "the daemon to be ready", seconds)
        return self

    def wait_until_locked(self) -> Daemon:
        """Once it has written its state."""
        folder = Path(self.environment["NARRATOR_DAEMON__STATE_DIR"])
        wait_until(lambda: (folder / "state.json").exists(), "the daemon's state")
        return self

    def stop(self, seconds: float = LIMIT) -> int:
        """Ask it to stop, as systemd does; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def let_end(self) -> None:
        """Ask it to stop, so that its coverage is written; one that will not is left as it is."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop(15)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
