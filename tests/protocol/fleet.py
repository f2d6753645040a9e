"""What replicas do for each other besides claims: limits, renewal and reading what waits.

The decisions are the product's own, and so are ``Renewer``, ``Reconciler``, ``Waiting`` and
``Picker``. Simulated are the services, the time, and what goes wrong: answers that are lost, writes
that are refused, replicas that stop in the middle, and one of an earlier version, whose clock is
wrong and believed. ``Rules`` holds what mutants change.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from narrator_daemon.catalogue import PATH, URL, URL_EXPIRES_AT
from narrator_daemon.claims import book as books
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.claims.signed_url import works_from
from narrator_daemon.errors import Unavailable
from narrator_daemon.housekeeping import reconciler as reconciling
from narrator_daemon.housekeeping import renewal
from narrator_daemon.housekeeping.reconciler import Reconciler
from narrator_daemon.housekeeping.renewal import Renewer
from narrator_daemon.housekeeping.turns import Turn, take
from narrator_daemon.queue import picking, requesters
from narrator_daemon.queue.picking import Picker
from narrator_daemon.queue.waiting import Waiting
from narrator_daemon.settings import Settings
from tests.memory import SERVER_NOW, MemoryProject, MemoryStore, refusal

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
LIFE_MS = 7 * 24 * HOUR_MS


class Violation(AssertionError):
    """Something happened that is promised not to."""


def demand(holds: bool, message: str) -> None:
    if not holds:
        raise Violation(message)


class Rules:
    """The rules as the product has them. Mutants override one each."""

    #: Whether a transaction's write names what was read.
    conditional = True
    #: Whether more than a window of waiting books has all of them read.
    reads_all = True

    def now_ms(self, right: int, _skew: int) -> int:
        """What a replica takes for the time."""
        return right

    def grant(self, granted: object, **known: Any) -> tuple[Any, int]:
        return requesters.take(granted, **known)

    def turn(self, seen: object, **known: Any) -> Turn:
        return take(seen, **known)

    def renew(self, book: object, **known: Any) -> books.Transition:
        return books.renew(book, **known)

    def owns(self, store: MemoryStore, path: str, book_id: str) -> bool:
        return store.belongs_to(path, book_id)


# The limit.


@dataclass
class Asking:
    """A replica in the middle of asking for one request."""

    name: str
    base: Any
    new: Any
    wait: int


@dataclass
class Limits:
    """Replicas ask for requests of one uid, by a transaction of two steps each."""

    rules: Rules
    limit: int = 3
    now: int = SERVER_NOW
    stored: Any = None
    asking: dict[int, Asking] = field(default_factory=dict)
    #: Each grant that was taken: when, by the database, and which.
    grants: list[tuple[int, str]] = field(default_factory=list)
    #: Requests that a replica knows to be granted.
    known: set[str] = field(default_factory=set)

    SKEWS = (0, 120_000, -90_000)

    def read(self, replica: int, name: str) -> None:
        now = self.rules.now_ms(self.now, self.SKEWS[replica])
        new, wait = self.rules.grant(self.stored, name=name, now_ms=now, limit=self.limit)
        self.asking[replica] = Asking(name, self.stored, new, wait)

    def write(self, replica: int, *, answer_lost: bool = False) -> None:
        one = self.asking.pop(replica)
        if one.new is not None:
            if self.rules.conditional and self.stored != one.base:
                return
            stamp = self.rules.now_ms(self.now, self.SKEWS[replica])
            self.stored = {**one.new, one.name: stamp}
            self.grants.append((self.now, one.name))
            self.check()
        if one.wait == 0 and not answer_lost:
            self.known.add(one.name)

    def check(self) -> None:
        last = [name for at, name in self.grants if at > self.now - MINUTE_MS]
        demand(len(last) <= self.limit, f"{len(last)} were granted in a minute: {last}")
        demand(len(set(last)) == len(last), f"one is counted twice: {last}")

    def walk(self, seed: int, steps: int = 60, requests: int = 9) -> None:
        dice = random.Random(seed)
        names = [f"r{number}" for number in range(requests)]
        for _ in range(steps):
            replica = dice.randrange(3)
            if dice.random() < 0.3:
                self.now += dice.choice([1, 1_000, 20_000])
            elif replica in self.asking:
                self.write(replica, answer_lost=dice.random() < 0.2)
            elif left := [name for name in names if name not in self.known]:
                self.read(replica, dice.choice(left))
        self.asking.clear()
        # Nothing is put off for longer than the limit says, whatever was lost.
        for _ in range(requests // self.limit + 1):
            for name in names:
                if name not in self.known:
                    self.read(0, name)
                    self.write(0)
            self.now += MINUTE_MS
        demand(set(names) == self.known, f"never granted: {set(names) - self.known}")


# Renewal.


class Renewals:
    """Two replicas of this version and one of an earlier, whose clock is wrong and believed."""

    def __init__(self, rules: Rules, seed: int, patch: pytest.MonkeyPatch) -> None:
        self.dice = random.Random(seed)
        self.now = SERVER_NOW / 1000
        self.project, self.store = MemoryProject(), MemoryStore(lambda: self.now)
        self.project.wall = lambda: self.now
        self.rules = rules
        self.skew = self.dice.choice([-3, 2, 5]) * 24 * 3600
        self.takes = 0
        patch.setattr(renewal.turns, "take", rules.turn)
        patch.setattr(renewal, "renew", rules.renew)
        patch.setattr(renewal, "_PAGE", 3)
        self.replicas = [self.replica(number) for number in range(2)]
        self.old = self.replica(2, self.skew)

    def replica(self, number: int, skew: float = 0) -> Renewer:
        store: Any = _Signing(self, skew)
        project: Any = self.project
        return Renewer(
            project,
            store,
            lambda: self.rules.now_ms(int(self.now * 1000), 0) + int(skew * 1000),
            lambda: 0.5,
            owner=f"w{number}",
            steady=lambda: self.now,
        )

    def narrate(self, book_id: str) -> None:
        self.takes += 1
        path = self.store.path(book_id, f"{self.takes:032x}")
        self.store.objects_by_path[path] = b"RIFF"
        self.store.owners[path] = book_id
        url, ends = _Signing(self, self.dice.choice([0, 0, self.skew])).sign(path)
        shown = {PATH: path, URL: url, URL_EXPIRES_AT: ends}
        self.project.shelf[book_id] = {"narrative": "text", **shown}

    def step(self, replica: Renewer) -> None:
        """One step of a replica, in which much can go wrong."""
        fault = self.dice.choice(["none", "none", "none", "outage", "refused", "death", "change"])
        place = self.dice.choice(
            ["query", "write /books", "read /books", "write /narrationRenewal"]
        )
        if fault == "outage":
            self.project.fail(place, refusal(503), times=1)
        elif fault == "refused":
            self.project.fail("write /books", refusal(401), times=self.dice.choice([1, 3]))
        elif fault == "death":
            self.die_at(place)
        elif fault == "change":
            self.project.at_each("write /books", self.change_once())
        try:
            replica.step()
        except (Unavailable, _Death):
            pass
        self.project.mend()

    def die_at(self, place: str) -> None:
        """From the next call of this kind on, whoever calls is gone and asks for nothing more."""
        self.project.at_each(place, lambda: self.project.fail(".", _Death()))

    def change_once(self) -> Callable[[], object]:
        left = [1]

        def change() -> None:
            if left and left.pop():
                self.frontend()

        return change

    def frontend(self) -> None:
        """What others do to a book."""
        ids = sorted(self.project.shelf.keys() - {"junk", "thief"})
        what = self.dice.choice(["narrate", "narrate", "delete", "steal", "again", "junk"])
        if what == "narrate" or not ids:
            self.narrate(f"b{self.dice.randrange(8)}")
            return
        book_id = self.dice.choice(ids)
        if what == "delete":
            del self.project.shelf[book_id]
        elif what == "again":
            self.narrate(book_id)
        elif what == "junk":
            self.project.shelf["junk"] = {PATH: "", URL: 5, URL_EXPIRES_AT: 7}
        else:
            self.project.shelf["thief"] = dict(self.project.shelf[book_id])

    def check(self) -> None:
        """What holds at every moment."""
        for book_id, book in self.project.shelf.items():
            path, url = book.get(PATH), book.get(URL)
            if isinstance(url, str) and path:
                demand(f"/{path}?" in url, f"{book_id} plays another's audio: {book}")
            demand("narrative" in book or book_id == "junk", f"a ghost: {book_id} {book}")
        signed = [path for book_id, path in self.signed_for if book_id == "thief"]
        demand(not signed, f"audio that is another's was signed: {signed}")

    @property
    def signed_for(self) -> list[tuple[str, str]]:
        thief = self.project.shelf.get("thief")
        stolen = thief is not None and thief.get(URL) in self.made_for_thief
        return [("thief", str(thief and thief.get(PATH)))] if stolen else []

    made_for_thief: frozenset[str] = frozenset()

    def walk(self, steps: int = 40) -> None:
        for _ in range(steps):
            what = self.dice.random()
            if what < 0.4:
                self.now += self.dice.choice([60, 3600, 20 * 3600])
            elif what < 0.6:
                self.frontend()
            elif what < 0.7:
                self.old.round()
            else:
                self.step(self.dice.choice(self.replicas))
            self.check()
        self.settle()

    def settle(self) -> None:
        """Faults stop, and replicas of this version go on: all that is shown plays, and will."""
        survivors = self.dice.choice([self.replicas, self.replicas[:1], self.replicas[1:]])
        if survivors == self.replicas[1:]:
            # The other dies in the middle of its turn.
            self.now += 20 * 3600
            self.die_at("query")
            with suppress(_Death):
                self.replicas[0].step()
            self.project.mend()
        for step in range(12):
            for replica in survivors:
                replica.step()
            self.check()
            if step:
                self.check_playing()
            self.now += 20 * 3600
        for replica in survivors:
            demand((replica.safe_until or 0) > self.now * 1000, "no word of how safe URLs are")

    def check_playing(self) -> None:
        """All that is shown plays now."""
        for book_id, book in self.project.shelf.items():
            if book_id in ("thief", "junk"):
                continue
            begins, ends = works_from(book[URL]), book[URL_EXPIRES_AT]
            demand(ends > self.now * 1000, f"{book_id} plays no longer: {book}")
            demand(begins is None or begins <= self.now * 1000, f"{book_id} plays later: {book}")


class _Death(BaseException):
    """The process is gone."""


class _Signing:
    """A replica's own view of the bucket: it signs by the clock that it goes by."""

    signed_seconds = LIFE_MS / 1000

    def __init__(self, world: Renewals, skew: float) -> None:
        self._world = world
        self._skew = skew

    def belongs_to(self, path: str, book_id: str) -> bool:
        return self._world.rules.owns(self._world.store, path, book_id)

    def sign(self, path: str) -> tuple[str, int]:
        at = self._world.now + self._skew
        date = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
        url = f"https://storage.example/{path}?X-Goog-Date={date}&X-Goog-Expires=604800"
        thief = self._world.project.shelf.get("thief")
        if thief is not None and thief.get(PATH) == path and url != thief.get(URL):
            owner = self._world.store.owners[path]
            shown = self._world.project.shelf.get(owner, {}).get(PATH)
            if shown != path:
                self._world.made_for_thief |= {url}
        return url, int(at * 1000) + LIFE_MS


# What waits.


class Queue:
    """One replica behind more waiting books than a query brings, many of one requester."""

    WINDOW = 5

    def __init__(self, rules: Rules, seed: int, patch: pytest.MonkeyPatch) -> None:
        self.dice = random.Random(seed)
        self.now = 1_000.0
        self.project = MemoryProject()
        self.project.wall = lambda: SERVER_NOW / 1000 + self.now - 1_000.0
        self.waiting = Waiting()
        project: Any = self.project
        claims = Claims(project, Settings(), "voice", lambda *_: False, Leases(project, "w", 45.0))
        settings = Settings.model_validate({"limits": {"requests_per_minute": 2}})
        refusals = Refusals(lambda: self.now)
        self.picker = Picker(project, settings, claims, self.waiting, refusals)
        patch.setattr(picking.time, "monotonic", lambda: self.now)
        patch.setattr(reconciling, "WINDOW", self.WINDOW)
        patch.setattr(reconciling.books, "WINDOW", self.WINDOW)
        patch.setattr(reconciling, "MOST", 1_000)
        if not rules.reads_all:
            read = reconciling.books.with_status
            patch.setattr(
                reconciling.books,
                "with_status",
                lambda project, status, most=None, **_: read(project, status, most and self.WINDOW),
            )
        patch.setattr(
            reconciling.books,
            "is_complete",
            lambda found, most=self.WINDOW: len(found) < most,
        )
        reaper: Any = _Nobody()
        self.reconciler = Reconciler(
            project, self.waiting, reaper, 45.0, lambda: None, lambda: 0.5, lambda: self.now
        )
        self.asked = 0

    def ask(self, book_id: str, uid: str | None) -> None:
        self.asked += 1
        self.project.shelf[book_id] = {
            "narrative": "text",
            "narrativeAudioStatus": "requested",
            "narrativeAudioRequestedAt": SERVER_NOW + self.asked,
            **({"narrativeAudioRequestedBy": uid} if uid else {}),
        }

    def walk(self) -> None:
        """Many of one requester, and some of others whose ids come last."""
        others = [f"z{number}" for number in range(self.dice.randint(1, 4))]
        many = [f"a{number:02}" for number in range(self.dice.randint(6, 30))]
        arrivals = [(name, "eager") for name in many] + [(name, None) for name in others]
        self.dice.shuffle(arrivals)
        for name, uid in arrivals:
            self.ask(name, uid)
        began, claimed = self.now, list[str]()
        due = self.now
        while self.now - began < 60:
            if self.now >= due:
                due = self.now + self.reconciler.round()
            attempted = self.picker.claim_next()
            if attempted is not None and attempted.work is not None:
                claimed.append(attempted.book_id)
            self.now += 0.5
        demand(set(others) <= set(claimed), f"starved: {set(others) - set(claimed)}")
        eager = [name for name in claimed if name in many]
        demand(len(eager) <= 4, f"{len(eager)} of one requester in a minute")
        order = [self.project.shelf[name]["narrativeAudioRequestedAt"] for name in claimed]
        late = [at for name, at in zip(claimed, order, strict=True) if name in others]
        demand(late == sorted(late), f"out of order: {late}")


class _Nobody:
    def take_in(self, _records: object) -> None:
        pass
