"""Judges what is granted: narrations of a requester in a minute, and seconds of audio in a day."""

from __future__ import annotations

import hashlib
from typing import Any

from narrator_daemon.catalogue import (
    BUDGETS,
    LIMITS,
    PATH,
    REQUESTED,
    REQUESTED_AT,
    REQUESTED_BY,
    STATUS,
    Record,
    children,
)
from narrator_daemon.queue.budgets import CATALOGUE
from narrator_daemon.queue.requesters import grant_name
from tests.simulation.database import Path
from tests.simulation.ledger import Held, Ledger
from tests.simulation.limits import WINDOW_SECONDS


class GrantsChecked:
    """The promises of limits and budgets."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # What was granted, by node and request, and what was claimed of that; and as what each
        # book's requests may be.
        self._granted: set[tuple[str, str]] = set()
        self._used: set[tuple[str, str]] = set()
        self._names: dict[str, set[str]] = {}
        self._ungranted: list[float] = []
        self._grants: dict[str, list[float]] = {}
        self._requests: set[tuple[str, str]] = set()
        # Claims that had no grant of a budget; and what each claim was granted as.
        self._unbudgeted: set[tuple[str, str]] = set()
        self._grant_of: dict[str, str] = {}
        # Seconds of audio that were published, by the grant, and under which claim.
        self._made: dict[str, tuple[float, Held]] = {}

    def see(self, book_id: str, book: Any) -> None:
        """Take in what a book's request is granted as."""
        record = children(book)
        if record.get(STATUS) == REQUESTED:
            name = grant_name(book_id, record.get(REQUESTED_AT), record.get(PATH))
            self._names.setdefault(book_id, set()).add(name)

    def _is_granted(self, node: str, name: str, book_id: str) -> bool:
        """Whether a claim was granted, as this request of its book or as an earlier one.

        The book may be asked for anew between grant and claim. A grant of which nothing was made
        counts in its place, once.
        """
        if (node, name) in self._granted:
            self._used.add((node, name))
            return True
        granted = {(node, name) for name in self._names.get(book_id, ())} & self._granted
        left = sorted(granted - self._used)
        self._used.update(left[:1])
        return bool(left)

    def limit(self, node: str, before: dict[str, Any]) -> None:
        """Judge what a requester was granted."""
        ledger, now = self._ledger, self._ledger.now
        old = children(before.get(LIMITS, {}).get(node))
        fresh = sorted(children(ledger.get(LIMITS, node)).keys() - old.keys())
        # The services' clock is known to a second or two.
        grants = [at for at in self._grants.get(node, []) if now - at < WINDOW_SECONDS - 2.0]
        grants += [now for _ in fresh]
        self._grants[node] = grants
        self._granted |= {(LIMITS, name) for name in fresh}
        limit = ledger.world.plan.limit
        ledger.demand(
            not fresh or len(grants) <= limit,
            "limit",
            f"{len(grants)} narrations of one requester are granted in its window, not {limit}",
        )

    def budget(self, path: Path, before: dict[str, Any]) -> None:
        """Judge a write to a budget.

        A grant is given only while the day's sum is below the budget, and none is lost. Once a
        request is over, what was made takes the place of its grant.
        """
        node = path[1]
        old = children(children(before.get(BUDGETS)).get(node))
        new = children(self._ledger.get(BUDGETS, node))
        granted, now = children(old.get("granted")), children(new.get("granted"))
        made = old.get("seconds", 0)
        if old.get("day") != new.get("day"):
            granted, made = {}, 0
        more, gone = sorted(now.keys() - granted.keys()), sorted(granted.keys() - now.keys())
        # One write grants one request, or takes one that is over.
        self._ledger.demand(
            len(more) + len(gone) <= 1, "budget", f"{more} are granted, {gone} are lost"
        )
        counted = new.get("seconds", 0)
        audio = sum(self._made[name][0] for name in gone if name in self._made)
        # Where the answer to a publication was lost and the book changed, nobody knows of it.
        untold = any(self._made[name][1].untold for name in gone if name in self._made)
        self._ledger.demand(
            abs(counted - made - audio) < 0.2 or (untold and abs(counted - made) < 0.2),
            "budget",
            f"{made + audio:.1f} s were made that count in {node}, and not {counted}",
        )
        if more:
            plan = self._ledger.world.plan
            most = plan.budget if node == CATALOGUE else plan.own_budget
            spent = counted + sum(now[name] for name in now if name not in more)
            self._ledger.demand(
                spent < most + 0.1, "budget", f"{spent:.1f} s are gone of {most:g} s in {node}"
            )
            self._granted |= {(node, name) for name in more}

    def published(self, held: Held, seconds: Any) -> None:
        """Take in how much audio was published under a claim."""
        name = self._grant_of.get(held.token)
        if name is not None:
            self._made[name] = float(seconds), held

    def claimed(self, book_id: str, old: Record, held: Held) -> None:
        """Judge whether a claim was granted."""
        world = self._ledger.world
        uid, limit = old.get(REQUESTED_BY), world.plan.limit
        name = grant_name(book_id, old.get(REQUESTED_AT), old.get(PATH))
        self._grant_of[held.token] = name
        for node in self._budgets_of(uid):
            if held.attempt == 1 and not self._is_granted(node, name, book_id):
                # One a replica may have been asked for anew just as it was granted, unseen.
                self._unbudgeted.add((node, name))
                without = sum(one == node for one, _ in self._unbudgeted)
                self._ledger.demand(
                    without <= world.lives,
                    "budget",
                    f"{without} books are claimed without their grants in {node}",
                )
        if not isinstance(uid, str) or not limit or (book_id, name) in self._requests:
            return
        self._requests.add((book_id, name))
        if held.attempt > 1 or self._is_granted(LIMITS, name, book_id):
            return
        now = self._ledger.now
        self._ungranted = [at for at in self._ungranted if now - at < WINDOW_SECONDS] + [now]
        self._ledger.demand(
            len(self._ungranted) <= world.lives,
            "limit",
            f"{len(self._ungranted)} books are claimed in one window without a grant",
        )

    def _budgets_of(self, uid: Any) -> list[str]:
        """The budgets that a request counts towards."""
        plan = self._ledger.world.plan
        found = [CATALOGUE] if plan.budget else []
        if plan.own_budget and isinstance(uid, str) and uid:
            found.append(hashlib.sha256(uid.encode()).hexdigest())
        return found
