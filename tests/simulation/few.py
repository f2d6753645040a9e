"""Histories of few kinds of faults: little goes wrong in them, and that often."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.simulation.plan import TEXTS, Plan


def _with_books(
    made: Plan, dice: random.Random, count: int, *, workers: int = 0, **more: Any
) -> Plan:
    """So many usual books that nobody limits, and workers that are alike; 0: as many as are."""
    workers = workers or made.workers
    return replace(
        made,
        workers=workers,
        voices=("voice 0",) * workers,
        at_once=(1,) * workers,
        ttls=(9.0,) * workers,
        old=(False,) * workers,
        skews=(0.0,) * workers,
        texts=tuple(dice.choice(TEXTS) for _ in range(count)),
        uids=(None,) * count,
        limit=10,
        budget=0.0,
        own_budget=0.0,
        gremlin=0,
        rate=0.0,
        speech_rate=0.0,
        stream_rate=0.0,
        meddles=0.0,
        dense=True,
        most_faults=more.pop("most_faults", 20),
        **more,
    )


def misheard(made: Plan, dice: random.Random) -> Plan:
    """What is heard late was taken, and the book is another by then."""
    return replace(
        _with_books(made, dice, 6, writes=4, seconds=20.0, latency=0.015, most_faults=40),
        kinds=frozenset(("lost once after", "gone after", "engine error")),
        rate=0.12,
        speech_rate=0.1,
        meddles=0.6,
        actions=("edit", "edit", "edit", "ask", "cancel", "press"),
    )


def cut_off(made: Plan, dice: random.Random) -> Plan:
    """Services are down for all while books are read."""
    return replace(
        _with_books(made, dice, 6, writes=0, seconds=45.0, survivors="all", workers=2),
        kinds=frozenset(("database down", "storage down")),
        gremlin=3,
    )


def asleep(made: Plan, dice: random.Random) -> Plan:
    """One replica that sleeps, again and again."""
    return replace(
        _with_books(made, dice, 4, workers=1, writes=2, seconds=45.0),
        kinds=frozenset(("pause",)),
        gremlin=3,
        speech_rate=0.1,
    )


def abandoned(made: Plan, dice: random.Random) -> Plan:
    """Workers end just after they have said something of a book, which is cancelled then."""
    return replace(
        _with_books(made, dice, 3, workers=1, writes=4, seconds=15.0),
        kinds=frozenset(("crash after", "engine error")),
        rate=0.03,
        speech_rate=0.3,
        meddles=0.5,
        actions=("cancel", "cancel", "press"),
    )


def slow(made: Plan, dice: random.Random) -> Plan:
    """Answers take long while many are at work, so that two write at the same time."""
    plan = _with_books(
        made, dice, 10, workers=3, writes=4, seconds=30.0, latency=0.2, most_faults=200
    )
    return replace(
        plan,
        kinds=frozenset(("slow before", "slow after")),
        at_once=(2, 2, 2),
        batches=4,
        rate=0.1,
        actions=("cancel", "delete", "press"),
    )


def budgeted(made: Plan, dice: random.Random) -> Plan:
    """Two who ask have each a budget, and together another."""
    plan = _with_books(made, dice, 5, writes=3, seconds=20.0, latency=0.2)
    return replace(
        plan,
        uids=("anna", "bert", "anna", None, "bert"),
        kinds=frozenset(("lost once after", "gone after", "crash after", "slow before")),
        rate=0.03,
        budget=dice.choice((0.0, 8.0)),
        own_budget=2.0,
        actions=("press", "ask", "cancel"),
    )


def foretold(made: Plan, dice: random.Random) -> Plan:
    """Texts of all lengths, of which each character takes its time, and nobody disturbs."""
    plan = _with_books(
        made, dice, 16, workers=dice.choice((1, 2)), writes=0, seconds=5.0, latency=0.015
    )
    return replace(
        plan,
        texts=tuple(" ".join([text] * dice.choice((2, 4, 8, 8))) for text in plan.texts),
        kinds=frozenset(),
        survivors="all",
        steady=True,
    )


def unheard(made: Plan, dice: random.Random) -> Plan:
    """The stream says late, or no longer, what has become of books."""
    return replace(
        _with_books(made, dice, 8, writes=12, seconds=40.0),
        kinds=frozenset(("late", "dumb")),
        stream_rate=0.3,
        actions=("cancel", "cancel", "delete", "press"),
    )


def interrupted(made: Plan, dice: random.Random) -> Plan:
    """One replica with a long queue, whose stream is cut again and again."""
    return replace(
        _with_books(made, dice, 16, workers=1, writes=0, seconds=60.0, most_faults=60),
        kinds=frozenset(("cut",)),
        stream_rate=0.5,
        segments=(1, 2, 3),
        queue=True,
        backwards=dice.random() < 0.5,
    )


def reconsidered(made: Plan, dice: random.Random) -> Plan:
    """Books that wait for their next attempt are edited and cancelled meanwhile."""
    return replace(
        # What workers know is not to be found by a round that looks through histories.
        _with_books(made, dice, 8, writes=0, seconds=20.0, most_faults=60, sweep_seconds=2000.0),
        kinds=frozenset(("engine error",)),
        speech_rate=0.5,
        meddles=0.5,
        actions=("reconsider",),
    )


def hurried(made: Plan, dice: random.Random) -> Plan:
    """Workers are stopped while what they say takes long."""
    return replace(
        _with_books(made, dice, 5, writes=4, seconds=30.0, latency=0.2, most_faults=200),
        kinds=frozenset(("stop", "slow before", "slow after", "engine error")),
        rate=0.1,
        speech_rate=0.1,
        gremlin=4,
        grace_seconds=dice.choice((0.0, 3.0)),
    )


def renewed(made: Plan, dice: random.Random) -> Plan:
    """URLs are signed anew, slowly, while the next take is published."""
    return replace(
        _with_books(
            made,
            dice,
            12,
            writes=40,
            seconds=60.0,
            latency=0.2,
            most_faults=200,
            quiet_seconds=45.0,
        ),
        kinds=frozenset(("slow before", "slow after")),
        rate=0.1,
        url_seconds=30.0,
        segments=(1, 2),
        actions=("press", "ask"),
    )


#: Those that are drawn alike; ``renewed`` comes more seldom, in a plan of its own.
OF_FEW: tuple[Callable[[Plan, random.Random], Plan], ...] = (
    misheard,
    cut_off,
    asleep,
    abandoned,
    slow,
    budgeted,
    foretold,
    unheard,
    interrupted,
    reconsidered,
    hurried,
)
