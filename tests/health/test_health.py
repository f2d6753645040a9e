"""The exec probes: what each exit status means, and how long an answer takes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from narrator_daemon import config, paths
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.harness.faults import Fault
from narrator_daemon.firebase.subscription import StreamState
from narrator_daemon.health import probe
from narrator_daemon.health.ask import HEALTHY, NO_DAEMON, UNHEALTHY, ask
from narrator_daemon.health.condition import Condition
from narrator_daemon.health.state_folder import StateFolder
from tests.actors import Frontend, Inside, wait_until
from tests.daemon.test_metrics import condition

DOWN = StreamState("waiting", error="the database does not answer")


@pytest.mark.parametrize(
    ("seen", "healthy", "ready", "live"),
    [
        pytest.param(condition(), HEALTHY, HEALTHY, HEALTHY, id="all is well"),
        pytest.param(
            condition(stream=DOWN, down={"database": "no answer"}),
            UNHEALTHY,
            UNHEALTHY,
            HEALTHY,
            id="Firebase is down",
        ),
        pytest.param(
            condition(down={"storage": "403"}), UNHEALTHY, HEALTHY, HEALTHY, id="no bucket"
        ),
        pytest.param(
            condition(loaded=False, stream=StreamState()),
            UNHEALTHY,
            UNHEALTHY,
            HEALTHY,
            id="the model is being loaded",
        ),
        pytest.param(
            condition(phase="starting", loaded=False, stream=StreamState()),
            UNHEALTHY,
            UNHEALTHY,
            HEALTHY,
            id="just started",
        ),
        pytest.param(condition(stuck=1), UNHEALTHY, HEALTHY, UNHEALTHY, id="the engine hangs"),
        pytest.param(
            condition(late={"heart": 301.0}), UNHEALTHY, HEALTHY, UNHEALTHY, id="a loop hangs"
        ),
        pytest.param(condition(phase="stopping"), UNHEALTHY, UNHEALTHY, HEALTHY, id="it stops"),
    ],
)
def test_what_each_probe_says(
    tmp_path: Path, seen: Condition, healthy: int, ready: int, live: int
) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.write(seen.as_record())
    asked = [ask(tmp_path / "state", probe).exit_code for probe in ("healthy", "ready", "live")]
    assert asked == [healthy, ready, live]
    folder.close()
    gone = [ask(tmp_path / "state", probe).exit_code for probe in ("healthy", "ready", "live")]
    assert gone == [NO_DAEMON] * 3


def test_a_state_that_grows_old_is_neither_ready_nor_live(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.write(condition().as_record())
    path = tmp_path / "state" / "state.json"
    old: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps({**old, "writtenAt": old["writtenAt"] - 60}))
    for asked in ("healthy", "ready", "live"):
        assert ask(tmp_path / "state", asked).exit_code == UNHEALTHY
    assert ask(tmp_path / "state").report["status"] == "hanging"
    folder.close()


def test_the_command_answers_a_probe_at_once_as_it_loads_nothing(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.write(condition().as_record())
    program = (
        "import sys\nfrom narrator_daemon.__main__ import main\n"
        "sys.argv = ['narrator-daemon', 'health', '--live']\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    code = ended.code\n"
        "loaded = {'typer', 'rich', 'pydantic', 'structlog', 'numpy', 'requests'}"
        " & set(sys.modules)\n"
        "sys.exit(repr(loaded) if loaded else code)"
    )
    environment = {**os.environ, "NARRATOR_DAEMON__STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["status"] == "healthy"
    folder.close()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--live", "--ready"], b"not both"),
        (["--config", "none.toml"], b"none.toml: cannot be read"),
        (["--lively"], b"--lively"),
    ],
)
def test_a_mistake_is_said_by_the_command_line(
    tmp_path: Path, words: list[str], says: bytes
) -> None:
    program = [sys.executable, "-m", "narrator_daemon", "health", *words]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.parametrize(
    ("toml", "environment"),
    [
        (None, {}),
        (None, {"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/run/user/1"}),
        (None, {"XDG_RUNTIME_DIR": "/run/user/1"}),
        (None, {"TMPDIR": "/var/tmp"}),
        ("", {"TMPDIR": "/var/tmp"}),
        ("[daemon]\ngrace_seconds = 3\n", {"RUNTIME_DIRECTORY": "/run/a"}),
        ('[daemon]\nstate_dir = "/from/file"\n', {"RUNTIME_DIRECTORY": "/run/a"}),
        ('[daemon]\nstate_dir = "/from/file"\n', {"NARRATOR_DAEMON__STATE_DIR": "/from/env"}),
        (None, {"NARRATOR_daemon__state_dir": "/from/env"}),
    ],
)
def test_a_probe_looks_where_the_daemon_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    toml: str | None,
    environment: dict[str, str],
) -> None:
    for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    file = None
    if toml is not None:
        file = tmp_path / "config.toml"
        file.write_text(toml)
    monkeypatch.chdir(tmp_path)
    wanted = config.load(None).daemon.state_dir
    assert paths.find(None, os.environ) == paths.find(file, os.environ) == wanted


def test_a_probe_reads_the_env_file_as_the_daemon_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NARRATOR_DAEMON__STATE_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text('export NARRATOR_DAEMON__STATE_DIR="/from/env file"\n')
    assert probe.answer(["health"]) == NO_DAEMON
    assert json.loads(capsys.readouterr().out)["state_dir"] == "/from/env file"
    (tmp_path / ".env").write_bytes(b"\xff")
    assert probe.answer(["health"]) is None


def test_a_working_directory_that_may_not_be_entered_is_one_without_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As root's own is for the daemon's user, when root asks in its name."""
    monkeypatch.setenv("NARRATOR_DAEMON__STATE_DIR", "/nowhere")
    look = os.stat

    def closed(path: Any, **rest: Any) -> os.stat_result:
        if isinstance(path, int) or Path(path).is_absolute():
            return look(path, **rest)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "stat", closed)
    assert probe.answer(["health"]) == NO_DAEMON
    assert json.loads(capsys.readouterr().out)["state_dir"] == "/nowhere"
    monkeypatch.delenv("NARRATOR_DAEMON__STATE_DIR")
    assert probe.answer(["health"]) == NO_DAEMON
    assert config.load(None).daemon.state_dir == paths.default()


@pytest.mark.parametrize("toml", ["daemon = 3\n", "[daemon]\nstate_dir = 3\n", "[daemon\n"])
def test_a_configuration_that_cannot_be_used_is_no_answer(tmp_path: Path, toml: str) -> None:
    (tmp_path / "config.toml").write_text(toml)
    assert probe.answer(["health", f"--config={tmp_path / 'config.toml'}"]) is None
    assert probe.answer(["run"]) is None


def test_a_book_whose_outcome_the_database_does_not_take_is_not_a_hanging_engine(
    firebase: LocalFirebase, frontend: Frontend, start_inside: Callable[..., Inside]
) -> None:
    # The state is written once a second, and beats are what judges jobs.
    daemon = start_inside(
        DAEMON__STUCK_SECONDS=1,
        DAEMON__BOOKS_AT_ONCE=1,
        CLAIMS__BEAT_SECONDS=0.2,
        CLAIMS__LEASE_TTL_SECONDS=60,
    ).wait_ready()
    firebase.faults.add(Fault("slow", service="storage", method="POST|PUT", seconds=0.5, count=1))
    frontend.add_requested("b", "A text of a few words, to be read aloud.")
    frontend.wait_for("b", "processing")
    down = firebase.faults.add(Fault("status", status=503, method="PUT", path="^/books/b$"))
    wait_until(lambda: firebase.faults.hits(down) > 0, "the outcome to be refused")
    refused_at = time.monotonic()
    while time.monotonic() - refused_at < 2.5:
        assert daemon.condition.live
        assert daemon.status is None
        time.sleep(0.1)
    assert frontend.status("b") == "processing"
    firebase.faults.clear(down)
    frontend.wait_for("b", "ready", 30)
    assert not daemon.logged("engine_stuck")


def test_who_may_not_look_is_not_told_that_nobody_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another user than the daemon's, who may not even open the lock."""

    def closed(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("narrator_daemon.health.ask.os.open", closed)
    seen = ask(tmp_path)
    assert (seen.exit_code, seen.report["status"]) == (NO_DAEMON, "unknown")
    (why,) = seen.report["problems"]
    assert "may not look into it" in why and "sudo -u" in why


def test_one_that_runs_elsewhere_is_pointed_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    running = StateFolder(tmp_path / "narrator-daemon-1234")
    seen = ask(tmp_path / "narrator-daemon-0")
    assert seen.exit_code == NO_DAEMON
    assert (
        f"NARRATOR_DAEMON__STATE_DIR={tmp_path}/narrator-daemon-1234" in seen.report["problems"][-1]
    )
    running.close()
    stopped = ask(tmp_path / "narrator-daemon-0").report
    assert str(tmp_path / "narrator-daemon-1234") not in str(stopped)


def test_a_full_disk_keeps_no_state_from_being_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.write(condition().as_record())

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folder, "_replace", full)
    folder.write(condition(phase="stopping").as_record())
    assert ask(tmp_path / "state", "live").report["status"] == "stopping"
    folder.write(condition(down={"disk": "no room " * 100}).as_record())
    assert ask(tmp_path / "state").report["problems"][0].startswith("disk")
    folder.write(condition().as_record())
    assert ask(tmp_path / "state").exit_code == HEALTHY
    folder.close()
