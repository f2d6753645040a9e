"""Beats for what is in work and alive."""

from __future__ import annotations

import time
from collections.abc import Callable

from narrator_daemon.claims.leases import Leases
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.daemon.presence import Presence

#: Beats between two looks at the jobs, past which nothing can be said about the time between.
_GAP_BEATS = 3


class Heart:
    """Keeps this worker's leases alive, as long as its jobs get on.

    Args:
        leases: of this worker.
        in_work: what it works on.
        presence: shown at each beat.
        beat_seconds: between two beats.
        stuck_seconds: without progress, after which a job's lease is left to die.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        leases: Leases,
        in_work: InWork,
        presence: Presence,
        *,
        beat_seconds: float,
        stuck_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = leases
        self._in_work = in_work
        self._presence = presence
        self._beat_seconds = beat_seconds
        self._stuck_seconds = stuck_seconds
        self._clock = clock
        # When it looked last, and since when it has looked without a gap, monotonic seconds.
        self._looked_at = self._awake_since = clock()

    def beat(self) -> float:
        """Beat once; gives seconds until the next.

        Raises:
            Unavailable: the database did not answer.
        """
        now = self._clock()
        if now - self._looked_at > _GAP_BEATS * self._beat_seconds:
            # This process slept, and its engine slept along.
            self._awake_since = now
        self._looked_at = now
        jobs = self._in_work.jobs
        for job in jobs:
            job.watch(now, self._stuck_seconds, awake_since=self._awake_since)
        self._leases.beat([job.work for job in jobs if not job.stuck])
        self._presence.show()
        return self._beat_seconds
