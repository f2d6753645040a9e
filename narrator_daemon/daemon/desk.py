"""What a worker has for one database: its queue, its claims, and all that goes on around them.

subscription → waiting → picker → claimer → job: narration → storage → claims.settle → endings
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from narrator_daemon.claims import history
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.ending import Claimed, Ending
from narrator_daemon.claims.lease_watch import LeaseWatch
from narrator_daemon.claims.leases import NAME as LEASES
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.claims.register import Register
from narrator_daemon.claims.work import Work
from narrator_daemon.credentials.files import FileCredentials
from narrator_daemon.daemon.announcements import Announcements
from narrator_daemon.daemon.claimer import Claimer
from narrator_daemon.daemon.controlled import Controlled
from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.daemon.disk import Disk
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
from narrator_daemon.daemon.sharing import Sharing
from narrator_daemon.daemon.tally import Tally
from narrator_daemon.daemon.traces import Traces
from narrator_daemon.daemon.trial import Trial
from narrator_daemon.daemon.waits import SAY_SECONDS, WhyWaiting
from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase import books, covers
from narrator_daemon.firebase.project import Project, proxies
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.firebase.subscription import Hint, Subscription
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
from narrator_daemon.queue.control import State
from narrator_daemon.queue.picking import Picker
from narrator_daemon.queue.waiting import Waiting
from narrator_daemon.settings import Settings
from narrator_daemon.speech import SpeechEngine
from narrator_daemon.speech.feeding import books_at_once

#: For so many seconds what the trial has shown is true of all desks.
_FRESH_SECONDS = 0.5

#: Seconds between sweeps, and after one that went wrong.
_SWEEP_SECONDS, _SWEEP_AGAIN_SECONDS = 3600.0, 300.0


@dataclass(frozen=True)
class Tools:
    """What all desks of a worker work with.

    Attributes:
        engine: who reads.
        loading: makes it ready.
        manners: how books are read.
        key: the watermark key.
        credentials: puts into a finished file what it says of itself.
        kept: where segments are kept.
        trial: whether it can narrate at all, once something has gone wrong.
        disk: how full it is.
        sharing: how many books there is room for, and whose is next.
        tally: what the worker has done lately.
        traces: where claims are traced.
        reloading: the limits that hold now.
        stopping: set once the worker is shutting down.
        look_over: called where a desk may be over; ends the worker where all are.
        counters: told of each claim, and of each ending, before anybody who asks the database.
    """

    engine: SpeechEngine
    loading: Loading
    manners: Manners
    key: bytes
    credentials: FileCredentials
    kept: KeptSegments
    trial: Trial
    disk: Disk
    sharing: Sharing
    tally: Tally
    traces: Traces
    reloading: Reloading
    stopping: threading.Event
    look_over: Callable[[], object]
    counters: tuple[Callable[[Claimed], object], Callable[[Ending], object]] | None = None


@dataclass(frozen=True)
class Desk:
    """What a worker has for one database, wired together.

    Attributes:
        name: of the database; empty where there is one alone.
        subscription: the stream of waiting books.
        loops: all of them; started once the engine is ready.
        claimer: the one of these that claims.
        in_work: what is worked on.
        leases: of this worker.
        presence: its entry in the database.
        gauges: read how it all is.
        store: where audio goes.
        renewer: keeps URLs alive.
        dependencies: names of all that is depended on.
        reload: takes what settings may change while it runs.
        is_over: whether nothing is left to do here for a worker that drains.
        is_idle: whether it was told to drain when it started, and has nothing in work.
    """

    name: str
    subscription: Subscription
    loops: Sequence[Loop]
    claimer: Loop
    in_work: InWork
    leases: Leases
    presence: Presence
    gauges: Gauges
    store: AudioStore
    renewer: Renewer
    dependencies: Sequence[str]
    reload: Callable[[], object]
    is_over: Callable[[], bool]
    is_idle: Callable[[], bool]


def desk(settings: Settings, project: Project, tools: Tools, name: str, *, drain: bool) -> Desk:
    """A desk; nothing of it runs yet.

    Args:
        settings: of this database.
        project: its connection.
        tools: what it shares with the others.
        name: of the database; empty where there is one alone.
        drain: whether it is over once nothing is left for it to do.
    """
    daemon, claim_settings = settings.daemon, settings.claims
    engine, stopping, reloading = tools.engine, tools.stopping, tools.reloading
    facts: Mapping[str, object] = {"database": name} if name else {}
    now_ms = project.database_clock.now_ms

    # What is depended on, and what is announced.
    store = AudioStore(project, settings.storage)
    dependencies = Dependencies(facts=facts)
    dependencies.add("database", lambda: books.check_indices(project))
    dependencies.add("storage", store.check)
    dependencies.add("credentials", tools.credentials.check)
    claimed = Announcements[Claimed](dependencies.report)
    endings = Announcements[Ending](dependencies.report)
    tally = Tally()
    endings.listen(tally.add)
    endings.listen(tools.tally.add)
    if tools.counters is not None:
        claimed.listen(tools.counters[0])
        endings.listen(tools.counters[1])

    # Claims, and which book is next.
    beat, ttl = claim_settings.beat_seconds, claim_settings.lease_ttl_seconds
    watch = LeaseWatch(ttl, longest_gap=3 * beat)
    leases = Leases(project, daemon.worker_id, ttl)
    dependencies.add(LEASES, leases.check)
    claims = Claims(
        project,
        settings,
        fingerprint(engine, settings),
        lambda book_id, token: watch.dead((book_id, token)),
        leases,
        manner=tools.manners.fingerprint,
    )
    waiting = Waiting(text_field=settings.books.text_field)
    refusals = Refusals()
    budgets = Budgets(project, lambda: reloading.limits, settings.speech.seconds_per_character)
    picker = Picker(project, settings, claims, waiting, refusals, budgets)
    why_waiting = WhyWaiting(
        waiting,
        lambda: refusals.books,
        dependencies,
        stopping,
        lambda: picker.limit,
        now_ms,
        lambda: controlled.control.holds,
    )
    dependencies.add("disk", tools.disk.check, tools.disk.look)
    dependencies.add("narration", partial(tools.trial.check, fresh_seconds=_FRESH_SECONDS))

    # One job a book.
    in_work = InWork(
        lambda: controlled.control.books_at_once or books_at_once(daemon.books_at_once, engine)
    )

    def wants() -> bool:
        held = stopping.is_set() or dependencies.down or controlled.holds or in_work.is_full
        return not held and waiting.free(time.monotonic()) > 0

    share = tools.sharing.join(in_work, wants, lambda: claimer.wake())
    controlled = Controlled(
        project,
        daemon.worker_id,
        in_work,
        on_change=lambda: claimer.wake(),
        on_drained=tools.look_over,
    )
    indices = Indices(project)
    context = JobContext(
        settings,
        engine,
        tools.key,
        tools.credentials,
        lambda book_id, is_new: indices.allot(book_id, is_new=is_new),
        store,
        tools.kept,
        claims,
        leases,
        dependencies.report,
        stopping,
        endings,
        Register(project, settings, fingerprint(engine, settings), keys.fingerprint(tools.key)),
        lambda named: covers.bring(project, named),
        lambda: reloading.limits,
        tools.trial.own_fault,
        traces=tools.traces,
        refusals=refusals,
        manners=tools.manners,
        now_ms=now_ms,
        pace=lambda: tally.pace,
        facts=facts,
    )

    def end(job: Job) -> None:
        in_work.remove(job)
        tools.sharing.wake()

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
        picker.limit = reloading.requests_per_minute

    # What goes on all the time.
    subscription = Subscription(project, on_hint, facts=facts)
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
        at_once=lambda: share.at_once,
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
    sweeper = Sweeper(project, store, on_gone=forgetter.forget)
    claiming = Claimer(
        picker,
        waiting,
        share,
        dependencies,
        stopping,
        start,
        claimed,
        endings,
        now_ms,
        lambda: controlled.holds,
    )

    def loop(name: str, step: Callable[[], float], **how: float) -> Loop:
        return Loop(name, step, dependencies.report, facts=facts, **how)

    def hourly(name: str, round_: Callable[[], object]) -> Loop:
        first_after = random.uniform(0.1, 1.0) * _SWEEP_SECONDS  # noqa: S311
        return loop(
            name,
            every(_SWEEP_SECONDS, round_),
            first_after=first_after,
            after_failure=_SWEEP_AGAIN_SECONDS,
        )

    claimer = loop("claimer", claiming.step)
    reconciler = loop("reconciler", reconciliation.round)
    dependencies.when_up(reconciler.wake)
    loops = [
        claimer,
        loop("control", every(2 * beat, controlled.look)),
        reconciler,
        loop("heart", heart.beat),
        # Beside the beats: many dead must not delay those.
        loop("reaper", every(beat, reaper.round)),
        loop("minder", Minder(claims, in_work, facts=facts).look),
        loop("prober", dependencies.probe),
        hourly("sweeper", sweeper.round),
        hourly("forgetter", forgetter.round),
        loop("forecaster", forecaster.step, first_after=FORECAST_SECONDS),
        loop("batches", batches.step, first_after=LOOK_SECONDS),
        loop("renewer", renewer.step),
        loop("reporter", why_waiting.say, first_after=SAY_SECONDS),
    ]
    drains = Drain(
        project,
        settings,
        waiting,
        in_work,
        dependencies,
        lambda: picker.limit,
        lambda: refusals.books,
        held=lambda: controlled.control.holds,
        used_up=budgets.used_up,
        on_done=tools.look_over,
    )
    if drain:
        loops.append(loop("drain", drains.step))
    gauges = Gauges(
        daemon.worker_id,
        engine,
        tools.loading,
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
        tools.disk,
        presence,
        renewer,
        now_ms,
        control=lambda: controlled.control,
        emulated=settings.emulated,
        notes=() if settings.emulated else proxies(),
    )

    def is_over() -> bool:
        if in_work.jobs or share.began_at is not None:
            return False
        done = drains.done and not (waiting.free(time.monotonic()) and not controlled.holds)
        return done or controlled.drained

    # The last, as they ask the database.
    endings.listen(budgets.end)
    endings.listen(batches.end)
    endings.listen(lambda ending: history.record_ending(project, ending))
    return Desk(
        name,
        subscription,
        loops,
        claimer,
        in_work,
        leases,
        presence,
        gauges,
        store,
        renewer,
        dependencies.names,
        reload,
        is_over,
        lambda: controlled.control.state is State.DRAINING and not in_work.jobs,
    )
