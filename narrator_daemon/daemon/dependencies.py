"""What the daemon depends on and whether it answers.

While one does not, no book is claimed: it could only be given back. Whoever meets a failure reports
it here; the probe of that dependency is tried with growing pauses until it answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from narrator_daemon import logs
from narrator_daemon.errors import NodeUnavailable, Refused, Unavailable

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0

#: Seconds between looks at which of those that are down are due.
_LOOK_SECONDS = 0.5

_log = logs.get(__name__)


@dataclass
class _Down:
    why: str
    since: float
    probe_at: float
    pause: float


class Dependencies:
    """What is depended on, and which of it is down. Safe to use from several threads.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._probes: dict[str, Callable[[], object]] = {}
        self._when_up: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._down: dict[str, _Down] = {}

    def add(self, name: str, probe: Callable[[], object]) -> None:
        """Depend on one thing more.

        Args:
            name: as in ``Unavailable.dependency``.
            probe: asks whether it answers; raises ``Unavailable`` while it does not.
        """
        self._probes[name] = probe

    def when_up(self, call: Callable[[], object]) -> None:
        """Have a function called each time that none is down any more."""
        self._when_up.append(call)

    @property
    def names(self) -> tuple[str, ...]:
        """All that are depended on."""
        return tuple(self._probes)

    def report(self, error: Unavailable) -> None:
        """Take in that a dependency failed someone."""
        if isinstance(error, NodeUnavailable):
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

    def probe(self) -> float:
        """Ask those that are down and due whether they answer again; gives seconds until the next.

        What goes wrong in a probe by a fault of its own counts as no answer.
        """
        now = self._clock()
        with self._lock:
            due = [name for name, state in self._down.items() if state.probe_at <= now]
        for name in due:
            try:
                self._probes[name]()
            except Exception as error:
                if not isinstance(error, Unavailable):
                    _log.exception("probe_failed", dependency=name)
                self._put_off(name, str(error))
            else:
                self._take_back(name)
        return _LOOK_SECONDS

    def _put_off(self, name: str, why: str) -> None:
        with self._lock:
            state = self._down[name]
            state.why = why
            state.pause = min(2 * state.pause, _LONGEST_PAUSE_SECONDS)
            state.probe_at = self._clock() + state.pause

    def _take_back(self, name: str) -> None:
        with self._lock:
            state = self._down.pop(name)
            all_up = not self._down
        seconds = round(self._clock() - state.since, 1)
        _log.info("dependency_up", dependency=name, seconds=seconds)
        if all_up:
            for call in self._when_up:
                call()
