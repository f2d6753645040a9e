"""What B slots are at, in tensors whose places never change: a captured graph finds them there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from csm.engine.operands.state import State, column

if TYPE_CHECKING:
    from csm.engine.model import Model


class Slots:
    """The state of B slots.

    Attributes:
        count: B.
        cache: the backbone's keys and values, ``[layers, B, 2, key heads, T, D]``.
        depth_cache: the depth decoder's of one frame, ``[layers, B, 2, key heads, codebooks, D]``.
        inputs: what the next frame begins with, ``[B, hidden]``.
        state: what each slot is at; its rows are attributes here, too, int64 ``[B]`` each:
            ``positions``, ``caps``, ``seeds``, ``held``, ``frames``, ``done``, ``ended`` and
            ``sound``.
        report: what of it the host asks for.
        history: the codes of all finished frames, int16 ``[B, T + 1, codebooks]``.
        codes: of the frame last made, int64 ``[codebooks, B]``.
        depth_rows: inputs of the depth decoder, those of its first place before those of the one
            that it is at, ``[2 * B, depth hidden]``.
    """

    @torch.inference_mode()
    def __init__(self, model: Model, count: int) -> None:
        backbone, depth, device = model.backbone, model.depth, model.device
        self.count = count
        self.cache = backbone.cache(count, model.positions)
        self.depth_cache = depth.cache(count, model.codebooks)
        self.inputs = torch.zeros(count, backbone.hidden, dtype=model.dtype, device=device)
        self.depth_rows = torch.zeros(2 * count, depth.hidden, dtype=model.dtype, device=device)
        self.state = state = State(count, model.codebooks, model.positions, device)
        self.positions, self.caps, self.seeds, self.held = (
            state.positions, state.caps, state.seeds, state.held,
        )  # fmt: skip
        self.frames, self.done, self.ended, self.sound = state.report
        self.report, self.history = state.report, state.history
        self.codes = torch.zeros(model.codebooks, count, dtype=torch.int64, device=device)

    @torch.inference_mode()
    def begin(self, slot: int, inputs: Tensor, position: int, cap: int, seed: int) -> None:
        """Set a slot to begin a segment whose cache is filled up to ``position``.

        Args:
            slot: which.
            inputs: the prompt's last row, ``[hidden]``.
            position: where that row belongs.
            cap: frames at most.
            seed: of the segment, at most 63 bits.
        """
        self.inputs[slot] = inputs
        self.state.values[:, slot] = torch.tensor(column(position, cap, seed))

    @torch.inference_mode()
    def stop(self, slot: int) -> None:
        """Set a slot to do nothing more."""
        self.done[slot] = 1

    @torch.inference_mode()
    def clean(self, slot: int) -> None:
        """Forget what a slot computed, where it was no numbers: 0 times such a value is another."""
        self.stop(slot)
        self.cache[:, slot] = 0
        self.inputs[slot] = 0
