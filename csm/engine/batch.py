"""Segments in slots: each begun in a free one, spoken a frame at a time with the others, and freed.

One thread's; on a GPU nothing here waits for more than the frames before those just begun.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor

from csm.engine import starts
from csm.engine.capture import Captured
from csm.engine.model import Model, decode_one_frame
from csm.engine.operands.sampling import Sampling
from csm.engine.operands.slots import Slots
from csm.engine.operands.state import ENDED, RAN_AWAY
from csm.engine.reports import Report, Reports
from csm.engine.script import Piece, Scribe
from csm.engine.streams import Job
from csm.engine.voice import Voice

#: Voices whose keys and values are kept, 10 MB for each 25 s in bfloat16.
PREFIXES = 8
#: Frames between two looks at what has ended, on a GPU, and how many looks the host is behind.
FRAMES_A_LOOK, LOOKS_BEHIND = 2, 1


@dataclass(frozen=True, eq=False)
class Finished:
    """A segment whose codes are all drawn.

    Attributes:
        job: which.
        codes: int16, ``[frames, codebooks]``, on the device.
        ended: whether the model ended it.
        ran_away: whether it was cut because it held one frame.
        drawn: on a GPU, when the codes are there for other streams.
    """

    job: Job
    codes: Tensor
    ended: bool
    ran_away: bool
    drawn: torch.cuda.Event | None


@dataclass(eq=False)
class _Speaking:
    """What a slot is at.

    Attributes:
        job: the segment.
        pieces: what of it is yet to be begun.
        begun: how many are.
        since: the first look that tells of the piece that is spoken; None until it is begun.
        codes: of the pieces that are done.
        ended: whether each of these ended by itself.
        ran_away: whether one of these did.
    """

    job: Job
    pieces: list[Piece]
    begun: int = 0
    since: int | None = None
    codes: list[Tensor] = field(default_factory=list)
    ended: bool = True
    ran_away: bool = False


class Batch:
    """Slots and what is spoken in them. To be closed.

    Args:
        model: the weights.
        scribe: that wrote what is spoken.
        sampling: how codes are drawn.
        count: of slots.
        on_progress: told of the graphs that are captured on a GPU: how many are, of how many.
    """

    def __init__(
        self,
        model: Model,
        scribe: Scribe,
        sampling: Sampling,
        count: int,
        on_progress: Callable[[int, int], None],
    ) -> None:
        self.count = count
        self.frames = self.slot_frames = 0
        self._model, self._scribe = model, scribe
        self._gpu = model.device.type == "cuda"
        slots = self._slots = Slots(model, count)
        sampler = model.sampler(sampling)
        graphs = 1 + len(starts.USUAL)
        # Not by way of self: a circle would keep the memory of a batch that is let go.
        self._frame = Captured(
            lambda: decode_one_frame(model, slots, sampler),
            model.device,
            lambda done, _of: on_progress(done, graphs),
        )
        self._together = starts.Together(
            model, slots, lambda done, _of: on_progress(1 + done, graphs)
        )
        self._look = FRAMES_A_LOOK if self._gpu else 1
        self._reports = Reports(self._slots.report, LOOKS_BEHIND if self._gpu else 0)
        self._speaking: list[_Speaking | None] = [None] * count
        self._done: list[Finished] = []
        self._damaged: list[Job] = []
        self._prefixes: OrderedDict[Voice, Tensor] = OrderedDict()
        # Where arithmetic takes the time, prompts are computed beside the frames.
        self._beside = None if self._gpu else ThreadPoolExecutor(1, "csm prefill")
        self._filling: dict[int, Future[tuple[starts.Start, starts.Filled]]] = {}

    @property
    def jobs(self) -> list[Job]:
        """What is being spoken, and what is finished or damaged and not yet handed on."""
        spoken = [speaking.job for _, speaking in self._occupied()]
        return [*spoken, *(finished.job for finished in self._done), *self._damaged]

    @property
    def busy(self) -> bool:
        """Whether there is something to do or to wait for."""
        return bool(self.jobs or self._filling)

    @property
    def free(self) -> int:
        """How many more could be spoken."""
        return sum(
            speaking is None and slot not in self._filling
            for slot, speaking in enumerate(self._speaking)
        )

    def begin(self, job: Job) -> None:
        """Put a segment in a free slot, to begin with the next frames.

        Raises:
            CsmError: it does not fit into the model's positions. It is not begun.
        """
        pieces = job.pieces()
        slot = next(
            slot
            for slot, speaking in enumerate(self._speaking)
            if speaking is None and slot not in self._filling
        )
        self._speaking[slot] = _Speaking(job, pieces)

    def abandon(self, job: Job) -> None:
        """Stop speaking a segment."""
        for slot, speaking in list(self._occupied()):
            if speaking.job is job:
                self._slots.stop(slot)
                self._speaking[slot] = None

    def run(self) -> None:
        """Make some frames for each slot that has something to say."""
        self._fill()
        occupied = [speaking for _, speaking in self._occupied() if speaking.since is not None]
        if not occupied:
            return
        for _ in range(self._look):
            self._frame()
        self._reports.post()
        self.frames += self._look
        self.slot_frames += self._look * len(occupied)

    @torch.inference_mode()
    def finished(self) -> tuple[list[Finished], list[Job]]:
        """What is finished, and what has come to values that are no numbers; both are let go."""
        while (report := self._reports.read()) is not None:
            for slot, speaking in list(self._occupied()):
                if speaking.since is None or report.look < speaking.since:
                    continue  # What the slot was at before.
                self._heed(slot, speaking, report)
        # Kept until here: memory may run out between two of them, and none must be forgotten.
        done, damaged = self._done, self._damaged
        self._done, self._damaged = [], []
        return done, damaged

    def close(self) -> None:
        """Wait for what is computed, so that nothing is let go that is still in use."""
        if self._beside is not None:
            self._beside.shutdown(cancel_futures=True)
        self._filling.clear()
        if self._gpu:
            # Of a device that is lost there is nothing to wait for.
            with suppress(RuntimeError):
                torch.cuda.current_stream(self._model.device).synchronize()

    def _occupied(self) -> Iterator[tuple[int, _Speaking]]:
        return ((slot, one) for slot, one in enumerate(self._speaking) if one is not None)

    def _heed(self, slot: int, speaking: _Speaking, report: Report) -> None:
        frames, is_done, ended, sound = report.slots[slot]
        if not sound:
            self._slots.clean(slot)
            # It may be the voice that is damaged.
            if speaking.job.voice is not None:
                self._prefixes.pop(speaking.job.voice, None)
            self._speaking[slot] = None
            self._damaged.append(speaking.job)
        elif is_done:
            speaking.codes.append(self._slots.history[slot, :frames].clone())
            speaking.ended &= bool(ended & ENDED)
            speaking.ran_away |= bool(ended & RAN_AWAY)
            if speaking.pieces[speaking.begun :]:
                speaking.since = None
                return
            finished = self._finished(speaking)
            self._speaking[slot] = None
            self._done.append(finished)

    def _finished(self, speaking: _Speaking) -> Finished:
        codes = torch.cat(speaking.codes)
        drawn = None
        if self._gpu:
            drawn = torch.cuda.Event()  # type: ignore[no-untyped-call]
            drawn.record()
        return Finished(speaking.job, codes, speaking.ended, speaking.ran_away, drawn)

    # Beginning.

    def _fill(self) -> None:
        """Begin what waits for it, at once or as soon as it is computed."""
        waiting = [
            (slot, speaking)
            for slot, speaking in self._occupied()
            if speaking.since is None and slot not in self._filling
        ]
        if self._beside is None:
            self._together.begin([self._start(slot, speaking) for slot, speaking in waiting])
            for _, speaking in waiting:
                self._begun(speaking)
            return
        for slot, speaking in waiting:
            self._filling[slot] = self._beside.submit(self._compute, slot, speaking)
        if self._filling and not any(one.since is not None for _, one in self._occupied()):
            # There is nothing else to do.
            wait(self._filling.values(), return_when=FIRST_COMPLETED)
        for slot, future in list(self._filling.items()):
            if future.done():
                del self._filling[slot]
                start, filled = future.result()
                waited = self._speaking[slot]
                if waited is not None:  # It may have been abandoned meanwhile.
                    starts.put(self._slots, start, filled)
                    self._begun(waited)

    def _compute(self, slot: int, speaking: _Speaking) -> tuple[starts.Start, starts.Filled]:
        start = self._start(slot, speaking)
        return start, starts.alone(self._model, start)

    def _start(self, slot: int, speaking: _Speaking) -> starts.Start:
        piece, job = speaking.pieces[speaking.begun], speaking.job
        prefix = self._prefix(job.voice) if job.voice is not None else None
        return starts.Start(slot, piece.ids, prefix, piece.cap, job.seed(speaking.begun))

    def _begun(self, speaking: _Speaking) -> None:
        speaking.begun += 1
        speaking.since = self._reports.looks

    def _prefix(self, voice: Voice) -> Tensor:
        prefix = self._prefixes.pop(voice, None)
        if prefix is None:
            prefix = starts.voice_prefix(self._model, self._scribe.voice(voice))
        self._prefixes[voice] = prefix
        if len(self._prefixes) > PREFIXES:
            self._prefixes.popitem(last=False)
        return prefix
