"""`bench` and `model fetch` for the engine kokoro, on a model made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from narrator_daemon.cli import app
from tests.speech import tiny_kokoro


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NARRATOR_KOKORO__MODEL", str(tiny_kokoro.save(tmp_path / "kokoro")))


def test_what_a_second_of_sound_costs_is_measured() -> None:
    command = ["bench", "--engine", "kokoro", "--seconds", "0.5", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["engine"] == "kokoro" and found["segments"] > 0
    # Eleven phonemes a second and more, at two units of 25 ms each.
    assert 1 < found["audio_seconds"] / found["segments"] < 60
    assert found["cpu_seconds"] > 0 and 0.02 < found["peak_memory_gib"] < 8
    assert found["seconds_for_1000_words"] == pytest.approx(
        found["seconds"] / found["segments"] / 44 * 1000
    )


def test_a_table_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARRATOR_SPEECH__ENGINE", "kokoro")
    done = CliRunner().invoke(app, ["bench", "--seconds", "0.2"])
    assert done.exit_code == 0 and "kokoro on the CPU" in done.output


@pytest.mark.parametrize("option", [["--slots", "4"], ["--random"]])
def test_options_of_csm_are_refused(option: list[str]) -> None:
    done = CliRunner().invoke(app, ["bench", "--engine", "piper", *option])
    assert done.exit_code == 2 and f"{option[0]}: is for the engine csm" in done.output


def test_an_engine_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARRATOR_KOKORO__VOICE", "bm_lewis")
    done = CliRunner().invoke(app, ["bench", "--engine", "kokoro"])
    assert done.exit_code == 2 and "kokoro.voice may be af_heart" in " ".join(done.output.split())


def test_model_fetch_sees_that_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARRATOR_SPEECH__ENGINE", "kokoro")
    done = CliRunner().invoke(app, ["model", "fetch"])
    assert done.exit_code == 0 and f"is whole, in {tmp_path / 'kokoro'}" in done.output
    (tmp_path / "kokoro/onnx/model_quantized.onnx").write_bytes(b"half a model")
    done = CliRunner().invoke(app, ["model", "fetch"])
    assert done.exit_code == 2 and "cannot be loaded" in done.output
