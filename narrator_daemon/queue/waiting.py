"""The waiting books that this replica knows of, and which of them is next.

By level, and within one the oldest request first, by ``narrativeAudioRequestedAt``; by first sight
where the frontend writes none. A higher level goes before an older book so many times and no more:
nothing waits for ever. A book that has to wait (for its retry, its requester's limit, the time from
which it is wanted) is passed over and holds nobody else up; of a requester at the limit, all books
are passed over together.
"""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from narrator_daemon.catalogue import (
    CLAIM,
    PATH,
    READY_BY,
    REQUESTED_AT,
    REQUESTED_BY,
    STATUS,
    is_number,
    moment,
)
from narrator_daemon.claims.book import wanted_from
from narrator_daemon.claims.claim import Claim, same
from narrator_daemon.firebase.books import is_complete
from narrator_daemon.firebase.subscription import Hint
from narrator_daemon.queue.place import Level, level_of, waits_since

#: Over so many minutes it is counted how much is asked for, by the request's times; of fewer than
#: the least nothing is said.
_ARRIVAL_MINUTES, _LEAST_MINUTES = 30, 5

#: So many times others go before the oldest book that may be tried; then that one goes.
MOST_OVERTAKINGS = 7


@dataclass
class Candidate:
    """A book that may be waiting.

    Attributes:
        book_id: its key.
        requested_at: ``narrativeAudioRequestedAt``, or None.
        requested_by: ``narrativeAudioRequestedBy``, or None.
        shown: the path of the narration that is shown now, or None; with the request's time it
            tells one request of a book from another.
        is_retry: whether the request was claimed before; it is no new one then.
        held_by: the token of the claim that stands on it, or None.
        known: whether the record was seen whole; if not, the five above are unknown.
        order: since when it waits, epoch milliseconds.
        level: what goes first.
        wanted_at: from when it is wanted, epoch milliseconds, or None.
        not_before: when it may be tried, monotonic seconds.
        waits_for_retry: whether a claim without a token stands on it: should the request be
            cancelled, that is to go.
        characters: of its text; None where that is not known, or no text.
        ready_by: when it will be ready as the book says, epoch milliseconds, or None.
    """

    book_id: str
    requested_at: Any
    requested_by: str | None
    shown: str | None
    is_retry: bool
    held_by: str | None
    known: bool
    order: float
    level: Level = Level.NORMAL
    wanted_at: int | None = None
    not_before: float = 0.0
    waits_for_retry: bool = False
    characters: int | None = None
    ready_by: int | None = None

    @classmethod
    def of(cls, book_id: str, record: object, order: float, text_field: str = "narrative") -> Self:
        """A book as it was read.

        Args:
            book_id: its key.
            record: the book, or None where only its id is known.
            order: its place in the queue if the request has no time, epoch milliseconds.
            text_field: where its text is.
        """
        book = record if isinstance(record, Mapping) and STATUS in record else {}
        requested_at, requested_by = book.get(REQUESTED_AT), book.get(REQUESTED_BY)
        claim = Claim.from_record(book.get(CLAIM))
        text = book.get(text_field)
        return cls(
            book_id,
            requested_at,
            requested_by if isinstance(requested_by, str) and requested_by else None,
            str(book[PATH]) if PATH in book else None,
            claim is not None and same(claim.requested_at, requested_at),
            None if claim is None else claim.token,
            bool(book),
            waits_since(book, order),
            level_of(book),
            wanted_from(book),
            waits_for_retry=claim is not None and claim.token is None,
            characters=len(text) if isinstance(text, str) else None,
            ready_by=moment(book.get(READY_BY)),
        )


class Waiting:
    """The queue of one replica. Safe to use from several threads.

    Args:
        clock: monotonic seconds.
        text_field: where the texts of books are.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, text_field: str = "narrative"
    ) -> None:
        self._clock = clock
        self._text_field = text_field
        # How often in a row the oldest book was passed over.
        self._overtakings = 0
        self._lock = threading.Lock()
        self._candidates: dict[str, Candidate] = {}
        self._offers = 0
        # Characters that were asked for, by the minute of the request and the level; and since when
        # this is counted.
        self._arrived: dict[int, Counter[Level]] = {}
        self._counting_since: int | None = None
        self._offered: dict[str, int] = {}
        # Until when requesters are passed over, monotonic seconds: at their limit, and over a
        # budget; None for all, where the catalogue's is used up.
        self._limited: dict[str, float] = {}
        self._over_budget: dict[str | None, float] = {}

    def offer(self, book_id: str, record: object, now_ms: int) -> None:
        """Take in that a book may be waiting.

        Args:
            book_id: its key.
            record: the book, or None where only its id is known.
            now_ms: epoch milliseconds, its place in the queue if the request has no time.
        """
        with self._lock:
            self._offer(book_id, record, now_ms)

    def _offer(self, book_id: str, record: object, now_ms: int) -> None:
        self._offers += 1
        self._offered[book_id] = self._offers
        found = Candidate.of(book_id, record, float(now_ms), self._text_field)
        if found.wanted_at is not None:
            wait_seconds = max(0.0, (found.wanted_at - now_ms) / 1000)
            found = replace(found, not_before=self._clock() + wait_seconds)
        old = self._candidates.get(book_id)
        if (
            old is not None
            and old.known
            and found.known
            and old.held_by == found.held_by
            and same(old.requested_at, found.requested_at)
            and (old.level, old.wanted_at) == (found.level, found.wanted_at)
        ):
            # Nothing new: if it is being passed over, it stays so. But until the database has
            # answered, what time it is may have been wrong by hours.
            if found.wanted_at is not None:
                old.not_before = min(old.not_before, found.not_before)
            return
        if (
            old is not None
            and not (old.known and found.known)
            and not is_number(found.requested_at)
        ):
            found = replace(found, order=max(old.order, float(found.wanted_at or 0)))
        if old is not None and not found.known:
            found = replace(found, level=old.level, waits_for_retry=old.waits_for_retry)
        if not found.is_retry and (old is None or not same(old.requested_at, found.requested_at)):
            self._arrive(found, now_ms)
        self._candidates[book_id] = found

    def _arrive(self, one: Candidate, now_ms: int) -> None:
        minute = now_ms // 60_000
        if self._counting_since is None:
            self._counting_since = minute
        for old in [old for old in self._arrived if old < minute - _ARRIVAL_MINUTES]:
            del self._arrived[old]
        asked = int(one.order) // 60_000
        if one.characters and self._counting_since <= asked <= minute:
            self._arrived.setdefault(asked, Counter())[one.level] += one.characters

    def arriving(self, now_ms: int) -> dict[Level, float]:
        """Characters a second that are asked for of late, by level; empty while nobody knows.

        Args:
            now_ms: epoch milliseconds.
        """
        minute = now_ms // 60_000
        with self._lock:
            since = self._counting_since
            if since is None or minute - since < _LEAST_MINUTES:
                return {}
            since = max(since, minute - _ARRIVAL_MINUTES)
            total = Counter[Level]()
            for asked, amounts in self._arrived.items():
                if since <= asked <= minute:
                    total.update(amounts)
            seconds = 60.0 * (minute + 1 - since)
            return {level: amount / seconds for level, amount in total.items()}

    def wait_again(self, book_id: str, record: object, now_ms: int) -> None:
        """Take in that this worker itself has left a book to wait, unless it is known to wait.

        Where more wait than a query brings, nobody else tells of it before the next reading of all;
        and should it be cancelled by then, nobody would find what is left of its claim.

        Args:
            book_id: its key.
            record: the book as it was left.
            now_ms: epoch milliseconds, its place in the queue if the request has no time.
        """
        with self._lock:
            if book_id not in self._candidates:
                self._offer(book_id, record, now_ms)

    def take_in(self, hint: Hint, now_ms: int) -> None:
        """Take in what the stream says.

        Args:
            hint: of the stream.
            now_ms: epoch milliseconds.
        """
        if hint.resync:
            self.refresh(hint.books, now_ms, complete=is_complete(hint.books))
            return
        with self._lock:
            for book_id, record in hint.books.items():
                self._offer(book_id, record, now_ms)
            for book_id in hint.gone:
                self._leave(book_id, now_ms)

    def refresh(
        self,
        records: Mapping[str, object],
        now_ms: int,
        *,
        complete: bool,
        since: int | None = None,
    ) -> None:
        """Take in a whole reading of the waiting books.

        Args:
            records: by id.
            now_ms: epoch milliseconds.
            complete: whether there are no others. If so, the rest is forgotten.
            since: what ``now_reading`` gave before the reading began; what was offered after that
                is newer than the reading, and stays. None for a reading that is in step.
        """
        with self._lock:
            if complete:
                for book_id in self._candidates.keys() - records.keys():
                    if since is None or self._offered[book_id] <= since:
                        self._leave(book_id, now_ms)
            for book_id, record in records.items():
                self._offer(book_id, record, now_ms)

    def forget(self, book_ids: Collection[str]) -> None:
        """Take in that books are not waiting."""
        with self._lock:
            for book_id in book_ids:
                self._forget(book_id)

    def _leave(self, book_id: str, now_ms: int) -> None:
        """Take in that a book waits no longer."""
        gone = self._candidates.get(book_id)
        self._forget(book_id)
        if gone is not None and gone.waits_for_retry:
            # Perhaps cancelled: whoever tries it finds what is left of its claim, and removes it.
            self._offer(book_id, None, now_ms)
            # Until it is tried no reading brings it, and none says that it need not be.
            self._candidates[book_id].waits_for_retry = True

    def _forget(self, book_id: str) -> None:
        self._candidates.pop(book_id, None)
        self._offered.pop(book_id, None)

    def now_reading(self) -> int:
        """A mark in the sequence of offers, to be given to ``refresh`` with what is read now."""
        with self._lock:
            return self._offers

    def take(self, now: float, among: int = 1) -> Candidate | None:
        """Remove and give the book to try next, or None while none may be tried.

        It leaves the queue before it is tried, so that a request which comes in meanwhile is kept.

        Args:
            now: monotonic seconds.
            among: of how many of the first one is picked at random; 1 for the first.
        """
        with self._lock:
            free = [one for one in self._candidates.values() if self._is_free(one, now)]
            if not free:
                return None
            firsts = heapq.nsmallest(
                among, free, key=lambda one: (one.level, one.order, one.book_id)
            )
            level = firsts[0].level
            first = random.choice([one for one in firsts if one.level is level])  # noqa: S311
            oldest = min(free, key=lambda one: (one.order, one.book_id))
            if first is oldest:
                self._overtakings = 0
            elif self._overtakings < MOST_OVERTAKINGS:
                self._overtakings += 1
            else:
                self._overtakings, first = 0, oldest
            self._forget(first.book_id)
            return first

    def put_back(self, candidate: Candidate, until: float) -> None:
        """Pass a book over until a monotonic time, unless it was asked for anew meanwhile."""
        with self._lock:
            newer = self._candidates.get(candidate.book_id)
            if newer is not None:
                # Of one that only its id is known of since, it is still known what waits on it.
                newer.waits_for_retry |= candidate.waits_for_retry and not newer.known
            else:
                self._offers += 1
                self._offered[candidate.book_id] = self._offers
                self._candidates[candidate.book_id] = replace(candidate, not_before=until)

    def pass_over(self, uid: str, until: float, now: float) -> None:
        """Pass over all new requests of a requester until a monotonic time."""
        with self._lock:
            self._limited = {one: end for one, end in self._limited.items() if end > now}
            self._limited[uid] = until

    def pass_over_budget(self, uid: str | None, until: float, now: float) -> None:
        """Pass over all new requests of a requester, or of all, until a monotonic time.

        Args:
            uid: whose budget is used up; None where the catalogue's is.
            until: monotonic seconds.
            now: monotonic seconds.
        """
        with self._lock:
            self._over_budget = {one: end for one, end in self._over_budget.items() if end > now}
            self._over_budget[uid] = until

    def over_budget(self, now: float) -> frozenset[str | None]:
        """Whose budgets are used up at a monotonic time; None among them for the catalogue's."""
        with self._lock:
            return frozenset(uid for uid, until in self._over_budget.items() if until > now)

    def limited(self, now: float) -> frozenset[str]:
        """The requesters that are passed over at a monotonic time."""
        with self._lock:
            return frozenset(uid for uid, until in self._limited.items() if until > now)

    def _is_free(self, one: Candidate, now: float) -> bool:
        if one.not_before > now:
            return False
        if one.is_retry:
            return True
        uid = one.requested_by
        if max(self._over_budget.get(whose, now) for whose in (None, uid)) > now:
            return False
        return uid is None or self._limited.get(uid, now) <= now

    def free(self, now: float) -> int:
        """How many may be tried at a monotonic time."""
        with self._lock:
            return sum(self._is_free(one, now) for one in self._candidates.values())

    @property
    def candidates(self) -> list[Candidate]:
        """All of them, in no order."""
        with self._lock:
            return list(self._candidates.values())

    def oldest(self) -> float | None:
        """The place of the first in the queue, epoch milliseconds, or None."""
        with self._lock:
            return min((one.order for one in self._candidates.values()), default=None)

    def __len__(self) -> int:
        with self._lock:
            return len(self._candidates)
