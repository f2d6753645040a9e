"""Two replicas look after the leases of all: what becomes of dead claims as those come and go.

``Lookouts``, ``Reaper`` and ``LeaseWatch`` are the product's own. Simulated are the database, the
time, and what goes wrong: replicas die, sleep, cannot read the leases, meet outages, or lose a race
for a seat. ``Rules`` holds what mutants change.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from narrator_daemon.catalogue import REQUESTED, STATUS
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.lease_watch import LeaseWatch
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.claims.work import Work
from narrator_daemon.errors import Unavailable
from narrator_daemon.housekeeping import reaper as reaping
from narrator_daemon.housekeeping.lookouts import Lookouts, Seat
from narrator_daemon.housekeeping.reaper import Reaper
from narrator_daemon.settings import Settings
from tests.memory import MemoryProject, refusal
from tests.protocol.fleet import demand

BEAT, TTL = 10.0, 45.0

#: Seconds after which a claim must be freed whose owner died when all was well: its last beat, a
#: TTL, both holders dead as well (three beats until that is seen, one until others look), and what
#: rounds are late by.
_PROMISED = TTL + 6 * 1.2 * BEAT


class Rules:
    """The rules as the product has them. Mutants override one each."""

    def is_kept(self, seat: Seat, now: float, still_seconds: float) -> bool:
        return _is_kept(seat, now, still_seconds)

    def is_free(self, seat: Seat, now: float, still_seconds: float) -> bool:
        return _is_free(seat, now, still_seconds)

    def looks(self, lookouts: Lookouts) -> bool:
        return _look(lookouts)


_is_kept, _is_free, _look = Seat.is_kept, Seat.is_free, Lookouts.look


@dataclass
class Replica:
    """One that lives.

    Attributes:
        name: its worker id.
        due: when its next round is, seconds.
        leases: of its own claim.
        reaper: looks for all, or not.
        work: what it has claimed.
        blind: whether it can read seats but no leases.
        slept: whether its claim may have been taken.
    """

    name: str
    due: float
    leases: Leases
    reaper: Reaper
    work: Work
    blind: bool = False
    slept: bool = False


class Watching:
    """Replicas that each hold a claim, and look after those of the others."""

    def __init__(self, rules: Rules, seed: int, patch: pytest.MonkeyPatch) -> None:
        self.dice = random.Random(seed)
        self.now = 0.0
        self.project = MemoryProject()
        self.replicas: dict[str, Replica] = {}
        self.born = 0
        #: Claims whose owners died, and until when they must be freed.
        self.owed: dict[str, float] = {}
        patch.setattr(Seat, "is_kept", lambda seat, *known: rules.is_kept(seat, *known))
        patch.setattr(Seat, "is_free", lambda seat, *known: rules.is_free(seat, *known))
        patch.setattr(Lookouts, "look", lambda lookouts: rules.looks(lookouts))
        patch.setattr(reaping.time, "monotonic", lambda: self.now)

    def start(self) -> None:
        name = f"w{self.born}"
        self.born += 1
        project: Any = self.project
        settings = Settings.model_validate({"daemon": {"worker_id": name}})
        watch = LeaseWatch(TTL, longest_gap=3 * BEAT)
        leases = Leases(project, name, TTL)
        claims = Claims(project, settings, "voice", lambda *lease: watch.dead(lease), leases)
        lookouts = Lookouts(project, name, BEAT, lambda: self.now, f"process of {name}")
        reaper = Reaper(
            project,
            claims,
            leases,
            watch,
            name,
            Refusals(lambda: self.now),
            lambda _book_id: None,
            lookouts,
            4 * BEAT,
        )
        self.project.shelf[name] = {"narrative": "A", STATUS: REQUESTED}
        work = claims.claim(name).work
        assert work is not None
        due = self.now + self.dice.uniform(0, BEAT)
        self.replicas[name] = Replica(name, due, leases, reaper, work)

    def beat(self, one: Replica) -> None:
        """What a replica does each beat."""
        lease = {"owner": one.name, "beat": self.now, "ttl": TTL}
        self.project.node("narrationLeases", one.name, one.work.token).set(lease)
        if one.blind:
            self.project.fail("^get /narrationLeases$", refusal(503))
        try:
            one.reaper.round()
        except Unavailable:
            pass
        self.project.mend()

    def step(self) -> None:
        one = min(self.replicas.values(), key=lambda replica: replica.due)
        self.now = max(self.now, one.due)
        chance = self.dice.random()
        if chance < 0.06:
            self.die(one)
        elif chance < 0.1:
            # Past its lease's life, or not.
            one.slept, one.due = True, self.now + self.dice.uniform(1, 8) * BEAT
        elif chance < 0.14:
            self.start()
        elif chance < 0.17:
            one.blind = not one.blind
        elif chance < 0.3:
            self.trouble(one)
        else:
            self.go_on(one)
        self.check()

    def go_on(self, one: Replica) -> None:
        self.beat(one)
        one.due = self.now + self.dice.uniform(0.9, 1.1) * BEAT

    def die(self, one: Replica) -> None:
        del self.replicas[one.name]
        if not self.replicas:
            self.start()
        self.owed[one.name] = self.now + _PROMISED

    def trouble(self, one: Replica) -> None:
        """An outage at one place, for one round."""
        place = self.dice.choice(
            ["get /narrationLookouts", "write /narrationLookouts", "get /narrationLeases$", "query"]
        )
        self.project.fail(place, refusal(503), times=1)
        self.go_on(one)
        # Who died meanwhile is found one round later, for each round that went wrong.
        self.owed = {name: until + 1.2 * BEAT for name, until in self.owed.items()}

    def check(self) -> None:
        for one in self.replicas.values():
            claim = self.project.shelf[one.name].get("narrativeAudioClaim", {})
            alive = one.slept or claim.get("token") == one.work.token
            demand(alive, f"{one.name} lives, and its claim was taken")

    def walk(self, steps: int = 120) -> None:
        for _ in range(self.dice.randrange(1, 6)):
            self.start()
        for _ in range(steps):
            self.step()
        self.settle()

    def settle(self) -> None:
        """Faults stop. What is dead is freed in time, and few look for all."""
        for one in self.replicas.values():
            one.blind = len(self.replicas) > 1 and one.blind
        if all(one.blind for one in self.replicas.values()):
            self.start()
        began = self.now
        late = began + _PROMISED + 4 * 1.2 * BEAT
        while self.now < late:
            self.rounds(1)
        for name in self.owed:
            held = self.project.shelf[name].get("narrativeAudioClaim", {}).get("token")
            demand(held is None, f"{name} is dead and holds its claim {self.now - began:.0f} s on")
        self.check()
        self.project.calls.clear()
        self.rounds(10)
        sighted = sum(not one.blind for one in self.replicas.values())
        # Of those that cannot read them, each tries once it has a seat.
        most = 10 * (min(2, sighted) + sum(one.blind for one in self.replicas.values()))
        read = self.project.count("^get /narrationLeases$")
        demand(read <= most, f"{read} readings of all leases in ten beats")

    def rounds(self, count: int) -> None:
        """Beats of all, one after the other."""
        for _ in range(count):
            for one in sorted(self.replicas.values(), key=lambda replica: replica.due):
                self.now = max(self.now, one.due)
                self.go_on(one)
