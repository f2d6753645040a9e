"""How a worker is put together, and nothing else.

subscription → waiting → picker → claimer → job: narration → storage → claims.settle → endings
"""

from __future__ import annotations

import random
import threading
from contextlib import AbstractContextManager, closing

from narrator_daemon import logs
from narrator_daemon.claims import history
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.ending import Claimed, Ending
from narrator_daemon.claims.lease_watch import LeaseWatch
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.claims.work import Work
from narrator_daemon.clock import now_ms
from narrator_daemon.credentials.files import FileCredentials, signer_of
from narrator_daemon.daemon.announcements import Announcements
from narrator_daemon.daemon.claimer import Claimer
from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.daemon.gauges import Gauges
from narrator_daemon.daemon.heart import Heart
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.daemon.job import Job, JobContext
from narrator_daemon.daemon.loading import Loading
from narrator_daemon.daemon.loops import Loop, every
from narrator_daemon.daemon.minder import Minder
from narrator_daemon.daemon.presence import Presence
from narrator_daemon.daemon.tally import Tally
from narrator_daemon.daemon.traces import create as create_traces
from narrator_daemon.daemon.worker import Parts, Worker
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.firebase.subscription import Hint, Subscription
from narrator_daemon.health.notify import ServiceManager
from narrator_daemon.housekeeping.reaper import Reaper
from narrator_daemon.housekeeping.reconciler import Reconciler
from narrator_daemon.housekeeping.renewal import Renewer
from narrator_daemon.housekeeping.sweep import Sweeper
from narrator_daemon.marks import allotment, keys
from narrator_daemon.narration.narrate import fingerprint
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.queue.picking import Picker
from narrator_daemon.queue.waiting import Waiting
from narrator_daemon.settings import Settings
from narrator_daemon.speech import SpeechEngine
from narrator_daemon.speech.feeding import books_at_once

#: Seconds between sweeps, and after one that went wrong.
_SWEEP_SECONDS, _SWEEP_AGAIN_SECONDS = 3600.0, 300.0

_log = logs.get(__name__)


def worker(settings: Settings, engine: SpeechEngine, project: Project) -> Worker:
    """One replica, ready to run.

    Args:
        settings: complete.
        engine: not yet loaded.
        project: the Firebase project.

    Raises:
        ConfigError: a setting cannot be used.
    """
    return Worker(settings, parts(settings, engine, project), ServiceManager())


def parts(settings: Settings, engine: SpeechEngine, project: Project) -> Parts:
    """All that a replica is made of, wired together; nothing of it runs yet.

    Args:
        settings: complete.
        engine: not yet loaded.
        project: the Firebase project.

    Raises:
        ConfigError: a setting cannot be used.
        NotInstalled: a setting asks for an extra that is not installed.
    """
    daemon, claim_settings = settings.daemon, settings.claims
    key = keys.require(settings)
    if key == keys.DEMO_KEY:
        _log.warning("demonstration_key", note="marks made with the public key prove nothing")

    signer = signer_of(settings, throwaway=settings.emulated)
    credentials = FileCredentials(signer, settings)
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
    claims = Claims(
        project,
        settings,
        fingerprint(engine, settings),
        lambda book_id, token: watch.dead((book_id, token)),
        leases,
    )
    waiting = Waiting()
    refusals = Refusals()
    picker = Picker(project, settings, claims, waiting, refusals)

    # One job a book.
    stopping = threading.Event()
    in_work = InWork(lambda: books_at_once(daemon.books_at_once, engine))
    context = JobContext(
        settings,
        engine,
        key,
        credentials,
        lambda book_id: allotment.allot(project, book_id),
        store,
        KeptSegments(settings.kept),
        claims,
        leases,
        dependencies.report,
        stopping,
        endings,
        traces=traces,
        refusals=refusals,
    )

    def end(job: Job) -> None:
        in_work.remove(job)
        claimer.wake()

    def start(work: Work) -> None:
        job = Job(context, work, end)
        in_work.add(job)
        job.start()

    def on_hint(hint: Hint) -> None:
        waiting.take_in(hint, now_ms())
        claimer.wake()

    def offer_again(book_id: str) -> None:
        waiting.offer(book_id, None, now_ms())
        claimer.wake()

    # What goes on all the time.
    subscription = Subscription(project, on_hint)
    presence = Presence(project, daemon.worker_id, engine, in_work, tally)
    heart = Heart(leases, in_work, presence, beat_seconds=beat, stuck_seconds=daemon.stuck_seconds)
    reaper = Reaper(project, claims, leases, watch, daemon.worker_id, refusals, offer_again)
    reconciliation = Reconciler(
        project, waiting, reaper, claim_settings.reconcile_seconds, lambda: claimer.wake()
    )
    renewer = Renewer(project, store)
    claiming = Claimer(picker, waiting, in_work, dependencies, stopping, start, claimed, endings)
    report = dependencies.report
    claimer = Loop("claimer", claiming.step, report)
    reconciler = Loop("reconciler", reconciliation.round, report)
    dependencies.when_up(reconciler.wake)
    loops = [
        claimer,
        reconciler,
        Loop("heart", heart.beat, report),
        # Beside the beats: many dead must not delay those.
        Loop("reaper", every(beat, reaper.round), report),
        Loop("minder", Minder(claims, in_work).look, report),
        Loop("prober", dependencies.probe, report),
        Loop(
            "sweeper",
            every(_SWEEP_SECONDS, Sweeper(project, store).round),
            report,
            first_after=random.uniform(0.1, 1.0) * _SWEEP_SECONDS,  # noqa: S311
            after_failure=_SWEEP_AGAIN_SECONDS,
        ),
        Loop("renewer", renewer.step, report),
    ]
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
    )
    services: list[AbstractContextManager[object]] = [closing(traces)]
    if settings.metrics.port:
        # Not loaded by those who leave it off.
        from narrator_daemon.daemon.metrics import Metrics

        metrics = Metrics(
            settings.metrics,
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
    # The last, as it is the only one that asks the database.
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
    )
