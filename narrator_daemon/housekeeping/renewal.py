"""Signed URLs made anew before they expire, by any replica, whatever the book's status."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from math import inf

from narrator_daemon import logs
from narrator_daemon.catalogue import (
    BESIDE,
    FILE_EXPIRES_AT,
    FILE_PATH,
    FILE_URL,
    PATH,
    URL_EXPIRES_AT,
    Record,
    children,
    files_of,
    moment,
)
from narrator_daemon.claims.book import Verdict, renew
from narrator_daemon.clock import now_ms
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore, beside
from narrator_daemon.rounds import Round

#: Books read at once.
_PAGE = 100

#: Seconds of renewing at a stretch: a long one would pass for a loop that hangs.
_LONGEST_SECONDS = 60.0

_log = logs.get(__name__)


class Renewer:
    """Renews the URLs of a project.

    Args:
        project: the database.
        store: signs.
        clock: the wall clock, epoch milliseconds.
        random_unit: gives numbers in 0..1, for the jitter of rounds.

    Attributes:
        renewed: how many URLs it has renewed.
        failures: how often it could not renew one.
        safe_until: epoch milliseconds before which no URL expires that can be renewed; None until
            the first round is done.
        behind: whether the last round ended before all was done.
    """

    def __init__(
        self,
        project: Project,
        store: AudioStore,
        clock: Callable[[], int] = now_ms,
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self._project = project
        self._store = store
        self._clock = clock
        self._random_unit = random_unit
        self.renewed = self.failures = 0
        self.safe_until: int | None = None
        # When those expire that could not be renewed.
        self._failed: dict[str, int] = {}
        self.behind = False
        # What cannot be renewed is looked at once, and anew when all else is done.
        self._passed_over: set[str] = set()

    @property
    def pause_seconds(self) -> float:
        """Seconds between two rounds: ten in the third of a life in which a URL is renewed."""
        return min(3600.0, max(1.0, self._store.signed_seconds / 30))

    def step(self) -> float:
        """Renew for a while; gives seconds until the next round, a little varied.

        Raises:
            Unavailable: database or storage did not answer; the next round goes on.
        """
        self.round(seconds=_LONGEST_SECONDS)
        return 0.0 if self.behind else self.pause_seconds * (0.75 + 0.5 * self._random_unit())

    def round(self, *, everything: bool = False, seconds: float = inf) -> int:
        """Renew what has a third of its life left, or less; gives how many.

        Args:
            everything: renew all URLs that can expire, such as after the signing key was changed.
            seconds: after which the round ends; the next goes on from there.

        Raises:
            Unavailable: database or storage did not answer; the next round goes on.
        """
        life = int(self._store.signed_seconds * 1000)
        # What is signed from now on expires later than this, and so leaves the query.
        until = self._clock() + (life - 1 if everything else life // 3)
        ends_at = time.monotonic() + seconds
        renewed: set[str] = set()
        renewals = Round("renew")
        self.behind = True
        self._failed = {}
        while True:
            page = books.expiring(self._project, until, _PAGE + len(self._passed_over))
            # A URL made anew falls due again only where this clock is ahead of the one that signs.
            again = page.keys() & renewed - self._passed_over
            self._passed_over |= again
            new = page.keys() - self._passed_over
            if not new and not again:
                self._passed_over.clear()
                self.behind = False
                self.safe_until = min([until, *self._failed.values()])
                return len(renewed)
            for book_id in sorted(new):
                with renewals.item(book=book_id):
                    if self._renew(book_id, page[book_id]):
                        renewed.add(book_id)
                if book_id not in renewed:
                    self._passed_over.add(book_id)
                if time.monotonic() >= ends_at:
                    return len(renewed)

    def _renew(self, book_id: str, record: object) -> bool:
        record = children(record)
        path = record.get(PATH)
        # Signing a path that is not this book's own audio would open whatever a client names.
        if not isinstance(path, str) or not self._store.belongs_to(path, book_id):
            return False
        try:
            # First: the query finds books by it, and so must not pass over what expires earlier.
            url, expires_at = self._store.sign(path)
            files = self._signed_beside(path, record)
            seen = books.change(
                self._project,
                book_id,
                lambda book: renew(book, path=path, url=url, expires_at=expires_at, files=files),
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
