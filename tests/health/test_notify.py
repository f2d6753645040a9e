"""What the service manager is told, over real sockets, down to a daemon whose engine hangs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.firebase.subscription import StreamState
from narrator_daemon.health.notify import ServiceManager
from tests.actors import Frontend, wait_until
from tests.balky import PROGRAM
from tests.daemon.test_metrics import condition


class Manager:
    """The receiving end, as systemd's."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.heard: list[tuple[float, str]] = []

    def listen(self, seconds: float = 0.0) -> list[str]:
        """All lines that come within a time; kept in ``heard`` too."""
        lines = []
        until = time.monotonic() + seconds
        while True:
            self.socket.settimeout(max(0.001, until - time.monotonic()))
            try:
                message = self.socket.recv(65_536).decode()
            except TimeoutError:
                return lines
            lines += message.split("\n")
            self.heard += [(time.monotonic(), line) for line in message.split("\n")]

    def has_heard(self, line: str) -> bool:
        self.listen()
        return any(heard == line for _, heard in self.heard)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.socket.close()


def test_ready_is_said_once_it_runs_whether_or_not_it_takes_books(
    tmp_path: Path, manager: Manager
) -> None:
    service = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    service.tell(condition(phase="starting", loaded=False, stream=StreamState()))
    loading = "STATUS=the model is being loaded"
    assert manager.listen(0.05) == ["WATCHDOG=1", loading]
    service.tell(condition(loaded=False, stream=StreamState()))
    assert manager.listen(0.05) == ["READY=1", "WATCHDOG=1"]
    service.tell(condition())
    assert manager.listen(0.05) == ["WATCHDOG=1", "STATUS=4 books waiting, 1 in work"]
    service.tell(condition())
    assert manager.listen(0.05) == ["WATCHDOG=1"]
    service.tell(condition(stream=StreamState("waiting", error="the\nstream is lost")))
    assert manager.listen(0.05) == ["WATCHDOG=1", "STATUS=stream: the stream is lost"]
    service.tell(condition(phase="stopping"))
    service.tell(condition(phase="stopping"))
    assert manager.listen(0.05) == ["STOPPING=1", "STATUS=stopping, 1 books in work"]


@pytest.mark.parametrize("wrong", [{"stuck": 1}, {"late": {"heart": 301.0}}])
def test_the_watchdog_hears_nothing_of_a_daemon_that_hangs(
    tmp_path: Path, manager: Manager, wrong: dict[str, object]
) -> None:
    service = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    service.tell(condition(**wrong))
    assert "WATCHDOG=1" not in manager.listen(0.05)


def test_a_socket_in_the_abstract_namespace() -> None:
    name = f"narrator-test-{os.getpid()}"
    manager = Manager("\0" + name)
    ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).tell(condition())
    assert "READY=1" in manager.listen(0.05)
    manager.socket.close()


def test_without_a_socket_or_with_a_dead_one_nothing_happens(tmp_path: Path) -> None:
    ServiceManager({}).tell(condition())
    dead = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    dead.tell(condition())
    dead.tell(condition())


def test_a_daemon_whose_engine_hangs_sends_no_beats(
    firebase: LocalFirebase, frontend: Frontend, tmp_path: Path, manager: Manager
) -> None:
    environment = {
        **os.environ,
        **firebase.environment(),
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "NARRATOR_DAEMON__STATE_DIR": str(tmp_path / "state"),
        "NARRATOR_DAEMON__STUCK_SECONDS": "1",
        "NARRATOR_CLAIMS__BEAT_SECONDS": "0.3",
        "NARRATOR_CLAIMS__LEASE_TTL_SECONDS": "60",
        "OMP_NUM_THREADS": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL
    ) as daemon:
        try:
            wait_until(lambda: manager.has_heard("WATCHDOG=1"), "the first beat", 60)
            wait_until(lambda: manager.has_heard("READY=1"), "its loop to run", 30)
            idle = "STATUS=0 books waiting, 0 in work"
            assert not manager.has_heard(idle)
            (tmp_path / "load").touch()
            wait_until(lambda: manager.has_heard(idle), "readiness", 30)
            assert "WATCHDOG=1" in manager.listen(2.5)

            (tmp_path / "hang").touch()
            frontend.add_requested("b", "A text of a few words, to be read aloud.")
            stuck = "STATUS=the engine is stuck on 1 of its books"
            wait_until(lambda: manager.has_heard(stuck), "the engine to hang", 30)
            assert "WATCHDOG=1" not in manager.listen(3.5)

            (tmp_path / "hang").unlink()
            wait_until(lambda: "WATCHDOG=1" in manager.listen(0.5), "beats to come back", 30)
            frontend.wait_for("b", "ready")
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(30) == 0
            assert manager.has_heard("STOPPING=1")
        finally:
            if daemon.poll() is None:
                daemon.kill()
