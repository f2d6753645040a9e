"""The daemon's own modules keep their promises in histories that a scheduler steps by a seed."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Iterable, Iterator

import pytest

from narrator_daemon.claims.work import Work
from narrator_daemon.daemon import job_context, loops
from narrator_daemon.queue.waiting import Waiting
from tests.simulation import mutants, seams
from tests.simulation.histories import run, shortened, simulated
from tests.simulation.ledger import Violation
from tests.simulation.scheduler import Event, Killed, Lock, Process, Scheduler, current
from tests.simulation.world import Told

#: Histories of the quick tests; ``make simulation`` runs as many as are asked for.
QUICK = 40
#: Found within a few seeds: of claims, of jobs, of the sweep.
QUICKLY_FOUND = ("lease after claim", "deletes what is shown", "sweeps nothing")


@pytest.mark.parametrize("first", range(0, QUICK, 10))
def test_no_history_breaks_a_promise_whatever_goes_wrong(first: int) -> None:
    with simulated():
        told = [run(seed) for seed in range(first, first + 10)]
    for one in told:
        assert one.violation is None, f"seed {one.seed}: {one.violation} {one.fired}"
    assert sum(one.published for one in told) >= 5
    assert sum(len(one.fired) for one in told) >= 5


def test_a_seed_is_the_same_history_each_time() -> None:
    with simulated():
        first = [run(seed) for seed in (3, 205)]
        again = [run(seed) for seed in (3, 205)]
    assert [one.digest for one in first] == [one.digest for one in again]
    assert first[0].digest != first[1].digest


@pytest.mark.parametrize("name", QUICKLY_FOUND)
def test_a_broken_program_is_found(name: str) -> None:
    with simulated() as replaced:
        mutants.ALL[name](replaced)
        assert any(run(seed).violation for seed in range(10))


def test_what_does_not_matter_is_left_out_of_a_history_that_fails() -> None:
    def told(_seed: int, fired: Iterable[str]) -> Told:
        broken = Violation("lost", "b0") if {"c", "f"} <= set(fired) else Violation("stale", "b0")
        return Told(7, broken, tuple(fired), 1.0, 1, "", 0)

    def again(seed: int, allowed: frozenset[str]) -> Told:
        # What is left out may bring something else that goes wrong.
        return told(seed, sorted(allowed if "a" in allowed else {*allowed, "late"}))

    best = shortened(told(7, "abcdefgh"), again)
    assert str(best.violation) == "lost: b0"
    assert {"c", "f"} <= set(best.fired) <= {"c", "f", "late"}


def test_all_clocks_and_threads_are_replaced_and_put_back() -> None:
    def taken() -> list[object]:
        return [
            inspect.signature(Waiting).parameters["clock"].default,
            inspect.signature(job_context.JobContext).parameters["sleep"].default,
            loops.time,
            loops.threading,
        ]

    before = taken()
    with simulated():
        assert not {id(one) for one in taken()} & {id(one) for one in before}
        left = {time.monotonic, time.sleep, time.time, threading.Event, threading.Lock}
        for module in seams.modules():
            for function in seams._functions(module):
                defaults = [
                    *(function.__defaults__ or ()),
                    *(function.__kwdefaults__ or {}).values(),
                ]
                assert not any(one in left for one in defaults if callable(one)), function
    assert taken() == before
    assert isinstance(Work("b", {}, None, 0.0)._stopped, threading.Event)  # type: ignore[arg-type]


# The scheduler.


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    made = Scheduler(1)
    yield made
    made.close()


def test_a_task_sleeps_no_shorter_and_time_passes_at_once(scheduler: Scheduler) -> None:
    woke = []

    def sleeper() -> None:
        scheduler.sleep(5000.0)
        woke.append(scheduler.now)

    scheduler.spawn("sleeper", sleeper)
    assert scheduler.run(lambda: bool(woke), 10_000.0)
    assert woke == [5000.0]


def test_a_lock_is_held_by_one(scheduler: Scheduler) -> None:
    lock, inside, most = Lock(scheduler), 0, []

    def holder() -> None:
        nonlocal inside
        for _ in range(5):
            with lock:
                inside += 1
                most.append(inside)
                scheduler.sleep(current().dice.random())
                inside -= 1

    for number in range(3):
        scheduler.spawn(f"holder{number}", holder)
    scheduler.run(lambda: len(most) == 15, 100.0)
    assert most == [1] * 15


def test_an_event_wakes_who_waits_and_a_timeout_does_not_set_it(scheduler: Scheduler) -> None:
    event, seen = Event(scheduler), []

    def waiter() -> None:
        seen.append(event.wait(1.0))
        seen.append(event.wait())

    scheduler.spawn("waiter", waiter)
    scheduler.run(lambda: False, 2.0)
    assert seen == [False]

    scheduler.spawn("setter", event.set)
    scheduler.run(lambda: len(seen) == 2, 4.0)
    assert seen == [False, True]


def test_a_process_that_is_killed_does_nothing_more(scheduler: Scheduler) -> None:
    process, done = Process("w", 0.0, 0.0), []

    def work() -> None:
        try:
            scheduler.sleep(1.0)
            done.append("worked")
        finally:
            with pytest.raises(Killed):
                scheduler.sleep(0.0)

    scheduler.spawn("work", work, process)
    scheduler.spawn("killer", lambda: scheduler.kill(process))
    scheduler.spawn("other", lambda: scheduler.sleep(3.0))
    scheduler.run(lambda: False, 2.0)
    scheduler.close()
    assert not done


def test_a_process_that_is_paused_goes_on_later(scheduler: Scheduler) -> None:
    process, woke = Process("w", 0.0, 0.0), []

    def work() -> None:
        scheduler.sleep(1.0)
        woke.append(scheduler.now)

    process.paused_until = 7.0
    scheduler.spawn("work", work, process)
    scheduler.run(lambda: bool(woke), 20.0)
    assert woke[0] >= 8.0


def test_chance_is_each_tasks_own() -> None:
    drawn = []
    for others in (0, 3):
        scheduler = Scheduler(5)
        for number in range(others):
            scheduler.spawn(f"other{number}", lambda: current().dice.random())
        values: list[float] = []
        scheduler.spawn("one", lambda values=values: values.append(current().dice.random()))
        scheduler.spawn("last", lambda scheduler=scheduler: scheduler.sleep(2.0))
        scheduler.run(lambda: False, 1.0)
        scheduler.close()
        drawn += values
    assert drawn[0] == drawn[1]
