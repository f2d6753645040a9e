"""Tests side by side, in processes that are forked once the tests have been collected.

What tests import (PyTorch, transformers, Google's SDKs) and the collection of some thousand tests
take ten seconds of CPU: here once, and not once for each process. The one that pytest was started
as hands the tests out and reports; what it forks runs them, takes fixtures up and down, and sends
its reports home.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import traceback
import types
import warnings
from collections import deque
from collections.abc import Iterable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import pytest

_CONTEXT = multiprocessing.get_context("fork")

#: Tests handed out at once at the most. A batch is a stretch of the collection, so that what a
#: module sets up serves most of it; towards the end batches become short, and nobody works long
#: while the others have nothing left.
_LONGEST = 48


class Plan:
    """Which tests go out together: stretches in the order of their collection.

    Args:
        modules: which module each test is of.
        processes: how many run them.
    """

    def __init__(self, modules: Sequence[object], processes: int) -> None:
        self._modules = modules
        self._processes = processes
        self._next = 0

    def take(self) -> Sequence[int]:
        """The numbers of the next stretch; none where all are out.

        It ends with a module, where one ends in its second half.
        """
        first, left = self._next, len(self._modules) - self._next
        size = min(left, max(1, min(_LONGEST, left // (4 * self._processes))))
        ends = range(first + size, first + size // 2, -1)
        self._next = next((end for end in ends if self._is_end(end)), first + size)
        return range(first, self._next)

    def _is_end(self, end: int) -> bool:
        return end == len(self._modules) or self._modules[end - 1] != self._modules[end]


class _Hand:
    """One forked process, as the one that hands out knows it."""

    def __init__(self, number: int, session: pytest.Session, others: Iterable[Connection]) -> None:
        self.number = number
        self.given: deque[int] = deque()
        self.runs = False
        self.said = ""
        self.pipe, theirs = _CONTEXT.Pipe()
        # Its copies of our ends would keep the others from seeing that we have gone.
        ours = [*others, self.pipe]
        self.process = _CONTEXT.Process(target=_work, args=(session, theirs, ours, number))
        self.process.start()
        theirs.close()


class SideBySide:
    """The plugin: runs what was collected in so many processes.

    Args:
        config: of pytest.
        processes: how many.
    """

    def __init__(self, config: pytest.Config, processes: int) -> None:
        self._config = config
        self._processes = processes
        self._hands: dict[Connection, _Hand] = {}
        self._lost: deque[int] = deque()
        self._begun = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """In place of pytest's loop."""
        options = session.config.option
        if options.collectonly or options.usepdb or session.testsfailed or not session.items:
            return None
        # All that was imported stays: a full collection would go through it each time, and write
        # to pages that the processes share.
        gc.collect()
        gc.freeze()
        folders: Any = session.config._tmp_path_factory  # type: ignore[attr-defined]
        folders.getbasetemp()
        self._session = session
        self._plan = Plan([item.path for item in session.items], self._processes)
        for _ in range(min(self._processes, len(session.items))):
            self._begin()
        try:
            while self._hands:
                for pipe in wait(list(self._hands)):
                    assert isinstance(pipe, Connection)
                    self._hear(self._hands[pipe])
        finally:
            # Interrupted: they take down what they have set up, as nobody is left to hear them.
            for hand in self._hands.values():
                hand.pipe.close()
            for hand in self._hands.values():
                hand.process.join()
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        return True

    def _begin(self) -> None:
        hand = _Hand(self._begun, self._session, self._hands)
        self._begun += 1
        self._hands[hand.pipe] = hand

    def _next(self) -> Sequence[int]:
        if self._session.shouldfail or self._session.shouldstop:
            return []
        return [self._lost.popleft()] if self._lost else list(self._plan.take())

    def _hear(self, hand: _Hand) -> None:
        try:
            kind, value = hand.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._over(hand)
            return
        hook = self._config.hook
        if kind == "wants":
            taken = self._next()
            hand.given.extend(taken)
            hand.pipe.send(taken)
        elif kind == "report":
            report = hook.pytest_report_from_serializable(config=self._config, data=value)
            hook.pytest_runtest_logreport(report=report)
        elif kind == "warning":
            hook.pytest_warning_recorded.call_historic(kwargs=value)
        elif kind == "broke":
            hand.said = value
        else:
            item = self._session.items[hand.given[0]]
            hand.runs = kind == "starts"
            if hand.runs:
                hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            else:
                hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
                hand.given.popleft()

    def _over(self, hand: _Hand) -> None:
        """It has ended: well, once it was told that nothing is left, or in the middle of a test."""
        del self._hands[hand.pipe]
        hand.process.join()
        code = hand.process.exitcode
        if code == 0 and not hand.given:
            return
        what = f"a process that runs tests ended with status {code}\n{hand.said}"
        if not hand.runs:
            raise RuntimeError(what)
        item = self._session.items[hand.given.popleft()]
        report = pytest.TestReport(item.nodeid, item.location, {}, "failed", what, "call")
        self._config.hook.pytest_runtest_logreport(report=report)
        # What else it had been given is for the one that takes its place.
        self._lost.extend(hand.given)
        self._begin()


def _work(
    session: pytest.Session, pipe: Connection, ours: Iterable[Connection], number: int
) -> None:
    """What a forked process does: run what it is given, until nothing comes."""
    for other in ours:
        other.close()
    config = session.config
    _be_of_its_own(config, number)
    config.pluginmanager.register(_Home(config, pipe))
    given: deque[int] = deque()
    more = True
    try:
        while True:
            # The next one must be known before one is run: it says what may stay set up.
            while more and len(given) < 2:
                pipe.send(("wants", None))
                taken = pipe.recv()
                given.extend(taken)
                more = bool(taken)
            if not given:
                return
            item = session.items[given.popleft()]
            following = session.items[given[0]] if given else None
            pipe.send(("starts", None))
            config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            pipe.send(("ended", None))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        session._setupstate.teardown_exact(None)
    except Exception:
        pipe.send(("broke", traceback.format_exc()))
        raise


def _be_of_its_own(config: pytest.Config, number: int) -> None:
    # The fork server that tests start would import pytest's command as its main module.
    sys.modules["__main__"] = types.ModuleType("__main__")
    # Captured text lies in files, and forked processes would share their places in them.
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
    terminal._tw._file = open(os.devnull, "w")  # noqa: SIM115, PTH123
    folders: Any = config._tmp_path_factory  # type: ignore[attr-defined]
    folders._basetemp = folders.getbasetemp() / f"process-{number}"
    folders._basetemp.mkdir()


class _Home:
    """Sends what a forked process has to say."""

    def __init__(self, config: pytest.Config, pipe: Connection) -> None:
        self._config = config
        self._pipe = pipe
        self._runs = False

    def pytest_runtest_logstart(self) -> None:
        """From here on: what was said before the fork is told to each plugin that comes."""
        self._runs = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._pipe.send(("report", data))

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: object
    ) -> None:
        if not self._runs:
            return
        bare = warnings.WarningMessage(
            message=str(warning_message.message),
            category=warning_message.category,
            filename=warning_message.filename,
            lineno=warning_message.lineno,
        )
        said = {"when": when, "nodeid": nodeid, "location": location, "warning_message": bare}
        self._pipe.send(("warning", said))
