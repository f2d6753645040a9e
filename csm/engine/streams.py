"""Whose segment is spoken next, and who gets it: the streams that share one engine.

Nothing here computes or waits; the engine calls it under its lock.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from csm.audio import SAMPLE_RATE, ratio
from csm.engine.operands.sampling import Sampling
from csm.engine.script import Piece, Script
from csm.engine.voice import Voice
from csm.errors import CsmError
from csm.silence import levels, loudest

#: Segments that are tried as the voice of a narration that has none.
VOICE_TRIES = 5
#: Seconds that a take must have to give its voice to the others.
VOICE_SECONDS = (2.0, 30.0)
#: A take that is this much shorter than expected has lost words.
VOICE_SHORTEST = 0.4
#: The loud parts of a take that gives its voice reach this: the model goes on as softly.
SOFTEST_VOICE_DBFS = -50.0


@dataclass(frozen=True, eq=False)
class Take:
    """One segment, spoken.

    Attributes:
        index: the segment's place in the list, from 0.
        samples: float32 mono at ``csm.SAMPLE_RATE`` within -1..1, shape ``[n]``, n > 0.
        codes: what the samples were decoded from, int64, shape ``[frames, codebooks]``.
        ended: whether the model ended it; otherwise it was cut, at its cap or
        ran_away: because it held one frame for longer than a voice does.
    """

    index: int
    samples: NDArray[np.float32]
    codes: Tensor
    ended: bool
    ran_away: bool = False


@dataclass(frozen=True, eq=False)
class Job:
    """One segment to be spoken.

    Attributes:
        stream: whose.
        index: its place in the stream.
        voice: in which it is spoken.
    """

    stream: Stream
    index: int
    voice: Voice | None

    def pieces(self) -> list[Piece]:
        """What to say, in pieces that fit.

        Raises:
            CsmError: it does not fit beside its voice.
        """
        return self.stream.script.pieces(self.index, self.voice)

    def seed(self, piece: int) -> int:
        """The seed of a piece of it, 63 bits."""
        name = f"{self.stream.seed}:{self.index}" + (f":{piece}" if piece else "")
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return self in self.stream.working


@dataclass(eq=False)
class Stream:
    """One caller's segments: what waits, what is in work, what is finished and not yet taken.

    Without a voice, the first segments are spoken without one until one of them comes out well; it
    gives its voice to the others.

    Attributes:
        texts: of the segments.
        seed: of them all.
        voice: in which they are spoken; None at first where the model is to choose.
        script: the texts as slots take them.
        wanted: places of the segments that are to be given out.
        sampling: for how long a segment is expected to be.
        working: what is in slots or being decoded.
        finished: takes that nobody has taken yet.
        error: why no more come.
    """

    texts: Sequence[str]
    seed: int
    voice: Voice | None
    script: Script
    wanted: Collection[int]
    sampling: Sampling
    working: set[Job] = field(default_factory=set)
    finished: deque[Take] = field(default_factory=deque)
    error: CsmError | None = None
    served: int = 0
    _damaged: set[int] = field(default_factory=set)
    _waiting: deque[int] = field(init=False)
    _left: int = field(init=False)
    _tries: dict[int, Take] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._left = len(self.wanted)
        if self.voice is None and len(self.texts) > 1:
            self._tries = {}
            self._waiting = deque(range(min(VOICE_TRIES, len(self.texts))))
        else:
            self._waiting = self._longest_first(self.wanted)

    @property
    def over(self) -> bool:
        """Whether nothing more is to be spoken or taken."""
        return self._left == 0

    def has_work(self, room: int) -> bool:
        """Whether a segment could be begun, with at most ``room`` begun and not yet taken."""
        return bool(self._waiting) and len(self.working) + len(self.finished) < room

    def next_job(self) -> Job:
        """Begin the next segment."""
        job = Job(self, self._waiting.popleft(), self.voice)
        self.working.add(job)
        return job

    def put_back(self, job: Job) -> None:
        """A segment that was begun has to be begun again."""
        if job in self.working:
            self.working.remove(job)
            self._waiting.appendleft(job.index)

    def try_again(self, job: Job) -> bool:
        """Begin a segment anew that came to no numbers; not where it did so before."""
        if job not in self.working or job.index in self._damaged:
            return job not in self.working
        self._damaged.add(job.index)
        self.put_back(job)
        return True

    def deliver(self, job: Job, take: Take) -> None:
        """A segment is finished."""
        if job not in self.working:
            return
        self.working.remove(job)
        if self._tries is None:
            self.finished.append(take)
            return
        self._tries[job.index] = take
        chosen = self._chosen(self._tries)
        if chosen is not None:
            self._tries = None
            self.voice = Voice(self.texts[chosen.index], chosen.codes)
            # What else was tried is spoken again, so that a narration has one voice.
            self.working.clear()
            if chosen.index in self.wanted:
                self.finished.append(chosen)
            self._waiting = self._longest_first(set(self.wanted) - {chosen.index})

    def take(self) -> Take | None:
        """The next finished take, if there is one."""
        if not self.finished:
            return None
        self._left -= 1
        return self.finished.popleft()

    def stop(self, error: CsmError | None = None) -> None:
        """Speak nothing more, and say why; what is finished can still be taken where it failed."""
        self._waiting.clear()
        self.working.clear()
        if error is None:
            self.finished.clear()
            self._left = 0
        elif self.error is None:
            self.error = error

    def _longest_first(self, indices: Iterable[int]) -> deque[int]:
        # So that no long one is left to be spoken alone at the end.
        return deque(sorted(indices, key=lambda index: (-len(self.texts[index]), index)))

    def _chosen(self, tries: dict[int, Take]) -> Take | None:
        """The first that came out well; else, when all are there, the best of them."""
        count = min(VOICE_TRIES, len(self.texts))
        for index in range(count):
            if index not in tries:
                return None
            expected = self.sampling.expected_seconds(self.texts[index])
            if _gives_a_voice(tries[index], expected):
                return tries[index]
        in_order = [tries[index] for index in range(count)]
        return max(in_order, key=lambda take: (take.ended, len(take.codes)))


class Streams:
    """The streams of an engine, and the order in which they are served."""

    def __init__(self) -> None:
        self._streams: list[Stream] = []
        self._served = 0

    def add(self, stream: Stream) -> None:
        """Serve one more."""
        self._streams.append(stream)

    def remove(self, stream: Stream) -> None:
        """Serve it no more."""
        if stream in self._streams:
            self._streams.remove(stream)

    def all(self) -> list[Stream]:
        """Those that are served."""
        return list(self._streams)

    def next_job(self, room: int) -> Job | None:
        """The next segment to speak, of the stream that has the least in work.

        Among equals it is the one that has waited longest, so that each stream gets its share of
        the slots as they fall free, however much the others have to say.

        Args:
            room: segments that a stream may have begun and not yet taken.
        """
        ready = [stream for stream in self._streams if stream.has_work(room)]
        if not ready:
            return None
        stream = min(ready, key=lambda one: (len(one.working), one.served))
        self._served += 1
        stream.served = self._served
        return stream.next_job()


def _gives_a_voice(take: Take, expected_seconds: float) -> bool:
    seconds = len(take.samples) / SAMPLE_RATE
    shortest = max(VOICE_SECONDS[0], VOICE_SHORTEST * expected_seconds)
    loud = loudest(levels(take.samples, SAMPLE_RATE)) >= ratio(SOFTEST_VOICE_DBFS)
    return take.ended and loud and shortest <= seconds <= VOICE_SECONDS[1]
