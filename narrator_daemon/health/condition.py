"""How the daemon is at one moment: what its main loop sees, and what that means.

One snapshot answers everyone who asks: the state file that ``health`` reads, systemd's watchdog,
metrics.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from narrator_daemon import __version__, logs
from narrator_daemon.firebase.subscription import StreamState
from narrator_daemon.queue.control import Control

#: Seconds without a round after which a loop counts as hanging.
LOOP_PATIENCE_SECONDS = 300.0

#: Rounds that go wrong in a row after which a loop counts as broken.
LOOP_FAILURES = 3

#: Refused books that are named.
_NAMED = 10
#: Seconds between this machine's clock and the database's from which on it does harm.
CLOCK_FAIL_SECONDS = 60.0


Phase: TypeAlias = Literal["starting", "running", "stopping"]
T = TypeVar("T")


@dataclass(frozen=True)
class Condition:
    """A snapshot. Times are seconds before it was taken, or None for never.

    Attributes:
        phase: ``starting`` until the first look, ``stopping`` from SIGTERM on.
        worker: its id.
        engine: the speech engine's name.
        device: where it computes; None until it is loaded.
        loaded: whether it is.
        down: the dependencies that do not answer, and why.
        stream: the stream of requested books.
        since_event: since the stream brought something, keep-alives included.
        late: for each loop, seconds by which its round is late or has been going on.
        stuck: books in work that do not get on.
        in_work: books in work.
        leases: leases held.
        since_beat: since the oldest of these was renewed.
        since_reconcile: since all that waits was read.
        queue_depth: waiting books that are known here; where there are more than a query brings,
            those are not among them.
        oldest_request: since the request of the oldest of these.
        failing: for each loop whose last round went wrong by no dependency's fault, how many did
            so in a row, and why the last.
        refused: the books whose changes the database does not take, and why.
        cannot_delete: why nothing can be deleted from the bucket, or None.
        waiting: how many of these wait, by the reason (``queue.reasons``).
        claimable_age: since the request of the oldest that waits only for a worker with room.
        rooms: bytes in all and bytes free of each disk that is written to, by name.
        clock_offset: seconds by which this machine's clock is ahead of the database's.
        is_double: whether another daemon has the same worker id.
        loop_failures: rounds that went wrong since the start, of each loop.
        renewal_failures: how often a URL could not be renewed.
        url_expiry: seconds in which no URL expires.
        loading: what is done to make the engine ready; None once it is, or before.
        control: what an operator tells this worker.
        emulated: whether all this is on a local Firebase.
        notes: what an operator should know, and is no fault.
        databases: where there are several, the condition as to each; this one is of all together.
    """

    phase: Phase
    worker: str
    engine: str
    device: str | None
    loaded: bool
    down: dict[str, str]
    stream: StreamState
    since_event: float | None
    late: dict[str, float]
    stuck: int
    in_work: int
    leases: int
    since_beat: float | None
    since_reconcile: float | None
    queue_depth: int
    oldest_request: float | None
    failing: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    cannot_delete: str | None = None
    waiting: Mapping[str, int] = field(default_factory=dict)
    claimable_age: float | None = None
    rooms: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    clock_offset: float | None = None
    is_double: bool = False
    loop_failures: Mapping[str, int] = field(default_factory=dict)
    renewal_failures: int = 0
    url_expiry: float | None = None
    loading: str | None = None
    control: Control = field(default_factory=Control)
    emulated: bool = False
    notes: tuple[str, ...] = ()
    databases: Mapping[str, Condition] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """What is wrong, for an operator."""
        if not self.loaded:
            return [f"the model is being loaded{f': {self.loading}' if self.loading else ''}"]
        problems = [f"{name}: {logs.redact(why)}" for name, why in self.down.items()]
        if self.stuck:
            problems.append(f"the engine is stuck on {self.stuck} of its books")
        if self.is_double:
            problems.append(f"another daemon has the worker_id {self.worker}: give each its own")
        if self.clock_offset is not None and abs(self.clock_offset) >= CLOCK_FAIL_SECONDS:
            problems.append(
                f"this machine's clock is {told_offset(self.clock_offset)} the database's: set it "
                "by the network's time"
            )
        if self.stream.name == "waiting":
            problems.append(f"stream: {logs.redact(str(self.stream.error))}")
        problems += [
            f"the {name} has failed {times} times in a row: {logs.redact(why)}"
            for name, (times, why) in self.failing.items()
            if times >= LOOP_FAILURES
        ]
        return problems + [f"the {name} is {self.late[name]:.0f} s late" for name in self._hanging]

    @property
    def attention(self) -> list[str]:
        """What an operator has to see to, and keeps no other book waiting."""
        named = [*self.notes, *(logs.redact(why) for why in list(self.refused.values())[:_NAMED])]
        more = len(self.refused) - _NAMED
        if more > 0:
            named.append(f"and {more} books more that are refused")
        if self.cannot_delete is not None:
            named.append(f"storage: {logs.redact(self.cannot_delete)}")
        named += [f"ignored: {why}" for why in self.control.ignored]
        return named

    @property
    def _hanging(self) -> list[str]:
        return [name for name, seconds in self.late.items() if seconds > LOOP_PATIENCE_SECONDS]

    @property
    def live(self) -> bool:
        """Whether it works by itself, whatever it depends on; if not, it must be restarted."""
        return not self.stuck and not self._hanging

    @property
    def ready(self) -> bool:
        """Whether it takes books: the model is loaded and the stream is open, one at least."""
        if self.databases:
            return any(one.ready for one in self.databases.values())
        return self.phase == "running" and self.loaded and self.stream.name == "live"

    @property
    def status(self) -> str:
        """``starting``, ``healthy``, ``unhealthy`` or ``stopping``."""
        if self.phase != "running":
            return self.phase
        return "unhealthy" if self.problems else "healthy"

    def as_record(self) -> dict[str, Any]:
        """JSON values, as ``narrator-daemon health`` prints them."""
        return {
            "status": self.status,
            "live": self.live,
            "ready": self.ready,
            "problems": self.problems,
            "attention": self.attention,
            "emulated": self.emulated,
            "control": self.control.as_record(),
            "version": __version__,
            "worker": self.worker,
            "engine": self.engine,
            "device": self.device,
            "gpu_available": gpu_available(),
            "models_loaded": self.loaded,
            "stream": {
                "state": self.stream.name,
                "seconds_since_event": self.since_event,
                "opened": self.stream.opened,
            },
            "seconds_since_reconcile": self.since_reconcile,
            "queue_depth": self.queue_depth,
            "refused_books": len(self.refused),
            "loops_failing": {name: times for name, (times, _) in self.failing.items()},
            "waiting": {reason: count for reason, count in self.waiting.items() if count},
            "clock_offset_seconds": self.clock_offset,
            "disk_free_bytes": {name: free for name, (_, free) in self.rooms.items()},
            "seconds_since_oldest_request": self.oldest_request,
            "in_work": self.in_work,
            "leases": {"held": self.leases, "seconds_since_beat": self.since_beat},
            **({"databases": self._each()} if self.databases else {}),
        }

    def _each(self) -> dict[str, dict[str, Any]]:
        """What of the record differs between databases, by their names."""
        records = {name: one.as_record() for name, one in self.databases.items()}
        return {
            name: {key: value for key, value in record.items() if key not in _OF_THE_PROCESS}
            for name, record in records.items()
        }


#: What in a record is of the process, and the same for each database.
_OF_THE_PROCESS = frozenset(
    {
        "disk_free_bytes",
        "device",
        "emulated",
        "engine",
        "gpu_available",
        "models_loaded",
        "version",
        "worker",
    }
)


def of_database(what: str, name: str) -> str:
    """What is told of one of several databases; of one that is alone (no name) as it is."""
    return f"{what} of {name}" if name else what


def together(each: Mapping[str, Condition]) -> Condition:
    """The condition of a worker on several databases, from that as to each, by their names.

    Counts are added up; of times, the longest; of all else, that of which somebody must know.
    """
    if len(each) == 1:
        return next(iter(each.values()))
    all_of_them = list(each.values())
    return replace(
        all_of_them[0],
        down=_named(each, lambda one: one.down),
        stream=_worst({name: one.stream for name, one in each.items()}),
        since_event=_longest(one.since_event for one in all_of_them),
        late=_named(each, lambda one: one.late),
        stuck=sum(one.stuck for one in all_of_them),
        in_work=sum(one.in_work for one in all_of_them),
        leases=sum(one.leases for one in all_of_them),
        since_beat=_longest(one.since_beat for one in all_of_them),
        since_reconcile=_longest(one.since_reconcile for one in all_of_them),
        queue_depth=sum(one.queue_depth for one in all_of_them),
        oldest_request=_longest(one.oldest_request for one in all_of_them),
        failing=_named(each, lambda one: one.failing),
        refused={
            of_database(book, name): f"{name}: {why}"
            for name, one in each.items()
            for book, why in one.refused.items()
        },
        cannot_delete=next(
            (f"{name}: {one.cannot_delete}" for name, one in each.items() if one.cannot_delete),
            None,
        ),
        waiting=_sums(one.waiting for one in all_of_them),
        claimable_age=_longest(one.claimable_age for one in all_of_them),
        clock_offset=max(
            (one.clock_offset for one in all_of_them if one.clock_offset is not None),
            key=abs,
            default=None,
        ),
        is_double=any(one.is_double for one in all_of_them),
        loop_failures=_sums(one.loop_failures for one in all_of_them),
        renewal_failures=sum(one.renewal_failures for one in all_of_them),
        url_expiry=min(
            (one.url_expiry for one in all_of_them if one.url_expiry is not None), default=None
        ),
        control=_control(each),
        databases=dict(each),
    )


def _named(
    each: Mapping[str, Condition], part: Callable[[Condition], Mapping[str, T]]
) -> dict[str, T]:
    return {
        of_database(what, name): value
        for name, one in each.items()
        for what, value in part(one).items()
    }


def _sums(each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for one in each:
        # Not by ``+``, which leaves out what is 0.
        total.update(one)
    return dict(total)


def _longest(each: Iterable[float | None]) -> float | None:
    return max((one for one in each if one is not None), default=None)


def _worst(each: Mapping[str, StreamState]) -> StreamState:
    """The first that waits after an error, or is not open; how often all were opened."""
    order = ("waiting", "stopped", "connecting", "live")
    name, worst = min(each.items(), key=lambda one: order.index(one[1].name))
    error = None if worst.error is None else f"{name}: {worst.error}"
    return replace(worst, error=error, opened=sum(one.opened for one in each.values()))


def _control(each: Mapping[str, Condition]) -> Control:
    """What is told of all alike, or of the first where all are to claim nothing."""
    told = [one.control for one in each.values()]
    ignored = tuple(
        of_database(why, name) for name, one in each.items() for why in one.control.ignored
    )
    same = len({(one.state, one.books_at_once) for one in told}) == 1
    if same or all(one.holds for one in told):
        return replace(told[0], ignored=ignored)
    return Control(ignored=ignored)


def told_offset(seconds: float) -> str:
    """How a clock is off: ``12 s ahead of``, ``3600 s behind``."""
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'}"


def gpu_available() -> bool:
    """Whether this process could use a GPU; does not import torch for the answer."""
    if torch := sys.modules.get("torch"):
        return bool(torch.cuda.is_available())
    # The driver's own device file says the same.
    return Path("/dev/nvidia0").exists()
