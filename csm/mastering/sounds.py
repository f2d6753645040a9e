"""The sound of a take, without its silent ends, and where its sentences end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from csm.audio import LEVEL_SECONDS, SILENCE_DBFS, SOUND_BELOW_LOUD_DB, ratio
from csm.silence import levels, sounding

#: Seconds kept before and after a sound, and faded at its ends.
PAD_SECONDS = 0.06
FADE_SECONDS = 0.01

#: Inside a take a voice breathes and its room hums: a pause is what is at most 6 dB above the
#: quietest twentieth, and at least this much below the loud parts.
_ABOVE_FLOOR = 2.0
_PAUSE_BELOW_LOUD_DB = 26.0
#: Shorter silences are inside words.
_SHORTEST_PAUSE_SECONDS = 0.08
#: A silence of this length or more is as likely as any to be where a sentence ends.
_LONG_PAUSE_SECONDS = 0.5
#: How far from where the text has it a sentence may end: in seconds, and as a share of the take.
_OFF_SECONDS = 0.8
_OFF_SHARE = 0.12


def sound_of(samples: NDArray[np.float32], rate: int) -> tuple[int, int]:
    """First sample of the sound in ``samples`` ``[n]`` and the one after its last; 0, 0 if none."""
    frame = max(1, round(LEVEL_SECONDS * rate))
    places = np.flatnonzero(sounding(levels(samples, rate)))
    if not len(places):
        return 0, 0
    return int(places[0]) * frame, min(len(samples), (int(places[-1]) + 1) * frame)


def sentence_gaps(
    samples: NDArray[np.float32], rate: int, shares: Sequence[float]
) -> list[tuple[int, int] | None]:
    """The silences at which the sentences of a take end.

    Of the silences inside it, those are chosen, in order, that are long and near to where the text
    has the ends of its sentences.

    Args:
        samples: of a take without its silent ends, ``[n]``.
        rate: samples a second.
        shares: for each sentence but the last the share of the text up to its end, 0..1, ascending.

    Returns:
        For each of ``shares`` the silence, as its first sample and the one after its last, or None
        where the voice made none.
    """
    frame = max(1, round(LEVEL_SECONDS * rate))
    level = levels(samples, rate)
    gaps = _gaps(level)
    heard = np.concatenate(([0], np.cumsum(_is_sound(level))))
    total = int(heard[-1])
    if not shares or not gaps or not total:
        return [None] * len(shares)
    seconds = total * LEVEL_SECONDS
    off = max(_OFF_SHARE, _OFF_SECONDS / seconds)
    scores = np.array(
        [
            [
                min(1.0, (end - start) * LEVEL_SECONDS / _LONG_PAUSE_SECONDS)
                - ((heard[start] / total - share) / off) ** 2
                for start, end in gaps
            ]
            for share in shares
        ]
    )
    return [
        None if choice is None else (gaps[choice][0] * frame, gaps[choice][1] * frame)
        for choice in _in_order(scores)
    ]


def _in_order(scores: NDArray[np.float64]) -> list[int | None]:
    """For each row a column further right than those above it, or None, of the greatest sum."""
    rows, columns = scores.shape
    best = np.zeros((rows + 1, columns + 1))
    for row in range(1, rows + 1):
        for column in range(1, columns + 1):
            best[row, column] = max(
                best[row - 1, column],
                best[row, column - 1],
                best[row - 1, column - 1] + scores[row - 1, column - 1],
            )
    chosen: list[int | None] = [None] * rows
    row, column = rows, columns
    while row and column:
        if best[row, column] == best[row, column - 1]:
            column -= 1
        elif best[row, column] == best[row - 1, column]:
            row -= 1
        else:
            row, column = row - 1, column - 1
            chosen[row] = column
    return chosen


def _is_sound(level: NDArray[np.float64]) -> NDArray[np.bool_]:
    if not len(level):
        return np.zeros(0, dtype=bool)
    loud, floor = np.percentile(level, (95, 5))
    threshold = np.clip(
        _ABOVE_FLOOR * floor,
        max(loud * ratio(-SOUND_BELOW_LOUD_DB), ratio(SILENCE_DBFS)),
        max(loud * ratio(-_PAUSE_BELOW_LOUD_DB), ratio(SILENCE_DBFS)),
    )
    return np.asarray(level > threshold)


def _gaps(level: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Silences between two sounds, in frames: first, and the one after the last."""
    places = np.flatnonzero(_is_sound(level))
    shortest = _SHORTEST_PAUSE_SECONDS / LEVEL_SECONDS
    return [(int(one) + 1, int(two)) for one, two in pairwise(places) if two - one - 1 >= shortest]


def padded(
    samples: NDArray[np.float32], rate: int, start: int, end: int, low: int, high: int
) -> NDArray[np.float32]:
    """A sound with pads of 60 ms, faded at both ends.

    Args:
        samples: that hold it, ``[n]``.
        rate: samples a second.
        start: its first sample.
        end: the one after its last.
        low: the first sample that its pads may hold; before it they are silent.
        high: the one after the last that they may hold.
    """
    pad = round(PAD_SECONDS * rate)
    kept = np.zeros(end - start + 2 * pad, dtype=np.float32)
    low, high = max(low, start - pad), min(high, end + pad)
    offset = low - (start - pad)
    kept[offset : offset + high - low] = samples[low:high]
    fade = min(round(FADE_SECONDS * rate), (high - low) // 2)
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / max(1, fade))).astype(np.float32)
    kept[offset : offset + fade] *= ramp
    kept[offset + high - low - fade : offset + high - low] *= ramp[::-1]
    return kept
