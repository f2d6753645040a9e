"""The frontend: it asks, edits, cancels, deletes, writes anew, scribbles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from narrator_daemon.catalogue import (
    BATCH,
    CLAIM,
    NOT_BEFORE,
    OPERATOR,
    PRIORITY,
    PROCESSING,
    REQUESTED,
    REQUESTED_AT,
    REQUESTED_BY,
    SERVER_TIMESTAMP,
    STATUS,
)
from narrator_daemon.claims.book import request_again
from tests.simulation.database import Path, Writes
from tests.simulation.ledger import TEXT
from tests.simulation.plan import TEXTS
from tests.simulation.scheduler import current

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Seconds between a daemon's write and the frontend's.
_AT_ONCE = (0.0, 0.005, 0.05, 0.5)


class Frontend:
    """Who writes books.

    Args:
        world: the history.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def run(self) -> None:
        """Write all books, and then to some of them."""
        world, plan, dice = self._world, self._world.plan, current().dice
        books = list(enumerate(plan.texts))
        for number, text in reversed(books) if plan.backwards else books:
            book_id = f"b{number}"
            world.checker.books.wishes_for(book_id, text, asks=True, whole=True)
            asked = self.asked(
                book_id, dice, timed=dice.random() < 0.8 or plan.queue or plan.steady
            )
            self._write(book_id, {TEXT: text, "title": book_id, **asked}, whole=True)
            if dice.random() < 0.5:
                world.scheduler.sleep(dice.choice((0.0, 0.5, 3.0)))
        for number in range(plan.writes):
            # Often while something is in work, sometimes at once after another.
            world.scheduler.sleep(dice.choice((0.05, 0.5, 1.5, 4.0)) * (0.5 + dice.random()))
            book_id = f"b{dice.randrange(len(plan.texts))}"
            action = dice.choice(plan.actions)
            text, again = dice.choice(TEXTS), dice.random() < 0.5
            extra = self.asked(book_id, dice, timed=again)
            if not world.faults.on:
                return
            if world.faults.wish(f"frontend#{number} {action}"):
                self._act(action, book_id, text, extra)

    def meddle(self, path: Path) -> None:
        """Write to a book just after a daemon did, or not."""
        task, world = current(), self._world
        dice = task.dice
        chance, action, seconds = (
            dice.random(),
            dice.choice(world.plan.actions),
            dice.choice(_AT_ONCE),
        )
        text, book_id = dice.choice(TEXTS), path[1]
        if chance >= world.plan.meddles or not world.faults.on:
            return
        name = f"frontend@{task.name}#{task.requests} {action}"

        def act() -> None:
            world.scheduler.sleep(seconds)
            if world.faults.on and world.faults.wish(name):
                asked = self.asked(book_id, current().dice, timed=current().dice.random() < 0.5)
                self._act(action, book_id, text, asked)

        world.scheduler.spawn(name, act)

    def asked(self, book_id: str, dice: Any, *, timed: bool = True) -> dict[str, Any]:
        """The fields of a request."""
        plan = self._world.plan
        asked: dict[str, Any] = {STATUS: REQUESTED, BATCH: None}
        if timed:
            asked[REQUESTED_AT] = dict(SERVER_TIMESTAMP)
        asked[REQUESTED_BY] = plan.uids[int(book_id[1:])]
        if dice.random() < (0.4 if plan.queue else 0.1) and not plan.steady:
            asked[PRIORITY] = dice.choice(("now", "bulk"))
        if dice.random() < 0.07 and not (plan.queue or plan.steady):
            asked[NOT_BEFORE] = self._world.database.now_ms() + dice.choice((500, 5000))
        return asked

    def _write(self, book_id: str, fields: dict[str, Any], *, whole: bool = False) -> None:
        path = ("books", book_id)
        writes: Writes = [(path, fields)] if whole else [((*path, k), v) for k, v in fields.items()]
        self._world.write_other(writes)

    def _act(self, action: str, book_id: str, text: str, asked: dict[str, Any]) -> None:
        book = self._world.database.get(("books", book_id))
        wishes = self._world.checker.books.wishes_for
        if book is None:
            asks = action in ("press", "ask", "overwrite")
            wishes(book_id, text, asks=asks, whole=True)
            self._write(
                book_id, {TEXT: text, "title": book_id, **(asked if asks else {})}, whole=True
            )
            return
        held = book.get(TEXT)
        if action == "press":
            wishes(book_id, held, asks=True, whole=False)
            self._write(book_id, asked)
        elif action == "ask":
            wishes(book_id, text, asks=True, whole=False)
            self._write(book_id, {TEXT: text, **asked})
        elif action == "edit":
            wishes(book_id, text, asks=None, whole=False)
            self._write(book_id, {TEXT: text})
        elif action == "cancel":
            wishes(book_id, held, asks=False, whole=False)
            self._write(book_id, {STATUS: None})
        elif action == "reconsider":
            self._act("edit", book_id, text, asked)
            self._world.scheduler.sleep(0.3)
            self._act("cancel", book_id, text, asked)
        elif action == "delete":
            wishes(book_id, None, asks=False, whole=True)
            self._world.write_other([(("books", book_id), None)])
        elif action == "overwrite":
            wishes(book_id, text, asks=True, whole=True)
            self._write(book_id, {TEXT: text, "title": book_id, **asked}, whole=True)
        elif action == "import":
            wishes(book_id, text, asks=False, whole=True)
            self._write(book_id, {TEXT: text, "title": book_id}, whole=True)
        elif action == "scribble":
            wishes(book_id, held, asks=True, whole=False)
            self._write(book_id, {STATUS: PROCESSING, CLAIM: "of the wrong shape"})
        elif action == "retry":
            seen = request_again(book, now_ms=self._world.database.now_ms())
            if seen.book is not None:
                wishes(book_id, held, asks=True, whole=False)
                self._write(book_id, {**seen.book, REQUESTED_BY: OPERATOR}, whole=True)
