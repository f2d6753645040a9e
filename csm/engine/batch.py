"""Segments in slots: each begun in a free one, spoken a frame at a time with the others, and freed.

One thread's; nothing here waits for anything but the device.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from csm.audio import SAMPLE_RATE
from csm.engine.capture import Captured
from csm.engine.model import Model, decode_one_frame, prefill
from csm.engine.pieces import pieces
from csm.engine.prompt import Prompt, build_prompt, check_room
from csm.engine.sampling import Sampling
from csm.engine.slots import Slots
from csm.engine.streams import Job
from csm.engine.voice import Voice
from csm.errors import CsmError

#: Voices whose keys and values are kept, 10 MB for each 25 s in bfloat16.
PREFIXES = 8
#: Frames between two looks at what has ended, on a GPU: each look makes it wait for the host.
FRAMES_A_LOOK = 4


@dataclass(frozen=True, eq=False)
class Finished:
    """A segment whose codes are all drawn.

    Attributes:
        job: which.
        codes: int64, ``[frames, codebooks]``, in the host's memory.
        ended: whether the model ended it.
    """

    job: Job
    codes: Tensor
    ended: bool


@dataclass(frozen=True)
class _Piece:
    prompt: Prompt
    cap: int
    seed: int


@dataclass(eq=False)
class _Speaking:
    """What a slot is at.

    Attributes:
        job: the segment.
        pieces: what of it is yet to be begun.
        codes: of the pieces that are done.
        ended: whether each of these ended by itself.
    """

    job: Job
    pieces: list[_Piece] = field(default_factory=list)
    codes: list[Tensor] = field(default_factory=list)
    ended: bool = True


class Batch:
    """Slots and what is spoken in them.

    Args:
        model: the weights.
        config: transformers' ``CsmConfig``.
        tokenizer: the checkpoint's.
        sampling: how codes are drawn.
        count: of slots.
        on_progress: told of the graphs that are captured on a GPU: how many are, of how many.
    """

    def __init__(
        self,
        model: Model,
        config: Any,
        tokenizer: Any,
        sampling: Sampling,
        count: int,
        on_progress: Callable[[int, int], None],
    ) -> None:
        self.count = count
        self.frames = self.slot_frames = 0
        self._model, self._tokenizer, self._sampling = model, tokenizer, sampling
        self._seconds_a_frame: float = config.codec_config.frame_size / SAMPLE_RATE
        # Not by way of self: a circle would keep the memory of a batch that is let go.
        slots = self._slots = Slots(model, count)
        sampler = model.sampler(sampling)
        self._frame = Captured(
            lambda: decode_one_frame(model, slots, sampler), model.device, on_progress
        )
        self._look = FRAMES_A_LOOK if model.device.type == "cuda" else 1
        self._speaking: list[_Speaking | None] = [None] * count
        self._prefixes: OrderedDict[Voice, Tensor] = OrderedDict()

    @property
    def jobs(self) -> list[Job]:
        """What is being spoken."""
        return [speaking.job for _, speaking in self._occupied()]

    @property
    def free(self) -> int:
        """How many more could be spoken."""
        return self.count - len(self.jobs)

    @torch.inference_mode()
    def begin(self, job: Job) -> None:
        """Begin a segment in a free slot.

        Raises:
            CsmError: it does not fit into the model's positions. It is not begun.
        """
        slot = self._speaking.index(None)
        speaking = _Speaking(job)
        self._speaking[slot] = speaking
        try:
            speaking.pieces = self._pieces(job)
        except CsmError:
            self._speaking[slot] = None
            raise
        self._begin_piece(slot, speaking)

    def abandon(self, job: Job) -> None:
        """Stop speaking a segment."""
        for slot, speaking in list(self._occupied()):
            if speaking.job is job:
                self._slots.stop(slot)
                self._speaking[slot] = None

    def run(self) -> None:
        """Make some frames for each slot."""
        occupied = [speaking for _, speaking in self._occupied()]
        for _ in range(self._look):
            self._frame()
        self.frames += self._look
        self.slot_frames += self._look * len(occupied)

    @torch.inference_mode()
    def finished(self) -> tuple[list[Finished], list[Job]]:
        """What is finished, and what has come to values that are no numbers; both are let go."""
        done: list[Finished] = []
        damaged: list[Job] = []
        report = self._slots.report.t().tolist()
        for slot, speaking in list(self._occupied()):
            frames, is_done, has_ended, sound = report[slot]
            if not sound:
                damaged.append(speaking.job)
                self.abandon(speaking.job)
            elif is_done:
                speaking.codes.append(self._slots.history[slot, :frames].cpu().long())
                speaking.ended &= bool(has_ended)
                if speaking.pieces:
                    self._begin_piece(slot, speaking)
                    continue
                self._speaking[slot] = None
                done.append(Finished(speaking.job, torch.cat(speaking.codes), speaking.ended))
        return done, damaged

    def _occupied(self) -> Iterator[tuple[int, _Speaking]]:
        return ((slot, one) for slot, one in enumerate(self._speaking) if one is not None)

    def _pieces(self, job: Job) -> list[_Piece]:
        before = len(self._prompt(job.text, job.voice)) - len(self._prompt(job.text))
        room = self._model.positions - before

        def cap(text: str) -> int:
            seconds = min(job.max_seconds, self._sampling.cap(text))
            return max(1, int(seconds / self._seconds_a_frame))

        parts = pieces(job.text, lambda text: len(self._prompt(text)) + cap(text) <= room)
        for part in parts:
            check_room(self._prompt(part, job.voice), cap(part), self._model.positions)
        return [
            _Piece(self._prompt(part), cap(part), job.seed(number))
            for number, part in enumerate(parts)
        ]

    def _prompt(self, text: str, voice: Voice | None = None) -> Prompt:
        return build_prompt(self._tokenizer, text, voice, codebooks=self._model.codebooks)

    def _begin_piece(self, slot: int, speaking: _Speaking) -> None:
        """Fill a slot's cache with all of a prompt but its last row, where frames begin."""
        piece = speaking.pieces.pop(0)
        cache, start = self._slots.cache[:, slot], 0
        if speaking.job.voice is not None:
            prefix = self._prefix(speaking.job.voice, cache)
            start = prefix.shape[3]
            cache[:, :, :, :start] = prefix
        rows = self._model.embed(piece.prompt)
        position = start + len(rows) - 1
        self._slots.begin(slot, rows[-1], position, piece.cap, piece.seed)
        prefill(self._model, rows[:-1], cache, start)

    def _prefix(self, voice: Voice, cache: Tensor) -> Tensor:
        """A voice's keys and values, ``[layers, 2, key heads, n, D]``; overwrites ``cache``."""
        prefix = self._prefixes.pop(voice, None)
        if prefix is None:
            whole, own = self._prompt("", voice), self._prompt("")
            count = len(whole) - len(own)
            rows = self._model.embed(Prompt(whole.ids[:count], whole.used[:count]))
            prefill(self._model, rows, cache, 0)
            prefix = cache[:, :, :, :count].clone()
        self._prefixes[voice] = prefix
        if len(self._prefixes) > PREFIXES:
            self._prefixes.popitem(last=False)
        return prefix
