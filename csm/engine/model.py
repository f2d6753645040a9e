"""CSM's two transformers over static caches: a frame of 32 codes for each of some slots at a time.

The backbone, a Llama over text and audio frames, gives a state from which codebook 0 is drawn; the
depth decoder, a small Llama over one frame's codebooks, gives the other 31, one after another. Both
follow transformers' ``CsmForConditionalGeneration``. What differs is how it is computed:

- Weights are plain tensors. Queries, keys and values are one product, gate and up another.
- The depth decoder's input projection is applied to its audio embedding once, at loading; its first
  two places, the backbone's state and codebook 0, go through its layers together.
- Rows of the weights are reordered so that the pairs which RoPE turns are neighbours, and so that
  the query heads which share a key head are successive positions of one sequence, for which
  attention reads each key once.
- Heads end at the codec's last code; the reserved ones cannot be drawn.
- A frame needs nothing from the host, so that a GPU can run it as one captured graph. What it is
  made of are the few operations of ``csm.engine.kernels``, each one kernel there.

Shapes below: ``B`` slots, ``T`` positions, ``D`` values a head, ``G`` query heads a key head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from csm.checkpoint.layout import AUDIO_EMBEDDING, DEPTH_EMBEDDING
from csm.engine.kernels.choice import Setting, choose
from csm.engine.kernels.draw import Sampler
from csm.engine.kernels.operations import Kernels
from csm.engine.operands.heads import Heads
from csm.engine.operands.linear import Linear, linear
from csm.engine.operands.norm import Norm
from csm.engine.operands.sampling import Sampling
from csm.engine.operands.slots import Slots
from csm.engine.prompt import Prompt
from csm.engine.rope import turns

if TYPE_CHECKING:
    from csm.checkpoint.loading import Checkpoint


@dataclass(frozen=True)
class Layer:
    """The weights of one layer."""

    attention_norm: Norm
    queries_keys_values: Linear
    attention_out: Linear
    mlp_norm: Norm
    gate_up: Linear
    down: Linear


class Stack:
    """The layers of one Llama, and its sizes.

    Args:
        config: transformers' config of this part.
        tensors: the checkpoint's; what is used is taken out.
        prefix: of this part's names.
        positions: how many the cache will have.
        int8: hold the layers' weights in 8 bits; see ``linear``.
    """

    def __init__(
        self,
        config: Any,
        tensors: dict[str, Tensor],
        prefix: str,
        positions: int,
        *,
        int8: bool = False,
    ) -> None:
        self.hidden = config.hidden_size
        self.heads = Heads(
            config.num_attention_heads // config.num_key_value_heads,
            config.num_key_value_heads,
            config.head_dim,
        )
        self._eps, self._int8 = config.rms_norm_eps, int8
        self.layers = [
            self._layer(tensors, f"{prefix}layers.{number}.")
            for number in range(config.num_hidden_layers)
        ]
        self.norm = Norm(tensors.pop(f"{prefix}norm.weight"), self._eps)
        weight = self.norm.weight
        self.device, self.dtype = weight.device, weight.dtype
        #: complex64 ``[positions, D / 2]``.
        self.turns = turns(config.rope_parameters, self.heads.size, positions).to(self.device)

    def _layer(self, tensors: dict[str, Tensor], prefix: str) -> Layer:
        def take(name: str) -> Tensor:
            return tensors.pop(f"{prefix}{name}.weight")

        def weight(tensor: Tensor) -> Linear:
            return linear(tensor, int8=self._int8)

        group, key_heads, head = self.heads.group, self.heads.key_heads, self.heads.size
        queries = take("self_attn.q_proj").view(key_heads, group, 2, head // 2, self.hidden)
        keys = take("self_attn.k_proj").view(key_heads, 2, head // 2, self.hidden)
        joined = torch.cat(
            [
                queries.permute(1, 0, 3, 2, 4).reshape(-1, self.hidden),
                keys.transpose(1, 2).reshape(-1, self.hidden),
                take("self_attn.v_proj"),
            ]
        )
        out = take("self_attn.o_proj").view(self.hidden, key_heads, group, head)
        return Layer(
            attention_norm=Norm(take("input_layernorm"), self._eps),
            queries_keys_values=weight(joined),
            attention_out=weight(out.transpose(1, 2).reshape(self.hidden, -1)),
            mlp_norm=Norm(take("post_attention_layernorm"), self._eps),
            gate_up=weight(torch.cat([take("mlp.gate_proj"), take("mlp.up_proj")])),
            down=weight(take("mlp.down_proj")),
        )

    def cache(self, slots: int, positions: int) -> Tensor:
        """Room for keys and values, ``[layers, slots, 2, key heads, positions, D]``."""
        # Zeros, as what is masked may still be multiplied: by 0, which not every value survives.
        return torch.zeros(
            len(self.layers), slots, 2, self.heads.key_heads, positions, self.heads.size,
            dtype=self.dtype, device=self.device,
        )  # fmt: skip


class Model:
    """The weights, taken out of a checkpoint.

    Args:
        checkpoint: its tensors are moved here; only its configuration, tokenizer and codec are of
            use after that.
        kernels: ``auto`` uses the kernels of a GPU where they work, ``off`` plain torch; or those
            to use.
        int8_depth: hold the weights of the depth decoder's layers in 8 bits.
    """

    @torch.inference_mode()
    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        kernels: Setting | Kernels = "auto",
        int8_depth: bool = False,
    ) -> None:
        config, tensors = checkpoint.config, checkpoint.tensors
        depth = config.depth_decoder_config
        self.device, self.dtype = checkpoint.device, checkpoint.dtype
        pin_attention(self.device)
        self.codebooks: int = config.num_codebooks
        #: Codes that the codec knows; the model's vocabulary has some more, which are reserved.
        self.codes: int = min(config.vocab_size, config.codec_config.codebook_size)
        self.positions: int = config.max_position_embeddings
        self.backbone = Stack(config, tensors, "backbone_model.", self.positions)
        # A position for the backbone's state and one for each code but the last.
        self.depth = Stack(depth, tensors, "depth_decoder.model.", self.codebooks, int8=int8_depth)
        self.text_embedding = tensors.pop("embed_text_tokens.weight")
        self.audio_embedding = tensors.pop(AUDIO_EMBEDDING)
        self.audio_offsets = torch.arange(self.codebooks, device=self.device) * config.vocab_size
        self.projection = linear(tensors.pop("depth_decoder.model.inputs_embeds_projector.weight"))
        embedding = tensors.pop(DEPTH_EMBEDDING)[: (self.codebooks - 1) * depth.vocab_size]
        projected = embedding.new_empty(len(embedding), depth.hidden_size)
        for source, target in zip(
            torch.split(embedding, 4096), torch.split(projected, 4096), strict=True
        ):
            self.projection(source, target)
        #: For each codebook but the last, ``[vocabulary, depth hidden]``.
        self.depth_embeddings = torch.split(projected, depth.vocab_size)
        heads = tensors.pop("depth_decoder.codebooks_head.weight")
        first = tensors.pop("lm_head.weight")[: self.codes].clone()
        #: For each codebook, ``[codes, hidden]``.
        self.heads = [
            linear(first),
            *map(linear, heads[:, :, : self.codes].transpose(1, 2).contiguous()),
        ]
        self.kernels = choose(kernels, self) if isinstance(kernels, str) else kernels

    def sampler(self, sampling: Sampling) -> Sampler:
        """What draws this model's codes."""
        return self.kernels.sampler(
            sampling, codebooks=self.codebooks, codes=self.codes, device=self.device
        )

    @torch.inference_mode()
    def embed(self, prompt: Prompt) -> Tensor:
        """Embed a prompt, ``[frames, hidden]``: the sum of what counts in each frame."""
        ids, used = prompt.ids.to(self.device), prompt.used.to(self.device)
        text = self.text_embedding[ids[:, -1]] * used[:, -1:]
        audio = self.audio_embedding[ids[:, :-1] + self.audio_offsets].sum(1) * used[:, :1]
        return text + audio


@torch.inference_mode()
def prefill(model: Model, rows: Tensor, cache: Tensor, start: int) -> None:
    """Fill a slot's cache with the keys and values of a part of its prompt.

    Args:
        model: the weights.
        rows: from ``Model.embed``, ``[n, hidden]``. Overwritten.
        cache: of the slot, ``[layers, 2, key heads, T, D]``; holds what comes before.
        start: the first row's position.
    """
    stack, heads, count = model.backbone, model.backbone.heads, len(rows)
    end = start + count
    # A query's row for each head of the group; each sees what is not after it.
    own = torch.arange(start, end, device=rows.device).repeat_interleave(heads.group)
    mask = torch.arange(end, device=rows.device) <= own[:, None]
    for layer, layer_cache in zip(stack.layers, cache, strict=True):
        projected = layer.queries_keys_values(layer.attention_norm(rows))
        queries, keys_values = heads.turned(projected, stack.turns[start:end, None])
        layer_cache[:, :, start:end] = keys_values.permute(1, 2, 0, 3)
        keys, values = layer_cache[:, None, :, :end]
        queries = queries.reshape(count * heads.group, heads.key_heads, -1).transpose(0, 1)
        heard = F.scaled_dot_product_attention(queries[None], keys, values, attn_mask=mask)
        layer.attention_out.add_to(rows, heard[0].transpose(0, 1).reshape(count, -1))
        gate, up = layer.gate_up(layer.mlp_norm(rows)).chunk(2, dim=1)
        layer.down.add_to(rows, F.silu(gate, inplace=True).mul_(up))


@torch.inference_mode()
def decode_one_frame(model: Model, slots: Slots, sampler: Sampler) -> None:
    """Make the next frame of each slot.

    Args:
        model: the weights.
        slots: brought on by a frame.
        sampler: how codes are drawn; from ``Model.sampler``.
    """
    kernels = model.kernels
    sampler.start(slots.seeds, slots.frames, slots.sound)
    decode_backbone(model, slots)
    # The state that all of the frame is drawn from is normed as it is read.
    norm, rows = model.backbone.norm, slots.depth_rows
    kernels.product(slots.inputs, model.projection, norm, rows[: slots.count])
    logits = kernels.product(slots.inputs, model.heads[0], norm)
    decode_codebooks(model, slots, sampler, logits)
    sampler.end()
    kernels.finish(slots, model.audio_embedding, sampler.sampling)


def decode_backbone(model: Model, slots: Slots) -> None:
    """Turn ``slots.inputs`` into the backbone's states, which are not yet normed."""
    stack, kernels, rows = model.backbone, model.kernels, slots.inputs
    for layer, cache in zip(stack.layers, slots.cache, strict=True):
        projected = kernels.product(rows, layer.queries_keys_values, layer.attention_norm)
        heard = kernels.decode_attention(
            projected, stack.heads, stack.turns, cache, slots.positions
        )
        kernels.add_product(rows, heard, layer.attention_out)
        wide = kernels.gated_product(rows, layer.gate_up, layer.mlp_norm)
        kernels.add_product(rows, wide, layer.down)


def decode_codebooks(model: Model, slots: Slots, sampler: Sampler, logits: Tensor) -> None:
    """Draw codebook 0 from its logits, ``[B, codes]``, and the others one after another.

    ``slots.depth_rows`` holds the states that the backbone gives, projected, in its first half.
    """
    stack, kernels, count = model.depth, model.kernels, slots.count
    both, rows = slots.depth_rows, slots.depth_rows[count:]
    codes = slots.codes.unbind()
    caches = slots.depth_cache.unbind()
    sampler.draw_and_look_up(logits, 0, codes[0], model.depth_embeddings[0], rows)
    for place in range(1, model.codebooks):
        through = both if place == 1 else rows
        for layer, cache in zip(stack.layers, caches, strict=True):
            projected = kernels.product(through, layer.queries_keys_values, layer.attention_norm)
            heard = kernels.depth_attention(projected, stack.heads, stack.turns, cache, place)
            kernels.add_product(through, heard, layer.attention_out)
            wide = kernels.gated_product(through, layer.gate_up, layer.mlp_norm)
            kernels.add_product(through, wide, layer.down)
        logits = kernels.product(rows, model.heads[place], stack.norm)
        if place < model.codebooks - 1:
            table = model.depth_embeddings[place]
            sampler.draw_and_look_up(logits, place, codes[place], table, rows)
        else:
            sampler.draw(logits, place, codes[place])


def pin_attention(device: torch.device) -> None:
    """Never attend by cuDNN in this process.

    torch 2.13 prefers it on sm_90 and later where cuDNN is 9.15 or newer. CSM crashed there on its
    first request (sgl-project/sglang-omni 800), it fails now and then (pytorch/pytorch 190321), is
    wrong with fewer than 8 key heads (pytorch/pytorch 193893), and plans for 23 to 37 ms each
    time a shape is new, which is nearly every prompt. The switch is the process's, as the one that
    a context manager sets: two threads that enter and leave that would undo each other's.
    """
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)
