"""What csm gives on a GPU, against transformers on the same box and weights.

    python -m benchmarks.csm_gpu [--only frames graphs engine growth] [--batches 1 8 32 64]
                                 [--frames 250] [--peer-frames 50] [--rounds 3] [--minutes 10]

Needs a GPU with torch and transformers, and of this project `csm` and `benchmarks` alone. Random
weights of the released size in bfloat16, made there; none of the segments ends by itself.

`frames`: milliseconds a frame by CUDA events, medians of interleaved rounds: ours as captured
graphs, transformers as it is, transformers with static caches and compiled; with decoding by Mimi,
seconds of audio a second; the share of the memory's speed, measured there by copying; memory.
`graphs`: whether captured graphs draw the codes that the same steps draw one by one.
`engine`: the engine as the daemon uses it, on books of mixed segments: audio a second with decoding
beside it, and how many of the slots are occupied.
`growth`: memory of GPU and process over minutes of such books.
A table and a JSON for each, and all of them in `csm_gpu.json`.

Compiling takes transformers minutes for each batch: where commands are cut off, run sections and
batches one by one. With --tiny all of it runs on a CPU, at a size that says nothing but that the
script works.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import transformers
from transformers import MimiConfig

from benchmarks.csm_ours import TEXT, Ours, forget_reserved, prompt_ids, toy_config
from benchmarks.csm_peer import generate, peer
from benchmarks.reporting import RESULTS, median, report
from csm.checkpoint.loading import Checkpoint
from csm.checkpoint.random_weights import random_checkpoint, released_config
from csm.engine import bench, codec
from csm.engine.capture import Captured
from csm.engine.engine import Engine
from csm.engine.model import Slots, buckets
from csm.engine.sampling import Sampler, Sampling
from csm.engine.sizing import bytes_a_frame

FRAME_SECONDS = 0.08
GIB = 2**30
#: As a daemon draws, but never ending.
ENDLESS = Sampling(first_end=10_000)
SECTIONS = ("frames", "graphs", "engine", "growth")
#: Characters of the segments of a book: the last of a paragraph is shorter than the others.
SEGMENT_CHARACTERS = (40, 260)

Rows = list[dict[str, Any]]


class Box:
    """Where it runs and how large.

    Args:
        arguments: from the command line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.tiny: bool = arguments.tiny
        self.device = torch.device("cpu") if self.tiny else torch.device("cuda", 0)
        self.dtype = torch.float32 if self.tiny else torch.bfloat16
        self.config = tiny_config() if self.tiny else released_config()
        self.arguments = arguments
        if self.tiny:
            bench.TRAFFIC = 2**22
        self.bandwidth = bench.bandwidth(self.device)

    def checkpoint(self) -> Checkpoint:
        """Random weights, the same each time."""
        checkpoint = random_checkpoint(self.config, device=self.device, dtype=self.dtype)
        forget_reserved(checkpoint)
        return checkpoint

    def synchronize(self) -> None:
        """Wait for the device."""
        if not self.tiny:
            torch.cuda.synchronize()

    def reserved(self) -> int:
        """Bytes that torch holds of the GPU."""
        return 0 if self.tiny else torch.cuda.memory_reserved()

    def about(self) -> dict[str, Any]:
        """What a reader of the figures must know."""
        return {
            "device": bench.device_name(self.device),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "dtype": str(self.dtype),
            "bandwidth_gb_s": self.bandwidth / 1e9,
        }


def tiny_config() -> Any:
    """Small enough for a test."""
    config = toy_config()
    config.update({"num_hidden_layers": 1})
    config.depth_decoder_config.update({"num_hidden_layers": 1})
    config.codec_config = MimiConfig(
        hidden_size=32,
        num_filters=4,
        codebook_dim=16,
        vector_quantization_hidden_dimension=16,
        upsample_groups=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=32,
        num_quantizers=32,
    )
    return config


class Frames:
    """A batch of our slots, captured, with ``TEXT`` behind each."""

    def __init__(self, box: Box, ours: Ours, batch: int, frames: int) -> None:
        model = ours.model
        self._box, self._frames, self._rows = box, frames, model.embed(ours.prompt)
        self._model = model
        before = 0 if box.tiny else torch.cuda.memory_allocated()
        self.slots = Slots(model, batch)
        self.slot_bytes = (0 if box.tiny else torch.cuda.memory_allocated() - before) / batch
        sampler = Sampler(
            ENDLESS, codebooks=model.codebooks, codes=model.codes, device=model.device
        )
        self.bucket = next(b for b in buckets(model.positions) if b >= len(self._rows) + frames)
        self.step: Callable[[int], None] = lambda bucket: self.slots.frame(model, sampler, bucket)
        self.captured = Captured(self.step, [self.bucket], box.device, lambda done, count: None)

    @torch.inference_mode()
    def run(self, step: Callable[[int], None]) -> tuple[torch.Tensor, float]:
        """Codes, ``[batch, frames, codebooks]``, and seconds a frame."""
        for slot in range(self.slots.count):
            self._model.prefill(self._rows[:-1].clone(), self.slots.cache[:, slot], 0)
            self.slots.begin(slot, self._rows[-1], len(self._rows) - 1, self._frames, slot)
        self._box.synchronize()
        seconds = bench.seconds_of(
            lambda: [step(self.bucket) for _ in range(self._frames)], self._box.device
        )
        return self.slots.history[:, : self._frames].long(), seconds / self._frames


def frames(box: Box) -> Rows:
    """Ours and transformers, interleaved."""
    rows = []
    for batch in box.arguments.batches:
        rows.append(frames_of(box, batch))
        free(box)
    return rows


def frames_of(box: Box, batch: int) -> dict[str, Any]:
    """The same for one batch."""
    checkpoint = box.checkpoint()
    theirs = peer(checkpoint)
    ours = Ours(checkpoint)
    count, few, rounds = box.arguments.frames, box.arguments.peer_frames, box.arguments.rounds
    own = Frames(box, ours, batch, count)
    own.run(own.captured)
    prompt = prompt_ids(checkpoint, batch)
    taken: dict[str, list[float]] = {"ours": [], "eager": [], "static": []}
    decoding = []
    for _ in range(rounds):
        codes, seconds = own.run(own.captured)
        taken["ours"].append(seconds)
        segments = list(codes)
        decode = partial(codec.decode_batch, checkpoint.codec, segments)
        decoding.append(bench.seconds_of(decode, box.device) / count)
        taken["eager"] += generate(theirs, prompt, few)[1]
    set_static(theirs, compiled=not box.tiny)
    try:
        generate(theirs, prompt, few)  # Compiles.
        for _ in range(rounds):
            taken["static"] += generate(theirs, prompt, few)[1]
            taken["ours"].append(own.run(own.captured)[1])
    except Exception as error:
        # A baseline that does not run here is no reason to lose the rest.
        print(f"transformers with static caches: {type(error).__name__}: {error}")
    second, mimi = median(taken["ours"]), median(decoding)
    context = len(prompt[0]) + count // 2
    floor = bytes_a_frame(box.config, box.dtype, slots=batch, context=context) / box.bandwidth
    return {
        "batch": batch,
        "ours_ms": 1e3 * second,
        "eager_ms": 1e3 * median(taken["eager"]),
        "static_ms": 1e3 * median(taken["static"]) if taken["static"] else None,
        "mimi_ms": 1e3 * mimi,
        # One after the other; beside each other in `engine`.
        "audio_s_a_s": batch * FRAME_SECONDS / (second + mimi),
        "floor_share": floor / second,
        "slot_mib": own.slot_bytes / 2**20,
        "reserved_gib": box.reserved() / GIB,
    }


def set_static(model: Any, *, compiled: bool) -> None:
    """The fastest way of transformers: static caches, which it compiles the model for."""
    for part in (model, model.depth_decoder):
        part.generation_config.cache_implementation = "static"
        part.generation_config.disable_compile = not compiled


def graphs(box: Box) -> Rows:
    """Captured codes against those of the same steps, one by one."""
    rows = []
    ours = Ours(box.checkpoint())
    for batch in box.arguments.batches:
        count = min(64, box.arguments.frames)
        own = Frames(box, ours, batch, count)
        captured, graph_seconds = own.run(own.captured)
        captured = captured.clone()
        plain, plain_seconds = own.run(own.step)
        rows.append(
            {
                "batch": batch,
                "frames": count,
                "graph_equals_eager": bool(torch.equal(captured, plain)),
                "graph_ms": 1e3 * graph_seconds,
                "ours_eager_ms": 1e3 * plain_seconds,
            }
        )
        del own
        free(box)
    return rows


def book(number: int, segments: int) -> list[str]:
    """The segments of a book, of lengths as they come."""
    lengths = random.Random(number)
    endless = " ".join([TEXT] * 8)
    return [endless[: lengths.randint(*SEGMENT_CHARACTERS)].strip() for _ in range(segments)]


class Books:
    """An engine with some books in work all the time, as a daemon has."""

    def __init__(self, box: Box, slots: int) -> None:
        self._box = box
        self._segments = 3 if box.tiny else 30
        self._longest = 0.4 if box.tiny else 60.0
        # So that each segment runs to its cap, which is the time that its text takes.
        sampling = Sampling(first_end=10_000, cap_factor=1.0)
        self.engine = Engine(box.checkpoint(), sampling, slots)
        self.engine.warm_up()

    def speak(self, at_once: int, until: Callable[[int], bool]) -> tuple[int, float]:
        """Books one after the other in each of some threads; how many, and their seconds."""
        lock = threading.Lock()
        done, samples, failures = 0, 0, []

        def work(first: int) -> None:
            nonlocal done, samples
            number = first
            try:
                while not until(done):
                    texts = book(number, self._segments)
                    speech = self.engine.speak(texts, seed=number, max_seconds=self._longest)
                    spoken = sum(len(take.samples) for take in speech)
                    with lock:
                        done, samples = done + 1, samples + spoken
                    number += at_once
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(first,)) for first in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return done, samples / 24_000


def engine(box: Box) -> Rows:
    """Audio a second and occupancy of the engine."""
    rows = []
    for slots in box.arguments.batches:
        books = Books(box, slots)
        # One slot has no use for more than a book, and takes long enough with that.
        for at_once in (1,) if slots == 1 else (1, 2) if box.tiny else (1, 2, 4, 8):
            enough = at_once if box.tiny or slots == 1 else max(4, 2 * at_once)
            before, started = books.engine.occupancy, time.monotonic()
            count, seconds = books.speak(at_once, lambda done, enough=enough: done >= enough)
            spent, after = time.monotonic() - started, books.engine.occupancy
            made = after.frames - before.frames
            rows.append(
                {
                    "slots": slots,
                    "books_at_once": at_once,
                    "books": count,
                    "audio_s_a_s": seconds / spent,
                    "occupancy": (after.slot_frames - before.slot_frames) / (made * slots),
                    "ms_a_frame": 1e3 * spent / made,
                    "reserved_gib": box.reserved() / GIB,
                }
            )
        books.engine.close()
        del books
        free(box)
    return rows


def growth(box: Box) -> Rows:
    """Memory over minutes of books."""
    slots = max(box.arguments.batches)
    books = Books(box, slots)
    until = time.monotonic() + 60 * box.arguments.minutes
    rows: Rows = []

    def over(done: int) -> bool:
        now = time.monotonic()
        steps = 10 * (1 - (until - now) / (60 * box.arguments.minutes))
        if len(rows) <= steps:
            rows.append(
                {
                    "minute": box.arguments.minutes * steps / 10,
                    "books": done,
                    "reserved_gib": box.reserved() / GIB,
                    "process_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
                }
            )
        return now > until

    books.speak(4, over)
    books.engine.close()
    return rows


def free(box: Box) -> None:
    """Give back what is no longer held."""
    gc.collect()
    torch._dynamo.reset()
    if not box.tiny:
        torch.cuda.empty_cache()


def main(arguments: argparse.Namespace) -> None:
    """Run the sections and keep what they find."""
    box = Box(arguments)
    about = box.about()
    print(json.dumps(about))
    everything: dict[str, Any] = {"about": about}
    name = "csm_gpu_tiny" if box.tiny else "csm_gpu"
    for section in arguments.only:
        rows = {"frames": frames, "graphs": graphs, "engine": engine, "growth": growth}[section](
            box
        )
        everything[section] = rows
        report(f"{name}_{section}", rows)
        (RESULTS / f"{name}.json").write_text(json.dumps(everything, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--peer-frames", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--tiny", action="store_true")
    main(parser.parse_args())
