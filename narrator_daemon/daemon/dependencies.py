"""What the daemon depends on and whether it answers.

While one does not, no book is claimed: it could only be given back. Whoever meets a failure reports
it here; the probe of that dependency is tried with growing pauses until it answers.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from narrator_daemon import logs
from narrator_daemon.errors import NodeUnavailable, Refused, Unavailable

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0

#: Seconds after it came up in which one that goes down again is left alone for longer than before.
_UNSTEADY_SECONDS = 120.0

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
        facts: what all that is logged says.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        facts: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self._clock = clock
        self._facts = facts
        self._probes: dict[str, Callable[[], object]] = {}
        self._when_up: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._down: dict[str, _Down] = {}
        self._looks: list[Callable[[], object]] = []
        # When each came up last, and how often it has gone down with little time between.
        self._up_at: dict[str, float] = {}
        self._falls: dict[str, int] = {}

    def add(
        self, name: str, probe: Callable[[], object], look: Callable[[], object] | None = None
    ) -> None:
        """Depend on one thing more.

        Args:
            name: as in ``Unavailable.dependency``.
            probe: asks whether it answers; raises ``Unavailable`` while it does not.
            look: the same for one that can be seen to fail before anybody meets it; called before
                each claim and twice a second, so that it must cost next to nothing.
        """
        self._probes[name] = probe
        if look is not None:
            self._looks.append(look)

    def look(self) -> None:
        """Look at those that can be seen to fail; what is seen is in ``down``."""
        for look in self._looks:
            try:
                look()
            except Unavailable as error:
                self.report(error)

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
            pause = self._first_pause(error.dependency, now)
            self._down[error.dependency] = _Down(str(error), now, now + pause, pause)
        level = _log.error if isinstance(error, Refused) else _log.warning
        level("dependency_down", dependency=error.dependency, why=str(error), **self._facts)

    def _first_pause(self, name: str, now: float) -> float:
        """Seconds before the first probe."""
        # One that fails though its probe passes would go up and down every second.
        if now - self._up_at.get(name, -math.inf) >= _UNSTEADY_SECONDS:
            self._falls[name] = 0
        self._falls[name] += 1
        doublings = max(0, self._falls[name] - 2)
        return min(_FIRST_PAUSE_SECONDS * 2.0**doublings, _LONGEST_PAUSE_SECONDS)

    @property
    def down(self) -> dict[str, str]:
        """Those that are down, by name, and why."""
        with self._lock:
            return {name: state.why for name, state in self._down.items()}

    def probe(self) -> float:
        """Ask those that are down and due whether they answer again; gives seconds until the next.

        What goes wrong in a probe by a fault of its own counts as no answer.
        """
        self.look()
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
            self._up_at[name] = self._clock()
            all_up = not self._down
        seconds = round(self._clock() - state.since, 1)
        _log.info("dependency_up", dependency=name, seconds=seconds)
        if all_up:
            for call in self._when_up:
                call()
