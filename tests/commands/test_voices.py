"""`voices` names what a book can ask for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from narrator_daemon.cli import app
from tests.speech import tiny_kokoro


def listed(folder: Path, config: str, *options: str) -> str:
    (folder / "c.toml").write_text(config, encoding="utf-8")
    done = CliRunner().invoke(app, ["voices", "--config", str(folder / "c.toml"), *options])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(
    ("engine", "anna", "made_from"),
    [
        ("tone", "", "noise of its own"),
        ("piper", 'piper = "a.onnx"', "a.onnx"),
        ("csm", 'prompt = "read_speech_b"', "read_speech_b"),
        ("csm", 'reference = "a.wav"\ntranscript = "A."', "a.wav"),
    ],
)
def test_names_and_what_they_are_made_from(
    tmp_path: Path, engine: str, anna: str, made_from: str
) -> None:
    config = f'[speech]\nengine = "{engine}"\n[voices.anna]\n{anna}\n[voice]\ndefault = "anna"\n'
    assert listed(tmp_path, config) == f"anna  {made_from}  (default)\n"


def test_kokoros_own_voices_are_among_them(tmp_path: Path) -> None:
    model = tiny_kokoro.save(tmp_path / "kokoro", None, "af_heart", "bf_emma")
    config = (
        f'[speech]\nengine = "kokoro"\n[kokoro]\nmodel = "{model}"\n'
        '[voices.dora]\nkokoro = "bf_emma"\n[voice]\ndialogue = "bf_emma"\n'
    )
    assert json.loads(listed(tmp_path, config, "--json")) == {
        "af_heart": "kokoro's own",
        "bf_emma": "kokoro's own",
        "dora": "kokoro's bf_emma",
    }


def test_none_is_told(tmp_path: Path) -> None:
    assert "one voice" in listed(tmp_path, '[speech]\nengine = "tone"\n')
