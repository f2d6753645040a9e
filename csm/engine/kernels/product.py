"""Products of some rows with a large weight, and SiLU or the residual's sum in the same kernel.

With few rows the time is that of reading the weight, and of the kernels around it, which wait for
each other. What follows a product is done before it is written. A norm before it is a kernel of its
own, ``csm.engine.kernels.norm``: inside the loop over the columns its squares cost more than that,
20 µs of 28 for a weight of 12 MB on an H200. One row alone has a kernel in which it does not,
``csm.engine.kernels.row_product``.

A weight of few rows and many columns is split along its columns between programs. The last of them
to finish adds up what all have left, in their order, so that a sum is the same each time.

How a product is cut follows a search over 965 ways on an H200; see ``docs/design/kernels.md``.
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
from csm.engine.kernels.norm import fused_norm
from csm.engine.kernels.row_product import launch_row_product, suits
from csm.engine.operands.linear import Linear
from csm.engine.operands.norm import Norm

#: A program of a split product gets no fewer columns, and no more programs share some.
LEAST_COLUMNS, MOST_SPLITS = 1024, 4
#: Values of the rows and of the weight that a program of four warps holds at once.
AT_ONCE = 12_288
#: Bytes that a program loads while it computes, where its GPU has the room: the last tenth of the
#: memory's speed needs them.
UNDER_WAY = 135_000
#: Shared memory that a kernel needs besides, in bytes.
BESIDE = 8_192
#: Rows that a program multiplies at once, at most.
MOST_ROWS = 64
#: The share of a GPU's processors that have a program at least, with fewer rows and with as many.
BUSY_WITH_FEW, BUSY_WITH_MANY = 0.35, 0.7


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
        warps: of a program.
        weight_first: whether the weight is the left operand, the rows the right one: the tensor
            cores' larger tiles are 64 of the left and 8 or more of the right.
    """

    rows: int
    outputs: int
    columns: int
    splits: int
    stages: int
    warps: int
    weight_first: bool


def plan(
    count: int, outputs: int, columns: int, target: Target, *, gated: bool, split: bool, size: int
) -> Plan:
    """Programs of 64 outputs, or of fewer where that leaves too many processors idle.

    Args:
        count: rows of the product.
        outputs: of the weight; half of its rows where it is gated.
        columns: of the weight.
        target: the GPU.
        gated: whether each output takes two rows of the weight.
        split: whether columns may be split.
        size: bytes of a value of the rows.
    """
    rows = min(MOST_ROWS, language.block(count, 16))
    above = -(-count // rows)
    splits = 1
    if split:
        while (
            splits < MOST_SPLITS
            and columns % (2 * splits) == 0
            and columns // (2 * splits) >= LEAST_COLUMNS
        ):
            splits *= 2
    few = rows < MOST_ROWS
    least = (BUSY_WITH_FEW if few else BUSY_WITH_MANY) * target.processors
    wide, warps = min(64, language.block(outputs, 16)), 4
    if gated and above > 1:
        # The weight is read again for each block of rows: half as often.
        wide, warps = 2 * wide, 8
    while not gated and wide > 16 and -(-outputs // wide) * above * splits < least:
        wide //= 2
    while splits > 1 and -(-outputs // wide) * above * splits > 1.2 * target.processors:
        splits //= 2
    held = (rows + wide * (1 + gated)) * size // 2
    at_once = 256
    while at_once > 16 and held * at_once > AT_ONCE * warps // 4:
        at_once //= 2
    at_once = min(at_once, language.block(columns // splits, 16))
    stage = held * at_once * 2
    room = min(UNDER_WAY, target.shared_bytes - BESIDE)
    stages = max(2, min(8, room // stage, -(-columns // splits // at_once)))
    return Plan(rows, wide, at_once, splits, stages, warps, few and wide >= 64)


@jit
def product_kernel(
    rows,
    weight,
    scales,
    total,
    parts,
    arrived,
    M,
    N: tl.constexpr,
    K: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    SPLITS: tl.constexpr,
    WEIGHT_FIRST: tl.constexpr,
    GATED: tl.constexpr,
    ADD: tl.constexpr,
    SCALED: tl.constexpr,
    PDL: tl.constexpr,
):
    """One block of outputs of one block of rows, or of a split's share of the columns."""
    SHARE: tl.constexpr = K // SPLITS
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    m = tl.program_id(1) * BM + tl.arange(0, BM)
    split = tl.program_id(2)
    k = tl.arange(0, BK)
    # What is beyond the weight's outputs is computed from its last and not written.
    near = tl.minimum(n, N - 1)
    if WEIGHT_FIRST:
        m, n, near = m[None], n[:, None], near[:, None]
        row_k, weight_k = k[:, None], k[None]
        products = tl.zeros((BN, BM), tl.float32)
        second = tl.zeros((BN, BM), tl.float32)
    else:
        m, n, near = m[:, None], n[None], near[None]
        row_k, weight_k = k[None], k[:, None]
        products = tl.zeros((BM, BN), tl.float32)
        second = tl.zeros((BM, BN), tl.float32)
    inside = m < M
    row_at = rows + m * K + split * SHARE + row_k
    weight_at = weight + near * K + split * SHARE + weight_k
    if PDL:
        gdc_wait()
    for at in range(0, SHARE, BK):
        if SHARE % BK == 0:
            x = tl.load(row_at + at, mask=inside, other=0.0)
            w = tl.load(weight_at + at)
        else:
            x = tl.load(row_at + at, mask=inside & (at + row_k < SHARE), other=0.0)
            w = tl.load(weight_at + at, mask=at + weight_k < SHARE, other=0)
        if WEIGHT_FIRST:
            products = tl.dot(w.to(x.dtype), x, products, input_precision="ieee")
        else:
            products = tl.dot(x, w.to(x.dtype), products, input_precision="ieee")
        if GATED:
            if SHARE % BK == 0:
                v = tl.load(weight_at + N * K + at)
            else:
                v = tl.load(weight_at + N * K + at, mask=at + weight_k < SHARE, other=0)
            if WEIGHT_FIRST:
                second = tl.dot(v.to(x.dtype), x, second, input_precision="ieee")
            else:
                second = tl.dot(x, v.to(x.dtype), second, input_precision="ieee")
    if PDL:
        # Not before: kernels that wait, seven deep, would hold what this one needs.
        gdc_launch_dependents()
    at_output = m * N + n
    written = inside & (n < N)
    last = True
    if SPLITS > 1:
        tl.store(parts + split * M * N + at_output, products, mask=written)
        # All of the program's threads have written before one of them says so.
        tl.debug_barrier()
        counter = arrived + tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
        last = tl.atomic_add(counter, 1, sem="acq_rel") == SPLITS - 1
        if last:
            products = tl.zeros_like(products)
            for part in range(SPLITS):
                products += tl.load(
                    parts + part * M * N + at_output, mask=written, other=0.0, cache_modifier=".cg"
                )
            tl.store(counter, 0)
    if last:
        if SCALED:
            products = products * tl.load(scales + near).to(tl.float32)
        if GATED:
            if SCALED:
                second = second * tl.load(scales + N + near).to(tl.float32)
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
    """``product`` in one kernel for one row, else in one after the norm's."""
    if out is None:
        out = rows.new_empty(len(rows), len(weight.weight))
    if suits(rows, weight):
        launch_row_product(rows, weight, norm, out, target)
    else:
        _launch(fused_norm(rows, norm, target) if norm else rows, weight, out, target, arrived)
    return out


def fused_gated_product(
    rows: Tensor, weight: Linear, norm: Norm, target: Target, arrived: Tensor
) -> Tensor:
    """``gated_product`` in one kernel after the norm's."""
    out = rows.new_empty(len(rows), len(weight.weight) // 2)
    _launch(fused_norm(rows, norm, target), weight, out, target, arrived, gated=True)
    return out


def fused_add_product(
    total: Tensor, rows: Tensor, weight: Linear, target: Target, arrived: Tensor
) -> None:
    """``add_product`` in one kernel."""
    if suits(rows, weight):
        launch_row_product(rows, weight, None, total, target, add=True)
    else:
        _launch(rows, weight, total, target, arrived, add=True)


def _launch(
    rows: Tensor,
    weight: Linear,
    total: Tensor,
    target: Target,
    arrived: Tensor,
    *,
    gated: bool = False,
    add: bool = False,
) -> None:
    count, columns = rows.shape
    outputs = total.shape[1]
    size = rows.element_size()
    cut = plan(count, outputs, columns, target, gated=gated, split=add, size=size)
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
        total,
        # Memory is reused in the stream's order, and so are the counters, which end as they began.
        parts,
        arrived,
        count,
        N=outputs,
        K=columns,
        BM=cut.rows,
        BN=cut.outputs,
        BK=cut.columns,
        SPLITS=cut.splits,
        WEIGHT_FIRST=cut.weight_first,
        GATED=gated,
        ADD=add,
        SCALED=weight.scales is not None,
        warps=cut.warps,
        stages=cut.stages,
        dependent=target.dependent,
    )
