from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from narrator_daemon.emulator import DamagedDataError, EmulatorError, LocalFirebase
from narrator_daemon.emulator.database import disk

OWNER = {"Authorization": "Bearer owner"}
SHELF = {"a": {"n": 1, "tags": ["x", "y"]}, "p": {".value": 2, ".priority": 3}}


def run(*options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "narrator_daemon", "emulator"]
    ports = ["--database-port", "0", "--storage-port", "0"]
    return subprocess.Popen(
        [*command, *ports, *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_import_takes_the_place_of_the_data_and_an_export_is_written_in_the_end(
    tmp_path: Path,
) -> None:
    imported, exported, data = tmp_path / "in.json", tmp_path / "out.json", tmp_path / "data"
    data.mkdir()
    (data / "database.json").write_text('{"old": true}')
    imported.write_text(json.dumps({"books": SHELF, "at": {".sv": "timestamp"}}))
    process = run("--import", imported, "--export-on-exit", exported, "--data", data)
    try:
        assert process.stdout is not None
        host = json.loads(process.stdout.readline())["database_host"]
        url = f"http://{host}/books.json"
        assert requests.get(url, params={"format": "export"}, timeout=60).json() == SHELF
        requests.put(f"http://{host}/new.json", data="1", headers=OWNER, timeout=60)
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    written = json.loads(exported.read_text())
    assert written.pop("at") > 1.7e12
    assert written == {"books": SHELF, "new": 1}
    assert json.loads((data / "database.json").read_text())["new"] == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"nonsense", "not a database export"),
        (b"\xff\xfe\xfa", "not a database export"),
        (b'{"a": NaN}', "NaN"),
        (b"[" * 100_000, "deep"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "32"),
        (b'{"books": {"a.b": 1}}', "'a.b'"),
        (b'{"a": {".value": {"b": 1}, "c": 1}}', ".value"),
        (b'"' + b"x" * 11_000_000 + b'"', "10485760"),
        (None, "No such file"),
    ],
)
def test_what_cannot_be_imported(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "in.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DamagedDataError, match=r"in\.json") as caught:
        disk.import_file(file)
    assert said in str(caught.value)
    assert len(str(caught.value)) < len(str(file)) + 200


def test_an_import_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MAX_IMPORT_BYTES", 1024**2)
    file = tmp_path / "in.json"
    file.write_bytes(b" " * (1024**2 + 1))
    with pytest.raises(DamagedDataError, match="1 MiB"):
        disk.import_file(file)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--import", "{}/nothing.json"], "nothing.json: cannot be read"),
        (["--export-on-exit", "{}/no/such.json"], "cannot export to"),
        (["--export-on-exit", "{}"], "cannot export to"),
        (["--data", "{}/damaged"], "damaged/database.json: not a database export"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(
    tmp_path: Path, options: list[str], said: str
) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "database.json").write_text("[" * 100_000)
    process = run(*(option.format(tmp_path) for option in options))
    output, errors = process.communicate(timeout=30)
    assert process.returncode not in (0, None)
    assert output == ""
    assert said in errors.replace("\n", " ")
    assert "Traceback" not in errors


def test_an_export_of_a_running_database(
    firebase: LocalFirebase, rest: Any, tmp_path: Path
) -> None:
    rest.put("/books", SHELF)
    firebase.export(tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == {"books": SHELF}
    assert [file.name for file in tmp_path.iterdir()] == ["out.json"]
    with pytest.raises(EmulatorError, match="cannot export to"):
        firebase.export(tmp_path / "no" / "such.json")
