"""Every engine at another pace: by itself, or by stretching what it spoke."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from csm import SAMPLE_RATE
from csm.takes.drawing import Example
from narrator_daemon import speech
from narrator_daemon.settings import Settings
from narrator_daemon.speech import Amended, Slots, SpeechEngine, SpeechError, Spoken, choosing
from narrator_daemon.speech.piper import PACE, PiperSpeech
from narrator_daemon.speech.stretched import StretchedSpeech, Stretcher, stretched
from narrator_daemon.speech.tone import ToneSpeech
from tests.speech import tiny_kokoro

TEXT = "Some years ago, never mind how long, I went to sea."
PACES = pytest.mark.parametrize("pace", [0.8, 1.25])


@pytest.fixture(scope="module")
def stretcher() -> Iterator[Stretcher]:
    one = Stretcher()
    yield one
    one.close()


def _seconds(engine: SpeechEngine, text: str = TEXT) -> float:
    (one,) = engine.speak([text], seed=1)
    assert isinstance(one, Spoken)
    return len(one.samples) / SAMPLE_RATE


def _settings(engine: str, pace: float, **sections: object) -> Settings:
    return Settings.model_validate(
        {"speech": {"engine": engine}, "voice": {"pace": pace}, **sections}
    )


@PACES
def test_the_tone_goes_so_much_faster(pace: float) -> None:
    engine = choosing.create(_settings("tone", pace))
    assert _seconds(engine) * pace == pytest.approx(_seconds(ToneSpeech()), abs=0.001)
    assert engine.settings_fingerprint != ToneSpeech().settings_fingerprint
    voiced = ToneSpeech(voices=["anna"], tempo=pace).in_voice("anna")
    assert _seconds(voiced) == pytest.approx(_seconds(engine), abs=0.001)


@PACES
def test_kokoro_is_told_the_speed(pace: float, tmp_path: Path) -> None:
    folder = tiny_kokoro.save(tmp_path)
    model = {"kokoro": {"model": str(folder), "speed": 1.1}}
    usual, engine = (choosing.unjudged(_settings("kokoro", one, **model)) for one in (1.0, pace))
    try:
        usual.load()
        engine.load()
        levels = [_peak(one) for one in (usual, engine)]
    finally:
        usual.close()
        engine.close()
    # The model made by hand divides what it says by its speed.
    assert levels[0] / levels[1] == pytest.approx(pace, rel=1e-5)
    assert usual.pace is not None and engine.pace is not None
    assert usual.pace / engine.pace == pytest.approx(pace)
    assert usual.settings_fingerprint != engine.settings_fingerprint


def _peak(engine: SpeechEngine) -> float:
    (one,) = engine.speak([TEXT], seed=1)
    assert isinstance(one, Spoken)
    return float(np.abs(one.samples).max())


def test_piper_says_the_same_faster() -> None:
    found = {}
    for tempo in (0.8, 1.0, 1.25):
        engine = PiperSpeech(processes=1, tempo=tempo)
        (one,) = engine.speak([TEXT], seed=1)
        engine.close()
        assert one.word_seconds is not None and len(one.word_seconds) == len(TEXT.split())
        found[tempo] = one.word_seconds[-1]
        assert engine.pace == pytest.approx(PACE / tempo)
    assert found[0.8] / found[1.0] == pytest.approx(1.25, rel=0.05)
    assert found[1.25] / found[1.0] == pytest.approx(0.8, rel=0.05)


# Stretched


def _vowel(seconds: float) -> NDArray[np.float32]:
    """A voice of 120 Hz whose formants are at 700 and 1220 Hz."""
    at = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = sum(
        np.exp(-(((120 * n - formant) / 150) ** 2)) * np.sin(2 * np.pi * 120 * n * at + n)
        for n in range(1, 30)
        for formant in (700, 1220)
    )
    made: NDArray[np.float32] = (0.3 * sound / np.abs(sound).max()).astype(np.float32)
    return made


def _spectrum(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Levels by harmonics of 120 Hz, in the middle of the sound."""
    middle = samples[len(samples) // 4 :][: SAMPLE_RATE // 4] * np.hanning(SAMPLE_RATE // 4)
    bins = np.abs(np.fft.rfft(middle))
    return np.array([bins[30 * n - 4 : 30 * n + 5].max() for n in range(1, 20)])


@PACES
def test_pitch_and_formants_stay(stretcher: Stretcher, pace: float) -> None:
    sound = _vowel(2.0)
    made = stretcher.stretch(sound, pace)
    assert made.dtype == np.float32 and len(made) == round(len(sound) / pace)
    assert np.abs(made).max() <= 1
    before, after = _spectrum(sound), _spectrum(made)
    loud = before > before.max() / 30
    assert np.abs(20 * np.log10(after[loud] / before[loud])).max() < 1.5
    # Sound until the end, and in the middle of no window a hole.
    steps = made[: len(made) // 480 * 480].reshape(-1, 480)
    assert np.sqrt((steps**2).mean(axis=1))[2:-2].min() > 0.05


@pytest.mark.parametrize("length", [1, 100, 480, 24_000, 24_001])
def test_however_short_the_length_is_right(stretcher: Stretcher, length: int) -> None:
    assert len(stretcher.stretch(np.zeros(length, np.float32), 0.8)) == round(length / 0.8)


def test_a_dead_process_fails_its_segment_and_is_started_again() -> None:
    one = Stretcher()
    one.stretch(np.zeros(100, np.float32), 0.8)
    process = one._child._process
    assert process is not None
    process.kill()
    process.wait()
    assert len(one.stretch(np.zeros(100, np.float32), 0.8)) == 125
    one.close()


class Humming:
    """Hums for a second a segment, and amends the first."""

    name, device, settings_fingerprint = "humming", "cpu", "humming 1"
    pace: float | None = 0.06
    slots = Slots(1, 8)
    voices: Collection[str] = ("anna",)
    closed = False

    def load(self) -> None:
        self.loaded = True

    def in_voice(self, name: str) -> SpeechEngine:
        if name != "anna":
            raise KeyError(name)
        return Humming()

    def words_in(self, samples: NDArray[np.float32], text: str) -> tuple[float, ...] | None:
        return (len(samples) / SAMPLE_RATE,)

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Collection[int] = (),
        example: Example | None = None,
    ) -> Generator[Spoken | Amended, None, None]:
        try:
            for index, _ in enumerate(segments):
                if index not in skip:
                    words = (0.5,) if index else None
                    yield Spoken(index, _vowel(1.0), {"a": 1}, [[7]], word_seconds=words)
            yield Amended(0, {"a": 2})
        finally:
            self.closed = True

    def close(self) -> None:
        self.closed = True


def test_what_an_engine_gives_is_stretched_and_nothing_else_of_it() -> None:
    inner = Humming()
    engine = stretched(inner, 1.25)
    engine.load()
    try:
        first, second, amended = engine.speak([TEXT, TEXT, TEXT], seed=1, skip={2: {}})
        assert isinstance(first, Spoken) and isinstance(second, Spoken)
        assert len(first.samples) == round(0.8 * SAMPLE_RATE)
        assert (first.note, first.codes, first.word_seconds) == ({"a": 1}, [[7]], None)
        assert second.word_seconds == (pytest.approx(0.4),)
        assert amended == Amended(0, {"a": 2})
        assert engine.pace == pytest.approx(0.048)
        assert engine.settings_fingerprint == "humming 1 tempo 1.25"
        assert isinstance(engine, speech.HasSlots) and engine.slots == Slots(1, 8)
        assert isinstance(engine, speech.HearsWords) and isinstance(engine, speech.HasVoices)
        assert engine.words_in(first.samples, TEXT) == (pytest.approx(0.8),)
        assert engine.voices == ("anna",)
        anna, _ = engine.in_voice("anna").speak([TEXT], seed=1)
        assert isinstance(anna, Spoken) and len(anna.samples) == len(first.samples)
        with pytest.raises(KeyError):
            engine.in_voice("bob")
    finally:
        engine.close()
    assert inner.closed


def test_closing_the_stream_closes_the_engines() -> None:
    inner = Humming()
    engine = StretchedSpeech(inner, 0.8)
    stream = engine.speak([TEXT, TEXT], seed=1)
    next(stream)
    stream.close()
    assert inner.closed
    engine.close()


def test_only_what_cannot_read_faster_is_stretched(tmp_path: Path) -> None:
    slow = choosing.create(_settings("csm", 0.8, speech={"engine": "csm", "model": str(tmp_path)}))
    plain = choosing.create(_settings("csm", 1.0, speech={"engine": "csm", "model": str(tmp_path)}))
    assert isinstance(slow, StretchedSpeech) and not isinstance(plain, StretchedSpeech)
    # A segment's cap is that of what is heard.
    assert ":48s" in slow.settings_fingerprint and ":60s" in plain.settings_fingerprint
    assert not isinstance(choosing.create(_settings("piper", 0.8)), StretchedSpeech)


def test_a_process_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("narrator_daemon.speech.stretched.WORKER", ("-c", "raise SystemExit(1)"))
    with pytest.raises(SpeechError, match="time stretching process did not start"):
        StretchedSpeech(Humming(), 0.8).load()


@pytest.mark.parametrize("pace", [0.79, 1.26, 0, float("nan")])
def test_the_pace_has_bounds(pace: float) -> None:
    with pytest.raises(ValidationError):
        _settings("tone", pace)
