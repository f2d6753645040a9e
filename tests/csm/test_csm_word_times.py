"""Starts of words beside silences, where recognisers are wrong by a short word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from csm import SAMPLE_RATE
from csm.takes.word_times import snapped

WORDS = ["Having", "learned", "the", "grand", "manner", "in", "schools"]


def take(*stretches: tuple[float, float], seconds: float = 3.0) -> NDArray[np.float32]:
    """Sound in these stretches of seconds."""
    samples = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    noise = np.random.default_rng(1).standard_normal(len(samples)).astype(np.float32)
    for start, end in stretches:
        part = slice(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
        samples[part] = 0.1 * noise[part]
    return samples


#: "Having learned the | grand manner | in schools"
SOUND = take((0.1, 1.0), (1.15, 1.9), (2.05, 2.7))
TRUE = [0.1, 0.45, 0.85, 1.15, 1.5, 2.05, 2.2]


@pytest.mark.parametrize("off", [-0.25, -0.1, 0.0, 0.1, 0.3])
def test_a_word_behind_a_silence_begins_at_its_end(off: float) -> None:
    starts = list(TRUE)
    starts[3] += off
    starts[2:5] = sorted(starts[2:5])
    found = snapped(SOUND, starts, WORDS)
    assert (found[3], found[5]) == pytest.approx((1.15, 2.05), abs=0.02)
    assert list(found) == sorted(found)


def test_a_short_word_before_a_silence_is_not_taken_for_the_one_behind_it() -> None:
    # The recogniser is late by a word: "the" begins where it ends.
    starts = [0.1, 0.45, 0.93, 1.36, 1.5, 2.05, 2.2]
    found = snapped(SOUND, starts, WORDS)
    assert found[3] == pytest.approx(1.15, abs=0.02)
    assert found[2] == pytest.approx(0.93)


def test_a_silence_that_no_word_is_near_moves_none() -> None:
    starts = [0.1, 0.4, 0.5, 0.55, 0.6, 2.6, 2.65]
    assert snapped(SOUND, starts, WORDS)[1:] == tuple(starts[1:])


@settings(deadline=None)
@given(st.lists(st.floats(0, 3), min_size=1, max_size=12))
def test_whatever_a_recogniser_says_starts_ascend(starts: list[float]) -> None:
    found = snapped(SOUND, sorted(starts), ["word"] * len(starts))
    assert len(found) == len(starts) and list(found) == sorted(found)


def test_nothing_is_found_in_silence() -> None:
    assert snapped(np.zeros(24_000, np.float32), [0.1, 0.2], ["a", "b"]) == (0.1, 0.2)
