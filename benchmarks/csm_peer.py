"""transformers' own CSM over the same weights, for the benchmarks to compare with."""

from __future__ import annotations

import functools
import itertools
import time
from typing import Any

import torch
from torch import Tensor
from transformers import CsmForConditionalGeneration

from csm.checkpoint.layout import CODEC_PREFIX
from csm.checkpoint.loading import Checkpoint
from csm.checkpoint.quiet import quiet_libraries


def peer(checkpoint: Checkpoint) -> Any:
    """A ``CsmForConditionalGeneration`` that shares the checkpoint's tensors and codec."""
    codec = {CODEC_PREFIX + name: w for name, w in checkpoint.codec.state_dict().items()}
    with quiet_libraries():
        model = CsmForConditionalGeneration.from_pretrained(
            None,
            config=checkpoint.config,
            state_dict={**checkpoint.tensors, **codec},
            dtype=checkpoint.dtype,
        )
    model.codec_model = checkpoint.codec
    model = model.to(checkpoint.device).eval()
    # As the released generation_config.json says.
    released = {"do_sample": True, "top_k": 50, "temperature": 0.9}
    model.generation_config.update(**released)
    model.depth_decoder.generation_config.update(**released)
    return model


@torch.inference_mode()
def generate(
    model: Any, prompt: Tensor, frames: int, *, greedy: bool = False, **options: Any
) -> tuple[Tensor, list[float]]:
    """Let transformers generate.

    Args:
        model: from ``peer``.
        prompt: text ids, ``[batch, tokens]``.
        frames: how many; random weights do not end by themselves.
        greedy: take the likeliest codes.
        options: for ``generate``.

    Returns:
        Codes, ``[batch, frames, codebooks]``, and the seconds between frames, without the prompt's.
    """
    times: list[float] = []

    def note() -> None:
        if prompt.is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter())

    # Called once a frame, before the backbone, and never a part of what is compiled.
    prepare = model.prepare_inputs_for_generation

    @functools.wraps(prepare)
    def prepare_and_note(*inputs: Any, **more: Any) -> Any:
        note()
        return prepare(*inputs, **more)

    model.prepare_inputs_for_generation = prepare_and_note
    if greedy:
        options |= {"do_sample": False, "depth_decoder_do_sample": False}
    try:
        with quiet_libraries():
            codes = model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=frames,
                **options,
            )
        note()
    finally:
        del model.prepare_inputs_for_generation
    # The first interval holds the prompt.
    return codes, [b - a for a, b in itertools.pairwise(times[1:])]
