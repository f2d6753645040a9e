"""Segments that an operator has read anew, against the local Firebase."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner, Result

from narrator_daemon import cli
from narrator_daemon.claims.book import text_hash
from narrator_daemon.emulator import LocalFirebase
from tests.actors import Daemon, Frontend, wait_until

TEXT = "It was a bright cold day in April.\n\n" + "The clocks were striking thirteen. " * 20


def command(*words: str) -> Result:
    return CliRunner().invoke(cli.app, words)


@pytest.fixture(autouse=True)
def environment(firebase: LocalFirebase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in firebase.environment().items():
        monkeypatch.setenv(name, value)


def test_they_are_read_anew_and_every_file_with_them(
    frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon(FILES__FORMATS="m4a").wait_ready()
    frontend.add_requested("b", TEXT)
    first = frontend.wait_for("b", "ready")
    done = command("retake", "b", "--segment", "2", "--segment", "1")
    assert (done.exit_code, done.stdout) == (0, "b: requested, segment 1, 2 anew\n")
    wait_until(lambda: frontend.book("b").get("narrativeAudioTake") == 2, "the second take")
    book = frontend.book("b")
    assert "narrativeAudioRetake" not in book
    file = book["narrativeAudioFiles"]["m4a"]
    assert file["path"] != first["narrativeAudioFiles"]["m4a"]["path"]
    answer = requests.get(file["url"], headers={"Range": "bytes=0-11"}, timeout=60)
    assert answer.status_code == 206 and answer.content[4:] == b"ftypM4A "
    assert answer.headers["Content-Type"] == "audio/mp4"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("none", "--segment", "1"), "no book"),
        (("a.b", "--segment", "1"), "no book"),
        (("b", "--segment", "99"), "no segment 99: its text has "),
        (("b", "--segment", "0"), "greater than or equal to 1"),
        (("b",), "Missing option"),
        (("edited", "--segment", "1"), "not the one that was read"),
        (("plain", "--segment", "1"), "not the one that was read"),
    ],
)
def test_what_cannot_be_asked_for_is_told(
    frontend: Frontend, words: tuple[str, ...], says: str
) -> None:
    read = {
        "narrativeAudioPath": "narrations/b/x.wav",
        "narrativeAudioTextHash": text_hash(TEXT),
        "narrativeAudioStatus": "ready",
    }
    frontend.add("b", TEXT, **read)
    frontend.add("edited", TEXT + "!", **read)
    frontend.add("plain", TEXT)
    done = command("retake", *words)
    assert done.exit_code != 0
    assert says in " ".join((done.output + str(done.exception)).split())
    assert frontend.status("b") == "ready"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("narrativeAudioLexicon", "clocks\tIt rings. It rings again. " + "It goes on. " * 30),
        ("narrativeAudioCast", {"Alice": "anna"}),
    ],
)
def test_a_book_that_says_how_its_text_is_cut_is_counted_by_the_daemon(
    frontend: Frontend, name: str, value: object
) -> None:
    read = {
        "narrativeAudioPath": "narrations/b/x.wav",
        "narrativeAudioTextHash": text_hash(TEXT),
        "narrativeAudioStatus": "ready",
    }
    frontend.add("b", TEXT, **read, **{name: value})
    done = command("retake", "b", "--segment", "99")
    assert done.exit_code == 0, done.output
    assert frontend.book("b")["narrativeAudioRetake"] == [99]
