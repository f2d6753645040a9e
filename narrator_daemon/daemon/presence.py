"""This worker's own entry under ``/narrationWorkers``: that it is there, and what it does."""

from __future__ import annotations

from narrator_daemon import __version__
from narrator_daemon.catalogue import SERVER_TIMESTAMP, WORKERS
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.daemon.tally import Tally
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.project import Project
from narrator_daemon.speech import SpeechEngine


class Presence:
    """What the fleet sees of this worker.

    Args:
        project: the database.
        worker_id: its own.
        engine: loaded.
        in_work: what it works on.
        tally: what it has done lately.
    """

    def __init__(
        self, project: Project, worker_id: str, engine: SpeechEngine, in_work: InWork, tally: Tally
    ) -> None:
        self._entry = project.reference(WORKERS, worker_id)
        self._engine = engine
        self._in_work = in_work
        self._tally = tally

    def show(self) -> None:
        """Write the entry, stamped by the database's clock.

        Raises:
            Unavailable: the database did not answer.
        """
        entry = {
            "version": __version__,
            "engine": self._engine.name,
            "device": self._engine.device,
            "inWork": len(self._in_work),
            "atOnce": self._in_work.capacity,
            "lately": self._tally.as_record(),
            "at": dict(SERVER_TIMESTAMP),
        }
        with database_errors():
            self._entry.set(entry)

    def leave(self) -> None:
        """Remove the entry.

        Raises:
            Unavailable: the database did not answer; a sweep removes the entry after a day.
        """
        with database_errors():
            self._entry.delete()
