"""This worker's own entry under ``/narrationWorkers``: that it is there, and what it does."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from itertools import islice

from narrator_daemon import __version__, logs
from narrator_daemon.catalogue import SERVER_TIMESTAMP, WORKERS, children, moment
from narrator_daemon.clock import now_ms
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.daemon.tally import Tally
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.project import Project
from narrator_daemon.health.condition import CLOCK_FAIL_SECONDS
from narrator_daemon.queue.control import Control
from narrator_daemon.speech import SpeechEngine

#: Seconds for which another daemon with the same id is spoken of after it was seen.
_REMEMBERED_SECONDS = 60.0

#: Seconds between this clock and the database's that are worth a word.
CLOCK_WARN_SECONDS = 5.0

#: What became of the entry is read before the second write, and then before each of so many.
_LOOK_EVERY = 6

#: Most characters of why a dependency is down or a book refused, and most such books named.
_LONGEST_WHY = 300
_MOST_REFUSED = 10

_log = logs.get(__name__)


class Presence:
    """What the fleet sees of this worker, and what this worker learns by looking at its own entry.

    Args:
        project: the database.
        worker_id: its own.
        engine: loaded.
        in_work: what it works on.
        tally: what it has done lately.
        down: gives the dependencies that are down, and why.
        emulated: whether it works on a local Firebase.
        refused: gives the books that the database does not take changes of, and why.
        wall_ms: the wall clock, epoch milliseconds.
        clock: monotonic seconds.
        control: what an operator tells it.
        at_once: gives the most books at once.

    Attributes:
        clock_offset: seconds by which this machine's clock is ahead of the database's, or None
            until it is known.
    """

    def __init__(
        self,
        project: Project,
        worker_id: str,
        engine: SpeechEngine,
        in_work: InWork,
        tally: Tally,
        down: Callable[[], Mapping[str, str]] = dict,
        emulated: bool = False,
        refused: Callable[[], Mapping[str, str]] = dict,
        wall_ms: Callable[[], int] = now_ms,
        clock: Callable[[], float] = time.monotonic,
        control: Callable[[], Control] = Control,
        at_once: Callable[[], int] | None = None,
    ) -> None:
        self._at_once = at_once or (lambda: in_work.capacity)
        self._worker_id = worker_id
        self._entry = project.node(WORKERS, worker_id)
        self._engine = engine
        self._in_work = in_work
        self._tally = tally
        self._down = down
        self._emulated = emulated
        self._refused = refused
        self._wall_ms = wall_ms
        self._clock = clock
        self._control = control
        self._instance = uuid.uuid4().hex
        # This clock in the middle of the last write; what the database made of its time is read
        # before the next.
        self._wrote_at_ms: float | None = None
        self._writes = 0
        self._double_at = float("-inf")
        self.clock_offset: float | None = None

    @property
    def is_double(self) -> bool:
        """Whether another daemon writes the same entry, as it has the same ``worker_id``."""
        return self._clock() - self._double_at < _REMEMBERED_SECONDS

    def show(self) -> None:
        """Write the entry, stamped by the database's clock.

        Raises:
            Unavailable: the database did not answer.
        """
        if self._writes % _LOOK_EVERY == 1:
            self._look()
        control = self._control()
        entry = {
            "version": __version__,
            "engine": self._engine.name,
            "device": self._engine.device,
            "inWork": len(self._in_work),
            "atOnce": self._at_once(),
            "lately": self._tally.as_record(),
            "left": [
                round(left) for job in self._in_work.jobs if (left := job.seconds_left) is not None
            ],
            "down": {name: _told(why) for name, why in self._down().items()},
            "refused": {
                name: _told(why) for name, why in islice(self._refused().items(), _MOST_REFUSED)
            },
            **({"control": str(control.state)} if control.holds else {}),
            "emulated": self._emulated,
            "instance": self._instance,
            "at": dict(SERVER_TIMESTAMP),
        }
        began = self._wall_ms()
        self._wrote_at_ms = None
        with database_errors():
            self._entry.set(entry)
        self._wrote_at_ms = (began + self._wall_ms()) / 2
        self._writes += 1

    def _look(self) -> None:
        """What became of the entry that was written last."""
        if self._wrote_at_ms is None:
            return
        with database_errors():
            found = children(self._entry.get())
        if found.get("instance") not in (None, self._instance):
            if not self.is_double:
                _log.error(
                    "worker_id_taken",
                    worker=self._worker_id,
                    note="another daemon has the same daemon.worker_id; give each its own",
                )
            self._double_at = self._clock()
        elif (at := moment(found.get("at"))) is not None:
            self._take_in(round((self._wrote_at_ms - at) / 1000, 3))

    def _take_in(self, offset: float) -> None:
        before, self.clock_offset = self.clock_offset, offset
        if abs(offset) >= CLOCK_WARN_SECONDS > abs(before or 0.0):
            level = _log.error if abs(offset) >= CLOCK_FAIL_SECONDS else _log.warning
            level(
                "clock_off",
                seconds_ahead=offset,
                note="URLs, limits and pauses go by the services' clocks meanwhile; set this "
                "machine's by the network's time (timedatectl set-ntp true)",
            )

    def leave(self) -> None:
        """Remove the entry.

        Raises:
            Unavailable: the database did not answer; a sweep removes the entry after a day.
        """
        with database_errors():
            self._entry.delete()


def _told(why: str) -> str:
    return logs.redact(why)[:_LONGEST_WHY]
