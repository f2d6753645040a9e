"""The operations that frames are made of, as kernels of a GPU and as plain torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from csm.engine.kernels.decode_attention import decode_attention, fused_decode_attention
from csm.engine.kernels.depth_attention import depth_attention, fused_depth_attention
from csm.engine.kernels.draw import FusedSampler, Sampler
from csm.engine.kernels.finish import finish, fused_finish
from csm.engine.kernels.language import Target
from csm.engine.kernels.product import (
    add_product,
    fused_add_product,
    fused_gated_product,
    fused_product,
    gated_product,
    product,
)
from csm.engine.operands.heads import Heads
from csm.engine.operands.linear import Linear
from csm.engine.operands.norm import Norm
from csm.engine.operands.sampling import Sampling

if TYPE_CHECKING:
    from csm.engine.operands.slots import Slots

#: Counters of programs that share a piece of work, zero between kernels; more than any needs.
COUNTERS = 65_536


class Kernels(Protocol):
    """The operations of a frame; what each computes is said where its plain twin is.

    Attributes:
        about: which these are, in a few words, for a log.
    """

    about: str

    def product(
        self, rows: Tensor, weight: Linear, norm: Norm | None = None, out: Tensor | None = None
    ) -> Tensor:
        """See ``csm.engine.kernels.product``."""

    def gated_product(self, rows: Tensor, weight: Linear, norm: Norm) -> Tensor:
        """See ``csm.engine.kernels.product``."""

    def add_product(self, total: Tensor, rows: Tensor, weight: Linear) -> None:
        """See ``csm.engine.kernels.product``."""

    def decode_attention(
        self, projected: Tensor, heads: Heads, turns: Tensor, cache: Tensor, positions: Tensor
    ) -> Tensor:
        """See ``csm.engine.kernels.decode_attention``."""

    def depth_attention(
        self, projected: Tensor, heads: Heads, turns: Tensor, cache: Tensor, place: int
    ) -> Tensor:
        """See ``csm.engine.kernels.depth_attention``."""

    def sampler(
        self, sampling: Sampling, *, codebooks: int, codes: int, device: torch.device
    ) -> Sampler:
        """See ``csm.engine.kernels.draw``."""

    def finish(self, slots: Slots, embedding: Tensor, sampling: Sampling) -> None:
        """See ``csm.engine.kernels.finish``."""


class Plain:
    """The twins: the path of a CPU, and of a GPU whose kernels are off or do not work.

    Args:
        reason: why these, in a few words.
    """

    product = staticmethod(product)
    gated_product = staticmethod(gated_product)
    add_product = staticmethod(add_product)
    decode_attention = staticmethod(decode_attention)
    depth_attention = staticmethod(depth_attention)
    finish = staticmethod(finish)
    sampler = staticmethod(Sampler)

    def __init__(self, reason: str) -> None:
        self.about = f"plain torch: {reason}"


class Fused:
    """Triton's kernels.

    Args:
        target: what they are launched on.
        device: where the tensors are.
    """

    about = "fused kernels"

    def __init__(self, target: Target, device: torch.device) -> None:
        self._target = target
        self._arrived = torch.zeros(COUNTERS, dtype=torch.int32, device=device)

    def product(
        self, rows: Tensor, weight: Linear, norm: Norm | None = None, out: Tensor | None = None
    ) -> Tensor:
        """See ``Kernels``."""
        return fused_product(rows, weight, norm, out, self._target, self._arrived)

    def gated_product(self, rows: Tensor, weight: Linear, norm: Norm) -> Tensor:
        """See ``Kernels``."""
        return fused_gated_product(rows, weight, norm, self._target, self._arrived)

    def add_product(self, total: Tensor, rows: Tensor, weight: Linear) -> None:
        """See ``Kernels``."""
        fused_add_product(total, rows, weight, self._target, self._arrived)

    def decode_attention(
        self, projected: Tensor, heads: Heads, turns: Tensor, cache: Tensor, positions: Tensor
    ) -> Tensor:
        """See ``Kernels``."""
        return fused_decode_attention(
            projected, heads, turns, cache, positions, self._target, self._arrived
        )

    def depth_attention(
        self, projected: Tensor, heads: Heads, turns: Tensor, cache: Tensor, place: int
    ) -> Tensor:
        """See ``Kernels``."""
        return fused_depth_attention(projected, heads, turns, cache, place, self._target)

    def sampler(
        self, sampling: Sampling, *, codebooks: int, codes: int, device: torch.device
    ) -> Sampler:
        """See ``Kernels``."""
        return FusedSampler(
            sampling, codebooks=codebooks, codes=codes, device=device, target=self._target
        )

    def finish(self, slots: Slots, embedding: Tensor, sampling: Sampling) -> None:
        """See ``Kernels``."""
        fused_finish(slots, embedding, sampling, self._target)
