"""Puts the scheduler in the place of threads, clocks and chance, wherever the program takes them.

The program's modules take ``threading``, ``time``, ``random`` and ``uuid`` by these names, and as
defaults of arguments. Both are replaced while a history runs, in the rooms that are simulated and
in the pauses of the libraries that they call; nothing else of any module is touched.
"""

from __future__ import annotations

import importlib
import pkgutil
import random
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.simulation import scheduler as steps
from tests.simulation.scheduler import EPOCH, Scheduler, current

#: The rooms whose threads and clocks are simulated, and where libraries pause between tries.
_ROOMS = ("claims", "queue", "daemon", "housekeeping", "firebase")
_SINGLE = ("narrator_daemon.rounds", "narrator_daemon.clock", "narrator_daemon.marks.allotment")
_LIBRARIES = (
    "google.api_core.retry.retry_unary",
    "google.api_core.retry.retry_base",
    "tenacity.wait",
)


class _World:
    """The scheduler of the history that runs now."""

    scheduler: Scheduler


def _steady() -> float:
    process = current().process
    return _World.scheduler.now + (process.boot if process else 0.0)


def _wall() -> float:
    process = current().process
    return EPOCH + _World.scheduler.now + (process.skew if process else 0.0)


def _sleep(seconds: float) -> None:
    _World.scheduler.sleep(seconds)


class _Time(types.SimpleNamespace):
    CLOCK_BOOTTIME = 7
    monotonic = staticmethod(_steady)
    time = staticmethod(_wall)
    sleep = staticmethod(_sleep)

    @staticmethod
    def clock_gettime(_kind: int) -> float:
        return _steady()

    @staticmethod
    def time_ns() -> int:
        return int(_wall() * 1e9)


class _Threading(types.SimpleNamespace):
    @staticmethod
    def Lock() -> steps.Lock:
        return steps.Lock(_World.scheduler)

    @staticmethod
    def Event() -> steps.Event:
        return steps.Event(_World.scheduler)

    @staticmethod
    def Thread(
        target: Callable[..., object],
        name: str = "thread",
        args: Any = (),
        daemon: bool = True,
    ) -> steps.Thread:
        return steps.Thread(_World.scheduler, target, name, args)


class _Random(types.SimpleNamespace):
    @staticmethod
    def random() -> float:
        return current().dice.random()

    @staticmethod
    def uniform(least: float, most: float) -> float:
        return current().dice.uniform(least, most)

    @staticmethod
    def choice(among: Any) -> Any:
        return among[current().dice.randrange(len(among))]


class _Uuid(types.SimpleNamespace):
    @staticmethod
    def uuid4() -> types.SimpleNamespace:
        return types.SimpleNamespace(hex=f"{current().dice.getrandbits(128):032x}")


class _Secrets(types.SimpleNamespace):
    @staticmethod
    def randbelow(most: int) -> int:
        return current().dice.randrange(most)


_MODULES = {
    "threading": _Threading(),
    "time": _Time(),
    "random": _Random(),
    "uuid": _Uuid(),
    "secrets": _Secrets(),
}

#: What stands for what, where it was taken itself.
_FUNCTIONS: dict[Any, Any] = {
    time.monotonic: _steady,
    time.time: _wall,
    time.sleep: _sleep,
    random.random: _Random.random,
    threading.Event: _Threading.Event,
    threading.Lock: _Threading.Lock,
    uuid.uuid4: _Uuid.uuid4,
}


def _stands_for(value: Any) -> Any:
    try:
        return _FUNCTIONS.get(value, value)
    except TypeError:
        return value


def modules() -> list[types.ModuleType]:
    """All that are simulated."""
    names = [*_SINGLE, *_LIBRARIES]
    for room in _ROOMS:
        package = importlib.import_module(f"narrator_daemon.{room}")
        for found in pkgutil.iter_modules(package.__path__):
            if found.name not in {"metrics", "traces"}:
                names.append(f"narrator_daemon.{room}.{found.name}")
    return [importlib.import_module(name) for name in names]


def _functions(module: types.ModuleType) -> Iterator[types.FunctionType]:
    for value in vars(module).values():
        if isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
            yield value
        elif isinstance(value, type) and value.__module__ == module.__name__:
            for method in vars(value).values():
                if isinstance(method, types.FunctionType):
                    yield method


class Seams:
    """All that was replaced, to be put back."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Put a value in the place of an attribute."""
        old = getattr(owner, name)
        setattr(owner, name, value)
        self._undo.append(lambda: setattr(owner, name, old))

    def clocks(self) -> None:
        """Put the scheduler in the place of threads, clocks and chance."""
        for module in modules():
            for name, stand_in in _MODULES.items():
                if isinstance(vars(module).get(name), types.ModuleType):
                    self.set(module, name, stand_in)
            for function in _functions(module):
                self._defaults(function)

    def _defaults(self, function: types.FunctionType) -> None:
        if function.__defaults__:
            new = tuple(map(_stands_for, function.__defaults__))
            if new != function.__defaults__:
                self.set(function, "__defaults__", new)
        if function.__kwdefaults__:
            named = {key: _stands_for(value) for key, value in function.__kwdefaults__.items()}
            if named != function.__kwdefaults__:
                self.set(function, "__kwdefaults__", named)
        for cell in function.__closure__ or ():
            # What a data class calls for the default of a field.
            try:
                new_contents = _stands_for(cell.cell_contents)
            except ValueError:
                continue
            if new_contents is not cell.cell_contents:
                self.set(cell, "cell_contents", new_contents)

    def undo(self) -> None:
        """Put everything back."""
        while self._undo:
            self._undo.pop()()


def enter(scheduler: Scheduler) -> None:
    """Let a history's scheduler be the one that stands behind the seams."""
    _World.scheduler = scheduler


@contextmanager
def replaced() -> Iterator[Seams]:
    """Everything replaced, for as many histories as are run within."""
    seams = Seams()
    try:
        seams.clocks()
        yield seams
    finally:
        seams.undo()
