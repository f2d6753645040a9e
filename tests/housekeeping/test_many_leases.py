"""Who holds the second seat reads a large fleet's leases every other round, and else each."""

from __future__ import annotations

from typing import Any

import pytest

from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.lease_watch import LeaseWatch
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.housekeeping import reaper as reaping
from narrator_daemon.housekeeping.lookouts import Lookouts
from narrator_daemon.housekeeping.reaper import Reaper
from narrator_daemon.settings import Settings
from tests.memory import MemoryProject

BEAT, TTL = 10.0, 45.0


class Replica:
    def __init__(self, project: Any, name: str, clock: Any) -> None:
        watch = LeaseWatch(TTL, 3 * BEAT)
        leases = Leases(project, name, TTL)
        claims = Claims(project, Settings(), "v", lambda book, one: watch.dead((book, one)), leases)
        self.reaper = Reaper(
            project,
            claims,
            leases,
            watch,
            name,
            Refusals(),
            lambda _book: None,
            Lookouts(project, name, BEAT, clock),
            45.0,
        )


class Two:
    def __init__(self, leases: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.project = MemoryProject()
        self.leases = leases
        self.beating = True
        self.replicas = [Replica(self.project, name, lambda: self.now) for name in ("a", "b")]
        monkeypatch.setattr(reaping.time, "monotonic", lambda: self.now)

    def rounds(self, count: int, *which: int) -> list[int]:
        """How many read the leases in each round."""
        found = []
        for _ in range(count):
            self.now += BEAT
            if self.beating:
                self.project.tree["narrationLeases"] = {
                    f"b{n}": {"t": {"owner": "w", "beat": int(self.now), "ttl": TTL}}
                    for n in range(self.leases)
                }
            before = self.project.count("get /narrationLeases")
            for number in which or range(2):
                self.replicas[number].reaper.round()
            found.append(self.project.count("get /narrationLeases") - before)
        return found


def test_of_few_leases_both_read_in_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Two(1000, monkeypatch).rounds(8)[2:] == [2] * 6


def test_of_many_the_second_reads_every_other_time(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Two(1001, monkeypatch)
    assert sorted(two.rounds(10)[4:]) == [1, 1, 1, 2, 2, 2]
    # Once the first is gone, it reads each time.
    two.rounds(4, 1)
    assert two.rounds(4, 1) == [1] * 4


def test_what_dies_is_taken_up_by_the_second_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Two(1001, monkeypatch)
    two.rounds(8)
    two.project.shelf["b7"] = {
        "narrative": "A",
        "narrativeAudioStatus": "processing",
        "narrativeAudioClaim": {
            "token": "t",
            "owner": "w",
            "attempt": 1,
            "giveBacks": 0,
            "inputHash": "h",
            "take": 1,
            "at": 1,
        },
    }
    two.beating = False
    two.rounds(12, 1)
    assert two.project.shelf["b7"]["narrativeAudioStatus"] == "requested"
