"""Takes up what dead workers left: any replica, judging by what it has seen itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from narrator_daemon import logs
from narrator_daemon.catalogue import CLAIM, PROCESSING, STATUS
from narrator_daemon.claims import history
from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.lease_watch import LeaseWatch
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.errors import NodeRefused
from narrator_daemon.firebase.project import Project
from narrator_daemon.rounds import Round

#: Seconds after which a round ends, however many are dead; the next goes on. Longer, and the watch
#: would take the time between two readings for one in which it slept, and judge all leases anew.
_LONGEST_SECONDS = 15.0

_log = logs.get(__name__)


class Reaper:
    """Finds claims whose owners are dead and frees their books.

    Candidates are every lease, and every claim seen in a book: one whose owner died before it
    could write a lease has none.

    Args:
        project: the database.
        claims: to reap with.
        leases: to read with.
        watch: judges; shared with claiming, which may pass over a dead claim.
        reaped_by: this worker's id, for the history.
        refusals: told of the books that the database does not let be freed.
        on_freed: told the id of each book that may be claimed again.
    """

    def __init__(
        self,
        project: Project,
        claims: Claims,
        leases: Leases,
        watch: LeaseWatch,
        reaped_by: str,
        refusals: Refusals,
        on_freed: Callable[[str], None],
    ) -> None:
        self._project = project
        self._claims = claims
        self._leases = leases
        self._watch = watch
        self._reaped_by = reaped_by
        self._refusals = refusals
        self._on_freed = on_freed
        # The claims in books at the last reading, by book: token (None without a usable one) and
        # what lay there.
        self._claimed: dict[str, tuple[str | None, Any]] = {}

    def take_in(self, records: Mapping[str, Any]) -> None:
        """Take in the books that wait or are in work, as just read."""
        claimed = {}
        for book_id, record in records.items():
            if not isinstance(record, dict):
                continue
            found = record.get(CLAIM)
            claim = Claim.from_record(found)
            token = None if claim is None else claim.token
            if token is not None or record.get(STATUS) == PROCESSING:
                claimed[book_id] = token, found
        self._claimed = claimed

    def round(self) -> None:
        """Read the leases, judge, and take up what is dead.

        Raises:
            Unavailable: the database did not answer.
        """
        beats: dict[Hashable, object] = {
            _name(book_id, token, found): None for book_id, (token, found) in self._claimed.items()
        }
        reading = self._leases.read()
        leases: Mapping[Any, object] = reading.beats
        ends_at = time.monotonic() + _LONGEST_SECONDS
        self._watch.observe({**beats, **leases}, time.monotonic(), reading.ttls)
        books = Round("reap")
        for book_id, token in leases:
            if time.monotonic() > ends_at:
                return
            if self._watch.dead((book_id, token)):
                with books.item(book=book_id):
                    if self._free(book_id, token, None):
                        self._leases.delete(book_id, token)
        for book_id, (held, found) in self._claimed.items():
            if time.monotonic() > ends_at:
                return
            name = _name(book_id, held, found)
            if name not in leases and self._watch.dead(name):
                with books.item(book=book_id):
                    self._free(book_id, held, found)

    def _free(self, book_id: str, token: str | None, found: object) -> bool:
        """Reap a book, if the claim stands on it still; gives whether it does so no longer.

        Raises:
            Unavailable: it is not known whether the claim stands.
        """
        if self._refusals.waits(book_id):
            return False
        try:
            seen = self._claims.reap(book_id, token, found)
        except NodeRefused as error:
            self._refusals.add(book_id, error)
            return False
        self._refusals.clear(book_id)
        if seen.verdict is not Verdict.REAPED:
            return True
        _log.warning("book_reaped", book=book_id, token=token)
        self._on_freed(book_id)
        if seen.claim is not None and token is not None:
            history.record(
                self._project,
                book_id,
                seen.claim,
                "worker_lost",
                {"reapedBy": self._reaped_by},
            )
        return True


def _name(book_id: str, token: str | None, found: object) -> tuple[str, str]:
    # A claim without a usable token is told apart by all that it holds.
    return book_id, token if token is not None else repr(found)
