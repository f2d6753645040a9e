"""Hours of audio a day, for one requester and for the whole catalogue, across replicas.

Under ``/narrationBudgets/{who}`` lies ``{day, seconds, granted: {grant: seconds}}``, where ``who``
is the SHA-256 of a uid, or ``catalogue``. A new request is granted what its text is reckoned to
make while the day's sum is below the budget, so that a day goes over by one book at most, and by
what those in work were reckoned wrong. Once it ends, what was really made takes its place. A day is
one of UTC by the database's clock, and a book belongs to that on which it was granted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from narrator_daemon.catalogue import (
    BUDGETS,
    PATH,
    REQUESTED_BY,
    Record,
    children,
    is_count,
    is_number,
)
from narrator_daemon.claims.ending import Ending
from narrator_daemon.errors import NodeRefused
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.transact import transact
from narrator_daemon.queue.requesters import grant_name
from narrator_daemon.settings import Limits

DAY_MS = 86_400_000

#: Whose budget the catalogue's is.
CATALOGUE = "catalogue"

#: Outcomes after which the same request is still to be narrated, here or elsewhere.
_GOES_ON = frozenset({"given_back", "retried", "fenced"})


@dataclass(frozen=True)
class Day:
    """What was granted and made on one day.

    Attributes:
        day: days since 1970.
        seconds: of audio that was made.
        granted: seconds that what is not over yet is reckoned to make, by the grant.
    """

    day: int
    seconds: float
    granted: Mapping[str, float]

    @classmethod
    def of(cls, stored: object, now_ms: int) -> Day:
        """Today's, from what is stored, of whatever shape.

        A day that has begun for another replica has begun: clocks differ around midnight.
        """
        today = now_ms // DAY_MS
        record = children(stored)
        day, seconds = record.get("day"), record.get("seconds", 0)
        if not is_count(day) or not today <= day <= today + 1:
            return cls(today, 0.0, {})
        return cls(
            day,
            float(seconds) if is_number(seconds) and seconds >= 0 else 0.0,
            {
                name: float(value)
                for name, value in children(record.get("granted")).items()
                if is_number(value) and value >= 0
            },
        )

    @property
    def total(self) -> float:
        """Seconds that are gone."""
        return self.seconds + sum(self.granted.values())

    @property
    def ends_at(self) -> int:
        """Epoch milliseconds."""
        return (self.day + 1) * DAY_MS

    def as_record(self) -> Record:
        """As it is stored."""
        return {
            "day": self.day,
            "seconds": round(self.seconds, 1),
            "granted": {name: round(value, 1) for name, value in self.granted.items()},
        }


def take(
    stored: object, *, name: str, seconds: float, now_ms: int, most_seconds: float
) -> tuple[Record | None, int | None]:
    """Grant a request while the day's sum is below the budget.

    Args:
        stored: what is stored, of whatever shape.
        name: the request (``requesters.grant_name``).
        seconds: of audio that it is reckoned to make.
        now_ms: epoch milliseconds, by the database.
        most_seconds: the budget.

    Returns:
        What to store, or None where nothing changes; and until when it has to wait, epoch
        milliseconds, None when it is granted.
    """
    day = Day.of(stored, now_ms)
    if name in day.granted:
        return None, None
    if day.total >= most_seconds:
        return None, day.ends_at
    return Day(day.day, day.seconds, {**day.granted, name: seconds}).as_record(), None


def settle(stored: object, *, name: str, seconds: float, now_ms: int) -> Record | None:
    """Put what a request has made in the place of what it was reckoned to make.

    Args:
        stored: as for ``take``.
        name: as for ``take``.
        seconds: of audio that was published; 0 for none.
        now_ms: as for ``take``.

    Returns:
        What to store, or None where nothing changes: it was settled, or is of a day that is over.
    """
    day = Day.of(stored, now_ms)
    if name not in day.granted:
        return None
    left = {other: value for other, value in day.granted.items() if other != name}
    return Day(day.day, day.seconds + seconds, left).as_record()


class Budgets:
    """The budgets of one catalogue, as a replica asks for them.

    Args:
        project: the database.
        limits: gives those that hold now.
        seconds_per_character: what audio a text is reckoned to make.
    """

    def __init__(
        self, project: Project, limits: Callable[[], Limits], seconds_per_character: float
    ) -> None:
        self._project = project
        self._limits = limits
        self._pace = seconds_per_character

    def concern(self, uid: str | None) -> bool:
        """Whether there is a budget for what somebody, or nobody named, asks for."""
        return bool(self._of(uid))

    def ask(self, uid: str | None, name: str, text: object) -> tuple[str | None, int] | None:
        """Ask for what one request is reckoned to make; None when it is granted.

        Args:
            uid: who asked, or None.
            name: the request (``requesters.grant_name``).
            text: what is to be read, of whatever shape.

        Returns:
            Whose budget is used up, the uid or None for the catalogue, and until when, epoch
            milliseconds.

        Raises:
            Unavailable: the database did not answer.
            NodeRefused: it does not take the grant.
        """
        characters = len(text) if isinstance(text, str) else 0
        seconds = min(characters, self._limits().max_characters) * self._pace
        # The requester's first: what is granted there and not here is lost to that one alone.
        for whose, most in self._of(uid).items():
            until = self._take(whose, name, seconds, most)
            if until is not None:
                return whose, until
        return None

    def end(self, ending: Ending) -> None:
        """Take in how a claim ended.

        Raises:
            Unavailable: the database did not answer; what was reckoned stays for the day.
        """
        if ending.claim is None or ending.outcome in _GOES_ON:
            return
        asked = ending.book
        uid, shown = asked.get(REQUESTED_BY), asked.get(PATH)
        name = grant_name(
            ending.book_id, ending.claim.requested_at, None if shown is None else str(shown)
        )
        for whose in self._of(uid if isinstance(uid, str) and uid else None):
            self._settle(whose, name, ending.audio_seconds)

    def used_up(self, uid: str | None) -> int | None:
        """Until when a new request has to wait, epoch milliseconds; None where it has not.

        Reads alone, and takes a node that is closed to it for one that is empty.

        Raises:
            Unavailable: the database did not answer.
        """
        now_ms = self._project.database_clock.now_ms()
        for whose, most in self._of(uid).items():
            keys = _keys(whose)
            node, place = self._project.node(*keys), self._project.node_path(*keys)
            try:
                day = Day.of(books.on_node(self._project, place, node.get), now_ms)
            except NodeRefused:
                return None
            if day.total >= most:
                return day.ends_at
        return None

    def _of(self, uid: str | None) -> dict[str | None, float]:
        """The budgets in seconds that a request counts towards, by the uid; None: the catalogue."""
        limits = self._limits()
        found: dict[str | None, float] = {}
        if uid is not None and limits.requester_audio_hours_per_day:
            found[uid] = 3600 * limits.requester_audio_hours_per_day
        if limits.audio_hours_per_day:
            found[None] = 3600 * limits.audio_hours_per_day
        return found

    def _take(self, whose: str | None, name: str, seconds: float, most: float) -> int | None:
        def decide(stored: object) -> tuple[Record | None, int | None]:
            # Asked for once it is read: that answer says what time it is.
            now_ms = self._project.database_clock.now_ms()
            return take(stored, name=name, seconds=seconds, now_ms=now_ms, most_seconds=most)

        until: int | None = self._change(whose, decide)
        return until

    def _settle(self, whose: str | None, name: str, seconds: float) -> None:
        def decide(stored: object) -> tuple[Record | None, None]:
            now_ms = self._project.database_clock.now_ms()
            return settle(stored, name=name, seconds=seconds, now_ms=now_ms), None

        self._change(whose, decide)

    def _change(
        self, whose: str | None, decide: Callable[[object], tuple[Record | None, Any]]
    ) -> Any:
        keys = _keys(whose)
        node, place = self._project.node(*keys), self._project.node_path(*keys)
        return books.on_node(self._project, place, lambda: transact(node, decide))


def _keys(whose: str | None) -> tuple[str, str]:
    if whose is None:
        return BUDGETS, CATALOGUE
    return BUDGETS, hashlib.sha256(whose.encode("utf-8", errors="surrogatepass")).hexdigest()
