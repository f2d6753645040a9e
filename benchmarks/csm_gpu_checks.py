"""Whether frames are right on a GPU, and what each kernel takes there; for ``csm_gpu``."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from benchmarks import csm_bare
from csm.engine import bench, starts
from csm.engine.capture import Captured, without_graphs
from csm.engine.kernels.agreement import TRIALS
from csm.engine.kernels.operations import Kernels, Plain
from csm.engine.model import Layer, Model, Stack, decode_one_frame
from csm.engine.operands.sampling import Sampling
from csm.engine.operands.slots import Slots

#: As a daemon draws, but never ending.
ENDLESS = Sampling(first_end=10_000, most_held=0)
#: Positions behind each slot: a voice of 15 s and half a long segment.
CONTEXT = 400
#: Launches of a kernel that are timed as one graph.
REPEATS = 16

Rows = list[dict[str, Any]]


class Frames:
    """Slots of a model with something behind each, and their frames as one graph.

    Args:
        model: the weights.
        count: of slots.
        graph: whether a graph is captured.
    """

    def __init__(self, model: Model, count: int, *, graph: bool = True) -> None:
        self._model, self.device = model, model.device
        # Not by way of self: a circle would keep the memory until a collection.
        slots = self.slots = Slots(model, count)
        sampler = model.sampler(ENDLESS)

        def step() -> None:
            decode_one_frame(model, slots, sampler)

        self.step: Callable[[], None] = step
        if graph:
            self.step = Captured(step, model.device, lambda done, count: None)

    @torch.inference_mode()
    def begin(self, positions: list[int] | None = None, seed: int = 0) -> None:
        """Begin a segment in each slot, the same each time."""
        generator = torch.Generator(self.device).manual_seed(seed)
        for slot in range(self.slots.count):
            # By slot, so that what is behind one follows from its number alone.
            generator.manual_seed(seed + slot)
            self.slots.cache[:, slot].normal_(std=0.5, generator=generator)
            inputs = torch.empty_like(self.slots.inputs[slot])
            inputs.normal_(std=0.05, generator=generator)
            position = positions[slot] if positions else CONTEXT
            most = self._model.positions - position
            self.slots.begin(slot, inputs, position, most, slot)

    @torch.inference_mode()
    def codes(self, frames: int) -> Tensor:
        """Make frames; their codes, ``[slots, frames, codebooks]``."""
        for _ in range(frames):
            self.step()
        return self.slots.history[:, :frames].clone()

    @torch.inference_mode()
    def seconds(self, frames: int) -> float:
        """Seconds of a frame."""

        def some() -> None:
            for _ in range(frames):
                self.step()

        return bench.seconds_of(some, self.device) / frames


def checks(model: Model, *, frames: int) -> Rows:
    """What must hold before a figure means anything; None where it could not be tried.

    Args:
        model: with the kernels that are to be tried.
        frames: of each trial.
    """
    rows = []
    for name, check in _checks(model, frames):
        try:
            passed, detail = check()
        except Exception as error:
            # The next checks may still say something.
            passed, detail = False, f"{type(error).__name__}: {error}"[:300]
        rows.append({"check": name, "passed": passed, "detail": detail})
        free(model.device)
    return rows


def _checks(
    model: Model, frames: int
) -> Iterator[tuple[str, Callable[[], tuple[bool | None, str]]]]:
    yield "kernels are used", lambda: (model.kernels.about == "fused kernels", model.kernels.about)
    for name, trial in TRIALS.items():
        yield f"{name}: kernel equals twin", lambda trial=trial: _agree(trial, model)
    yield "graph equals eager", lambda: _graph_equals_eager(model, frames)
    yield "captured beginnings equal eager ones", lambda: _beginnings(model)
    yield "neighbours change no code", lambda: _neighbours(model, frames)
    yield "kernels and plain torch: first codes alike", lambda: _plain(model)
    yield "memory after halving", lambda: _halving(model)
    yield "a second device", lambda: _second_device(model, frames)
    yield "attention is never cuDNN's", _not_cudnn


def _agree(trial: Any, model: Model) -> tuple[bool | None, str]:
    with torch.inference_mode():
        wrong = [n for n in (1, 24) if not trial(model.kernels, Plain("twin"), model, n)]
    return not wrong, f"differs with slots: {wrong}" if wrong else "1 and 24 slots"


def _graph_equals_eager(model: Model, frames: int) -> tuple[bool | None, str]:
    made = Frames(model, 8)
    made.begin()
    captured = made.codes(frames)
    made.begin()
    with without_graphs():
        eager = made.codes(frames)
    alike = float((captured == eager).float().mean())
    return alike == 1.0, f"{alike:.1%} of the codes of {frames} frames of 8 slots"


def _beginnings(model: Model) -> tuple[bool | None, str]:
    """Whether captured passes leave in slots what they leave when they are called."""
    left = []
    for graphs in (True, False):
        with nullcontext() if graphs else without_graphs():
            slots = Slots(model, 8)
            together = starts.Together(model, slots, lambda _done, _of: None)
            for _ in range(2):
                together.begin(
                    [
                        starts.Start(slot, torch.arange(tokens) % 256, None, 1, slot)
                        for slot, tokens in enumerate((3, 60, 64, 65, 100, 128, 20, 90))
                    ]
                )
            # Where a prompt is filled up, rows that count for nothing go to the last position.
            left.append((slots.cache[:, :, :, :, :-1].clone(), slots.inputs, slots.state.values))
    alike = all(torch.equal(one, other) for one, other in zip(*left, strict=True))
    return alike, "8 segments begun twice, captured and called, bit for bit"


def _neighbours(model: Model, frames: int) -> tuple[bool | None, str]:
    """The same slot beside others that are at other positions."""
    made, codes = Frames(model, 4), []
    for others in (1, 500, 1900):
        made.begin([CONTEXT, others, others // 2, 3])
        codes.append(made.codes(frames)[0])
    alike = all(torch.equal(codes[0], other) for other in codes[1:])
    return alike, "one slot beside three of three sets of lengths"


def _plain(model: Model) -> tuple[bool | None, str]:
    """Roundings differ, so some draws do, and then what follows from them."""
    codes = []
    for kernels in (model.kernels, Plain("for comparison")):
        before, model.kernels = model.kernels, kernels
        try:
            made = Frames(model, 8, graph=False)
            made.begin()
            codes.append(made.codes(1)[:, 0])
        finally:
            model.kernels = before
    alike = float((codes[0][:, 0] == codes[1][:, 0]).float().mean())
    whole = float((codes[0] == codes[1]).float().mean())
    return alike >= 0.75, f"codebook 0 {alike:.0%}, all codebooks {whole:.0%}, of 8 slots"


def _halving(model: Model) -> tuple[bool | None, str]:
    if model.device.type != "cuda":
        return None, "no GPU"
    held = []
    for count in (16, 8, 4, 2):
        made = Frames(model, count)
        made.begin()
        made.codes(2)
        torch.cuda.synchronize(model.device)
        del made
        # As the engine lets a batch go: without a collection.
        torch.cuda.empty_cache()
        held.append(torch.cuda.memory_allocated(model.device))
    grown = max(held) - min(held)
    return grown < 2**20, f"{grown / 2**20:.1f} MiB between least and most held afterwards"


def _second_device(model: Model, frames: int) -> tuple[bool | None, str]:
    if model.device.type != "cuda" or torch.cuda.device_count() < 2:
        return None, "there is none"
    codes = []
    for index in (0, 1):
        device = torch.device("cuda", index)
        bare = csm_bare.checkpoint(csm_bare.config(small=True), device=device, dtype=model.dtype)
        # Made with device 0 current, as a program does that never sets it.
        with torch.cuda.device(device):
            other = Model(bare)
        made = Frames(other, 2)
        made.begin()
        codes.append(made.codes(frames).cpu())
    return codes[1].any().item() is True, "a small model on cuda:1 captured, replayed and spoke"


def _not_cudnn() -> tuple[bool | None, str]:
    if not torch.cuda.is_available():
        return None, "no GPU"
    return not torch.backends.cuda.cudnn_sdp_enabled(), "the process's switch"


@torch.inference_mode()
def kernel_times(model: Model, count: int) -> Rows:
    """Microseconds of each operation beside its plain twin, each as a graph of several.

    Layers take turns, so that a weight is not found in a cache.
    """
    rows = []
    for name, run in _operations(model, count):
        row: dict[str, Any] = {"operation": name, "slots": count}
        for label, kernels in (("ours_us", model.kernels), ("twin_us", Plain("twin"))):
            row[label] = 1e6 * _time_of(model, kernels, run)
        rows.append(row)
    return rows


def _time_of(model: Model, kernels: Kernels, run: Callable[[Kernels, int], object]) -> float:
    def some() -> None:
        for number in range(REPEATS):
            run(kernels, number)

    step = Captured(some, model.device, lambda done, count: None)
    step()
    return min(bench.seconds_of(step, model.device) for _ in range(5)) / REPEATS


def _operations(model: Model, count: int) -> Iterator[tuple[str, Callable[[Kernels, int], object]]]:
    device, dtype = model.device, model.dtype

    def rows(width: int) -> Tensor:
        return torch.randn(count, width, device=device).to(dtype)

    slots = Slots(model, count)
    slots.positions.fill_(CONTEXT)
    for part, stack in (("backbone", model.backbone), ("depth", model.depth)):
        yield from _layer_operations(part, stack, rows)
    backbone, depth = model.backbone, model.depth
    projected, depth_projected = rows(backbone.heads.width), rows(depth.heads.width)
    caches, depth_caches = slots.cache.unbind(), slots.depth_cache.unbind()
    yield (
        f"backbone: attention over {CONTEXT}",
        lambda k, n: k.decode_attention(
            projected, backbone.heads, backbone.turns, caches[n % len(caches)], slots.positions
        ),
    )
    yield (
        "depth: attention at place 20",
        lambda k, n: k.depth_attention(
            depth_projected, depth.heads, depth.turns, depth_caches[n % len(depth_caches)], 20
        ),
    )
    depth_rows = rows(model.depth.hidden)
    yield "norm, head", lambda k, n: k.product(depth_rows, model.heads[1 + n], model.depth.norm)
    logits = rows(model.codes)
    out = torch.zeros(count, dtype=torch.int64, device=device)
    samplers: dict[int, Any] = {}

    def draw(kernels: Kernels, number: int) -> None:
        if id(kernels) not in samplers:
            samplers[id(kernels)] = kernels.sampler(
                ENDLESS, codebooks=model.codebooks, codes=model.codes, device=device
            )
        sampler = samplers[id(kernels)]
        if number == 0:
            sampler.start(slots.seeds, slots.frames, slots.sound)
            sampler.draw(logits, 0, out)
        sampler.draw_and_look_up(logits, 1 + number, out, model.depth_embeddings[1], depth_rows)

    yield "draw, next row", draw
    yield "end of a frame", lambda k, n: k.finish(slots, model.audio_embedding, ENDLESS)


def _layer_operations(
    part: str, stack: Stack, rows: Callable[[int], Tensor]
) -> Iterator[tuple[str, Callable[[Kernels, int], object]]]:
    hidden = rows(stack.hidden)
    wide = rows(stack.layers[0].down.weight.shape[1])
    heads = rows(stack.heads.group * stack.heads.key_heads * stack.heads.size)

    def layer(number: int) -> Layer:
        return stack.layers[number % len(stack.layers)]

    yield (
        f"{part}: norm, queries, keys, values",
        lambda k, n: k.product(hidden, layer(n).queries_keys_values, layer(n).attention_norm),
    )
    yield (
        f"{part}: attention out, sum",
        lambda k, n: k.add_product(hidden, heads, layer(n).attention_out),
    )
    yield (
        f"{part}: norm, gate, up, SiLU",
        lambda k, n: k.gated_product(hidden, layer(n).gate_up, layer(n).mlp_norm),
    )
    yield f"{part}: down, sum", lambda k, n: k.add_product(hidden, wide, layer(n).down)


def free(device: torch.device) -> None:
    """Give back what is no longer held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
