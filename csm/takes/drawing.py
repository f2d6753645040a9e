"""Judging takes and drawing them again: from a stream of takes to one that is fit to be heard.

    from csm.takes import drawing
    judge = drawing.Judge(pace=csm.audio.PACE)
    for kept in drawing.well_spoken(draw, segments, seed=7, judge=judge):
        print(kept.index, kept.known.verdict.passed, kept.known.draws)

``draw`` is whatever speaks: segments, seed and an example of the voice in, takes out.

A take is judged twice. By itself, at once: one that says too much or too little, holds or repeats
itself is drawn again. And beside all others, once they are there: only then is it known what is
usual in this narration, and which takes are in another voice or have a noise that the others lack.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csm.takes import notes
from csm.takes.judging import Judge
from csm.takes.notes import Known, Note
from csm.takes.usual import Usual, usual_of

#: Takes that are judged and drawn again at once, while others are being spoken.
AT_ONCE = 4


class Take(Protocol):
    """One segment, spoken; ``csm.Take`` is one."""

    @property
    def index(self) -> int:
        """The segment's place in the list that was given."""

    @property
    def samples(self) -> NDArray[np.float32]:
        """Float32 mono at ``csm.SAMPLE_RATE``, ``[n]``."""

    @property
    def codes(self) -> ArrayLike | None:
        """What the samples were decoded from, ``[frames, codebooks]``, where there is such."""

    @property
    def ended(self) -> bool:
        """Whether the engine ended it by itself, not at a cap."""


@dataclass(frozen=True, eq=False)
class Example:
    """A segment of a narration that has been spoken, for the others to sound like.

    Attributes:
        text: what was said.
        take: how.
    """

    text: str
    take: Take


class Stream(Iterator[Take], Protocol):
    """Takes as they are finished; a generator is one."""

    def close(self) -> None:
        """Cancel what is not yet spoken."""


class Draw(Protocol):
    """Whatever speaks."""

    def __call__(
        self, segments: Sequence[str], seed: int, skip: Collection[int], example: Example | None, /
    ) -> Stream:
        """Speak segments in any order, each once. Called from several threads at once.

        Args:
            segments: what to say.
            seed: another seed gives another take.
            skip: places of segments that need not be spoken.
            example: where the voice is not fixed, go on in the voice of this.
        """


@dataclass(frozen=True, eq=False)
class JudgedTake:
    """A segment's take as it is kept, or what is now known of one that was given before.

    Attributes:
        index: the segment's place in the list that was given.
        take: its sound; None where the one that was given or skipped stays.
        known: the verdict on it, and how it was drawn.
    """

    index: int
    take: Take | None
    known: Known


def well_spoken(
    draw: Draw,
    segments: Sequence[str],
    *,
    seed: int,
    judge: Judge,
    most_draws: int = 3,
    skip: Mapping[int, Note] = MappingProxyType({}),
    at_once: int = AT_ONCE,
) -> Generator[JudgedTake, None, None]:
    """Speak segments and judge each; draw again what is not fit, and keep the best.

    Takes are judged and drawn again in threads of their own while the others are being spoken.
    Which takes are kept depends on segments, seed, judge and what was kept before alone. Closing
    the generator cancels what is not yet spoken; a draw that is being made is finished in the
    background and dropped.

    Args:
        draw: what speaks. With a voice that is not fixed, the first take that it gives sets the
            voice of those that are drawn again.
        segments: what to say.
        seed: any non-negative integer below 2**63.
        judge: how takes are judged.
        most_draws: how often a segment is drawn, at least 1.
        skip: places of segments that are spoken, each with the note that was kept with it: what
            goes on is compared with them, and they with it.
        at_once: takes that are judged at once.

    Yields:
        One take for each segment that is not skipped, in any order. After all of them, for some
        segments, what replaces it: a take that is better beside the others, or another verdict.
    """
    speaking = _Speaking(draw, segments, seed, judge, most_draws)
    threads = ThreadPoolExecutor(at_once, thread_name_prefix="takes")
    known = {index: one for index, note in skip.items() if (one := notes.read(note)) is not None}
    try:
        for given in _first(speaking, threads, skip, at_once):
            known[given.index] = given.known
            yield given
        yield from _second(speaking, threads, known)
    finally:
        speaking.over.set()
        threads.shutdown(wait=False, cancel_futures=True)


def _first(
    speaking: _Speaking, threads: ThreadPoolExecutor, skip: Collection[int], at_once: int
) -> Iterator[JudgedTake]:
    """Every segment's take, judged by itself."""
    if len(skip) == len(speaking.segments):
        return
    pending: set[Future[JudgedTake]] = set()
    with closing(speaking.draw(speaking.segments, speaking.seed, skip, None)) as stream:
        for take in stream:
            speaking.set_example(take)
            pending.add(threads.submit(speaking.first, take, speaking.example))
            # Takes wait here when they are judged more slowly than they are spoken.
            patience = None if len(pending) > at_once else 0
            done, pending = wait(pending, patience, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)


def _second(
    speaking: _Speaking, threads: ThreadPoolExecutor, known: Mapping[int, Known]
) -> Iterator[JudgedTake]:
    """What changes where the takes are judged beside each other."""
    profiled = [one for one in known.values() if one.profile is not None]
    usual = usual_of([(one.profile, one.alone.faults) for one in profiled if one.profile])
    pending: set[Future[JudgedTake]] = set()
    for index, one in sorted(known.items()):
        beside = speaking.beside(index, one, usual)
        if not beside.verdict.passed and speaking.can_draw(beside):
            pending.add(threads.submit(speaking.second, index, beside, usual))
        elif beside.verdict.faults != one.verdict.faults:
            yield JudgedTake(index, None, beside)
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


class _Speaking:
    """What draws a segment again, and judges it."""

    def __init__(
        self, draw: Draw, segments: Sequence[str], seed: int, judge: Judge, most_draws: int
    ) -> None:
        self.draw = draw
        self.segments = segments
        self.seed = seed
        self.example: Example | None = None
        self.over = threading.Event()
        self._judge = judge
        self._most = most_draws

    def set_example(self, take: Take) -> None:
        """The first take sets the voice; a single segment is no example for itself."""
        if self.example is None and len(self.segments) > 1:
            self.example = Example(self.segments[take.index], take)

    def first(self, take: Take, example: Example | None) -> JudgedTake:
        """A segment's take, drawn again while something is wrong with it by itself.

        What may be its voice's own is left until the others are known.
        """
        kept = JudgedTake(take.index, take, self._judged(take.index, take, 1, None))
        while kept.known.verdict.is_of_the_take and self._may_draw(kept.known):
            again = self._again(kept, example, None)
            if again is None:
                break
            kept = again
        return kept

    def second(self, index: int, beside: Known, usual: Usual | None) -> JudgedTake:
        """A better take beside the others, or what is known of the one there is."""
        kept = JudgedTake(index, None, beside)
        while not kept.known.verdict.passed and self._may_draw(kept.known):
            again = self._again(kept, self.example, usual)
            if again is None:
                break
            kept = again
        return kept

    def beside(self, index: int, one: Known, usual: Usual | None) -> Known:
        """What is known of a take once it is known what is usual."""
        if usual is None or one.profile is None:
            return replace(one, verdict=one.alone)
        verdict = self._judge.compared(self.segments[index], one.alone, one.profile, usual)
        return replace(one, verdict=verdict)

    def can_draw(self, known: Known) -> bool:
        """Whether another draw may be made, and would be in the voice of the others."""
        in_voice = self.example is not None or len(self.segments) == 1
        return in_voice and self._may_draw(known)

    def _may_draw(self, known: Known) -> bool:
        return known.draws < self._most and not self.over.is_set()

    def _again(
        self, kept: JudgedTake, example: Example | None, usual: Usual | None
    ) -> JudgedTake | None:
        """One more draw, or the one before it where that is better; None where it was cancelled."""
        number = kept.known.draws + 1
        seed = seed_of_draw(self.seed, kept.index, number)
        with closing(self.draw([self.segments[kept.index]], seed, (), example)) as stream:
            take = next(stream, None)
        if take is None:
            return None
        known = self._judged(kept.index, take, number, usual)
        if known.verdict.badness < kept.known.verdict.badness:
            return JudgedTake(kept.index, take, known)
        return replace(kept, known=replace(kept.known, draws=number))

    def _judged(self, index: int, take: Take, number: int, usual: Usual | None) -> Known:
        judged = self._judge.judge(
            self.segments[index], take.samples, codes=take.codes, ended=take.ended, usual=usual
        )
        return Known(judged.verdict, judged.alone, judged.profile, number, number)


def seed_of_draw(seed: int, index: int, number: int) -> int:
    """The seed of one more draw of a segment, below 2**63.

    Args:
        seed: the narration's.
        index: the segment's place.
        number: of the draw, from 2; the first is drawn from the narration's own seed.
    """
    key = f"{seed}:{index}:{number}".encode("ascii")
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1
