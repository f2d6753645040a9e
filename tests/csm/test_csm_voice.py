from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from csm import SAMPLE_RATE, CsmError
from csm.voice import fingerprint, read_clip

PITCH = 440.0


def tone(path: Path, *, rate: int = 24_000, seconds: float = 2.0, channels: int = 1) -> Path:
    wave = 0.3 * np.sin(2 * np.pi * PITCH * np.arange(round(rate * seconds)) / rate)
    soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), rate)
    return path


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [
        ("a.wav", 24_000, 1),
        ("a.wav", 8_000, 1),
        ("a.wav", 44_100, 2),
        ("a.wav", 44_101, 1),
        ("a.flac", 96_000, 6),
        ("a.ogg", 22_050, 1),
        ("a.mp3", 48_000, 2),
    ],
)
def test_any_rate_channels_and_format(name: str, rate: int, channels: int, tmp_path: Path) -> None:
    clip = read_clip(tone(tmp_path / name, rate=rate, channels=channels), "a tone")

    assert clip.dtype == np.float32 and clip.ndim == 1
    assert len(clip) == pytest.approx(2 * SAMPLE_RATE, abs=SAMPLE_RATE * 0.1)
    middle = clip[SAMPLE_RATE // 2 : SAMPLE_RATE * 3 // 2]
    spectrum = np.abs(np.fft.rfft(middle))
    assert np.argmax(spectrum) == pytest.approx(PITCH, abs=2)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)


def test_at_24_khz_mono_the_samples_are_the_files(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 24_000).astype(np.float32)
    soundfile.write(path, samples, 24_000, subtype="FLOAT")
    assert np.array_equal(read_clip(path, "noise"), samples)


def test_unfit_recordings_say_what_to_do(tmp_path: Path) -> None:
    good = tone(tmp_path / "good.wav")
    with pytest.raises(CsmError, match=r"transcript.*write down the words"):
        read_clip(good, "  ")
    with pytest.raises(CsmError, match=r"no voice recording at .*absent\.wav"):
        read_clip(tmp_path / "absent.wav", "words")
    with pytest.raises(CsmError, match="no voice recording"):
        read_clip(tmp_path, "words")

    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"this is no audio at all" * 50)
    with pytest.raises(CsmError, match=r"cannot be read.*give a WAV"):
        read_clip(noise, "words")
    empty = tmp_path / "empty.wav"
    empty.touch()
    with pytest.raises(CsmError, match="cannot be read"):
        read_clip(empty, "words")

    with pytest.raises(CsmError, match=r"0\.9 s long; at least 1 s"):
        read_clip(tone(tmp_path / "short.wav", seconds=0.94), "words")
    with pytest.raises(CsmError, match=r"30\.1 s long; at most 30 s"):
        read_clip(tone(tmp_path / "long.wav", seconds=30.1, rate=8_000), "words")
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.full(48_000, 1e-4), 24_000, subtype="FLOAT")
    with pytest.raises(CsmError, match="is silent"):
        read_clip(silent, "words")
    broken = tmp_path / "nan.wav"
    soundfile.write(broken, np.full(48_000, np.nan), 24_000, subtype="FLOAT")
    with pytest.raises(CsmError, match="no numbers"):
        read_clip(broken, "words")


def test_a_fingerprint_follows_recording_and_transcript_not_the_path(tmp_path: Path) -> None:
    one = tone(tmp_path / "one.wav")
    same = tone(tmp_path / "same.wav")
    other = tone(tmp_path / "other.wav", seconds=2.5)
    assert fingerprint(one, "words") == fingerprint(same, " words\n")
    assert len({fingerprint(one, "a"), fingerprint(one, "b"), fingerprint(other, "a")}) == 3
    with pytest.raises(CsmError, match="cannot be read"):
        fingerprint(tmp_path / "absent.wav", "words")
