"""Our frames over random weights, as the benchmarks run them: all slots alike, none ending."""

from __future__ import annotations

import copy
import time
from typing import Any

import torch
from torch import Tensor
from transformers import MimiConfig

from csm.checkpoint.loading import Checkpoint
from csm.checkpoint.random_weights import released_config
from csm.engine.model import Model, decode_one_frame, prefill
from csm.engine.operands.sampling import Sampling
from csm.engine.operands.slots import Slots
from csm.engine.prompt import build_prompt, text_ids

#: transformers' own rules, and the likeliest code each time.
GREEDY = Sampling(temperature=0, guard_end=False, first_end=1)
#: Mimi's sizes, as small as it goes.
SMALL_CODEC = {
    "hidden_size": 32,
    "num_filters": 4,
    "codebook_dim": 16,
    "vector_quantization_hidden_dimension": 16,
    "upsample_groups": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 32,
}
#: A sentence of usual length.
TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom."


class Ours:
    """A model and what it needs to make frames of ``TEXT``. Takes the checkpoint's tensors."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        config = checkpoint.config
        self.prompt = build_prompt(checkpoint.tokenizer, TEXT, None, codebooks=config.num_codebooks)
        self.model = Model(checkpoint)

    @torch.inference_mode()
    def generate(self, batch: int, frames: int, sampling: Sampling) -> tuple[Tensor, list[float]]:
        """Codes, ``[batch, frames, codebooks]``, and the seconds of each frame but the first."""
        model = self.model
        slots = Slots(model, batch)
        sampler = model.sampler(sampling)
        rows = model.embed(self.prompt)
        for slot in range(batch):
            prefill(model, rows[:-1].clone(), slots.cache[:, slot], 0)
            slots.begin(slot, rows[-1], len(rows) - 1, frames, slot)
        times = []
        for _ in range(frames):
            started = time.perf_counter()
            decode_one_frame(model, slots, sampler)
            times.append(time.perf_counter() - started)
        return slots.history[:, :frames].long(), times[1:]


def prompt_ids(checkpoint: Checkpoint, batch: int) -> Tensor:
    """The same text for transformers, ``[batch, tokens]``."""
    ids = torch.tensor(text_ids(checkpoint.tokenizer, TEXT), device=checkpoint.device)
    return ids.repeat(batch, 1)


def forget_reserved(checkpoint: Checkpoint) -> None:
    """Make the reserved codes unlikely, which transformers would draw as gladly as the others."""
    codes: Any = checkpoint.config.codec_config.codebook_size
    checkpoint.tensors["lm_head.weight"][codes:] = 0
    checkpoint.tensors["depth_decoder.codebooks_head.weight"][:, :, codes:] = 0


def toy_config() -> Any:
    """The released config at hidden width 64, with all its layers."""
    config = copy.deepcopy(released_config())
    depth = config.depth_decoder_config
    narrow = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
    config.update({**narrow, "num_attention_heads": 4, "num_key_value_heads": 2})
    depth.update({**narrow, "num_attention_heads": 4, "num_key_value_heads": 2})
    depth.update({"backbone_hidden_size": 64})
    config.update({"text_vocab_size": 512})
    return config


def tiny_config() -> Any:
    """The toy with a layer each and a small codec: for a script's own test."""
    config = toy_config()
    config.update({"num_hidden_layers": 1})
    config.depth_decoder_config.update({"num_hidden_layers": 1})
    config.codec_config = MimiConfig(**SMALL_CODEC, num_quantizers=32)
    return config
