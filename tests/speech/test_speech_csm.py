"""The daemon's csm engine, from a checkpoint in the hub's layout to samples."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from csm import OutOfMemory
from csm.checkpoint.hub_voices import TRANSCRIPTS
from csm.engine import batch
from csm.engine.engine import Engine, Speech
from csm.engine.voice import Voice
from narrator_daemon.settings import Takes
from narrator_daemon.speech import SpeechEngine, SpeechError
from narrator_daemon.speech.csm import CsmSpeech
from narrator_daemon.speech.judged import judged

TEXTS = ["Call me Ishmael.", "Some <|AUDIO|> years [1] ago."]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("voice") / "voice.flac"
    noise = np.random.default_rng(0).normal(size=(16_000, 2))
    soundfile.write(path, noise * 0.1, 16_000)
    return path


@pytest.fixture(scope="module")
def speech(tiny: Path, recording: Path) -> Iterator[SpeechEngine]:
    engine = CsmSpeech(
        model=str(tiny),
        device="cpu",
        voice_reference=recording,
        voice_transcript="Noise.",
        max_segment_seconds=0.5,
    )
    engine.load()
    yield engine
    engine.close()


def test_it_speaks(speech: SpeechEngine) -> None:
    assert (speech.name, speech.device) == ("csm", "cpu")
    spoken = list(speech.speak(TEXTS, seed=1))
    assert sorted(one.index for one in spoken) == [0, 1]
    for one in spoken:
        assert one.samples.dtype == np.float32 and 0 < len(one.samples) <= 12_000
        assert np.isfinite(one.samples).all() and np.abs(one.samples).max() <= 1
    again = list(speech.speak(TEXTS, seed=1))
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(spoken, again, strict=True))


def test_a_voice_of_its_own_is_gone_on_with(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voices: list[Voice | None] = []
    speak = Engine.speak

    def noted(self: Engine, segments: Sequence[str], **how: Any) -> Speech:
        voices.append(how["voice"])
        return speak(self, segments, **how)

    engine = CsmSpeech(model=str(tiny), device="cpu", max_segment_seconds=0.5)
    engine.load()
    monkeypatch.setattr(Engine, "speak", noted)
    try:
        # Noise from random weights passes no judge: every draw is made, and each says what it is.
        kept = list(judged(engine, Takes(most_draws=2)).speak(TEXTS, seed=1))
    finally:
        engine.close()
    assert sorted(one.index for one in kept) == [0, 1]
    assert all(one.note["draws"] == 2 and one.note["faults"] for one in kept)
    assert voices[0] is None and len(voices) == 3
    given = {(voice.text, tuple(voice.codes.shape)) for voice in voices[1:] if voice is not None}
    ((text, shape),) = given
    assert text in TEXTS and shape[1] == 32


def test_the_models_own_voice_is_taken_by_name(tiny: Path, recording: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny, model)
    (model / "prompts").mkdir()
    long = np.tile(soundfile.read(recording)[0], (6, 1))
    soundfile.write(model / "prompts" / "read_speech_c.wav", long, 16_000)
    engine = CsmSpeech(
        model=str(model), device="cpu", voice_prompt="read_speech_c", max_segment_seconds=0.5
    )
    assert ":read_speech_c:" in engine.settings_fingerprint
    engine.load()
    try:
        assert engine.pace == pytest.approx(6 / len(TRANSCRIPTS["read_speech_c"]), rel=0.05)
        assert len(list(engine.speak(TEXTS, seed=1))) == 2
    finally:
        engine.close()


def test_closing_the_iterator_cancels(speech: SpeechEngine) -> None:
    spoken = speech.speak(TEXTS, seed=1)
    next(spoken)
    spoken.close()  # type: ignore[attr-defined]
    assert list(spoken) == []


def test_what_cannot_be_spoken_is_a_speech_error(speech: SpeechEngine) -> None:
    with pytest.raises(SpeechError, match="segment 0 has no text") as caught:
        list(speech.speak([" "], seed=1))
    assert caught.value.code == "engine_error"


def test_out_of_memory_has_its_own_code(
    speech: SpeechEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(batch, "decode_one_frame", fail)
        with pytest.raises(SpeechError) as caught:
            list(speech.speak(TEXTS, seed=1))
    assert caught.value.code == "out_of_memory" and "speech.slots" in str(caught.value)
    assert isinstance(caught.value.__cause__, OutOfMemory)
    assert len(list(speech.speak(TEXTS[:1], seed=1))) == 1


def test_the_fingerprint_follows_what_shapes_the_audio(recording: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.flac"
    other.write_bytes(recording.read_bytes() + b"\0")
    engines = [
        CsmSpeech(model="owner/a"),
        CsmSpeech(model="owner/b"),
        CsmSpeech(model="owner/a", max_segment_seconds=30),
        CsmSpeech(model="owner/a", voice_reference=recording, voice_transcript="Noise."),
        CsmSpeech(model="owner/a", voice_reference=recording, voice_transcript="Sound."),
        CsmSpeech(model="owner/a", voice_reference=other, voice_transcript="Noise."),
    ]
    prints = [engine.settings_fingerprint for engine in engines]
    assert len(set(prints)) == len(prints)
    assert prints == [engine.settings_fingerprint for engine in engines]
    assert prints[0] == CsmSpeech(model="owner/a", device="cpu").settings_fingerprint
    assert all(one.isprintable() and len(one) < 80 for one in prints)


def test_it_must_be_loaded_first_and_may_be_closed_twice(tiny: Path) -> None:
    engine = CsmSpeech(model=str(tiny), device="cpu", max_segment_seconds=0.5)
    with pytest.raises(SpeechError, match="not loaded"):
        engine.speak(TEXTS, seed=0)
    engine.load()
    engine.load()
    spoken = engine.speak(TEXTS, seed=0)
    engine.close()
    engine.close()
    with pytest.raises(SpeechError, match="closed"):
        list(spoken)
    with pytest.raises(SpeechError, match="not loaded"):
        engine.speak(TEXTS, seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "/nowhere"}, "no folder /nowhere"),
        ({"device": "cuda:7"}, "cuda:7 was asked for"),
        ({"device": "tpu"}, "unknown device"),
        ({"voice_reference": Path("/nowhere.wav"), "voice_transcript": "x"}, "no voice recording"),
    ],
)
def test_what_cannot_load_says_why(settings: dict[str, object], message: str, tiny: Path) -> None:
    engine = CsmSpeech(**({"model": str(tiny), "device": "cpu"} | settings))  # type: ignore[arg-type]
    with pytest.raises(SpeechError, match=message) as caught:
        engine.load()
    assert caught.value.code == "engine_error"


def test_a_voice_without_a_transcript(tiny: Path, recording: Path) -> None:
    engine = CsmSpeech(model=str(tiny), device="cpu", voice_reference=recording)
    with pytest.raises(SpeechError, match="no transcript"):
        engine.load()


def test_csm_alone_imports_no_torch() -> None:
    code = "import csm, sys; assert csm.SAMPLE_RATE == 24_000; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
