"""What the benchmarks of the daemon share: a daemon beside a local Firebase, and its streams."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import firebase_admin
import requests
from firebase_admin import db

from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.firebase.subscription import parse_events

#: The model and the voices of Kokoro, as `make kokoro` brings them.
KOKORO = str(Path(__file__).parent.parent / ".venv/kokoro")


@contextmanager
def daemon(firebase: LocalFirebase, **settings: object) -> Iterator[Path]:
    """``narrator-daemon run`` with the tone engine unless told otherwise; gives its folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = daemon_process(firebase, folder, **settings)
        try:
            wait_until(lambda: stream_is_live(folder / "state" / "state.json"), 120)
            yield folder
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def daemon_process(
    firebase: LocalFirebase, folder: Path, **settings: object
) -> subprocess.Popen[bytes]:
    """A daemon as above that is just being started, for those who do more to it than stop it."""
    chosen = {
        "SPEECH__ENGINE": "tone",
        "DAEMON__STATE_DIR": folder / "state",
        "KEPT__FOLDER": folder / "kept",
        **settings,
    }
    environment = {
        **os.environ,
        **firebase.environment(),
        **{f"NARRATOR_{name}": str(value) for name, value in chosen.items()},
    }
    command = [sys.executable, "-m", "narrator_daemon", "run"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, env=environment, stderr=log, stdout=log, cwd=folder)


def stream_is_live(state: Path) -> bool:
    """Whether a daemon's state says that it takes books."""
    try:
        return bool(json.loads(state.read_text())["stream"]["state"] == "live")
    except (OSError, ValueError):
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition; an error if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain")
        time.sleep(0.02)


@contextmanager
def frontend(firebase: LocalFirebase) -> Iterator[Callable[[str], Any]]:
    """From paths to references of the public SDK."""
    app = firebase_admin.initialize_app(
        options={"databaseURL": firebase.endpoints["database_url"]}, name="frontend"
    )
    try:
        yield lambda path: db.reference(path, app=app)
    finally:
        firebase_admin.delete_app(app)


def status_changes(firebase: LocalFirebase) -> Iterator[tuple[float, str, str]]:
    """Every change of a book's status as a frontend's stream shows it: when, book, status."""
    url = f"http://{firebase.endpoints['database_host']}/books.json?ns=demo-books"
    headers = {"Accept": "text/event-stream", "Authorization": "Bearer owner"}
    answer = requests.get(url, headers=headers, stream=True, timeout=60)
    for event in parse_events(answer.raw.read_chunked(65_536)):
        if event.name not in ("put", "patch"):
            continue
        at = time.monotonic()
        message = json.loads(event.data)
        keys = [key for key in message["path"].split("/") if key]
        data = message["data"]
        if len(keys) == 1 and isinstance(data, dict) and "narrativeAudioStatus" in data:
            yield at, keys[0], data["narrativeAudioStatus"]
        elif keys[1:] == ["narrativeAudioStatus"]:
            yield at, keys[0], data


def process_tree(process: int) -> list[int]:
    """A process and all that it and those have started, as far as they live."""
    waiting, found = [process], []
    while waiting:
        found.append(waiting.pop())
        try:
            for children in Path(f"/proc/{found[-1]}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())
        except OSError:
            continue
    return found


def cpu_seconds(process: int) -> float:
    """Of a process tree, with those that have ended and were waited for."""
    ticks = 0
    for one in process_tree(process):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
