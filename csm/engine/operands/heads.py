"""The heads of a layer: how many, of what size, and where each is in a row of its projections."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Heads:
    """Numbers of heads.

    A row of projections is all queries, those that share a key head ``key_heads`` apart, then all
    keys, then all values. Within a head, the two values that RoPE turns together are neighbours.

    Attributes:
        group: query heads that share a key head.
        key_heads: of keys, and of values.
        size: values in a head; D elsewhere.
    """

    group: int
    key_heads: int
    size: int

    @property
    def width(self) -> int:
        """Values in a row of projections."""
        return (self.group + 2) * self.key_heads * self.size

    def turned(self, projected: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """Apply RoPE (arXiv:2104.09864) in place.

        Args:
            projected: ``[n, width]``.
            turns: how far each pair turns, complex64 ``[D / 2]``, or ``[n, 1, D / 2]``.

        Returns:
            Views of it: queries ``[n, G, key heads, D]``; keys and values ``[n, 2, key heads, D]``.
        """
        count, group, key_heads, size = len(projected), self.group, self.key_heads, self.size
        heads = projected.view(count, -1, size)
        turning = heads[:, : (group + 1) * key_heads]
        # As complex numbers, which is one operator. They are of float32; where that is the
        # projections' type, this is no copy.
        exact = turning.float()
        torch.view_as_complex(exact.view(count, -1, size // 2, 2)).mul_(turns)
        if exact is not turning:
            turning.copy_(exact)
        queries = heads[:, : group * key_heads].view(count, group, key_heads, size)
        return queries, heads[:, group * key_heads :].view(count, 2, key_heads, size)
