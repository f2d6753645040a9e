"""Signed URLs made anew before they expire, by any replica, whatever the book's status.

A query by expiry brings whole books, texts included, and what cannot be renewed stays in it: audio
that is gone, or not the book's own. So one replica looks for all (``turns``), goes on where its
last round ended, and looks at what cannot be renewed again only as often as its size allows.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import inf
from typing import Any, TypeVar

from narrator_daemon import logs
from narrator_daemon.catalogue import (
    BESIDE,
    FILE_EXPIRES_AT,
    FILE_PATH,
    FILE_URL,
    PATH,
    RENEWAL,
    URL,
    URL_EXPIRES_AT,
    Record,
    children,
    files_of,
    moment,
)
from narrator_daemon.claims.book import Verdict, renew
from narrator_daemon.claims.signed_url import TOLERANCE_MS, is_by_a_wrong_clock
from narrator_daemon.errors import Contended, NodeUnavailable, Unavailable
from narrator_daemon.firebase import books
from narrator_daemon.firebase.object_names import beside
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.firebase.transact import transact
from narrator_daemon.housekeeping import turns
from narrator_daemon.housekeeping.turns import Turn
from narrator_daemon.rounds import Round

#: Books read at once.
_PAGE = 100

#: Seconds of renewing at a stretch: a long one would pass for a loop that hangs.
_LONGEST_SECONDS = 60.0

#: What looking again at books that cannot be renewed may cost on average, in bytes a second, and
#: the longest pause between two such looks, in seconds.
READ_BYTES_PER_SECOND = 2_000.0
_LONGEST_PAUSE_SECONDS = 6 * 3600.0

#: An expiry after all that can be one.
_NEVER = 2**53

T = TypeVar("T")

_log = logs.get(__name__)


class Renewer:
    """Renews the URLs of a project.

    Args:
        project: the database.
        store: signs.
        clock: epoch milliseconds; the bucket's own unless another is given.
        random_unit: gives numbers in 0..1, for the jitter of rounds.
        owner: this replica, for turns.
        steady: monotonic seconds.

    Attributes:
        renewed: how many URLs it has renewed.
        failures: how often it could not renew one.
        safe_until: epoch milliseconds before which no URL expires that can be renewed; None until
            the first round is done, by this replica or another.
        behind: whether the last round ended before all was done.
    """

    def __init__(
        self,
        project: Project,
        store: AudioStore,
        clock: Callable[[], int] | None = None,
        random_unit: Callable[[], float] = random.random,
        owner: str = "",
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._project = project
        self._store = store
        self._clock = clock or project.bucket_clock.now_ms
        self._random_unit = random_unit
        self._owner = owner
        self._steady = steady
        self.renewed = self.failures = 0
        self.safe_until: int | None = None
        # When those expire that could not be renewed, though they can be.
        self._failed: dict[str, int] = {}
        self.behind = False
        # The round that goes on, and up to which expiry it renews.
        self._left: Iterator[bool] | None = None
        self._until = 0
        # Up to which expiry all was looked at, and when all is to be looked at again.
        self._through, self._whole_at = 1, -inf

    @property
    def pause_seconds(self) -> float:
        """Seconds between two rounds: ten in the third of a life in which a URL is renewed."""
        return min(3600.0, max(1.0, self._store.signed_seconds / 30))

    def step(self) -> float:
        """Renew for a while if it is this replica's turn; gives seconds until the next look.

        Raises:
            Unavailable: database or storage did not answer; the next round goes on.
        """
        pause = self.pause_seconds * (0.75 + 0.5 * self._random_unit())
        turn = self._take_turn()
        if not turn.mine:
            self.safe_until = turn.through or self.safe_until
            return min(pause, turn.wait_ms / 1000) if turn.wait_ms else pause
        try:
            self.round(seconds=_LONGEST_SECONDS)
        except Exception:
            with suppress(Unavailable):
                self._end_turn(None)
            raise
        if self.behind:
            return 0.0  # and still this replica's turn
        self._end_turn(None if self._failed else self._until)
        return pause

    def _take_turn(self) -> Turn:
        now = self._clock()
        # A little less than between two rounds of one replica, so that the same goes on.
        recent = int(750 * self.pause_seconds)
        needed = now + self._life_ms // 3 - recent

        def decide(seen: Any) -> tuple[Record | None, Turn]:
            turn = turns.take(seen, owner=self._owner, now_ms=now, needed=needed)
            return turn.record, turn

        try:
            return self._turn(decide)
        except (NodeUnavailable, Contended) as error:
            # Rules from before there were turns; each renews for itself.
            _log.info("no_turns", why=str(error))
            return Turn(True)

    def _end_turn(self, through: int | None) -> None:
        def decide(seen: Any) -> tuple[Record | None, None]:
            return turns.end(seen, owner=self._owner, through=through), None

        try:
            self._turn(decide)
        except (NodeUnavailable, Contended):
            pass

    def _turn(self, decide: Callable[[Any], tuple[Record | None, T]]) -> T:
        node, place = self._project.node(RENEWAL), self._project.node_path(RENEWAL)
        return books.on_node(self._project, place, lambda: transact(node, decide))

    @property
    def _life_ms(self) -> int:
        return int(self._store.signed_seconds * 1000)

    def round(self, *, everything: bool = False, seconds: float = inf) -> int:
        """Renew what has a third of its life left, or less; gives how many.

        Args:
            everything: renew all URLs that can expire, such as after the signing key was changed.
            seconds: after which the round ends; the next goes on from there.

        Raises:
            Unavailable: database or storage did not answer; the next round goes on.
        """
        ends_at = time.monotonic() + seconds
        renewed = 0
        if self._left is None or everything:
            self._left = self._looks(everything=everything)
        self.behind = True
        try:
            for done in self._left:
                renewed += done
                if time.monotonic() >= ends_at:
                    return renewed
        except BaseException:
            # It cannot go on from within; what it has done is done.
            self._left = None
            raise
        self._left = None
        self.behind = False
        self.safe_until = min([self._until, *self._failed.values()])
        return renewed

    def _looks(self, *, everything: bool) -> Iterator[bool]:
        """One round, book by book: whether each was renewed."""
        now = self._clock()
        self._until = now + (self._life_ms - 1 if everything else self._life_ms // 3)
        whole = everything or self._steady() >= self._whole_at
        looks = _Looks(self._renew_one)
        if whole:
            self._failed = {}
        else:
            for book_id in sorted(self._failed):
                yield looks.at(book_id, self._leaves(book_id))
        yield from self._scan(looks, 1 if whole else self._through, self._until)
        if whole:
            # What is signed now ends before this; what ends later is by a clock that was ahead, or
            # by a replica that gives URLs longer lives.
            beyond = self._clock() + self._life_ms + TOLERANCE_MS
            yield from self._scan(looks, beyond, _NEVER, any_clock=everything)
            pause = min(looks.passed_bytes / READ_BYTES_PER_SECOND, _LONGEST_PAUSE_SECONDS)
            self._whole_at = self._steady() + pause
        self._through = self._until

    def _scan(
        self, looks: _Looks, start: float, end: float, *, any_clock: bool = True
    ) -> Iterator[bool]:
        """Look once at each book whose URL ends between these, those that do so first."""
        at_start: set[str] = set()
        most = _PAGE
        while True:
            page = books.expiring(self._project, end, most, since=start)
            for book_id in sorted(page.keys() - at_start, key=lambda one: (_end(page[one]), one)):
                record = page[book_id]
                if any_clock or self._is_by_a_wrong_clock(record):
                    yield looks.at(book_id, record)
                else:
                    looks.pass_by(record)
            if books.is_complete(page, most):
                return
            last = max(map(_end, page.values()))
            at_start = {book_id for book_id, record in page.items() if _end(record) == last}
            # A query cannot begin among books that end at the same moment: where they fill a page,
            # they are read again with as many more.
            most = 4 * most if last == start else _PAGE + len(at_start)
            start = last

    def _is_by_a_wrong_clock(self, record: object) -> bool:
        return is_by_a_wrong_clock(children(record).get(URL), _end(record), self._clock())

    def _leaves(self, book_id: str) -> Record:
        """As much of a book as renewal needs, without its text."""
        names = (PATH, URL, URL_EXPIRES_AT, *BESIDE)
        return {name: books.read(self._project, book_id, name) for name in names}

    def _renew_one(self, book_id: str, record: object) -> bool:
        record = children(record)
        path = record.get(PATH)
        self._failed.pop(book_id, None)
        # Signing a path that is not this book's own audio would open whatever a client names.
        if not isinstance(path, str) or not self._store.belongs_to(path, book_id):
            return False
        try:
            # First: the query finds books by it, and so must not pass over what expires earlier.
            url, expires_at = self._store.sign(path)
            files = self._signed_beside(path, record)
            now = self._clock()
            seen = books.change(
                self._project,
                book_id,
                lambda book: renew(
                    book, path=path, url=url, expires_at=expires_at, files=files, now_ms=now
                ),
            )
        except Exception as error:
            self.failures += 1
            _log.warning("renewal_failed", book=book_id, why=str(error))
            self._failed[book_id] = moment(record.get(URL_EXPIRES_AT)) or 0
            self.safe_until = min([self.safe_until or 2**53, *self._failed.values()])
            raise
        if seen.verdict is not Verdict.APPLIED:
            return False
        self.renewed += 1
        _log.info("url_renewed", book=book_id)
        return True

    def _signed_beside(self, path: str, record: Record) -> dict[str, dict[str, Record]]:
        """New URLs of what lies beside a narration, by field and name."""
        signed: dict[str, dict[str, Record]] = {field: {} for field in BESIDE}
        for field in BESIDE:
            for name, file in files_of(record, field).items():
                # As clients may name anything where no rule keeps them from it: what is not called
                # as the WAV is, but for its ending, was not made with it.
                if file[FILE_PATH] == beside(path, name):
                    url, expires_at = self._store.sign(file[FILE_PATH])
                    signed[field][name] = {
                        FILE_URL: url,
                        FILE_EXPIRES_AT: expires_at,
                        FILE_PATH: file[FILE_PATH],
                    }
        return signed


class _Looks:
    """The books of one round: each is looked at once, and fails alone.

    Args:
        renew: renews one, and says whether it did.

    Attributes:
        passed_bytes: about so many bytes were read of books that were not renewed.
    """

    def __init__(self, renew: Callable[[str, object], bool]) -> None:
        self._renew = renew
        self._round = Round("renew")
        # Where this clock is ahead of the one that signs, a book made anew falls due again.
        self._renewed: set[str] = set()
        self.passed_bytes = 0

    def at(self, book_id: str, record: object) -> bool:
        """Renew one, if it was not yet; whether that was done."""
        if book_id in self._renewed:
            return False
        with self._round.item(book=book_id):
            if self._renew(book_id, record):
                self._renewed.add(book_id)
                return True
        self.pass_by(record)
        return False

    def pass_by(self, record: object) -> None:
        """Take in that one was read for nothing."""
        self.passed_bytes += len(json.dumps(record, ensure_ascii=False))


def _end(record: object) -> float:
    """The expiry by which a query found a book."""
    end = children(record).get(URL_EXPIRES_AT)
    return end if isinstance(end, int | float) else 0
