"""One replica says for all when the books that wait will be ready: ``narrativeAudioReadyBy``.

A write of a waiting book is sent to every replica, text included. So what is written is held to so
many bytes a second, over all replicas, and only what is news is written.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from narrator_daemon.catalogue import (
    CONTROL,
    STATUS,
    WORKERS,
    Record,
    children,
    is_count,
    is_number,
    moment,
)
from narrator_daemon.claims.claims import Claims
from narrator_daemon.errors import NodeRefused, NodeUnavailable
from narrator_daemon.firebase import books
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.project import Project
from narrator_daemon.queue.control import of_worker
from narrator_daemon.queue.forecast import Load, Place, Sums, forecast
from narrator_daemon.queue.waiting import Candidate, Waiting
from narrator_daemon.rounds import Round

#: Seconds between two rounds, and the longest that each part of one may take.
FORECAST_SECONDS, _LONGEST_SECONDS = 15.0, 10.0

#: The bytes a second, over all replicas, that writes may cost; and reading the workers' entries.
WRITE_BYTES_PER_SECOND = 250_000.0
READ_BYTES_PER_SECOND = 2_000.0

#: What is written anew: what is off by so many seconds and this share of what is left.
_LEAST_SECONDS, _LEAST_SHARE = 5.0, 0.1

#: Most books a round, and seconds that it does without where the rules do not know the field.
_MOST_WRITES = 200
_REFUSED_SECONDS = 600.0


class Forecaster:
    """Plays the queue forward and writes what comes of it.

    Args:
        project: the database.
        claims: to write with.
        waiting: the books that this replica knows.
        leads: whether this replica is to do it.
        lease_ttl: seconds after which a worker that says nothing is taken for dead.
        limit: gives ``limits.requests_per_minute``.
        refused: gives the ids of books whose claim the database does not take.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        project: Project,
        claims: Claims,
        waiting: Waiting,
        leads: Callable[[], bool],
        *,
        lease_ttl: float,
        limit: Callable[[], int],
        refused: Callable[[], Collection[str]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._project = project
        self._claims = claims
        self._waiting = waiting
        self._leads = leads
        self._lease_ttl = lease_ttl
        self._limit = limit
        self._refused = refused
        self._clock = clock
        self._refused_until = float("-inf")
        # What was written last, with the request that it is of.
        self._written: dict[str, tuple[Any, int | None]] = {}

    def step(self) -> float:
        """Look once; gives seconds until the next.

        Raises:
            Unavailable: the database did not answer.
        """
        if not self._leads() or self._clock() < self._refused_until:
            self._written.clear()
            return FORECAST_SECONDS
        known = {one.book_id for one in self._countable()}
        self._forget(known)
        if not known:
            return FORECAST_SECONDS
        with database_errors():
            entries = children(self._project.node(WORKERS).get())
            control = self._control()
        # Not before: what is claimed meanwhile would count as waiting and as in work.
        candidates = self._countable()
        now_ms = self._project.database_clock.now_ms()
        alive = {name: one for name, one in entries.items() if self._lives(one, now_ms)}
        free = places(alive, control)
        loads = self._loads(candidates, self._clock(), now_ms) if free else []
        ready_in = forecast(loads, free, self._waiting.arriving(now_ms))
        self._write(candidates, ready_in, len(alive), now_ms)
        return max(FORECAST_SECONDS, books.size(entries) / READ_BYTES_PER_SECOND)

    def _countable(self) -> list[Candidate]:
        return [one for one in self._waiting.candidates if one.characters is not None]

    def _forget(self, known: Collection[str]) -> None:
        """Remove what was said of requests that were cancelled; claims take care of all others."""
        until = self._clock() + _LONGEST_SECONDS
        for book_id in self._written.keys() - set(known):
            if self._clock() >= until:
                return  # the next round goes on with the rest
            requested_at, shown = self._written[book_id]
            if shown is not None and books.read(self._project, book_id, STATUS) is None:
                self._claims.foretell(book_id, requested_at, None)
            del self._written[book_id]

    def _control(self) -> object:
        try:
            node, place = self._project.node(CONTROL), self._project.node_path(CONTROL)
            return books.on_node(self._project, place, node.get)
        except NodeRefused:
            return None

    def _lives(self, entry: object, now_ms: int) -> bool:
        at = moment(children(entry).get("at"))
        return at is not None and now_ms - at < 1000 * self._lease_ttl

    def _loads(self, candidates: list[Candidate], now: float, now_ms: int) -> list[Load]:
        loads = []
        over_budget, refused = self._waiting.over_budget(now), self._refused()
        asked, limit = Counter[str](), self._limit()
        for one in sorted(candidates, key=lambda one: (one.level, one.order, one.book_id)):
            uid = one.requested_by
            if one.book_id in refused or one.held_by is not None or one.characters is None:
                continue
            if not one.is_retry and not over_budget.isdisjoint({None, uid}):
                continue
            wait = 0.0 if one.wanted_at is None else max(0.0, (one.wanted_at - now_ms) / 1000)
            if limit and uid is not None and not one.is_retry and not wait:
                wait = 60.0 * (asked[uid] // limit)
                asked[uid] += 1
            loads.append(Load(one.book_id, one.level, one.order, one.characters, wait))
        return loads

    def _write(
        self,
        candidates: list[Candidate],
        ready_in: Mapping[str, float],
        replicas: int,
        now_ms: int,
    ) -> None:
        began = self._clock()
        left = WRITE_BYTES_PER_SECOND * FORECAST_SECONDS
        round_ = Round("forecast")
        news = [one for one in candidates if self._is_news(one, ready_in.get(one.book_id), now_ms)]
        for one in sorted(news, key=lambda one: ready_in.get(one.book_id, 0.0))[:_MOST_WRITES]:
            if left <= 0 or self._clock() - began > _LONGEST_SECONDS:
                return
            left -= (one.characters or 0) * max(1, replicas)
            seconds = ready_in.get(one.book_id)
            ready_by = None if seconds is None else round(now_ms / 1000 + seconds) * 1000
            with round_.item(book=one.book_id):
                try:
                    self._claims.foretell(one.book_id, one.requested_at, ready_by)
                except NodeRefused:
                    # Rules from before there was the field, or of this book alone.
                    self._refused_until = self._clock() + _REFUSED_SECONDS
                    return
                except NodeUnavailable:
                    continue
                self._written[one.book_id] = one.requested_at, ready_by

    def _is_news(self, one: Candidate, seconds: float | None, now_ms: int) -> bool:
        requested_at, shown = self._written.get(one.book_id, (one.requested_at, one.ready_by))
        if requested_at != one.requested_at:
            shown = None
        if seconds is None or shown is None:
            return (seconds is None) is not (shown is None)
        off = abs(now_ms + 1000 * seconds - shown) / 1000
        return off > max(_LEAST_SECONDS, _LEAST_SHARE * seconds)


def places(entries: Mapping[str, Any], control: object) -> list[Place]:
    """Where books are worked on, by the workers' own words; empty while nobody knows the pace.

    Args:
        entries: of the workers that are alive, as they lie under ``/narrationWorkers``.
        control: what ``/narrationControl`` holds.
    """
    took = {
        name: Sums.of_record(children(children(entry).get("lately")).get("took"))
        for name, entry in entries.items()
    }
    together = sum(took.values(), Sums())
    usual = together.pace
    if usual is None:
        return []
    # Of a book of which nothing can be said yet, half is left.
    half = 0.5 * usual.takes(together.characters / max(1.0, together.books))
    found = []
    for name, entry in entries.items():
        if of_worker(control, name).holds:
            continue
        busy = [float(left) for left in children(entry.get("left")).values() if is_number(left)]
        at_once, in_work = (_count(entry, key) for key in ("atOnce", "inWork"))
        unknown = max(0, in_work - len(busy))
        busy = sorted([*busy, *[half] * unknown])[:at_once]
        free = [0.0] * (at_once - len(busy))
        found += [Place(max(0.0, left), took[name].pace or usual) for left in [*free, *busy]]
    return found


def _count(record: Record, name: str) -> int:
    value = record.get(name)
    return value if is_count(value, 0, 1000) else 0
