"""Mimi's decoder over plain tensors: codes to samples.

It follows transformers' ``MimiModel.decode``, and gives the same to within float32's roundings.
What differs is how it is computed:

- Rows are positions and columns channels throughout, so that nothing is transposed, and nothing is
  padded: what would look before the beginning reads zeros (``csm.engine.kernels.convolution``).
- The two output projections of the codebooks are one product; queries, keys and values are another.
- The scales of a layer are multiplied into the weights before them.
- Nothing asks the host for a length, as each of transformers' convolutions does.

Shapes: ``B`` segments, ``T`` frames or positions, ``D`` values a head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from csm.engine.kernels.convolution import Convolution, Convolve
from csm.engine.operands.heads import Heads
from csm.engine.rope import turns


@dataclass(frozen=True)
class _Layer:
    attention_norm: Any
    queries_keys_values: Convolution
    attention_out: Convolution
    mlp_norm: Any
    up: Convolution
    down: Convolution


@dataclass(frozen=True)
class _Stage:
    """A transposed convolution and the residual block after it."""

    longer: Convolution
    stride: int
    into: Convolution
    out: Convolution


class CodecDecoder:
    """Mimi's decoder.

    Args:
        codec: transformers' ``MimiModel``, in float32. Weights that are used in another
            order are copied; the others are shared with it.
        convolve: how convolutions are computed.
        room: frames of all segments for which there is room to compute in, once and for all. Where
            each pass asks for its own, of other sizes each time, much more is held in the end.

    Raises:
        Exception: the codec is built otherwise than Mimi is. What is built alike but for a setting
            is not noticed here: its audio is another.
    """

    @torch.no_grad()
    def __init__(self, codec: Any, convolve: Convolve, room: int = 0) -> None:
        #: How convolutions are computed.
        self.convolve = convolve
        quantizer = codec.quantizer
        split = (
            quantizer.semantic_residual_vector_quantizer,
            quantizer.acoustic_residual_vector_quantizer,
        )
        self._semantic = len(split[0].layers)
        tables = [layer.codebook.embed for part in split for layer in part.layers]
        #: ``[codebooks * codes, width]``, and where each codebook begins.
        self._tables = torch.cat(tables)
        self._begins = torch.arange(len(tables), device=self._tables.device) * len(tables[0])
        self._projection = Convolution(
            torch.cat([part.output_proj.weight[:, :, 0] for part in split], 1)[None].contiguous()
        )
        self._take_upsampling(_of_kind(codec, "MimiConvTranspose1d"))
        transformer = next(
            part
            for name, part in codec.named_modules()
            if name.rpartition(".")[2] == "decoder_transformer"
        )
        config = transformer.config
        self._window, self._parameters = config.sliding_window, config.rope_parameters
        self._heads = Heads(1, config.num_attention_heads, config.head_dim)
        self._turns: Tensor | None = None
        self._layers = [self._layer(layer) for layer in transformer.layers]
        self._take_convolutions(_of_kind(codec, "MimiDecoder").layers)
        self._room = self._tables.new_empty(room * self._values_a_frame)

    def _take_upsampling(self, upsampling: Any) -> None:
        # One channel at a time, and two strides long.
        weight = upsampling.conv.weight
        self._stride = upsampling.conv.stride[0]
        by_tap = weight.view(len(weight), 2, self._stride).permute(1, 2, 0)
        self._now, self._before = by_tap[0].contiguous(), by_tap[1].contiguous()

    def _layer(self, layer: Any) -> _Layer:
        attention, heads = layer.self_attn, self._heads

        def neighbours(weight: Tensor) -> Tensor:
            # The pairs that RoPE turns, next to each other.
            halves = weight.view(heads.key_heads, 2, heads.size // 2, -1)
            return halves.transpose(1, 2).reshape(heads.key_heads * heads.size, -1)

        def scaled(weight: Tensor, scale: Any) -> Convolution:
            return Convolution((weight * scale.scale[:, None])[None].contiguous())

        joined = torch.cat(
            [
                neighbours(attention.q_proj.weight),
                neighbours(attention.k_proj.weight),
                attention.v_proj.weight,
            ]
        )
        return _Layer(
            attention_norm=layer.input_layernorm,
            queries_keys_values=Convolution(joined[None]),
            attention_out=scaled(attention.o_proj.weight, layer.self_attn_layer_scale),
            mlp_norm=layer.post_attention_layernorm,
            up=Convolution(layer.mlp.fc1.weight[None]),
            down=scaled(layer.mlp.fc2.weight, layer.mlp_layer_scale),
        )

    def _take_convolutions(self, layers: Any) -> None:
        convolutions = [layer for layer in layers if type(layer).__name__ != "ELU"]
        self._begin, self._end = _forward(convolutions[0].conv), _forward(convolutions[-1].conv)
        self._stages = []
        positions = self._stride
        self._values_a_frame = positions * self._begin.weight.shape[1]
        for longer, block in zip(convolutions[1:-1:2], convolutions[2:-1:2], strict=True):
            _, into, _, out = block.block
            self._stages.append(
                _Stage(
                    _transposed(longer.conv),
                    longer.conv.stride[0],
                    _forward(into.conv),
                    _forward(out.conv),
                )
            )
            positions *= longer.conv.stride[0]
            self._values_a_frame += positions * (len(longer.conv.bias) + len(into.conv.bias))

    @torch.inference_mode()
    def __call__(self, codes: Tensor) -> Tensor:
        """Decode codes, int64 ``[B, T, codebooks]``, into samples ``[B, samples]``."""
        rows = self._looked_up(codes)
        rows = self._upsampled(rows)
        rows = self._attended(rows)
        return self._sounding(rows)

    def _looked_up(self, codes: Tensor) -> Tensor:
        found = F.embedding(codes + self._begins, self._tables)
        semantic = found[:, :, : self._semantic].sum(2)
        acoustic = found[:, :, self._semantic :].sum(2)
        return self.convolve(torch.cat([semantic, acoustic], 2), self._projection)

    def _upsampled(self, rows: Tensor) -> Tensor:
        count, frames, channels = rows.shape
        longer: Tensor = rows[:, :, None] * self._now
        longer[:, 1:].addcmul_(rows[:, :-1, None], self._before)
        return longer.view(count, frames * self._stride, channels)

    def _attended(self, rows: Tensor) -> Tensor:
        count, positions, _ = rows.shape
        heads = self._heads
        if self._turns is None or len(self._turns) < positions:
            self._turns = turns(self._parameters, heads.size, positions).to(rows.device)
        turned = self._turns[:positions, None].repeat(count, 1, 1)
        places = torch.arange(positions, device=rows.device)
        back = places[:, None] - places
        unseen = (back < 0) | (back >= self._window)
        mask = torch.zeros_like(back, dtype=rows.dtype).masked_fill_(unseen, float("-inf"))
        for layer in self._layers:
            projected = self.convolve(layer.attention_norm(rows), layer.queries_keys_values)
            queries, keys_values = heads.turned(projected.view(-1, heads.width), turned)
            keys, values = keys_values.unbind(1)
            queries, keys, values = (
                part.view(count, positions, heads.key_heads, heads.size).transpose(1, 2)
                for part in (queries, keys, values)
            )
            heard = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
            heard = heard.transpose(1, 2).reshape(count, positions, -1)
            rows = self.convolve(heard, layer.attention_out, total=rows)
            raised = self.convolve(layer.mlp_norm(rows), layer.up, then="gelu")
            rows = self.convolve(raised, layer.down, total=rows)
        return rows

    def _sounding(self, rows: Tensor) -> Tensor:
        count, positions, _ = rows.shape
        room = self._room
        if len(room) < count * positions // self._stride * self._values_a_frame:
            room = rows.new_empty(count * positions // self._stride * self._values_a_frame)
        taken = 0

        def take(positions: int, by: Convolution) -> Tensor:
            nonlocal taken
            shape = count, positions, by.weight.shape[1]
            before, taken = taken, taken + math.prod(shape)
            return room[before:taken].view(shape)

        convolve = self.convolve
        rows = convolve(rows, self._begin, then="elu", out=take(positions, self._begin))
        for stage in self._stages:
            rows = convolve(rows, stage.longer, out=take(positions, stage.longer))
            positions *= stage.stride
            rows = rows.view(count, positions, -1)
            inside = take(positions, stage.into)
            convolve(rows, stage.into, first="elu", then="elu", out=inside)
            convolve(inside, stage.out, total=rows, then="elu", out=rows)
        return convolve(rows, self._end)[:, :, 0]


def _of_kind(codec: Any, name: str) -> Any:
    """The first part of the codec of that class: where it is differs between transformers'."""
    return next(part for part in codec.modules() if type(part).__name__ == name)


def _forward(conv: Any) -> Convolution:
    return Convolution(conv.weight.permute(2, 0, 1).contiguous(), conv.bias)


def _transposed(conv: Any) -> Convolution:
    """One of two taps, whose outputs are a stride's positions side by side."""
    channels, outputs, _ = conv.weight.shape
    stride = conv.stride[0]
    taps = conv.weight.view(channels, outputs, 2, stride).permute(2, 3, 1, 0)
    # The second half of the kernel is what a row gives to the positions after its own.
    weight = taps.flip(0).reshape(2, stride * outputs, channels).contiguous()
    return Convolution(weight, conv.bias.repeat(stride))
