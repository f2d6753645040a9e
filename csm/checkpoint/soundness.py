"""Is a checkpoint what it says it is? Said when it is loaded, not by the first book."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from csm.audio import CODE_FRAME_SECONDS, SAMPLE_RATE
from csm.errors import CsmError

#: Weights of a trained model stay far below; one flipped bit of an exponent goes far beyond.
LARGEST_WEIGHT = 10_000.0
#: What llama3's scaling of positions asks for.
_SCALING = (
    "rope_theta",
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
)


def check_config(config: Any, model: str) -> None:
    """Refuse a configuration whose parts do not fit together, or that no released CSM has.

    Args:
        config: transformers' ``CsmConfig``.
        model: hub id or folder, for the message.

    Raises:
        CsmError: it is such a one; the message says in what.
    """
    wrong = next(iter(_contradictions(config)), None)
    if wrong is not None:
        raise CsmError(
            f"{model} cannot be loaded: its config.json says {wrong}; copy the checkpoint again, "
            "config.json and weights from the same place"
        )


def _contradictions(config: Any) -> list[str]:
    depth, codec = config.depth_decoder_config, config.codec_config
    frame = round(CODE_FRAME_SECONDS * SAMPLE_RATE)
    books = config.num_codebooks
    found = [
        text
        for fine, text in (
            (books > 1, f"{books} codebooks"),
            (
                depth.num_codebooks == books,
                f"{books} codebooks, and {depth.num_codebooks} for the depth decoder",
            ),
            (
                codec.num_quantizers == books,
                f"{books} codebooks, and {codec.num_quantizers} for the codec",
            ),
            (
                depth.vocab_size == config.vocab_size,
                f"{config.vocab_size} codes, and {depth.vocab_size} for the depth decoder",
            ),
            (
                0 < codec.codebook_size <= config.vocab_size,
                f"{config.vocab_size} codes, and {codec.codebook_size} for the codec",
            ),
            (
                depth.backbone_hidden_size == config.hidden_size,
                f"a hidden size of {config.hidden_size}, and of {depth.backbone_hidden_size} where "
                "the depth decoder reads it",
            ),
            (
                codec.sampling_rate == SAMPLE_RATE and codec.frame_size == frame,
                f"{codec.sampling_rate} samples a second and {codec.frame_size} a frame, where "
                f"every CSM has {SAMPLE_RATE} and {frame}",
            ),
        )
        if not fine
    ]
    for name, part in (("backbone", config), ("depth decoder", depth)):
        queries, keys = part.num_attention_heads, part.num_key_value_heads
        if part.num_hidden_layers < 1 or keys < 1 or queries < 1 or queries % keys:
            found.append(
                f"{part.num_hidden_layers} layers, {queries} heads and {keys} key heads for the "
                f"{name}"
            )
        if part.head_dim < 2 or part.head_dim % 2:
            found.append(f"heads of {part.head_dim} for the {name}")
        if not _can_be_positions(part.rope_parameters):
            found.append(f"positions that are no llama3's for the {name}")
    if config.max_position_embeddings <= books:
        found.append(f"{config.max_position_embeddings} positions")
    return found


def _can_be_positions(parameters: Mapping[str, Any] | None) -> bool:
    if parameters is None:
        return False
    needed = _SCALING if parameters.get("rope_type") == "llama3" else _SCALING[:1]
    values = [parameters.get(name) for name in needed]
    return all(isinstance(value, int | float) and 0 < value < math.inf for value in values)


def check_names(
    found: Mapping[str, tuple[int, ...]], expected: Collection[str], model: str
) -> None:
    """Refuse weights that the configuration has no place for, such as more layers.

    What is no matrix, as libraries' versions leave it behind, is let be.

    Args:
        found: names and shapes of the files.
        expected: names of the configuration.
        model: hub id or folder, for the message.

    Raises:
        CsmError: there are such.
    """
    _refuse(sorted(name for name in set(found) - set(expected) if len(found[name]) > 1), model)


def check_codec_layers(names: Collection[str], config: Any, model: str) -> None:
    """Refuse a codec with more layers or codebooks than it is configured to have.

    transformers knows the codec's names, and leaves out without a word what it has no place for.

    Args:
        names: of the codec's weights.
        config: transformers' ``MimiConfig``.
        model: hub id or folder, for the message.

    Raises:
        CsmError: it has more.
    """
    counts = (
        (r"coder_transformer\.layers\.(\d+)\.", config.num_hidden_layers),
        (
            r"acoustic_residual_vector_quantizer\.layers\.(\d+)\.",
            config.num_quantizers - config.num_semantic_quantizers,
        ),
    )
    _refuse(
        sorted(
            name
            for name in names
            for pattern, count in counts
            if (match := re.search(pattern, name)) and int(match[1]) >= count
        ),
        model,
    )


def _refuse(extra: list[str], model: str) -> None:
    if extra:
        raise CsmError(
            f"{model} cannot be loaded: its files hold {len(extra)} more weights than config.json "
            f"says, {extra[0]} for one; copy the checkpoint again, config.json and weights from "
            "the same place"
        )


def check_values(name: str, tensor: Tensor, model: str, largest: float = math.inf) -> None:
    """Refuse weights that no training leaves: no numbers, or far too large.

    Args:
        name: of the weight.
        tensor: its values.
        model: hub id or folder, for the message.
        largest: magnitude that may be.

    Raises:
        CsmError: the file was damaged.
    """
    if not tensor.is_floating_point() or not tensor.numel():
        return
    # Both are NaN where any value is.
    least, most = torch.aminmax(tensor)
    worst = max(abs(float(least)), abs(float(most)))
    if not worst <= largest or not math.isfinite(worst):
        raise CsmError(
            f"{model} is damaged: {name} holds the value {worst:g}, which no training leaves; "
            "delete its files and load the checkpoint again, or copy it again"
        )
