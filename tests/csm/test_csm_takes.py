"""Which takes are drawn again, and which are kept. What is good is decided by a made-up judge."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from csm.takes import drawing, notes
from csm.takes.drawing import Example, JudgedTake, seed_of_draw, well_spoken
from csm.takes.judging import Judge, Judged
from csm.takes.notes import Known
from csm.takes.sound import BANDS
from csm.takes.usual import LEAST_TAKES, Profile, Usual
from csm.takes.verdict import Fault, Verdict
from csm.takes.voice import COEFFICIENTS, Voice


@dataclass(frozen=True)
class Take:
    index: int
    samples: NDArray[np.float32]
    codes: ArrayLike | None = None
    ended: bool = True


def profile(kind: float) -> Profile:
    """Of a take whose voice is ``kind`` away from the usual."""
    voice = Voice(500, np.full(COEFFICIENTS, kind), np.eye(COEFFICIENTS), 7.0)
    return Profile(5.0, 0.06, -20.0, -60.0, -20.0, np.full(BANDS, -70.0), np.zeros(BANDS), voice)


@dataclass(frozen=True)
class Planned(Judge):
    """Takes a take's first sample for its badness by itself, and its third for its voice."""

    pace: float = 0.07
    kind: Fault = Fault.REPEATED

    def judge(
        self,
        text: str,
        samples: NDArray[np.float32],
        *,
        codes: ArrayLike | None = None,
        ended: bool = True,
        usual: Usual | None = None,
    ) -> Judged:
        badness = float(samples[0])
        alone = Verdict({self.kind: badness} if badness else {}, {"seconds": 1.0})
        of = profile(float(samples[2]))
        return Judged(alone if usual is None else self.compared(text, alone, of, usual), alone, of)


@dataclass
class Speaker:
    """Speaks takes whose badness is planned, by segment and draw; remembers what it was asked."""

    plan: dict[str, list[float]]
    voices: dict[str, list[float]] = field(default_factory=dict)
    asked: list[tuple[tuple[str, ...], int, Example | None]] = field(default_factory=list)
    spoken: list[str] = field(default_factory=list)
    gate: threading.Event | None = None

    def __call__(
        self, segments: Sequence[str], seed: int, skip: Collection[int], example: Example | None
    ) -> Generator[Take, None, None]:
        self.asked.append((tuple(segments), seed, example))
        return self._speak(segments, skip)

    def _speak(self, segments: Sequence[str], skip: Collection[int]) -> Generator[Take, None, None]:
        for index, text in enumerate(segments):
            if index in skip:
                continue
            number = self.spoken.count(text)
            self.spoken.append(text)
            if number and self.gate is not None:
                assert self.gate.wait(20)
            planned = self.plan.get(text, [])
            badness = planned[number] if number < len(planned) else 0.0
            voices = self.voices.get(text, [])
            voice = voices[number] if number < len(voices) else 0.0
            yield Take(index, np.array([badness, number, voice], np.float32))


def kept_of(takes: Iterator[JudgedTake]) -> dict[int, JudgedTake]:
    """What stands at the end: the last take of each segment, and the last that is known of it."""
    found: dict[int, JudgedTake] = {}
    for kept in takes:
        take = kept.take or found[kept.index].take
        found[kept.index] = JudgedTake(kept.index, take, kept.known)
    return dict(sorted(found.items()))


def samples_of(kept: JudgedTake) -> list[float]:
    assert kept.take is not None
    return [float(value) for value in kept.take.samples]


TEXTS = ["one", "two", "three", "four"]


def test_good_takes_are_kept_and_nothing_is_drawn_again() -> None:
    voice = Speaker({})
    kept = kept_of(well_spoken(voice, TEXTS, seed=7, judge=Planned()))
    assert list(kept) == [0, 1, 2, 3]
    assert {
        (one.known.drawn, one.known.draws, one.known.verdict.passed) for one in kept.values()
    } == {(1, 1, True)}
    assert voice.asked == [(tuple(TEXTS), 7, None)]


@given(
    plan=st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=3, max_size=3), max_size=6
    ),
    most=st.integers(1, 3),
)
def test_the_first_good_draw_is_kept_else_the_best(plan: list[list[float]], most: int) -> None:
    texts = [str(number) for number in range(len(plan))]
    voice = Speaker(dict(zip(texts, plan, strict=True)))
    kept = kept_of(well_spoken(voice, texts, seed=1, judge=Planned(), most_draws=most))
    assert list(kept) == list(range(len(plan)))
    for index, badness in enumerate(plan):
        draws = badness.index(0.0) + 1 if 0.0 in badness[:most] else most
        best = badness[:draws].index(min(badness[:draws]))
        one = kept[index]
        assert (one.known.draws, one.known.drawn) == (draws, best + 1)
        assert samples_of(one)[:2] == [badness[best], best]
        assert one.known.verdict.passed == (badness[best] == 0)


def test_other_draws_have_other_seeds_and_the_voice_of_the_first_take() -> None:
    voice = Speaker({"two": [1, 1], "four": [1]})
    kept_of(well_spoken(voice, TEXTS, seed=7, judge=Planned()))
    first, *again = voice.asked
    assert first == (tuple(TEXTS), 7, None)
    assert sorted((texts, seed) for texts, seed, _ in again) == sorted(
        [
            (("two",), seed_of_draw(7, 1, 2)),
            (("two",), seed_of_draw(7, 1, 3)),
            (("four",), seed_of_draw(7, 3, 2)),
        ]
    )
    assert len({seed for _, seed, _ in voice.asked}) == 4
    examples = [example for _, _, example in again]
    assert all(one is not None and one.text == "one" and one.take.index == 0 for one in examples)


def test_a_single_segment_is_no_example_for_itself() -> None:
    voice = Speaker({"one": [1]})
    kept_of(well_spoken(voice, ["one"], seed=7, judge=Planned()))
    assert [example for _, _, example in voice.asked] == [None, None]


def test_skipped_segments_are_not_spoken() -> None:
    voice = Speaker({"three": [1]})
    kept = kept_of(well_spoken(voice, TEXTS, seed=7, judge=Planned(), skip={0: {}, 3: {}}))
    assert list(kept) == [1, 2]
    assert sorted(voice.spoken) == ["three", "three", "two"]


def test_a_second_draw_does_not_hold_the_others_up() -> None:
    voice = Speaker({"one": [1]}, gate=threading.Event())
    stream = well_spoken(voice, TEXTS, seed=7, judge=Planned())
    assert sorted(next(stream).index for _ in range(3)) == [1, 2, 3]
    assert voice.gate is not None
    voice.gate.set()
    assert [(kept.index, kept.known.draws) for kept in stream] == [(0, 2)]


def test_a_slow_judge_bounds_what_is_spoken_ahead() -> None:
    texts = [str(number) for number in range(50)]
    voice = Speaker({text: [1] for text in texts}, gate=threading.Event())
    stream = well_spoken(voice, texts, seed=7, judge=Planned())
    thread = threading.Thread(target=lambda: next(stream))
    thread.start()
    assert voice.gate is not None
    thread.join(0.2)
    assert len(set(voice.spoken)) <= drawing.AT_ONCE + 1
    voice.gate.set()
    thread.join(20)
    assert len(list(stream)) == 49


def test_closing_cancels_what_is_not_spoken_and_draws_no_more() -> None:
    closed = threading.Event()

    class Closing(Speaker):
        def _speak(
            self, segments: Sequence[str], skip: Collection[int]
        ) -> Generator[Take, None, None]:
            try:
                yield from super()._speak(segments, skip)
            finally:
                if len(segments) > 1:
                    closed.set()

    voice = Closing({text: [9.0] * 9 for text in TEXTS[:2]}, gate=threading.Event())
    stream = well_spoken(voice, TEXTS, seed=7, judge=Planned(), most_draws=9)
    next(stream)
    stream.close()
    assert closed.is_set()
    assert voice.gate is not None
    voice.gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("takes"):
            thread.join(20)
    assert max(map(voice.spoken.count, TEXTS)) <= 2


def test_what_fails_while_drawing_again_is_raised() -> None:
    class Failing(Speaker):
        def _speak(
            self, segments: Sequence[str], skip: Collection[int]
        ) -> Generator[Take, None, None]:
            if len(segments) == 1:
                raise MemoryError("no room")
            yield from super()._speak(segments, skip)

    with pytest.raises(MemoryError, match="no room"):
        list(well_spoken(Failing({"two": [1]}), TEXTS, seed=7, judge=Planned()))


def test_a_report_counts_and_shows_the_worst_in_bounded_size() -> None:
    plan = {str(number): [float(number % 7)] * 3 for number in range(200)}
    kept = kept_of(well_spoken(Speaker(plan), list(plan), seed=7, judge=Planned()))
    report = notes.report([one.known.note for one in kept.values()])
    good = sum(badness == [0.0] * 3 for badness in plan.values())
    assert report["judged"] == 200
    assert report["passed"] == good
    assert report["redrawn"] == 200 - good
    assert report["draws"] == good + 3 * (200 - good)
    assert report["faults"] == {"repeated": 200 - good}
    assert len(report["failing"]) == notes.MOST_REPORTED
    assert report["failing"][0] == {"segment": 6, "faults": ["repeated"], "draws": 3}
    assert notes.report([{}, {"other": 1}])["judged"] == 0


MANY = [f"segment {number}" for number in range(12)]


def test_a_take_in_another_voice_is_drawn_again_once_the_others_are_there() -> None:
    voice = Speaker({}, {MANY[4]: [9.0, 9.0, 0.0]})
    given = list(well_spoken(voice, MANY, seed=7, judge=Planned()))
    assert [one.index for one in given[12:]] == [4]
    last = kept_of(iter(given))[4]
    assert (last.known.drawn, last.known.draws, last.known.verdict.passed) == (3, 3, True)
    assert samples_of(last)[2] == 0.0
    assert [seed for texts, seed, _ in voice.asked[1:]] == [
        seed_of_draw(7, 4, 2),
        seed_of_draw(7, 4, 3),
    ]
    assert all(example is not None for _, _, example in voice.asked[1:])


def test_what_stays_in_another_voice_is_told_of_and_keeps_its_sound() -> None:
    voice = Speaker({}, {MANY[4]: [5.0, 9.0, 9.0]})
    given = list(well_spoken(voice, MANY, seed=7, judge=Planned()))
    assert [(one.index, one.take) for one in given[12:]] == [(4, None)]
    known = given[12].known
    assert set(known.verdict.faults) == {Fault.OTHER_VOICE} and known.alone.passed
    assert (known.drawn, known.draws) == (1, 3)
    report = notes.report([one.known.note for one in kept_of(iter(given)).values()])
    assert report["faults"] == {"other_voice": 1} and report["redrawn"] == 1


def test_a_fault_that_most_takes_have_is_the_voices_and_costs_no_draw() -> None:
    voice = Speaker({text: [1.0, 1.0, 1.0] for text in MANY[:7]})
    kept = kept_of(well_spoken(voice, MANY, seed=7, judge=Planned(kind=Fault.CLICKS)))
    assert all(one.known.verdict.passed for one in kept.values())
    assert len(voice.asked) == 1


def test_a_fault_of_a_voice_that_few_takes_have_is_drawn_again() -> None:
    voice = Speaker({MANY[3]: [1.0]})
    kept = kept_of(well_spoken(voice, MANY, seed=7, judge=Planned(kind=Fault.CLICKS)))
    assert (kept[3].known.draws, kept[3].known.verdict.passed) == (2, True)
    few = Speaker({"one": [1.0]})
    assert kept_of(well_spoken(few, TEXTS, seed=7, judge=Planned(kind=Fault.CLICKS)))[
        0
    ].known.verdict.passed
    assert few.spoken.count("one") == 2


def test_what_was_kept_before_is_compared_with_what_goes_on() -> None:
    strange = Known(Verdict({}, {}), Verdict({}, {}), profile(9.0))
    usual = Known(Verdict({}, {}), Verdict({}, {}), profile(0.0))
    before = {index: (strange if index == 2 else usual).note for index in range(8)}
    voice = Speaker({})
    given = list(well_spoken(voice, MANY, seed=7, judge=Planned(), skip=before))
    assert sorted(one.index for one in given[:4]) == [8, 9, 10, 11]
    assert [(one.index, one.take is not None) for one in given[4:]] == [(2, True)]
    assert given[4].known.draws == 2 and given[4].known.verdict.passed


def test_where_all_is_there_nothing_is_spoken_and_another_voice_is_told_of() -> None:
    strange = Known(Verdict({}, {}), Verdict({}, {}), profile(9.0))
    usual = Known(Verdict({}, {}), Verdict({}, {}), profile(0.0))
    before = {index: (strange if index == 2 else usual).note for index in range(12)}
    voice = Speaker({})
    given = list(well_spoken(voice, MANY, seed=7, judge=Planned(), skip=before))
    # Nothing says in which voice another draw would have to be.
    assert voice.asked == []
    assert [(one.index, one.take) for one in given] == [(2, None)]
    after = before | {2: given[0].known.note}
    assert list(well_spoken(voice, MANY, seed=7, judge=Planned(), skip=after)) == []


def test_too_few_takes_say_nothing_of_what_is_usual() -> None:
    texts = MANY[: LEAST_TAKES - 1]
    voice = Speaker({}, {texts[2]: [9.0] * 3})
    kept = kept_of(well_spoken(voice, texts, seed=7, judge=Planned()))
    assert kept[2].known.verdict.passed and len(voice.asked) == 1


@given(
    kind=st.floats(-50, 50),
    faults=st.dictionaries(st.sampled_from(list(Fault)), st.floats(1, 100), max_size=3),
    draws=st.integers(1, 10),
)
def test_a_note_holds_what_is_known(kind: float, faults: dict[Fault, float], draws: int) -> None:
    known = Known(Verdict(faults, {"seconds": 1.5}), Verdict({}, {"seconds": 1.5}), profile(kind))
    known = Known(known.verdict, known.alone, known.profile, 1, draws)
    again = notes.read(json.loads(json.dumps(known.note)))
    assert again is not None and again.profile is not None and again.profile.voice is not None
    assert (again.verdict, again.alone, again.draws) == (known.verdict, known.alone, draws)
    assert np.allclose(again.profile.voice.mean, kind, rtol=1e-3, atol=1e-3)
    assert set(notes.told(known.note)) == {"scores", "faults", "drawn", "draws"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["scores", "faults", "alone", "profile", "drawn", "draws", "x"]),
                inner,
                max_size=7,
            )
        ),
        max_leaves=12,
    )
)
def test_any_other_note_is_no_note(value: object) -> None:
    if isinstance(value, dict):
        known = notes.read(value)
        assert known is None or isinstance(known, Known)
        assert notes.report([value])["judged"] in (0, 1)
