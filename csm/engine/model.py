"""CSM's two transformers over static caches: a frame of 32 codes for each of some slots at a time.

The backbone, a Llama over text and audio frames, gives a state from which codebook 0 is drawn; the
depth decoder, a small Llama over one frame's codebooks, gives the other 31, one after another. Both
follow transformers' ``CsmForConditionalGeneration``. What differs is how it is computed:

- Weights are plain tensors. Queries, keys and values are one product, gate and up another.
- The depth decoder's input projection is applied to its audio embedding once, at loading.
- Rows of the weights are reordered so that the pairs which RoPE turns are neighbours, to be turned
  as complex numbers, and so that the query heads which share a key head are successive positions
  of one sequence, for which attention reads each key once.
- Heads end at the codec's last code; the reserved ones cannot be drawn.
- A frame needs nothing from the host, so that a GPU can run it as one captured graph.

Shapes below: ``B`` slots, ``T`` positions, ``D`` values a head, ``G`` query heads a key head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from csm.checkpoint.layout import AUDIO_EMBEDDING, DEPTH_EMBEDDING
from csm.checkpoint.loading import Checkpoint
from csm.engine.linear import Linear, linear
from csm.engine.prompt import Prompt
from csm.engine.rope import turns
from csm.engine.sampling import Sampler
from csm.engine.state import State, column

#: Positions of a cache that a frame may read, to spare it what no slot has reached.
BUCKETS = (512, 1024, 1536, 2048)

#: Writes a layer's keys and values to a cache and attends to it: number of the layer and what it
#: computed to the heads' outputs, ``[rows, heads * D]``.
Attend = Callable[[int, "Work"], Tensor]


class Norm:
    """RMSNorm over the last dimension (arXiv:1910.07467), in float32 inside."""

    def __init__(self, weight: Tensor, eps: float) -> None:
        self.weight, self._eps = weight, eps
        self._eps_tensor = torch.tensor(eps, device=weight.device)
        self._share = 1 / weight.shape[0]

    def __call__(self, rows: Tensor) -> Tensor:
        """Norm each of the rows, ``[n, hidden]``."""
        if rows.is_cuda:
            return F.rms_norm(rows, self.weight.shape, self.weight, self._eps)
        # On a CPU, torch's own is 18 operators.
        length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True, dtype=torch.float32)
        scale = torch.addcmul(self._eps_tensor, length, length, value=self._share).rsqrt_()
        return (rows * scale).to(rows.dtype).mul_(self.weight)


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
    """

    def __init__(
        self, config: Any, tensors: dict[str, Tensor], prefix: str, positions: int
    ) -> None:
        self.hidden, self.wide = config.hidden_size, config.intermediate_size
        self.key_heads, self.head = config.num_key_value_heads, config.head_dim
        self.group = config.num_attention_heads // self.key_heads
        self.positions = positions
        self._eps = config.rms_norm_eps
        self.layers = [
            self._layer(tensors, f"{prefix}layers.{number}.")
            for number in range(config.num_hidden_layers)
        ]
        self.norm = Norm(tensors.pop(f"{prefix}norm.weight"), self._eps)
        weight = self.norm.weight
        self.device, self.dtype = weight.device, weight.dtype
        #: complex64 ``[positions, D / 2]``.
        self.turns = turns(config.rope_parameters, self.head, positions).to(self.device)

    def _layer(self, tensors: dict[str, Tensor], prefix: str) -> Layer:
        def take(name: str) -> Tensor:
            return tensors.pop(f"{prefix}{name}.weight")

        key_heads, group, head = self.key_heads, self.group, self.head
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
            queries_keys_values=linear(joined),
            attention_out=linear(out.transpose(1, 2).reshape(self.hidden, -1)),
            mlp_norm=Norm(take("post_attention_layernorm"), self._eps),
            gate_up=linear(torch.cat([take("mlp.gate_proj"), take("mlp.up_proj")])),
            down=linear(take("mlp.down_proj")),
        )

    def cache(self, slots: int, positions: int) -> Tensor:
        """Room for keys and values, ``[layers, slots, 2, key heads, positions, D]``."""
        # Zeros, as what is masked is still multiplied: by 0, which not every value survives.
        return torch.zeros(
            len(self.layers), slots, 2, self.key_heads, positions, self.head,
            dtype=self.dtype, device=self.device,
        )  # fmt: skip

    def run(self, rows: Tensor, work: Work, turn: Tensor, attend: Attend) -> Tensor:
        """Run the layers in place.

        Args:
            rows: inputs, ``[n, hidden]``; overwritten by the outputs, which are not yet normed.
            work: for n rows.
            turn: how far each row's position turns, complex64 ``[n or 1, 1, D / 2]``.
            attend: the attention; see ``Attend``.
        """
        for number, layer in enumerate(self.layers):
            layer.queries_keys_values(layer.attention_norm(rows), work.projected)
            work.turn(turn)
            layer.attention_out.add_to(rows, attend(number, work))
            layer.gate_up(layer.mlp_norm(rows), work.gate_up)
            layer.down.add_to(rows, F.silu(work.gate, inplace=True).mul_(work.up))
        return rows


class Work:
    """Where the layers of a stack leave what they compute for some rows, and views of it.

    Attributes:
        queries: ``[n, G, key heads, D]``.
        keys_values: ``[n, 2, key heads, D]``.
        gate: ``[n, wide]``.
        up: ``[n, wide]``.
    """

    def __init__(self, stack: Stack, rows: int) -> None:
        query_heads, key_heads, head = stack.group * stack.key_heads, stack.key_heads, stack.head
        self.projected = torch.zeros(
            rows, (query_heads + 2 * key_heads) * head, dtype=stack.dtype, device=stack.device
        )
        heads = self.projected.view(rows, -1, head)
        self.queries = heads[:, :query_heads].view(rows, stack.group, key_heads, head)
        self.keys_values = heads[:, query_heads:].view(rows, 2, key_heads, head)
        self.gate_up = self.projected.new_zeros(rows, 2 * stack.wide)
        self.gate, self.up = self.gate_up.chunk(2, dim=1)
        self._turned = heads[:, : query_heads + key_heads]
        # Complex arithmetic wants float32; where that is the type, it is done in place.
        self._exact = self._turned.float()
        self._pairs = torch.view_as_complex(self._exact.view(rows, -1, head // 2, 2))

    def turn(self, by: Tensor) -> None:
        """Apply RoPE to queries and keys."""
        if self._exact is self._turned:
            self._pairs.mul_(by)
        else:
            self._exact.copy_(self._turned)
            self._pairs.mul_(by)
            self._turned.copy_(self._exact)


class Model:
    """The weights, taken out of a checkpoint.

    Args:
        checkpoint: its tensors are moved here; only its configuration, tokenizer and codec are of
            use after that.
    """

    @torch.inference_mode()
    def __init__(self, checkpoint: Checkpoint) -> None:
        config, tensors = checkpoint.config, checkpoint.tensors
        depth = config.depth_decoder_config
        self.device, self.dtype = checkpoint.device, checkpoint.dtype
        self.codebooks: int = config.num_codebooks
        #: Codes that the codec knows; the model's vocabulary has some more, which are reserved.
        self.codes: int = min(config.vocab_size, config.codec_config.codebook_size)
        self.positions: int = config.max_position_embeddings
        self.backbone = Stack(config, tensors, "backbone_model.", self.positions)
        # A position for the backbone's state and one for each code but the last.
        self.depth = Stack(depth, tensors, "depth_decoder.model.", self.codebooks)
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

    @torch.inference_mode()
    def embed(self, prompt: Prompt) -> Tensor:
        """Embed a prompt, ``[frames, hidden]``: the sum of what counts in each frame."""
        ids, used = prompt.ids.to(self.device), prompt.used.to(self.device)
        text = self.text_embedding[ids[:, -1]] * used[:, -1:]
        audio = self.audio_embedding[ids[:, :-1] + self.audio_offsets].sum(1) * used[:, :1]
        return text + audio

    @torch.inference_mode()
    def prefill(self, rows: Tensor, cache: Tensor, start: int) -> None:
        """Fill a slot's cache with the keys and values of a part of its prompt.

        Args:
            rows: from ``embed``, ``[n, hidden]``. Overwritten.
            cache: of the slot, ``[layers, 2, key heads, T, D]``; holds what comes before.
            start: the first row's position.
        """
        stack, count = self.backbone, len(rows)
        end = start + count
        # A query's row for each head of the group; each sees what is not after it.
        own = torch.arange(start, end, device=rows.device).repeat_interleave(stack.group)
        seen = torch.arange(end, device=rows.device) <= own[:, None]
        mask = torch.zeros_like(seen, dtype=rows.dtype).masked_fill_(~seen, float("-inf"))

        def attend(number: int, work: Work) -> Tensor:
            cache[number, :, :, start:end] = work.keys_values.permute(1, 2, 0, 3)
            keys, values = cache[number, :, None, :, :end]
            queries = work.queries.reshape(count * stack.group, stack.key_heads, -1).transpose(0, 1)
            heads = F.scaled_dot_product_attention(queries[None], keys, values, attn_mask=mask)
            return heads[0].transpose(0, 1).reshape(count, -1)

        stack.run(rows, Work(stack, count), stack.turns[start:end, None], attend)


class Slots:
    """The state of B slots, in tensors whose places never change.

    Attributes:
        count: B.
        cache: the backbone's keys and values, ``[layers, B, 2, key heads, T, D]``.
        inputs: what the next frame begins with, ``[B, hidden]``.
        positions: of the inputs, int64 ``[B]``.
        caps: frames at most, int64 ``[B]``.
        seeds: int64 ``[B]``.
        frames: how many are finished, int64 ``[B]``.
        done: 1 where nothing more is to come, which is where nothing began, too; int64 ``[B]``.
        ended: 1 where the model ended it, int64 ``[B]``.
        sound: 0 where a value was no number, int64 ``[B]``.
        report: the last four, ``[4, B]``, for the host to read at once.
        state: what holds all of the above from the positions on.
        codes: of the frame last made, int64 ``[codebooks, B]``.
        history: the codes of all finished frames, int16 ``[B, T + 1, codebooks]``.
    """

    @torch.inference_mode()
    def __init__(self, model: Model, count: int) -> None:
        backbone, depth, device = model.backbone, model.depth, model.device
        self.count = count
        self.cache = backbone.cache(count, model.positions)
        self.inputs = torch.zeros(count, backbone.hidden, dtype=model.dtype, device=device)
        self.state = state = State(count, model.codebooks, model.positions, device)
        self.positions, self.caps, self.seeds = state.positions, state.caps, state.seeds
        self.frames, self.done, self.ended, self.sound = state.report
        self.report, self.history = state.report, state.history
        self.codes = torch.zeros(model.codebooks, count, dtype=torch.int64, device=device)
        self._rows = torch.arange(count, device=device)
        self._steps = torch.arange(model.positions, device=device)
        # Views are made once, as a frame runs each of them through some 140 layers.
        self._code_rows = self.codes.unbind()
        self._backbone_work = Work(backbone, count)
        self._backbone_targets = self.cache.permute(0, 1, 4, 2, 3, 5).unbind()
        self._backbone_reads = {
            bucket: _keys_and_values(self.cache, bucket) for bucket in buckets(model.positions)
        }
        self._depth_work = Work(depth, count)
        self._depth_states = model.dtype, depth.hidden
        cache = depth.cache(count, depth.positions)
        places = range(depth.positions)
        self._depth_targets = [cache[:, :, :, :, place].unbind() for place in places]
        self._depth_reads = [_keys_and_values(cache, place + 1) for place in places]
        # Kept to the end of the frame, to see whether all were numbers.
        self._logits = torch.zeros(
            model.codebooks, count, model.codes, dtype=model.dtype, device=device
        )

    @torch.inference_mode()
    def begin(self, slot: int, inputs: Tensor, position: int, cap: int, seed: int) -> None:
        """Set a slot to begin a segment whose cache is filled up to ``position``.

        Args:
            slot: which.
            inputs: the prompt's last row, ``[hidden]``.
            position: where that row belongs.
            cap: frames at most.
            seed: of the segment, at most 63 bits.
        """
        self.inputs[slot] = inputs
        self.state.values[:, slot] = torch.tensor(column(position, cap, seed))

    @torch.inference_mode()
    def stop(self, slot: int) -> None:
        """Set a slot to do nothing more."""
        self.done[slot] = 1

    @torch.inference_mode()
    def clean(self, slot: int) -> None:
        """Forget what a slot computed, where it was no numbers: 0 times such a value is another."""
        self.stop(slot)
        self.cache[:, slot] = 0
        self.inputs[slot] = 0

    @torch.inference_mode()
    def frame(self, model: Model, sampler: Sampler, bucket: int) -> None:
        """Make the next frame of each slot.

        Args:
            model: the weights.
            sampler: how codes are drawn.
            bucket: one of ``buckets``, above each position of a slot that is not done.
        """
        noise = sampler.noise(self.seeds, self.frames)
        state = self._backbone_step(model, bucket)
        first, logits = self._code_rows[0], self._logits[0]
        model.heads[0](state, logits)
        # Before code 0 is forbidden by a value that is none.
        self.sound &= logits.isfinite().all(-1)
        sampler.draw_first(logits, noise, self.frames, first)
        self._depth_steps(model, sampler, state, noise)
        self.sound &= self._logits[1:].isfinite().all(-1).all(0)

        places = self.codes + model.audio_offsets[:, None]
        self.inputs.copy_(F.embedding(places, model.audio_embedding).sum(0))
        self.state.advance(self.codes, sampler.ends(self.codes), sampler.sampling.most_held)

    def _backbone_step(self, model: Model, bucket: int) -> Tensor:
        stack, reads = model.backbone, self._backbone_reads[bucket]
        seen = self._steps[:bucket] <= self.positions[:, None]
        mask = torch.zeros_like(seen, dtype=model.dtype).masked_fill_(~seen, float("-inf"))
        mask = mask[:, None, None]
        place = (self._rows, self.positions)
        queries = self._backbone_work.queries.transpose(1, 2)

        def attend(number: int, work: Work) -> Tensor:
            self._backbone_targets[number].index_put_(place, work.keys_values)
            keys, values = reads[number]
            heads = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
            return heads.transpose(1, 2).reshape(self.count, -1)

        turn = stack.turns.index_select(0, self.positions)[:, None]
        return stack.norm(stack.run(self.inputs, self._backbone_work, turn, attend))

    def _depth_steps(
        self, model: Model, sampler: Sampler, state: Tensor, noise: Tensor | None
    ) -> None:
        """Draw the codes after the first; ``state`` is the backbone's, ``[B, hidden]``."""
        stack, work = model.depth, self._depth_work
        queries = work.queries.transpose(1, 2)

        def attend(number: int, work: Work) -> Tensor:
            self._depth_targets[place][number].copy_(work.keys_values)
            keys, values = self._depth_reads[place][number]
            heads = F.scaled_dot_product_attention(queries, keys, values)
            return heads.transpose(1, 2).reshape(self.count, -1)

        rows = state.new_empty(self.count, stack.hidden)
        model.projection(state, rows)
        for place in range(model.codebooks):
            stack.run(rows, work, stack.turns[place], attend)
            if place > 0:
                logits = self._logits[place]
                model.heads[place](stack.norm(rows), logits)
                sampler.draw(logits, noise, place, self._code_rows[place])
            if place < model.codebooks - 1:
                rows = model.depth_embeddings[place].index_select(0, self._code_rows[place])


def buckets(positions: int) -> tuple[int, ...]:
    """The lengths of a cache that a frame may read, where it has so many positions."""
    return (*(bucket for bucket in BUCKETS if bucket < positions), positions)


def _keys_and_values(cache: Tensor, positions: int) -> list[tuple[Tensor, Tensor]]:
    """Each layer's keys and values up to a position, ``[B, key heads, positions, D]``."""
    return [(layer[:, 0, :, :positions], layer[:, 1, :, :positions]) for layer in cache.unbind()]
