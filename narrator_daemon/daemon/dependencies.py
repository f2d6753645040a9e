"""What the daemon depends on and whether it answers.

While one does not, no book is claimed: it could only be given back. Whoever meets a failure reports
it here; the probe of that dependency is tried with growing pauses until it answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from narrator_daemon import logs
from narrator_daemon.firebase.project import Contended, Refused, Unavailable

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0

_log = logs.get("dependencies")


@dataclass
class _Down:
    why: str
    since: float
    probe_at: float
    pause: float


class Dependencies:
    """Which dependencies are down. Safe to use from several threads.

    Args:
        probes: by name (``database``, ``storage``): raises ``Unavailable`` while it is down.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        probes: Mapping[str, Callable[[], object]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probes = probes
        self._clock = clock
        self._lock = threading.Lock()
        self._down: dict[str, _Down] = {}

    def report(self, error: Unavailable) -> None:
        """Take in that a dependency failed someone."""
        if isinstance(error, Contended):
            return
        now = self._clock()
        with self._lock:
            old = self._down.get(error.dependency)
            if old is not None:
                old.why = str(error)
                return
            self._down[error.dependency] = _Down(
                str(error), now, now + _FIRST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS
            )
        level = _log.error if isinstance(error, Refused) else _log.warning
        level("dependency_down", dependency=error.dependency, why=str(error))

    @property
    def down(self) -> dict[str, str]:
        """Those that are down, by name, and why."""
        with self._lock:
            return {name: state.why for name, state in self._down.items()}

    def probe(self) -> None:
        """Ask those that are down and due whether they answer again."""
        now = self._clock()
        with self._lock:
            due = [name for name, state in self._down.items() if state.probe_at <= now]
        for name in due:
            try:
                self._probes[name]()
            except Unavailable as error:
                with self._lock:
                    state = self._down[name]
                    state.why = str(error)
                    state.pause = min(2 * state.pause, _LONGEST_PAUSE_SECONDS)
                    state.probe_at = self._clock() + state.pause
            else:
                with self._lock:
                    state = self._down.pop(name)
                _log.info(
                    "dependency_up",
                    dependency=name,
                    seconds=round(self._clock() - state.since, 1),
                )
