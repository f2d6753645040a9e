"""Whether our greedy codes are transformers' at full size, in float32, one segment at a time.

    python -m benchmarks.csm_parity [--frames 40] [--seeds 0 1]

Random weights with the released checkpoint's sizes and positions, a new set for each seed. Needs
14 GiB of memory and minutes. The exit status is 1 where a code differs.
"""

from __future__ import annotations

import argparse
import sys

import torch

from benchmarks.csm_ours import GREEDY, Ours, forget_reserved, prompt_ids
from benchmarks.csm_peer import generate, peer
from benchmarks.reporting import report
from csm.checkpoint.random_weights import random_checkpoint, released_config


def compare(frames: int, seed: int) -> dict[str, object]:
    """Generate with both and count what is alike."""
    checkpoint = random_checkpoint(
        released_config(), device=torch.device("cpu"), dtype=torch.float32, seed=seed
    )
    forget_reserved(checkpoint)
    prompt = prompt_ids(checkpoint, 1)
    theirs, _ = generate(peer(checkpoint), prompt, frames, greedy=True)
    codes, _ = Ours(checkpoint).generate(1, frames, GREEDY)
    alike = (codes == theirs).flatten()
    first = int(alike.int().argmin()) if not alike.all() else None
    return {
        "seed": seed,
        "frames": frames,
        "codes": alike.numel(),
        "alike": int(alike.sum()),
        "different_codes_drawn": len(codes.unique()),
        "first_that_differs": "none" if first is None else str(divmod(first, codes.shape[-1])),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    rows = [compare(arguments.frames, seed) for seed in arguments.seeds]
    report("csm_parity", rows)
    sys.exit(any(row["codes"] != row["alike"] for row in rows))
