"""Two replicas look after the leases of all; where they are not seen, each looks for itself."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrator_daemon.errors import Unavailable
from narrator_daemon.housekeeping import lookouts as looking
from narrator_daemon.housekeeping.lookouts import SEATS, Lookouts
from tests.memory import MemoryProject, refusal

BEAT = 10.0

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*SEATS, "owner", "instance", "beat"]), inner)
    ),
    max_leaves=8,
)


class Replicas:
    """Replicas that look one after the other, and a clock that all share."""

    def __init__(self, count: int) -> None:
        self.project = MemoryProject()
        self.now = 0.0
        self.alive = {f"w{number}": self._lookouts(f"w{number}") for number in range(count)}

    def _lookouts(self, owner: str) -> Lookouts:
        project: Any = self.project
        return Lookouts(project, owner, BEAT, lambda: self.now, f"process of {owner}")

    def add(self, owner: str) -> None:
        self.alive[owner] = self._lookouts(owner)

    def look(self, *owners: str) -> list[str]:
        """A look of each; gives who read the leases."""
        read = []
        for owner in owners or list(self.alive):
            if self.alive[owner].look():
                read.append(owner)
                self.alive[owner].beat()
        return read

    def beats(self, count: int) -> list[list[str]]:
        """Rounds of all, a beat apart; gives who read in each."""
        read = []
        for _ in range(count):
            self.now += BEAT
            read.append(self.look())
        return read

    @property
    def held_by(self) -> dict[str, str]:
        seats = self.project.tree.get("narrationLookouts", {})
        return {name: seat["owner"] for name, seat in seats.items()}


def test_two_read_for_all() -> None:
    replicas = Replicas(10)
    # At first nobody has seen another live.
    assert replicas.look() == list(replicas.alive)
    assert replicas.beats(20) == [["w0", "w1"]] * 20
    assert replicas.held_by == {"first": "w0", "second": "w1"}
    assert [name for name, one in replicas.alive.items() if one.on_duty] == ["w0", "w1"]


def test_a_seat_counts_its_beats_whatever_was_left_there() -> None:
    replicas = Replicas(1)
    seen = []
    for _ in range(3):
        replicas.beats(1)
        seen.append(replicas.project.tree["narrationLookouts"]["first"])
    assert seen == [
        {"owner": "w0", "instance": "process of w0", "beat": beat} for beat in (1, 2, 3)
    ]
    for odd in (None, "x", -1, 0.5):
        replicas.project.tree["narrationLookouts"]["first"]["beat"] = odd
        replicas.alive["w0"].beat()
        assert replicas.project.tree["narrationLookouts"]["first"]["beat"] == 0


def test_a_seat_that_another_took_is_not_beaten_for() -> None:
    replicas = Replicas(1)
    replicas.beats(2)
    theirs = {"owner": "x", "instance": "x", "beat": 7}
    replicas.project.tree["narrationLookouts"]["first"] = dict(theirs)
    replicas.alive["w0"].beat()
    assert replicas.project.tree["narrationLookouts"]["first"] == theirs
    assert not replicas.alive["w0"].on_duty


def test_who_leads_and_who_comes_next() -> None:
    replicas = Replicas(3)
    replicas.beats(3)
    assert [one.leads for one in replicas.alive.values()] == [True, False, False]
    assert [one.seconds for one in replicas.alive.values()] == [False, True, False]
    del replicas.alive["w0"]
    replicas.now += 3 * BEAT
    assert not replicas.alive["w1"].seconds


def test_one_alone_reads_from_its_first_look_on() -> None:
    replicas = Replicas(1)
    assert replicas.look() == ["w0"] and replicas.alive["w0"].on_duty
    assert replicas.beats(10) == [["w0"]] * 10
    assert list(replicas.held_by) == ["first"]


def test_while_one_of_the_two_lives_the_dead_ones_seat_is_taken_and_nobody_else_reads() -> None:
    replicas = Replicas(5)
    replicas.beats(3)
    del replicas.alive["w0"]
    assert replicas.beats(2) == [["w1"]] * 2
    assert replicas.beats(5)[-1] == ["w1", "w2"]
    assert replicas.held_by == {"first": "w2", "second": "w1"}


def test_one_leads_and_the_last_that_is_left_does() -> None:
    def leading() -> list[str]:
        return [name for name, one in replicas.alive.items() if one.leads]

    replicas = Replicas(3)
    replicas.beats(3)
    assert leading() == ["w0"]
    del replicas.alive["w0"], replicas.alive["w2"]
    replicas.beats(4)
    assert replicas.held_by["second"] == "w1" and leading() == ["w1"]
    replicas.add("w3")
    replicas.beats(5)
    assert replicas.held_by == {"first": "w3", "second": "w1"} and leading() == ["w3"]


def test_where_both_die_two_others_read_three_beats_later() -> None:
    replicas = Replicas(6)
    replicas.beats(3)
    del replicas.alive["w0"], replicas.alive["w1"]
    read = replicas.beats(4)
    assert read[0] == read[1] == []
    assert {"w2", "w3"} <= set(read[2])
    assert read[3] == ["w2", "w3"]


def test_a_holder_that_cannot_read_the_leases_loses_its_seat() -> None:
    replicas = Replicas(3)
    replicas.beats(3)
    broken = replicas.alive["w0"]
    broken.beat = lambda: None  # type: ignore[method-assign]
    replicas.beats(4)
    assert replicas.held_by == {"first": "w2", "second": "w1"}
    replicas.beats(1)
    assert not broken.on_duty


def test_a_restarted_replica_reads_though_seats_of_the_dead_are_taken() -> None:
    replicas = Replicas(2)
    replicas.beats(2)
    replicas.alive.clear()
    replicas.add("anew")
    assert replicas.beats(10) == [["anew"]] * 10
    assert replicas.alive["anew"].on_duty


def test_where_another_is_faster_that_one_is_seen_to_live() -> None:
    replicas = Replicas(2)
    replicas.project.tree["narrationLookouts"] = {
        name: {"owner": "dead", "instance": "dead", "beat": 1} for name in SEATS
    }
    replicas.look()
    replicas.now += 3 * BEAT
    once = iter([True])

    def another() -> None:
        if next(once, False):
            for name in SEATS:
                seat = {"owner": "x", "instance": "x", "beat": 0}
                replicas.project.tree["narrationLookouts"][name] = seat

    replicas.project.at_each("write /narrationLookouts/first", another)
    assert replicas.look("w0") == []
    assert replicas.held_by == dict.fromkeys(SEATS, "x")


@pytest.mark.parametrize("refused", ["get /narrationLookouts", "write /narrationLookouts"])
def test_where_rules_know_no_seats_each_looks_for_itself(refused: str) -> None:
    replicas = Replicas(3)
    replicas.project.fail(refused, refusal(401))
    for _ in range(5):
        assert replicas.beats(1) == [["w0", "w1", "w2"]]
        assert all(one.on_duty for one in replicas.alive.values())
    assert replicas.project.count(refused) == 6  # each makes sure
    replicas.project.mend()
    replicas.now += looking._ALONE_SECONDS
    replicas.beats(2)
    assert replicas.beats(1) == [["w0", "w1"]]


@pytest.mark.parametrize("refused", ["get /narrationLookouts", "write /narrationLookouts"])
def test_a_refusal_of_everything_that_is_over_when_it_is_asked_for_costs_no_seat(
    refused: str,
) -> None:
    replicas = Replicas(1)
    replicas.project.fail(refused, refusal(401), times=1)
    replicas.beats(2)
    assert all(one.leads for one in replicas.alive.values())
    replicas.project.fail("get /narrationLookouts", refusal(401), times=1)
    replicas.beats(1)
    assert all(one.leads for one in replicas.alive.values())


def test_an_outage_is_told() -> None:
    replicas = Replicas(1)
    replicas.project.fail("get /narrationLookouts", refusal(503))
    with pytest.raises(Unavailable):
        replicas.look()


@settings(max_examples=100, deadline=None)
@given(found=junk, later=junk)
def test_whatever_lies_there_somebody_reads(found: Any, later: Any) -> None:
    replicas = Replicas(3)
    replicas.project.tree["narrationLookouts"] = found
    replicas.beats(2)
    replicas.project.tree["narrationLookouts"] = later
    assert all(replicas.beats(8)[4:])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_while_one_lives_the_leases_are_never_unread_for_long(seed: int) -> None:
    """Replicas come, die, sleep and look at moments of their own."""
    rng = random.Random(seed)
    replicas = Replicas(rng.randrange(1, 6))
    due = {name: rng.uniform(0, BEAT) for name in replicas.alive}
    read_at, born = 0.0, len(due)
    while replicas.now < 60 * BEAT:
        name = min(due, key=lambda one: due[one])
        replicas.now = due[name]
        if replicas.look(name):
            read_at = replicas.now
        # All that live have looked once past the time that a seat may stand still.
        assert replicas.now - read_at <= 4 * BEAT + 2 * BEAT, seed
        due[name] = replicas.now + rng.uniform(0.9, 1.1) * BEAT
        chance = rng.random()
        if chance < 0.1 and len(due) > 1:
            dead = rng.choice([one for one in due if one != name])
            del due[dead], replicas.alive[dead]
        elif chance < 0.15:
            due[name] += 1.5 * BEAT
        elif chance < 0.2:
            replicas.add(f"w{born}")
            due[f"w{born}"] = replicas.now
            born += 1
