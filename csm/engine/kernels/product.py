"""Products of a few rows with a large weight: RMSNorm before, SiLU or the residual's sum after.

With few rows the time is that of reading the weight, and of the kernels around it, which wait for
each other. So one kernel does it all: the rows are multiplied with the norm's weight as they are
read, its factor, which is known once a row has been read, is applied to the products, and what
follows them is done before they are written.

A weight of few rows and many columns is split along its columns between programs. The last of them
to finish adds up what all have left, in their order, so that a sum is the same each time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from csm.engine.kernels import language
from csm.engine.kernels.language import (
    Target,
    gdc_launch_dependents,
    gdc_wait,
    jit,
    tl,
)
from csm.engine.linear import Linear
from csm.engine.norm import Norm

#: Bytes of its weight that a program asks for while it waits for the kernel before it.
AHEAD = 65_536
#: A program of a split product gets no fewer columns.
LEAST_COLUMNS = 512
#: Bytes that a program loads while it computes: a processor of an H100 must have 20 kB under way to
#: keep its share of the memory busy.
UNDER_WAY = 73_728
#: Rows that a program multiplies at once, at most.
MOST_ROWS = 64


def product(
    rows: Tensor, weight: Linear, norm: Norm | None = None, out: Tensor | None = None
) -> Tensor:
    """The rows, normed where a norm is given, times the weight: ``[n, in]`` to ``[n, out]``.

    Args:
        rows: ``[n, in]``.
        weight: ``[out, in]``.
        norm: of the rows.
        out: what to write to.
    """
    return weight(rows if norm is None else norm(rows), out)


def gated_product(rows: Tensor, weight: Linear, norm: Norm) -> Tensor:
    """SiLU of one half of the product, times the other half (SwiGLU, arXiv:2002.05202).

    Args:
        rows: ``[n, in]``.
        weight: gate above up, ``[2 * wide, in]``.
        norm: of the rows.

    Returns:
        ``[n, wide]``.
    """
    gate, up = product(rows, weight, norm).chunk(2, dim=1)
    return F.silu(gate, inplace=True).mul_(up)


def add_product(total: Tensor, rows: Tensor, weight: Linear) -> None:
    """Add the rows ``[n, in]`` times the weight to ``total``, ``[n, out]``."""
    weight.add_to(total, rows)


@dataclass(frozen=True)
class Plan:
    """How a product is cut.

    Attributes:
        rows: of a program.
        outputs: of a program.
        columns: that a program goes through at once.
        splits: programs that share a weight's columns.
        stages: buffers of loads that are under way.
    """

    rows: int
    outputs: int
    columns: int
    splits: int
    stages: int


def plan(
    count: int, outputs: int, columns: int, processors: int, *, gated: bool, split: bool, size: int
) -> Plan:
    """About a program for each processor, of as many outputs as that leaves it.

    Args:
        count: rows of the product.
        outputs: of the weight; half of its rows where it is gated.
        columns: of the weight.
        processors: of the GPU.
        gated: whether each output takes two rows of the weight.
        split: whether columns may be split.
        size: bytes of a value of the rows.
    """
    rows = min(MOST_ROWS, language.block(count, 16))
    if split:
        # The rows are read once for each block of outputs: a large one, and splits instead.
        wide, splits = min(64, language.block(outputs, 16)), 1
        blocks = -(-outputs // wide)
        while (
            2 * splits * blocks <= processors
            and columns % (2 * splits) == 0
            and columns // (2 * splits) >= LEAST_COLUMNS
        ):
            splits *= 2
    else:
        wide, splits = 64, 1
        while wide > 16 and -(-outputs // wide) < 0.6 * processors:
            wide //= 2
    at_once = min((64 if wide == 64 else 128) * 2 // size, language.block(columns // splits, 16))
    stage = (rows + wide * (1 + gated)) * at_once * size
    return Plan(rows, wide, at_once, splits, max(2, min(6, UNDER_WAY // stage)))


@jit
def _ask_for(weight, bytes_of_row, n, first, LINES: tl.constexpr):
    """Ask for the beginning of a program's part of a weight to be brought into the L2 cache."""
    line = tl.arange(0, LINES)
    at = weight.to(tl.int64) + (n.to(tl.int64) * bytes_of_row + first)[:, None] + line[None] * 128
    tl.inline_asm_elementwise(
        "prefetch.global.L2 [$1]; // dummy $0",
        "=r,l",
        [at],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )


@jit
def product_kernel(
    rows,
    weight,
    scales,
    norm,
    total,
    parts,
    arrived,
    M,
    eps,
    N: tl.constexpr,
    K: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    SPLITS: tl.constexpr,
    NORM: tl.constexpr,
    GATED: tl.constexpr,
    ADD: tl.constexpr,
    SCALED: tl.constexpr,
    LINES: tl.constexpr,
    PDL: tl.constexpr,
):
    """One block of outputs of one block of rows, or of a split's share of the columns."""
    SHARE: tl.constexpr = K // SPLITS
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    m = tl.program_id(1) * BM + tl.arange(0, BM)
    split = tl.program_id(2)
    first = split * SHARE
    k = tl.arange(0, BK)
    inside = m[:, None] < M
    # What is beyond the weight's outputs is computed from its last and not written.
    near = tl.minimum(n, N - 1)
    if PDL:
        gdc_launch_dependents()
        size: tl.constexpr = weight.dtype.element_ty.primitive_bitwidth // 8
        _ask_for(weight, K * size, near, first * size, LINES)
        if GATED:
            _ask_for(weight + N * K, K * size, near, first * size, LINES)
        gdc_wait()
    products = tl.zeros((BM, BN), tl.float32)
    second = tl.zeros((BM, BN), tl.float32)
    squares = tl.zeros((BM,), tl.float32)
    for at in range(0, SHARE, BK):
        c = first + at + k
        if SHARE % BK == 0:
            x = tl.load(rows + m[:, None] * K + c[None], mask=inside, other=0.0)
            w = tl.load(weight + near[None] * K + c[:, None])
        else:
            x = tl.load(
                rows + m[:, None] * K + c[None],
                mask=inside & (at + k < SHARE)[None],
                other=0.0,
            )
            w = tl.load(
                weight + near[None] * K + c[:, None], mask=(at + k < SHARE)[:, None], other=0
            )
        if NORM:
            wide = x.to(tl.float32)
            squares += tl.sum(wide * wide, 1)
            by = tl.load(norm + c, mask=at + k < SHARE, other=0.0).to(tl.float32)
            x = (wide * by[None]).to(x.dtype)
        products = tl.dot(x, w.to(x.dtype), products, input_precision="ieee")
        if GATED:
            if SHARE % BK == 0:
                v = tl.load(weight + (N + near[None]) * K + c[:, None])
            else:
                v = tl.load(
                    weight + (N + near[None]) * K + c[:, None],
                    mask=(at + k < SHARE)[:, None],
                    other=0,
                )
            second = tl.dot(x, v.to(x.dtype), second, input_precision="ieee")
    at_output = m[:, None] * N + n[None]
    written = inside & (n[None] < N)
    last = True
    if SPLITS > 1:
        tl.store(parts + split * M * N + at_output, products, mask=written)
        # All of the program's threads have written before one of them says so.
        tl.debug_barrier()
        counter = arrived + tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
        last = tl.atomic_add(counter, 1, sem="acq_rel") == SPLITS - 1
        if last:
            products = tl.zeros((BM, BN), tl.float32)
            for part in range(SPLITS):
                products += tl.load(
                    parts + part * M * N + at_output, mask=written, other=0.0, cache_modifier=".cg"
                )
            tl.store(counter, 0)
    if last:
        if NORM:
            factor = tl.rsqrt(squares / K + eps)[:, None]
            products = products * factor
            second = second * factor
        if SCALED:
            products = products * tl.load(scales + near)[None].to(tl.float32)
        if GATED:
            if SCALED:
                second = second * tl.load(scales + N + near)[None].to(tl.float32)
            products = products / (1 + tl.exp(-products)) * second
        if ADD:
            products += tl.load(total + at_output, mask=written, other=0.0).to(tl.float32)
        tl.store(total + at_output, products.to(total.dtype.element_ty), mask=written)


def fused_product(
    rows: Tensor,
    weight: Linear,
    norm: Norm | None,
    out: Tensor | None,
    target: Target,
    arrived: Tensor,
) -> Tensor:
    """``product`` in one kernel."""
    if out is None:
        out = rows.new_empty(len(rows), len(weight.weight))
    _launch(rows, weight, norm, out, target, arrived)
    return out


def fused_gated_product(
    rows: Tensor, weight: Linear, norm: Norm, target: Target, arrived: Tensor
) -> Tensor:
    """``gated_product`` in one kernel."""
    out = rows.new_empty(len(rows), len(weight.weight) // 2)
    _launch(rows, weight, norm, out, target, arrived, gated=True)
    return out


def fused_add_product(
    total: Tensor, rows: Tensor, weight: Linear, target: Target, arrived: Tensor
) -> None:
    """``add_product`` in one kernel."""
    _launch(rows, weight, None, total, target, arrived, add=True)


def _launch(
    rows: Tensor,
    weight: Linear,
    norm: Norm | None,
    total: Tensor,
    target: Target,
    arrived: Tensor,
    *,
    gated: bool = False,
    add: bool = False,
) -> None:
    count, columns = rows.shape
    outputs = total.shape[1]
    cut = plan(
        count,
        outputs,
        columns,
        target.processors,
        gated=gated,
        split=add,
        size=rows.element_size(),
    )
    row_bytes = columns // cut.splits * weight.weight.element_size()
    lines = min(row_bytes, AHEAD // (cut.outputs * (1 + gated))) // 128
    blocks = -(-outputs // cut.outputs), -(-count // cut.rows)
    parts = None
    if cut.splits > 1:
        parts = total.new_empty(cut.splits * total.numel(), dtype=torch.float32)
    language.launch(
        product_kernel,
        (*blocks, cut.splits),
        rows,
        weight.weight,
        weight.scales,
        None if norm is None else norm.weight,
        total,
        # Memory is reused in the stream's order, and so are the counters, which end as they began.
        parts,
        arrived,
        count,
        0.0 if norm is None else norm.eps,
        N=outputs,
        K=columns,
        BM=cut.rows,
        BN=cut.outputs,
        BK=cut.columns,
        SPLITS=cut.splits,
        NORM=norm is not None,
        GATED=gated,
        ADD=add,
        SCALED=weight.scales is not None,
        LINES=1 << (max(1, lines).bit_length() - 1),
        warps=4,
        stages=cut.stages,
        dependent=target.dependent,
    )
