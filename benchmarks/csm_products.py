"""Products of some rows with a large weight on one core: float32, bfloat16, packed float16.

    python -m benchmarks.csm_products
    ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 python -m benchmarks.csm_products

What ``csm.engine.operands.linear`` and the type of weights on a CPU are chosen by. The variable,
which is oneDNN's, makes a CPU one of fewer instructions: ``AVX512_CORE_BF16`` has no matrix units,
``AVX512_CORE`` and ``AVX2`` no bfloat16. Best of 24, each with another weight, so that it is read
from memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.reporting import report

WEIGHTS, OUT, IN = 24, 8192, 1024


def best(product: Callable[[int], Tensor]) -> float:
    """Milliseconds."""
    product(0)
    taken = []
    for number in range(WEIGHTS):
        started = time.perf_counter()
        product(number)
        taken.append(time.perf_counter() - started)
    return 1e3 * min(taken)


def rows() -> list[dict[str, Any]]:
    """A row for each number of rows."""
    weights = torch.randn(WEIGHTS, OUT, IN)
    halves = weights.bfloat16()
    packed = [torch.ops.quantized.linear_prepack_fp16(weight, None) for weight in weights]
    found = []
    for count in (1, 4, 8, 64):
        x = torch.randn(count, IN)
        x_half = x.bfloat16()

        def plain(number: int, x: Tensor = x) -> Tensor:
            return x @ weights[number].t()

        def half(number: int, x: Tensor = x_half) -> Tensor:
            return x @ halves[number].t()

        def as_float16(number: int, x: Tensor = x) -> Tensor:
            product: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, packed[number])
            return product

        found.append(
            {
                "instructions": os.environ.get("ONEDNN_MAX_CPU_ISA", "all"),
                "rows": count,
                "float32_ms": best(plain),
                "bfloat16_ms": best(half),
                "packed_ms": best(as_float16),
            }
        )
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    report("csm_products", rows())
