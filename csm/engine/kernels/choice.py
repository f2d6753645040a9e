"""Which operations a model's frames are made of: the kernels of a GPU, or plain torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from csm.engine.kernels import language
from csm.engine.kernels.agreement import disagreements
from csm.engine.kernels.operations import Fused, Kernels, Plain
from csm.errors import ran_out_of_memory

if TYPE_CHECKING:
    from csm.engine.model import Model

Setting = Literal["auto", "off"]


def unfit(setting: Setting, device: torch.device) -> str | None:
    """Why a device gets no kernels, in a few words for a log; None where they may be tried.

    Args:
        setting: ``off`` is a reason in any case.
        device: where they would run.
    """
    if device.type != "cuda":
        return f"on {device.type}"
    if setting == "off":
        return "kernels are off"
    if not language.AVAILABLE:
        return "triton is not installed"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "kernels are for compute capability 8.0 and later"
    return None


def failed(error: Exception) -> str:
    """What to say of kernels that do not run."""
    return f"the kernels failed: {type(error).__name__}: {str(error)[:200]}"


def choose(setting: Setting, model: Model) -> Kernels:
    """The kernels for a model: fused on a GPU where they give what their twins give, else plain.

    Nothing else decides: a kernel that does not compile there, or that computes something else, is
    found here and not in a listener's ear.

    Args:
        setting: ``off`` is plain in any case.
        model: complete but for its kernels.

    Raises:
        Exception: there is no memory to try them.
    """
    reason = unfit(setting, model.device)
    if reason is not None:
        return Plain(reason)
    fused = Fused(language.target(model.device), model.device)
    try:
        wrong = disagreements(fused, model)
    except Exception as error:
        if ran_out_of_memory(error):
            raise
        # Triton raises what it will: no C compiler, an instruction that the GPU does not have, …
        return Plain(failed(error))
    if wrong:
        return Plain(f"the kernels computed something else: {', '.join(wrong)}")
    return fused
