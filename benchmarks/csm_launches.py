"""What a frame launches on a GPU, counted on tensors without memory; no GPU is needed.

    python -m benchmarks.csm_launches [--batches 1 8 32 64 128]

Meta tensors of the released size stand in for a GPU's. Torch's operators are counted as they are
dispatched, views left out; kernels are counted where they would be launched. From the count, and
from the bytes that each must move, the time of a frame on an H100 is computed; see ``Machine``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import csm_bare
from benchmarks.reporting import report
from csm.engine.kernels import language
from csm.engine.kernels.language import Target
from csm.engine.kernels.operations import Fused
from csm.engine.model import Model, decode_one_frame
from csm.engine.sampling import Sampling
from csm.engine.sizing import bytes_a_frame
from csm.engine.slots import Slots

FRAME_SECONDS = 0.08
H100 = Target(processors=132, dependent=True)
#: Positions behind each slot, on average.
CONTEXT = 768
#: Operators that launch nothing.
FREE = ("view", "permute", "transpose", "slice", "select", "unbind", "split", "expand", "detach",
        "alias", "as_strided", "reshape", "t.default", "squeeze", "empty", "chunk", "flatten",
        "unflatten", "lift_fresh", "new_empty")  # fmt: skip


@dataclass
class Launch:
    """One kernel, as it would be launched.

    Attributes:
        name: of the kernel, or of torch's operator.
        constants: what it is compiled for; None of torch's.
        arguments: what it is given.
        kernel: Triton's; None of torch's.
        options: warps, stages and such.
        grid: programs.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    constants: dict[str, Any] | None = None
    kernel: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    grid: tuple[int, ...] = ()


class _Operators(TorchDispatchMode):
    def __init__(self, found: list[Launch]) -> None:
        super().__init__()
        self._found = found

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = str(function).removeprefix("aten.")
        if not name.startswith(FREE) and not name.startswith("_unsafe_view"):
            self._found.append(Launch(name, args))
        return function(*args, **(kwargs or {}))


def meta_model(target: Target, *, int8: bool = False) -> Model:
    """A model of the released size whose tensors have no memory, with the kernels of a GPU."""
    device = torch.device("meta")
    checkpoint = csm_bare.checkpoint(csm_bare.config(), device=device, dtype=torch.bfloat16)
    return Model(checkpoint, kernels=Fused(target, device), int8_depth=int8)


def launches(model: Model, batch: int) -> list[Launch]:
    """What a frame of so many slots launches, in order."""
    found: list[Launch] = []

    def note(kernel: Any, grid: Any, *arguments: Any, **more: Any) -> None:
        names = ("warps", "stages", "dependent", "fusion")
        options = {name: more.pop(name) for name in names if name in more}
        name = getattr(kernel, "__name__", str(kernel))
        constants = more | {"PDL": options.get("dependent", False)}
        found.append(Launch(name, arguments, constants, kernel, options, grid))

    slots = Slots(model, batch)
    sampler = model.sampler(Sampling())
    with torch.inference_mode(), mock.patch.object(language, "launch", note), _Operators(found):
        decode_one_frame(model, slots, sampler)
    return found


@dataclass(frozen=True)
class Machine:
    """What kernels take on a GPU, as far as is known without one.

    Fitted to a published capture of a kin predictor on an H100 (1,371 kernels in 4.714 ms, 2.07 µs
    a trivial one, 3.9 µs and its bytes a product), not measured here: good to a fifth or so.

    Attributes:
        bandwidth: bytes a second at which a product reads its weight.
        cache_bandwidth: the same for attention and its cache.
        floor_bandwidth: what the memory can do, which a frame's share is of.
        product: seconds of a product besides its bytes, where each waits for the one before.
        attention: seconds of a depth attention; the least of a decode attention is ``decode``.
        draw: seconds of a draw.
        other: seconds of what is left.
        saved_product: of a product, where it begins before the last kernel ends.
        saved_other: the same of any other kernel.
    """

    bandwidth: float = 2.7e12
    cache_bandwidth: float = 2.4e12
    floor_bandwidth: float = 3.35e12
    product: float = 3.9e-6
    attention: float = 5.0e-6
    decode: float = 8.0e-6
    draw: float = 7.5e-6
    other: float = 3.0e-6
    saved_product: float = 2.2e-6
    saved_other: float = 1.0e-6


#: How much longer a product takes with more rows, which its tensor cores' tiles, and reading them,
#: cost; of the same fit.
ROWS_COST = {1: 1.0, 8: 1.03, 32: 1.08, 64: 1.15, 128: 1.35}


def seconds(launch: Launch, batch: int, machine: Machine, context: int = CONTEXT) -> float:
    """What a kernel takes, computed.

    Args:
        launch: of a kernel of ours.
        batch: slots.
        machine: what kernels take there.
        context: positions behind each slot.
    """
    early = bool(launch.options.get("dependent"))
    if launch.name == "product_kernel":
        weight, scales = launch.arguments[1:3]
        moved = weight.numel() * weight.element_size()
        moved += 0 if scales is None else scales.numel() * scales.element_size()
        fixed = machine.product - early * machine.saved_product
        return (fixed + moved / machine.bandwidth) * ROWS_COST[batch]
    saved = early * machine.saved_other
    if launch.name == "decode_attention_kernel":
        cache = launch.arguments[2]
        moved = batch * context * 2 * cache.shape[2] * cache.shape[4] * cache.element_size()
        return max(machine.decode, moved / machine.cache_bandwidth) - saved
    known = {"depth_attention_kernel": machine.attention, "draw_kernel": machine.draw}
    return known.get(launch.name, machine.other) - saved


def frame_seconds(found: list[Launch], batch: int, machine: Machine) -> float:
    """What a frame takes, computed.

    Attention and draws leave the memory idle. A product that may begin early asks meanwhile for the
    beginning of its weight, which is then not to be waited for.
    """
    spent, before = 0.0, 0.0
    for launch in found:
        one = seconds(launch, batch, machine)
        if launch.name == "product_kernel":
            ahead = 0.0
            if launch.options.get("dependent"):
                constants = launch.constants or {}
                lines = constants["LINES"] * constants["BN"] * (1 + constants["GATED"])
                ahead = 128 * lines * launch.grid[0] * launch.grid[2] / machine.bandwidth
            spent += one - min(ahead, before)
            before = 0.0
        else:
            spent += one
            before = one
    return spent


def row(batch: int, *, int8: bool, dependent: bool = True) -> dict[str, Any]:
    """What a frame of so many slots launches, and takes on an H100."""
    machine = Machine()
    model = meta_model(Target(H100.processors, dependent), int8=int8)
    found = launches(model, batch)
    spent = frame_seconds(found, batch, machine)
    config = csm_bare.config()
    floor = bytes_a_frame(config, torch.bfloat16, slots=batch, context=CONTEXT)
    names = [launch.name.removesuffix("_kernel") for launch in found]
    return {
        "batch": batch,
        "depth": "int8" if int8 else "bfloat16",
        "dependent_launch": dependent,
        "launches": len(found),
        **{f"{name}s": names.count(name) for name in ("product", "draw")},
        "attentions": sum("attention" in name for name in names),
        "computed_ms": 1e3 * spent,
        "computed_audio_s_a_s": batch * FRAME_SECONDS / spent,
        "floor_share": floor / machine.floor_bandwidth / spent,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--batches", type=int, nargs="+", default=list(ROWS_COST), choices=ROWS_COST
    )
    arguments = parser.parse_args()
    report(
        "csm_launches",
        [
            row(batch, int8=int8, dependent=dependent)
            for int8, dependent in ((False, False), (False, True), (True, True))
            for batch in arguments.batches
        ],
    )
