"""Judges a history by what reaches the services: the promises of the claim protocol.

For each book it keeps what the frontend wants of it, as far as anyone can tell from what it wrote,
and for each claim what became of its worker. Every write to the database is judged when it is
taken, and what is left over at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from narrator_daemon.catalogue import (
    BATCHES,
    BUDGETS,
    CLAIM,
    ERROR,
    JOBS,
    LEASES,
    LIMITS,
    MARKS,
    PATH,
    PREVIEW,
    PROGRESS,
    READY,
    READY_BY,
    REGISTER,
    STATUS,
    URL_EXPIRES_AT,
    children,
)
from narrator_daemon.claims.claim import Claim
from tests.simulation.books_checked import BooksChecked
from tests.simulation.claims_checked import ClaimsChecked
from tests.simulation.database import Path
from tests.simulation.fleet_checked import FleetChecked
from tests.simulation.ledger import Ledger, named

if TYPE_CHECKING:
    from tests.simulation.world import World


class Checker:
    """Hears of all writes of a history, and of what goes wrong."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.ledger = ledger = Ledger(world)
        self.demand = ledger.demand
        self.claims = ClaimsChecked(ledger)
        self.fleet = FleetChecked(ledger)
        self.books = BooksChecked(ledger, self.claims, self.fleet)

    def judge(self, before: dict[str, Any], paths: list[Path]) -> None:
        """Judge a write that was just taken."""
        now, by_daemon = self._world.database.root, self._world.writer is not None
        for path in paths:
            if len(path) < 2:
                continue
            match path[0]:
                case "books":
                    old = before.get("books", {}).get(path[1])
                    new = now.get("books", {}).get(path[1])
                    self.claims.see(path[1], old, new)
                    self.fleet.grants.see(path[1], new)
                    if by_daemon:
                        self.books.write(path[1], old, new)
                case name if name == LEASES and len(path) > 2:
                    self.claims.beats(path[1], path[2])
                case name if name == LIMITS:
                    self.fleet.grants.limit(path[1], before)
                case name if name == BUDGETS:
                    self.fleet.grants.budget(path, before)
                case name if name == MARKS:
                    self.fleet.mark(path[1], before)
                case name if name == JOBS:
                    self.fleet.entries(path[1], before)
                case name if name == BATCHES and by_daemon:
                    self.fleet.batch(path[1], before)

    def look(self, *, quiet_since: float | None) -> None:
        """What must hold at any time once all has been quiet for a while."""
        world = self._world
        if quiet_since is None or world.scheduler.now - quiet_since < world.plan.url_seconds:
            return
        for book_id, record in self.ledger.books.items():
            until = record.get(URL_EXPIRES_AT) if isinstance(record, dict) else None
            if isinstance(until, int):
                self.demand(
                    until > world.database.now_ms(), "url", f"the URL of {book_id} has expired"
                )

    # At the end.

    def settled(self) -> bool:
        """Whether nothing is left to do."""
        return not self.left()

    def left(self) -> list[str]:
        """What is left to be done."""
        wishes = self.ledger.wishes
        found = [f"{name} was asked for" for name, wish in wishes.items() if wish.open]
        found += [f"lease of {name}" for name in children(self.ledger.get(LEASES))]
        for name, record in self.ledger.books.items():
            claim = Claim.from_record(children(record).get(CLAIM))
            if claim is not None and (
                STATUS in record or claim.token is not None or self._is_known(name)
            ):
                found.append(f"claim on {name}: {record.get(STATUS)} {record[CLAIM]}")
        for name, batch in children(self.ledger.get(BATCHES)).items():
            if children(batch).get("open") is True:
                found.append(f"batch {name}: {batch}")
        return found

    def _is_known(self, book_id: str) -> bool:
        """Whether the one is there that tried a cancelled book last; else it takes hours."""
        claims = [held for held in self.ledger.held.values() if held.book_id == book_id]
        last = max(claims, key=lambda held: held.number, default=None)
        world = self._world
        return (
            last is not None
            and not last.process.dead
            and not world.stopped(last.process)
            and world.nothing_went_unheard()
        )

    def end(self) -> None:
        """Judge what is left, once all that is left over was swept."""
        world = self._world
        mentioned: set[str] = set()
        for book_id, record in self.ledger.books.items():
            mentioned |= named(record)
            status = record.get(STATUS)
            # What a frontend scribbles where no rules keep it from it is its own to clean up.
            held = Claim.from_record(record.get(CLAIM))
            scribbled = CLAIM in record and held is None
            self.demand(
                scribbled or not {CLAIM, PROGRESS, PREVIEW} & record.keys(),
                "left over",
                f"{book_id} is {status}: {record}",
            )
            self.demand(
                READY_BY not in record or status is None,
                "left over",
                f"{book_id} is {status}, and is said to be ready by {record.get(READY_BY)}",
            )
            if status == READY:
                self.demand(
                    PATH in record and ERROR not in record, "half", f"{book_id} is half ready"
                )
        left = set(world.objects.by_name) - mentioned
        self.demand(not left, "orphan", f"objects are left: {sorted(left)}")
        missing = mentioned - set(world.objects.by_name)
        self.demand(not missing, "lost", f"objects are gone: {sorted(missing)}")
        self._judge_register()

    def _judge_register(self) -> None:
        entries = children(self.ledger.get(REGISTER))
        for token, entry in entries.items():
            self.demand(
                "state" not in entry, "register", f"the entry of {token} is not confirmed: {entry}"
            )
            self.demand(
                token in self.ledger.published,
                "register",
                f"{token} has an entry and never was published",
            )
        for book_id, record in self.ledger.books.items():
            path = record.get(PATH)
            if isinstance(path, str):
                token = path.split("/")[-1].removesuffix(".wav")
                self.demand(
                    token in entries or self._world.ever_closed,
                    "register",
                    f"{book_id} shows {token}, which has no entry",
                )
