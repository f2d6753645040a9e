"""Threads, time and processes that a scheduler steps: one runs at a time, and time is a number.

A task is what a thread is in the program, as a greenlet. It runs until it waits for something: a
request, a lock, an event, some seconds. What is due next is the earliest thing that is due; what is
due at the same moment comes in an order by chance. All chance is drawn by task, from a generator
seeded by the history's seed and the task's name, so that what one task does changes little of what
another draws.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

#: Epoch seconds at the beginning of each history.
EPOCH = 1_750_000_000.0

#: Of a hundred locks that are free, so many are taken only after others had a turn.
_YIELDS_OF_A_HUNDRED = 4


class Killed(GreenletExit):
    """The process is dead, or the history is over: unwinds a task, which touches nothing more."""


class Process:
    """A daemon's process: its clocks, and whether it runs.

    Args:
        name: of the worker, and which of its lives this is.
        boot: what its steady clock says at the history's time 0.
        skew: seconds by which its wall clock is ahead.
    """

    def __init__(self, name: str, boot: float, skew: float) -> None:
        self.name = name
        self.boot = boot
        self.skew = skew
        self.dead = False
        self.paused_until = 0.0
        self.tasks: list[Task] = []
        self.counts: dict[str, int] = {}

    def nth(self, name: str) -> str:
        """A name for a task that is the same in each run: how many of its name there were."""
        count = self.counts[name] = self.counts.get(name, 0) + 1
        return f"{self.name}/{name}" if count == 1 else f"{self.name}/{name}{count}"


class Task(greenlet):
    """One thread. ``process`` is None for what is no daemon: the frontend, what goes wrong."""

    name: str
    process: Process | None
    dice: random.Random
    wakes: int
    over: bool
    joined_by: list[Task]
    requests: int


class Scheduler:
    """Steps the tasks of one history.

    Args:
        seed: of all chance.

    Attributes:
        now: seconds since the beginning.
        switches: how often a task was gone on with.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 0.0
        self.switches = 0
        self._due: list[tuple[float, float, int, Task, int, bool]] = []
        self._count = 0
        self._hub = getcurrent()
        self._tasks: list[Task] = []
        self.failure: BaseException | None = None

    def spawn(self, name: str, call: Callable[[], object], process: Process | None = None) -> Task:
        """Start a task."""
        full = name if process is None else process.nth(name)
        task = Task(lambda _woken: self._run(task, call), self._hub)
        task.name, task.process = full, process
        task.dice = random.Random(f"{self.seed}/{full}")
        task.wakes, task.over, task.joined_by, task.requests = 0, False, [], 0
        self._tasks.append(task)
        if process is not None:
            process.tasks.append(task)
        self._push(0.0, task, True)
        return task

    def _run(self, task: Task, call: Callable[[], object]) -> None:
        try:
            call()
        except GreenletExit:
            raise
        except BaseException as error:
            # No thread of the program is to end so; the history ends here.
            self.failure = self.failure or error
        finally:
            task.over = True
            for other in task.joined_by:
                self.wake(other)

    def _push(self, seconds: float, task: Task, woken: bool) -> None:
        self._count += 1
        heapq.heappush(
            self._due,
            (self.now + seconds, task.dice.random(), self._count, task, task.wakes, woken),
        )

    def wake(self, task: Task) -> None:
        """Let a task go on that is blocked."""
        self._push(0.0, task, True)

    def block(self, seconds: float | None = None) -> bool:
        """Let others run until woken, or for so long; gives whether it was woken.

        Raises:
            Killed: the process is dead.
        """
        task = current()
        if task.process is not None and task.process.dead:
            raise Killed
        task.wakes += 1
        if seconds is not None:
            self._push(seconds, task, False)
        woken: bool = self._hub.switch()
        if task.process is not None and task.process.dead:
            raise Killed
        return woken

    def sleep(self, seconds: float) -> None:
        """Let others run for so long."""
        self.block(max(0.0, seconds))

    def run(self, until: Callable[[], bool], latest: float) -> bool:
        """Step until something holds, looked at twice a second; gives whether it came to that.

        Args:
            until: what.
            latest: when to stop all the same, seconds since the beginning.
        """
        look_at = self.now
        due = self._due
        while due:
            at, _, _, task, wakes, woken = heapq.heappop(due)
            if task.over or wakes != task.wakes:
                continue
            process = task.process
            if process is not None:
                if process.dead:
                    continue
                if process.paused_until > at:
                    heapq.heappush(
                        due, (process.paused_until, task.dice.random(), 0, task, wakes, woken)
                    )
                    continue
            if at > latest:
                self._push(at - self.now, task, woken)
                self.now = latest
                return False
            self.now = max(self.now, at)
            self.switches += 1
            task.wakes += 1
            task.switch(woken)
            if self.failure is not None:
                raise self.failure
            if self.now >= look_at:
                if until():
                    return True
                look_at = self.now + 0.5
        self.now = max(self.now, latest)
        return until()

    def kill(self, process: Process) -> None:
        """No task of a process goes on; where one of them calls this, it ends at once."""
        process.dead = True
        task = getcurrent()
        if isinstance(task, Task) and task.process is process:
            raise Killed

    def close(self) -> None:
        """End all tasks, so that nothing is left of the history."""
        for task in self._tasks:
            if task.process is not None:
                task.process.dead = True
        for task in self._tasks:
            # One that was never started has nothing to unwind.
            if not task.dead and task:
                self.failure = None
                task.throw(Killed)
        self._due.clear()


def current() -> Task:
    """The task that runs."""
    task = getcurrent()
    assert isinstance(task, Task), "outside of every task"
    return task


class Lock:
    """As ``threading.Lock``."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held = False
        self._waiting: list[Task] = []

    def __enter__(self) -> bool:
        if not isinstance(getcurrent(), Task):
            return True  # whoever looks from outside, while nobody runs
        if 100 * current().dice.random() < _YIELDS_OF_A_HUNDRED:
            self._scheduler.sleep(0.0)
        while self._held:
            self._waiting.append(current())
            self._scheduler.block()
        self._held = True
        return True

    def __exit__(self, *_: object) -> None:
        self._held = False
        if self._waiting:
            self._scheduler.wake(self._waiting.pop(0))

    acquire = __enter__
    release = __exit__


class Event:
    """As ``threading.Event``."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False
        self._waiting: list[Task] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            self._scheduler.wake(task)

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            task = current()
            self._waiting.append(task)
            woken = self._scheduler.block(None if timeout is None else max(0.0, timeout))
            if not woken and task in self._waiting:
                self._waiting.remove(task)
        return self._set


class Thread:
    """As ``threading.Thread``."""

    def __init__(
        self,
        scheduler: Scheduler,
        target: Callable[..., object],
        name: str,
        args: Iterable[Any],
    ) -> None:
        self._scheduler = scheduler
        self.name = name
        self._call = lambda: target(*args)
        self._task: Task | None = None

    def start(self) -> None:
        self._task = self._scheduler.spawn(self.name, self._call, current().process)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.over

    def join(self, timeout: float | None = None) -> None:
        assert self._task is not None
        if not self._task.over:
            self._task.joined_by.append(current())
            self._scheduler.block(timeout)
