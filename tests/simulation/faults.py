"""What goes wrong in a history: each thing has a name, so that a history can be had without it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.scheduler import Task

#: Of requests. "once" is what an SDK repeats and gets through; "gone" is not repeated with success.
WRITES = (
    "lost once before",
    "lost once after",
    "gone before",
    "gone after",
    "comes late",
    "comes twice",
    "slow before",
    "slow after",
    "busy",
    "too many",
    "crash before",
    "crash after",
    "pause before",
    "pause after",
)
READS = ("gone before", "slow before", "slow after", "busy", "crash before", "pause after")
UPLOADS = (
    "lost once before",
    "lost once after",
    "gone before",
    "gone after",
    "comes late",
    "slow before",
    "busy",
    "forbidden",
    "corrupt",
    "crash before",
    "crash after",
    "pause before",
    "pause after",
)
SPEECH = (
    "engine error",
    "out of memory",
    "disk full",
    "hangs",
    "stalls",
    "crash",
    "pause",
    "stumbles",
)
STREAM = ("late", "twice", "out of order", "cut", "dumb")
PROCESS = (
    "crash",
    "stop",
    "stop",
    "pause",
    "wall clock jumps",
    "database cut off",
    "database down",
    "database closed",
    "storage down",
    "storage closed",
    "book refused",
    "engine broken",
    "disk filled",
)
ALL = tuple(dict.fromkeys((*WRITES, *READS, *UPLOADS, *SPEECH, *STREAM, *PROCESS)))


@dataclass
class Faults:
    """What may go wrong, and what did.

    Attributes:
        rate: of requests to which something happens.
        kinds: that happen in this history.
        most: in all.
        dense: whether those kinds alone are drawn.
        allowed: names of those that may happen; None for all that chance brings.
        on: whether anything happens any more.
        fired: the names of what happened, in order.
    """

    rate: float
    kinds: frozenset[str]
    most: int
    dense: bool = False
    allowed: frozenset[str] | None = None
    on: bool = True
    fired: list[str] = field(default_factory=list)

    def at(self, task: Task, among: tuple[str, ...], rate: float | None = None) -> str | None:
        """What happens to this step of a task; None for nothing."""
        task.requests += 1
        # Drawn in any case, so that what follows does not depend on what is allowed.
        chance, which = task.dice.random(), task.dice.random()
        if not self.on or chance >= (self.rate if rate is None else rate):
            return None
        kind = self.among(among, which)
        if kind is None:
            return None
        return kind if self.fire(f"{task.name}#{task.requests} {kind}") else None

    def among(self, kinds: tuple[str, ...], which: float) -> str | None:
        """One of some kinds, by a number in 0..1; None where it is none of this history."""
        if self.dense:
            kinds = tuple(kind for kind in kinds if kind in self.kinds)
        kind = kinds[int(which * len(kinds))] if kinds else None
        return kind if kind in self.kinds else None

    def wish(self, name: str) -> bool:
        """Let the frontend write, if it may; that counts for nothing that goes wrong."""
        if self.allowed is not None and name not in self.allowed:
            return False
        self.fired.append(name)
        self.most += 1
        return True

    def fire(self, name: str) -> bool:
        """Let something happen, if it may."""
        if self.allowed is not None and name not in self.allowed:
            return False
        if len(self.fired) >= self.most:
            return False
        self.fired.append(name)
        return True
