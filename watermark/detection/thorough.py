"""A second way to find the place, for copies whose pilot was attacked: by the data itself.

The pilot is the same for all books, so whoever owns enough of them can estimate it and take it
back. The data's signs differ from book to book. But a block carries each coded bit five times, in
cells whose keyed signs are known up to that bit; so at the right place any two of them agree,
whatever the book is. The agreement of all 2,240 pairs of a block, summed over the blocks of a
stretch, is looked up at every place of the cycle: one matrix product for each hypothesis of changed
speed, tempo or pitch, forty times the work of a look-up by pilot.

The place is then chosen by the cells that are scored, so every place counts as a test of its own:
the price is a threshold of 9.5 instead of 6.6 deviations for a thousand books.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from watermark.detection.acquisition import (
    CHANGES,
    PHASES,
    UNCHANGED,
    Change,
    Line,
    distinct,
    read_cells,
)
from watermark.detection.evidence import Trail, straight
from watermark.detection.features import Features
from watermark.pattern import (
    BLOCK_CELLS,
    CELL_SECONDS,
    CYCLE_BLOCKS,
    CYCLE_CELLS,
    DATA_BANDS,
    REPEATS,
    Pattern,
    pattern_of,
)
from watermark.payload import CODED_BITS

#: The stretch in which changed sound is looked for: longer ones fall out of step.
_STRETCH_SECONDS = 20.0
#: Lines kept of each look-up.
_KEEP = 4
_ONE, _OTHER = np.triu_indices(REPEATS, 1)


def _homes(pattern: Pattern) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Cell in the block and data band of each repeat of each coded bit, ``[bit, repeat]``."""
    order = np.argsort(pattern.coded_bit, axis=None, kind="stable").reshape(CODED_BITS, REPEATS)
    cell, band = np.divmod(order, len(DATA_BANDS))
    return cell, band


@lru_cache(maxsize=2)
def _pair_signs(key: bytes) -> NDArray[np.float32]:
    """Whether the keyed signs of each pair are alike in each block, ``[block, pair]``; 55 MB."""
    pattern = pattern_of(key)
    cell, band = _homes(pattern)
    signs = pattern.signs[:, DATA_BANDS].reshape(CYCLE_BLOCKS, BLOCK_CELLS, -1)[:, cell, band]
    pairs: NDArray[np.int8] = signs[:, :, _ONE] * signs[:, :, _OTHER]
    return pairs.reshape(CYCLE_BLOCKS, -1).astype(np.float32)


def _agreement(pattern: Pattern, cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """How well pairs agree if a block begins at a cell, in deviations.

    Args:
        pattern: the key's.
        cells: evidence of the data cells, ``[n, len(DATA_BANDS)]``, n at least a block's.

    Returns:
        ``[CYCLE_BLOCKS, BLOCK_CELLS]``: for each block of the cycle, and for each of the first
        cells to be its beginning, the sum over it and all that follow.
    """
    cell, band = _homes(pattern)
    starts = len(cells) - BLOCK_CELLS + 1
    repeats = np.lib.stride_tricks.sliding_window_view(cells, starts, axis=0)[cell, band]
    products = (repeats[:, _ONE] * repeats[:, _OTHER]).reshape(-1, starts)
    sums = _pair_signs(pattern.key) @ products
    energy = np.square(products).sum(axis=0)
    total = np.zeros((CYCLE_BLOCKS, BLOCK_CELLS), np.float32)
    variance = np.full(BLOCK_CELLS, 1e-6, np.float32)
    for number, first in enumerate(range(0, starts, BLOCK_CELLS)):
        here = sums[:, first : first + BLOCK_CELLS]
        total[:, : here.shape[1]] += np.roll(here, -number, axis=0)
        variance[: here.shape[1]] += energy[first : first + BLOCK_CELLS]
    return np.asarray(total / np.sqrt(variance), np.float32)


def _look_up(
    pattern: Pattern,
    features: Features,
    begin: float,
    end: float,
    changes: tuple[Change, ...],
) -> list[Line]:
    found: list[Line] = []
    for change in changes:
        step = CELL_SECONDS / change.pace
        count = int((end - begin) / step)
        if count < BLOCK_CELLS:
            return []
        for phase in range(PHASES):
            origin = begin + (phase + 0.5) / PHASES * step
            seconds = np.asarray(origin + np.arange(count) * step, np.float64)
            cells = read_cells(features, change, seconds, DATA_BANDS)
            agreement = _agreement(pattern, cells)
            for flat in np.argpartition(agreement, -_KEEP, axis=None)[-_KEEP:]:
                block, first = divmod(int(flat), BLOCK_CELLS)
                place = (block * BLOCK_CELLS - first) % CYCLE_CELLS
                found.append(Line(change, origin, place, float(agreement.flat[flat])))
    return distinct(sorted(found, key=lambda line: -line.score), _KEEP)


def _busiest(features: Features, seconds: float) -> tuple[float, float]:
    """The stretch that says most."""
    frames = max(int(min(_STRETCH_SECONDS, seconds) * features.frames_a_second), 1)
    sums = features.power[frames:] - features.power[:-frames]
    begin = float(sums.argmax()) / features.frames_a_second if len(sums) else 0.0
    return begin, min(begin + _STRETCH_SECONDS, seconds)


@dataclass(frozen=True)
class LookUp:
    """What one look-up gave.

    Attributes:
        trails: along the likeliest lines.
        places: how many places, at how many changes of speed, they were chosen from.
    """

    trails: tuple[Trail, ...]
    places: int


def search_by_data(pattern: Pattern, features: Features, seconds: float) -> Iterator[LookUp]:
    """What in a minute of sound may be this key's mark, by the data alone.

    Args:
        pattern: the key's.
        features: of the sound.
        seconds: its length, at most two minutes.
    """
    begin, end = _busiest(features, seconds)
    for first, last, changes in ((0.0, seconds, (UNCHANGED,)), (begin, end, CHANGES[1:])):
        lines = _look_up(pattern, features, first, last, changes)
        trails = tuple(straight(features, line, first, last) for line in lines)
        yield LookUp(trails, CYCLE_CELLS * PHASES * len(changes))
