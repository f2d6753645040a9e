"""Matrix products of a few rows with large weights, at the speed at which the weights are read."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

#: The largest value of float16.
HALF_MAX = 65_504.0


class Linear(Protocol):
    """A weight ``[out, in]`` that rows are multiplied with; its transpose is what is applied."""

    @property
    def weight(self) -> Any:
        """It, as it is held."""

    @property
    def scales(self) -> Tensor | None:
        """What each row of the weight is to be multiplied with, ``[out]``; None is 1."""

    def __call__(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """Give ``rows @ weight.T``, ``[n, out]``, in ``out`` where that is given."""

    def add_to(self, total: Tensor, rows: Tensor) -> None:
        """Add ``rows @ weight.T`` to ``total``, ``[n, out]``."""


def linear(weight: Tensor, *, int8: bool = False) -> Linear:
    """The way to multiply with a weight on its device and in its type.

    On a CPU, torch's products of bfloat16 are fast on matrix units (AMX) alone: elsewhere it reads
    a weight once for each row, or converts it in software. There the weight is packed as float16
    instead, for FBGEMM's kernels, which read it once for some six rows (arXiv:2101.05615). Of as
    many bits, float16 holds every bfloat16 between 6e-5 and 65,504 exactly, and those below to
    within 3e-8.

    Args:
        weight: ``[out, in]``.
        int8: round it to 8 bits, with a scale for each row: half of what there is to read. What it
            does to speech is for ears to judge.
    """
    if int8:
        return _Int8(weight)
    if (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and not torch.cpu._is_amx_tile_supported()
        and "fbgemm" in torch.backends.quantized.supported_engines
        and bool((weight.abs() <= HALF_MAX).all())
    ):
        return _Packed(weight)
    return _Plain(weight)


class _Plain:
    scales = None

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self._transposed = weight.t()

    def __call__(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.mm(rows, self._transposed, out=out)

    def add_to(self, total: Tensor, rows: Tensor) -> None:
        total.addmm_(rows, self._transposed)


class _Packed:
    scales = None

    def __init__(self, weight: Tensor) -> None:
        self.weight = torch.ops.quantized.linear_prepack_fp16(weight.float(), None)

    def __call__(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        product = torch.ops.quantized.linear_dynamic_fp16(rows.float(), self.weight)
        return product.to(rows.dtype) if out is None else out.copy_(product)

    def add_to(self, total: Tensor, rows: Tensor) -> None:
        product = torch.ops.quantized.linear_dynamic_fp16(rows.float(), self.weight)
        total.copy_(product.add_(total))


class _Int8:
    scales: Tensor

    def __init__(self, weight: Tensor) -> None:
        # Scales are rounded to the weight's type first, so that this rounding costs nothing.
        largest = weight.abs().amax(1)
        self.scales = torch.where(largest > 0, largest / 127, 1).to(weight.dtype)
        steps = weight.float() / self.scales.float()[:, None]
        self.weight = steps.round_().clamp_(-127, 127).to(torch.int8)

    def __call__(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        if rows.is_cuda:
            product = torch.mm(rows, self.weight.to(rows.dtype).t()).mul_(self.scales)
        else:
            product = torch._weight_int8pack_mm(rows, self.weight, self.scales)
        return product if out is None else out.copy_(product)

    def add_to(self, total: Tensor, rows: Tensor) -> None:
        total.add_(self(rows))
