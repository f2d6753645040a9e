"""Where the words of a take are: ends from its sound, and starts where nothing better is known."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from csm.audio import LEVEL_SECONDS, SAMPLE_RATE
from csm.mastering.sounds import sentence_gaps, sound_of
from csm.silence import levels, sounding

#: What a word takes beside its letters, in letters: small words are said more slowly.
_EACH = 1.5

#: A recogniser's starts are moved to the end of a silence of this length, if they lie within it or
#: so many seconds before or after. Shorter ones are inside words: what closes before a "t".
_SNAPPED_SILENCE_SECONDS = 0.1
_SNAPPED_BEFORE, _SNAPPED_AFTER = 0.15, 0.35
#: Ends of words are not so far from a silence.
_ENDS_AFTER = 0.15


def estimated(samples: NDArray[np.float32], words: Sequence[str]) -> tuple[float, ...]:
    """Where words begin, by their lengths and by the silences where marks ask for one.

    Args:
        samples: of a take, float32 mono at ``csm.SAMPLE_RATE``, ``[n]``.
        words: what is said in it, in order, with their punctuation.

    Returns:
        Seconds, ascending, one for each word.
    """
    start, end = sound_of(samples, SAMPLE_RATE)
    lengths = [sum(map(str.isalnum, word)) + _EACH for word in words]
    behind = [0.0, *accumulate(lengths)]
    marked = [
        number for number, word in enumerate(words[:-1], 1) if word.rstrip("\"')")[-1:] in ",;:.?!-"
    ]
    gaps = sentence_gaps(
        samples[start:end], SAMPLE_RATE, [behind[number] / behind[-1] for number in marked]
    )
    # Between two silences the words share the time by their lengths.
    stretches: list[tuple[int, int, int]] = []
    first, begin = 0, start
    for number, gap in zip(marked, gaps, strict=True):
        if gap is not None:
            stretches.append((first, begin, start + gap[0]))
            first, begin = number, start + gap[1]
    stretches.append((first, begin, end))
    starts: list[float] = []
    for place, (first, begin, finish) in enumerate(stretches):
        last = stretches[place + 1][0] if place + 1 < len(stretches) else len(words)
        scale = (finish - begin) / max(behind[last] - behind[first], 1e-9)
        starts += [
            begin + (behind[number] - behind[first]) * scale for number in range(first, last)
        ]
    return tuple(start / SAMPLE_RATE for start in starts)


def with_ends(
    samples: NDArray[np.float32], starts: Sequence[float]
) -> tuple[tuple[float, float], ...]:
    """Each word's start and end: it ends with the last sound before the next one's start.

    Args:
        samples: of the take, float32 mono at ``csm.SAMPLE_RATE``, ``[n]``.
        starts: seconds, ascending; what is not within the take, or descends, is put right.
    """
    silences = _silences(samples)
    seconds = len(samples) / SAMPLE_RATE
    found: list[tuple[float, float]] = []
    low = 0.0
    limits = [*starts[1:], seconds]
    for start, limit in zip(starts, limits, strict=True):
        low = min(max(start, low), seconds)
        end = until = min(max(limit, low), seconds)
        # The next word may be said to begin a moment before the silence ends.
        place = bisect_right(silences, until - _ENDS_AFTER, key=lambda silence: silence[1])
        if place < len(silences) and low < silences[place][0] < until:
            end = silences[place][0]
        found.append((low, end))
    return tuple(found)


def _silences(samples: NDArray[np.float32]) -> list[tuple[float, float]]:
    """The silences of a take that are not inside a word, and what follows its sound, in seconds."""
    sound = np.flatnonzero(sounding(levels(samples, SAMPLE_RATE)))
    if not len(sound):
        return []
    gaps = np.flatnonzero(np.diff(sound) > _SNAPPED_SILENCE_SECONDS / LEVEL_SECONDS)
    found = [
        (float(sound[gap] + 1) * LEVEL_SECONDS, float(sound[gap + 1]) * LEVEL_SECONDS)
        for gap in gaps
    ]
    return [*found, (float(sound[-1] + 1) * LEVEL_SECONDS, len(samples) / SAMPLE_RATE)]


def snapped(
    samples: NDArray[np.float32], starts: Sequence[float], words: Sequence[str]
) -> tuple[float, ...]:
    """Starts that lie in or near a silence moved to its end, where the word can be heard first.

    Which word a silence goes before is told by the recogniser and by the words' lengths together:
    around a silence either alone is wrong by a short word now and then.

    Args:
        samples: of the take, float32 mono at ``csm.SAMPLE_RATE``, ``[n]``.
        starts: of its words, seconds, ascending, from a recogniser.
        words: what is said, as many.
    """
    silences = _silences(samples)
    if not silences or not starts:
        return tuple(starts)
    moved = list(starts)
    moved[0] = sound_of(samples, SAMPLE_RATE)[0] / SAMPLE_RATE
    places = (np.asarray(starts) + np.asarray(estimated(samples, words))) / 2
    for begin, end in silences[:-1]:
        nearest = int(np.argmin(np.abs(places - end)))
        if nearest and begin - _SNAPPED_BEFORE <= starts[nearest] <= end + _SNAPPED_AFTER:
            moved[:nearest] = [min(one, begin) for one in moved[:nearest]]
            moved[nearest] = end
    return tuple(np.maximum.accumulate(moved).tolist())
