"""The daemons of a drill: so many at a time, each life a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tests.actors import Daemon
from tests.bad_machine import BadMachine

#: Seconds in which a daemon that was told to stop must be gone: its grace period, its farewell,
#: and answers of the database that do not come.
_STOP_SECONDS = 60.0


@dataclass
class Life:
    """One process.

    Attributes:
        name: its worker id.
        daemon: the process.
        disturbed: when it was killed, frozen or stopped: from and until, monotonic seconds.
        exits: the statuses it may end with; empty while it may not end.
    """

    name: str
    daemon: Daemon
    disturbed: list[tuple[float, float]] = field(default_factory=list)
    exits: set[int] = field(default_factory=set)


class Fleet:
    """Starts, freezes, stops and kills daemons by the number of their slot.

    Args:
        environment: what points the SDKs at the local Firebase.
        folder: a folder for each process is made here.
        settings: of every daemon.
        other: a folder with the sources of another version, which some of them run; None for this
            version alone.
        stop_seconds: in which one that was told to stop must be gone.
        other_settings: what those of the other version are configured in another way.
        program: what Python is told to run.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        settings: Mapping[str, object],
        other: Path | None = None,
        stop_seconds: float = _STOP_SECONDS,
        other_settings: Mapping[str, object] = MappingProxyType({}),
        program: Sequence[str] = ("-m", "narrator_daemon"),
    ) -> None:
        self._program = program
        self._other_settings = other_settings
        self._stop_seconds = stop_seconds
        self._environment = environment
        self._folder = folder
        self._settings = settings
        self._other = other
        self._machines: dict[str, BadMachine] = {}
        self._slots: dict[str, Life] = {}
        self.lives: dict[str, Life] = {}

    def start(self, slot: str, of_other: bool = False) -> Life:
        """A new process in a slot whose last one is dead or on its way out.

        Args:
            slot: its number.
            of_other: whether it is of the other version, where there is one, and so configured.
        """
        name = f"slot{slot}-life{len(self.lives)}"
        settings = {**self._settings, "DAEMON__WORKER_ID": name}
        if of_other:
            settings |= self._other_settings
        environment = {**self._environment, **self._machine(slot).environment}
        if of_other and self._other is not None:
            environment["PYTHONPATH"] = f"{self._other}{os.pathsep}{environment['PYTHONPATH']}"
        life = Life(name, Daemon(environment, self._folder / name, settings, self._program))
        self._slots[slot] = self.lives[name] = life
        return life

    def _machine(self, slot: str) -> BadMachine:
        if slot not in self._machines:
            self._machines[slot] = BadMachine(self._folder / f"machine-{slot}")
        return self._machines[slot]

    def set_clock(self, slot: str, ahead: float) -> None:
        """Set the wall clock under a slot so many seconds ahead of the right time."""
        self._machine(slot).set_clock(ahead)

    def fill(self, slot: str) -> None:
        """Fill the disk under a slot."""
        self._machine(slot).fill()

    def empty(self, slot: str) -> None:
        """Give it room again."""
        self._machine(slot).empty()

    def kill(self, slot: str) -> None:
        """SIGKILL, and no warning."""
        life = self._slots[slot]
        life.exits = {-signal.SIGKILL}
        life.disturbed.append((time.monotonic(), float("inf")))
        life.daemon.process.kill()

    def freeze(self, slot: str) -> None:
        """SIGSTOP: it goes on later, and does not know that time has passed."""
        life = self._slots[slot]
        life.disturbed.append((time.monotonic(), float("inf")))
        life.daemon.process.send_signal(signal.SIGSTOP)

    def thaw(self, slot: str) -> None:
        """SIGCONT."""
        life = self._slots[slot]
        life.disturbed[-1] = (life.disturbed[-1][0], time.monotonic())
        life.daemon.process.send_signal(signal.SIGCONT)

    def terminate(self, slot: str) -> None:
        """SIGTERM, as an orchestrator stops it."""
        life = self._slots[slot]
        # One that has not come as far as to take the signal dies of it.
        state = life.daemon.folder / "state" / "state.json"
        life.exits = {0} if state.exists() else {0, -signal.SIGTERM}
        life.disturbed.append((time.monotonic(), float("inf")))
        life.daemon.process.send_signal(signal.SIGTERM)

    def stop_all(self) -> None:
        """Tell all that run to stop."""
        for slot, life in self._slots.items():
            if not life.exits:
                self.terminate(slot)

    def bad_ends(self) -> list[str]:
        """Processes that ended when or as they should not have; waits for those told to."""
        bad = []
        for life in self.lives.values():
            if life.exits:
                with suppress(subprocess.TimeoutExpired):
                    life.daemon.process.wait(self._stop_seconds)
            status = life.daemon.process.poll()
            if status is None and life.exits:
                bad.append(f"exit: {life.name} did not end in {self._stop_seconds:.0f} s")
            if status is not None and status not in life.exits:
                bad.append(f"exit: {life.name} ended with {status}\n{life.daemon.log[-2000:]}")
        return bad

    def logged(self, event: str) -> int:
        """How often the daemons logged an event."""
        return sum(
            one["event"] == event for life in self.lives.values() for one in life.daemon.events
        )

    def logs(self) -> dict[str, str]:
        """What each daemon wrote, and the state it left."""
        told = {name: life.daemon.log for name, life in self.lives.items()}
        for name, life in self.lives.items():
            state = life.daemon.folder / "state" / "state.json"
            if state.exists():
                told[f"{name}, its state"] = state.read_text()
        return told

    def kill_all(self) -> None:
        """Leave no process behind."""
        for life in self.lives.values():
            life.daemon.kill()


@contextmanager
def fleet(
    environment: Mapping[str, str],
    folder: Path,
    settings: Mapping[str, object],
    count: int,
    other: Path | None = None,
    *,
    patience: float,
) -> Iterator[Fleet]:
    """So many daemons, ready for work, every second of the other version; killed at the end.

    Args:
        environment: as for ``Fleet``.
        folder: as for ``Fleet``.
        settings: as for ``Fleet``.
        count: how many.
        other: as for ``Fleet``.
        patience: seconds in which each must be ready.
    """
    stop_seconds = max(_STOP_SECONDS, patience / 5)
    daemons = Fleet(environment, folder, settings, other, stop_seconds)
    try:
        for life in [daemons.start(str(slot), slot % 2 == 1) for slot in range(count)]:
            life.daemon.wait_ready(patience)
        yield daemons
    finally:
        daemons.kill_all()
