"""The register written out, and marks and register brought back from a backup."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner, Result

from narrator_daemon import cli, config
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.marks import allotment
from tests.actors import Frontend, Inside, wait_until

StartInside = Callable[..., Inside]
TEXT = "It was a bright cold day in April, and the clocks were striking thirteen. " * 3


def command(*words: str) -> Result:
    return CliRunner().invoke(cli.app, words)


@pytest.fixture
def environment(firebase: LocalFirebase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in firebase.environment().items():
        monkeypatch.setenv(name, value)


def node(frontend: Frontend, name: str) -> Any:
    return frontend.node(name).get()


@pytest.mark.usefixtures("environment")
def test_marks_and_register_come_back_from_a_backup(
    frontend: Frontend, start_inside: StartInside, tmp_path: Path
) -> None:
    first = start_inside()
    for book_id in ("a", "b"):
        frontend.add_requested(book_id, TEXT)
        frontend.wait_for(book_id, "ready")
    wait_until(
        lambda: all("publishedAt" in each for each in node(frontend, "narrationRegister").values()),
        "both to be confirmed",
    )
    audio = requests.get(frontend.book("a")["narrativeAudioUrl"], timeout=20).content
    (tmp_path / "a.wav").write_bytes(audio)
    # A command has the log to itself.
    first.stop()
    assert command("register", "export", "--out", "register.json").exit_code == 0
    exported = json.loads((tmp_path / "register.json").read_text())
    assert exported == node(frontend, "narrationRegister")
    assert json.loads(command("register", "export", "--book", "b").stdout) == {
        token: entry for token, entry in exported.items() if entry["book"] == "b"
    }
    marks = node(frontend, "narrationMarks")

    # All is lost; what the documentation names is brought back.
    frontend.node().delete()
    assert json.loads(command("register", "export").stdout) == {}
    assert command("inspect", "--json", "a.wav").exit_code == 0
    frontend.node("narrationMarks").set(marks)
    frontend.node("narrationRegister").set(json.loads((tmp_path / "register.json").read_text()))
    found = json.loads(command("inspect", "--json", "a.wav").stdout)[0]
    assert (found["verdict"], found["mark"]["book"]) == ("agree", "a")
    # No index is given twice, though the counter was not brought back.
    with Project(config.load(None)) as project:
        given = {book_id: allotment.allot(project, book_id) for book_id in ("a", "b", "c")}
    assert given == {**marks, "c": max(marks.values()) + 1 + 2**20}


@pytest.mark.usefixtures("environment")
def test_a_register_of_many_pages_is_exported_whole(
    frontend: Frontend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("narrator_daemon.commands.register._PAGE", 3)
    entries = {name: {"book": "b", "n": name} for name in ("1", "2", "10", "0a", "a", "b", "c")}
    frontend.node("narrationRegister").set(entries)
    assert json.loads(command("register", "export").stdout) == entries
    # A file that cannot be written whole is not there.
    monkeypatch.setattr(books, "page", lambda *_: [][0])
    assert CliRunner().invoke(cli.app, ["register", "export", "-o", "r.json"]).exit_code != 0
    assert list(tmp_path.iterdir()) == []
