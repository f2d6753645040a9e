"""The life of the process: it starts, works until it is told to stop, and stops in time.

What it is made of is put together in ``assembly``. Threads, for each database: the subscription
reads the stream; ``claimer`` takes waiting books while there is room, and starts a thread for each;
``heart`` beats for them; ``reaper`` takes up what dead workers left; ``reconciler`` reads what the
stream may have missed; ``minder`` sees what becomes of books in work; ``prober``, ``sweeper``
and ``renewer`` ask after what is down, clean up, and keep URLs alive. ``run`` itself writes the
state that health reads, and stops everything.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial

from narrator_daemon import __version__, logs
from narrator_daemon.daemon.desk import Desk
from narrator_daemon.daemon.job import Job
from narrator_daemon.daemon.loading import Loading
from narrator_daemon.daemon.loops import Loop
from narrator_daemon.daemon.sharing import Sharing
from narrator_daemon.daemon.tally import Tally
from narrator_daemon.daemon.trial import Trial
from narrator_daemon.errors import Unavailable
from narrator_daemon.health.condition import Condition, Phase, of_database, together
from narrator_daemon.health.notify import ServiceManager
from narrator_daemon.health.state_folder import StateFolder
from narrator_daemon.settings import Settings
from narrator_daemon.speech import SpeechEngine

#: Seconds between writes of the state that health reads.
_STATE_SECONDS = 1.0

#: Seconds in which the last answers are sent after the grace period.
_FAREWELL_SECONDS = 5.0

#: Seconds in which all loops end.
_LOOPS_SECONDS = 1.5

_log = logs.get(__name__)


@dataclass(frozen=True)
class Parts:
    """What a worker is made of, wired together.

    Attributes:
        engine: not yet loaded.
        loading: makes it ready.
        desks: one for each database.
        sharing: how many books there is room for.
        tally: what it has done lately.
        services: open for as long as the process lives.
        stopping: set once the worker is shutting down.
        facts: what the log says of it at its start.
        trial: whether it can narrate at all, once something has gone wrong.
        reload: reads again what settings may change while it runs.
    """

    engine: SpeechEngine
    loading: Loading
    desks: Sequence[Desk]
    sharing: Sharing
    tally: Tally
    services: Sequence[AbstractContextManager[object]]
    stopping: threading.Event
    facts: dict[str, object]
    trial: Trial
    reload: Callable[[], object]

    @property
    def loops(self) -> list[Loop]:
        """Those of all desks."""
        return [loop for desk in self.desks for loop in desk.loops]

    @property
    def jobs(self) -> list[Job]:
        """What is in work at all desks."""
        return [job for desk in self.desks for job in desk.in_work.jobs]

    def let_go(self) -> None:
        """Stop work that has gone without a beat for so long that others may soon take it."""
        for desk in self.desks:
            desk.leases.let_go(time.monotonic())

    def condition(self, phase: Phase) -> Condition:
        """How it all is now."""
        return together({desk.name: desk.gauges.read(phase) for desk in self.desks})


class Worker:
    """One replica.

    Args:
        settings: complete.
        parts: what it is made of.
        manager: the service manager, told how things are.
    """

    def __init__(self, settings: Settings, parts: Parts, manager: ServiceManager) -> None:
        self._settings = settings
        self._parts = parts
        self._manager = manager
        self._id = settings.daemon.worker_id
        self._hurried = threading.Event()
        self._told_to_reload = threading.Event()

    def run(self) -> int:
        """Work until a signal says stop: SIGTERM or SIGINT. Returns the exit status.

        SIGHUP has settings read again.

        Raises:
            ConfigError: another daemon has the state folder, or a port is taken.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        signal.signal(signal.SIGHUP, lambda *_: self._told_to_reload.set())
        return self.work()

    def stop(self) -> None:
        """Stop in time: claim no more, finish what is in work or give it back. Returns at once.

        Asked a second time, it does not wait for the grace period to end.
        """
        if self._parts.stopping.is_set():
            self._hurried.set()
        self._parts.stopping.set()

    def work(self) -> int:
        """Work until ``stop`` is called from another thread, or a part breaks for good.

        Returns:
            The exit status: 0, or 1 where something broke.

        Raises:
            ConfigError: as ``run``.
        """
        parts = self._parts
        with ExitStack() as open_for_life:
            folder = open_for_life.enter_context(StateFolder(self._settings.daemon.state_dir))
            # One that hangs must not keep the process, which is to be started anew.
            open_for_life.callback(_within, _FAREWELL_SECONDS, [parts.engine.close])
            self._tell(folder, "starting")
            _log.info("starting", version=__version__, worker=self._id, **parts.facts)
            for service in parts.services:
                open_for_life.enter_context(service)
            parts.loading.start(self._open)
            broken = self._supervise(folder)
            self._shut_down(folder)
        _log.info("stopped", worker=self._id)
        return 1 if broken else 0

    def _open(self) -> None:
        """Open for work."""
        if self._parts.stopping.is_set():
            return
        for desk in self._parts.desks:
            desk.subscription.start()
        for loop in self._parts.loops:
            loop.start()

    def _supervise(self, folder: StateFolder) -> bool:
        """Write the state until it is time to stop; True where something broke for good."""
        parts = self._parts
        while not parts.stopping.wait(_STATE_SECONDS):
            if self._is_broken():
                return True
            if self._told_to_reload.is_set():
                self._told_to_reload.clear()
                parts.reload()
            # Here, as a database that does not answer holds up the one who beats.
            parts.let_go()
            self._tell(folder, "running")
        return False

    def _is_broken(self) -> bool:
        """Whether only another process can go on."""
        parts = self._parts
        if parts.loading.failed:
            return True
        if not parts.loading.over:
            return False
        dead = [
            of_database(loop.name, desk.name)
            for desk in parts.desks
            for loop in desk.loops
            if not loop.alive
        ]
        if dead:
            _log.error("loop_died", loops=dead)
            return True
        stuck, sharing = parts.sharing.stuck, parts.sharing
        # What an operator allows at once may be less than what is in work.
        if stuck >= max(sharing.most, sharing.in_work):
            # Nothing in this process can free them; who restarts it can.
            _log.error("engine_stuck", books=stuck)
            self._hurried.set()
            return True
        if parts.tally.engine_is_broken or parts.trial.broken:
            # A new process may get the GPU back; this one would fail every book.
            _log.error("engine_broken", engine=parts.engine.name)
            return True
        return False

    def _tell(self, folder: StateFolder, phase: Phase) -> None:
        """Say how things are to all who watch, from the thread that runs everything."""
        condition = self._parts.condition(phase)
        folder.write(condition.as_record())
        self._manager.tell(condition)

    def _shut_down(self, folder: StateFolder) -> None:
        parts = self._parts
        parts.stopping.set()
        _log.info("stopping", in_work=len(parts.jobs))
        self._tell(folder, "stopping")
        deadline = time.monotonic() + self._settings.daemon.grace_seconds
        for desk in parts.desks:
            desk.subscription.stop()
        last = time.monotonic() + _FAREWELL_SECONDS
        for desk in parts.desks:
            desk.claimer.stop(timeout=max(0.0, last - time.monotonic()))
        while parts.jobs and time.monotonic() < deadline and not self._hurried.is_set():
            parts.let_go()
            self._tell(folder, "stopping")
            time.sleep(0.05)
        for job in parts.jobs:
            job.give_back_at_boundary()
        last = time.monotonic() + _FAREWELL_SECONDS
        while parts.jobs and time.monotonic() < last:
            time.sleep(0.05)
        farewells: list[Callable[[], object]] = [job.give_back_now for job in parts.jobs]
        if parts.loading.loaded:
            farewells += [partial(_leave, desk) for desk in parts.desks]
        last = time.monotonic() + _FAREWELL_SECONDS
        _within(_FAREWELL_SECONDS, farewells)
        # Who was settling by itself just then tells how its claim ended, as those did.
        while parts.jobs and time.monotonic() < last:
            time.sleep(0.05)
        last = time.monotonic() + _LOOPS_SECONDS
        for loop in parts.loops:
            loop.stop(timeout=min(0.1, max(0.0, last - time.monotonic())))


def _leave(desk: Desk) -> None:
    try:
        desk.presence.leave()
    except Unavailable as error:
        facts = {"database": desk.name} if desk.name else {}
        _log.warning("farewell_failed", why=str(error), **facts)


def _within(seconds: float, calls: Sequence[Callable[[], object]]) -> None:
    """Make calls at the same time, and wait for them no longer than this."""
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
