"""Triton where it is installed, and the launch of a kernel on the device that is at hand.

Triton comes with torch's CUDA build. Without it every function here but ``launch`` still works, and
modules with kernels can be imported for their plain twins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

try:
    import triton
    import triton.language as tl
    from triton.language.extra import libdevice
    from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait
except ImportError:
    triton = tl = libdevice = gdc_launch_dependents = gdc_wait = None

__all__ = [
    "AVAILABLE",
    "INTERPRETED",
    "Target",
    "block",
    "gdc_launch_dependents",
    "gdc_wait",
    "jit",
    "launch",
    "libdevice",
    "target",
    "tl",
]

#: Whether Triton is installed.
AVAILABLE = triton is not None
#: Whether kernels run in Triton's interpreter, which needs no GPU: ``TRITON_INTERPRET=1``.
INTERPRETED = triton is not None and bool(triton.knobs.runtime.interpret)
#: Streaming multiprocessors of an H100 and bytes of shared memory that a program may have there,
#: for what is planned without a device.
H100_PROCESSORS, H100_SHARED = 132, 227 * 1024


def jit(function: Callable[..., None], *, unspecialised: tuple[str, ...] = ()) -> Any:
    """``triton.jit``; without Triton the function as it is, never to be called.

    Args:
        function: the kernel.
        unspecialised: numbers that change from launch to launch: the kernel is not compiled anew
            where they are 1 or multiples of 16.
    """
    if triton is None:
        return function
    return triton.jit(function, do_not_specialize=list(unspecialised))


@dataclass(frozen=True)
class Target:
    """What kernels are planned for.

    Attributes:
        processors: streaming multiprocessors.
        dependent: whether a kernel may begin before the one before it ends (programmatic dependent
            launch, sm_90 and later): it then waits where it reads what that one writes.
        shared_bytes: of shared memory that a program may have.
    """

    processors: int
    dependent: bool
    shared_bytes: int = H100_SHARED


def target(device: torch.device) -> Target:
    """What the device is; on anything but a GPU, what an H100 would be without dependent launch."""
    if device.type != "cuda":
        return Target(H100_PROCESSORS, dependent=False)
    properties: Any = torch.cuda.get_device_properties(device)
    return Target(
        properties.multi_processor_count,
        dependent=properties.major >= 9,
        shared_bytes=properties.shared_memory_per_block_optin,
    )


def block(size: int, least: int = 1) -> int:
    """The power of two that holds so many values."""
    return max(least, 1 << (size - 1).bit_length())


def launch(
    kernel: Any,
    grid: tuple[int, ...],
    *arguments: Any,
    warps: int,
    stages: int = 1,
    dependent: bool = False,
    fusion: bool = True,
    **constants: Any,
) -> None:
    """Launch a kernel on the current stream.

    Args:
        kernel: from ``jit``; its parameter ``PDL`` is ``dependent``.
        grid: programs, in up to three dimensions.
        arguments: tensors and numbers, in the kernel's order.
        warps: of a program.
        stages: buffers of a loop's loads.
        dependent: see ``Target``.
        fusion: whether products and sums may become one rounding.
        constants: the kernel's compile-time parameters.
    """
    kernel[grid](
        *arguments,
        **constants,
        PDL=dependent,
        num_warps=warps,
        num_stages=stages,
        launch_pdl=dependent,
        enable_fp_fusion=fusion,
    )
