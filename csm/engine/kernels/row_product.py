"""The product of a row or two with a weight that few programs can read, normed on the way.

With a single slot the products of queries, keys and values, of attention's outputs and of heads are
so small that waiting is most of their time. Here there is no tile to fill and nothing between
warps before the end, which is worth a third to a half of it. Its plain twins are ``product`` and
``add_product`` of ``csm.engine.kernels.product``.
"""

from __future__ import annotations

from torch import Tensor

from csm.engine.kernels import language
from csm.engine.kernels.language import Target, gdc_launch_dependents, gdc_wait, jit, tl
from csm.engine.operands.linear import Linear
from csm.engine.operands.norm import Norm

#: Rows, and columns of the weight, at most: beyond them tensor cores, and splits, are faster.
MOST_ROWS, MOST_COLUMNS = 2, 2048
#: Outputs of a program, and columns that it goes through at once.
OUTPUTS, AT_ONCE = 8, 512


def suits(rows: Tensor, weight: Linear) -> bool:
    """Whether a product is for this kernel."""
    return len(rows) <= MOST_ROWS and rows.shape[1] <= MOST_COLUMNS


@jit
def row_product_kernel(
    rows,
    weight,
    scales,
    norm,
    total,
    eps,
    N: tl.constexpr,
    K: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    NORM: tl.constexpr,
    ADD: tl.constexpr,
    SCALED: tl.constexpr,
    PDL: tl.constexpr,
):
    """One block of outputs of one row."""
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    m = tl.program_id(1)
    k = tl.arange(0, BK)
    # What is beyond the weight's outputs is computed from its last and not written.
    near = tl.minimum(n, N - 1)
    if PDL:
        gdc_wait()
    products = tl.zeros((BN, BK), tl.float32)
    squares = tl.zeros((BK,), tl.float32)
    for at in range(0, K, BK):
        c = at + k
        inside = c < K
        x = tl.load(rows + m * K + c, mask=inside, other=0.0).to(tl.float32)
        w = tl.load(weight + near[:, None] * K + c[None], mask=inside[None], other=0)
        if NORM:
            squares += x * x
            x = x * tl.load(norm + c, mask=inside, other=0.0).to(tl.float32)
        products += w.to(tl.float32) * x[None]
    if PDL:
        gdc_launch_dependents()
    product = tl.sum(products, 1)
    if NORM:
        product = product * tl.rsqrt(tl.sum(squares, 0) / K + eps)
    if SCALED:
        product = product * tl.load(scales + near).to(tl.float32)
    at_output = total + m * N + n
    if ADD:
        product += tl.load(at_output, mask=n < N, other=0.0).to(tl.float32)
    tl.store(at_output, product.to(total.dtype.element_ty), mask=n < N)


def launch_row_product(
    rows: Tensor,
    weight: Linear,
    norm: Norm | None,
    total: Tensor,
    target: Target,
    *,
    add: bool = False,
) -> None:
    """Write the product, or add it, to ``total``, ``[n, out]``."""
    (count, columns), outputs = rows.shape, total.shape[1]
    language.launch(
        row_product_kernel,
        (-(-outputs // OUTPUTS), count),
        rows,
        weight.weight,
        weight.scales,
        None if norm is None else norm.weight,
        total,
        0.0 if norm is None else norm.eps,
        N=outputs,
        K=columns,
        BN=OUTPUTS,
        BK=min(AT_ONCE, language.block(columns)),
        NORM=norm is not None,
        ADD=add,
        SCALED=weight.scales is not None,
        warps=8 if columns > 1024 else 4,
        dependent=target.dependent,
    )
