"""``narrator-daemon model fetch``, from a hub on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import structlog
from test_csm_checkpoint import COMMIT, HUB_ID, Hub, hub
from typer.testing import CliRunner, Result

from narrator_daemon import cli
from narrator_daemon.speech import SpeechError
from narrator_daemon.speech.kokoro.files import VOICES
from narrator_daemon.speech.kokoro_engine import KokoroSpeech
from tests.speech import tiny_kokoro

__all__ = ["hub"]


def fetch(monkeypatch: pytest.MonkeyPatch, **settings: str) -> Result:
    known = {"SPEECH__ENGINE": "csm", "SPEECH__MODEL": HUB_ID, "SPEECH__DEVICE": "cpu", **settings}
    for name, value in known.items():
        monkeypatch.setenv(f"NARRATOR_{name}", value)
    done = CliRunner().invoke(cli.app, ["model", "fetch"])
    structlog.reset_defaults()  # what it logged to is closed
    return done


def test_it_brings_all_of_it_and_says_how_to_keep_to_it(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = fetch(monkeypatch)
    assert done.exit_code == 0, done.stderr
    first, pin = done.stdout.splitlines()
    folder = Path(first.rpartition(", in ")[2])
    assert folder.name == COMMIT
    assert {path.name for path in folder.iterdir()} >= {"config.json", "tokenizer.json"}
    assert pin == f'To read with this one for ever: [speech] revision = "{COMMIT}"'
    # A second time, and a start, ask the hub for nothing.
    hub.stop()
    again = fetch(monkeypatch, SPEECH__REVISION=COMMIT)
    assert (again.exit_code, again.stdout.splitlines()) == (0, [first])


def test_what_is_missing_is_said(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    index = json.loads(next(hub.folder.glob("*.index.json")).read_text())
    hub.hidden = {sorted(set(index["weight_map"].values()))[-1]}
    done = fetch(monkeypatch)
    assert done.exit_code == 2
    assert "lacks a file" in done.stderr and "Traceback" not in done.stderr


def test_a_gated_model_without_a_token_is_said(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = "right"
    done = fetch(monkeypatch)
    assert done.exit_code == 2 and "HF_TOKEN" in done.stderr


def test_a_hub_that_does_not_answer_is_said(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.stop()
    done = fetch(monkeypatch)
    assert done.exit_code == 2 and "Traceback" not in done.stderr
    assert HUB_ID in done.stderr


def test_an_engine_without_a_model_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    done = fetch(monkeypatch, SPEECH__ENGINE="tone")
    assert done.exit_code == 2
    assert "[speech] engine: the engine tone has no model to fetch" in done.stderr


def _kokoro_with_all_voices(tmp_path: Path) -> Path:
    folder = tiny_kokoro.save(tmp_path / "kokoro")
    one = (folder / "voices" / "af_heart.bin").read_bytes()
    for voice in VOICES:
        (folder / "voices" / f"{voice}.bin").write_bytes(one)
    return folder


def test_kokoro_is_brought_with_its_voices_and_speaks_when_the_hub_is_gone(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.folder = _kokoro_with_all_voices(tmp_path)
    done = fetch(monkeypatch, SPEECH__ENGINE="kokoro", KOKORO__MODEL=HUB_ID)
    assert done.exit_code == 0, done.stderr
    folder = Path(done.stdout.splitlines()[0].rpartition(", in ")[2])
    assert folder.name == COMMIT
    hub.stop()
    for voice in ("af_heart", "bm_lewis"):
        engine = KokoroSpeech(model=HUB_ID, voice=voice, at_once=1)
        try:
            engine.load()
            assert [spoken.index for spoken in engine.speak(["Call me Ishmael."], seed=1)] == [0]
        finally:
            engine.close()


def test_kokoro_that_was_not_brought_is_said(hub: Hub) -> None:
    hub.stop()
    engine = KokoroSpeech(model=HUB_ID, voice="af_bella", at_once=1)
    with pytest.raises(SpeechError, match=HUB_ID):
        engine.load()
    engine.close()


def test_kokoro_without_a_voice_on_the_hub_is_said(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.folder = _kokoro_with_all_voices(tmp_path)
    hub.hidden = {"voices/bm_lewis.bin"}
    done = fetch(monkeypatch, SPEECH__ENGINE="kokoro", KOKORO__MODEL=HUB_ID)
    assert done.exit_code == 2
    assert "voices/bm_lewis.bin" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("header", [{"Retry-After": "21600"}, {"RateLimit": '"api";r=0;t=21600'}])
@pytest.mark.parametrize("status", [429, 503])
def test_a_hub_that_asks_for_hours_does_not_get_them(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, status: int, header: dict[str, str]
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", slept.append)
    hub.busy = status, header
    done = fetch(monkeypatch)
    assert done.exit_code == 2 and f"answers {status}" in done.stderr
    # The client's own pauses, which double.
    assert len(slept) > 1 and sum(slept) < 60
