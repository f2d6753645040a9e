"""Judges what daemons write to books: what is shown, what fails, and what is nobody's to change."""

from __future__ import annotations

import json
from typing import Any

from greenlet import getcurrent

from narrator_daemon.catalogue import (
    CLAIM,
    DURATION,
    ERROR,
    FAILED,
    INPUT_HASH,
    PATH,
    PREVIEW,
    PROCESSING,
    PROGRESS,
    READY,
    READY_BY,
    REQUESTED,
    REQUESTED_BY,
    STATUS,
    TEXT_HASH,
    URL,
    Record,
    children,
)
from narrator_daemon.claims.book import text_hash
from narrator_daemon.claims.claim import Claim, same
from tests.simulation.claims_checked import ClaimsChecked
from tests.simulation.fleet_checked import FleetChecked
from tests.simulation.ledger import TEXT, Ledger, Wish, named
from tests.simulation.limits import IDLE_SECONDS, MAX_ATTEMPTS
from tests.simulation.scheduler import Task

#: What a frontend writes, and no daemon changes.
_FRONTENDS = (TEXT, "title", REQUESTED_BY)
#: Ends of an attempt that need not be tried again.
_PERMANENT = {"no_text", "text_not_string", "nothing_speakable", "text_too_long"}
#: What a book has only while it waits or is in work.
_OF_WORK = (CLAIM, PROGRESS, PREVIEW, READY_BY)


class BooksChecked:
    """The promises of what a book shows."""

    def __init__(self, ledger: Ledger, claims: ClaimsChecked, fleet: FleetChecked) -> None:
        self._ledger = ledger
        self._claims = claims
        self._fleet = fleet

    def wishes_for(self, book_id: str, text: str | None, *, asks: bool | None, whole: bool) -> None:
        """Take in that the frontend is about to write.

        Args:
            book_id: to which book.
            text: that the book has from then on; None for a book that is deleted.
            asks: whether it is asked for; None where the request stays what it is.
            whole: whether the book is written anew.
        """
        ledger = self._ledger
        old = ledger.wishes.get(book_id, Wish())
        if text is None or asks is False:
            self._fleet.ended(book_id, "cancelled")
        if text is None:
            ledger.wishes[book_id] = Wish(exists=False, since=ledger.claims)
            return
        open_ = old.open and not whole if asks is None else asks
        keeps = asks is None and not whole
        texts = frozenset({text}) | (old.texts if keeps else frozenset())
        ledger.wishes[book_id] = Wish(True, open_, texts, ledger.claims)

    def write(self, book_id: str, old: Any, new: Any) -> None:
        """Judge what a daemon has just written to a book."""
        ledger = self._ledger
        wish = ledger.wishes.get(book_id, Wish(exists=False))
        ledger.demand(
            new is None or wish.exists, "ghost", f"{book_id} was deleted and is back: {new}"
        )
        ledger.demand(
            new is not None or not wish.exists, "lost", f"{book_id} is deleted by a daemon"
        )
        if new is None:
            return
        old = old if isinstance(old, dict) else {}
        for name in _FRONTENDS:
            by_operator = name == REQUESTED_BY and old.get(STATUS) == FAILED
            ledger.demand(
                by_operator or same(old.get(name), new.get(name)),
                "foreign",
                f"a daemon changes {name} of {book_id}",
            )
        before, after = Claim.from_record(old.get(CLAIM)), Claim.from_record(new.get(CLAIM))
        was = before.token if before else None
        is_ = after.token if after else None
        if was is not None and was != is_:
            self._claims.ends(book_id, was, old, new)
            if before and after and after.give_backs > before.give_backs and was in ledger.held:
                self._fleet.given_back(ledger.held[was])
        if is_ is not None and is_ != was and after is not None:
            held = self._claims.made(book_id, wish, old, new, after)
            self._fleet.claimed(book_id, old, held)
        if new.get(PATH) != old.get(PATH) and new.get(PATH) is not None:
            self._judge_publication(book_id, wish, new)
        if new.get(URL) != old.get(URL) and new.get(URL) is not None:
            ledger.demand(
                str(new.get(PATH)).split("/")[-1] in str(new[URL]),
                "stale",
                f"the URL of {book_id} leads elsewhere than to {new.get(PATH)}",
            )
        if new.get(STATUS) == FAILED and old.get(STATUS) != FAILED:
            self._judge_failure(book_id, wish, old, new)
        self._judge_status(book_id, old, new)
        self._fleet.foretold(book_id, old, new)

    def _judge_status(self, book_id: str, old: Record, new: Record) -> None:
        wish, status = self._ledger.wishes[book_id], new.get(STATUS)
        if not wish.open and old.get(STATUS) not in (REQUESTED, PROCESSING):
            self._ledger.demand(
                same(old.get(STATUS), status),
                "stale",
                f"{book_id} was {old.get(STATUS)} and becomes {status} unasked",
            )
        if wish.open and STATUS in old and status is None and self._fleet.takes_back(book_id, old):
            wish.open = False
        self._ledger.demand(
            not wish.open or status in (REQUESTED, PROCESSING),
            "lost",
            f"{book_id} was asked for and is {status}",
        )

    def _judge_publication(self, book_id: str, wish: Wish, new: Record) -> None:
        ledger, stored = self._ledger, self._ledger.world.objects.by_name
        path = str(new[PATH])
        ledger.demand(path in stored, "lost", f"{book_id} is published without {path}")
        said = json.loads(stored[path].data)["text"]
        ledger.demand(
            wish.open, "duplicate", f"{book_id} is published again, or after it was cancelled"
        )
        ledger.demand(
            said in wish.texts,
            "stale",
            f"{book_id} shows {said!r} after {sorted(wish.texts)} was asked for",
        )
        token = path.split("/")[-1].removesuffix(".wav")
        held = ledger.held.get(token)
        ledger.demand(
            held is None or said == held.text,
            "stale",
            f"{book_id} shows {said!r}, and was claimed with {held.text if held else None!r}",
        )
        ledger.demand(token not in ledger.published, "duplicate", f"{token} is published twice")
        ledger.demand(
            new.get(STATUS) == READY
            and path.split("/")[-1] in str(new.get(URL))
            and isinstance(new.get(INPUT_HASH), str)
            and new.get(TEXT_HASH) == text_hash(said),
            "half",
            f"{book_id} is published in part: {new}",
        )
        ledger.demand(
            all(name not in new for name in (*_OF_WORK, ERROR)),
            "half",
            f"{book_id} is published, and something is left over: {new}",
        )
        for name in named(new):
            ledger.demand(name in stored, "lost", f"{book_id} names {name}, which is not")
        ledger.published[token] = book_id
        if held is not None:
            self._fleet.grants.published(held, new.get(DURATION))
        wish.open = False
        self._fleet.ended(book_id, READY, held)

    def _judge_failure(self, book_id: str, wish: Wish, old: Record, new: Record) -> None:
        ledger = self._ledger
        ledger.demand(wish.open, "stale", f"{book_id} fails though nobody waits for it")
        error = children(new.get(ERROR))
        code, attempts = error.get("code"), error.get("attempts", 0)
        claim = Claim.from_record(old.get(CLAIM))
        if code == "refused":
            ledger.demand(
                book_id in ledger.world.ever_refused or ledger.world.ever_closed,
                "attempts",
                f"{book_id} fails as refused, which it never was",
            )
        elif code not in _PERMANENT and claim is not None:
            texts = {new.get(TEXT), *wish.texts}
            bad = sum(
                ledger.may_count(one)
                for one in ledger.held.values()
                if any(one.is_of(book_id, text, claim.requested_at) for text in texts)
            )
            ledger.demand(
                attempts >= MAX_ATTEMPTS and bad >= MAX_ATTEMPTS,
                "attempts",
                f"{book_id} fails by {attempts} attempts, {bad} of which failed: {error}",
            )
        wish.open = False
        self._fleet.ended(book_id, FAILED, ledger.held.get(str(claim.token)) if claim else None)

    def deletes(self, name: str) -> None:
        """Judge the deletion of an object."""
        ledger = self._ledger
        for book_id, record in ledger.books.items():
            ledger.demand(
                name not in named(record), "lost", f"{book_id} plays {name}, which is deleted"
            )
        task = getcurrent()
        token = name.split("/")[-1].split(".")[0]
        held = ledger.held.get(token)
        over = held and held.gone_at is not None and held.gone_at < ledger.now - IDLE_SECONDS
        known = over and held and not held.process.dead and token not in ledger.published
        if isinstance(task, Task) and "/sweeper" in task.name and known:
            # What replaces another leaves that to the sweep; what has no place goes at once.
            ledger.demand(
                not ledger.world.nothing_went_wrong(), "orphan", f"{name} is left to the sweep"
            )
