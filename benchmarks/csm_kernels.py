"""Compiles the kernels of a frame for GPUs that need not be there, and says what they take.

    python -m benchmarks.csm_kernels [--batches 1 32 64] [--targets 80 89 90] [--int8]

Each kernel at the released size, as the engine would launch it for so many slots, is compiled by
Triton for A100 (sm_80), L4 and L40S (sm_89) and H100 (sm_90). Read from what comes out: registers a
thread and bytes of registers that are spilled to memory, shared memory a program, and matrix
instructions. Compiling takes some seconds a kernel; Triton keeps what it has compiled.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from benchmarks.csm_launches import Launch, codec_launches, launches, meta_model
from benchmarks.reporting import report
from csm.engine.kernels.language import Target

#: Streaming multiprocessors of A100, L4 and H100, and whether kernels may begin before the last.
TARGETS = {
    80: Target(108, False, 163 * 1024),
    89: Target(58, False, 99 * 1024),
    90: Target(132, True, 227 * 1024),
}
CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
TYPES = {
    torch.bfloat16: "bf16",
    torch.float32: "fp32",
    torch.int8: "i8",
    torch.int16: "i16",
    torch.int32: "i32",
    torch.int64: "i64",
}


def distinct(found: Sequence[Launch]) -> Iterator[Launch]:
    """The kernels among them, each once for all that it is compiled for alike."""
    seen = set()
    for launch in found:
        if launch.kernel is None:
            continue
        key = launch.name, str(launch.constants), str(launch.options), str(_signature(launch))
        if key not in seen:
            seen.add(key)
            yield launch


def compiled(launch: Launch, target: int) -> dict[str, Any]:
    """Compile one; a row of the table."""
    function, constants = launch.kernel, dict(launch.constants or {})
    signature = _signature(launch)
    constants |= {name: None for name, kind in signature.items() if kind == "constexpr"}
    names = function.arg_names
    source = ASTSource(
        fn=function,
        signature=signature | dict.fromkeys(constants, "constexpr"),
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={
            (names.index(name),): [["tt.divisibility", 16]]
            for name, kind in signature.items()
            if kind.startswith("*")
        },
    )
    options = {
        "num_warps": launch.options["warps"],
        "num_stages": launch.options.get("stages", 1),
        "launch_pdl": launch.options.get("dependent", False),
        "enable_fp_fusion": launch.options.get("fusion", True),
    }
    made = triton.compile(source, target=GPUTarget("cuda", target, 32), options=options)
    usage = _usage(made.asm["cubin"])
    return {
        "kernel": launch.name.removesuffix("_kernel"),
        "for": _about(launch),
        "target": f"sm_{target}",
        "registers": usage["REG"],
        "shared_bytes": made.metadata.shared,
        # No kernel has local variables: what lies on a thread's stack are registers.
        "spilled_bytes": usage["STACK"] + usage["LOCAL"],
        "matrix": made.asm["ptx"].count("mma.sync") + made.asm["ptx"].count("wgmma.mma_async"),
        "dependent": "griddepcontrol.wait" in made.asm["ptx"]
        and "griddepcontrol.launch_dependents" in made.asm["ptx"],
        "most_shared_bytes": TARGETS[target].shared_bytes,
    }


def _signature(launch: Launch) -> dict[str, str]:
    """Types of the arguments that are none of the constants, by name."""
    names = launch.kernel.arg_names
    return dict(zip(names, map(_type, launch.arguments), strict=False))


def _type(value: object) -> str:
    if value is None:
        return "constexpr"
    if isinstance(value, Tensor):
        return f"*{TYPES[value.dtype]}"
    return "i32" if isinstance(value, int) else "fp32"


def _usage(cubin: bytes) -> dict[str, int]:
    """What machine code takes, as ``cuobjdump`` names it: registers, and bytes of memories."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kernel.cubin")
        file.write_bytes(cubin)
        told = subprocess.run(
            [CUOBJDUMP, "-res-usage", file], capture_output=True, text=True, check=True
        )
    function = told.stdout.split("Function")[1]
    return {name: int(count) for name, count in re.findall(r"(\w+):(\d+)", function)}


def _about(launch: Launch) -> str:
    """What a reader knows it by."""
    constants = launch.constants or {}
    if launch.name == "product_kernel":
        parts = [f"{constants['N']}×{constants['K']}", f"{constants['BM']} rows"]
        parts += [name.lower() for name in ("GATED", "ADD", "SCALED") if constants[name]]
        if constants["SPLITS"] > 1:
            parts.append(f"{constants['SPLITS']} splits")
        return " ".join(parts)
    if launch.name in ("row_product_kernel", "norm_kernel"):
        return "×".join(str(constants[name]) for name in ("N", "K") if name in constants)
    if launch.name == "draw_kernel":
        return "first" if constants["FIRST"] else "with look-up" if constants["LOOK_UP"] else "last"
    if launch.name == "convolution_kernel":
        about = f"{constants['OUT']}×{constants['IN']}, {constants['TAPS']} taps"
        return f"{about}, {constants['BM']} positions"
    if launch.name == "depth_attention_kernel":
        return "two places" if constants["FIRST"] else "one place"
    if launch.name == "decode_attention_kernel":
        return f"{constants['SHARE']} positions"
    return ""


#: Segments that are decoded together, few and many.
CODEC_SEGMENTS = (1, 6)
#: Constants that make another kernel of it, where sizes make another shape.
KINDS = ("NORM", "GATED", "ADD", "SCALED", "FIRST", "THEN", "LOOK_UP")


def table(
    batches: Sequence[int],
    targets: Sequence[int],
    *,
    int8: bool = False,
    each_kind_once: bool = False,
) -> list[dict[str, Any]]:
    """A row for each distinct kernel and target.

    Args:
        batches: numbers of slots.
        targets: of ``TARGETS``.
        int8: with the depth decoder's weights in 8 bits.
        each_kind_once: leave out those that differ from another in sizes alone.
    """
    rows = []
    for target in targets:
        model = meta_model(TARGETS[target], int8=int8)
        found = [launch for batch in batches for launch in launches(model, batch)]
        for segments in CODEC_SEGMENTS:
            found += codec_launches(TARGETS[target], segments, frames=128)
        kinds = set()
        for launch in distinct(found):
            constants = launch.constants or {}
            kind = launch.name, *(constants.get(name) for name in KINDS)
            if not (each_kind_once and kind in kinds):
                rows.append(compiled(launch, target))
            kinds.add(kind)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32, 64])
    parser.add_argument("--targets", type=int, nargs="+", default=list(TARGETS), choices=TARGETS)
    parser.add_argument("--int8", action="store_true")
    arguments = parser.parse_args()
    rows = table(arguments.batches, arguments.targets, int8=arguments.int8)
    report("csm_kernels_int8" if arguments.int8 else "csm_kernels", rows)
