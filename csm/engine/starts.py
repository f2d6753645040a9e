"""Prompts to keys and values: a voice's once, a segment's own text each time one begins.

On a GPU the segments that begin in one turn go through together, as the host's time for a pass is
more than the device's. What a segment's rows are computed beside must not change them, not even in
the last bit: shapes choose kernels, and kernels the order of additions. So the shape of a pass
follows from the segment's own length alone, and what is missing to it is filled with rows that
count for nothing. So there are few shapes, and the usual ones are captured. On a CPU, where
arithmetic is what takes the time, each goes alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from csm.engine import device
from csm.engine.capture import Captured
from csm.engine.model import Model, prefill
from csm.engine.operands.slots import Slots
from csm.engine.operands.state import ROWS, column
from csm.engine.prompt import Prompt

#: Texts are filled up to a multiple of so many tokens, and caches are read up to one of so many
#: positions.
LENGTH_STEP, REACH_STEP = 64, 512
#: Segments in a pass, and tokens of the longest of which there are so many.
TOGETHER, LONGEST_TOGETHER = 4, 256
#: Lengths and reaches of the passes that are captured: those of short texts and voices, as a daemon
#: speaks them.
USUAL = tuple((length, reach) for length in (64, 128) for reach in (512, 1024))


@dataclass(frozen=True, eq=False)
class Start:
    """A segment that begins, or a piece of one.

    Attributes:
        slot: where.
        ids: of its text, with begin and end, int64 ``[n]``, in the host's memory.
        prefix: of its voice, from ``voice_prefix``; None for no voice.
        cap: frames at most.
        seed: at most 63 bits.
    """

    slot: int
    ids: Tensor
    prefix: Tensor | None
    cap: int
    seed: int

    @property
    def begins(self) -> int:
        """The position of its first token."""
        return 0 if self.prefix is None else self.prefix.shape[3]

    @property
    def position(self) -> int:
        """That of its last, where frames begin."""
        return self.begins + len(self.ids) - 1


@dataclass(frozen=True, eq=False)
class Filled:
    """What a slot's cache is to hold, and what its first frame begins with.

    Attributes:
        cache: ``[layers, 2, key heads, n, D]``.
        inputs: ``[hidden]``.
    """

    cache: Tensor
    inputs: Tensor


@torch.inference_mode()
def voice_prefix(model: Model, prompt: Prompt) -> Tensor:
    """A voice's keys and values, ``[layers, 2, key heads, n, D]``."""
    rows = model.embed(prompt)
    cache = _room(model, len(rows))
    prefill(model, rows, cache, 0)
    return cache


@torch.inference_mode()
def alone(model: Model, start: Start) -> Filled:
    """Compute what a segment begins with, touching no slot: another thread may make frames."""
    rows = F.embedding(start.ids.to(model.device), model.text_embedding)
    cache = _room(model, start.position)
    if start.prefix is not None:
        cache[:, :, :, : start.begins] = start.prefix
    inputs = rows[-1].clone()
    prefill(model, rows[:-1], cache, start.begins)
    return Filled(cache, inputs)


@torch.inference_mode()
def put(slots: Slots, start: Start, filled: Filled) -> None:
    """Begin a segment with what was computed for it."""
    slots.cache[:, start.slot, :, :, : start.position] = filled.cache
    slots.begin(start.slot, filled.inputs, start.position, start.cap, start.seed)


class Together:
    """Begins segments in slots, some at once; nothing here waits for the device.

    Args:
        model: the weights.
        slots: of which none is in work yet.
        on_progress: told of the passes that are captured on a GPU: how many are, of how many.
    """

    @torch.inference_mode()
    def __init__(self, model: Model, slots: Slots, on_progress: Callable[[int, int], None]) -> None:
        self._model, self._slots = model, slots
        #: By length and reach: what a pass reads its numbers from, and the pass.
        self._captured: dict[tuple[int, int], tuple[Tensor, Captured]] = {}
        usual = [shape for shape in USUAL if shape[1] <= model.positions]
        for count, (length, reach) in enumerate(usual):

            def one_more(done: int, _of: int, before: int = count) -> None:
                on_progress(before + done, len(usual))

            # Nothing that begins: a text of no token, in a slot that is done.
            numbers = torch.zeros(TOGETHER, _IDS + length, dtype=torch.int64, device=model.device)
            numbers[:, ROWS.index("done")] = numbers[:, ROWS.index("sound")] = 1
            # Not by way of self: a circle would keep the slots' memory.
            run = partial(_pass, model, slots, numbers, reach)
            step = Captured(run, model.device, one_more)
            self._captured[length, reach] = numbers, step

    @torch.inference_mode()
    def begin(self, starts: Sequence[Start]) -> None:
        """Begin segments with the next frame."""
        for group, length, reach in _groups(starts, self._model.positions):
            for start in group:
                if start is not None and start.prefix is not None:
                    self._slots.cache[:, start.slot, :, :, : start.begins] = start.prefix
            block = _numbers(group, length)
            captured = self._captured.get((length, reach))
            if captured is None:
                _pass(self._model, self._slots, device.to(self._model.device, block), reach)
            else:
                numbers, step = captured
                device.copy(numbers, block)
                step()


def _room(model: Model, positions: int) -> Tensor:
    return model.backbone.cache(1, positions)[:, 0]


def _groups(
    starts: Sequence[Start], positions: int
) -> Iterator[tuple[list[Start | None], int, int]]:
    """Starts of the same shape, each group filled up with None."""
    alike: defaultdict[tuple[int, int, int], list[Start | None]] = defaultdict(list)
    for start in starts:
        length = _up(len(start.ids), LENGTH_STEP)
        reach = min(_up(start.position + 1, REACH_STEP), positions)
        count = TOGETHER if length <= LONGEST_TOGETHER else 1
        alike[count, length, reach].append(start)
    for (count, length, reach), group in alike.items():
        for first in range(0, len(group), count):
            some = group[first : first + count]
            yield some + [None] * (count - len(some)), length, reach


def _up(number: int, step: int) -> int:
    return -(-number // step) * step


#: Of a start's numbers: after those of its slot's state.
_SLOT, _BEGINS, _COUNT, _IDS = range(len(ROWS), len(ROWS) + 4)


def _numbers(group: Sequence[Start | None], length: int) -> Tensor:
    """All that the device is to know, in one block, int64 ``[starts, numbers]``."""
    block = torch.zeros(len(group), _IDS + length, dtype=torch.int64)
    for row, start in zip(block, group, strict=True):
        if start is None:
            # The first of the group over again, of which no token is prefilled.
            row.copy_(block[0])
            row[_COUNT] = 0
            continue
        row[:_SLOT] = torch.tensor(column(start.position, start.cap, start.seed))
        row[_SLOT], row[_BEGINS], row[_COUNT] = start.slot, start.begins, len(start.ids) - 1
        row[_IDS : _IDS + len(start.ids)] = start.ids
    return block


def _pass(model: Model, slots: Slots, numbers: Tensor, reach: int) -> None:
    stack, heads, places = model.backbone, model.backbone.heads, numbers[:, _SLOT]
    count, length = len(numbers), numbers.shape[1] - _IDS
    rows = F.embedding(numbers[:, _IDS:], model.text_embedding)
    # The last token of each is what its first frame begins with.
    own_count = numbers[:1, _COUNT] * (numbers[:, _COUNT] == 0) + numbers[:, _COUNT]
    slots.inputs[places] = rows[torch.arange(count, device=rows.device), own_count]
    slots.state.values[:, places] = numbers[:, : len(ROWS)].t()

    steps = torch.arange(length, device=rows.device)
    # What counts for nothing goes where a slot comes last, and writes before it reads.
    counts = steps < numbers[:, _COUNT, None]
    own = torch.where(counts, numbers[:, _BEGINS, None] + steps, model.positions - 1).flatten()
    target = places.repeat_interleave(length), own
    seen = torch.arange(reach, device=rows.device) <= own[:, None]
    seen = seen.view(count, 1, length, 1, reach).expand(-1, -1, -1, heads.group, -1).flatten(2, 3)
    # What is added to scores; torch would make it of what is seen in each layer anew.
    mask = torch.zeros_like(seen, dtype=rows.dtype).masked_fill_(~seen, float("-inf"))
    turns = stack.turns.index_select(0, own)[:, None]
    flat = rows.view(count * length, -1)
    for layer, cache in zip(stack.layers, slots.cache, strict=True):
        projected = layer.queries_keys_values(layer.attention_norm(flat))
        queries, keys_values = heads.turned(projected, turns)
        cache.permute(0, 3, 1, 2, 4).index_put_(target, keys_values)
        keys, values = cache[:, :, :, :reach].index_select(0, places).unbind(1)
        queries = queries.reshape(count, length * heads.group, heads.key_heads, -1)
        heard = F.scaled_dot_product_attention(
            queries.transpose(1, 2), keys, values, attn_mask=mask
        )
        layer.attention_out.add_to(flat, heard.transpose(1, 2).reshape(count * length, -1))
        gate, up = layer.gate_up(layer.mlp_norm(flat)).chunk(2, dim=1)
        layer.down.add_to(flat, F.silu(gate, inplace=True).mul_(up))
