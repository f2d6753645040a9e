"""What goes wrong on a device, as errors that hold nothing of what failed."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeVar

import torch

from csm.errors import CsmError, OutOfMemory, chain, ran_out_of_memory

T = TypeVar("T")


def attempt(work: Callable[[], T], device: torch.device, slots: int) -> T | CsmError:
    """Do work on a device; give what goes wrong as an error.

    The error holds none of the work, and nothing else does: a failed frame's locals and its error
    often form a circle, which would keep a cache alive until the next collection, just when its
    memory is wanted.

    Args:
        work: what to do.
        device: where.
        slots: how many there are, for the message.
    """
    try:
        return work()
    except CsmError as error:
        _forget(error)
        return type(error)(*error.args)
    except Exception as error:
        _forget(error)
        if ran_out_of_memory(error):
            return out_of_memory(device, slots)
        # Only the kind: the rest of the message could hold the text.
        return CsmError(
            f"the model failed on {device} ({type(error).__name__}); if it goes on failing, load "
            "the checkpoint anew or try device cpu"
        )


def out_of_memory(device: torch.device, slots: int) -> OutOfMemory:
    """What to say where there is no room to speak."""
    return OutOfMemory(
        f"the memory of {device} did not suffice to speak, with {slots} "
        f"{'slot' if slots == 1 else 'slots'}: free some, ask for fewer slots where other programs "
        "need it too, or shorten the voice's reference recording"
    )


def no_numbers(device: torch.device, dtype: torch.dtype) -> CsmError:
    """What to say where values came out that are none."""
    return CsmError(
        "the model computed values that are no numbers: the checkpoint is damaged, or "
        f"{device} cannot compute in {dtype}; load the checkpoint anew or set the device to cpu"
    )


def _forget(error: BaseException) -> None:
    for each in chain(error):
        traceback.clear_frames(each.__traceback__)
