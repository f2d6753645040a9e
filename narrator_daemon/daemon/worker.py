"""The long-running loop that joins the rooms: waiting books in, narrations out.

    subscription → waiting → claims → narration → storage → claims.settle

Threads: the subscription reads the stream; ``claimer`` takes waiting books while there is room, and
starts a thread for each; ``heart`` beats for them; ``reaper`` takes up what dead workers left;
``reconciler`` reads again what the stream may have missed; ``minder`` sees what becomes of books in
work; ``prober``, ``sweeper`` and ``renewer`` ask after what is down, clean up, and keep URLs alive.
``run`` itself writes the state that health reads, and stops everything.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from narrator_daemon import __version__, logs
from narrator_daemon.claims import book as books
from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.claims import Claims, Leases, now_ms
from narrator_daemon.claims.failure import ErrorCode
from narrator_daemon.claims.lease_watch import LeaseWatch
from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.daemon.job import Job, JobContext, seconds_since
from narrator_daemon.daemon.loops import Loop
from narrator_daemon.daemon.tally import Ending, Tally
from narrator_daemon.firebase.project import WORKERS, Project, Unavailable, database_errors
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.firebase.subscription import WINDOW, Hint, Subscription
from narrator_daemon.health.condition import Condition, Phase
from narrator_daemon.health.notify import ServiceManager
from narrator_daemon.health.state_folder import StateFolder
from narrator_daemon.housekeeping.reaper import Reaper
from narrator_daemon.housekeeping.reconciler import Reconciler
from narrator_daemon.housekeeping.renewal import Renewer
from narrator_daemon.housekeeping.sweep import Sweeper
from narrator_daemon.marks import keys
from narrator_daemon.narration.narrate import fingerprint
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.queue.picking import Picker
from narrator_daemon.queue.waiting import Waiting
from narrator_daemon.settings import Settings
from narrator_daemon.speech import SpeechEngine, SpeechError

if TYPE_CHECKING:
    from narrator_daemon.daemon.metrics import Metrics

#: Seconds between looks at the books in work: cancel, delete and re-request are seen within two.
_MIND_SECONDS = 1.0

#: Seconds between writes of the state that health reads.
_STATE_SECONDS = 1.0

#: Seconds in which the last answers are sent after the grace period.
_FAREWELL_SECONDS = 5.0

#: Seconds of renewing URLs at a stretch: a long one would pass for a loop that hangs.
_RENEWAL_SECONDS = 60.0

#: Seconds between sweeps.
_SWEEP_SECONDS = 3600.0

_log = logs.get("worker")


class Worker:
    """One replica.

    Args:
        settings: complete.
        engine: not yet loaded.
        project: the Firebase project.
    """

    def __init__(self, settings: Settings, engine: SpeechEngine, project: Project) -> None:
        self._settings = settings
        self._engine = engine
        self._project = project
        self._id = settings.daemon.worker_id
        self._store = AudioStore(project, settings.storage)
        self._watch = LeaseWatch(
            settings.claims.lease_ttl_seconds, longest_gap=3 * settings.claims.beat_seconds
        )
        self._leases = Leases(project, self._id, settings.claims.lease_ttl_seconds)
        self._claims = Claims(
            project,
            settings,
            fingerprint(engine, settings),
            lambda book_id, token: self._watch.dead((book_id, token)),
            self._leases,
        )
        self._dependencies = Dependencies(
            {"database": self._check_database, "storage": self._store.check}
        )
        self._waiting = Waiting()
        self._picker = Picker(project, settings, self._claims, self._waiting)
        self._reaper = Reaper(
            project, self._claims, self._leases, self._watch, self._id, self._offer_again
        )
        self._reconciliation = Reconciler(
            project, self._waiting, self._reaper, settings.claims.reconcile_seconds
        )
        self._stopping = threading.Event()
        self._hurried = threading.Event()
        self._tally = Tally()
        self._context = JobContext(
            settings,
            project,
            engine,
            keys.require(settings),
            self._store,
            self._claims,
            self._leases,
            self._dependencies,
            self._stopping,
            self._count,
            kept=KeptSegments(settings.kept),
        )
        self._sweeper = Sweeper(project, self._store)
        self._renewer = Renewer(project, self._store)
        self._sweep_at = time.monotonic() + random.uniform(0.1, 1.0) * _SWEEP_SECONDS  # noqa: S311
        self._metrics: Metrics | None = None
        self._manager = ServiceManager()
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._loaded = False
        self._subscription = Subscription(project, self._take_hint)
        report = self._dependencies.report
        self._claimer = Loop("claimer", self._claim_next, report)
        self._reconciler = Loop("reconciler", self._reconcile, report)
        self._loops = [
            self._claimer,
            self._reconciler,
            Loop("heart", self._beat, report),
            Loop("reaper", self._reap, report),
            Loop("minder", self._mind, report),
            Loop("prober", self._probe, report),
            Loop("sweeper", self._sweep, report),
            Loop("renewer", self._renew, report),
        ]

    # The life of the process.

    def run(self) -> int:
        """Work until a signal says stop. Returns the exit status.

        SIGTERM or SIGINT stops claiming, lets books in work finish within the grace period and
        gives the others back. A second signal ends the grace period.
        """
        folder = StateFolder(self._settings.daemon.state_dir)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            self._tell(folder, "starting")
            self._log_start()
            self._serve_metrics()
            loading = threading.Thread(target=self._load, name="loading", daemon=True)
            loading.start()
            failed = self._supervise(folder, loading)
            self._shut_down(folder)
        finally:
            if self._metrics is not None:
                self._metrics.close()
            folder.close()
            # One that hangs must not keep the process, which is to be started anew.
            _within(_FAREWELL_SECONDS, [self._engine.close])
        _log.info("stopped", worker=self._id)
        return 1 if failed else 0

    def _on_signal(self, number: int, _frame: object) -> None:
        if self._stopping.is_set():
            self._hurried.set()
        self._stopping.set()

    def _log_start(self) -> None:
        _log.info(
            "starting",
            version=__version__,
            worker=self._id,
            engine=self._engine.name,
            books=self._project.books_path,
            bucket=self._project.bucket_name,
            emulated=self._settings.emulated,
        )
        if self._context.key == keys.DEMO_KEY:
            _log.warning("demonstration_key", note="marks made with the public key prove nothing")

    def _load(self) -> None:
        """Make the engine ready, then open for work."""
        started = time.monotonic()
        try:
            self._engine.load()
        except SpeechError as error:
            _log.error("engine_failed", engine=self._engine.name, why=str(error))
            return
        self._loaded = True
        seconds = round(time.monotonic() - started, 1)
        _log.info("ready", engine=self._engine.name, device=self._engine.device, seconds=seconds)
        if self._stopping.is_set():
            return
        self._subscription.start()
        for loop in self._loops:
            loop.start()

    def _supervise(self, folder: StateFolder, loading: threading.Thread) -> bool:
        """Write the state until it is time to stop; True where something broke for good."""
        while not self._stopping.wait(_STATE_SECONDS):
            if not loading.is_alive():
                if not self._loaded:
                    return True
                dead = [loop.name for loop in self._loops if not loop.alive]
                if dead:
                    _log.error("loop_died", loops=dead)
                    return True
                stuck = sum(job.stuck for job in self._current())
                if stuck >= self._settings.daemon.books_at_once:
                    # Nothing in this process can free them; who restarts it can.
                    _log.error("engine_stuck", books=stuck)
                    self._hurried.set()
                    return True
                if self._tally.engine_is_broken:
                    # A new process may get the GPU back; this one would fail every book.
                    _log.error("engine_broken", engine=self._engine.name)
                    return True
            # Here, as a database that does not answer holds up the one who beats.
            self._leases.let_go(time.monotonic())
            self._tell(folder, "running")
        return False

    def _tell(self, folder: StateFolder, phase: Phase) -> None:
        """Say how things are to all who watch, from the thread that runs everything."""
        condition = self._condition(phase)
        folder.write(condition.as_record())
        self._manager.tell(condition)

    def _serve_metrics(self) -> None:
        metrics = self._settings.metrics
        if metrics.port == 0:
            return
        # Not loaded by those who leave it off.
        from narrator_daemon.daemon.metrics import Metrics

        served = Metrics(
            lambda: self._condition("stopping" if self._stopping.is_set() else "running"),
            self._settings.daemon.books_at_once,
            self._engine,
            self._store,
            self._renewer,
        )
        served.serve(metrics.host, metrics.port)
        self._metrics = served
        _log.info("metrics_served", host=metrics.host, port=metrics.port)

    def _condition(self, phase: Phase) -> Condition:
        now = time.monotonic()
        stream = self._subscription.state
        oldest = self._waiting.oldest()
        leases, beat_at = self._leases.held()
        reconciled_at = self._reconciliation.read_at
        return Condition(
            phase=phase,
            worker=self._id,
            engine=self._engine.name,
            device=self._engine.device if self._loaded else None,
            loaded=self._loaded,
            down=self._dependencies.down,
            stream=stream,
            since_event=None if stream.event_at is None else now - stream.event_at,
            late={loop.name: loop.overdue_seconds for loop in self._loops if loop.alive},
            stuck=sum(job.stuck for job in self._current()),
            in_work=len(self._jobs),
            leases=leases,
            since_beat=None if beat_at is None else now - beat_at,
            since_reconcile=None if reconciled_at is None else now - reconciled_at,
            queue_depth=len(self._waiting),
            oldest_request=None if oldest is None else (now_ms() - oldest) / 1000,
        )

    def _shut_down(self, folder: StateFolder) -> None:
        self._stopping.set()
        _log.info("stopping", in_work=len(self._jobs))
        self._tell(folder, "stopping")
        started = time.monotonic()
        deadline = started + self._settings.daemon.grace_seconds
        self._subscription.stop()
        self._claimer.stop(timeout=_FAREWELL_SECONDS)
        while self._jobs and time.monotonic() < deadline and not self._hurried.is_set():
            self._leases.let_go(time.monotonic())
            self._tell(folder, "stopping")
            time.sleep(0.05)
        for job in self._current():
            job.give_back_at_boundary()
        last = time.monotonic() + _FAREWELL_SECONDS
        while self._jobs and time.monotonic() < last:
            time.sleep(0.05)
        farewells = [job.give_back_now for job in self._current()]
        if self._loaded:
            farewells.append(self._leave)
        _within(_FAREWELL_SECONDS, farewells)
        for loop in self._loops:
            loop.stop(timeout=0.1)

    def _leave(self) -> None:
        try:
            with database_errors():
                self._project.reference(WORKERS, self._id).delete()
        except Unavailable as error:
            _log.warning("farewell_failed", why=str(error))

    def _current(self) -> list[Job]:
        with self._lock:
            return list(self._jobs.values())

    # Books that wait.

    def _take_hint(self, hint: Hint) -> None:
        if hint.resync:
            complete = len(hint.books) < WINDOW
            self._waiting.refresh(hint.books, now_ms(), complete=complete)
        else:
            for book_id, record in hint.books.items():
                self._waiting.offer(book_id, record, now_ms())
            self._waiting.forget(hint.gone)
        self._claimer.wake()

    def _reconcile(self) -> float:
        """Read what waits and what is in work, as the stream may have missed something."""
        pause = self._reconciliation.round()
        self._claimer.wake()
        return pause

    def _claim_next(self) -> float:
        """Claim the next waiting book if there is room and nothing is down."""
        if self._stopping.is_set() or self._dependencies.down:
            return 0.5
        if len(self._jobs) >= self._settings.daemon.books_at_once:
            return 1.0  # woken when a job ends
        attempted = self._picker.claim_next()
        if attempted is None:
            return 1.0 if len(self._waiting) else 10.0  # woken by hints
        if attempted.verdict is Verdict.EXHAUSTED:
            self._count(Ending("failed", code=ErrorCode.WORKER_LOST.value))
        if attempted.work is not None:
            claim = attempted.work.claim
            if self._metrics is not None and claim.attempt == 1:
                self._metrics.claimed(seconds_since(claim.requested_at, now_ms()))
            job = Job(self._context, attempted.work, self._end_job)
            with self._lock:
                self._jobs[attempted.work.token] = job
            job.start()
        return 0.0

    def _count(self, ending: Ending) -> None:
        self._tally.add(ending)
        if self._metrics is not None:
            self._metrics.ended(ending)

    def _end_job(self, job: Job) -> None:
        with self._lock:
            self._jobs.pop(job.work.token, None)
        self._claimer.wake()

    # Claims that stand.

    def _beat(self) -> float:
        """Beat for what is in work and alive."""
        settings = self._settings
        now = time.monotonic()
        jobs = self._current()
        for job in jobs:
            job.watch(now, settings.daemon.stuck_seconds)
        alive = [job.work for job in jobs if not job.stuck]
        self._leases.beat(alive)
        self._present(len(jobs))
        return settings.claims.beat_seconds

    def _reap(self) -> float:
        """Take up what dead workers left, beside the beats: many dead must not delay those."""
        self._reaper.round()
        return self._settings.claims.beat_seconds

    def _present(self, in_work: int) -> None:
        presence = {
            "version": __version__,
            "engine": self._engine.name,
            "device": self._engine.device,
            "inWork": in_work,
            "atOnce": self._settings.daemon.books_at_once,
            "lately": self._tally.as_record(),
            "at": dict(books.SERVER_TIMESTAMP),
        }
        with database_errors():
            self._project.reference(WORKERS, self._id).set(presence)

    def _offer_again(self, book_id: str) -> None:
        self._waiting.offer(book_id, None, now_ms())
        self._claimer.wake()

    def _mind(self) -> float:
        """See what has become of the books in work."""
        for job in self._current():
            if job.work.stopped is None:
                self._claims.look_after(job.work)
        return _MIND_SECONDS

    def _probe(self) -> float:
        before = self._dependencies.down
        self._dependencies.probe()
        if before and not self._dependencies.down:
            self._reconciler.wake()
        return 0.5

    def _sweep(self) -> float:
        """Clean up once an hour, the first time a while after the start."""
        if time.monotonic() < self._sweep_at:
            return self._sweep_at - time.monotonic()
        self._sweep_at = time.monotonic() + _SWEEP_SECONDS
        self._sweeper.round()
        return _SWEEP_SECONDS

    def _renew(self) -> float:
        self._renewer.round(seconds=_RENEWAL_SECONDS)
        if self._renewer.behind:
            return 0.0
        return self._renewer.pause_seconds * random.uniform(0.75, 1.25)  # noqa: S311

    def _check_database(self) -> None:
        # The queries the daemon lives on, so that a missing index counts as down until it is there.
        with database_errors(self._project.books_path):
            by_status = self._project.books().order_by_child(books.STATUS)
            by_status.equal_to(books.REQUESTED).limit_to_first(1).get()
            by_expiry = self._project.books().order_by_child(books.URL_EXPIRES_AT)
            by_expiry.start_at(1).limit_to_first(1).get()


def _within(seconds: float, calls: list[Callable[[], None]]) -> None:
    """Make calls at the same time, and wait for them no longer than this."""
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
