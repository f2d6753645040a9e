"""A checkpoint of the released size and shape with random weights.

Right for speed and memory; there are no words in it.
"""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from csm.checkpoint.layout import AUDIO_EMBEDDING, DEPTH_EMBEDDING, expected_shapes
from csm.checkpoint.loading import Checkpoint
from csm.checkpoint.quiet import quiet_libraries
from csm.checkpoint.transformers_parts import (
    CsmConfig,
    CsmDepthDecoderConfig,
    MimiModel,
    PreTrainedTokenizerFast,
)

NAME = "random weights"

_SPREAD = 0.02
#: Texts of some length are all that is asked of the tokenizer.
_TOKENS_OF_TEXT = ("<|begin_of_text|>", "<|end_of_text|>")


def released_config() -> Any:
    """The ``CsmConfig`` of sesame/csm-1b.

    transformers' defaults are its sizes, and leave out the scaling of its positions.
    """
    scaling = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0}
    depth = CsmDepthDecoderConfig(
        rope_parameters={
            **scaling,
            "low_freq_factor": 0.001953125,
            "high_freq_factor": 0.0078125,
            "original_max_position_embeddings": 16,
        }
    )
    with quiet_libraries():
        return CsmConfig(
            rope_parameters={
                **scaling,
                "low_freq_factor": 0.125,
                "high_freq_factor": 0.5,
                "original_max_position_embeddings": 1024,
            },
            depth_decoder_config=depth,
            tie_codebooks_embeddings=True,
        )


def random_checkpoint(
    config: Any, *, device: torch.device, dtype: torch.dtype, seed: int = 0
) -> Checkpoint:
    """Draw a checkpoint; the same on the same kind of device for the same seed.

    Args:
        config: transformers' ``CsmConfig``, such as ``released_config()``.
        device: where it is made and stays.
        dtype: of backbone and depth decoder.
        seed: any integer.

    Raises:
        torch.OutOfMemoryError: it does not fit.
    """
    generator = torch.Generator(device).manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for name, shape in expected_shapes(config).items():
        if name == DEPTH_EMBEDDING and config.tie_codebooks_embeddings:
            tensors[name] = tensors[AUDIO_EMBEDDING]
        elif len(shape) == 1:
            tensors[name] = torch.ones(shape, dtype=dtype, device=device)
        else:
            tensors[name] = torch.empty(shape, dtype=dtype, device=device).normal_(
                std=_SPREAD, generator=generator
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        codec = MimiModel(config.codec_config).float().eval()
        for name, buffer in codec.named_buffers():
            # Zeros at first, which would decode to silence whatever the codes.
            if name.endswith("embed_sum"):
                buffer.normal_(std=_SPREAD)
    return Checkpoint(NAME, config, tensors, codec.to(device), _byte_tokenizer(), device, dtype)


def _byte_tokenizer() -> Any:
    """A tokenizer whose tokens are bytes, with no vocabulary to fetch."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: number for number, character in enumerate(alphabet)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(_TOKENS_OF_TEXT))
    begin, end = _TOKENS_OF_TEXT
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=begin, eos_token=end)
