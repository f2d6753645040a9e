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
    assert watched((0, 1), (20, 1), (40, 1), (45, 1)).dead("b")


def test_a_beat_gives_a_whole_ttl_anew() -> None:
    assert not watched((0, 1), (20, 1), (40, 2), (60, 2), (80, 2)).dead("b")
    assert watched((0, 1), (20, 2), (40, 2), (60, 2), (80, 2)).dead("b")


def test_a_claim_with_no_lease_is_dead_a_ttl_from_first_sight() -> None:
    assert not watched((0, None)).dead("b")
    assert watched((0, None), (20, None), (40, None), (45, None)).dead("b")


def test_the_first_beat_after_none_is_a_sign_of_life() -> None:
    assert not watched((0, None), (20, None), (40, None), (44, 1), (50, 1)).dead("b")


def test_a_lease_never_seen_is_not_dead() -> None:
    assert not LeaseWatch(TTL, LONGEST_GAP).dead("b")
    assert not watched((0, 1), (20, 1), (40, 1), (45, 1)).dead("other")


def test_a_lease_that_is_gone_is_forgotten() -> None:
    watch = watched((0, 1), (20, 1), (40, 1), (45, 1))
    assert watch.dead("b")
    watch.observe({}, 46)
    assert not watch.dead("b")
    watch.observe({"b": 1}, 47)
    assert not watch.dead("b")


def test_nothing_is_known_of_a_time_without_readings() -> None:
    slept = watched((0, 1), (20, 1), (60, 1))
    assert not slept.dead("b")
    for now in (80, 100):
        slept.observe({"b": 1}, now)
        assert not slept.dead("b")
    slept.observe({"b": 1}, 105)
    assert slept.dead("b")


def test_of_a_long_pause_between_readings_two_thirds_of_the_longest_count() -> None:
    assert watched((0, 1), (30, 1), (60, 1), (65, 1)).dead("b")
    assert not watched((0, 1), (30, 1), (60, 1), (64.9, 1)).dead("b")


def test_two_short_outages_are_no_reason_to_take_a_book() -> None:
    """As of twenty seconds and of five, with a beat between that was held up by the first."""
    assert not watched((0, 1), (10, 1), (38, 1), (48, 1)).dead("b")
    assert watched((0, 1), (10, 1), (38, 1), (48, 1), (53, 1)).dead("b")


def test_a_pause_that_is_longer_than_the_longest_begins_anew() -> None:
    assert not watched((0, 1), (20, 1), (40, 1), (70.1, 1)).dead("b")


def test_a_beat_is_compared_and_never_read_as_a_time() -> None:
    assert watched((0, "x"), (20, "x"), (40, "x"), (45, "x")).dead("b")
    assert not watched((0, 10**15), (20, 10**15), (40, -1), (46, -1)).dead("b")


@given(st.lists(st.tuples(st.floats(0.1, 29), st.booleans()), max_size=40))
def test_dead_means_that_no_reading_of_a_whole_ttl_brought_a_beat(
    readings: list[tuple[float, bool]],
) -> None:
    watch = LeaseWatch(TTL, LONGEST_GAP)
    now, beat, still = 0.0, 0, 0.0
    watch.observe({"b": beat}, now)
    for pause, beats in readings:
        now, still = now + pause, still + min(pause, 2 / 3 * LONGEST_GAP)
        if beats:
            beat, still = beat + 1, 0.0
        watch.observe({"b": beat}, now)
        if abs(still - TTL) > 1e-6:
            assert watch.dead("b") == (still >= TTL)
