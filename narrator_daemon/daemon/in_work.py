"""The jobs of one worker that are not over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from narrator_daemon.daemon.job import Job


class InWork:
    """What a worker works on. Safe to use from several threads.

    Args:
        capacity: asked for the most books at once, which may become another.
    """

    def __init__(self, capacity: Callable[[], int]) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}

    def add(self, job: Job) -> None:
        """Take a job in."""
        with self._lock:
            self._jobs[job.work.token] = job

    def remove(self, job: Job) -> None:
        """Forget a job that is over. Safe to call twice."""
        with self._lock:
            self._jobs.pop(job.work.token, None)

    @property
    def capacity(self) -> int:
        """Most books at once."""
        return self._capacity()

    @property
    def jobs(self) -> list[Job]:
        """Those there are now."""
        with self._lock:
            return list(self._jobs.values())

    @property
    def stuck(self) -> int:
        """How many do not get on."""
        return sum(job.stuck for job in self.jobs)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another."""
        return len(self) >= self.capacity

    def __len__(self) -> int:
        with self._lock:
            return len(self._jobs)
