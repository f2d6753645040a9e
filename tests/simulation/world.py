"""One history: services, workers, a frontend, and what goes wrong; from a seed, the same each time.

For some seconds everything happens at once. Then nothing goes wrong any more, and what was asked
for is to be answered. In the end all are gone, two hours pass, and what is left over is swept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any

from narrator_daemon.emulator.database.rules import Rules
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.housekeeping.forgetting import Forgetter
from narrator_daemon.housekeeping.sweep import Sweeper
from narrator_daemon.settings import Settings
from tests.simulation import program, seams
from tests.simulation.bucket import Objects
from tests.simulation.checker import Checker
from tests.simulation.database import Database, Path, Writes
from tests.simulation.faults import Faults
from tests.simulation.frontend import Frontend
from tests.simulation.gremlin import Gremlin
from tests.simulation.ledger import Violation
from tests.simulation.limits import BEAT, DAY_SECONDS, MAX_ATTEMPTS, RECONCILE, STUCK_SECONDS, TTL
from tests.simulation.operator import Operator
from tests.simulation.plan import KILLS
from tests.simulation.plans import plan_of
from tests.simulation.scheduler import EPOCH, Process, Scheduler, Task, current
from tests.simulation.stream import Streams

#: Seconds after the last fault in which everything is to be done.
PATIENCE = 200.0
#: Seconds by which a request is late, at most.
LATEST_SECONDS = 12.0
#: Seconds after which a process that ended is started again.
_RESTART = (1.0, 4.0, 12.0)

_RULES = FilePath(__file__).parents[2] / "deploy" / "firebase" / "database.rules.json"

Tell = Callable[[str], None]


@lru_cache(1)
def _rules() -> Rules:
    return Rules(_RULES.read_text(encoding="utf-8"))


@lru_cache(512)
def _settings(name: str, at_once: int, ttl: float, plan: tuple[Any, ...]) -> Settings:
    limit, url_seconds, captions, preview, grace, budget, own_budget = plan
    return Settings.model_validate(
        {
            "firebase": {
                "project_id": "demo",
                "database_url": "https://demo.firebaseio.com",
                "storage_bucket": "demo.appspot.com",
            },
            "speech": {"engine": "tone"},
            "claims": {
                "lease_ttl_seconds": ttl,
                "beat_seconds": BEAT,
                "reconcile_seconds": RECONCILE,
                "max_attempts": MAX_ATTEMPTS,
            },
            "daemon": {
                "worker_id": name,
                "books_at_once": at_once,
                "grace_seconds": grace,
                "stuck_seconds": STUCK_SECONDS,
                "state_dir": "/nowhere",
            },
            "files": {
                "formats": [],
                "captions": captions,
                "preview_from_characters": 1 if preview else 0,
            },
            "kept": {"max_gigabytes": 0},
            "limits": {
                "requests_per_minute": limit,
                "audio_hours_per_day": budget / 3600,
                "requester_audio_hours_per_day": own_budget / 3600,
            },
            "storage": {"url_lifetime_hours": url_seconds / 3600},
            "watermark": {"self_check": False},
        }
    )


@dataclass
class Seat:
    """A replica's place: the process that has it now."""

    number: int
    process: Process
    worker: Any = None
    lives: int = 1
    stopped: bool = False
    began_at: float = 0.0


@dataclass
class Told:
    """How a history went.

    Attributes:
        seed: by which it can be had again.
        violation: what was found; None for nothing.
        fired: what went wrong in it.
        seconds: that passed in it.
        switches: steps of its tasks.
        digest: of everything that was written, in order.
        published: narrations.
    """

    seed: int
    violation: Violation | None
    fired: tuple[str, ...]
    seconds: float
    switches: int
    digest: str
    published: int
    facts: dict[str, int] = field(default_factory=dict)


class World:
    """One history.

    Args:
        seed: of all chance.
        allowed: names of what may go wrong; None for all that chance brings.
        tell: told what happens, line by line; None for nobody.
    """

    def __init__(
        self, seed: int, allowed: frozenset[str] | None = None, tell: Tell | None = None
    ) -> None:
        self.plan = plan = plan_of(seed)
        self.tell = tell
        self.seed = seed
        self.scheduler = Scheduler(seed)
        self.faults = Faults(plan.rate, plan.kinds, plan.most_faults, plan.dense, allowed)
        self.database = Database(lambda: int(self.now() * 1000))
        if plan.rules:
            self.database.rules = _rules()
        self.objects = Objects(self.now)
        self.projects: dict[str, Any] = {}
        self.writer: Process | None = None
        self.is_late = False
        self.request_fault: str | None = None
        self.lives = plan.workers
        self.paused: dict[str, float] = {}
        self.ever_refused: set[str] = set()
        self.ever_closed = False
        self.cut_off: set[str] = set()
        # When processes ended for good, though nothing went wrong with them.
        self.taken_away: dict[str, float] = {}
        # When each process was told to stop, and under which name segments of each claim are kept.
        self.stops: dict[str, float] = {}
        self.kept: dict[str, str] = {}
        self.cut: dict[tuple[str, str], float] = {}
        self.closed: dict[str, float] = {}
        self.refused: dict[str, float] = {}
        self.broken: dict[str, float] = {}
        self.full: dict[str, float] = {}
        self._digest = hashlib.sha256()
        self.checker = Checker(self)
        self.streams = Streams(self)
        self.database.hears += [self.checker.judge, self.streams.hear]
        self.objects.on_delete = self.checker.books.deletes
        self.frontend, self.operator = Frontend(self), Operator(self)
        self.seats: list[Seat] = []
        self.quiet_since: float | None = None
        self._presses = 0

    # What happens.

    def run(self) -> Told:
        """Let it happen."""
        program.Here.world = self
        seams.enter(self.scheduler)
        violation = None
        try:
            self._begin()
            self._happen()
        except Violation as found:
            violation = found
        finally:
            self.scheduler.close()
        return Told(
            self.seed,
            violation,
            tuple(self.faults.fired),
            self.scheduler.now,
            self.scheduler.switches,
            self._digest.hexdigest(),
            len(self.checker.ledger.published),
        )

    def _begin(self) -> None:
        self.network = self.scheduler.spawn("network", lambda: None)
        self.scheduler.spawn("frontend", self.frontend.run)
        self.scheduler.spawn("operator", self.operator.run)
        self.scheduler.spawn("gremlin", Gremlin(self).run)
        for number in range(self.plan.workers):
            process = Process(f"w{number}", 1000.0 + 77 * number, self.plan.skews[number])
            self.seats.append(Seat(number, process))
            self._start(self.seats[-1])
        self.scheduler.spawn("supervisor", self._supervise)

    def _happen(self) -> None:
        scheduler = self.scheduler
        scheduler.run(self._is_over, self.plan.seconds)
        self._quiet()
        # Books that are over a budget wait for another day, each for one at the worst.
        budgeted = self.plan.budget or self.plan.own_budget
        days = DAY_SECONDS * len(self.plan.texts) if budgeted else 0
        done = scheduler.run(self._is_done, scheduler.now + PATIENCE + days)
        if not done:
            raise Violation("lost", f"not done in {PATIENCE:g} s: {self.checker.left()}")
        if self.plan.quiet_seconds:
            scheduler.run(self._is_over, scheduler.now + self.plan.quiet_seconds)
        if self.plan.ends_in_order:
            self._end_in_order()
        for seat in self.seats:
            seat.lives, seat.process.dead = -1, True
        self._sweep()
        self.checker.end()

    def _is_over(self) -> bool:
        self.checker.look(quiet_since=self.quiet_since)
        self.checker.fleet.look_at_drains()
        return False

    def _is_done(self) -> bool:
        return self.checker.settled()

    def _quiet(self) -> None:
        """From here on nothing goes wrong."""
        self.faults.on = False
        self.operator.rest()
        self.quiet_since = self.scheduler.now
        for ends in (self.cut, self.closed, self.refused, self.broken, self.full):
            ends.clear()
        if self.plan.survivors == "one":
            alive = [seat for seat in self.seats if not seat.process.dead and not seat.stopped]
            for seat in alive[1:]:
                self.say("taken away", worker=seat.process.name)
                seat.process.dead = True
                self.taken_away[seat.process.name] = self.scheduler.now
                seat.lives = -1
            if alive:
                for seat in self.seats:
                    if seat is not alive[0]:
                        seat.lives = -1

    def _end_in_order(self) -> None:
        for seat in self.seats:
            seat.lives = -1
            if seat.worker is None:
                seat.process.dead = True  # just begun, and nothing is in its hands
            elif not seat.process.dead:
                self.stop(seat)
        self.scheduler.run(
            lambda: all(seat.process.dead for seat in self.seats), self.scheduler.now + 40
        )
        self.checker.demand(
            all(seat.process.dead for seat in self.seats), "stop", "a worker does not end"
        )

    def _sweep(self) -> None:
        """Two hours later, what is left over is swept."""
        # Requests that are still on their way arrive before.
        self.scheduler.run(lambda: False, self.scheduler.now + LATEST_SECONDS)
        self.scheduler.now += 7200.0
        process = Process("sweeper", 0.0, 0.0)
        self.paused[process.name] = 0.0
        over: list[bool] = []

        def sweep() -> None:
            settings = self._settings_of(0)
            project: Any = program.SimulatedProject(self, settings, process, old=False)
            self.projects[process.name] = project
            forgetter = Forgetter(project, settings.registry)
            sweeper = Sweeper(
                project, AudioStore(project, settings.storage), on_gone=forgetter.forget
            )
            # Twice all of them, and what is looked at where a round ends.
            for _ in range(3 + 2 * len(self.objects.by_name) // self.plan.sweep_most):
                sweeper.round()
                forgetter.round()
            over.append(True)

        self.scheduler.spawn("sweep", sweep, process)
        # One object a round, each asked for in several places, takes minutes.
        self.scheduler.run(lambda: bool(over), self.scheduler.now + 3600.0)
        self.checker.demand(bool(over), "stop", "the last sweep does not end")

    # Processes.

    def _settings_of(self, number: int) -> Settings:
        plan = self.plan
        return _settings(
            f"w{number}",
            plan.at_once[number],
            plan.ttls[number],
            (
                plan.limit,
                plan.url_seconds,
                plan.captions,
                plan.preview,
                plan.grace_seconds,
                plan.budget,
                plan.own_budget,
            ),
        )

    def _start(self, seat: Seat) -> None:
        process, seat.began_at, seat.worker = seat.process, self.scheduler.now, None
        self.paused.setdefault(process.name, 0.0)
        number = seat.number

        def main() -> None:
            seat.worker = program.start(
                self,
                process,
                self._settings_of(number),
                self.plan.voices[number],
                old=self.plan.old[number],
            )
            status = seat.worker.work()
            self.say("exits", worker=process.name, status=status)
            self.scheduler.kill(process)

        self.say("starts", worker=process.name)
        self.scheduler.spawn("main", main, process)

    def _supervise(self) -> None:
        """Start again what has ended, after a while."""
        task = current()
        ended: dict[int, float] = {}
        while True:
            self.scheduler.sleep(0.5)
            for seat in self.seats:
                if not seat.process.dead or seat.lives < 0:
                    continue
                if seat.number not in ended:
                    ended[seat.number] = self.scheduler.now + task.dice.choice(_RESTART)
                elif self.scheduler.now >= ended[seat.number]:
                    del ended[seat.number]
                    seat.lives += 1
                    self.lives += 1
                    seat.stopped = False
                    old = seat.process
                    seat.process = Process(
                        f"w{seat.number}.{seat.lives}", 31.0 * seat.lives, old.skew
                    )
                    self._start(seat)

    def crash(self, process: Process) -> None:
        """End a process, at once."""
        self.say("crash", worker=process.name)
        self.scheduler.kill(process)

    def stop(self, seat: Seat) -> None:
        """Tell a process to stop, in time."""
        seat.stopped = True
        self.stops.setdefault(seat.process.name, self.scheduler.now)
        seat.worker.stop()

    def pause(self, process: Process, lifetimes: float) -> None:
        """Let a process sleep, for so many lifetimes of a lease."""
        seconds = lifetimes * TTL
        self.say("pause", worker=process.name, seconds=seconds)
        until = max(process.paused_until, self.scheduler.now + seconds)
        self.paused[process.name] += until - max(self.scheduler.now, process.paused_until)
        process.paused_until = until

    def stopped(self, process: Process) -> bool:
        """Whether a process was told to stop, or ended so."""
        return any(seat.stopped and seat.process is process for seat in self.seats)

    def ttl_of(self, process: Process) -> float:
        """The lifetime of its leases."""
        return self.plan.ttls[int(process.name[1])]

    def is_old(self, process: Process) -> bool:
        """Whether it is of an earlier version."""
        return self.plan.old[int(process.name[1])]

    def nothing_went_wrong(self) -> bool:
        """Whether all that happened was done by people."""
        people = ("frontend", "operator")
        return KILLS not in self.plan.texts and all(
            name.startswith(people) for name in self.faults.fired
        )

    def nothing_went_unheard(self) -> bool:
        """Whether all that went wrong was of people and engines: each answer and event came."""
        people = ("frontend", "operator")
        return all(
            name.startswith(people) or name.endswith((" engine error", " out of memory"))
            for name in self.faults.fired
        )

    def troubles(self, process: Process) -> int:
        """How much went wrong that keeps a process from beating, or from knowing what it did."""
        tasks = ("heart", "claimer", "main")
        return sum(
            name.split("#")[0] in {f"{process.name}/{task}" for task in tasks}
            for name in self.faults.fired
        )

    # Services.

    def now(self) -> float:
        """The services' clock, epoch seconds."""
        return EPOCH + self.scheduler.now

    def _holds(self, until: float | None) -> bool:
        return until is not None and self.scheduler.now < until

    def is_cut(self, service: str, process: Process) -> bool:
        """Whether a service does not answer a process."""
        return self._holds(self.cut.get((service, process.name))) or self._holds(
            self.cut.get((service, ""))
        )

    def is_closed(self, service: str) -> bool:
        """Whether a service refuses everything."""
        return self._holds(self.closed.get(service))

    def is_refused(self, path: Path, _process: Process) -> bool:
        """Whether the database takes no value for a node."""
        return len(path) > 1 and path[0] == "books" and self._holds(self.refused.get(path[1]))

    def refused_object(self, name: str) -> None:
        """Take in that the bucket takes no object of a book, which may be the book's fault."""
        self.ever_refused.add(name.split("/")[1] if name.count("/") > 1 else name)

    def is_broken(self, process: Process) -> bool:
        """Whether the engine of a process fails at everything."""
        return self._holds(self.broken.get(process.name))

    def is_full(self, process: Process) -> bool:
        """Whether its disk is full."""
        return self._holds(self.full.get(process.name))

    def writing(self, process: Process | None, writes: Writes) -> None:
        """Take in who is about to write."""
        self.writer = process
        for path, value in writes:
            self._digest.update(f"{self.scheduler.now:.6f} {path} {value}".encode())
            if self.tell is not None and path[0] == "books":
                self.say(
                    "writes", by=process.name if process else "frontend", path=path, value=value
                )

    def written(self) -> None:
        """Take in that it is done."""
        self.writer = None

    def denied(self, process: Process, writes: Writes) -> None:
        """The rules refuse what a daemon writes, which only happens for a reason."""
        if self.is_late:
            return  # delivered once more when its time was over: that is what they are for
        self.checker.demand(False, "rules", f"the rules refuse of {process.name}: {writes}")

    def later(
        self, task: Task, apply: Callable[[], Any], quiet: type[Exception] | None = None
    ) -> None:
        """Let a request arrive some time later."""
        seconds = task.dice.choice((0.2, 2.0, LATEST_SECONDS))

        def arrive() -> None:
            self.scheduler.sleep(seconds)
            self.is_late = True
            try:
                apply()
            except Exception as error:
                if quiet is None or not isinstance(error, quiet):
                    raise
            finally:
                self.is_late = False

        self.scheduler.spawn(f"late {task.name}#{task.requests}", arrive)

    def say(self, event: str, **facts: object) -> None:
        """Tell what happens."""
        if self.tell is not None:
            told = " ".join(f"{name}={value}" for name, value in facts.items())
            self.tell(f"{self.scheduler.now:9.3f} {event} {told}")

    def write_other(self, writes: Writes) -> None:
        """Write what is no daemon's."""
        self.writing(None, writes)
        self.database.write(writes)
