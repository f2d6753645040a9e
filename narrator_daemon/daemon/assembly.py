"""How a worker is put together, and nothing else.

subscription → waiting → picker → claimer → job: narration → storage → claims.settle → endings
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime
from pathlib import Path

from narrator_daemon import logs
from narrator_daemon.claims import history
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.ending import Claimed, Ending
from narrator_daemon.claims.lease_watch import LeaseWatch
from narrator_daemon.claims.leases import NAME as LEASES
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.claims.register import Register
from narrator_daemon.claims.work import Work
from narrator_daemon.credentials.files import FileCredentials, signer_of
from narrator_daemon.daemon.announcements import Announcements
from narrator_daemon.daemon.claimer import Claimer
from narrator_daemon.daemon.controlled import Controlled
from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.daemon.disk import STATE_BYTES, Disk, bytes_a_book
from narrator_daemon.daemon.drain import Drain
from narrator_daemon.daemon.forecaster import FORECAST_SECONDS, Forecaster
from narrator_daemon.daemon.gauges import Gauges
from narrator_daemon.daemon.heart import Heart
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.daemon.job import Job
from narrator_daemon.daemon.job_context import JobContext
from narrator_daemon.daemon.loading import Loading
from narrator_daemon.daemon.loops import Loop, every
from narrator_daemon.daemon.minder import Minder
from narrator_daemon.daemon.presence import Presence
from narrator_daemon.daemon.reloading import Reloading
from narrator_daemon.daemon.tally import Tally
from narrator_daemon.daemon.traces import create as create_traces
from narrator_daemon.daemon.trial import Trial
from narrator_daemon.daemon.waits import SAY_SECONDS, WhyWaiting
from narrator_daemon.daemon.worker import Parts, Worker
from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase import books, covers
from narrator_daemon.firebase.project import Project, proxies
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.firebase.subscription import Hint, Subscription
from narrator_daemon.health.ask import ask
from narrator_daemon.health.notify import ServiceManager
from narrator_daemon.housekeeping.forgetting import Forgetter
from narrator_daemon.housekeeping.lookouts import Lookouts
from narrator_daemon.housekeeping.reaper import Reaper
from narrator_daemon.housekeeping.reconciler import Reconciler
from narrator_daemon.housekeeping.renewal import Renewer
from narrator_daemon.housekeeping.sweep import Sweeper
from narrator_daemon.marks import keys
from narrator_daemon.marks.allotment import Indices
from narrator_daemon.narration.manner import Manners
from narrator_daemon.narration.narrate import fingerprint
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.queue.batches import LOOK_SECONDS, Batches
from narrator_daemon.queue.budgets import Budgets
from narrator_daemon.queue.picking import Picker
from narrator_daemon.queue.waiting import Waiting
from narrator_daemon.settings import Settings
from narrator_daemon.speech import SpeechEngine
from narrator_daemon.speech.feeding import books_at_once

#: Seconds between sweeps, and after one that went wrong.
_SWEEP_SECONDS, _SWEEP_AGAIN_SECONDS = 3600.0, 300.0

_log = logs.get(__name__)


def worker(
    settings: Settings,
    engine: SpeechEngine,
    project: Project,
    *,
    drain: bool = False,
    read: Callable[[], Settings] | None = None,
) -> Worker:
    """One replica, ready to run.

    Args:
        settings: complete.
        engine: not yet loaded.
        project: the Firebase project.
        drain: whether it ends once nothing is left for it to do.
        read: reads the settings again, where they come from somewhere.

    Raises:
        ConfigError: a setting cannot be used.
    """
    made = parts(settings, engine, project, drain=drain, read=read)
    return Worker(settings, made, ServiceManager())


def parts(
    settings: Settings,
    engine: SpeechEngine,
    project: Project,
    *,
    drain: bool = False,
    read: Callable[[], Settings] | None = None,
) -> Parts:
    """All that a replica is made of, wired together; nothing of it runs yet.

    Args:
        settings: complete.
        engine: not yet loaded.
        project: the Firebase project.
        drain: whether it ends once nothing is left for it to do.
        read: reads the settings again, where they come from somewhere.

    Raises:
        ConfigError: a setting cannot be used.
        NotInstalled: a setting asks for an extra that is not installed.
    """
    daemon, claim_settings = settings.daemon, settings.claims
    reloading = Reloading(settings, read or (lambda: settings))
    key = keys.require(settings)
    if key == keys.DEMO_KEY:
        _log.warning("demonstration_key", note="marks made with the public key prove nothing")

    signer = signer_of(settings, throwaway=settings.emulated)
    now_ms = project.database_clock.now_ms
    credentials = FileCredentials(
        signer, settings, lambda: datetime.fromtimestamp(project.bucket_clock.now(), UTC)
    )
    if signer is None:
        _log.warning("unsigned", note="narrations carry no content credentials; see [credentials]")
    elif signer.throwaway:
        _log.warning("throwaway_credentials", note="narrations are signed by nobody who is trusted")

    # What is depended on, and what is announced.
    store = AudioStore(project, settings.storage)
    dependencies = Dependencies()
    dependencies.add("database", lambda: books.check_indices(project))
    dependencies.add("storage", store.check)
    dependencies.add("credentials", credentials.check)
    claimed = Announcements[Claimed](dependencies.report)
    endings = Announcements[Ending](dependencies.report)
    tally = Tally()
    endings.listen(tally.add)
    traces = create_traces(settings.tracing, daemon.worker_id)

    # Claims, and which book is next.
    beat, ttl = claim_settings.beat_seconds, claim_settings.lease_ttl_seconds
    watch = LeaseWatch(ttl, longest_gap=3 * beat)
    leases = Leases(project, daemon.worker_id, ttl)
    dependencies.add(LEASES, leases.check)
    manners = Manners(settings, engine)
    claims = Claims(
        project,
        settings,
        fingerprint(engine, settings),
        lambda book_id, token: watch.dead((book_id, token)),
        leases,
        manner=manners.fingerprint,
    )
    waiting = Waiting(text_field=settings.books.text_field)
    refusals = Refusals()
    budgets = Budgets(project, lambda: reloading.limits, settings.speech.seconds_per_character)
    picker = Picker(project, settings, claims, waiting, refusals, budgets)
    stopping = threading.Event()
    why_waiting = WhyWaiting(
        waiting,
        lambda: refusals.books,
        dependencies,
        stopping,
        lambda: picker.limit,
        now_ms,
        lambda: controlled.control.holds,
    )

    kept = KeptSegments(settings.kept)
    trial = Trial(engine, settings, key, credentials, kept)
    disk = Disk(_folders(settings, kept), kept.make_room)
    dependencies.add("disk", disk.check, disk.look)
    dependencies.add("narration", trial.check)

    # One job a book.
    in_work = InWork(
        lambda: controlled.control.books_at_once or books_at_once(daemon.books_at_once, engine)
    )
    controlled = Controlled(
        project, daemon.worker_id, in_work, stopping, on_change=lambda: claimer.wake()
    )
    context = JobContext(
        settings,
        engine,
        key,
        credentials,
        Indices(project).allot,
        store,
        kept,
        claims,
        leases,
        dependencies.report,
        stopping,
        endings,
        Register(project, settings, fingerprint(engine, settings), keys.fingerprint(key)),
        lambda named: covers.bring(project, named),
        lambda: reloading.limits,
        trial.own_fault,
        traces=traces,
        refusals=refusals,
        manners=manners,
        now_ms=now_ms,
        pace=lambda: tally.pace,
    )

    def end(job: Job) -> None:
        in_work.remove(job)
        claimer.wake()

    def start(work: Work) -> None:
        job = Job(context, work, end)
        in_work.add(job)
        try:
            job.start()
        except RuntimeError as error:
            # No thread can be had: nobody works on it, and no book would fare better.
            dependencies.report(Unavailable("narration", f"no work can be begun: {error}"))
            job.give_back_now()

    def on_hint(hint: Hint) -> None:
        waiting.take_in(hint, now_ms())
        claimer.wake()

    def offer_again(book_id: str) -> None:
        waiting.offer(book_id, None, now_ms())
        claimer.wake()

    def wait_again(ending: Ending) -> None:
        if ending.waiting is not None:
            waiting.wait_again(ending.book_id, ending.waiting, now_ms())

    endings.listen(wait_again)

    def reload() -> None:
        reloading.again()
        picker.limit = reloading.requests_per_minute

    # What goes on all the time.
    subscription = Subscription(project, on_hint)
    presence = Presence(
        project,
        daemon.worker_id,
        engine,
        in_work,
        tally,
        lambda: dependencies.down,
        settings.emulated,
        lambda: refusals.books,
        control=lambda: controlled.control,
    )
    heart = Heart(leases, in_work, presence, beat_seconds=beat, stuck_seconds=daemon.stuck_seconds)
    lookouts = Lookouts(project, daemon.worker_id, beat)
    reaper = Reaper(
        project,
        claims,
        leases,
        watch,
        daemon.worker_id,
        refusals,
        offer_again,
        lookouts,
        claim_settings.reconcile_seconds,
    )
    reconciliation = Reconciler(
        project, waiting, reaper, claim_settings.reconcile_seconds, lambda: claimer.wake()
    )
    forecaster = Forecaster(
        project,
        claims,
        waiting,
        lambda: lookouts.leads,
        lease_ttl=ttl,
        limit=lambda: picker.limit,
        refused=lambda: refusals.books,
    )
    batches = Batches(project, lambda: lookouts.leads, time.monotonic)
    renewer = Renewer(project, store, owner=daemon.worker_id)
    forgetter = Forgetter(project, settings.registry)
    claiming = Claimer(
        picker,
        waiting,
        in_work,
        dependencies,
        stopping,
        start,
        claimed,
        endings,
        now_ms,
        lambda: controlled.holds,
    )
    report = dependencies.report
    claimer = Loop("claimer", claiming.step, report)
    reconciler = Loop("reconciler", reconciliation.round, report)
    dependencies.when_up(reconciler.wake)
    loops = [
        claimer,
        Loop("control", every(2 * beat, controlled.look), report),
        reconciler,
        Loop("heart", heart.beat, report),
        # Beside the beats: many dead must not delay those.
        Loop("reaper", every(beat, reaper.round), report),
        Loop("minder", Minder(claims, in_work).look, report),
        Loop("prober", dependencies.probe, report),
        Loop(
            "sweeper",
            every(_SWEEP_SECONDS, Sweeper(project, store, on_gone=forgetter.forget).round),
            report,
            first_after=random.uniform(0.1, 1.0) * _SWEEP_SECONDS,  # noqa: S311
            after_failure=_SWEEP_AGAIN_SECONDS,
        ),
        Loop(
            "forgetter",
            every(_SWEEP_SECONDS, forgetter.round),
            report,
            first_after=random.uniform(0.1, 1.0) * _SWEEP_SECONDS,  # noqa: S311
            after_failure=_SWEEP_AGAIN_SECONDS,
        ),
        Loop("forecaster", forecaster.step, report, first_after=FORECAST_SECONDS),
        Loop("batches", batches.step, report, first_after=LOOK_SECONDS),
        Loop("renewer", renewer.step, report),
        Loop("reporter", why_waiting.say, report, first_after=SAY_SECONDS),
    ]
    if drain:
        done = Drain(
            project,
            settings,
            waiting,
            in_work,
            dependencies,
            stopping,
            lambda: picker.limit,
            lambda: refusals.books,
            held=lambda: controlled.control.holds,
            used_up=budgets.used_up,
        )
        loops.append(Loop("drain", done.step, report))
    loading = Loading(engine)
    gauges = Gauges(
        daemon.worker_id,
        engine,
        loading,
        dependencies,
        subscription,
        waiting,
        in_work,
        leases,
        reconciliation,
        loops,
        refusals,
        store,
        why_waiting.now,
        disk,
        presence,
        renewer,
        now_ms,
        control=lambda: controlled.control,
        emulated=settings.emulated,
        notes=() if settings.emulated else proxies(),
    )
    services: list[AbstractContextManager[object]] = [closing(traces)]
    if settings.metrics.port:
        # Not loaded by those who leave it off.
        from narrator_daemon.daemon.metrics import Metrics

        metrics = Metrics(
            settings.metrics,
            lambda asked: ask(daemon.state_dir, asked),
            lambda: gauges.read("stopping" if stopping.is_set() else "running"),
            lambda: in_work.capacity,
            engine,
            store,
            renewer,
            dependencies.names,
        )
        claimed.listen(metrics.claimed)
        endings.listen(metrics.ended)
        services.append(metrics)
    # The last, as they ask the database.
    endings.listen(budgets.end)
    endings.listen(batches.end)
    endings.listen(lambda ending: history.record_ending(project, ending))
    facts = {
        "engine": engine.name,
        "books": project.books_path,
        "bucket": project.bucket_name,
        "emulated": settings.emulated,
    }
    return Parts(
        engine,
        loading,
        subscription,
        loops,
        claimer,
        in_work,
        leases,
        presence,
        tally,
        gauges,
        services,
        stopping,
        facts,
        trial,
        reload,
    )


def _folders(settings: Settings, kept: KeptSegments) -> dict[str, tuple[Path, int]]:
    """The folders that are written to, by their names in the metrics, and what must be free."""
    work = "scratch" if kept.folder is None else "kept"
    return {
        "state": (settings.daemon.state_dir, STATE_BYTES),
        work: (kept.folder or Path(tempfile.gettempdir()), bytes_a_book(settings)),
    }
