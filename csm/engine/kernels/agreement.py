"""Whether kernels give what their plain twins give, at a model's own sizes and with its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from csm.engine.kernels.operations import Kernels, Plain
from csm.engine.operands.sampling import Sampling
from csm.engine.operands.slots import Slots

if TYPE_CHECKING:
    from csm.engine.model import Model, Stack

#: Numbers of slots that are tried: one, and more than a program's least rows.
SLOTS = (1, 24)
#: The most that results may differ, as a share of the greatest: each is rounded to the type's
#: precision a few times on its way, at other points than its twin.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 4e-2}
#: The share of draws that may differ: where two codes are as likely to within a rounding.
DRAWS = 0.05
#: Positions of the slots that are tried, as shares of what there is.
FILLED = (0.0, 0.03, 0.5, 0.99)


def disagreements(kernels: Kernels, model: Model, counts: tuple[int, ...] = SLOTS) -> list[str]:
    """Names of the operations that do not do what their twins do; of all that were tried.

    Args:
        kernels: to be tried.
        model: whose weights and sizes they are tried with.
        counts: numbers of slots.
    """
    with torch.inference_mode():
        return [
            f"{name} of {count} slots"
            for count in counts
            for name, agree in TRIALS.items()
            if not agree(kernels, Plain("the twin"), model, count)
        ]


def close(one: Tensor, other: Tensor) -> bool:
    """Whether two results are the same but for where they were rounded."""
    scale = other.float().abs().max().clamp(min=1e-6)
    worst = (one.float() - other.float()).abs().max() / scale
    return bool(worst <= TOLERANCE[one.dtype])


def _random(model: Model, *shape: int) -> Tensor:
    generator = torch.Generator(model.device).manual_seed(len(shape) + sum(shape))
    values = torch.randn(shape, generator=generator, device=model.device)
    return values.to(model.dtype)


def _products(kernels: Kernels, plain: Plain, model: Model, count: int) -> bool:
    return all(
        _products_of(stack, kernels, plain, count) for stack in (model.backbone, model.depth)
    )


def _products_of(stack: Stack, kernels: Kernels, plain: Plain, count: int) -> bool:
    layer, agree = stack.layers[0], True
    generator = torch.Generator(stack.device).manual_seed(count)
    for weight, norm in (
        (layer.queries_keys_values, layer.attention_norm),
        (layer.gate_up, layer.mlp_norm),
        (layer.attention_out, None),
        (layer.down, None),
    ):
        columns = weight.weight.shape[1]
        rows = torch.randn(count, columns, generator=generator, device=stack.device)
        rows = rows.to(stack.dtype)
        if norm is None:
            totals = torch.ones(2, count, len(weight.weight), device=stack.device).to(stack.dtype)
            kernels.add_product(totals[0], rows, weight)
            plain.add_product(totals[1], rows, weight)
            agree &= close(totals[0], totals[1])
        elif weight is layer.gate_up:
            made = kernels.gated_product(rows, weight, norm)
            agree &= close(made, plain.gated_product(rows, weight, norm))
        else:
            agree &= close(kernels.product(rows, weight, norm), plain.product(rows, weight, norm))
    return agree


def _heads(kernels: Kernels, plain: Plain, model: Model, count: int) -> bool:
    states = _random(model, count, model.backbone.hidden)
    rows = _random(model, count, model.depth.hidden)
    return all(
        close(kernels.product(given, weight, norm), plain.product(given, weight, norm))
        for given, weight, norm in (
            (states, model.projection, model.backbone.norm),
            (states, model.heads[0], model.backbone.norm),
            (rows, model.heads[1], model.depth.norm),
        )
    )


def _decode_attention(kernels: Kernels, plain: Plain, model: Model, count: int) -> bool:
    stack, places = model.backbone, model.positions
    cache = _random(model, count, 2, stack.heads.key_heads, places, stack.heads.size)
    filled = torch.tensor([FILLED[slot % len(FILLED)] for slot in range(count)])
    positions = (filled * places).long().to(model.device)
    projected = _random(model, count, stack.heads.width)
    caches = cache.clone(), cache
    one = kernels.decode_attention(
        projected.clone(), stack.heads, stack.turns, caches[0], positions
    )
    other = plain.decode_attention(projected, stack.heads, stack.turns, caches[1], positions)
    return close(one, other) and close(*caches)


def _depth_attention(kernels: Kernels, plain: Plain, model: Model, count: int) -> bool:
    stack, agree = model.depth, True
    cache = model.depth.cache(count, model.codebooks)[0]
    caches = cache.clone(), cache
    for place in range(1, model.codebooks):
        rows = 2 * count if place == 1 else count
        projected = _random(model, rows, stack.heads.width)
        one = kernels.depth_attention(projected.clone(), stack.heads, stack.turns, caches[0], place)
        other = plain.depth_attention(projected, stack.heads, stack.turns, caches[1], place)
        agree &= close(one, other)
    return agree and close(*caches)


def _draws(kernels: Kernels, plain: Plain, model: Model, count: int) -> bool:
    sampling = Sampling()
    sizes = {"codebooks": model.codebooks, "codes": model.codes}
    seeds = torch.arange(count, device=model.device) * 7
    frames = torch.arange(count, device=model.device) % 9
    codes, sounds = [], []
    for one in (kernels, plain):
        sampler = one.sampler(sampling, device=model.device, **sizes)
        sound = torch.ones(count, dtype=torch.int64, device=model.device)
        drawn = torch.zeros(model.codebooks, count, dtype=torch.int64, device=model.device)
        rows = torch.zeros(count, model.depth.hidden, device=model.device, dtype=model.dtype)
        sampler.start(seeds, frames, sound)
        for codebook in range(model.codebooks):
            logits = 3 * _random(model, count, model.codes + codebook)[:, : model.codes]
            logits = logits.contiguous()
            if codebook == 0:
                logits[:, 0] += 6.0  # So that some want to end.
            if codebook == model.codebooks - 1:
                logits[0, 1] = float("nan")
                sampler.draw(logits, codebook, drawn[codebook])
            else:
                table = model.depth_embeddings[codebook]
                sampler.draw_and_look_up(logits, codebook, drawn[codebook], table, rows)
                if not torch.equal(rows, table[drawn[codebook]]):
                    return False
        sampler.end()
        codes.append(drawn[:-1])
        sounds.append(sound)
    alike = (codes[0] == codes[1]).float().mean()
    return bool(alike >= 1 - DRAWS) and torch.equal(*sounds) and sounds[0].tolist()[0] == 0


def _finish(kernels: Kernels, plain: Plain, model: Model, count: int) -> bool:
    # Their caches are not needed, and large.
    count = min(count, 2)
    both = [Slots(model, count) for _ in range(2)]
    generator = torch.Generator().manual_seed(count)
    codes = torch.randint(0, model.codes, (model.codebooks, count), generator=generator)
    codes[:, 0] = 0
    for slots, one in zip(both, (kernels, plain), strict=True):
        slots.codes.copy_(codes)
        slots.caps.fill_(5)
        slots.done.zero_()
        # One slot ends, the other repeats itself.
        for _ in range(4):
            one.finish(slots, model.audio_embedding, Sampling(most_held=2))
    made, twin = both
    return (
        close(made.inputs, twin.inputs)
        and torch.equal(made.report, twin.report)
        and torch.equal(made.positions, twin.positions)
        and torch.equal(made.history, twin.history)
    )


#: Names of operations and whether they agree: kernels, their twins, a model and a number of slots.
TRIALS: dict[str, Callable[[Kernels, Plain, Model, int], bool]] = {
    "products": _products,
    "heads": _heads,
    "decode attention": _decode_attention,
    "depth attention": _depth_attention,
    "draws": _draws,
    "the end of a frame": _finish,
}
