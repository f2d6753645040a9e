"""Does the engine grow? Memory over some thousands of segments, on a checkpoint of toy width.

    python -m benchmarks.csm_growth [--segments 2000] [--slots 8]

Two books at a time, each with a voice of its own, are spoken until so many segments are done, one
of each two left before its end. Told after each tenth of them: resident memory, live tensors, and
what the memory has grown by since the second tenth.
"""

from __future__ import annotations

import argparse
import gc
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.csm_ours import toy_config
from benchmarks.reporting import report
from csm.checkpoint.random_weights import random_checkpoint
from csm.engine.engine import Engine
from csm.engine.operands.sampling import Sampling
from csm.engine.voice import Voice

CPU = torch.device("cpu")
TEXTS = ["No.", "Call me Ishmael.", "Some years ago.", "I thought I would sail."]
#: Segments of a few frames: beginning and ending is what could leave something behind.
SAMPLING = Sampling(first_end=10_000, cap_factor=0.1, cap_seconds=0.1)


def resident() -> float:
    """MiB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def growth(segments: int, slots: int) -> list[dict[str, Any]]:
    """Speak, and say what there is after each tenth."""
    engine = Engine(
        random_checkpoint(toy_config(), device=CPU, dtype=torch.float32), SAMPLING, slots
    )
    draw = torch.Generator().manual_seed(0)
    done = 0
    rows: list[dict[str, Any]] = []
    while done < segments:
        codes = torch.randint(0, 2048, (20, 32), generator=draw)
        books = [
            engine.speak(TEXTS * 5, seed=done + number, voice=Voice("Noise.", codes.flip(number)))
            for number in range(2)
        ]
        for number, book in enumerate(books):
            for count, _ in enumerate(book, 1):
                done += 1
                if number and count == 15:
                    book.close()
        if done * 10 >= segments * (len(rows) + 1):
            gc.collect()
            tensors = sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())
            rows.append({"segments": done, "mib": resident(), "tensors": tensors})
    # What was left is let go within a frame or two.
    deadline = time.monotonic() + 10
    while engine.occupancy.waiting or engine.occupancy.occupied:
        assert time.monotonic() < deadline, engine.occupancy
        time.sleep(0.01)
    engine.close()
    for row in rows:
        row["growth_percent"] = 100 * (row["mib"] / rows[min(1, len(rows) - 1)]["mib"] - 1)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--segments", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=8)
    arguments = parser.parse_args()
    report("csm_growth", growth(arguments.segments, arguments.slots))
