"""What csm gives on a GPU: whether it is right there, and how fast, in eight minutes at most.

    python -m benchmarks.csm_gpu [--minutes 8] [--batches 1 8 32 64 128] [--device cuda:0]
                                 [--only checks kernels frames profile engine peers]
                                 [--growth 10]

Needs a GPU and torch, and of this project `csm` and `benchmarks` as they lie in the repository;
nothing is installed. Random weights of the released size in bfloat16, made there; none of the
segments ends by itself, so figures are of speed alone. Where transformers is installed, too, Mimi
decodes, the engine speaks books, and transformers' own CSM is timed on the same card.

`checks`: what must hold before a figure means anything; see ``csm_gpu_checks``.
`kernels`: microseconds of each kernel beside plain torch.
`frames`: milliseconds a frame by the GPU's clock, of captured graphs of kernels and of plain torch;
milliseconds to begin a segment; the share of what the memory's speed, measured there, would allow;
memory.
`profile`: how long each kernel is on the GPU inside the replayed graph, by torch's profiler. One
that begins before the last one ends counts while it waits, so that the sum is more than the frame:
as many times more as kernels are there at once.
`codec`: microseconds in which Mimi decodes a frame of one segment, by our decoder and by
transformers', and how far the two are apart.
`engine`: books of mixed segments through the engine as the daemon has it, prompts, codec and
refilled slots included: seconds of audio a second, and how many of the slots are occupied. Audio is
counted when it is decoded, and when it is taken: that comes in the order of the text, so in waves.
`peers`: transformers as it is, and with static caches and compiled, which takes minutes and is left
out where these are not left.
`--growth`: memory over so many minutes of books.

Sections that do not fit into the time are left out and said so. What fails is a row, not an end.
One table last, for each number of slots, and `csm_gpu.json` beside it with everything. With --tiny
all of it runs on a CPU, at a size that says nothing but that the script works.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import csm_bare, reporting
from benchmarks.csm_gpu_checks import CONTEXT, Frames, Rows, checks, free, kernel_times
from csm.engine import bench, starts
from csm.engine.device import on
from csm.engine.kernels.operations import Plain
from csm.engine.model import Model
from csm.engine.operands.sampling import Sampling
from csm.engine.sizing import bytes_a_frame

FRAME_SECONDS = 0.08
GIB = 2**30
SECTIONS = ("checks", "kernels", "frames", "profile", "codec", "engine", "peers")
#: Tokens of a segment's text, frames that it takes, and frames of its voice, in usual numbers.
TOKENS, SEGMENT_FRAMES, VOICE_FRAMES = 60, 100, 190
#: Characters of the segments of a book: the last of a paragraph is shorter than the others.
SEGMENT_CHARACTERS = (40, 260)
#: Seconds that compiling transformers' model is given, at least.
COMPILING = 100


class Box:
    """Where it runs, how large, and how long.

    Args:
        arguments: from the command line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.tiny: bool = arguments.tiny
        self.device = torch.device("cpu" if self.tiny else arguments.device)
        self.dtype = torch.float32 if self.tiny else torch.bfloat16
        self.batches: list[int] = arguments.batches
        self.frames: int = arguments.frames
        self.ends = time.monotonic() + 60 * arguments.minutes
        self.others = importlib.util.find_spec("transformers") is not None
        if self.tiny:
            bench.TRAFFIC = 2**22
        self.bandwidth = bench.bandwidth(self.device)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.ends - time.monotonic()

    def bare(self) -> Any:
        """Random weights, the same each time."""
        config = csm_bare.config(small=self.tiny)
        return csm_bare.checkpoint(config, device=self.device, dtype=self.dtype)

    def peak(self) -> float:
        """GiB that torch has held of the GPU at most, since it was last asked."""
        if self.tiny:
            return 0.0
        held = torch.cuda.max_memory_reserved(self.device) / GIB
        torch.cuda.reset_peak_memory_stats(self.device)
        return float(held)

    def about(self) -> dict[str, Any]:
        """What a reader of the figures must know."""
        about: dict[str, Any] = {
            "device": bench.device_name(self.device),
            "torch": torch.__version__,
            "dtype": str(self.dtype),
            "bandwidth_gb_s": self.bandwidth / 1e9,
        }
        if not self.tiny:
            about["capability"] = torch.cuda.get_device_capability(self.device)
            about["cudnn"] = torch.backends.cudnn.version()
        for name in ("triton", "transformers"):
            found = importlib.util.find_spec(name)
            about[name] = __import__(name).__version__ if found else None
        return about


def frames(box: Box, model: Model, decoding: float | None) -> Rows:
    """Our frames and how segments begin, for each number of slots.

    Seconds of audio a second are those of frames, of beginnings and, where the codec is there, of
    its decoding, as if these went on one after the other.
    """
    rows: Rows = []
    for batch in box.batches:
        box.peak()
        made = Frames(model, batch)
        made.begin()
        made.seconds(2)
        taken = [made.seconds(box.frames) for _ in range(3)]
        second = statistics.median(taken)
        floor = bytes_a_frame(
            csm_bare.config(small=box.tiny), box.dtype, slots=batch, context=CONTEXT
        )
        row = {
            "slots": batch,
            "ours_ms": 1e3 * second,
            "floor_share": floor / box.bandwidth / second,
            "begin_ms": 1e3 * _beginning(box, model, made),
            "peak_gib": box.peak(),
        }
        del made
        free(box.device)
        # The same without our kernels.
        kernels, model.kernels = model.kernels, Plain("for comparison")
        try:
            plain = Frames(model, batch)
            plain.begin()
            plain.seconds(2)
            row["plain_ms"] = 1e3 * plain.seconds(box.frames // 2 + 1)
            del plain
        finally:
            model.kernels = kernels
        free(box.device)
        others = row["begin_ms"] * batch / SEGMENT_FRAMES + 1e3 * batch * (decoding or 0.0)
        row["audio_s_a_s"] = 1e3 * batch * FRAME_SECONDS / (row["ours_ms"] + others)
        rows.append(row)
    return rows


def _beginning(box: Box, model: Model, made: Frames) -> float:
    """Seconds to begin a segment, of a turn's that begin together."""
    heads = model.backbone.heads
    prefix = torch.zeros(
        len(model.backbone.layers), 2, heads.key_heads, VOICE_FRAMES, heads.size,
        device=box.device, dtype=box.dtype,
    )  # fmt: skip
    ids = torch.zeros(TOKENS, dtype=torch.int64)
    some = [
        starts.Start(slot, ids, prefix, SEGMENT_FRAMES, slot) for slot in range(made.slots.count)
    ][:4]
    together = starts.Together(model, made.slots, lambda _done, _of: None)
    taken = []
    for _ in range(4):
        started = time.perf_counter()
        together.begin(some)
        if not box.tiny:
            torch.cuda.synchronize(box.device)
        taken.append((time.perf_counter() - started) / len(some))
    return min(taken)


def profile(box: Box, model: Model) -> Rows:
    """Microseconds of a frame that each kernel is there inside the graph, waiting included."""
    activity = torch.profiler.ProfilerActivity
    seen = activity.CPU if box.tiny else activity.CUDA
    few = 2 if box.tiny else 5
    rows: Rows = []
    for batch in (1,) if box.tiny else (1, 64):
        made = Frames(model, batch)
        made.begin()
        made.seconds(2)
        with torch.profiler.profile(activities=[seen]) as profiled:
            made.seconds(few)
        for event in profiled.key_averages():
            taken = event.self_cpu_time_total if box.tiny else event.self_device_time_total
            if taken:
                rows.append(
                    {
                        "slots": batch,
                        "kernel": event.key[:60],
                        "launches": event.count / few,
                        "us_a_frame": taken / few,
                    }
                )
        del made
        free(box.device)
    return sorted(rows, key=lambda row: (row["slots"], -row["us_a_frame"]))


class Decoders:
    """Ours and transformers', of random weights.

    Args:
        box: where.
    """

    def __init__(self, box: Box) -> None:
        from transformers import MimiConfig, MimiModel

        from benchmarks.csm_ours import SMALL_CODEC
        from csm.engine import codec

        config = MimiConfig(**(SMALL_CODEC if box.tiny else {}), num_quantizers=32)
        self._tiny, self._device = box.tiny, box.device
        self._mimi = MimiModel(config).float().eval().to(box.device)
        for name, buffer in self._mimi.named_buffers():
            if name.endswith("embed_sum"):
                buffer.normal_()
        self.ours = codec.choose_decoder("auto", self._mimi)
        self.theirs = codec.choose_decoder("off", self._mimi)

    def seconds(self, decoder: Any, segments: int, frames: int) -> float:
        """Seconds in which a frame of one segment is decoded, copies to the host included."""
        from csm.engine import codec

        codes = [torch.ones(frames, 32, dtype=torch.int64, device=self._device)] * segments
        codec.decode_batch(decoder, codes)
        taken = [
            bench.seconds_of(lambda: codec.decode_batch(decoder, codes), self._device)
            for _ in range(5)
        ]
        return statistics.median(taken) / (segments * frames)

    def rows(self) -> Rows:
        """Both, for some numbers of segments and frames."""
        from csm.engine import codec

        with torch.inference_mode():
            apart = codec.difference(self.ours, self.theirs, self._mimi)
        rows: Rows = []
        for segments, frames in ((1, 3),) if self._tiny else ((1, 128), (2, 96), (6, 128)):
            row: dict[str, Any] = {"segments": segments, "frames": frames}
            for name, decoder in (("ours", self.ours), ("theirs", self.theirs)):
                row[f"{name}_us"] = 1e6 * self.seconds(decoder, segments, frames)
            rows.append(row | {"apart": apart, "decoder": self.ours.about})
        return rows


def book(number: int, segments: int) -> list[str]:
    """The segments of a book, of lengths as they come."""
    from benchmarks.csm_ours import TEXT

    lengths = random.Random(number)
    endless = " ".join([TEXT] * 8)
    return [endless[: lengths.randint(*SEGMENT_CHARACTERS)].strip() for _ in range(segments)]


class Books:
    """An engine with books in work all the time, as a daemon has.

    Args:
        box: where.
        slots: of the engine.
    """

    def __init__(self, box: Box, slots: int) -> None:
        from benchmarks.csm_ours import tiny_config
        from csm.checkpoint.random_weights import random_checkpoint, released_config
        from csm.engine.engine import Engine

        self._segments = 2 if box.tiny else 30
        self._longest = 0.4 if box.tiny else 60.0
        config = tiny_config() if box.tiny else released_config()
        checkpoint = random_checkpoint(config, device=box.device, dtype=box.dtype)
        # So that each segment runs to its cap, which is the time that its text takes.
        sampling = Sampling(first_end=10_000, cap_factor=1.0, most_held=0)
        self.engine, self.slots = Engine(checkpoint, sampling, slots), slots
        self.engine.warm_up()
        self._made = 0
        deliver = self.engine._core._deliver

        def counted(finished: Any, codes: torch.Tensor, samples: Any) -> None:
            self._made += len(samples)
            deliver(finished, codes, samples)

        self.engine._core._deliver = counted  # type: ignore[method-assign]

    def speak(self, at_once: int, lasts: float) -> dict[str, float]:
        """Books one after the other in each of some threads, and what comes in so many seconds.

        The clock starts when as many have gone by: the first takes come late. It ends before the
        books do, so that no slot is empty for want of them.
        """
        lock, samples, failures = threading.Lock(), [0], []
        stop = threading.Event()

        def work(number: int) -> None:
            try:
                while not stop.is_set():
                    texts = book(number, self._segments)
                    for take in self.engine.speak(texts, seed=number, max_seconds=self._longest):
                        with lock:
                            samples[0] += len(take.samples)
                        if stop.is_set():
                            break
                    number += at_once
            except Exception as error:
                failures.append(error)
                stop.set()

        threads = [threading.Thread(target=work, args=(first,)) for first in range(at_once)]
        for thread in threads:
            thread.start()
        stop.wait(lasts)
        before, taken, made, began = (
            self.engine.occupancy, samples[0], self._made, time.monotonic()
        )  # fmt: skip
        stop.wait(lasts)
        after, spent = self.engine.occupancy, time.monotonic() - began
        taken, made = samples[0] - taken, self._made - made
        stop.set()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        frames = max(1, after.frames - before.frames)
        return {
            "engine_audio_s_a_s": made / 24_000 / spent,
            "taken_audio_s_a_s": taken / 24_000 / spent,
            "occupancy": (after.slot_frames - before.slot_frames) / (frames * self.slots),
            "engine_ms_a_frame": 1e3 * spent / frames,
        }


def engine(box: Box) -> Rows:
    """Seconds of audio a second and occupancy, with as many books as keep the slots busy."""
    rows: Rows = []
    for slots in box.batches:
        if box.left < 40 and not box.tiny:
            print(f"engine with {slots} slots: left out, no time")
            continue
        box.peak()
        books = Books(box, slots)
        lasts = 0.3 if box.tiny else 10.0
        at_once = max(1, slots // 8)
        measured = books.speak(at_once, lasts)
        rows.append(
            {
                "slots": slots,
                "books_at_once": at_once,
                **measured,
                "engine_peak_gib": box.peak(),
            }
        )
        books.engine.close()
        del books
        free(box.device)
    return rows


def peer_seconds(batch: int, *, static: bool, tiny: bool, device: str) -> float:
    """Seconds of a frame of transformers' own generation."""
    from benchmarks.csm_ours import prompt_ids, tiny_config
    from benchmarks.csm_peer import generate, peer
    from csm.checkpoint.random_weights import random_checkpoint, released_config

    checkpoint = random_checkpoint(
        tiny_config() if tiny else released_config(),
        device=torch.device(device),
        dtype=torch.float32 if tiny else torch.bfloat16,
    )
    theirs = peer(checkpoint)
    if static:
        for part in (theirs, theirs.depth_decoder):
            part.generation_config.cache_implementation = "static"
            part.generation_config.disable_compile = tiny
    prompt, count = prompt_ids(checkpoint, batch), 3 if tiny else 12
    generate(theirs, prompt, count)
    return statistics.median(generate(theirs, prompt, count)[1])


def peers(box: Box) -> Rows:
    """Transformers on the same card, each number of slots in a process of its own."""
    rows: Rows = []
    for static in (False, True):
        for batch in box.batches:
            name = "static_ms" if static else "eager_ms"
            row = next((row for row in rows if row["slots"] == batch), {"slots": batch})
            if row not in rows:
                rows.append(row)
            row[name] = None
            if box.left < (COMPILING if static and not box.tiny else 20):
                print(f"transformers with {batch}: {name} left out, no time")
                continue
            words = ["--peer", str(batch), *["--static"] * static, *["--tiny"] * box.tiny]
            words += ["--device", str(box.device)]
            try:
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.csm_gpu", *words],
                    capture_output=True,
                    text=True,
                    check=True,
                    timeout=max(5, box.left),
                )
                row[name] = 1e3 * float(done.stdout.split()[-1])
            except (subprocess.SubprocessError, ValueError, IndexError) as error:
                print(f"transformers with {batch}: {name}: {type(error).__name__}")
    return rows


def growth(box: Box, minutes: float) -> Rows:
    """Memory over minutes of books."""
    books, rows = Books(box, max(box.batches)), []
    for step in range(11):
        rows.append(
            {
                "minute": minutes * step / 10,
                "reserved_gib": 0.0 if box.tiny else torch.cuda.memory_reserved(box.device) / GIB,
                "process_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            }
        )
        if step < 10:
            books.speak(4, 6 * minutes)
    books.engine.close()
    return rows


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the sections and keep what they find; also returned."""
    box = Box(arguments)
    found: dict[str, Any] = {"about": box.about()}
    file = reporting.RESULTS / ("csm_gpu_tiny.json" if box.tiny else "csm_gpu.json")
    file.parent.mkdir(exist_ok=True)
    print(json.dumps(found["about"]), flush=True)
    started = time.monotonic()
    with on(box.device):
        _bare_sections(box, arguments.only, found, file)
        free(box.device)
        if box.others and "engine" in arguments.only:
            _section(found, "engine", lambda: engine(box), file)
        if box.others and "peers" in arguments.only:
            _section(found, "peers", lambda: peers(box), file)
        if box.others and arguments.growth:
            _section(found, "growth", lambda: growth(box, arguments.growth), file)
    found["about"]["seconds"] = time.monotonic() - started
    joined: dict[int, dict[str, Any]] = {batch: {"slots": batch} for batch in box.batches}
    for name in ("frames", "engine", "peers"):
        for row in found.get(name, []):
            joined.get(row.get("slots"), {}).update(row)
    headings = list(dict.fromkeys(key for row in joined.values() for key in row))
    table = [{key: row.get(key) for key in headings} for row in joined.values()]
    file.write_text(json.dumps(found | {"table": table}, indent=2) + "\n")
    print(json.dumps(found["about"]))
    reporting.report(file.stem + "_table", table)
    return found | {"table": table}


def _bare_sections(box: Box, only: list[str], found: dict[str, Any], file: Path) -> None:
    """Those of one model, which is gone afterwards."""
    started = time.monotonic()
    model = Model(box.bare())
    decoders = Decoders(box) if box.others else None
    segments = 1 if box.tiny else 6
    decoding = decoders and decoders.seconds(decoders.ours, segments, 3 if box.tiny else 128)
    found["about"]["kernels"] = model.kernels.about
    found["about"]["load_seconds"] = time.monotonic() - started
    found["about"]["mimi_us_a_frame"] = decoding and 1e6 * decoding
    if "codec" in only and decoders:
        _section(found, "codec", decoders.rows, file)
    del decoders
    free(box.device)
    if "checks" in only:
        _section(found, "checks", lambda: checks(model, frames=min(16, box.frames)), file)
    if "kernels" in only:
        counts = (1,) if box.tiny else (1, 64)
        _section(
            found, "kernels", lambda: [row for n in counts for row in kernel_times(model, n)], file
        )
    if "frames" in only:
        _section(found, "frames", lambda: frames(box, model, decoding), file)
    if "profile" in only:
        _section(found, "profile", lambda: profile(box, model), file)


def _section(found: dict[str, Any], name: str, work: Callable[[], Rows], file: Path) -> None:
    """Run one; what fails is written down, and the others go on."""
    try:
        found[name] = work()
    except Exception as error:
        found[name] = [{"failed": f"{type(error).__name__}: {error}"[:500]}]
    file.write_text(json.dumps(found, indent=2) + "\n")
    if found[name]:
        reporting.report(f"{file.stem}_{name}", found[name])
    sys.stdout.flush()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser()
    made.add_argument("--minutes", type=float, default=8.0)
    made.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    made.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 64, 128])
    made.add_argument("--frames", type=int, default=100)
    made.add_argument("--device", default="cuda:0")
    made.add_argument("--growth", type=float, default=0.0)
    made.add_argument("--tiny", action="store_true")
    made.add_argument("--peer", type=int, help=argparse.SUPPRESS)
    made.add_argument("--static", action="store_true", help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    given = parser().parse_args()
    if given.peer:
        device = "cpu" if given.tiny else given.device
        print(peer_seconds(given.peer, static=given.static, tiny=given.tiny, device=device))
    else:
        main(given)
