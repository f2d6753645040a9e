"""RMSNorm."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class Norm:
    """RMSNorm over the last dimension (arXiv:1910.07467), in float32 inside.

    Args:
        weight: ``[hidden]``.
        eps: added to the mean of the squares.
    """

    def __init__(self, weight: Tensor, eps: float) -> None:
        self.weight, self.eps = weight, eps
        self._eps_tensor = torch.full((), eps, device=weight.device)
        self._share = 1 / weight.shape[0]

    def __call__(self, rows: Tensor) -> Tensor:
        """Norm each of the rows, ``[n, hidden]``."""
        if rows.is_cuda:
            return F.rms_norm(rows, self.weight.shape, self.weight, self.eps)
        # On a CPU, torch's own is 18 operators.
        length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True, dtype=torch.float32)
        scale = torch.addcmul(self._eps_tensor, length, length, value=self._share).rsqrt_()
        return (rows * scale).to(rows.dtype).mul_(self.weight)
