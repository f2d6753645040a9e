"""The depth decoder's attention: RoPE of a position, its keys and values kept, what is attended to.

A frame is at most 32 positions, so a program holds all that its slot's key head has seen. It is two
products of the matrix units, small as they are: sums between threads took longer.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from csm.engine.kernels import language
from csm.engine.kernels.language import Target, gdc_launch_dependents, gdc_wait, jit, tl
from csm.engine.operands.heads import Heads


def depth_attention(
    projected: Tensor, heads: Heads, turns: Tensor, cache: Tensor, place: int
) -> Tensor:
    """Attend from one position of each slot, or from the first two at once.

    Args:
        projected: queries, keys and values, ``[B, (G * key heads + 2 * key heads) * D]``; at
            place 1 those of place 0 may come before them, ``[2 * B, …]``. Overwritten.
        heads: their numbers.
        turns: how far each pair turns at each place, complex64 ``[places, D / 2]``.
        cache: of the layer, ``[B, 2, key heads, places, D]``. Holds the places before; this one's
            keys and values are written to it.
        place: 1 or more; the first place is never alone.

    Returns:
        The heads' outputs, ``[B or 2 * B, G * key heads * D]``.
    """
    slots = len(cache)
    keys, values = cache.narrow(3, 0, place + 1).unbind(1)
    if len(projected) == slots:
        queries, keys_values = heads.turned(projected, turns[place])
        cache.select(3, place).copy_(keys_values)
        heard = F.scaled_dot_product_attention(queries.transpose(1, 2), keys, values)
        return heard.transpose(1, 2).reshape(slots, -1)
    by = turns[:2].repeat_interleave(slots, 0)[:, None]
    queries, keys_values = heads.turned(projected, by)
    cache.narrow(3, 0, 2).copy_(keys_values.unflatten(0, (2, slots)).permute(1, 2, 3, 0, 4))
    queries = queries.unflatten(0, (2, slots)).permute(1, 3, 0, 2, 4).flatten(2, 3)
    own = torch.arange(2, device=queries.device).repeat_interleave(heads.group)
    seen = torch.arange(2, device=queries.device) <= own[:, None]
    heard = F.scaled_dot_product_attention(queries, keys, values, attn_mask=seen)
    heard = heard.view(slots, heads.key_heads, 2, heads.group, -1)
    return heard.permute(2, 0, 3, 1, 4).reshape(2 * slots, -1)


#: Rows and columns of the matrix units' smallest product, to which queries, places and values of a
#: head are filled up.
LEAST = 16


@jit
def _turned(at, d, inside, cosine, sine):
    """A head's values, turned pair by pair in float32 and rounded to their own type."""
    here = tl.load(at + d, mask=inside, other=0.0).to(tl.float32)
    other = tl.load(at + (d ^ 1), mask=inside, other=0.0).to(tl.float32)
    turned = here * cosine + tl.where((d & 1) == 1, other, -other) * sine
    return turned.to(at.dtype.element_ty)


@partial(jit, unspecialised=("place",))
def depth_attention_kernel(
    projected,
    turns,
    cache,
    out,
    slots,
    place,
    scale,
    G: tl.constexpr,
    KH: tl.constexpr,
    D: tl.constexpr,
    PLACES: tl.constexpr,
    GP: tl.constexpr,
    DP: tl.constexpr,
    P: tl.constexpr,
    FIRST: tl.constexpr,
    PDL: tl.constexpr,
):
    """One slot's key head and the queries that share it."""
    b = tl.program_id(0)
    h = tl.program_id(1)
    if PDL:
        gdc_launch_dependents()
    g = tl.arange(0, GP)
    d = tl.arange(0, DP)
    p = tl.arange(0, P)
    inside = d < D
    heads = (g < G)[:, None] & inside[None]
    width: tl.constexpr = (G + 2) * KH * D
    keys = cache + (b * 2 * KH + h) * (PLACES * D)
    values = keys + KH * PLACES * D
    kind = cache.dtype.element_ty
    cosine = tl.load(turns + place * D + (d & ~1), mask=inside, other=0.0)
    sine = tl.load(turns + place * D + (d | 1), mask=inside, other=0.0)
    if not FIRST:
        # What is before was written by a frame's earlier places, whose kernels the one before this
        # has waited for: it is read while that one goes on.
        at = p[:, None] * D + d[None]
        before = (p < place)[:, None] & inside[None]
        K = tl.load(keys + at, mask=before, other=0.0)
        V = tl.load(values + at, mask=before, other=0.0)
    if PDL:
        gdc_wait()
    row = b
    if FIRST:
        row = slots + b
    start = projected + row * width + h * D
    q = _turned(start + g[:, None] * (KH * D), d[None], heads, cosine[None], sine[None])
    k = _turned(start + G * KH * D, d, inside, cosine, sine)
    v = tl.load(start + (G + 1) * KH * D + d, mask=inside, other=0.0)
    tl.store(keys + place * D + d, k, mask=inside)
    tl.store(values + place * D + d, v, mask=inside)
    own = (p == place)[:, None]
    if FIRST:
        # The first place does not turn, sees itself alone, and is what the second sees before it.
        zero = projected + b * width + h * D
        k0 = tl.load(zero + G * KH * D + d, mask=inside, other=0.0)
        v0 = tl.load(zero + (G + 1) * KH * D + d, mask=inside, other=0.0)
        tl.store(keys + d, k0, mask=inside)
        tl.store(values + d, v0, mask=inside)
        tl.store(
            out + b * (G * KH * D) + g[:, None] * (KH * D) + h * D + d[None],
            tl.broadcast_to(v0[None], (GP, DP)),
            mask=heads,
        )
        K = tl.where((p == 0)[:, None], k0[None], 0.0)
        V = tl.where((p == 0)[:, None], v0[None], 0.0)
    K = tl.where(own, k[None], K).to(kind)
    V = tl.where(own, v[None], V).to(kind)
    scores = tl.dot(q, tl.trans(K), input_precision="ieee") * scale
    scores = tl.where((p <= place)[None], scores, float("-inf"))
    share = tl.exp(scores - tl.max(scores, 1)[:, None])
    share = share / tl.sum(share, 1)[:, None]
    heard = tl.dot(share.to(kind), V, input_precision="ieee")
    tl.store(
        out + row * (G * KH * D) + g[:, None] * (KH * D) + h * D + d[None],
        heard.to(kind),
        mask=heads,
    )


def fused_depth_attention(
    projected: Tensor, heads: Heads, turns: Tensor, cache: Tensor, place: int, target: Target
) -> Tensor:
    """``depth_attention`` in one kernel; ``projected`` is left as it is."""
    slots, _, key_heads, places, head = cache.shape
    out = projected.new_empty(len(projected), heads.group * key_heads * head)
    language.launch(
        depth_attention_kernel,
        (slots, key_heads),
        projected,
        torch.view_as_real(turns),
        cache,
        out,
        slots,
        place,
        head**-0.5,
        G=heads.group,
        KH=key_heads,
        D=head,
        PLACES=places,
        GP=language.block(heads.group, LEAST),
        DP=language.block(head, LEAST),
        P=language.block(places, LEAST),
        FIRST=len(projected) > slots,
        warps=4,
        dependent=target.dependent,
    )
    return out
