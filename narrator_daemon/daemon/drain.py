"""When a worker that is to work off the queue and end has done so."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from narrator_daemon import logs
from narrator_daemon.catalogue import CLAIM, PROCESSING, REQUESTED, children
from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.queue import demand
from narrator_daemon.queue.reasons import Reason, of_records
from narrator_daemon.queue.waiting import Waiting
from narrator_daemon.settings import Settings

#: Seconds between looks at what is known here, and most of them between readings of the database.
_LOOK_SECONDS, _READ_SECONDS = 0.5, 5.0

#: Seconds between two readings once all was done.
_READ_AGAIN_SECONDS = 60.0

#: Waiting books that are read at once.
_WINDOW = 32 * books.WINDOW

_log = logs.get(__name__)


class Drain:
    """Finds out that all is done: a whole reading finds no book that this worker could take.

    It waits for pauses before retries and for requesters' limits, and for what dead workers left to
    be taken up; not for what another worker holds and keeps alive, nor for what is not wanted yet,
    nor for another day's budget, nor for what the database does not take; nor for anything while an
    operator keeps it from claiming.

    Args:
        project: the database.
        settings: lease and beat.
        waiting: the books that are known to wait.
        in_work: what is worked on.
        dependencies: while one is down nothing is over.
        limit: gives ``limits.requests_per_minute`` as it is now.
        refused: gives the ids of books whose claim the database does not take.
        clock: monotonic seconds.
        held: whether an operator has told it to claim nothing.
        used_up: gives until when the budget of a uid, or of the catalogue alone, is used up.
        on_done: called each time that all is found done.

    Attributes:
        done: whether all was, when it last looked.
    """

    def __init__(
        self,
        project: Project,
        settings: Settings,
        waiting: Waiting,
        in_work: InWork,
        dependencies: Dependencies,
        limit: Callable[[], int],
        refused: Callable[[], Collection[str]] = tuple,
        clock: Callable[[], float] = time.monotonic,
        held: Callable[[], bool] = lambda: False,
        used_up: Callable[[str | None], int | None] = lambda _uid: None,
        on_done: Callable[[], object] = lambda: None,
    ) -> None:
        self._project = project
        self._limit = limit
        # Whoever does not beat is found dead and reaped within this.
        self._patience = settings.claims.lease_ttl_seconds + 3 * settings.claims.beat_seconds
        self._waiting = waiting
        self._in_work = in_work
        self._dependencies = dependencies
        self._on_done = on_done
        self._read_at = float("-inf")
        self.done = False
        self._refused = refused
        self._clock = clock
        self._is_held = held
        self._used_up = used_up
        # Since when each claim of others stands, as far as was seen.
        self._held: dict[tuple[str, str], float] = {}

    def step(self) -> float:
        """See whether all is done; gives seconds until the next look.

        Raises:
            Unavailable: the database did not answer.
        """
        was_done, self.done = self.done, False
        now = self._clock()
        held = self._is_held()
        if self._dependencies.down:
            # Nobody could beat: whether the others live is to be seen anew.
            self._held = {}
        if self._in_work.jobs or self._dependencies.down:
            return _LOOK_SECONDS
        if self._waiting.free(now) and not held:
            return _LOOK_SECONDS
        if was_done and now - self._read_at < _READ_AGAIN_SECONDS:
            # Other databases are not done yet; what is asked for here meanwhile is heard of.
            return self._is_done()
        self._read_at = now
        requested = books.with_status(self._project, REQUESTED, _WINDOW)
        in_work = books.with_status(self._project, PROCESSING)
        if self._are_held(requested, in_work, now):
            return _LOOK_SECONDS
        waits = of_records(
            {book: record for book, record in requested.items() if book not in self._refused()},
            partial(demand.limits_of, self._project),
            limit=self._limit(),
            now_ms=self._project.database_clock.now_ms(),
            used_up=self._used_up,
        )
        left = {
            Reason.CLAIMED,
            Reason.NOT_BEFORE,
            Reason.BUDGET,
            *(Reason if held else ()),
        }
        ours = [wait for wait in waits.values() if wait.reason not in left]
        if not ours and books.is_complete(requested, _WINDOW):
            not_yet = sum(wait.reason is Reason.NOT_BEFORE for wait in waits.values())
            others = len(in_work) + len(waits) - not_yet
            if not was_done:
                _log.info("drained", held_by_others=others, not_wanted_yet=not_yet)
            return self._is_done()
        untils = [wait.until for wait in ours if wait.until is not None]
        if len(untils) < len(ours) or not untils:
            return _LOOK_SECONDS
        until_next = min(untils) - self._project.database_clock.now_ms()
        return min(max(until_next / 1000, _LOOK_SECONDS), _READ_SECONDS)

    def _is_done(self) -> float:
        self.done = True
        self._on_done()
        return _READ_SECONDS

    def _are_held(
        self, requested: Mapping[str, Any], in_work: Mapping[str, Any], now: float
    ) -> bool:
        """Whether a claim stands of which it is not known yet whether its owner lives."""
        held = {}
        for book_id, record in {**requested, **in_work}.items():
            token = children(children(record).get(CLAIM)).get("token")
            if token is not None or book_id in in_work:
                name = book_id, repr(token)
                held[name] = self._held.get(name, now)
        self._held = held
        return any(now - since < self._patience for since in held.values())
