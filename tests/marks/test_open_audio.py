"""Files as recorders and strangers leave them: read as far as they can be, and in silence."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from narrator_daemon.errors import Unreadable
from narrator_daemon.marks.audio_files import open_audio
from tests.watermark.speechlike import RATE, speechlike

SPEECH = speechlike(3, seed=8)


def read(path: Path, *, alone: bool = True) -> NDArray[np.float32]:
    with open_audio(path, alone=alone) as audio:
        return np.concatenate(list(audio.blocks()))[:, 0]


def written(kind: str) -> bytearray:
    file = io.BytesIO()
    soundfile.write(file, SPEECH, RATE, format=kind)
    return bytearray(file.getvalue())


def mp3_in_wav(mp3: bytes) -> bytes:
    """As some recorders and ffmpeg write it: format 0x55."""
    layout = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 8000, 1, 0, 12, 1, 2, 192, 1, 1393)
    chunks = b"fmt " + struct.pack("<I", len(layout)) + layout
    chunks += b"data" + struct.pack("<I", len(mp3)) + mp3
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def damaged(mp3: bytearray) -> bytearray:
    for at in np.random.default_rng(1).integers(600, len(mp3), 60):
        mp3[at] ^= 0x5A
    return mp3


@pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF])
@pytest.mark.parametrize("data", [0, 0xFFFFFFFF])
def test_a_header_that_was_never_finished_does_not_hide_the_sound(
    tmp_path: Path, riff: int, data: int
) -> None:
    wav = written("WAV")
    wav[4:8] = struct.pack("<I", riff)
    at = wav.index(b"data") + 4
    wav[at : at + 4] = struct.pack("<I", data)
    (tmp_path / "x.wav").write_bytes(wav)
    for alone in (True, False):
        assert len(read(tmp_path / "x.wav", alone=alone)) == len(SPEECH)


def test_a_file_of_no_samples_is_one_of_no_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", SPEECH[:0], RATE)
    with open_audio(tmp_path / "x.wav") as audio:
        assert list(audio.blocks()) == []


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("kind", ["cut", "damaged", "in a WAV"])
def test_the_decoder_of_mp3_says_nothing_of_its_own(
    tmp_path: Path, kind: str, alone: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    mp3 = written("MP3")
    content = {
        "cut": lambda: bytes(mp3[: len(mp3) // 2 + 13]),
        "damaged": lambda: bytes(damaged(mp3)),
        "in a WAV": lambda: mp3_in_wav(bytes(damaged(mp3))),
    }[kind]()
    (tmp_path / "x").write_bytes(content)
    assert len(read(tmp_path / "x", alone=alone)) > RATE // 2
    assert capfd.readouterr().err == ""


def test_what_begins_like_mp3_and_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"ID3" + bytes(4000))
    for alone in (True, False):
        with pytest.raises(Unreadable, match="neither"):
            read(tmp_path / "x", alone=alone)
