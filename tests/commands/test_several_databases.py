"""Commands where the configuration names several databases: on all of them, or on a chosen one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from typer.testing import CliRunner, Result

from narrator_daemon import cli
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.wav import WavWriter

SEVERAL = """
[[firebase]]
name = "a"
[[firebase]]
name = "b"

[speech]
engine = "tone"
[files]
formats = []
[logging]
level = "error"
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalFirebase]:
    with LocalFirebase() as running:
        yield running


@pytest.fixture
def firebase(
    shared: LocalFirebase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalFirebase]:
    """Two databases: ``a`` with a book that waits, ``b`` with two and one in work."""
    monkeypatch.chdir(tmp_path)
    for name, value in shared.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NARRATOR_DAEMON__STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("NARRATOR_KEPT__FOLDER", str(tmp_path / "kept"))
    (tmp_path / "config.toml").write_text(SEVERAL)
    shared.load("/books", {"tale": book("requested")}, "a")
    shelf = {"x": book("requested"), "y": book("requested"), "z": book("processing")}
    shared.load("/books", shelf, "b")
    yield shared
    shared.faults.clear()


def book(status: str) -> dict[str, Any]:
    return {"title": "T", "narrative": "A text of words.", "narrativeAudioStatus": status}


def command(*words: str) -> Result:
    return CliRunner().invoke(cli.app, words)


def checks(*words: str) -> dict[str, dict[str, str]]:
    done = command(*words, "doctor", "--json")
    return {check["name"]: check for check in json.loads(done.stdout)}


def set_rules(firebase: LocalFirebase, database: str, rules: dict[str, Any]) -> None:
    requests.put(
        f"http://{firebase.endpoints['database_host']}/.settings/rules.json?ns={database}",
        json={"rules": rules},
        headers={"Authorization": "Bearer owner"},
        timeout=60,
    ).raise_for_status()


FIREBASE = {
    *("credentials", "database", "rules", "register", "clock", "bucket", "URLs"),
    "audio of ready books",
}


class TestDoctor:
    def test_this_machine_is_looked_at_once_and_each_database(
        self, firebase: LocalFirebase
    ) -> None:
        ready = {**book("ready"), "narrativeAudioPath": "narrations/gone.wav"}
        firebase.load("/books/old", ready, "b")
        open_to_all = {".read": True, ".write": True}
        index = {".indexOn": ["narrativeAudioStatus", "narrativeAudioUrlExpiresAt"]}
        set_rules(firebase, "open", {**open_to_all, "books": index})
        Path("config.toml").write_text(SEVERAL.replace('"a"', '"open"'))
        found = checks()
        machine = {name for name in found if " of " not in name}
        assert {"configuration", "watermark key", "speech"} <= machine
        assert not machine & FIREBASE
        each = {f"{name} of {database}" for name in FIREBASE for database in ("open", "b")}
        assert each | {"book old of b"} == found.keys() - machine
        assert found["rules of open"]["result"] == "fail"
        assert found["rules of b"]["result"] == "pass"
        assert found["audio of ready books of open"]["result"] == "pass"

    def test_one_without_its_bucket_is_named_and_the_other_looked_at(
        self, firebase: LocalFirebase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in firebase.environment():
            monkeypatch.delenv(name)
        written = SEVERAL
        for name in ("a", "b"):
            keys = f'project_id = "{name}"\ndatabase_url = "https://{name}.firebaseio.com"\n'
            written = written.replace(f'"{name}"\n', f'"{name}"\n{keys}')
        Path("account.json").write_text("{}")
        more = 'credentials = "account.json"\n'
        place = 'name = "b"\n'
        written = written.replace(place, f'{place}storage_bucket = "bucket"\n{more}')
        Path("config.toml").write_text(written)
        found = checks()
        assert found["credentials of a"]["result"] == "fail"
        assert "[[firebase]] a: storage_bucket: is not set" in found["credentials of a"]["note"]
        # Looked at by itself: what is wrong with it is something else.
        assert "account.json cannot be used" in found["credentials of b"]["note"]
        assert found["URLs of a"]["note"] == "not looked at: mend the credentials first"

    def test_a_chosen_one_is_looked_at_as_if_alone(self, firebase: LocalFirebase) -> None:
        found = checks("--database", "b")
        assert found.keys() >= FIREBASE
        assert not any(" of a" in name or " of b" in name for name in found)
        assert "'poems'; there are a, b" in checks("--database", "poems")["configuration"]["note"]


@pytest.mark.parametrize(
    "words",
    [
        ["explain", "tale"],
        ["retry", "tale"],
        ["retry", "--failed"],
        ["failed"],
        ["refresh-urls"],
        ["retake", "tale", "--segment", "1"],
        ["control", "show"],
        ["control", "pause"],
        ["register", "export"],
        ["batch", "show", "x"],
        ["watermark", "detect", "x.wav"],
        ["watermark", "embed", "x.wav", "y.wav", "--book", "tale"],
        ["watermark", "report", "x.wav", "--out", "x.html"],
        ["inspect", "x.wav"],
    ],
    ids=" ".join,
)
def test_what_is_of_one_database_asks_which(firebase: LocalFirebase, words: list[str]) -> None:
    with Path("x.wav").open("wb") as file, WavWriter(file, 24_000) as wav:
        wav.write(np.zeros(24_000, dtype=np.int16))
    done = command(*words)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == (
        "[[firebase]]: there are several: a, b; say which one is meant, before the command: "
        "narrator-daemon --database NAME …"
    )


def test_what_is_of_one_database_works_on_the_chosen_one(firebase: LocalFirebase) -> None:
    told = command("--database", "a", "explain", "--json", "tale")
    assert (told.exit_code, json.loads(told.stdout)["book"]) == (0, "tale")
    assert command("--database", "b", "explain", "tale").exit_code == 2
