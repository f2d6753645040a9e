from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.claims.lease_watch import LeaseWatch

TTL = 45.0
LONGEST_GAP = 30.0


def watched(*readings: tuple[float, object]) -> LeaseWatch:
    """A watch after readings of one lease, ``b``."""
    watch = LeaseWatch(TTL, LONGEST_GAP)
    for now, beat in readings:
        watch.observe({"b": beat}, now)
    return watch


def test_a_lease_that_stood_still_for_a_ttl_is_dead() -> None:
    assert not watched((0, 1), (20, 1), (40, 1)).dead("b")
    assert watched((0, 1), (20, 1), (45, 1)).dead("b")


def test_a_beat_gives_a_whole_ttl_anew() -> None:
    assert not watched((0, 1), (20, 1), (40, 2), (60, 2), (80, 2)).dead("b")
    assert watched((0, 1), (20, 2), (40, 2), (60, 2), (80, 2)).dead("b")


def test_a_claim_with_no_lease_is_dead_a_ttl_from_first_sight() -> None:
    assert not watched((0, None)).dead("b")
    assert watched((0, None), (25, None), (45, None)).dead("b")


def test_the_first_beat_after_none_is_a_sign_of_life() -> None:
    assert not watched((0, None), (25, None), (44, 1), (50, 1)).dead("b")


def test_a_lease_never_seen_is_not_dead() -> None:
    assert not LeaseWatch(TTL, LONGEST_GAP).dead("b")
    assert not watched((0, 1), (20, 1), (45, 1)).dead("other")


def test_a_lease_that_is_gone_is_forgotten() -> None:
    watch = watched((0, 1), (20, 1), (45, 1))
    watch.observe({}, 46)
    assert not watch.dead("b")
    watch.observe({"b": 1}, 47)
    assert not watch.dead("b")


def test_nothing_is_known_of_a_time_without_readings() -> None:
    slept = watched((0, 1), (20, 1), (60, 1))
    assert not slept.dead("b")
    slept.observe({"b": 1}, 85)
    assert not slept.dead("b")
    slept.observe({"b": 1}, 105)
    assert slept.dead("b")


def test_a_pause_between_readings_may_be_as_long_as_the_longest() -> None:
    assert watched((0, 1), (30, 1), (60, 1)).dead("b")
    assert not watched((0, 1), (30, 1), (60.1, 1)).dead("b")


def test_a_beat_is_compared_and_never_read_as_a_time() -> None:
    assert watched((0, "x"), (20, "x"), (45, "x")).dead("b")
    assert not watched((0, 10**15), (20, 10**15), (40, -1), (46, -1)).dead("b")


@given(st.lists(st.tuples(st.floats(0.1, 29), st.booleans()), max_size=40))
def test_dead_means_that_no_reading_of_a_whole_ttl_brought_a_beat(
    readings: list[tuple[float, bool]],
) -> None:
    watch = LeaseWatch(TTL, LONGEST_GAP)
    now, beat, beaten_at = 0.0, 0, 0.0
    watch.observe({"b": beat}, now)
    for pause, beats in readings:
        now += pause
        if beats:
            beat, beaten_at = beat + 1, now
        watch.observe({"b": beat}, now)
        assert watch.dead("b") == (now - beaten_at >= TTL)
