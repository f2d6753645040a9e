"""Ends what is kept of books: histories of deleted ones, entries of the register, dead claims.

The history of a deleted book goes. The register's entries stay as long as the settings say: for so
many days, and beyond their book or with it. Entries that a worker left unconfirmed are confirmed,
or removed, by what their book says. A claim on a book that is not asked for goes, where nobody
works under it any more. Deleted books are found when their audio is swept, and, those that had
none, by looking at some more histories each round, as are such claims. Any replica may do it; two
that do so at once do no harm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from narrator_daemon import logs
from narrator_daemon.catalogue import CLAIM, JOBS, LEASES, PATH, REGISTER, STATUS, is_key
from narrator_daemon.claims.book import Verdict, reap
from narrator_daemon.claims.claim import Claim
from narrator_daemon.errors import Refused
from narrator_daemon.firebase import books, register
from narrator_daemon.firebase.project import Project
from narrator_daemon.rounds import Round
from narrator_daemon.settings import Registry

#: Histories, and entries of the register, that are looked at in a round, one small read each.
MOST_LOOKED_AT = 100
#: Entries of the register that are removed in a round for their age.
MOST_REMOVED = 500
#: Younger entries may belong to a claim that is just being settled, milliseconds.
LEAST_AGE_MS = 3600 * 1000
#: Seconds in which a round ends; the next goes on from there.
_LONGEST_SECONDS = 60.0

_DAY_MS = 24 * 3600 * 1000

_log = logs.get(__name__)


class Forgetter:
    """Forgets in rounds.

    Args:
        project: the database.
        settings: how long the register is kept.
        now_ms: epoch milliseconds; the database's own clock unless another is given.
    """

    def __init__(
        self,
        project: Project,
        settings: Registry,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._project = project
        self._settings = settings
        self._now_ms = now_ms or project.database_clock.now_ms
        self._after = {JOBS: "", REGISTER: ""}

    def round(self) -> None:
        """Settle what is unconfirmed, remove what is too old, and look at some more of the rest.

        Raises:
            Unavailable: the database did not answer; the next round goes on.
        """
        ends_at = time.monotonic() + _LONGEST_SECONDS
        forgetting = Round("forget")
        with _register_open():
            self._settle_pending(forgetting, ends_at)
            self._remove_old(forgetting, ends_at)
            if self._settings.remove_with_book:
                for entry in self._next(REGISTER, ends_at).values():
                    book_id = entry.get("book") if isinstance(entry, dict) else None
                    if isinstance(book_id, str) and is_key(book_id):
                        with forgetting.item(book=book_id):
                            self._forget_if_gone(book_id)
        for book_id in self._next(JOBS, ends_at):
            if time.monotonic() > ends_at:
                return
            with forgetting.item(book=book_id):
                self._look_at(book_id)

    def forget(self, book_id: str) -> None:
        """Forget a deleted book: its history, and its entries where the settings say so.

        Raises:
            Unavailable: the database did not answer.
        """
        node, place = self._project.node(JOBS, book_id), self._project.node_path(JOBS, book_id)
        books.on_node(self._project, place, node.delete)
        removed = 0
        if self._settings.remove_with_book:
            with _register_open():
                for token in register.of_book(self._project, book_id):
                    register.remove(self._project, token)
                    removed += 1
        _log.info("book_forgotten", book=book_id, entries=removed)

    def _look_at(self, book_id: str) -> None:
        """Forget a book that is deleted, and free one that is not asked for of what claims left.

        No query finds those: without a status they are among all that were never asked for. Whoever
        works on a claim, or has retried, has its book in mind; once all of them have died, nobody.
        """
        found = books.fields(self._project, book_id)
        if not found:
            self.forget(book_id)
        elif CLAIM in found and STATUS not in found:
            self._free(book_id)

    def _free(self, book_id: str) -> None:
        record = books.read(self._project, book_id, CLAIM)
        claim = Claim.from_record(record)
        if claim is None:
            return
        if claim.token is not None:
            keys = LEASES, book_id, claim.token
            lease, place = self._project.node(*keys), self._project.node_path(*keys)
            if books.on_node(self._project, place, lease.get) is not None:
                return  # that is judged by the lease
        seen = books.change(
            self._project, book_id, lambda book: reap(book, token=claim.token, record=record)
        )
        if seen.verdict is Verdict.REAPED:
            _log.info("claim_removed", book=book_id, why="nobody asks for it, nobody works on it")

    def _forget_if_gone(self, book_id: str) -> None:
        if not books.exists(self._project, book_id):
            self.forget(book_id)

    def _settle_pending(self, forgetting: Round, ends_at: float) -> None:
        until = self._now_ms() - LEAST_AGE_MS
        for token, entry in register.pending(self._project, MOST_LOOKED_AT).items():
            if time.monotonic() > ends_at:
                return
            with forgetting.item(token=token):
                # One of which no time is known was not written by a daemon.
                if "enteredAt" not in entry or register.is_before(entry, "enteredAt", until):
                    self._settle(token, entry)

    def _settle(self, token: str, entry: dict[str, Any]) -> None:
        book_id, path = entry.get("book"), entry.get("path")
        if not isinstance(book_id, str) or not is_key(book_id):
            register.remove(self._project, token)
            return
        claim = Claim.from_record(books.read(self._project, book_id, CLAIM))
        # Read after the claim, which goes when the path comes.
        if path is not None and books.read(self._project, book_id, PATH) == path:
            register.confirm(self._project, token)
        elif claim is None or claim.token != token:
            register.remove(self._project, token)

    def _remove_old(self, forgetting: Round, ends_at: float) -> None:
        if not self._settings.keep_days:
            return
        until = self._now_ms() - self._settings.keep_days * _DAY_MS
        for token in register.published_before(self._project, until, MOST_REMOVED):
            if time.monotonic() > ends_at:
                return
            with forgetting.item(token=token):
                register.remove(self._project, token)

    def _next(self, name: str, ends_at: float) -> dict[str, Any]:
        """Some more children of a node, from where the last round stopped."""
        if time.monotonic() > ends_at:
            return {}
        found = books.page(self._project, name, self._after[name], MOST_LOOKED_AT)
        self._after[name] = list(found)[-1] if len(found) >= MOST_LOOKED_AT else ""
        return found


@contextmanager
def _register_open() -> Iterator[None]:
    """Around what is done with the register, which rules of an earlier version do not know."""
    try:
        yield
    except Refused as error:
        _log.warning("register_refused", why=str(error), note="deploy the rules that come with it")
