"""Sees what becomes of the books in work: cancelled, deleted, asked for with another text."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType

from narrator_daemon import logs
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.work import Work
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.errors import Unavailable
from narrator_daemon.rounds import Round

#: Seconds between looks: cancel, delete and re-request are seen within two.
MIND_SECONDS = 1.0

#: Looks at a time, each two small reads: 64 books at 50 ms a read take 0.7 s. As many connections
#: as the database's SDK keeps open.
_AT_ONCE = 10

_NO_FACTS: Mapping[str, object] = MappingProxyType({})


class Minder:
    """Stops the work that nobody wants any more.

    Args:
        claims: to look with.
        in_work: what is looked after.
        clock: monotonic seconds.
        facts: what all that is logged of a look says.
    """

    def __init__(
        self,
        claims: Claims,
        in_work: InWork,
        clock: Callable[[], float] = time.monotonic,
        facts: Mapping[str, object] = _NO_FACTS,
    ) -> None:
        self._facts = facts
        self._claims = claims
        self._in_work = in_work
        self._clock = clock

    def look(self) -> float:
        """Look at each once, several at a time; gives seconds until the next look.

        Raises:
            Unavailable: the database did not answer.
        """
        started = self._clock()
        works = [job.work for job in self._in_work.jobs if job.work.stopped is None]
        looks = _Looks(self._claims, works, self._facts)
        # Not a pool's, which would keep the process from ending while the database hangs.
        threads = [
            threading.Thread(target=looks.take_turns, name="look", daemon=True)
            for _ in works[1:_AT_ONCE]
        ]
        for thread in threads:
            thread.start()
        looks.take_turns()
        for thread in threads:
            thread.join()
        if looks.unavailable is not None:
            raise looks.unavailable
        return max(0.0, started + MIND_SECONDS - self._clock())


class _Looks:
    """One look at each of some works, shared among threads.

    Attributes:
        unavailable: why it ended before all were looked at, or None.
    """

    def __init__(self, claims: Claims, works: list[Work], facts: Mapping[str, object]) -> None:
        self._claims = claims
        self._facts = facts
        self._left = deque(works)
        self.unavailable: Unavailable | None = None

    def take_turns(self) -> None:
        """Look at one after the other until none is left."""
        logs.say_in_this_thread(self._facts)
        looks = Round("mind")
        while self.unavailable is None:
            try:
                work = self._left.popleft()
            except IndexError:
                return
            try:
                with looks.item(book=work.book_id):
                    self._claims.look_after(work)
            except Unavailable as error:
                self.unavailable = error
