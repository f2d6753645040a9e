"""Matrix products of a few rows with large weights, at the speed at which the weights are read."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

#: The largest value of float16.
HALF_MAX = 65_504.0


class Linear(Protocol):
    """A weight ``[out, in]`` that rows are multiplied with; its transpose is what is applied."""

    def __call__(self, rows: Tensor, out: Tensor) -> None:
        """Write ``rows @ weight.T`` to ``out``, ``[n, out]``; ``rows`` is ``[n, in]``."""

    def add_to(self, total: Tensor, rows: Tensor) -> None:
        """Add ``rows @ weight.T`` to ``total``, ``[n, out]``."""


def linear(weight: Tensor) -> Linear:
    """The way to multiply with a weight on its device and in its type.

    On a CPU without bfloat16 arithmetic, torch reads a bfloat16 weight once for each row and
    converts it in software. There the weight is packed as float16 instead, for FBGEMM's kernels,
    which read it once for some six rows (arXiv:2101.05615). Of as many bits, float16 holds every
    bfloat16 between 6e-5 and 65,504 exactly, and those below to within 3e-8.
    """
    if (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
        and "fbgemm" in torch.backends.quantized.supported_engines
        and bool((weight.abs() <= HALF_MAX).all())
    ):
        return _Packed(weight)
    return _Plain(weight)


class _Plain:
    def __init__(self, weight: Tensor) -> None:
        self._transposed = weight.t()

    def __call__(self, rows: Tensor, out: Tensor) -> None:
        torch.mm(rows, self._transposed, out=out)

    def add_to(self, total: Tensor, rows: Tensor) -> None:
        total.addmm_(rows, self._transposed)


class _Packed:
    def __init__(self, weight: Tensor) -> None:
        self._weight = torch.ops.quantized.linear_prepack_fp16(weight.float(), None)

    def __call__(self, rows: Tensor, out: Tensor) -> None:
        out.copy_(torch.ops.quantized.linear_dynamic_fp16(rows.float(), self._weight))

    def add_to(self, total: Tensor, rows: Tensor) -> None:
        product = torch.ops.quantized.linear_dynamic_fp16(rows.float(), self._weight)
        total.copy_(product.add_(total))
