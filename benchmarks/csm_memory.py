"""Memory that csm takes for some numbers of slots, computed, as a table in Markdown.

python -m benchmarks.csm_memory
"""

from __future__ import annotations

import torch

from csm.checkpoint.random_weights import released_config
from csm.engine.sizing import USED, sizes

GIB = 2**30


def table() -> str:
    """For docs/operate/engine-memory.md."""
    config = released_config()
    counts = (1, 8, 16, 32, 64, 128)
    lines = [
        f"| slots | {' | '.join(map(str, counts))} |",
        "| --- |" + " --- |" * len(counts),
    ]
    for name, dtype, device in (
        ("GPU, bfloat16", torch.bfloat16, "cuda"),
        ("CPU, bfloat16", torch.bfloat16, "cpu"),
        ("CPU, float32", torch.float32, "cpu"),
    ):
        need = sizes(config, dtype, torch.device(device))
        # As much must be free as the choice of slots asks for.
        cells = [f"{need.total(count) / USED / GIB:.1f}" for count in counts]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
