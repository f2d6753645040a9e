"""Segments that are read anew: which there are, and what stays of the take before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from csm import SAMPLE_RATE
from narrator_daemon.claims.failure import ErrorCode
from narrator_daemon.narration.marking import is_weak
from narrator_daemon.narration.narrate import seed_of
from narrator_daemon.narration.retake import CannotRetake, Retake
from narrator_daemon.narration.segment_store import KeptSegments, SegmentFile
from narrator_daemon.settings import Kept
from watermark import MIN_SECONDS, WEAK_SCORE

TEXTS = ["One.", "Two.", "Three."]


def sound(number: int) -> np.ndarray:
    return np.full(100, number / 8, dtype=np.float32)


@pytest.fixture
def kept(tmp_path: Path) -> KeptSegments:
    """With a published take whose second segment is not there."""
    store = KeptSegments(Kept(folder=tmp_path))
    with store.open("old", TEXTS) as spoken:
        spoken.add(0, sound(1), {"draws": 1})
        spoken.add(2, sound(3), {"draws": 3})
    store.publish("old")
    return store


def retake(*numbers: int, base: str | None = "old") -> Retake:
    return Retake(frozenset(numbers), base, 77)


def refused(wanted: Retake, kept: KeptSegments, spoken: SegmentFile) -> ErrorCode:
    with pytest.raises(CannotRetake) as error:
        wanted.take_over(kept, spoken, TEXTS)
    assert str(error.value) == error.value.failure.message
    return error.value.failure.code


@pytest.mark.parametrize("numbers", [(1,), (3,), (1, 2, 3)])
def test_segments_that_there_are_can_be_read_anew(numbers: tuple[int, ...]) -> None:
    retake(*numbers).check(3)


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((), "no segment is named"),
        ((4,), "there is no segment 4"),
        ((1, 9, 7, 6, 5, 4, 8), "there is no segment 4, 5, 6, 7, 8"),
    ],
)
def test_others_are_told(numbers: tuple[int, ...], told: str) -> None:
    with pytest.raises(CannotRetake, match=told + r"\.$") as error:
        retake(*numbers).check(3)
    assert error.value.failure.code is ErrorCode.NO_SUCH_SEGMENT


def test_what_stays_is_taken_over_with_the_seed_of_its_voice(kept: KeptSegments) -> None:
    wanted = retake(2)
    with kept.open("new", TEXTS) as spoken:
        assert wanted.voice_seed(spoken) == 77
        wanted.take_over(kept, spoken, TEXTS)
        assert spoken.indices == {0, 2}
        for index in (0, 2):
            assert np.array_equal(spoken.samples(index), sound(index + 1))
            assert spoken.note(index) == {"voiceSeed": 77, "draws": index + 1}
        assert Retake(frozenset([2]), "old", 5).voice_seed(spoken) == 77


def test_what_an_attempt_before_took_over_stays(kept: KeptSegments) -> None:
    with kept.open("new", TEXTS) as spoken:
        spoken.add(0, sound(9), {})
        spoken.add(2, sound(9), {})
        retake(2, base="none").take_over(kept, spoken, TEXTS)
        assert np.array_equal(spoken.samples(0), sound(9))


def test_what_is_not_all_kept_cannot_be_read_anew_in_parts(kept: KeptSegments) -> None:
    with kept.open("new", TEXTS) as spoken:
        for wanted in (retake(1), retake(2, base="none"), retake(2, base=None)):
            assert refused(wanted, kept, spoken) is ErrorCode.SEGMENTS_NOT_KEPT
            assert spoken.indices == set()
        # Nothing of it stays.
        retake(1, 2, 3, base=None).take_over(kept, spoken, TEXTS)


def test_a_take_has_a_seed_of_its_own_that_its_retries_share() -> None:
    seeds = {seed_of("a", 1), seed_of("a", 2), seed_of("b", 1)}
    assert len(seeds) == 3 and seed_of("a", 1) in seeds
    assert all(0 <= seed < 2**63 for seed in seeds)
    # For ever: what is kept of a narration is found by it.
    assert seed_of("a", 1) == 0x159620533836CF2F


@pytest.mark.parametrize(
    ("score", "seconds", "weak"),
    [
        (WEAK_SCORE, MIN_SECONDS, False),
        (WEAK_SCORE - 0.1, MIN_SECONDS, True),
        (WEAK_SCORE, MIN_SECONDS - 1, True),
        (WEAK_SCORE - 0.1, MIN_SECONDS - 1, True),
    ],
)
def test_a_mark_is_weak_by_its_score_or_by_how_short_the_file_is(
    score: float, seconds: float, weak: bool
) -> None:
    assert is_weak(score, round(seconds * SAMPLE_RATE)) is weak
