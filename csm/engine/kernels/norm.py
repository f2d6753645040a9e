"""RMSNorm of some rows; its plain twin is ``csm.engine.operands.norm.Norm``."""

from __future__ import annotations

import torch
from torch import Tensor

from csm.engine.kernels import language
from csm.engine.kernels.language import Target, gdc_launch_dependents, gdc_wait, jit, tl
from csm.engine.operands.norm import Norm


@jit
def norm_kernel(rows, weight, out, eps, K: tl.constexpr, BK: tl.constexpr, PDL: tl.constexpr):
    """One row."""
    k = tl.arange(0, BK)
    at = tl.program_id(0) * K + k
    by = tl.load(weight + k, mask=k < K, other=0.0).to(tl.float32)
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    row = tl.load(rows + at, mask=k < K, other=0.0).to(tl.float32)
    normed = row * tl.rsqrt(tl.sum(row * row, 0) / K + eps) * by
    tl.store(out + at, normed.to(out.dtype.element_ty), mask=k < K)


def fused_norm(rows: Tensor, norm: Norm, target: Target) -> Tensor:
    """Norm each of the rows, ``[n, hidden]``, in one kernel."""
    count, columns = rows.shape
    out = torch.empty_like(rows)
    language.launch(
        norm_kernel,
        (count,),
        rows,
        norm.weight,
        out,
        norm.eps,
        K=columns,
        BK=language.block(columns),
        warps=4,
        dependent=target.dependent,
    )
    return out
