from __future__ import annotations

import struct
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import soundfile
from huggingface_hub.errors import LocalEntryNotFoundError

from csm import SAMPLE_RATE, CsmError
from csm.checkpoint import hub, hub_voices
from csm.engine.voice import LOUDNESS_LUFS, fingerprint, read_clip
from csm.mastering.loudness import integrated_loudness, true_peak_decibels

PITCH = 440.0
#: As long as two seconds of speech may be.
WORDS = "What is said in it, all of it."


def tone(
    path: Path,
    *,
    rate: int = 24_000,
    seconds: float = 2.0,
    channels: int = 1,
    level: float = 0.3,
    silence: float = 0.0,
) -> Path:
    wave = level * np.sin(2 * np.pi * PITCH * np.arange(round(rate * seconds)) / rate)
    wave = np.pad(wave, round(rate * silence))
    soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), rate)
    return path


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [
        ("a.wav", 24_000, 1),
        ("a.wav", 8_000, 1),
        ("a.wav", 44_100, 2),
        ("a.wav", 44_101, 1),
        ("a.wav", 192_000, 1),
        ("a.flac", 96_000, 6),
        ("a.ogg", 22_050, 1),
        ("a.opus", 48_000, 1),
        ("a.mp3", 48_000, 2),
    ],
)
def test_any_rate_channels_and_format(name: str, rate: int, channels: int, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.endswith("opus"):
        path = tmp_path / "opus.ogg"
        wave = 0.3 * np.sin(2 * np.pi * PITCH * np.arange(2 * rate) / rate)
        soundfile.write(path, wave, rate, format="OGG", subtype="OPUS")
    else:
        tone(path, rate=rate, channels=channels)
    clip = read_clip(path, WORDS)

    assert clip.dtype == np.float32 and clip.ndim == 1
    assert len(clip) == pytest.approx(2 * SAMPLE_RATE, abs=SAMPLE_RATE * 0.1)
    middle = clip[SAMPLE_RATE // 2 : SAMPLE_RATE * 3 // 2]
    spectrum = np.abs(np.fft.rfft(middle))
    assert np.argmax(spectrum) == pytest.approx(PITCH, abs=2)
    # One pitch, and nothing that resampling added.
    spectrum[np.argmax(spectrum) - 5 : np.argmax(spectrum) + 6] = 0
    assert np.max(spectrum) < 0.02 * len(middle) * np.sqrt(np.mean(middle**2))


@pytest.mark.parametrize("level", [0.005, 0.05, 0.9])
def test_it_is_brought_to_the_loudness_of_narrations(level: float, tmp_path: Path) -> None:
    clip = read_clip(tone(tmp_path / "a.wav", level=level), WORDS)
    assert integrated_loudness(clip, SAMPLE_RATE) == pytest.approx(LOUDNESS_LUFS, abs=0.3)


def test_it_is_never_clipped(tmp_path: Path) -> None:
    path = tmp_path / "peaks.wav"
    samples = 0.01 * np.random.default_rng(0).normal(size=48_000)
    samples[::6000] = 0.9
    soundfile.write(path, samples, 24_000)
    clip = read_clip(path, WORDS)
    assert true_peak_decibels(clip) <= 0.1
    # Its shape is the recording's: turned up, and nothing cut off.
    recorded = soundfile.read(path)[0]
    assert np.corrcoef(clip, recorded[: len(clip)])[0, 1] > 0.999


def test_silence_at_the_ends_is_trimmed_and_inside_it_is_kept(tmp_path: Path) -> None:
    clip = read_clip(tone(tmp_path / "a.wav", seconds=3, silence=2.5, rate=16_000), WORDS)
    assert len(clip) / SAMPLE_RATE == pytest.approx(3.2, abs=0.05)
    wave = soundfile.read(tone(tmp_path / "b.wav", seconds=1))[0]
    path = tmp_path / "paused.wav"
    soundfile.write(path, np.concatenate([wave, np.zeros(24_000), wave]), 24_000)
    assert len(read_clip(path, WORDS)) / SAMPLE_RATE == pytest.approx(3, abs=0.05)


def test_unfit_recordings_say_what_to_do(tmp_path: Path) -> None:
    good = tone(tmp_path / "good.wav")
    with pytest.raises(CsmError, match=r"transcript.*write down the words"):
        read_clip(good, "  ")
    with pytest.raises(CsmError, match=r"no voice recording at .*absent\.wav"):
        read_clip(tmp_path / "absent.wav", WORDS)
    with pytest.raises(CsmError, match="no voice recording"):
        read_clip(tmp_path, WORDS)

    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"this is no audio at all" * 50)
    with pytest.raises(CsmError, match=r"cannot be read.*give a WAV"):
        read_clip(noise, WORDS)
    empty = tmp_path / "empty.wav"
    empty.touch()
    with pytest.raises(CsmError, match="cannot be read"):
        read_clip(empty, WORDS)

    with pytest.raises(CsmError, match=r"0\.9 s of sound; at least 1 s"):
        read_clip(tone(tmp_path / "short.wav", seconds=0.94), WORDS)
    with pytest.raises(CsmError, match=r"1\.2 s of sound|0\.\d s of sound; at least 1 s"):
        read_clip(tone(tmp_path / "mostly.wav", seconds=0.7, silence=3), WORDS)
    with pytest.raises(CsmError, match=r"31\.5 s long; at most 31 s"):
        read_clip(tone(tmp_path / "long.wav", seconds=31.5, rate=8_000), WORDS)
    with pytest.raises(CsmError, match=r"121\.0 s long; at most 31 s"):
        read_clip(tone(tmp_path / "film.wav", seconds=121, rate=8_000), WORDS)
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.full(48_000, 1e-4), 24_000, subtype="FLOAT")
    with pytest.raises(CsmError, match="is silent"):
        read_clip(silent, WORDS)
    broken = tmp_path / "nan.wav"
    soundfile.write(broken, np.full(48_000, np.nan), 24_000, subtype="FLOAT")
    with pytest.raises(CsmError, match="no numbers"):
        read_clip(broken, WORDS)


@pytest.mark.parametrize("rate", [0, 1, 5_999, 768_001, 4_000_000_000])
def test_absurd_rates_are_refused(rate: int, tmp_path: Path) -> None:
    path = tone(tmp_path / "a.wav", rate=24_000)
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", rate)
    path.write_bytes(content)
    with pytest.raises(CsmError, match=r"cannot be read|s long"):
        read_clip(path, WORDS)


def test_a_transcript_that_cannot_be_of_the_recording_is_refused(tmp_path: Path) -> None:
    clip = tone(tmp_path / "a.wav", seconds=10)
    read_clip(clip, "x" * 150)
    with pytest.raises(CsmError, match=r"has 30 characters for 10\.0 s of sound, where 40 to 333"):
        read_clip(clip, "x" * 30)
    with pytest.raises(CsmError, match=r"has 400 characters .* write down all the words"):
        read_clip(clip, "x" * 400)


def test_a_fingerprint_follows_recording_and_transcript_not_the_path(tmp_path: Path) -> None:
    one = tone(tmp_path / "one.wav")
    same = tone(tmp_path / "same.wav")
    other = tone(tmp_path / "other.wav", seconds=2.5)
    assert fingerprint(one, "words") == fingerprint(same, " words\n")
    assert len({fingerprint(one, "a"), fingerprint(one, "b"), fingerprint(other, "a")}) == 3
    with pytest.raises(CsmError, match="cannot be read"):
        fingerprint(tmp_path / "absent.wav", "words")


def test_the_models_own_voices_lie_beside_it(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    seconds = {name: 0.06 * len(text) for name, text in hub_voices.TRANSCRIPTS.items()}
    for name in hub_voices.TRANSCRIPTS:
        tone(tmp_path / "prompts" / f"{name}.wav", seconds=seconds[name], rate=8_000)
        recording = hub_voices.recording(name, str(tmp_path))
        clip = read_clip(recording, hub_voices.TRANSCRIPTS[name])
        assert len(clip) / SAMPLE_RATE == pytest.approx(seconds[name], abs=0.1)
    with pytest.raises(CsmError, match=r"no voice 'x': take one of conversational_a, "):
        hub_voices.recording("x", str(tmp_path))
    (tmp_path / "prompts" / "read_speech_a.wav").unlink()
    with pytest.raises(CsmError, match=r"has no prompts/read_speech_a\.wav: copy it there"):
        hub_voices.recording("read_speech_a", str(tmp_path))


def test_the_models_own_voices_come_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str | None]] = []

    def download(
        model: str,
        name: str,
        *,
        token: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not on this disk")
        assert revision is None
        asked.append((model, name, token))
        return "/cache/a.wav"

    monkeypatch.setattr(hub, "hf_hub_download", download)
    found = hub_voices.recording("conversational_a", "sesame/csm-1b", token="hf_x")
    assert found == Path("/cache/a.wav")
    assert asked == [("sesame/csm-1b", "prompts/conversational_a.wav", "hf_x")]


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("GatedRepoError", "accept the terms"),
        ("RemoteEntryNotFoundError", r"has no prompts/read_speech_a\.wav"),
    ],
)
def test_what_the_hub_refuses_is_said(
    error: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = getattr(huggingface_hub.errors, error)

    def refuse(*args: object, **settings: object) -> str:
        if settings.get("local_files_only"):
            raise LocalEntryNotFoundError("not on this disk")
        raise kind.__new__(kind)

    monkeypatch.setattr(hub, "hf_hub_download", refuse)
    with pytest.raises(CsmError, match=advice):
        hub_voices.recording("read_speech_a", "sesame/csm-1b", token="hf_x")
