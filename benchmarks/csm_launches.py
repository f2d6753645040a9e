"""What a frame launches on a GPU, counted on tensors without memory; no GPU is needed.

    python -m benchmarks.csm_launches [--batches 1 8 32 64 128]

Meta tensors of the released size stand in for a GPU's. Torch's operators are counted as they are
dispatched, views left out; kernels are counted where they would be launched.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import MimiConfig, MimiModel

from benchmarks import csm_bare
from benchmarks.reporting import report
from csm.engine.kernels import language
from csm.engine.kernels.convolution import FusedConvolve
from csm.engine.kernels.language import Target
from csm.engine.kernels.operations import Fused
from csm.engine.mimi import CodecDecoder
from csm.engine.model import Model, decode_one_frame
from csm.engine.operands.sampling import Sampling
from csm.engine.operands.slots import Slots

H100 = Target(processors=132, dependent=True)
#: Operators that launch nothing.
FREE = ("view", "permute", "transpose", "slice", "select", "unbind", "split", "expand", "detach",
        "alias", "as_strided", "reshape", "unsqueeze", "t.default", "squeeze", "empty", "chunk",
        "flatten", "unflatten", "lift_fresh", "new_empty")  # fmt: skip


@dataclass
class Launch:
    """One kernel, as it would be launched.

    Attributes:
        name: of the kernel, or of torch's operator.
        constants: what it is compiled for; None of torch's.
        arguments: what it is given.
        kernel: Triton's; None of torch's.
        options: warps, stages and such.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    constants: dict[str, Any] | None = None
    kernel: Any = None
    options: dict[str, Any] = field(default_factory=dict)


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
    slots = Slots(model, batch)
    sampler = model.sampler(Sampling())
    return _noted(lambda: decode_one_frame(model, slots, sampler))


def codec_launches(target: Target, segments: int, frames: int) -> list[Launch]:
    """What decoding so many segments of so many frames launches, in order."""
    with torch.device("meta"):
        decode = CodecDecoder(MimiModel(MimiConfig(num_quantizers=32)), FusedConvolve(target))
        codes = torch.zeros(segments, frames, 32, dtype=torch.int64)
        return _noted(lambda: decode(codes))


def _noted(work: Callable[[], object]) -> list[Launch]:
    found: list[Launch] = []

    def note(kernel: Any, grid: Any, *arguments: Any, **more: Any) -> None:
        names = ("warps", "stages", "dependent", "fusion")
        options = {name: more.pop(name) for name in names if name in more}
        name = getattr(kernel, "__name__", str(kernel))
        constants = more | {"PDL": options.get("dependent", False)}
        found.append(Launch(name, arguments, constants, kernel, options))

    with torch.inference_mode(), mock.patch.object(language, "launch", note), _Operators(found):
        work()
    return found


def row(batch: int) -> dict[str, Any]:
    """What a frame of so many slots launches."""
    found = launches(meta_model(H100), batch)
    names = [launch.name.removesuffix("_kernel") for launch in found]
    return {"batch": batch, "launches": len(found), "kernels": dict(Counter(names))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 64, 128])
    report("csm_launches", [row(batch) for batch in parser.parse_args().batches])
