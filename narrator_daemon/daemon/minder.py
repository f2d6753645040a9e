"""Sees what becomes of the books in work: cancelled, deleted, asked for with another text."""

from __future__ import annotations

from narrator_daemon.claims.claims import Claims
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.rounds import Round

#: Seconds between looks: cancel, delete and re-request are seen within two.
MIND_SECONDS = 1.0


class Minder:
    """Stops the work that nobody wants any more.

    Args:
        claims: to look with.
        in_work: what is looked after.
    """

    def __init__(self, claims: Claims, in_work: InWork) -> None:
        self._claims = claims
        self._in_work = in_work

    def look(self) -> float:
        """Look at each once; gives seconds until the next look.

        Raises:
            Unavailable: the database did not answer.
        """
        looks = Round("mind")
        for job in self._in_work.jobs:
            if job.work.stopped is None:
                with looks.item(book=job.work.book_id):
                    self._claims.look_after(job.work)
        return MIND_SECONDS
