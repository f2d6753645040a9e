"""Our frames against transformers' own generation, interleaved in one run; medians.

    python -m benchmarks.csm_speed [--rounds 3] [--frames 6] [--batches 1 4 8] [--only full|toy]

`full`: the released size in bfloat16, random weights: seconds a frame, and seconds of audio a
second, decoding by Mimi included, which both do with the same codec. Needs 10 GiB of memory and
some minutes on two cores.
`toy`: hidden width 64 with all layers and codebooks in float32, so that what is left is the cost of
operators: calls a frame by torch's profiler, and milliseconds a frame.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.csm_ours import Ours, forget_reserved, prompt_ids, toy_config
from benchmarks.csm_peer import generate, peer
from benchmarks.reporting import median, report
from csm.audio import CODE_FRAME_SECONDS
from csm.checkpoint.loading import Checkpoint
from csm.checkpoint.random_weights import random_checkpoint, released_config
from csm.engine import codec
from csm.engine.operands.sampling import Sampling

#: As a daemon draws, but never ending.
SAMPLING = Sampling(first_end=10_000)
CPU = torch.device("cpu")

#: Batch and frames to codes and the seconds of each frame.
Run = Callable[[int, int], tuple[Tensor, list[float]]]


def both(checkpoint: Checkpoint) -> dict[str, Run]:
    """The two over the same weights."""
    forget_reserved(checkpoint)
    theirs = peer(checkpoint)
    ours = Ours(checkpoint)
    return {
        "transformers": lambda batch, frames: generate(
            theirs, prompt_ids(checkpoint, batch), frames
        ),
        "ours": lambda batch, frames: ours.generate(batch, frames, SAMPLING),
    }


def full(rounds: int, frames: int, batches: list[int]) -> list[dict[str, Any]]:
    """Rows of the full size."""
    checkpoint = random_checkpoint(released_config(), device=CPU, dtype=torch.bfloat16)
    runs = both(checkpoint)
    decoder = codec.choose_decoder("off", checkpoint.codec)
    taken: dict[tuple[str, int], list[float]] = {}
    decoding: dict[int, list[float]] = {}
    for _ in range(rounds):
        for batch in batches:
            for name, run in runs.items():
                codes, times = run(batch, frames)
                taken.setdefault((name, batch), []).extend(times)
            started = time.perf_counter()
            codec.decode_batch(decoder, list(codes))
            spent = (time.perf_counter() - started) / frames
            decoding.setdefault(batch, []).append(spent)
    rows = []
    alone = median(taken["transformers", batches[0]]) + median(decoding[batches[0]])
    for batch in batches:
        theirs, ours = (median(taken[name, batch]) for name in ("transformers", "ours"))
        mimi = median(decoding[batch])
        rate = batch * CODE_FRAME_SECONDS / (ours + mimi)
        rows.append(
            {
                "batch": batch,
                "transformers_s_a_frame": theirs,
                "ours_s_a_frame": ours,
                "ratio": ours / theirs,
                "mimi_s_a_frame": mimi,
                "transformers_audio_s_a_s": batch * CODE_FRAME_SECONDS / (theirs + mimi),
                "ours_audio_s_a_s": rate,
                "times_transformers_alone": rate / (batches[0] * CODE_FRAME_SECONDS / alone),
            }
        )
    return rows


def operator_calls(run: Run, batch: int) -> tuple[float, float]:
    """Operators that torch's profiler sees in a frame: those called from Python, and all.

    All holds those that operators call in their turn.
    """
    counts = []
    for frames in (3, 5):
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            run(batch, frames)
        events = profiler.events()
        counts.append((sum(event.cpu_parent is None for event in events), len(events)))
    (few, few_all), (more, more_all) = counts
    return (more - few) / 2, (more_all - few_all) / 2


def toy(rounds: int, batches: list[int]) -> list[dict[str, Any]]:
    """Rows of the toy width."""
    checkpoint = random_checkpoint(toy_config(), device=CPU, dtype=torch.float32)
    runs = both(checkpoint)
    rows = []
    for batch in batches:
        calls = {name: operator_calls(run, batch) for name, run in runs.items()}
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, run in runs.items():
                taken[name] += run(batch, 12)[1]
        theirs, ours = (1e3 * median(taken[name]) for name in ("transformers", "ours"))
        rows.append(
            {
                "batch": batch,
                "transformers_calls": calls["transformers"][0],
                "ours_calls": calls["ours"][0],
                "calls_ratio": calls["ours"][0] / calls["transformers"][0],
                "all_calls_ratio": calls["ours"][1] / calls["transformers"][1],
                "transformers_ms": theirs,
                "ours_ms": ours,
                "ms_ratio": ours / theirs,
            }
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--only", choices=("full", "toy"))
    arguments = parser.parse_args()
    if arguments.only != "full":
        report("csm_speed_toy", toy(arguments.rounds, [1, 8]))
    if arguments.only != "toy":
        report("csm_speed", full(arguments.rounds, arguments.frames, arguments.batches))
