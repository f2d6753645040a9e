"""The end of a frame: its codes kept, the next frame's input, and which segments have ended."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from csm.engine.kernels import language
from csm.engine.kernels.language import Target, gdc_launch_dependents, gdc_wait, jit, tl
from csm.engine.operands.sampling import Sampling
from csm.engine.operands.slots import Slots
from csm.engine.operands.state import ENDED, RAN_AWAY

#: Values of the next input that a program sums.
WIDTH = 256


def ends(codes: Tensor, sampling: Sampling) -> Tensor:
    """Where a frame ends its segment: 1 or 0, int64 ``[B]``, of codes ``[codebooks, B]``."""
    zero = codes == 0
    return (zero[0] & (zero.sum(0) >= _zeros(sampling, len(codes)))).to(torch.int64)


def finish(slots: Slots, embedding: Tensor, sampling: Sampling) -> None:
    """End a frame whose codes are drawn.

    Args:
        slots: their ``codes`` are kept, ``inputs`` and what is said of each slot is brought on.
        embedding: of the audio, ``[codebooks * vocabulary, hidden]``.
        sampling: when a segment ends.
    """
    vocabulary = len(embedding) // len(slots.codes)
    first = torch.arange(0, len(embedding), vocabulary, device=embedding.device)
    slots.inputs.copy_(F.embedding(slots.codes + first[:, None], embedding).sum(0))
    slots.state.advance(slots.codes, ends(slots.codes, sampling), sampling.most_held)


def _zeros(sampling: Sampling, codebooks: int) -> int:
    return min(sampling.end_zeros, codebooks)


@jit
def finish_kernel(
    codes,
    embedding,
    inputs,
    history,
    positions,
    caps,
    held,
    frames,
    done,
    ended,
    B,
    zeros,
    most_held,
    CODEBOOKS: tl.constexpr,
    CP: tl.constexpr,
    VOCABULARY: tl.constexpr,
    H: tl.constexpr,
    WIDTH: tl.constexpr,
    PLACES: tl.constexpr,
    ENDED: tl.constexpr,
    RAN_AWAY: tl.constexpr,
    PDL: tl.constexpr,
):
    """Some of one slot's next input; the slot's first program does the rest."""
    b = tl.program_id(0)
    part = tl.program_id(1)
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    c = tl.arange(0, CP)
    h = part * WIDTH + tl.arange(0, WIDTH)
    real = c < CODEBOOKS
    code = tl.load(codes + c * B + b, mask=real, other=1)
    row = (c * VOCABULARY + code) * H
    values = tl.load(
        embedding + row[:, None] + h[None], mask=real[:, None] & (h < H)[None], other=0.0
    )
    total = tl.sum(values.to(tl.float32), 0)
    tl.store(inputs + b * H + h, total.to(inputs.dtype.element_ty), mask=h < H)
    if part == 0:
        frame = tl.load(frames + b)
        place = (b * PLACES + frame) * CODEBOOKS
        tl.store(history + place + c, code.to(tl.int16), mask=real)
        was_done = tl.load(done + b)
        going = 1 - was_done
        silent = tl.sum((code == 0).to(tl.int32), 0)
        first_is_silent = tl.sum(((code == 0) & (c == 0)).to(tl.int32), 0)
        ending = ((silent >= zeros) & (first_is_silent == 1)).to(tl.int64) * going
        away = tl.zeros((), tl.int64)
        if most_held > 0:
            # The first frame has none before it, whatever was spoken in this slot.
            before = tl.load(history + place - CODEBOOKS + c, mask=real & (frame > 0), other=-1)
            differ = tl.sum((real & (before != code.to(tl.int16))).to(tl.int32), 0)
            count = tl.where(differ == 0, tl.load(held + b) + 1, 0)
            tl.store(held + b, count)
            away = (count >= most_held).to(tl.int64) * going
        frame += going - ending
        tl.store(ended + b, tl.load(ended + b) + ENDED * ending + RAN_AWAY * away)
        tl.store(positions + b, tl.load(positions + b) + going)
        tl.store(frames + b, frame)
        capped = (frame >= tl.load(caps + b)).to(tl.int64)
        tl.store(done + b, was_done | ending | away | capped)


def fused_finish(slots: Slots, embedding: Tensor, sampling: Sampling, target: Target) -> None:
    """``finish`` in one kernel."""
    codebooks, count = slots.codes.shape
    hidden = embedding.shape[1]
    language.launch(
        finish_kernel,
        (count, -(-hidden // WIDTH)),
        slots.codes,
        embedding,
        slots.inputs,
        slots.history,
        slots.positions,
        slots.caps,
        slots.held,
        slots.frames,
        slots.done,
        slots.ended,
        count,
        _zeros(sampling, codebooks),
        sampling.most_held,
        CODEBOOKS=codebooks,
        CP=language.block(codebooks),
        VOCABULARY=len(embedding) // codebooks,
        H=hidden,
        WIDTH=min(WIDTH, language.block(hidden)),
        PLACES=slots.history.shape[1],
        ENDED=ENDED,
        RAN_AWAY=RAN_AWAY,
        warps=8,
        dependent=target.dependent,
    )
