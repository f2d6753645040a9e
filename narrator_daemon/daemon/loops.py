"""Threads that do one thing over and over, and say when they last did."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from narrator_daemon import logs
from narrator_daemon.errors import Contended, NodeUnavailable, Unavailable

_log = logs.get(__name__)


class Loop:
    """Calls a function again and again until it is stopped.

    An error ends one round and not the loop.

    Args:
        name: for the thread, the log and health.
        step: one round; returns seconds to wait before the next, cut short by ``wake``.
        on_unavailable: told when a round met a dependency that is down.
        first_after: seconds before the first round.
        after_failure: seconds after a round that went wrong.
        facts: what all that is logged in its thread says.

    Attributes:
        failures: rounds that went wrong one after the other, up to now, by no dependency's fault.
        why: what went wrong in the last of these.
        failed_rounds: rounds that went wrong by no dependency's fault, since the start.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        on_unavailable: Callable[[Unavailable], None],
        *,
        first_after: float = 0.0,
        after_failure: float = 1.0,
        facts: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self._first_after = first_after
        self._after_failure = after_failure
        self._facts = facts
        self._step = step
        self._on_unavailable = on_unavailable
        self.failures = 0
        self.why = ""
        self.failed_rounds = 0
        self._awake = threading.Event()
        self._stopping = False
        self._due_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def overdue_seconds(self) -> float:
        """Seconds since a round that goes on began, or since the next should have begun; or 0."""
        return max(0.0, time.monotonic() - self._due_at)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def wake(self) -> None:
        """Begin the next round at once, or once more after the one in progress."""
        self._awake.set()

    def stop(self, timeout: float) -> None:
        """End after the round in progress; wait for it at most ``timeout`` seconds."""
        self._stopping = True
        self._awake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        logs.say_in_this_thread(self._facts)
        self._due_at = time.monotonic() + self._first_after
        self._awake.wait(self._first_after)
        while not self._stopping:
            self._awake.clear()
            self._due_at = time.monotonic()
            try:
                pause = self._step()
                self.failures = 0
            except Contended:
                pause = self._after_failure
            except NodeUnavailable as error:
                _log.warning("loop_failed", loop=self.name, why=str(error))
                self._fail(error)
                pause = self._after_failure
            except Unavailable as error:
                self._on_unavailable(error)
                pause = self._after_failure
            except Exception as error:
                _log.exception("loop_failed", loop=self.name)
                self._fail(error)
                pause = self._after_failure
            self._due_at = time.monotonic() + pause
            if not self._stopping:
                self._awake.wait(pause)

    def _fail(self, error: Exception) -> None:
        self.why = str(error) or type(error).__name__
        self.failures += 1
        self.failed_rounds += 1


def every(seconds: float, call: Callable[[], object]) -> Callable[[], float]:
    """A step that makes a call, and always waits so long after it."""

    def step() -> float:
        call()
        return seconds

    return step
