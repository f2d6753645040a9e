"""Convolutions that look back only, as products: bias, ELU, GELU and sums are parts of them.

Rows are positions and columns channels, so that each tap of a convolution is a product of rows that
lie some positions back. A transposed convolution whose kernel is two strides long is one of two
taps, whose outputs are a stride's positions side by side. So nearly all of
Mimi's decoder is this kernel and attention.

Products are of float32. A GPU's matrix units have no such; each factor is split into parts that
they do have, and the products of the parts are added up (arXiv:1803.04014): ``PRECISION`` says how.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import torch.nn.functional as F
from torch import Tensor

from csm.engine.kernels import language
from csm.engine.kernels.language import Target, gdc_launch_dependents, gdc_wait, jit, tl

Shape = Literal["elu", "gelu"]

#: Three products of TF32 for one of float32. Of a whole pass on an H100 they leave 118.6 dB to
#: float64, where cuDNN's convolutions in float32 leave 114.3; three of bfloat16 are a tenth faster
#: and leave 94.5.
PRECISION = "tf32x3"


@dataclass(frozen=True)
class Convolution:
    """What rows are convolved with.

    Attributes:
        weight: ``[taps, out, in]``; the last tap is for the row itself, those before it look back.
        bias: ``[out]``; None is zeros.
    """

    weight: Tensor
    bias: Tensor | None = None


class Convolve(Protocol):
    """Apply a convolution to rows ``[B, T, in]``, giving ``[B, T, out]``."""

    def __call__(
        self,
        rows: Tensor,
        by: Convolution,
        *,
        first: Shape | None = None,
        total: Tensor | None = None,
        then: Shape | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """See ``convolve``."""


def convolve(
    rows: Tensor,
    by: Convolution,
    *,
    first: Shape | None = None,
    total: Tensor | None = None,
    then: Shape | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Apply a convolution that looks back only, in plain torch.

    Args:
        rows: ``[B, T, in]``; before the first are zeros.
        by: the convolution.
        first: what shapes the rows.
        total: what is added to the result, ``[B, T, out]``.
        then: what shapes the sum.
        out: what to write to; may be ``total``.

    Returns:
        ``[B, T, out]``.
    """
    taps, positions = len(by.weight), rows.shape[1]
    padded = F.pad(_shaped(rows, first), (0, 0, taps - 1, 0))
    made: Tensor = sum(
        padded[:, tap : tap + positions] @ weight.t() for tap, weight in enumerate(by.weight)
    )
    if by.bias is not None:
        made = made + by.bias
    made = _shaped(made if total is None else made + total, then)
    return made if out is None else out.copy_(made)


def _shaped(rows: Tensor, shape: Shape | None) -> Tensor:
    if shape is None:
        return rows
    return F.elu(rows) if shape == "elu" else F.gelu(rows)


@jit
def elu(values):
    """ELU (arXiv:1511.07289) with alpha 1."""
    return tl.where(values > 0, values, tl.exp(values) - 1)


@partial(jit, unspecialised=("T",))
def convolution_kernel(
    rows,
    weight,
    bias,
    total,
    out,
    T,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    TAPS: tl.constexpr,
    FIRST: tl.constexpr,
    THEN: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    PRECISION: tl.constexpr,
    PDL: tl.constexpr,
):
    """One block of outputs of one block of positions."""
    STEPS: tl.constexpr = (IN + BK - 1) // BK
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    # What is beyond the outputs is computed from the last and not written.
    near = tl.minimum(n, OUT - 1)
    rows += tl.program_id(2) * T * IN
    products = tl.zeros((BM, BN), tl.float32)
    if PDL:
        gdc_wait()
    for step in range(TAPS * STEPS):
        tap = step // STEPS
        at = (step % STEPS) * BK + k
        row = m - (TAPS - 1) + tap
        seen = ((row >= 0) & (row < T))[:, None]
        if IN % BK == 0:
            x = tl.load(rows + row[:, None] * IN + at[None], mask=seen, other=0.0)
            w = tl.load(weight + (tap * OUT + near[None]) * IN + at[:, None])
        else:
            x = tl.load(rows + row[:, None] * IN + at[None], mask=seen & (at < IN)[None], other=0.0)
            w = tl.load(
                weight + (tap * OUT + near[None]) * IN + at[:, None],
                mask=(at < IN)[:, None],
                other=0.0,
            )
        if FIRST == "elu":
            x = elu(x)
        products = tl.dot(x, w, products, input_precision=PRECISION)
    if PDL:
        gdc_launch_dependents()
    if bias is not None:
        products += tl.load(bias + near)[None]
    at_output = (tl.program_id(2) * T + m[:, None]) * OUT + n[None]
    written = (m < T)[:, None] & (n < OUT)[None]
    if total is not None:
        products += tl.load(total + at_output, mask=written, other=0.0)
    if THEN == "elu":
        products = elu(products)
    if THEN == "gelu":
        products = 0.5 * products * (1 + tl.erf(products * 0.7071067811865476))
    tl.store(out + at_output, products, mask=written)


@dataclass(frozen=True)
class Tile:
    """How a convolution is cut.

    Attributes:
        positions: of a program.
        outputs: of a program.
        channels: that a program goes through at once.
        warps: of a program.
        stages: buffers of loads that are under way.
    """

    positions: int
    outputs: int
    channels: int
    warps: int
    stages: int


#: Channels up to which more and smaller programs are faster.
NARROW = 64
#: Numbers of processors for which ``tile`` cuts large at any length, and small.
EITHER_WAY = 0, 1 << 30


def tile(positions: int, outputs: int, channels: int, target: Target) -> Tile:
    """As was fastest of eight ways on an H100, or within a seventh of it.

    Args:
        positions: of all sequences.
        outputs: of the convolution.
        channels: of the rows.
        target: the GPU.
    """
    wide = min(64, language.block(outputs, 16))
    deep = min(32, language.block(channels, 16))
    if wide < 64:
        return Tile(128, wide, deep, warps=4, stages=3)
    programs = -(-positions // 128) * -(-outputs // 64)
    if channels <= NARROW or programs < 2 * target.processors:
        # Few programs of 128 would leave processors idle, and with few channels there is little to
        # do but to write.
        return Tile(64, 64, deep, warps=4, stages=4)
    return Tile(128, 64, deep, warps=8, stages=3)


class FusedConvolve:
    """``convolve`` in one kernel.

    Args:
        target: the GPU.
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    def __call__(
        self,
        rows: Tensor,
        by: Convolution,
        *,
        first: Shape | None = None,
        total: Tensor | None = None,
        then: Shape | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """See ``convolve``."""
        taps, outputs, channels = by.weight.shape
        count, positions, _ = rows.shape
        if taps == 1:
            # Nothing looks back: all rows are one sequence, whose last block alone is not full.
            count, positions = 1, count * positions
        cut = tile(count * positions, outputs, channels, self._target)
        if out is None:
            out = rows.new_empty(*rows.shape[:2], outputs)
        language.launch(
            convolution_kernel,
            (-(-positions // cut.positions), -(-outputs // cut.outputs), count),
            rows,
            by.weight,
            by.bias,
            total,
            out,
            positions,
            IN=channels,
            OUT=outputs,
            TAPS=taps,
            FIRST=first,
            THEN=then,
            BM=cut.positions,
            BN=cut.outputs,
            BK=cut.channels,
            PRECISION=PRECISION,
            warps=cut.warps,
            stages=cut.stages,
            dependent=self._target.dependent,
        )
        return out
