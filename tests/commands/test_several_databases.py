"""Commands where the configuration names several databases: on all of them, or on a chosen one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
