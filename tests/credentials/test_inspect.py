"""What a file's layers say together, after everything that happens to files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from narrator_daemon.cli import app
from narrator_daemon.commands.narrate import read_file
from narrator_daemon.credentials.reading import Trust, read_credentials, trust_of
from narrator_daemon.errors import ConfigError, Unreadable
from narrator_daemon.settings import Credentials, Kept, Settings, Speech
from tests.credentials.test_credentials import write_pair

TEXT = "It was a bright cold day in April, and the clocks were striking thirteen. " * 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two narrations, as ``narrate`` makes them."""
    folder = tmp_path_factory.mktemp("narrations")
    kept = Kept(folder=folder / "kept")
    settings = Settings(speech=Speech(engine="tone"), kept=kept)
    for name in "ab":
        (folder / f"{name}.txt").write_text(f"{name}. {TEXT}")
        read_file(settings, folder / f"{name}.txt", folder / f"{name}.wav", f"book-{name}")
    return folder


def inspected(*files: Path) -> tuple[int, list[dict[str, Any]]]:
    run = CliRunner().invoke(app, ["inspect", "--json", *map(str, files)])
    return run.exit_code, json.loads(run.stdout)


def without_credentials(wav: bytes) -> bytes:
    return wav[: wav.index(b"LIST")]


def only_label(wav: bytes) -> bytes:
    return wav[: wav.index(b"C2PA")]


def pasted(wav: bytes, other: bytes) -> bytes:
    return without_credentials(wav) + other[other.index(b"LIST") :]


def right_size(wav: bytes) -> bytes:
    return wav[:4] + (len(wav) - 8).to_bytes(4, "little") + wav[8:]


def test_a_narration_agrees_with_itself(folder: Path) -> None:
    status, (one, other) = inspected(folder / "a.wav", folder / "b.wav")
    assert status == 0
    assert one["verdict"] == other["verdict"] == "agree"
    assert one["credentials"]["valid"]
    assert not one["credentials"]["trusted"]
    assert one["credentials"]["narration"]["book"] == one["mark"]["book"] == "book-a"
    assert one["credentials"]["watermarkIndex"] == one["mark"]["index"]
    assert one["label"]["ProduceID"] == "book-a"
    assert one["publicKey"]


def flipped(wav: bytes) -> bytes:
    return wav[:5000] + bytes([wav[5000] ^ 1]) + wav[5001:]


def cut(wav: bytes) -> bytes:
    end = wav.index(b"LIST")
    return right_size(
        wav[:40] + (end - 44 - 96_000).to_bytes(4, "little") + wav[44 : end - 96_000] + wav[end:]
    )


@pytest.mark.parametrize(
    ("change", "status", "verdict", "says"),
    [
        (lambda a, _b: right_size(without_credentials(a)), 4, "stripped", "no credentials"),
        (lambda a, _b: right_size(only_label(a)), 4, "stripped", "no credentials"),
        (lambda a, _b: flipped(a), 3, "altered", "changed after it was signed"),
        (lambda a, _b: cut(a), 3, "altered", "changed after it was signed"),
        (lambda a, b: right_size(pasted(a, b)), 3, "contradict", "and it bears book-a"),
        # A manifest that is cut off cannot be read, and is not taken for none.
        (lambda a, _b: a[:-100], 3, "altered", "cannot be read"),
    ],
)
def test_what_was_done_to_a_file_is_told(
    folder: Path,
    tmp_path: Path,
    change: Callable[[bytes, bytes], bytes],
    status: int,
    verdict: str,
    says: str,
) -> None:
    (tmp_path / "marks.json").write_text((folder / "marks.json").read_text())
    file = tmp_path / "changed.wav"
    file.write_bytes(change((folder / "a.wav").read_bytes(), (folder / "b.wav").read_bytes()))
    ended, (told,) = inspected(file)
    assert (ended, told["verdict"]) == (status, verdict)
    assert any(says in reason for reason in told["reasons"])
    assert told["mark"]["book"] == "book-a"


def test_a_copy_in_another_format_is_stripped_and_still_names_its_book(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "marks.json").write_text((folder / "marks.json").read_text())
    samples, rate = soundfile.read(folder / "a.wav")
    soundfile.write(tmp_path / "copy.mp3", samples, rate)
    status, (told,) = inspected(tmp_path / "copy.mp3")
    assert (status, told["verdict"]) == (4, "stripped")
    assert told["credentials"] is None
    assert told["mark"]["book"] == "book-a"


def test_a_label_alone_is_nobodys_word(folder: Path, tmp_path: Path) -> None:
    wav = bytearray(only_label((folder / "a.wav").read_bytes()))
    end = wav.index(b"LIST")
    noise = np.random.default_rng(1).integers(-500, 500, (end - 44) // 2).astype("<i2")
    wav[44:end] = noise.tobytes()
    (tmp_path / "label.wav").write_bytes(right_size(bytes(wav)))
    status, (told,) = inspected(tmp_path / "label.wav")
    assert (status, told["verdict"]) == (4, "stripped")
    assert "nobody has signed" in told["reasons"][0]


def test_other_sound_under_a_narrations_credentials_contradicts(
    folder: Path, tmp_path: Path
) -> None:
    wav = bytearray((folder / "a.wav").read_bytes())
    end = wav.index(b"LIST")
    noise = np.random.default_rng(1).integers(-500, 500, (end - 44) // 2).astype("<i2")
    wav[44:end] = noise.tobytes()
    (tmp_path / "other.wav").write_bytes(wav)
    status, (told,) = inspected(tmp_path / "other.wav")
    assert (status, told["verdict"]) == (3, "contradict")
    assert not told["mark"]["found"]


def test_sound_of_which_nothing_is_known_and_what_is_no_sound(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 0.01, 24_000 * 6)
    soundfile.write(tmp_path / "noise.wav", noise, 24_000)
    (tmp_path / "text.wav").write_text("no sound")
    assert inspected(tmp_path / "noise.wav")[0] == 1
    status, told = inspected(tmp_path / "noise.wav", tmp_path / "text.wav", tmp_path / "none.wav")
    assert status == 2
    assert [each["verdict"] for each in told] == ["nothing", None, None]


def test_the_worst_of_several_files_decides(folder: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped.wav"
    stripped.write_bytes(right_size(without_credentials((folder / "a.wav").read_bytes())))
    assert inspected(folder / "a.wav", stripped)[0] == 4
    altered = tmp_path / "altered.wav"
    altered.write_bytes(flipped((folder / "a.wav").read_bytes()))
    assert inspected(folder / "a.wav", stripped, altered)[0] == 3


def test_people_are_told_in_lines_that_control_nothing(folder: Path, tmp_path: Path) -> None:
    wav = (folder / "a.wav").read_bytes()
    at = wav.index(b"ContentProducer") + 18
    file = tmp_path / "a.wav"
    file.write_bytes(wav[:at] + b"\x1b[2J\xe2\x80\xae" + wav[at + 7 :])
    run = CliRunner().invoke(app, ["inspect", str(file)])
    assert "\x1b" not in run.stdout
    assert "\u202e" not in run.stdout
    assert "changed after it was signed" in run.stdout


def test_ones_own_certificate_and_a_trusted_one(tmp_path: Path) -> None:
    from narrator_daemon.credentials import signer as signers
    from narrator_daemon.credentials.wav import add_credentials
    from tests.credentials.test_credentials import MADE, wav

    signer = signers.throwaway()
    settings = write_pair(tmp_path, signer)
    file = wav()
    add_credentials(file, MADE, signer)
    path = tmp_path / "signed.wav"
    path.write_bytes(file.getvalue())

    def seen(settings: Credentials) -> tuple[bool, bool, bool]:
        found = read_credentials(path, trust_of(settings))
        assert found is not None
        return found.valid, found.trusted, found.own

    root = tmp_path / "root.pem"
    root.write_text("-----BEGIN" + signer.certificates.split("-----BEGIN")[2])
    assert seen(Credentials()) == (True, False, False)
    assert seen(settings) == (True, True, True)
    assert seen(Credentials(trust_anchors=root)) == (True, True, False)
    other = signers.throwaway()
    (tmp_path / "more").mkdir()
    assert seen(write_pair(tmp_path / "more", other)) == (True, False, False)
    # Another certificate of the same authority is not one's own.
    mine = trust_of(settings)
    another = read_credentials(path, replace(mine, own_serial=mine.own_serial + 1))
    assert another is not None
    assert (another.valid, another.trusted, another.own) == (True, False, False)
    for wrong in (tmp_path / "none.pem", tmp_path / "key.pem"):
        with pytest.raises(ConfigError, match="trust_anchors"):
            trust_of(Credentials(trust_anchors=wrong))


def test_a_reader_that_dies_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("narrator_daemon.credentials.reading._MEMORY_BYTES", 1 << 20)
    with pytest.raises(Unreadable, match="cannot be read"):
        read_credentials(folder / "a.wav", Trust())
