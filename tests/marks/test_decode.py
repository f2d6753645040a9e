"""Audio that libsndfile does not know, on a machine without ffmpeg."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from narrator_daemon.errors import Unreadable
from narrator_daemon.marks import audio_files
from narrator_daemon.marks.audio_files import open_audio

RATE = 24_000


@pytest.fixture(autouse=True)
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


def tones(seconds: float, channels: int = 1) -> NDArray[np.float32]:
    """A chirp for each channel, ``[channels, n]``."""
    t = np.arange(round(seconds * RATE)) / RATE
    found = [
        0.4 * np.sin(2 * np.pi * (200 + 150 * channel + 100 * t) * t) for channel in range(channels)
    ]
    return np.array(found, dtype=np.float32)


def write(path: Path, samples: NDArray[np.float32], kind: str = "mp4") -> Path:
    layout = {1: "mono", 2: "stereo"}[len(samples)]
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream("aac", rate=RATE, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def read(path: Path) -> tuple[NDArray[np.float32], audio_files.AudioFile]:
    with open_audio(path) as audio:
        return np.concatenate(list(audio.blocks())), audio


@pytest.mark.parametrize("channels", [1, 2])
def test_m4a_is_read_as_it_was_written(channels: int, tmp_path: Path) -> None:
    samples = tones(3.0, channels)
    heard, audio = read(write(tmp_path / "x.m4a", samples))
    assert (audio.rate, audio.channels, audio.damage) == (RATE, channels, "")
    assert abs(len(heard) - samples.shape[1]) < 2 * 1024
    for channel in range(channels):
        # The codec's own delay may be left in.
        lags = np.fft.irfft(
            np.fft.rfft(heard[:, channel], 2**18) * np.conj(np.fft.rfft(samples[channel], 2**18))
        )
        norm = np.linalg.norm(heard[:, channel]) * np.linalg.norm(samples[channel])
        assert lags.max() / norm > 0.99


@pytest.mark.parametrize("name", ["-", "--help", "file:x", "http:x", "a;$(touch x)", "ä\udcff.m4a"])
def test_a_name_is_only_a_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "x.m4a", tones(1.0)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    heard, _ = read(Path(name))
    assert len(heard) > 20_000
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_playlist_leads_nowhere(tmp_path: Path) -> None:
    write(tmp_path / "secret.ts", tones(2.0), "mpegts")
    lists = {
        "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nsecret.ts\n#EXT-X-ENDLIST\n",
        "concat": "ffconcat version 1.0\nfile secret.ts\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(Unreadable, match="neither"), open_audio(tmp_path / name) as audio:
            list(audio.blocks())
    assert len(read(tmp_path / "secret.ts")[0]) > 40_000


def test_a_file_that_breaks_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = write(tmp_path / "x.ts", tones(20.0), "mpegts").read_bytes()
    (tmp_path / "cut.ts").write_bytes(whole[: len(whole) // 2])
    heard, _ = read(tmp_path / "cut.ts")
    assert 8 * RATE < len(heard) < 12 * RATE


@pytest.mark.parametrize("content", [b"x", b"\0" * 4096, b"\0\0\0\x20ftypM4A " + b"\xff" * 4096])
def test_what_is_no_audio_is_told_in_a_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.m4a").write_bytes(content)
    with pytest.raises(Unreadable, match="neither libsndfile nor ffmpeg") as refused:
        read(tmp_path / "x.m4a")
    assert "\n" not in str(refused.value) and "Traceback" not in str(refused.value)


def test_no_more_than_a_day_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.m4a", tones(30.0))
    monkeypatch.setattr(audio_files, "MAX_HOURS", 5 / 3600)
    with pytest.raises(Unreadable, match="longer than"):
        read(path)
