"""Judges meet speech of the preview voice, as it is and spoiled on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import resample_poly

from csm import SAMPLE_RATE, CsmError
from csm.takes.judging import Fault, Judge, Thresholds, Verdict, longest_repeat
from csm.takes.recognise import Recogniser
from csm.takes.wording import divergence
from narrator_daemon.speech.piper import PACE, PiperSpeech

Samples = NDArray[np.float32]

TEXTS = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, "
    "must be in want of a wife.",
    "Call me Ishmael. Some years ago, never mind how long precisely, I thought I would sail about "
    "a little and see the watery part of the world.",
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age "
    "of foolishness, it was the epoch of belief, it was the epoch of incredulity.",
    "The rabbit-hole went straight on like a tunnel for some way, and then dipped suddenly down.",
    "Why? Because, he said, no one would have believed it. Not then.",
    "To Sherlock Holmes she is always the woman.",
)


@pytest.fixture(scope="module")
def spoken() -> list[Samples]:
    engine = PiperSpeech(processes=1)
    try:
        found = {part.index: part.samples for part in engine.speak(TEXTS, seed=3)}
    finally:
        engine.close()
    return [found[index] for index in range(len(TEXTS))]


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser()


@pytest.fixture(scope="module")
def listening(recogniser: Recogniser) -> Judge:
    return Judge(PACE, listen=recogniser.hear)


JUDGE = Judge(PACE)


def seconds(amount: float) -> int:
    return round(amount * SAMPLE_RATE)


def loud_place(samples: Samples) -> int:
    """The middle of the loudest 50 ms in the middle half of a take."""
    power = np.convolve(np.square(samples), np.ones(seconds(0.05)), mode="same")
    quarter = len(samples) // 4
    return quarter + int(np.argmax(power[quarter:-quarter]))


def cut(samples: Samples) -> Samples:
    return samples[: loud_place(samples)]


def lost(samples: Samples) -> Samples:
    """The second half is missing and the take still ends softly."""
    half = samples[: len(samples) * 2 // 5]
    return np.concatenate([half, np.zeros(seconds(0.3), np.float32)])


def repeated(samples: Samples) -> Samples:
    place = loud_place(samples)
    again = samples[place - seconds(0.7) : place + seconds(0.7)]
    return np.concatenate([samples[: place + seconds(0.7)], again, samples[place + seconds(0.7) :]])


def looped(samples: Samples) -> Samples:
    place = loud_place(samples)
    word = samples[place - seconds(0.2) : place + seconds(0.2)]
    return np.concatenate([samples[:place], *[word] * 5, samples[place:]])


def runaway(samples: Samples) -> Samples:
    """The text is over, the voice goes on with something that is no words."""
    piece = seconds(0.08)
    random = np.random.default_rng(5)
    starts = random.integers(0, len(samples) - piece, len(samples) // piece)
    return np.concatenate([samples, *(samples[start : start + piece] for start in starts)])


def babble(samples: Samples) -> Samples:
    """As long as it should be, and no words: syllables in any order."""
    piece = seconds(0.12)
    order = np.random.default_rng(6).permutation(len(samples) // piece)
    return np.concatenate([samples[start * piece : (start + 1) * piece] for start in order])


def paused(samples: Samples) -> Samples:
    place = loud_place(samples)
    noise = np.random.default_rng(7).normal(size=seconds(1.5)).astype(np.float32) * 1e-4
    return np.concatenate([samples[:place], noise, samples[place:]])


def clipped(samples: Samples) -> Samples:
    return 0.5 * np.clip(3 * samples, -1, 1)


def hummed(samples: Samples) -> Samples:
    place, time = loud_place(samples), np.arange(seconds(1.2)) / SAMPLE_RATE
    hum = sum(np.sin(2 * np.pi * 120 * part * time) / part for part in range(1, 9))
    return np.concatenate([samples[:place], 0.1 * hum, samples[place:]]).astype(np.float32)


def hissed(samples: Samples) -> Samples:
    place = loud_place(samples)
    hiss = 0.05 * np.random.default_rng(8).normal(size=seconds(1.2))
    return np.concatenate([samples[:place], hiss, samples[place:]]).astype(np.float32)


def silent(samples: Samples) -> Samples:
    return np.zeros_like(samples)


def faint(samples: Samples) -> Samples:
    """A word, and then nothing."""
    return np.concatenate([samples[: seconds(0.6)], np.zeros(len(samples), np.float32)])


SPOILED: dict[Callable[[Samples], Samples], set[Fault]] = {
    cut: {Fault.CUT_OFF},
    lost: {Fault.TOO_SHORT},
    repeated: {Fault.REPEATED},
    looped: {Fault.REPEATED},
    runaway: {Fault.TOO_LONG},
    paused: {Fault.LONG_SILENCE},
    clipped: {Fault.CLIPPED},
    hummed: {Fault.HELD_SOUND},
    hissed: {Fault.HELD_SOUND},
    silent: {Fault.SILENT},
}


def test_good_speech_passes(spoken: list[Samples]) -> None:
    verdicts = [JUDGE(text, samples) for text, samples in zip(TEXTS, spoken, strict=True)]
    assert [verdict.faults for verdict in verdicts] == [{}] * len(TEXTS)
    assert {verdict.badness for verdict in verdicts} == {0}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_every_kind_of_spoiled_speech_is_caught(
    spoil: Callable[[Samples], Samples], spoken: list[Samples]
) -> None:
    # The third text says so much twice itself that its voice may, too.
    for place in (0, 1, 3):
        text, samples = TEXTS[place], spoken[place]
        verdict = JUDGE(text, spoil(samples))
        assert SPOILED[spoil] <= set(verdict.faults), verdict
        assert not verdict.passed
        assert verdict.badness >= 1


@pytest.mark.parametrize("level", [0.05, 0.3, 1.2])
def test_loudness_decides_nothing(level: float, spoken: list[Samples]) -> None:
    for text, samples in list(zip(TEXTS, spoken, strict=True))[:2]:
        assert JUDGE(text, samples * np.float32(level)).passed
        assert Fault.CLIPPED in JUDGE(text, clipped(samples) * np.float32(level)).faults


def test_silence_is_worse_than_anything(spoken: list[Samples]) -> None:
    others = [JUDGE(TEXTS[0], spoil(spoken[0])) for spoil in SPOILED if spoil is not silent]
    assert JUDGE(TEXTS[0], silent(spoken[0])).badness > max(other.badness for other in others)


def test_more_of_a_fault_is_worse(spoken: list[Samples]) -> None:
    once = paused(spoken[0])
    assert JUDGE(TEXTS[0], paused(once)).badness > 0
    longer = np.concatenate([once[: len(once) // 2], np.zeros(seconds(3), np.float32), once])
    assert JUDGE(TEXTS[0], longer).badness > JUDGE(TEXTS[0], once).badness > 0


def test_words_are_judged_where_a_recogniser_listens(
    listening: Judge, spoken: list[Samples]
) -> None:
    text, samples = TEXTS[0], spoken[0]
    assert listening(text, samples).passed
    wrong = listening(TEXTS[3], np.resize(samples, len(spoken[3])))
    assert {Fault.WRONG_WORDS, Fault.LOST_WORDS} & set(wrong.faults)
    assert {Fault.WRONG_WORDS, Fault.LOST_WORDS} & set(listening(text, babble(samples)).faults)
    middle = len(samples) // 3
    skipped = np.concatenate([samples[:middle], samples[-middle:]])
    assert Fault.LOST_WORDS in listening(text, skipped).faults


def test_a_take_that_was_cut_at_its_cap_is_not_fit(spoken: list[Samples]) -> None:
    assert set(JUDGE(TEXTS[0], spoken[0], ended=False).faults) == {Fault.CAPPED}


def test_codes_that_come_again_are_heard_of_them(spoken: list[Samples]) -> None:
    codes = np.random.default_rng(1).integers(0, 2048, (80, 32))
    assert JUDGE(TEXTS[0], spoken[0], codes=codes).passed
    loop = np.tile(codes[:6], (14, 1))
    assert set(JUDGE(TEXTS[0], spoken[0], codes=loop).faults) == {Fault.REPEATED}
    again = np.concatenate([codes[:50], codes[20:40], codes[50:]])
    assert set(JUDGE(TEXTS[0], spoken[0], codes=again).faults) == {Fault.REPEATED}
    # Where the text says a phrase twice, so may the voice.
    twice = f"{TEXTS[3]} {TEXTS[3]}"
    assert JUDGE(twice, np.tile(spoken[3], 2), codes=np.tile(codes[:60], (2, 1))).passed


def test_thresholds_decide(spoken: list[Samples]) -> None:
    spoiled = paused(spoken[0])
    patient = replace(JUDGE, thresholds=Thresholds(longest_silence_seconds=2.0))
    assert patient(TEXTS[0], spoiled).passed
    assert not replace(JUDGE, pace=2 * PACE)(TEXTS[0], spoken[0] * 1).passed


@given(
    samples=st.lists(st.floats(-1, 1, width=32), max_size=3000),
    times=st.integers(1, 20),
    text=st.text(min_size=1, max_size=40),
)
def test_any_sound_gets_a_verdict(samples: list[float], times: int, text: str) -> None:
    verdict = JUDGE(text, np.tile(np.array(samples, np.float32), times))
    assert isinstance(verdict, Verdict)
    assert all(np.isfinite(value) for value in verdict.scores.values())
    assert all(np.isfinite(value) and value >= 1 for value in verdict.faults.values())


def test_the_longest_phrase_that_a_text_repeats() -> None:
    assert longest_repeat("It was the best of times, it was the worst of times.") == len(
        "it was the "
    )
    assert longest_repeat("No. No! NO?") == len("no no ")
    assert longest_repeat("Every word once.") == 0
    assert longest_repeat("") == 0


def test_divergence_compares_words_as_they_are_said() -> None:
    assert divergence("He paid five pounds.", "he paid £5") == (0.0, 0)
    assert divergence("It's the well-known one.", "its the well known one") == (0.0, 0)
    assert divergence("one two three four", "one three four") == (0.25, 1)
    assert divergence("one two three four", "one x y z two three four") == (0.75, 3)
    assert divergence("a b c d e f", "a b x y e f") == (2 / 6, 2)
    assert divergence("", "") == (0.0, 0)
    assert divergence("one two", "") == (1.0, 2)


@given(st.text(max_size=60), st.text(max_size=60))
def test_divergence_is_bounded(one: str, other: str) -> None:
    rate, longest = divergence(one, other)
    assert rate >= 0 and longest >= 0
    assert divergence(one, one) == (0.0, 0)


def test_a_recogniser_without_a_model_says_what_to_do(tmp_path, monkeypatch) -> None:
    with pytest.raises(CsmError, match=r"no recogniser's model at .*absent: give"):
        Recogniser(tmp_path / "absent").load()
    with pytest.raises(CsmError, match=r"cannot be loaded .*model\.bin"):
        Recogniser(tmp_path).load()
    monkeypatch.setitem(__import__("sys").modules, "faster_whisper", None)
    with pytest.raises(CsmError, match=r"install faster-whisper"):
        Recogniser().load()


def test_speech_at_another_speed_is_still_the_same_words(
    recogniser: Recogniser, spoken: list[Samples]
) -> None:
    slow = resample_poly(spoken[3], 11, 10).astype(np.float32)
    rate, longest = divergence(TEXTS[3], recogniser.hear(slow))
    assert rate < 0.3 and longest < 4
