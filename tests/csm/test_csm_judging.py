"""Judges meet speech of the preview voice, as it is and spoiled on purpose."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import resample_poly

from benchmarks.judging.corpus import Clip
from benchmarks.judging.spoiling import KINDS, Beside, Spoil, name_of
from csm import SAMPLE_RATE, CsmError
from csm.takes.judging import Fault, Judge, Judged, Thresholds, Verdict, longest_repeat
from csm.takes.recognise import Recogniser
from csm.takes.usual import Usual, read, usual_of
from csm.takes.wording import compare, divergence
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
    "He paid for the bread, put the change into his pocket and went out into the rain.",
    "Nobody remembered when the lighthouse had last been painted; it stood there, white and old.",
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
def judged(spoken: list[Samples]) -> list[Judged]:
    return [JUDGE.judge(text, samples) for text, samples in zip(TEXTS, spoken, strict=True)]


@pytest.fixture(scope="module")
def usual(judged: list[Judged]) -> Usual:
    found = usual_of([(one.profile, one.verdict.faults) for one in judged if one.profile])
    assert found is not None
    return found


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
    repeated: {Fault.REPEATED, Fault.SAID_TWICE},
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
        # One of those that name it: a copy, say, is something repeated as well.
        assert SPOILED[spoil] & set(verdict.faults), verdict
        assert not verdict.passed
        assert verdict.badness >= 1


def test_good_speech_passes_beside_itself(
    judged: list[Judged], usual: Usual, spoken: list[Samples]
) -> None:
    for text, samples, one in zip(TEXTS, spoken, judged, strict=True):
        assert one.profile is not None
        beside = JUDGE.compared(text, one.verdict, one.profile, usual)
        assert beside.passed, beside
        again = read(one.profile.written())
        assert again is not None
        assert JUDGE.compared(text, one.verdict, again, usual).passed
        assert JUDGE(text, samples, usual=usual) == beside


#: Of the ways in which ``benchmarks.judging.spoiling`` spoils a take, those that sound alone tells,
#: and what must be found of each.
BY_SOUND = {
    "doubled_word": Fault.SAID_TWICE,
    "stutter": Fault.SAID_TWICE,
    "repeated_phrase": Fault.REPEATED,
    "runaway": Fault.TOO_LONG,
    "second_half_missing": Fault.OTHER_PACE,
    "reversed_whole": Fault.BACKWARDS,
    "other_voice_midway": Fault.VOICE_CHANGES,
    "other_voice": Fault.OTHER_VOICE,
    "whispered_tail": Fault.VOICE_CHANGES,
    "half_quieter": Fault.LEVEL_CHANGES,
    "tape_ramp": Fault.OTHER_VOICE,
    "half_as_fast_again": Fault.OTHER_PACE,
    "hum": Fault.NOISY,
    "buzz": Fault.NOISY,
    "hiss": Fault.NOISY,
    "music": Fault.NOISY,
    "clicks": Fault.CLICKS,
    "dropouts": Fault.GAPS,
    "narrow_band": Fault.OTHER_SOUND,
    "noise_burst": Fault.TONELESS,
    "leading_noise": Fault.TONELESS,
    "echo": Fault.OTHER_ROOM,
    "clipped": Fault.CLIPPED,
    "hummed_pause": Fault.HELD_SOUND,
    "last_80_ms_cut": Fault.CUT_OFF,
    "cut_in_a_word": Fault.CUT_OFF,
    "long_pause": Fault.LONG_SILENCE,
    "silence": Fault.SILENT,
}
WAYS = {name_of(spoil): spoil for spoils in KINDS.values() for spoil in spoils}


@pytest.mark.parametrize("name", BY_SOUND)
def test_what_speech_models_do_wrong_is_heard(
    name: str, spoken: list[Samples], usual: Usual
) -> None:
    found = [
        JUDGE(TEXTS[place], _spoiled(WAYS[name], spoken, place), usual=usual).faults
        for place in (0, 1, 6)
    ]
    assert any(BY_SOUND[name] in faults for faults in found), found


def _spoiled(spoil: Spoil, spoken: list[Samples], place: int) -> Samples:
    mates = [
        Clip("preview", "preview", "tune", text, samples)
        for text, samples in zip(TEXTS, spoken, strict=True)
        if samples is not spoken[place]
    ]
    return spoil(spoken[place], Beside(mates, mates, []), np.random.default_rng(place))


@pytest.mark.parametrize("name", ["made_up_tail", "made_up_head", "thirds_swapped", "babble"])
def test_other_words_are_heard_where_a_recogniser_listens(
    name: str, listening: Judge, spoken: list[Samples], usual: Usual
) -> None:
    words = {Fault.WRONG_WORDS, Fault.LOST_WORDS, Fault.MADE_UP_WORDS}
    spoiled = _spoiled(WAYS[name], spoken, 1)
    assert words & set(listening(TEXTS[1], spoiled, usual=usual).faults)
    assert not words & set(JUDGE(TEXTS[1], spoiled, usual=usual).faults)


def test_what_many_takes_have_is_their_voices(spoken: list[Samples]) -> None:
    noise = np.random.default_rng(3)
    hissing = [
        (sample + noise.normal(size=len(sample)) * 0.01).astype(np.float32) for sample in spoken
    ]
    judged = [JUDGE.judge(text, samples) for text, samples in zip(TEXTS, hissing, strict=True)]
    assert any(Fault.NOISY in one.verdict.faults for one in judged)
    usual = usual_of([(one.profile, one.verdict.faults) for one in judged if one.profile])
    assert usual is not None
    for text, one in zip(TEXTS, judged, strict=True):
        assert one.profile is not None
        beside = JUDGE.compared(text, one.verdict, one.profile, usual)
        assert Fault.NOISY not in beside.faults, beside


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
    stuck = np.concatenate([codes[:40], np.repeat(codes[40:41], 13, axis=0), codes[41:]])
    assert set(JUDGE(TEXTS[0], spoken[0], codes=stuck).faults) == {Fault.HELD_SOUND}
    loop = np.tile(codes[:6], (14, 1))
    assert set(JUDGE(TEXTS[0], spoken[0], codes=loop).faults) == {Fault.REPEATED}
    again = np.concatenate([codes[:50], codes[20:40], codes[50:]])
    assert set(JUDGE(TEXTS[0], spoken[0], codes=again).faults) == {Fault.REPEATED}
    # Where the text says a phrase twice, so may the voice.
    twice = f"{TEXTS[3]} {TEXTS[3]}"
    assert JUDGE(twice, np.tile(spoken[3], 2), codes=np.tile(codes[:60], (2, 1))).passed


def test_thresholds_decide(spoken: list[Samples]) -> None:
    spoiled = paused(spoken[0])
    patient = replace(
        JUDGE, thresholds=Thresholds(longest_silence_seconds=2.0, sharpest_click=100.0)
    )
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
    assert longest_repeat("No, never. No, NEVER! No: never?") == len("no never no never")
    assert longest_repeat("They live consciously or unconsciously.") == len("consciously")
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


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("all emotions were abhorrent to his mind", "all motions were important to his mind"),
        (
            "whenever my hypos get the upper hand of me",
            "whenever my high posts get the upper hand of me",
        ),
        ("said Mister Bennet to his wife", "said Mr. Bennett to his wife"),
        ("he left Munich at eight thirty-five", "he left Munich at 835"),
        ("his name is Ishmael and he sails", "his name is Ishmail and he sails"),
        ("a man in some time of life", "a man in sometime of life"),
    ],
)
def test_names_and_old_words_may_be_heard_as_others_that_sound_alike(text: str, heard: str) -> None:
    words = compare(text, heard)
    assert (words.skipped, words.inserted, words.doubled) == (0, 0, 0) and words.apart <= 4.1
    assert words.lost <= 2 and words.made_up <= 2


@pytest.mark.parametrize(
    ("heard", "what"),
    [
        ("the boats rocked against their ropes and the gulls watched him", "skipped"),
        (
            "the fishing boats rocked slowly against their ropes and the gulls watched him",
            "inserted",
        ),
        ("the fishing boats boats rocked against their ropes and the gulls watched him", "doubled"),
        ("the fishing boats rocked against their ropes", "lost"),
        (
            "the fishing boats rocked against their ropes and the gulls watched him if you go",
            "made_up",
        ),
        ("the fishing boats had nothing to say about it and the gulls watched him", "apart"),
    ],
)
def test_words_that_are_missing_made_up_doubled_or_others_are_told_apart(
    heard: str, what: str
) -> None:
    text = "The fishing boats rocked against their ropes, and the gulls watched him."
    words = compare(text, heard)
    limit = {"lost": 2, "made_up": 2, "apart": 4.1}.get(what, 0)
    assert getattr(words, what) > limit, words
    assert compare(text, text.lower()) == compare("", "")


def test_takes_are_heard_alike_alone_and_together(
    recogniser: Recogniser, spoken: list[Samples]
) -> None:
    alone = [Recogniser.hear(recogniser, samples) for samples in spoken]
    with ThreadPoolExecutor(len(spoken)) as threads:
        assert list(threads.map(recogniser.hear, spoken)) == alone


def test_a_long_take_is_heard_to_its_end(recogniser: Recogniser, spoken: list[Samples]) -> None:
    gap = np.zeros(seconds(0.4), np.float32)
    parts = [part for place in (0, 1, 2, 0, 3) for part in (spoken[place], gap)]
    text = " ".join(TEXTS[place] for place in (0, 1, 2, 0, 3))
    whole = np.concatenate(parts)
    assert len(whole) > seconds(31)
    assert divergence(text, recogniser.hear(whole))[0] < 0.15


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
