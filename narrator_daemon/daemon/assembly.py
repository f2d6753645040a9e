"""How a worker is put together: what it has once, and a desk for each database."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime
from pathlib import Path

from narrator_daemon import logs
from narrator_daemon.credentials.files import FileCredentials, signer_of
from narrator_daemon.daemon.desk import Tools, desk
from narrator_daemon.daemon.disk import STATE_BYTES, Disk, bytes_a_book
from narrator_daemon.daemon.loading import Loading
from narrator_daemon.daemon.reloading import Reloading
from narrator_daemon.daemon.sharing import Sharing
from narrator_daemon.daemon.tally import Tally
from narrator_daemon.daemon.traces import create as create_traces
from narrator_daemon.daemon.trial import Trial
from narrator_daemon.daemon.worker import Parts, Worker
from narrator_daemon.firebase.project import Project
from narrator_daemon.health.ask import ask
from narrator_daemon.health.notify import ServiceManager
from narrator_daemon.marks import keys
from narrator_daemon.narration.manner import Manners
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Settings
from narrator_daemon.speech import SpeechEngine
from narrator_daemon.speech.feeding import books_at_once

_log = logs.get(__name__)


def worker(
    settings: Settings,
    engine: SpeechEngine,
    projects: Sequence[Project],
    *,
    drain: bool = False,
    read: Callable[[], Settings] | None = None,
) -> Worker:
    """One replica, ready to run.

    Args:
        settings: complete.
        engine: not yet loaded.
        projects: the Firebase project of each database (``settings.each_database``).
        drain: whether it ends once nothing is left for it to do.
        read: reads the settings again, where they come from somewhere.

    Raises:
        ConfigError: a setting cannot be used.
    """
    made = parts(settings, engine, projects, drain=drain, read=read)
    return Worker(settings, made, ServiceManager())


def parts(
    settings: Settings,
    engine: SpeechEngine,
    projects: Sequence[Project],
    *,
    drain: bool = False,
    read: Callable[[], Settings] | None = None,
) -> Parts:
    """All that a replica is made of, wired together; nothing of it runs yet.

    Args:
        settings: complete.
        engine: not yet loaded.
        projects: the Firebase project of each database (``settings.each_database``).
        drain: whether it ends once nothing is left for it to do.
        read: reads the settings again, where they come from somewhere.

    Raises:
        ConfigError: a setting cannot be used.
        NotInstalled: a setting asks for an extra that is not installed.
    """
    reloading = Reloading(settings, read or (lambda: settings))
    key = keys.require(settings)
    if key == keys.DEMO_KEY:
        _log.warning("demonstration_key", note="marks made with the public key prove nothing")

    signer = signer_of(settings, throwaway=settings.emulated)
    clock = projects[0].bucket_clock
    credentials = FileCredentials(
        signer, settings, lambda: datetime.fromtimestamp(clock.now(), UTC)
    )
    if signer is None:
        _log.warning("unsigned", note="narrations carry no content credentials; see [credentials]")
    elif signer.throwaway:
        _log.warning("throwaway_credentials", note="narrations are signed by nobody who is trusted")

    traces = create_traces(settings.tracing, settings.daemon.worker_id)
    services: list[AbstractContextManager[object]] = [closing(traces)]
    metrics = None
    if settings.metrics.port:
        # Not loaded by those who leave it off.
        from narrator_daemon.daemon.metrics import Metrics

        metrics = Metrics(settings.metrics, lambda asked: ask(settings.daemon.state_dir, asked))
        services.append(metrics)
    kept = KeptSegments(settings.kept)
    stopping = threading.Event()

    def look_over() -> None:
        """End the worker where nothing is left to do for any database, and was not at its start."""
        if any(one.is_over() for one in desks) and all(
            one.is_over() or one.is_idle() for one in desks
        ):
            stopping.set()

    tools = Tools(
        engine,
        Loading(engine),
        Manners(settings, engine),
        key,
        credentials,
        kept,
        Trial(engine, settings, key, credentials, kept),
        Disk(_folders(settings, kept), kept.make_room),
        Sharing(lambda: books_at_once(settings.daemon.books_at_once, engine)),
        Tally(),
        traces,
        reloading,
        stopping,
        look_over,
        None if metrics is None else (metrics.claimed, metrics.ended),
    )
    desks = [
        desk(one, project, tools, name, drain=drain)
        for (name, one), project in zip(settings.by_database.items(), projects, strict=True)
    ]

    def reload() -> None:
        reloading.again()
        for one in desks:
            one.reload()

    made = Parts(
        engine,
        tools.loading,
        desks,
        tools.sharing,
        tools.tally,
        services,
        tools.stopping,
        _facts(settings, engine, projects),
        tools.trial,
        reload,
    )
    if metrics is not None:
        metrics.watch(
            lambda: made.condition("stopping" if tools.stopping.is_set() else "running"),
            lambda: tools.sharing.most,
            engine,
            desks,
        )
    return made


def _facts(
    settings: Settings, engine: SpeechEngine, projects: Sequence[Project]
) -> dict[str, object]:
    """What the log says of a worker at its start."""
    facts: dict[str, object] = {"engine": engine.name, "books": projects[0].books_path}
    if settings.databases:
        facts["databases"] = [one.name for one in settings.databases]
    else:
        facts["bucket"] = projects[0].bucket_name
    return {**facts, "emulated": settings.emulated}


def _folders(settings: Settings, kept: KeptSegments) -> dict[str, tuple[Path, int]]:
    """The folders that are written to, by their names in the metrics, and what must be free."""
    work = "scratch" if kept.folder is None else "kept"
    return {
        "state": (settings.daemon.state_dir, STATE_BYTES),
        work: (kept.folder or Path(tempfile.gettempdir()), bytes_a_book(settings)),
    }
