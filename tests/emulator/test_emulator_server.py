from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from narrator_daemon.emulator import EmulatorError, InvalidRulesError, LocalFirebase

OWNER = {"Authorization": "Bearer owner"}
SERVE = "from pathlib import Path; from narrator_daemon.emulator import serve; serve({})"


def start(arguments: str = "") -> tuple[subprocess.Popen[str], dict[str, str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE.format(arguments)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def gone(url: str) -> bool:
    """Whether nobody listens there any more, within some seconds."""
    host, _, port = url.removeprefix("http://").partition(":")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) != 0:
                return True
        time.sleep(0.02)
    return False


def children_of(pid: int) -> list[int]:
    listing = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = [tuple(map(int, line.split())) for line in listing.stdout.splitlines()]
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        below = [child for child, its_parent in pairs if its_parent == parent]
        found += below
        waiting += below
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_prints_its_endpoints_and_ends_on_a_signal(number: int) -> None:
    process, endpoints = start()
    try:
        assert endpoints["namespace"] == "demo-books"
        assert endpoints["bucket"] == "demo-books.appspot.com"
        host = endpoints["database_host"]
        assert endpoints["database_url"] == f"http://{host}?ns=demo-books"
        assert requests.get(f"http://{host}/books.json?ns=demo-books", timeout=60).json() is None
        assert requests.get(f"{endpoints['storage_url']}/storage/v1/b", timeout=60).ok
        assert children_of(process.pid) == []
    finally:
        process.send_signal(number)
    assert process.wait(60) == 0


def _objects(firebase: Any) -> Any:
    os.environ["STORAGE_EMULATOR_HOST"] = firebase["storage_url"]
    client = storage.Client(project="demo-books", credentials=AnonymousCredentials())
    return client.bucket(firebase["bucket"])


@pytest.fixture
def storage_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "")


@pytest.mark.usefixtures("storage_environment")
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_data_survives_a_restart(tmp_path: Path, how: str) -> None:
    process, endpoints = start(f"data=Path({str(tmp_path)!r})")
    try:
        url = f"http://{endpoints['database_host']}"
        book = {"n": 1, "list": ["a", "b"], "p": {".value": 2, ".priority": 3}}
        requests.put(f"{url}/books/a.json", json=book, headers=OWNER, timeout=60).raise_for_status()
        patch = {"a/n": 2, "b": {"n": 1}, "c": {"n": 1}}
        requests.patch(f"{url}/books.json", json=patch, headers=OWNER, timeout=60)
        requests.delete(f"{url}/books/c.json", headers=OWNER, timeout=60)
        bucket = _objects(endpoints)
        bucket.blob("narrations/a/t.wav").upload_from_string(b"audio", content_type="audio/wav")
    finally:
        process.kill() if how == "kill" else process.terminate()
        process.wait(60)
    with LocalFirebase(data=tmp_path) as firebase:
        url = f"http://{firebase.endpoints['database_host']}/books.json"
        got = requests.get(url, params={"format": "export"}, headers=OWNER, timeout=60).json()
        assert got == {"a": {**book, "n": 2}, "b": {"n": 1}}
        blob = _objects(firebase.endpoints).get_blob("narrations/a/t.wav")
        assert (blob.download_as_bytes(), blob.content_type) == (b"audio", "audio/wav")


def test_the_data_folder_holds_the_databases_own_json(tmp_path: Path) -> None:
    (tmp_path / "database.json").write_text('{"books": {"a": ["x", "y"]}}')
    with LocalFirebase(storage=False, data=tmp_path) as firebase:
        firebase.load("/books/b", 1)
    assert json.loads((tmp_path / "database.json").read_text()) == {
        "books": {"a": ["x", "y"], "b": 1}
    }


def test_a_commit_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "database.journal").write_text('[[["a"],1]]\n[[["b"],')
    with LocalFirebase(storage=False, data=tmp_path):
        pass
    assert json.loads((tmp_path / "database.json").read_text()) == {"a": 1}


@pytest.mark.parametrize("name", ["database.json", "database.journal"])
def test_damaged_data_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("nonsense\n")
    with pytest.raises(ValueError, match=name), LocalFirebase(storage=False, data=tmp_path):
        pass
    assert (tmp_path / name).read_text() == "nonsense\n"


def test_a_port_that_is_taken() -> None:
    with LocalFirebase(storage=False) as firebase:
        port = int(firebase.endpoints["database_host"].rpartition(":")[2])
        with pytest.raises(EmulatorError, match=r"127\.0\.0\.1"):
            LocalFirebase(storage=False, database_port=port).start()


def test_rules_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    with pytest.raises(EmulatorError, match=r"rules\.json"):
        LocalFirebase(rules=path)
    path.write_text('{"rules": {".read": "oops"}}')
    with pytest.raises(InvalidRulesError, match="oops"):
        LocalFirebase(rules=path)


def test_it_listens_on_loopback_only(shared_firebase: LocalFirebase) -> None:
    assert shared_firebase.endpoints["database_host"].startswith("127.0.0.1:")
    assert shared_firebase.endpoints["storage_url"] == ""
    assert "STORAGE_EMULATOR_HOST" not in shared_firebase.environment()


def test_stopping_twice() -> None:
    firebase = LocalFirebase(storage=False).start()
    url = firebase.endpoints["database_host"]
    firebase.stop()
    firebase.stop()
    assert gone(url)
    with pytest.raises(EmulatorError, match="not running"):
        _ = firebase.endpoints
