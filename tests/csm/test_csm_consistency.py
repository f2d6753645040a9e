"""A narration that drifts is told from one that does not, aspect by aspect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csm.takes.consistency import TOLERATED, consistency
from csm.takes.sound import BANDS
from csm.takes.usual import Profile
from csm.takes.voice import COEFFICIENTS, Voice


def takes(count: int, seed: int = 1) -> list[Profile]:
    """Takes of one voice, which differ as those of a reader do."""
    random = np.random.default_rng(seed)
    colour = np.linspace(-8, -45, BANDS)
    return [
        Profile(
            seconds=random.uniform(4, 12),
            pace=0.06 * np.exp(random.normal(0, 0.08)),
            level_db=random.normal(-20, 1.2),
            brink_db=-70.0,
            fall_db=random.normal(-20, 1.0),
            floor=random.normal(-60, 3, BANDS),
            colour=colour + random.normal(0, 1, BANDS),
            voice=Voice(
                400,
                random.normal(0, 2, COEFFICIENTS),
                np.diag(np.full(COEFFICIENTS, 60.0)),
                random.normal(7, 0.05),
            ),
        )
        for _ in range(count)
    ]


def shifted(profile: Profile, aspect: str) -> Profile:
    voice = profile.voice
    assert voice is not None
    high = np.where(np.arange(BANDS) >= 26, -9.0, 0.0)
    return {
        "level": lambda: replace(profile, level_db=profile.level_db - 5),
        "band": lambda: replace(profile, colour=profile.colour + high),
        "room": lambda: replace(profile, fall_db=profile.fall_db + 7),
        "noise": lambda: replace(profile, floor=profile.floor + 15),
        "pace": lambda: replace(profile, pace=profile.pace * 1.25),
        "voice": lambda: replace(
            profile, voice=replace(voice, mean=voice.mean + np.full(COEFFICIENTS, 6.0))
        ),
    }[aspect]()


@pytest.mark.parametrize("count", [30, 80])
@pytest.mark.parametrize("aspect", TOLERATED)
def test_what_drifts_is_named_and_costs_the_score(aspect: str, count: int) -> None:
    steady = takes(count)
    fifth = count // 5
    found = consistency([*steady[:-fifth], *(shifted(one, aspect) for one in steady[-fifth:])])
    before = consistency(steady)
    assert found is not None and before is not None
    assert before.drifts == () and before.score > 0.7
    assert found.drifts == (aspect,)
    assert found.score < 0.5


def test_chance_is_no_drift() -> None:
    drifts = [consistency(takes(count, seed)) for count in (9, 15, 40) for seed in range(40)]
    assert sum(bool(found and found.drifts) for found in drifts) <= 2


def test_one_odd_take_is_no_drift() -> None:
    steady = takes(15)
    for aspect in TOLERATED:
        odd = steady[-1]
        for _ in range(5):
            odd = shifted(odd, aspect)
        found = consistency([*steady[:-1], odd])
        assert found is not None and found.drifts == ()


def test_too_few_takes_say_nothing() -> None:
    assert consistency(takes(8)) is None
    assert consistency([]) is None
    assert consistency([replace(one, voice=None) for one in takes(30)]) is None


@given(
    st.lists(
        st.tuples(*[st.floats(-100, 100)] * 3, st.floats(1.5, 60), st.floats(0.001, 3)),
        min_size=9,
        max_size=30,
    )
)
def test_any_narration_gets_a_score(values: list[tuple[float, float, float, float, float]]) -> None:
    base = takes(1)[0]
    found = consistency(
        [
            replace(base, level_db=level, fall_db=fall, pace=pace, seconds=seconds)
            for level, fall, _, seconds, pace in values
        ]
    )
    assert found is not None
    assert 0 < found.score <= 1
    assert all(np.isfinite(value) for value in found.changes.values())
    assert set(found.changes) == set(TOLERATED)
