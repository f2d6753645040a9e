"""How fast this machine speaks: frames a second for some numbers of slots.

    import csm
    from csm.engine import bench
    found = bench.measure(csm.load_checkpoint("sesame/csm-1b"), [1, 8, 32], seconds=5)
    print(found.suggested_slots, found.rows)

All slots are busy and none ends: what is measured is a full engine. Random weights are as fast as
real ones.
"""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from csm.audio import CODE_FRAME_SECONDS
from csm.engine import codec
from csm.engine.capture import Captured
from csm.engine.device import on
from csm.engine.kernels.choice import Setting
from csm.engine.model import Model, decode_one_frame
from csm.engine.operands.sampling import Sampling
from csm.engine.operands.slots import Slots
from csm.engine.sizing import DECODING, bytes_a_frame, free_memory, sizes
from csm.errors import OutOfMemory, ran_out_of_memory

if TYPE_CHECKING:
    from csm.checkpoint.loading import Checkpoint

T = TypeVar("T")

#: Positions behind each slot when the frames are timed: a voice of 15 s and half a long segment.
CONTEXT = 400
#: Frames that are timed before the slots begin anew, so that the context stays about the same.
TIMED_FRAMES = 112
#: Bytes that are moved to measure how fast the memory is; caches are smaller.
TRAFFIC = 2**30
#: Frames before the clock starts, and the least that are timed.
WARM_FRAMES, LEAST_FRAMES = 2, 3
#: Seconds of the segments that are decoded together.
SEGMENT_SECONDS = 4.0
#: A number of slots is suggested that is this close to the fastest.
CLOSE = 0.9


@dataclass(frozen=True)
class Row:
    """What one number of slots gives.

    Attributes:
        slots: how many.
        ms_a_frame: milliseconds for a frame of all slots, median.
        decode_ms_a_frame: milliseconds in which the codec decodes a frame of all slots.
        audio_seconds_a_second: seconds of audio made in a second, decoding included. It goes on
            beside the frames, but neither gets faster by that: books through the engine took what
            both take one after the other, on an H200 as on a CPU.
        floor_share: the time in which the memory could have been read that a frame must read, as
            a share of the time it took; 1 is the speed of the memory.
        peak_memory_gib: on a GPU all that is in use there afterwards, by whomever, what the
            allocator keeps included; else the most that this process has held so far.
        slot_memory_mib: what each slot holds; measured on a GPU, computed elsewhere.
    """

    slots: int
    ms_a_frame: float
    decode_ms_a_frame: float
    audio_seconds_a_second: float
    floor_share: float
    peak_memory_gib: float
    slot_memory_mib: float


@dataclass(frozen=True)
class Found:
    """What was measured.

    Attributes:
        checkpoint: its name.
        device: where, in words.
        dtype: of backbone and depth decoder.
        kernels: what frames were made of, in words.
        decoder: what made audio of them, in words.
        bandwidth_gb_s: how fast the memory is, in 10^9 bytes a second.
        rows: one for each number of slots that fitted.
        left_out: numbers of slots that did not fit.
        suggested_slots: how many to make an engine with.
    """

    checkpoint: str
    device: str
    dtype: str
    kernels: str
    decoder: str
    bandwidth_gb_s: float
    rows: list[Row]
    left_out: list[int]
    suggested_slots: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure(
    checkpoint: Checkpoint,
    counts: Sequence[int],
    *,
    seconds: float,
    kernels: Setting = "auto",
    int8_depth: bool = False,
    on_row: Callable[[Row], object] = lambda row: None,
) -> Found:
    """Measure frames for some numbers of slots, the smallest first, as far as they fit.

    Args:
        checkpoint: its tensors are moved into the model: it is of no use afterwards.
        counts: numbers of slots, each at least 1.
        seconds: how long each is timed; a few frames at least.
        kernels: as of ``csm.Engine``.
        int8_depth: as of ``csm.Engine``.
        on_row: called with each row when it is there.

    Raises:
        OutOfMemory: not even the smallest number fits.
    """
    device, config = checkpoint.device, checkpoint.config
    rows: list[Row] = []
    waiting = sorted(set(counts))
    needed = sizes(config, checkpoint.dtype, device)
    with on(device):
        speed = bandwidth(device)
        made = _guarded(
            lambda: (
                Model(checkpoint, kernels=kernels, int8_depth=int8_depth),
                codec.choose_decoder(kernels, checkpoint.codec),
            )
        )
        if made is None:
            raise OutOfMemory(
                f"the model does not fit into the memory of {device}: free some, or take another "
                "device"
            )
        model, decoder = made
        while waiting:
            # A CPU's memory ends in the kernel's killing somebody, not in an error.
            if waiting[0] * needed.slot + DECODING > free_memory(device):
                break
            row = _guarded(lambda: _row(config, model, decoder, waiting[0], seconds, speed))
            if row is None:
                break
            rows.append(row)
            on_row(row)
            del waiting[0]
    if not rows:
        raise OutOfMemory(
            f"{waiting[0]} slots do not fit into the memory of {device}: with the model they take "
            f"about {needed.total(waiting[0]) / 2**30:.1f} GiB; free some, or ask for fewer"
        )
    best = max(row.audio_seconds_a_second for row in rows)
    suggested = next(row.slots for row in rows if row.audio_seconds_a_second >= CLOSE * best)
    return Found(
        checkpoint=checkpoint.name,
        device=device_name(device),
        dtype=str(checkpoint.dtype).removeprefix("torch."),
        kernels=model.kernels.about,
        decoder=decoder.about,
        bandwidth_gb_s=speed / 1e9,
        rows=rows,
        left_out=waiting,
        suggested_slots=suggested,
    )


@torch.inference_mode()
def bandwidth(device: torch.device) -> float:
    """Bytes a second that the device reads or copies, whichever is more; a second's work."""
    source = torch.zeros(TRAFFIC // 8, device=device)
    target = torch.empty_like(source)
    size = source.numel() * source.element_size()
    fastest = 0.0
    for work, moved in ((source.sum, size), (lambda: target.copy_(source), 2 * size)):
        for _ in range(4):
            fastest = max(fastest, moved / seconds_of(work, device))
    return fastest


def device_name(device: torch.device) -> str:
    """The device in words that are of use in a table."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    return f"CPU, {torch.get_num_threads()} threads"


@torch.inference_mode()
def _row(
    config: Any, model: Model, decoder: codec.Decoder, count: int, seconds: float, speed: float
) -> Row:
    device = model.device
    gpu = device.type == "cuda"
    before = torch.cuda.memory_allocated(device) if gpu else 0
    slots = Slots(model, count)
    held = torch.cuda.memory_allocated(device) - before if gpu else 0
    context = min(CONTEXT, model.positions // 2)
    most = min(TIMED_FRAMES, model.positions - context)
    # An end is forbidden throughout: random weights and real ones are timed alike.
    sampler = model.sampler(Sampling(first_end=model.positions))
    frame = Captured(
        lambda: decode_one_frame(model, slots, sampler), device, lambda done, count: None
    )

    def begin() -> None:
        # A cache that is filled with zeros is as slow to read as any.
        for slot in range(count):
            slots.begin(slot, torch.zeros_like(slots.inputs[0]), context, most, slot)

    taken = list(_timed(begin, frame, most, seconds, device))
    second = statistics.median(taken)
    frames = round(SEGMENT_SECONDS / CODE_FRAME_SECONDS)
    codes = [torch.zeros(frames, model.codebooks, dtype=torch.int64, device=device)] * count
    if gpu:
        # Once not counted: kernels are loaded, or cuDNN plans, for each length that is new.
        codec.decode_batch(decoder, codes)
    decoding = seconds_of(lambda: codec.decode_batch(decoder, codes), device) / frames
    floor = bytes_a_frame(config, model.dtype, slots=count, context=context) / speed
    return Row(
        slots=count,
        ms_a_frame=1e3 * second,
        decode_ms_a_frame=1e3 * decoding,
        audio_seconds_a_second=count * CODE_FRAME_SECONDS / (second + decoding),
        floor_share=floor / second,
        peak_memory_gib=_in_use(device) / 2**30,
        slot_memory_mib=(held / count or sizes(config, model.dtype, device).slot) / 2**20,
    )


def _timed(
    begin: Callable[[], None],
    frame: Callable[[], object],
    most: int,
    seconds: float,
    device: torch.device,
) -> Iterator[float]:
    """Seconds of frames, beginning anew after ``most``; the first ones are not counted."""
    begin()
    for _ in range(WARM_FRAMES):
        frame()
    started, count = time.monotonic(), 0
    while True:
        begin()
        for _ in range(most):
            yield seconds_of(frame, device)
            count += 1
            if count >= LEAST_FRAMES and time.monotonic() - started > seconds:
                return


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """How long work on a device takes; on a GPU by its own clock."""
    if device.type == "cuda":
        begun = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        ended = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        begun.record()
        work()
        ended.record()
        torch.cuda.synchronize(device)
        return float(begun.elapsed_time(ended)) / 1e3
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _guarded(work: Callable[[], T]) -> T | None:
    """What the work gives; None where the memory did not suffice."""
    try:
        return work()
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
    # Outside the handlers, so that no traceback holds what is to be freed.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _in_use(device: torch.device) -> int:
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return total - free
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
