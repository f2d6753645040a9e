"""Held tones: marked by less, since nothing in them hides the mark; speech as ever."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import stft
from speechlike import RATE, speechlike

from watermark import Embedder, embed, self_check
from watermark.marking import steadiness
from watermark.marking.steadiness import REACH, Steadiness

KEY = bytes(range(32))
TIME = np.arange(6 * RATE) / RATE
TONE = (0.3 * np.sin(2 * np.pi * 440 * TIME)).astype(np.float32)
ORGAN = np.sum([0.1 / k * np.sin(2 * np.pi * 220 * k * TIME) for k in range(1, 20)], axis=0)
SPEECH = speechlike(12, seed=1)


def swelling(plain: NDArray[np.floating], marked: NDArray[np.floating]) -> float:
    """How far loud spots of the sound are raised and lowered, dB rms."""
    before, after = (np.abs(stft(x, RATE, nperseg=1024)[2]) for x in (plain, marked))
    loud = before > 0.1 * before.max()
    return float(np.sqrt(np.square(20 * np.log10(after[loud] / before[loud])).mean()))


@pytest.mark.parametrize("sound", [TONE, ORGAN], ids=["tone", "organ"])
@pytest.mark.parametrize("public_db", [0.0, 1.2])
def test_a_held_tone_swells_by_less_than_can_be_heard(
    sound: NDArray[np.floating], public_db: float
) -> None:
    marked = embed(sound, RATE, KEY, 3, public_db=public_db)
    assert 0 < swelling(sound, marked) < 0.35


def test_a_tone_is_held_from_its_first_moment_to_its_last() -> None:
    sound = np.concatenate([SPEECH[: 2 * RATE], TONE[: RATE * 2], SPEECH[: 2 * RATE]])
    marked = embed(sound, RATE, KEY, 3)
    for part in (slice(2 * RATE, 5 * RATE // 2), slice(7 * RATE // 2, 4 * RATE)):
        part = slice(part.start + 1200, part.stop - 1200)
        assert swelling(sound[part], marked[part]) < 0.5


def test_a_tone_that_trembles_by_itself_is_marked_in_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trembling = TONE * (1 + 0.6 * np.sin(2 * np.pi * 7 * TIME)).astype(np.float32) / 2
    marked = embed(trembling, RATE, KEY, 3)
    monkeypatch.setattr(steadiness, "_LEAST", 1.0)
    assert np.abs(marked - embed(trembling, RATE, KEY, 3))[RATE:-RATE].max() < 0.01


def test_speech_is_marked_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    score = self_check(embed(SPEECH, RATE, KEY, 3), RATE, KEY, 3)
    monkeypatch.setattr(steadiness, "_LEAST", 1.0)
    assert score > 0.97 * self_check(embed(SPEECH, RATE, KEY, 3), RATE, KEY, 3)


def test_blocks_of_any_size_give_the_same_samples_of_tones() -> None:
    sound = np.concatenate([TONE, SPEECH, TONE])
    whole = embed(sound, RATE, KEY, 3)
    embedder = Embedder(RATE, KEY, 3)
    parts = [embedder.feed(part) for part in np.array_split(sound, 17)]
    assert np.array_equal(np.concatenate([*parts, embedder.finish()]), whole)


def test_frames_are_judged_by_what_comes_before_and_after() -> None:
    power = np.full((100 + REACH, 2), 1.0, np.float32)
    power[::2, 1] = 100.0
    # Frames four apart are alike in both bands: held, or beating with that period.
    held = Steadiness(2).hidden(power)
    assert held.shape == (100, 2)
    assert held[50:].max() == 0.25
    power[:, 1] = np.resize(np.repeat([1.0, 100.0], 4), len(power))
    assert Steadiness(2).hidden(power)[50:, 1].min() == 1.0


def test_what_came_before_is_remembered_from_batch_to_batch() -> None:
    power = np.random.default_rng(4).uniform(0.5, 2.0, (90 + REACH, 3)).astype(np.float32)
    once, bit_by_bit = Steadiness(3), Steadiness(3)
    parts = [bit_by_bit.hidden(power[at : at + 30 + REACH]) for at in (0, 30, 60)]
    assert np.allclose(np.concatenate(parts), once.hidden(power))
