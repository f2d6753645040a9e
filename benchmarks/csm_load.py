"""Seconds and peak memory of loading a checkpoint of the released size and layout.

    python -m benchmarks.csm_load [--keep FOLDER]

Writes a random checkpoint as the released one is stored (float32, two shards, the audio embedding
twice: 7 GB) and one in bfloat16, then loads each in a process of its own. The files were just
written, so the times are those of a machine that holds them in its page cache.

`result` is what is held afterwards: every tensor once, and the codec in float32. `peak` is the most
anonymous memory while loading, above what the process held with its libraries imported; `resident`
adds the pages of mapped files, which the kernel may drop at any time and which are let go after
each tensor. Both are sampled every 2 ms. `model` is what an engine then makes of the tensors, in
their place: its peak is above the same start.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file

from benchmarks.reporting import report

GIB = 2**30
T = TypeVar("T")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
#: Stored as, loaded as.
CASES = (("float32", "bfloat16"), ("float32", "float32"), ("bfloat16", "bfloat16"))


def write_checkpoint(folder: Path, dtype: torch.dtype) -> None:
    """Write a random checkpoint in the released one's layout."""
    from csm.checkpoint.layout import CODEC_PREFIX, DEPTH_EMBEDDING
    from csm.checkpoint.random_weights import random_checkpoint, released_config

    checkpoint = random_checkpoint(released_config(), device=torch.device("cpu"), dtype=dtype)
    checkpoint.config.save_pretrained(folder)
    checkpoint.tokenizer.save_pretrained(folder)
    checkpoint.codec.save_pretrained(folder / "codec")
    (codec_file,) = (folder / "codec").glob("*.safetensors")
    codec = {CODEC_PREFIX + name: weight for name, weight in load_file(codec_file).items()}
    tensors = {name: checkpoint.tensors.pop(name) for name in list(checkpoint.tensors)}
    tensors[DEPTH_EMBEDDING] = tensors[DEPTH_EMBEDDING].clone()
    backbone = {name: w for name, w in tensors.items() if name.startswith("backbone")}
    rest = {name: w for name, w in tensors.items() if name not in backbone} | codec
    places = {}
    for number, part in enumerate((backbone, rest), 1):
        shard = f"transformers-{number:05}-of-00002.safetensors"
        save_file(part, folder / shard, metadata={"format": "pt"})
        places |= dict.fromkeys(part, shard)
    index = "transformers.safetensors.index.json"
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    config_file = folder / "config.json"
    config = json.loads(config_file.read_text())
    config["transformers_weights"] = index
    config_file.write_text(json.dumps(config))


def memory() -> tuple[int, int]:
    """Bytes of this process: anonymous, and resident in all."""
    status = Path("/proc/self/status").read_text()
    values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return tuple(int(values[name].split()[0]) * 1024 for name in ("RssAnon", "VmRSS"))  # type: ignore[return-value]


def watched(work: Callable[[], T]) -> tuple[T, float, int, int]:
    """Do it; also seconds, and the most anonymous and resident bytes on the way."""
    most = [0, 0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            most[:] = (max(pair) for pair in zip(most, memory(), strict=True))

    thread = threading.Thread(target=watch)
    thread.start()
    started = time.monotonic()
    try:
        result = work()
    finally:
        seconds = time.monotonic() - started
        done.set()
        thread.join()
    return result, seconds, *(max(pair) for pair in zip(most, memory(), strict=True))  # type: ignore[return-value]


def load(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """Load in this process and say what it took."""
    from csm.checkpoint.loading import load_checkpoint
    from csm.engine.model import Model

    before = memory()
    checkpoint, seconds, peak, resident = watched(
        lambda: load_checkpoint(str(folder), device="cpu", dtype=dtype)
    )
    held = {w.data_ptr(): w for w in checkpoint.tensors.values()}
    held |= {w.data_ptr(): w for w in checkpoint.codec.state_dict().values()}
    result = sum(w.numel() * w.element_size() for w in held.values())
    held.clear()
    model, model_seconds, model_peak, _ = watched(lambda: Model(checkpoint))
    assert model.device == checkpoint.device
    return {
        "seconds": seconds,
        "result_gib": result / GIB,
        "peak_gib": (peak - before[0]) / GIB,
        "peak_share": (peak - before[0]) / result,
        "resident_gib": (resident - before[1]) / GIB,
        "model_seconds": model_seconds,
        "model_peak_gib": (model_peak - before[0]) / GIB,
        "model_peak_share": (model_peak - before[0]) / result,
    }


def main(keep: Path | None) -> None:
    """Write, load, report."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for stored in dict.fromkeys(case[0] for case in CASES):
            folder = (keep or Path(name)) / stored
            if not (folder / "config.json").is_file():
                folder.mkdir(parents=True, exist_ok=True)
                write_checkpoint(folder, DTYPES[stored])
            for loaded in (case[1] for case in CASES if case[0] == stored):
                command = [sys.executable, "-m", "benchmarks.csm_load"]
                child = subprocess.run(
                    [*command, "--load", str(folder), loaded],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                rows.append({"stored": stored, "loaded": loaded, **json.loads(child.stdout)})
    report("csm_load", rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=Path, help="folder to write to and reuse")
    parser.add_argument("--load", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        folder, dtype = arguments.load
        print(json.dumps(load(Path(folder), DTYPES[dtype])))
    else:
        main(arguments.keep)
