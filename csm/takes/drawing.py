"""Judging takes and drawing them again: from a stream of takes to one that is fit to be heard.

    from csm.takes import drawing
    judge = drawing.Judge(pace=csm.audio.PACE)
    for kept in drawing.well_spoken(draw, segments, seed=7, judge=judge):
        print(kept.take.index, kept.verdict.passed, kept.draws)

``draw`` is whatever speaks: segments, seed and an example of the voice in, takes out.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csm.takes.judging import Fault, Judge, Thresholds, Verdict

__all__ = [
    "Draw",
    "Example",
    "Fault",
    "Judge",
    "JudgedTake",
    "Stream",
    "Take",
    "Thresholds",
    "Verdict",
    "note",
    "report",
    "seed_of_draw",
    "well_spoken",
]

#: Takes that are judged and drawn again at once, while others are being spoken.
AT_ONCE = 4
#: Segments that ``report`` tells of one by one.
MOST_REPORTED = 20


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
    """The take of a segment that is kept.

    Attributes:
        take: its sound; ``take.index`` is the segment's place in the list that was given.
        verdict: on this take; it has faults where no draw was without.
        drawn: which draw it is, from 1.
        draws: how many were made.
    """

    take: Take
    verdict: Verdict
    drawn: int
    draws: int


def well_spoken(
    draw: Draw,
    segments: Sequence[str],
    *,
    seed: int,
    judge: Judge,
    most_draws: int = 3,
    skip: Collection[int] = (),
) -> Generator[JudgedTake, None, None]:
    """Speak segments and judge each; draw again what is not fit, and keep the best.

    Takes are judged and drawn again in threads of their own while the others are being spoken.
    Which takes are kept depends on segments, seed and judge alone. Closing the generator cancels
    what is not yet spoken; a draw that is being made is finished in the background and dropped.

    Args:
        draw: what speaks. With a voice that is not fixed, the first take that it gives sets the
            voice of those that are drawn again.
        segments: what to say.
        seed: any non-negative integer below 2**63.
        judge: how takes are judged.
        most_draws: how often a segment is drawn, at least 1.
        skip: places of segments that need not be spoken.

    Yields:
        One take for each segment that is not skipped, in any order.
    """
    threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="takes")
    over = threading.Event()
    example: Example | None = None
    pending: set[Future[JudgedTake]] = set()

    def best(take: Take, example: Example | None) -> JudgedTake:
        text = segments[take.index]
        kept = JudgedTake(take, _judged(judge, text, take), 1, 1)
        while not kept.verdict.passed and kept.draws < most_draws and not over.is_set():
            number = kept.draws + 1
            again = _again(draw, text, seed_of_draw(seed, take.index, number), example)
            if again is None:
                break
            other = _Placed(take.index, again)
            verdict = _judged(judge, text, other)
            if verdict.badness < kept.verdict.badness:
                kept = JudgedTake(other, verdict, number, number)
            else:
                kept = replace(kept, draws=number)
        return kept

    try:
        with closing(draw(segments, seed, skip, None)) as stream:
            for take in stream:
                if example is None and len(segments) > 1:
                    example = Example(segments[take.index], take)
                pending.add(threads.submit(best, take, example))
                # Takes wait here when they are judged more slowly than they are spoken.
                patience = None if len(pending) > AT_ONCE else 0
                done, pending = wait(pending, patience, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
    finally:
        over.set()
        threads.shutdown(wait=False, cancel_futures=True)


def seed_of_draw(seed: int, index: int, number: int) -> int:
    """The seed of one more draw of a segment, below 2**63.

    Args:
        seed: the narration's.
        index: the segment's place.
        number: of the draw, from 2; the first is drawn from the narration's own seed.
    """
    key = f"{seed}:{index}:{number}".encode("ascii")
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True, eq=False)
class _Placed:
    """A take that was drawn alone, in the place of its segment."""

    index: int
    take: Take

    @property
    def samples(self) -> NDArray[np.float32]:
        return self.take.samples

    @property
    def codes(self) -> ArrayLike | None:
        return self.take.codes

    @property
    def ended(self) -> bool:
        return self.take.ended


def _again(draw: Draw, text: str, seed: int, example: Example | None) -> Take | None:
    """One more take; None where what speaks was cancelled."""
    with closing(draw([text], seed, (), example)) as stream:
        return next(stream, None)


def _judged(judge: Judge, text: str, take: Take) -> Verdict:
    return judge(text, take.samples, codes=take.codes, ended=take.ended)


def note(judged: JudgedTake) -> dict[str, Any]:
    """What is to be known of a take, as JSON values: scores, faults, draws."""
    return {
        "scores": judged.verdict.scores,
        "faults": {fault.value: size for fault, size in judged.verdict.faults.items()},
        "drawn": judged.drawn,
        "draws": judged.draws,
    }


def report(notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum the notes on a narration's takes up, in bounded size.

    Args:
        notes: for each segment in its order what ``note`` gave; others are left out.

    Returns:
        JSON values: segments ``judged``, those that ``passed`` and those drawn more than once
        (``redrawn``), all ``draws``; ``faults`` of the kept takes, counted by kind; and up to 20 of
        those takes, the worst first, as ``failing``: ``segment`` (from 0), ``faults``, ``draws``.
    """
    judged = [(index, entry) for index, entry in enumerate(notes) if "faults" in entry]
    failing = [(index, entry) for index, entry in judged if entry["faults"]]
    failing.sort(key=lambda each: -sum(each[1]["faults"].values()))
    return {
        "judged": len(judged),
        "passed": len(judged) - len(failing),
        "redrawn": sum(entry["draws"] > 1 for _, entry in judged),
        "draws": sum(entry["draws"] for _, entry in judged),
        "faults": dict(Counter(fault for _, entry in failing for fault in entry["faults"])),
        "failing": [
            {"segment": index, "faults": sorted(entry["faults"]), "draws": entry["draws"]}
            for index, entry in failing[:MOST_REPORTED]
        ],
    }
