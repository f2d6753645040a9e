"""What people do beside single books: batches of them, and what an operator tells the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from narrator_daemon.catalogue import (
    BATCH,
    BATCHES,
    CONTROL,
    OPERATOR,
    SERVER_TIMESTAMP,
    children,
)
from tests.simulation.database import Writes
from tests.simulation.ledger import TEXT
from tests.simulation.scheduler import current

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Of two that are told, the later holds.
_STATES = ("running", "paused", "draining")
_TOLD = ("fleet paused", "fleet draining", "one paused", "one draining", "run", "at once", "junk")
_OF_BATCHES = ("batch", "batch", "take back", "take back", "forget")


class Operator:
    """One who asks for many books at once, and one who steers.

    Args:
        world: the history.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._fleet: dict[str, Any] = {}
        self._workers: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        """Do some of both."""
        world, dice = self._world, current().dice
        plan = world.plan
        for number in range(plan.tells + plan.batches):
            world.scheduler.sleep(dice.choice((0.2, 1.0, 4.0, 9.0)) * (0.5 + dice.random()))
            steers = dice.random() * (plan.tells + plan.batches) < plan.tells
            action = dice.choice(_TOLD if steers else _OF_BATCHES)
            which, most = dice.randrange(plan.workers), dice.choice((1, 2, 3))
            books = sorted(dice.sample(range(len(plan.texts)), dice.randint(1, len(plan.texts))))
            if not world.faults.on:
                return
            if not world.faults.wish(f"operator#{number} {action}"):
                continue
            world.say(action, worker=which, most=most, books=books)
            if steers:
                self._tell(action, which, most)
            else:
                self._act(action, f"s{number}", [f"b{book}" for book in books])

    def rest(self) -> None:
        """Tell nobody anything any more."""
        if self._world.plan.tells:
            self._fleet, self._workers = {}, {}
            self._say(None)

    # The fleet.

    def _tell(self, action: str, which: int, most: int) -> None:
        own = self._workers.setdefault(f"w{which}", {})
        if action.startswith("fleet"):
            self._fleet["state"] = action.split()[1]
        elif action.startswith("one"):
            own["state"] = action.split()[1]
        elif action == "run":
            self._fleet.pop("state", None)
            self._workers = {}
        elif action == "at once":
            (own if most == 2 else self._fleet)["booksAtOnce"] = most
        if action == "junk":
            self._fleet, self._workers = {"state": "paussed", "booksAtOnce": 0}, {}
        workers = {name: dict(told) for name, told in self._workers.items()}
        self._say({"fleet": dict(self._fleet), "workers": workers})
        if action == "junk":
            self._fleet = {}

    def _say(self, node: Any) -> None:
        world = self._world
        world.write_other([((CONTROL,), node)])
        fleet = children(children(node).get("fleet"))
        for number in range(world.plan.workers):
            own = self._workers.get(f"w{number}", {})
            states = [told for part in (fleet, own) if (told := part.get("state")) in _STATES]
            at_once = own.get("booksAtOnce") or fleet.get("booksAtOnce") or None
            state = max(states, key=_STATES.index, default="running")
            world.checker.fleet.tells(number, state, at_once)

    # Batches.

    def _act(self, action: str, batch: str, books: list[str]) -> None:
        world = self._world
        if action == "batch":
            self._ask(batch, [book for book in books if world.database.get(("books", book))])
            return
        known = sorted(children(world.database.get((BATCHES,))))
        if not known:
            return
        which = known[current().dice.randrange(len(known))]
        if action == "take back":
            world.write_other([((BATCHES, which, "cancel"), True)])
            world.checker.fleet.cancelled(which)
        else:
            world.write_other([((BATCHES, which), None)])
            world.checker.fleet.forgotten(which)

    def _ask(self, batch: str, books: list[str]) -> None:
        world = self._world
        if not books:
            return
        record = {
            "requestedAt": dict(SERVER_TIMESTAMP),
            "requestedBy": OPERATOR,
            "title": batch,
            "open": True,
            "books": dict.fromkeys(books, "requested"),
        }
        writes: Writes = [((BATCHES, batch), record)]
        for book in books:
            text = world.database.get(("books", book, TEXT))
            world.checker.books.wishes_for(book, text, asks=True, whole=False)
            asked = {**world.frontend.asked(book, current().dice), BATCH: batch}
            writes += [(("books", book, name), value) for name, value in asked.items()]
        world.checker.fleet.asked_together(batch)
        world.write_other(writes)
