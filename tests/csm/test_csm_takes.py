"""Which takes are drawn again, and which are kept. What is good is decided by a made-up judge."""

from __future__ import annotations

import threading
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from csm.takes import drawing
from csm.takes.drawing import Example, Fault, JudgedTake, Verdict, seed_of_draw, well_spoken


@dataclass(frozen=True)
class Take:
    index: int
    samples: NDArray[np.float32]
    codes: ArrayLike | None = None
    ended: bool = True


@dataclass(frozen=True)
class Judge(drawing.Judge):
    """Takes a take's first sample for its badness."""

    pace: float = 0.07

    def __call__(
        self,
        text: str,
        samples: NDArray[np.float32],
        *,
        codes: ArrayLike | None = None,
        ended: bool = True,
    ) -> Verdict:
        badness = float(samples[0])
        return Verdict({Fault.REPEATED: badness} if badness else {}, {"seconds": 1.0})


@dataclass
class Voice:
    """Speaks takes whose badness is planned, by segment and draw; remembers what it was asked."""

    plan: dict[str, list[float]]
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
            yield Take(index, np.array([badness, number], np.float32))


def kept_of(takes: Iterator[JudgedTake]) -> dict[int, JudgedTake]:
    found = {kept.take.index: kept for kept in takes}
    return dict(sorted(found.items()))


TEXTS = ["one", "two", "three", "four"]


def test_good_takes_are_kept_and_nothing_is_drawn_again() -> None:
    voice = Voice({})
    kept = kept_of(well_spoken(voice, TEXTS, seed=7, judge=Judge()))
    assert list(kept) == [0, 1, 2, 3]
    assert {(one.drawn, one.draws, one.verdict.passed) for one in kept.values()} == {(1, 1, True)}
    assert voice.asked == [(tuple(TEXTS), 7, None)]


@given(
    plan=st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=3, max_size=3), max_size=6
    ),
    most=st.integers(1, 3),
)
def test_the_first_good_draw_is_kept_else_the_best(plan: list[list[float]], most: int) -> None:
    texts = [str(number) for number in range(len(plan))]
    voice = Voice(dict(zip(texts, plan, strict=True)))
    kept = kept_of(well_spoken(voice, texts, seed=1, judge=Judge(), most_draws=most))
    assert list(kept) == list(range(len(plan)))
    for index, badness in enumerate(plan):
        draws = badness.index(0.0) + 1 if 0.0 in badness[:most] else most
        best = badness[:draws].index(min(badness[:draws]))
        one = kept[index]
        assert (one.draws, one.drawn) == (draws, best + 1)
        assert list(one.take.samples) == [badness[best], best]
        assert one.verdict.passed == (badness[best] == 0)


def test_other_draws_have_other_seeds_and_the_voice_of_the_first_take() -> None:
    voice = Voice({"two": [1, 1], "four": [1]})
    kept_of(well_spoken(voice, TEXTS, seed=7, judge=Judge()))
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
    voice = Voice({"one": [1]})
    kept_of(well_spoken(voice, ["one"], seed=7, judge=Judge()))
    assert [example for _, _, example in voice.asked] == [None, None]


def test_skipped_segments_are_not_spoken() -> None:
    voice = Voice({"three": [1]})
    kept = kept_of(well_spoken(voice, TEXTS, seed=7, judge=Judge(), skip={0, 3}))
    assert list(kept) == [1, 2]
    assert sorted(voice.spoken) == ["three", "three", "two"]


def test_a_second_draw_does_not_hold_the_others_up() -> None:
    voice = Voice({"one": [1]}, gate=threading.Event())
    stream = well_spoken(voice, TEXTS, seed=7, judge=Judge())
    assert sorted(next(stream).take.index for _ in range(3)) == [1, 2, 3]
    assert voice.gate is not None
    voice.gate.set()
    assert [(kept.take.index, kept.draws) for kept in stream] == [(0, 2)]


def test_a_slow_judge_bounds_what_is_spoken_ahead() -> None:
    texts = [str(number) for number in range(50)]
    voice = Voice({text: [1] for text in texts}, gate=threading.Event())
    stream = well_spoken(voice, texts, seed=7, judge=Judge())
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

    class Closing(Voice):
        def _speak(
            self, segments: Sequence[str], skip: Collection[int]
        ) -> Generator[Take, None, None]:
            try:
                yield from super()._speak(segments, skip)
            finally:
                if len(segments) > 1:
                    closed.set()

    voice = Closing({text: [9.0] * 9 for text in TEXTS[:2]}, gate=threading.Event())
    stream = well_spoken(voice, TEXTS, seed=7, judge=Judge(), most_draws=9)
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
    class Failing(Voice):
        def _speak(
            self, segments: Sequence[str], skip: Collection[int]
        ) -> Generator[Take, None, None]:
            if len(segments) == 1:
                raise MemoryError("no room")
            yield from super()._speak(segments, skip)

    with pytest.raises(MemoryError, match="no room"):
        list(well_spoken(Failing({"two": [1]}), TEXTS, seed=7, judge=Judge()))


def test_a_report_counts_and_shows_the_worst_in_bounded_size() -> None:
    plan = {str(number): [float(number % 7)] * 3 for number in range(200)}
    kept = kept_of(well_spoken(Voice(plan), list(plan), seed=7, judge=Judge()))
    report = drawing.report([drawing.note(one) for one in kept.values()])
    good = sum(badness == [0.0] * 3 for badness in plan.values())
    assert report["judged"] == 200
    assert report["passed"] == good
    assert report["redrawn"] == 200 - good
    assert report["draws"] == good + 3 * (200 - good)
    assert report["faults"] == {"repeated": 200 - good}
    assert len(report["failing"]) == drawing.MOST_REPORTED
    assert report["failing"][0] == {"segment": 6, "faults": ["repeated"], "draws": 3}
    assert drawing.report([{}, {"other": 1}])["judged"] == 0
