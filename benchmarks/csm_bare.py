"""CSM's configuration and random weights for a machine that has torch and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from csm.checkpoint.layout import AUDIO_EMBEDDING, DEPTH_EMBEDDING, expected_shapes

_SPREAD = 0.02
_SCALING = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0}


def config(*, small: bool = False) -> Any:
    """What the engine reads of ``CsmConfig`` of sesame/csm-1b; or the same, of a toy's size.

    Args:
        small: widths of 64, a layer each, the released numbers of codebooks, codes and positions.
    """
    sizes = {"vocab_size": 2051, "num_codebooks": 32, "rms_norm_eps": 1e-5}
    depth = SimpleNamespace(
        **sizes,
        backbone_hidden_size=64 if small else 2048,
        hidden_size=64 if small else 1024,
        intermediate_size=128 if small else 8192,
        num_hidden_layers=1 if small else 4,
        num_attention_heads=4 if small else 8,
        num_key_value_heads=2,
        head_dim=16 if small else 128,
        rope_parameters={
            **_SCALING,
            "low_freq_factor": 0.001953125,
            "high_freq_factor": 0.0078125,
            "original_max_position_embeddings": 16,
        },
    )
    return SimpleNamespace(
        **sizes,
        text_vocab_size=512 if small else 128_256,
        max_position_embeddings=2048,
        hidden_size=64 if small else 2048,
        intermediate_size=128 if small else 8192,
        num_hidden_layers=1 if small else 16,
        num_attention_heads=4 if small else 32,
        num_key_value_heads=2 if small else 8,
        head_dim=16 if small else 64,
        rope_parameters={
            **_SCALING,
            "low_freq_factor": 0.125,
            "high_freq_factor": 0.5,
            "original_max_position_embeddings": 1024,
        },
        depth_decoder_config=depth,
        codec_config=SimpleNamespace(codebook_size=2048, frame_size=1920),
    )


def checkpoint(made: Any, *, device: torch.device, dtype: torch.dtype, seed: int = 0) -> Any:
    """Random weights in the place of a ``Checkpoint``, for a ``Model`` alone.

    Args:
        made: from ``config``.
        device: where; ``meta`` gives tensors without memory.
        dtype: of all of them.
        seed: any integer.
    """
    generator = None if device.type == "meta" else torch.Generator(device).manual_seed(seed)
    tensors = {}
    for name, shape in expected_shapes(made).items():
        if name == DEPTH_EMBEDDING:
            tensors[name] = tensors[AUDIO_EMBEDDING]
        elif len(shape) == 1:
            tensors[name] = torch.ones(shape, dtype=dtype, device=device)
        else:
            tensors[name] = torch.empty(shape, dtype=dtype, device=device)
            if generator is not None:
                tensors[name].normal_(std=_SPREAD, generator=generator)
    return SimpleNamespace(config=made, tensors=tensors, device=device, dtype=dtype, name="random")
