"""Takes up what dead workers left: any replica, judging by what it has seen itself.

Which replicas look is in ``lookouts``. A claim is written after its lease, so that the leases name
whatever is in work. Books that say so without a lease were made by other hands, or a lease was
lost. They are found by reading all that is in work, texts included, as often as its size allows.
"""

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
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.housekeeping.lookouts import Lookouts
from narrator_daemon.rounds import Round

#: Seconds after which a round ends, however many are dead; the next goes on. Longer, and the watch
#: would take the time between two readings for one in which it slept, and judge all leases anew.
_LONGEST_SECONDS = 15.0

#: Leases from which on whoever holds the second seat reads them every other round.
_MANY_LEASES = 1_000

#: What reading all that is in work may cost on average, in bytes a second, and the longest pause
#: between two such readings, in seconds.
READ_BYTES_PER_SECOND = 2_000.0
LONGEST_PAUSE_SECONDS = 6 * 3600.0

#: Claims in books, by book: token (None without a usable one) and what lay there.
Claimed = dict[str, tuple[str | None, Any]]

_log = logs.get(__name__)


class Reaper:
    """Finds claims whose owners are dead and frees their books.

    Candidates are every lease, and every claim seen in a book without one.

    Args:
        project: the database.
        claims: to reap with.
        leases: to read with.
        watch: judges; shared with claiming, which may pass over a dead claim.
        reaped_by: this worker's id, for the history.
        refusals: told of the books that the database does not let be freed.
        on_freed: told the id of each book that may be claimed again.
        lookouts: whether this replica is to look.
        seconds: between two readings of what is in work, while that is little.
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
        lookouts: Lookouts,
        seconds: float,
    ) -> None:
        self._project = project
        self._claims = claims
        self._leases = leases
        self._watch = watch
        self._reaped_by = reaped_by
        self._refusals = refusals
        self._on_freed = on_freed
        self._lookouts = lookouts
        self._seconds = seconds
        # The claims in books that wait, and in books in work, at the last reading of each.
        self._waiting: Claimed = {}
        self._in_work: Claimed = {}
        # Leases at the last reading, and whether the round before this one read them.
        self._leases_read = 0
        self._just_read = False
        # When all that is in work is read again, monotonic seconds.
        self._look_at = float("-inf")

    def take_in(self, waiting: Mapping[str, Any]) -> None:
        """Take in the books that wait, as just read."""
        self._waiting = _claimed(waiting)

    def _look_through(self, now: float) -> None:
        """Read all that is in work, if it is time to.

        Raises:
            Unavailable: the database did not answer.
        """
        if not self._lookouts.on_duty or now < self._look_at:
            return
        in_work = books.with_status(self._project, PROCESSING)
        self._in_work = _claimed(in_work)
        pause = max(self._seconds, books.size(in_work) / READ_BYTES_PER_SECOND)
        self._look_at = now + min(pause, LONGEST_PAUSE_SECONDS)

    def round(self) -> None:
        """Where this replica is to look: read the leases, judge, and take up what is dead.

        Raises:
            Unavailable: the database did not answer.
        """
        if not self._lookouts.look():
            return
        if self._may_pass_over():
            self._just_read = False
            return
        self._look_through(time.monotonic())
        reading = self._leases.read()
        leases: Mapping[Any, object] = reading.beats
        self._leases_read, self._just_read = len(leases), True
        now = time.monotonic()
        ends_at = now + _LONGEST_SECONDS
        # Whatever has a lease is judged by that, also once it has ended and its lease is gone.
        self._in_work = _unexplained(self._in_work, leases)
        alone = {**_unexplained(self._waiting, leases), **self._in_work}
        beats: dict[Hashable, object] = {
            _name(book_id, token, found): None for book_id, (token, found) in alone.items()
        }
        self._watch.observe({**beats, **leases}, now, reading.ttls)
        self._lookouts.beat()
        freed = Round("reap")
        for book_id, token in leases:
            if time.monotonic() > ends_at:
                return
            if self._watch.dead((book_id, token)):
                with freed.item(book=book_id):
                    if self._free(book_id, token, None):
                        self._leases.delete(book_id, token)
        for book_id, (held, found) in alone.items():
            if time.monotonic() > ends_at:
                return
            if self._watch.dead(_name(book_id, held, found)):
                with freed.item(book=book_id):
                    if self._free(book_id, held, found):
                        self._in_work.pop(book_id, None)

    def _may_pass_over(self) -> bool:
        """Whether this round may do without the leases, as another reads them in each."""
        return self._just_read and self._leases_read > _MANY_LEASES and self._lookouts.seconds

    def _free(self, book_id: str, token: str | None, found: object) -> bool:
        """Reap a book, if the claim stands on it still; gives whether its lease may go.

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
            return seen.verdict is not Verdict.LATER
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


def _claimed(records: Mapping[str, Any]) -> Claimed:
    claimed = {}
    for book_id, record in records.items():
        if not isinstance(record, dict):
            continue
        found = record.get(CLAIM)
        claim = Claim.from_record(found)
        token = None if claim is None else claim.token
        if token is not None or record.get(STATUS) == PROCESSING:
            claimed[book_id] = token, found
    return claimed


def _unexplained(claimed: Claimed, leases: Mapping[Any, object]) -> Claimed:
    """Those that have no lease."""
    return {
        book_id: (token, found)
        for book_id, (token, found) in claimed.items()
        if _name(book_id, token, found) not in leases
    }
