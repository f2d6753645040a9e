"""The one place where errors are told: what people see, and the exit status."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from narrator_daemon import cli
from narrator_daemon.cli.common import CANNOT, ToldErrors
from narrator_daemon.errors import ConfigError, NarratorError, Unavailable
from narrator_daemon.speech import SpeechError


def run(error: BaseException) -> Result:
    app = typer.Typer(cls=ToldErrors)
    inner = typer.Typer()
    app.add_typer(inner, name="inner")

    @inner.command()
    def fail() -> None:
        raise error

    return CliRunner().invoke(app, ["inner", "fail"])


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigError("is not set", where="[a] b", advice="set it"), "[a] b: is not set; set it"),
        (Unavailable("database", "the database answers 503"), "the database answers 503"),
        (SpeechError("engine_error", "no weights"), "no weights"),
        (NarratorError("[red]evil\x1b[31m"), "[red]evil\ufffd[31m"),
        (NarratorError("?X-Goog-Signature=deadbeef"), "?X-Goog-Signature=…"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x.wav"), "x.wav: No such"),
        (OSError(errno.ENOSPC, "No space left on device"), "files: No space left"),
    ],
)
def test_what_can_be_told_is_told_in_a_line(error: Exception, told: str) -> None:
    done = run(error)
    assert done.exit_code == CANNOT
    assert done.stderr.startswith(told)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("a bug"), OSError("no number"), BrokenPipeError(errno.EPIPE, "x")]
)
def test_what_is_a_fault_of_the_program_is_not_hidden(error: Exception) -> None:
    done = run(error)
    assert done.exit_code != CANNOT
    assert done.stderr == ""


def test_an_exit_of_a_command_s_own_stays() -> None:
    assert run(typer.Exit(7)).exit_code == 7


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["retry"], "Name the books"),
        (["retry", "b", "--failed"], "Name the books"),
        (["health", "--ready", "--live"], "not both"),
        (["bench", "--slots", "0"], "--slots: found '0'"),
        (["emulator", "--namespace", "a b"], "--namespace: found 'a b'"),
        (["emulator", "--bucket", "../x"], "--bucket: found '../x'"),
        (["emulator", "--data", "config.toml"], "--data: config.toml is no folder"),
        (["watermark", "embed", "a.wav", "b.wav"], "Name either --book ID or --index N."),
        (["watermark", "report", "a.wav", "--out", "a.pdf"], "a.pdf: must end in .svg or .html"),
        (["explain", "a/b"], "There is no book 'a/b'."),
        (["status"], "[firebase] project_id: is not set"),
        (["run"], "[firebase] project_id: is not set"),
        (["keys", "new", "config.toml"], "config.toml: is there already"),
        (["keys", "new", "none/k"], "none/k: cannot be written: No such file or directory"),
        (["narrate", "none.txt", "--out", "x.wav"], "none.txt: cannot be read"),
        (["narrate", "bad.txt", "--out", "x.wav"], "bad.txt: is not UTF-8 text (byte 0)"),
        (["watermark", "detect", "none.wav"], "none.wav"),
    ],
)
def test_each_command_says_what_is_wrong_with_its_words(
    words: list[str], told: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FIREBASE_DATABASE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NARRATOR_SPEECH__ENGINE", "tone")
    (tmp_path / "config.toml").write_text('[logging]\nlevel = "error"\n')
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == CANNOT, done.output
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
