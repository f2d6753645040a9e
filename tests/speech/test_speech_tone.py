import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csm import SAMPLE_RATE
from narrator_daemon.speech import SpeechEngine
from narrator_daemon.speech.tone import ToneSpeech

ENGINE = ToneSpeech()


@pytest.fixture(scope="module")
def tone() -> ToneSpeech:
    engine = ToneSpeech()
    engine.load()
    return engine


def samples(engine: SpeechEngine, text: str, seed: int = 1) -> np.ndarray:
    return next(iter(engine.speak([text], seed=seed))).samples


@settings(deadline=None, max_examples=50)
@given(text=st.text(max_size=2000), seed=st.integers(0, 2**63 - 1))
def test_any_text_gives_its_length_of_bounded_sound(text: str, seed: int) -> None:
    sound = samples(ENGINE, text, seed)
    assert sound.dtype == np.float32
    assert len(sound) == round(max(2.0, 0.065 * len(text)) * SAMPLE_RATE)
    assert np.max(np.abs(sound)) < 1.0
    assert 0.03 < np.sqrt(np.mean(sound.astype(np.float64) ** 2)) < 0.3


def test_the_same_text_and_seed_give_the_same_samples_in_another_engine(tone: ToneSpeech) -> None:
    assert np.array_equal(
        samples(tone, "Call me Ishmael."), samples(ToneSpeech(), "Call me Ishmael.")
    )


def test_text_and_seed_both_matter(tone: ToneSpeech) -> None:
    base = samples(tone, "Call me Ishmael.")
    assert not np.array_equal(base, samples(tone, "Call me Ishmael?"))
    assert not np.array_equal(base, samples(tone, "Call me Ishmael.", seed=2))


def test_segments_come_in_order_with_their_index(tone: ToneSpeech) -> None:
    spoken = list(tone.speak(["one", "two", "three"], seed=7))
    assert [part.index for part in spoken] == [0, 1, 2]
    assert np.array_equal(spoken[1].samples, samples(tone, "two", seed=7))


def test_a_caller_may_write_into_what_it_gets(tone: ToneSpeech) -> None:
    before = samples(tone, "mine").copy()
    samples(tone, "mine")[:] = 0
    assert np.array_equal(before, samples(tone, "mine"))


def test_every_band_of_speech_is_filled(tone: ToneSpeech) -> None:
    sound = samples(tone, "x" * 300)
    power = np.abs(np.fft.rfft(sound)) ** 2
    frequency = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    edges = np.arange(300, 5931, 200)
    bands = [power[(frequency >= low) & (frequency < low + 200)].sum() for low in edges]
    assert 10 * np.log10(min(bands) / power.sum()) > -35


def test_it_swells_four_times_a_second(tone: ToneSpeech) -> None:
    sound = np.abs(samples(tone, "x" * 300))
    envelope = np.fft.rfft(sound - sound.mean())
    frequency = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    slow = (frequency > 1) & (frequency < 20)
    assert frequency[slow][np.argmax(np.abs(envelope[slow]))] == pytest.approx(4, abs=0.2)


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; from narrator_daemon.speech.tone import ToneSpeech; ToneSpeech().load();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_can_be_closed_twice_and_used_again(tone: ToneSpeech) -> None:
    tone.close()
    tone.close()
    assert len(samples(tone, "again")) == 2 * SAMPLE_RATE
