"""What B slots are at, in tensors whose places never change, so that a captured graph finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from csm.engine.model import Model


class Slots:
    """The state of B slots.

    Attributes:
        count: B.
        cache: the backbone's keys and values, ``[layers, B, 2, key heads, T, D]``.
        depth_cache: the depth decoder's of one frame, ``[layers, B, 2, key heads, codebooks, D]``.
        inputs: what the next frame begins with, ``[B, hidden]``.
        positions: of the inputs, int64 ``[B]``.
        caps: frames at most, int64 ``[B]``.
        seeds: int64 ``[B]``.
        frames: how many are finished, int64 ``[B]``.
        done: 1 where nothing more is to come, which is where nothing began, too; int64 ``[B]``.
        ended: 1 where the model ended it, int64 ``[B]``.
        sound: 0 where a value was no number, int64 ``[B]``.
        report: the last four, ``[4, B]``, for the host to read at once.
        codes: of the frame last made, int64 ``[codebooks, B]``.
        history: the codes of all finished frames, int16 ``[B, T + 1, codebooks]``.
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
        self.positions, self.caps, self.seeds = torch.zeros(
            3, count, dtype=torch.int64, device=device
        )
        self.report = torch.zeros(4, count, dtype=torch.int64, device=device)
        self.frames, self.done, self.ended, self.sound = self.report
        self.done.fill_(1)
        self.codes = torch.zeros(model.codebooks, count, dtype=torch.int64, device=device)
        # One more than can be, as a slot that is done goes on writing at its last place.
        self.history = torch.zeros(
            count, model.positions + 1, model.codebooks, dtype=torch.int16, device=device
        )

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
        self.positions[slot] = position
        self.caps[slot] = cap
        self.seeds[slot] = seed
        self.frames[slot] = self.done[slot] = self.ended[slot] = 0
        self.sound[slot] = 1

    @torch.inference_mode()
    def stop(self, slot: int) -> None:
        """Set a slot to do nothing more."""
        self.done[slot] = 1
