"""What a history is like: who takes part, and which kinds of things go wrong.

Each history leaves most kinds of faults out and has much of a few, so that histories differ in kind
(A. Groce et al., "Swarm Testing", ISSTA 2012).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from tests.simulation import faults

#: Texts that no worker gets through: one fails each time, one ends the process, one is too long.
FAILS, KILLS, ENDLESS = "This one fails.", "This one kills.", "This one never ends."

#: What the frontend does, each as often as it stands here.
ACTIONS = (
    "press",
    "press",
    "ask",
    "ask",
    "edit",
    "cancel",
    "cancel",
    "delete",
    "overwrite",
    "import",
    "scribble",
    "retry",
)

TEXTS = ("It was a bright cold day.", "The clocks were striking.", "Call me Ishmael.")


@dataclass(frozen=True)
class Plan:
    """What a history is like.

    Attributes:
        workers: replicas.
        voices: of each replica, by which settings differ.
        at_once: books at once, of each.
        ttls: lifetimes of leases, of each, seconds.
        old: whether it is of an earlier version, of each.
        skews: how far its wall clock is off, of each, seconds.
        texts: of each book, at the beginning.
        uids: who asks for them; None for nobody.
        limit: narrations a minute of one requester.
        writes: of the frontend, at most.
        rate: of requests to which something happens.
        speech_rate: of segments to which something happens.
        kinds: what happens.
        dense: whether that alone is drawn, so that the rates are those of these kinds; else of all.
        actions: of the frontend, among which it chooses.
        most_faults: in all.
        gremlin: things that happen to processes and services, at most.
        seconds: until faults stop.
        url_seconds: for which URLs work.
        quiet_seconds: for which it goes on once everything is done.
        survivors: whether all replicas are there at the end, or one.
        ends_in_order: whether replicas are stopped at the end, rather than cut off.
        rules: whether the database holds the project's rules.
        captions: whether there are files beside the WAV.
        preview: whether a beginning is shown.
        latency: of one way of a request, at most, seconds.
        meddles: of a daemon's writes to books, to which the frontend adds one of its own at once.
        sweep_seconds: between sweeps; objects are old after a quarter of that.
        sweep_most: objects at which one sweep looks.
        stream_rate: of events of the stream to which something happens.
        grace_seconds: in which a worker that is stopped goes on.
        segments: of a narration, each as often as it stands there.
        budget: seconds of audio a day of the whole catalogue; 0 for any.
        steady: whether each character takes its time, so that it can be foretold what books take.
        own_budget: the same of each requester.
        tells: how often an operator tells the fleet or a worker something, at most.
        batches: what is done with many books at once, at most.
        queue: whether the order in which books are taken can be foretold.
        backwards: whether the first of their ids are asked for last, which a query brings first.
    """

    workers: int
    voices: tuple[str, ...]
    at_once: tuple[int, ...]
    ttls: tuple[float, ...]
    old: tuple[bool, ...]
    skews: tuple[float, ...]
    texts: tuple[str, ...]
    uids: tuple[str | None, ...]
    limit: int
    writes: int
    rate: float
    speech_rate: float
    kinds: frozenset[str]
    most_faults: int
    gremlin: int
    seconds: float
    url_seconds: float
    quiet_seconds: float
    survivors: str
    ends_in_order: bool
    rules: bool
    captions: bool
    preview: bool
    latency: float
    meddles: float
    sweep_seconds: float
    sweep_most: int
    stream_rate: float
    grace_seconds: float
    budget: float
    own_budget: float = 0.0
    steady: bool = False
    dense: bool = False
    segments: tuple[int, ...] = (1, 2, 3, 4, 4, 12)
    actions: tuple[str, ...] = ACTIONS
    tells: int = 0
    batches: int = 0
    queue: bool = False
    backwards: bool = False

    def as_steered(self, dice: random.Random) -> Plan:
        """An operator tells workers to pause, to drain, how many books at once."""
        count = dice.choice((6, 9, 12))
        return replace(
            self,
            texts=self.texts[:1] + tuple(dice.choice(TEXTS) for _ in range(count)),
            uids=(None,) * (1 + count),
            tells=dice.choice((2, 4, 6)),
            seconds=dice.choice((25.0, 45.0)),
            most_faults=dice.choice((0, 0, 1, 8)),
        )

    def as_contested(self, dice: random.Random) -> Plan:
        """Answers are lost, and the frontend writes to what daemons have just written."""
        kinds = ("lost once before", "lost once after", "gone after", "comes late", "comes twice")
        return replace(
            self,
            kinds=frozenset(kinds),
            rate=0.3,
            most_faults=dice.choice((3, 20)),
            meddles=dice.choice((0.2, 0.5)),
            gremlin=0,
            seconds=10.0,
        )

    def as_restarted(self, dice: random.Random) -> Plan:
        """Workers are stopped again and again, and requests cancelled meanwhile."""
        return replace(
            self,
            workers=min(self.workers, dice.choice((1, 2))),
            kinds=frozenset(("stop", "crash", "engine error")),
            most_faults=8,
            gremlin=4,
            writes=6,
            grace_seconds=0.0,
            seconds=20.0,
        )

    def as_swept(self, dice: random.Random) -> Plan:
        """What was just uploaded is old, and looked at again and again."""
        return replace(
            self,
            texts=tuple(dice.choice(TEXTS) for _ in range(5)),
            uids=(None,) * 5,
            sweep_seconds=0.4,
            latency=0.2,
            quiet_seconds=0.0,
        )

    def with_batches(self, dice: random.Random) -> Plan:
        """Many books are asked for at once, and taken back."""
        count = dice.choice((2, 5, 11))
        return replace(
            self,
            texts=self.texts[:1] + tuple(dice.choice(TEXTS) for _ in range(count)),
            uids=(None,) * (1 + count),
            batches=dice.choice((1, 2, 4)),
            workers=min(self.workers, dice.choice((1, 2))),
            at_once=(1,) * self.workers,
            survivors="one",
            writes=6,
            latency=dice.choice((0.015, 0.2)),
            seconds=dice.choice((15.0, 30.0)),
            most_faults=dice.choice((0, 0, 1, 8)),
        )

    def as_queue(self, dice: random.Random) -> Plan:
        """One replica alone with many books, whose order can be foretold."""
        count = dice.choice((6, 9, 12))
        disturbing = (
            "pause",
            "crash",
            "stop",
            "database",
            "book",
            "disk",
            "engine b",
            "hangs",
            "stalls",
        )
        return replace(
            self,
            workers=1,
            at_once=(1,),
            texts=tuple(dice.choice(TEXTS) for _ in range(count)),
            uids=(None,) * count,
            limit=0,
            writes=0,
            meddles=0.0,
            budget=0.0,
            own_budget=0.0,
            rate=0.0,
            stream_rate=dice.choice((0.02, 0.3)),
            most_faults=20,
            kinds=frozenset(one for one in self.kinds if not one.startswith(disturbing)) | {"cut"},
            queue=True,
            backwards=dice.random() < 0.5,
            seconds=30.0,
        )

    @classmethod
    def usual(cls, dice: random.Random) -> Plan:
        """Some of everything."""
        workers = dice.choice((1, 2, 2, 2, 3))
        mixed = dice.random() < 0.3
        several_ttls = dice.random() < 0.15
        # An earlier version tells requests apart by its own settings.
        several_versions = dice.random() < 0.15 and not mixed
        wrong_clocks = dice.random() < 0.3
        count = dice.choice((1, 1, 2, 2, 3, 5))
        poison = dice.random() < 0.12
        limited = dice.random() < 0.2
        renews = dice.random() < 0.07
        share = dice.choice((0.15, 0.3, 0.6))
        kinds = frozenset(kind for kind in faults.ALL if dice.random() < share)
        texts = [dice.choice(TEXTS) for _ in range(count)]
        if poison:
            texts[0] = dice.choice((FAILS, KILLS, ENDLESS))
        return cls(
            workers=workers,
            voices=tuple(f"voice {number if mixed else 0}" for number in range(workers)),
            at_once=tuple(dice.choice((1, 2)) for _ in range(workers)),
            ttls=tuple(
                dice.choice((6.0, 9.0, 15.0)) if several_ttls else 9.0 for _ in range(workers)
            ),
            old=tuple(several_versions and dice.random() < 0.5 for _ in range(workers)),
            skews=tuple(
                dice.choice((-3600.0, 0.0, 120.0, 86_400.0)) if wrong_clocks else 0.0
                for _ in range(workers)
            ),
            texts=tuple(texts),
            uids=tuple("anna" if limited or dice.random() < 0.3 else None for _ in range(count)),
            limit=dice.choice((1, 2)) if limited else 10,
            writes=16 if renews else dice.choice((0, 1, 3, 6)),
            rate=dice.choice((0.0, 0.01, 0.03, 0.1)),
            speech_rate=dice.choice((0.0, 0.05, 0.2)),
            kinds=kinds,
            most_faults=dice.choice((1, 3, 8, 20)),
            gremlin=dice.choice((0, 1, 2, 4)),
            seconds=45.0 if renews else dice.choice((5.0, 10.0, 20.0)),
            url_seconds=30.0 if renews else 3600.0,
            quiet_seconds=45.0 if renews else 0.0,
            survivors=dice.choice(("all", "one")),
            ends_in_order=dice.random() < 0.3,
            rules=dice.random() < 0.06,
            captions=dice.random() < 0.3,
            preview=dice.random() < 0.15,
            latency=dice.choice((0.015, 0.015, 0.015, 0.2)) if not renews else 0.2,
            meddles=dice.choice((0.0, 0.0, 0.05, 0.2)),
            sweep_seconds=dice.choice((1.0, 6.0, 20.0)),
            sweep_most=dice.choice((1, 2000, 2000)),
            stream_rate=dice.choice((0.02, 0.02, 0.2)),
            grace_seconds=dice.choice((0.0, 3.0)),
            budget=dice.choice((1.0, 4.0)) if dice.random() < 0.12 else 0.0,
            own_budget=dice.choice((1.0, 4.0)) if dice.random() < 0.08 else 0.0,
        )
