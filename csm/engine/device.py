"""What must hold on a device while the engine computes there. On a CPU, next to nothing."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

#: Of the frames: before the codec's, whose kernels fill what they leave free.
FRAMES_PRIORITY, CODEC_PRIORITY = -1, 0

_collecting = threading.Lock()
_uncollected = 0
_was_enabled = True


def settle_float32() -> None:
    """Compute in float32 what is float32: cuDNN's convolutions take TF32, 10 bits, by default.

    The choice is the process's, as is torch's way to make it for some calls alone, which two
    threads would undo for each other. What computes in float32 here is the codec. The older switch
    alone would leave what ``torch.backends.fp32_precision`` says in force; without it, it could no
    longer be read.
    """
    backends: Any = torch.backends
    backends.cudnn.allow_tf32 = False
    for operation in (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul):
        operation.fp32_precision = "ieee"


def on(device: torch.device) -> AbstractContextManager[object]:
    """Make a GPU the current one of this thread, as captures and libraries' handles want it."""
    if device.type == "cuda":
        return torch.cuda.device(device)
    return nullcontext()


def stream(device: torch.device, priority: int) -> torch.cuda.Stream | None:
    """A stream of a GPU of its own; none on a CPU.

    Args:
        device: where.
        priority: the lower, the sooner its kernels are begun.
    """
    if device.type != "cuda":
        return None
    with on(device):
        made = torch.cuda.Stream(device, priority=priority)  # type: ignore[no-untyped-call]
        # What was loaded until now, on any stream, is there.
        torch.cuda.synchronize(device)
    return made


def to(device: torch.device, numbers: torch.Tensor) -> torch.Tensor:
    """Copy numbers of the host to a device without waiting for it."""
    if device.type != "cuda":
        return numbers
    # Torch keeps a pinned block until the copies from it are done.
    return numbers.pin_memory().to(device, non_blocking=True)


def copy(place: torch.Tensor, numbers: torch.Tensor) -> None:
    """Copy numbers of the host to where they are read from, without waiting for the device."""
    place.copy_(numbers.pin_memory() if place.is_cuda else numbers, non_blocking=True)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Collect garbage now, and not again before the end.

    A CUDA graph that is collected while another is captured breaks that capture off
    (pytorch 161037), and torch no longer collects before a capture.
    """
    global _uncollected, _was_enabled
    with _collecting:
        if _uncollected == 0:
            gc.collect()
            _was_enabled = gc.isenabled()
            gc.disable()
        _uncollected += 1
    try:
        yield
    finally:
        with _collecting:
            _uncollected -= 1
            if _uncollected == 0 and _was_enabled:
                gc.enable()
