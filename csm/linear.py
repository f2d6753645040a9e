"""Matrix products of a few rows with large weights, at the speed at which the weights are read."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

#: Values of a weight that are widened to float32 at once: 2 MB, which a CPU's cache holds.
BLOCK = 2**19
#: From this many rows on, widening a weight costs less than a bfloat16 product that a CPU emulates
#: row by row.
ROWS = 4


class Linear(Protocol):
    """A weight ``[out, in]`` that rows are multiplied with; its transpose is what is applied."""

    def __call__(self, rows: Tensor, out: Tensor) -> None:
        """Write ``rows @ weight.T`` to ``out``, ``[n, out]``; ``rows`` is ``[n, in]``."""

    def add_to(self, total: Tensor, rows: Tensor) -> None:
        """Add ``rows @ weight.T`` to ``total``, ``[n, out]``."""


def linear(weight: Tensor) -> Linear:
    """The way to multiply with a weight on its device and in its type."""
    emulated = (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
    return _Widened(weight) if emulated else _Plain(weight)


class _Plain:
    def __init__(self, weight: Tensor) -> None:
        self._transposed = weight.t()

    def __call__(self, rows: Tensor, out: Tensor) -> None:
        torch.mm(rows, self._transposed, out=out)

    def add_to(self, total: Tensor, rows: Tensor) -> None:
        total.addmm_(rows, self._transposed)


class _Widened(_Plain):
    """For a CPU without bfloat16 arithmetic: there, torch reads a weight once for each row.

    A block of the weight at a time is widened to float32 and multiplied while it is in the cache.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight)
        self._blocks = torch.split(weight, max(1, BLOCK // weight.shape[1]))

    def __call__(self, rows: Tensor, out: Tensor) -> None:
        if len(rows) < ROWS:
            super().__call__(rows, out)
        else:
            out.copy_(self._product(rows))

    def add_to(self, total: Tensor, rows: Tensor) -> None:
        if len(rows) < ROWS:
            super().add_to(total, rows)
        else:
            total.copy_(self._product(rows).add_(total))

    def _product(self, rows: Tensor) -> Tensor:
        wide = rows.float()
        product = wide.new_empty(len(rows), self._transposed.shape[1])
        block = wide.new_empty(self._blocks[0].shape)
        start = 0
        for part in self._blocks:
            here = block[: len(part)]
            torch.mm(wide, here.copy_(part).t(), out=product[:, start : start + len(part)])
            start += len(part)
        return product
