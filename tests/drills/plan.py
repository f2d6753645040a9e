"""The plan of a drill: everything that is done to the daemons, decided by a seed before it starts.

Three kinds of doers share one timeline: frontends (who ask, edit, cancel, delete), pullers of plugs
(who kill, freeze and stop processes, fill their disks and set their clocks) and the network (the
local Firebase's faults). The same seed
gives the same plan; what the daemons make of it differs from run to run.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from narrator_daemon.emulator.harness.faults import STREAM_ACTIONS, Fault

#: Seconds that a lease lives, unless another time is given; beats come six times in it.
TTL_SECONDS = 3.0

#: What only the daemons ask for: frontends write, and the observer reads, at the root.
DATABASE = "^/(books|narration)"
_BOOK = "^/books/[^/]+$"

#: Stands for the database's other address, which is known when the drill runs.
HERE = "http://localhost:0"

#: Seconds from a start until a process can be stopped again; importing takes most of it.
_WARM_UP_SECONDS = 4.0

PROCESS_KINDS = ("kill", "freeze", "terminate")
MACHINE_KINDS = ("clock_jump", "full_disk")
#: Seconds by which clocks are set ahead of the right time.
_JUMPS = (-3600.0, -120.0, 0.0, 120.0, 3600.0, 5 * 86_400.0)
NETWORK_KINDS = (
    *STREAM_ACTIONS,
    "silent_streams",
    "redirected_streams",
    "redirected",
    "database_500",
    "database_503",
    "lost_answers",
    "lost_claims",
    "slow_answers",
    "slow_database",
    "hanging_database",
    "refused",
    "storage_503",
    "reset_uploads",
    "lost_uploads",
)

Doer = Literal["frontend", "process", "network"]


@dataclass(frozen=True)
class Action:
    """One thing that is done.

    Attributes:
        at: seconds after the start.
        doer: who does it.
        verb: what.
        target: a book; the number of a daemon; the fault as the plan names it.
        value: for a frontend, the fields of the book that it writes; a `Fault`; for a clock, how
            many seconds ahead it is set; for a start, whether it is of the other version, if one is
            given; else None.
    """

    at: float
    doer: Doer
    verb: str
    target: str
    value: Any = None

    def __str__(self) -> str:
        value = "" if self.value is None else f" {str(self.value)[:160]}"
        return f"{self.at:7.2f} s  {self.doer:8}  {self.verb} {self.target}{value}"


@dataclass(frozen=True)
class Plan:
    """A drill's timeline.

    Attributes:
        seed: what it was made from.
        books: how many there are.
        daemons: how many run at a time.
        faults: how many things go wrong.
        seconds: over how long it was spread; what follows from an action may come later.
        actions: in the order of their times.
        ttl: seconds that a lease lives.
    """

    seed: int
    books: int
    daemons: int
    faults: int
    seconds: float
    actions: tuple[Action, ...]
    ttl: float = TTL_SECONDS

    def __str__(self) -> str:
        head = (
            f"python -m tests.drills.run --seed {self.seed} --books {self.books} "
            f"--daemons {self.daemons} --faults {self.faults} --seconds {self.seconds:g} "
            f"--ttl {self.ttl:g}"
        )
        return "\n".join([head, *map(str, self.actions)])


def make_plan(
    seed: int,
    *,
    books: int,
    daemons: int,
    faults: int,
    seconds: float,
    ttl: float = TTL_SECONDS,
) -> Plan:
    """Draw a plan.

    Args:
        seed: decides all of it.
        books: how many there are; each is asked for at least once.
        daemons: how many run at a time.
        faults: how many things go wrong; what goes wrong is dealt from a shuffled deck, so that
            no kind is left out before another comes again. Kills, freezes and stops come first.
        seconds: over how long it is spread.
        ttl: seconds that a lease lives. On a machine that is busy with other work a beat may be
            late by more than the usual time, and then all give back what they have taken.
    """
    dice = random.Random(seed)
    actions = [action for book in range(books) for action in _visits(dice, f"b{book:03}", seconds)]
    busy_until = [0.0] * daemons
    kinds = _deal(dice, faults)
    for at in sorted(dice.uniform(0.5, 0.95 * seconds) for _ in range(faults)):
        kind = next(kinds)
        if kind in PROCESS_KINDS:
            slot = min(range(daemons), key=lambda one: busy_until[one])
            at = max(at, busy_until[slot])
            *done, (free_at, _) = _process(dice, kind, at, ttl)
            busy_until[slot] = free_at
            actions += [
                Action(
                    when, "process", verb, str(slot), _version(dice) if verb == "start" else None
                )
                for when, verb in done
            ]
        elif kind in MACHINE_KINDS:
            actions += _machine(dice, kind, at, str(dice.randrange(daemons)))
        else:
            actions += _network(dice, kind, at)
    actions.sort(key=lambda action: action.at)
    return Plan(seed, books, daemons, faults, seconds, tuple(actions), ttl)


def _deal(dice: random.Random, faults: int) -> Iterator[str]:
    """Kinds of faults, each time the deck is through shuffled anew."""
    first = list(PROCESS_KINDS)
    dealt: list[str] = []
    while len(dealt) < faults:
        deck = [*PROCESS_KINDS, *MACHINE_KINDS, *NETWORK_KINDS, "kill", "freeze"]
        dice.shuffle(deck)
        dealt += deck
    rest = [kind for kind in dealt if kind not in first or first.remove(kind)]
    hand = [*PROCESS_KINDS, *rest][:faults]
    dice.shuffle(hand)
    return iter(hand)


def _process(dice: random.Random, kind: str, at: float, ttl: float) -> list[tuple[float, str]]:
    """What is done to a process, when; the last is when it may be hit again."""
    if kind == "freeze":
        thawed = at + ttl + dice.uniform(0.5, 2.5)
        return [(at, "freeze"), (thawed, "thaw"), (thawed + 1.0, "free")]
    started = at + dice.uniform(0.0, 2.0)
    return [(at, kind), (started, "start"), (started + _WARM_UP_SECONDS, "free")]


def _version(dice: random.Random) -> bool:
    """Whether a new process is of the other version."""
    return dice.random() < 0.5


def _machine(dice: random.Random, kind: str, at: float, slot: str) -> list[Action]:
    """What is done to the machine under a slot; whatever runs there sees it."""
    if kind == "clock_jump":
        return [Action(at, "process", "set_clock", slot, dice.choice(_JUMPS))]
    room_again = at + dice.uniform(1.0, 5.0)
    return [Action(at, "process", "fill", slot), Action(room_again, "process", "empty", slot)]


def _network(dice: random.Random, kind: str, at: float) -> list[Action]:
    if kind in STREAM_ACTIONS:
        return [Action(at, "network", kind, "^/books")]
    short, long = dice.uniform(0.5, 1.5), dice.uniform(1.0, 4.0)
    few = dice.randint(1, 6)
    share = dice.choice([0.3, 0.6, 1.0])
    storage = {"service": "storage", "method": "POST|PUT"}
    faults = {
        "silent_streams": Fault("silence", path="^/books", for_seconds=long + 2),
        "redirected_streams": Fault(
            "redirect", method="STREAM", path="^/books", count=few, to=HERE
        ),
        "redirected": Fault("redirect", path=DATABASE, fraction=share, for_seconds=short, to=HERE),
        "database_500": Fault(
            "status", path=DATABASE, status=500, fraction=share, for_seconds=short
        ),
        "database_503": Fault("status", path=DATABASE, fraction=share, for_seconds=long),
        "lost_answers": Fault("drop_answer", path=DATABASE, fraction=share, for_seconds=short),
        "lost_claims": Fault("drop_answer", method="PUT", path=_BOOK, count=few),
        "slow_answers": Fault("slow_answer", path=DATABASE, seconds=short, for_seconds=short),
        "slow_database": Fault("slow", path=DATABASE, seconds=short, for_seconds=short),
        "hanging_database": Fault("hang", path=DATABASE, fraction=share, for_seconds=long),
        "refused": Fault("refuse", path=DATABASE, fraction=share, for_seconds=short),
        "storage_503": Fault("status", service="storage", fraction=share, for_seconds=long),
        "reset_uploads": Fault("reset_upload", **storage, count=few, after_bytes=20_000),
        "lost_uploads": Fault("drop_answer", **storage, count=few),
    }
    fault = faults[kind]
    if fault.for_seconds is None:
        # One that waits for requests that never come must not wait for ever.
        fault = replace(fault, for_seconds=10.0)
    return [Action(at, "network", "fault", kind, fault)]


def _visits(dice: random.Random, book: str, seconds: float) -> Iterator[Action]:
    """What frontends do to one book: it is asked for, and then perhaps they change their minds."""
    at = dice.uniform(0.0, 0.8 * seconds)
    version = 1
    exists = True
    yield Action(at, "frontend", "add", book, _whole(dice, book, version, requested=True))
    for _ in range(dice.choice([0, 0, 0, 1, 1, 2, 3])):
        at += dice.expovariate(1 / 1.5)
        version += 1
        text = {"narrative": _text(dice, book, version)}
        if not exists:
            yield Action(at, "frontend", "add", book, _whole(dice, book, version, requested=True))
            exists = True
            continue
        verb = dice.choice(
            ["request", "request", "request_other", "edit", "cancel", "delete", "overwrite"]
        )
        if verb == "request":
            yield Action(at, "frontend", verb, book, _request(dice) | _retake(dice))
        elif verb == "request_other":
            whole_anew = {"narrativeAudioRetake": None}
            yield Action(at, "frontend", verb, book, text | _request(dice) | whole_anew)
        elif verb == "edit":
            yield Action(at, "frontend", verb, book, text)
        elif verb == "cancel":
            yield Action(at, "frontend", verb, book, {"narrativeAudioStatus": None})
        elif verb == "delete":
            yield Action(at, "frontend", verb, book)
            exists = False
        else:
            whole = _whole(dice, book, version, requested=dice.random() < 0.7)
            yield Action(at, "frontend", verb, book, whole)


def _request(dice: random.Random) -> dict[str, Any]:
    fields: dict[str, Any] = {"narrativeAudioStatus": "requested"}
    if dice.random() < 0.8:
        fields["narrativeAudioRequestedAt"] = {".sv": "timestamp"}
    if dice.random() < 0.5:
        fields["narrativeAudioRequestedBy"] = dice.choice(["ada", "ben", "cy"])
    return fields


def _retake(dice: random.Random) -> dict[str, Any]:
    """Which segments alone are wanted anew; mostly all are."""
    numbers = dice.choice([None, None, [1], [1], [1, 2], [99]])
    return {"narrativeAudioRetake": numbers}


def _whole(dice: random.Random, book: str, version: int, *, requested: bool) -> dict[str, Any]:
    fields = {"title": book, "narrative": _text(dice, book, version)}
    return fields | _request(dice) if requested else fields


def _text(dice: random.Random, book: str, version: int) -> object:
    chance = dice.random()
    if chance < 0.02:
        return " "
    if chance < 0.04:
        return version
    sentence = f"This is version {version} of the book named {book}, read to the end. "
    return sentence * (8 if chance > 0.9 else dice.randint(1, 2))
