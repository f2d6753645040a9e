"""Rotary position embedding: the angle by which each pair of a head's values turns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from csm.errors import CsmError


def frequencies(parameters: Mapping[str, Any], head_size: int) -> Tensor:
    """Radians a position for each pair of a head's values.

    Args:
        parameters: ``rope_parameters`` of a transformers config: type ``default`` (RoFormer,
            arXiv:2104.09864) or ``llama3`` (Llama 3.1's scaling: waves longer than the original
            context are slowed down by ``factor``, short ones kept, those between blended).
        head_size: values in a head.

    Returns:
        float32, shape ``[head_size / 2]``.

    Raises:
        CsmError: another type.
    """
    exponents = torch.arange(0, head_size, 2, dtype=torch.float32) / head_size
    plain: Tensor = 1.0 / (parameters["rope_theta"] ** exponents)
    kind = parameters.get("rope_type", "default")
    if kind == "default":
        return plain
    if kind != "llama3":
        raise CsmError(
            f"the checkpoint's config.json asks for {kind} position embeddings; CSM has llama3 "
            "scaling: copy the checkpoint again"
        )
    factor = parameters["factor"]
    low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
    context = parameters["original_max_position_embeddings"]
    # How many whole waves fit into the original context.
    waves = context * plain / (2 * math.pi)
    share = ((waves - low) / (high - low)).clamp(0, 1)
    scaled: Tensor = (1 - share) * plain / factor + share * plain
    return scaled


def turns(parameters: Mapping[str, Any], head_size: int, positions: int) -> Tensor:
    """Unit complex numbers that turn a head's pairs, complex64 ``[positions, head_size / 2]``."""
    angles = torch.outer(
        torch.arange(positions, dtype=torch.float32), frequencies(parameters, head_size)
    )
    turned: Tensor = torch.polar(torch.ones_like(angles), angles)
    return turned
