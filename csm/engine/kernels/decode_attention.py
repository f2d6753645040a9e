"""The backbone's attention of one new position of each slot, over what that slot has behind it.

Slots are of all lengths. Each reads its own and no more, so nothing of a slot's result depends on
how far the others are, and a frame is one graph whatever the lengths.

With few slots there are too few key heads to keep a GPU busy, so a slot's positions are split
between programs. The last of them to finish joins what all have left, in their order.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from csm.engine.kernels import language
from csm.engine.kernels.depth_attention import _turned
from csm.engine.kernels.language import Target, gdc_launch_dependents, gdc_wait, jit, tl
from csm.engine.operands.heads import Heads

#: Positions that a program goes through at once.
BLOCK = 64
#: Positions of a program: with up to so many slots, and with more.
FEW_SLOTS, SHARE_OF_FEW, SHARE_OF_MANY = 16, 128, 512


def decode_attention(
    projected: Tensor, heads: Heads, turns: Tensor, cache: Tensor, positions: Tensor
) -> Tensor:
    """Attend from each slot's position to all up to it.

    Args:
        projected: queries, keys and values, ``[B, (G * key heads + 2 * key heads) * D]``.
            Overwritten.
        heads: their numbers.
        turns: how far each pair turns at each position, complex64 ``[T, D / 2]``.
        cache: of the layer, ``[B, 2, key heads, T, D]``. Holds the positions before; the new keys
            and values are written to it.
        positions: int64 ``[B]``.

    Returns:
        The heads' outputs, ``[B, G * key heads * D]``.
    """
    slots = len(cache)
    queries, keys_values = heads.turned(projected, turns.index_select(0, positions)[:, None])
    queries = queries.transpose(1, 2)
    rows = torch.arange(slots, device=cache.device)
    cache.permute(0, 3, 1, 2, 4).index_put_((rows, positions), keys_values)
    if cache.is_cuda:
        # The host must not ask how far the slots are: all is read, and what is not there masked.
        seen = torch.arange(cache.shape[3], device=cache.device) <= positions[:, None]
        heard = F.scaled_dot_product_attention(
            queries, cache[:, 0], cache[:, 1], attn_mask=seen[:, None, None]
        )
    else:
        each = []
        for slot, position in enumerate(positions.tolist()):
            keys, values = cache.narrow(0, slot, 1).narrow(3, 0, position + 1).unbind(1)
            own = queries.narrow(0, slot, 1)
            each.append(F.scaled_dot_product_attention(own, keys, values))
        heard = torch.cat(each)
    return heard.transpose(1, 2).reshape(slots, -1)


@jit
def decode_attention_kernel(
    projected,
    turns,
    cache,
    out,
    positions,
    parts,
    arrived,
    scale,
    G: tl.constexpr,
    KH: tl.constexpr,
    D: tl.constexpr,
    T: tl.constexpr,
    GP: tl.constexpr,
    DP: tl.constexpr,
    BT: tl.constexpr,
    SHARE: tl.constexpr,
    SPLITS: tl.constexpr,
    PDL: tl.constexpr,
):
    """One slot's key head, the queries that share it, and a split's share of the positions."""
    b = tl.program_id(0)
    h = tl.program_id(1)
    split = tl.program_id(2)
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    position = tl.load(positions + b).to(tl.int32)
    first = split * SHARE
    if first <= position:
        g = tl.arange(0, GP)
        d = tl.arange(0, DP)
        t = tl.arange(0, BT)
        inside = d < D
        heads = (g < G)[:, None] & inside[None]
        cosine = tl.load(turns + position * D + (d & ~1), mask=inside, other=0.0)
        sine = tl.load(turns + position * D + (d | 1), mask=inside, other=0.0)
        start = projected + b * ((G + 2) * KH * D) + h * D
        kind = cache.dtype.element_ty
        q = _turned(start + g[:, None] * (KH * D), d[None], heads, cosine[None], sine[None])
        q = q.to(kind)
        k = _turned(start + G * KH * D, d, inside, cosine, sine).to(kind)
        v = tl.load(start + (G + 1) * KH * D + d, mask=inside, other=0.0)
        keys = cache + (b * 2 * KH + h).to(tl.int64) * (T * D)
        values = keys + KH * T * D
        end = tl.minimum(first + SHARE, position + 1)
        if end == position + 1:
            tl.store(keys + position * D + d, k, mask=inside)
            tl.store(values + position * D + d, v, mask=inside)
        most = tl.full((GP,), float("-inf"), tl.float32)
        total = tl.zeros((GP,), tl.float32)
        heard = tl.zeros((GP, DP), tl.float32)
        for from_ in range(first, end, BT):
            place = from_ + t
            at = place[:, None] * D + d[None]
            before = (place < position)[:, None] & inside[None]
            own = (place == position)[:, None]
            K = tl.where(own, k[None], tl.load(keys + at, mask=before, other=0.0))
            V = tl.where(own, v[None], tl.load(values + at, mask=before, other=0.0))
            scores = tl.dot(q, tl.trans(K), input_precision="ieee") * scale
            scores = tl.where((place < end)[None], scores, float("-inf"))
            higher = tl.maximum(most, tl.max(scores, 1))
            share = tl.exp(scores - higher[:, None])
            fade = tl.exp(most - higher)
            total = total * fade + tl.sum(share, 1)
            heard = tl.dot(share.to(kind), V, heard * fade[:, None], input_precision="ieee")
            most = higher
        target = out + b * (G * KH * D) + g[:, None] * (KH * D) + h * D + d[None]
        if SPLITS == 1:
            tl.store(target, (heard / total[:, None]).to(kind), mask=heads)
        else:
            # A part is [GP, DP] of what was heard, then its greatest scores, then its totals.
            size: tl.constexpr = GP * (DP + 2)
            row = parts + (b * KH + h) * (SPLITS * size)
            within = g[:, None] * DP + d[None]
            tl.store(row + split * size + within, heard)
            tl.store(row + split * size + GP * DP + g, most)
            tl.store(row + split * size + GP * (DP + 1) + g, total)
            # All of the program's threads have written before one of them says so.
            tl.debug_barrier()
            counter = arrived + b * KH + h
            wanted = position // SHARE
            if tl.atomic_add(counter, 1, sem="acq_rel") == wanted:
                tl.store(counter, 0)
                most = tl.full((GP,), float("-inf"), tl.float32)
                total = tl.zeros((GP,), tl.float32)
                heard = tl.zeros((GP, DP), tl.float32)
                for part in range(wanted + 1):
                    one = row + part * size
                    theirs = tl.load(one + GP * DP + g, cache_modifier=".cg")
                    higher = tl.maximum(most, theirs)
                    fade = tl.exp(most - higher)
                    grow = tl.exp(theirs - higher)
                    total = total * fade
                    total += grow * tl.load(one + GP * (DP + 1) + g, cache_modifier=".cg")
                    heard = heard * fade[:, None]
                    heard += grow[:, None] * tl.load(one + within, cache_modifier=".cg")
                    most = higher
                tl.store(target, (heard / total[:, None]).to(kind), mask=heads)


def splits(slots: int, positions: int) -> tuple[int, int]:
    """Positions of a program, and programs that share a slot's key head."""
    share = SHARE_OF_FEW if slots <= FEW_SLOTS else SHARE_OF_MANY
    return share, -(-positions // share)


def fused_decode_attention(
    projected: Tensor,
    heads: Heads,
    turns: Tensor,
    cache: Tensor,
    positions: Tensor,
    target: Target,
    arrived: Tensor,
) -> Tensor:
    """``decode_attention`` in one kernel; ``projected`` is left as it is.

    Args:
        projected: see there, as the others are.
        heads: …
        turns: …
        cache: …
        positions: …
        target: what it is launched on.
        arrived: counters, zero before and after, int32, at least ``B * key heads``.
    """
    slots, _, key_heads, places, head = cache.shape
    out = projected.new_empty(slots, heads.group * key_heads * head)
    share, programs = splits(slots, places)
    group, wide = language.block(heads.group, 16), language.block(head, 16)
    parts = None
    if programs > 1:
        size = slots * key_heads * programs * group * (wide + 2)
        parts = projected.new_empty(size, dtype=torch.float32)
    language.launch(
        decode_attention_kernel,
        (slots, key_heads, programs),
        projected,
        torch.view_as_real(turns),
        cache,
        out,
        positions,
        parts,
        arrived,
        head**-0.5,
        G=heads.group,
        KH=key_heads,
        D=head,
        T=places,
        GP=group,
        DP=wide,
        BT=BLOCK,
        SHARE=share,
        SPLITS=programs,
        warps=4,
        stages=3,
        dependent=target.dependent,
    )
    return out
