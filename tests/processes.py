"""Processes of the program, forked from one that has imported its libraries already.

A fresh interpreter needs more than a second of CPU for them, and tests start many. What is forked
is a process like any other: it has an environment, a working folder and files of its own, takes
signals, and dies alone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

#: What the machine is, first of all, and what a daemon has loaded once it has narrated.
_PRELOADED = ["tests.bad_machine.sitecustomize", "tests.preloaded"]

#: What of the environment Python and the loader read once, when they start.
_READ_AT_START = ("PYTHON", "LD_")
_BEFORE = dict(os.environ)

_ROOT = Path(__file__).parent.parent


def needs_fresh_interpreter(environment: Mapping[str, str]) -> bool:
    """Whether a process with this environment must not be forked: it would begin otherwise.

    Coverage counts from the start, too.
    """
    return "COVERAGE_RUN" in environment or any(
        environment.get(name) != _BEFORE.get(name)
        for name in {*environment, *_BEFORE}
        if name.startswith(_READ_AT_START)
    )


def _forks() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    # It looks for them in the folder that it is started in, and the test may be in another.
    with contextlib.chdir(_ROOT):
        forkserver.ensure_running()
    return context


class Forked:
    """A Python program in a process of its own, as far as ``subprocess.Popen`` is used for it.

    Args:
        arguments: those of ``python``: ``-m module`` or ``-c code``, and what these are given.
        env: its environment.
        output: the file that takes what it prints.
        cwd: its working folder.
        errors: the file that takes what it prints as errors, if that is another.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        output: Path,
        cwd: Path,
        errors: Path | None = None,
    ) -> None:
        files = str(output), str(errors or output)
        self._process: ForkServerProcess = _forks().Process(
            target=_run, args=(list(arguments), dict(env), files, str(cwd)), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """Its exit status, a negative signal, or None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """As ``returncode``."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not ended in so many seconds.
        """
        self._process.join(timeout)
        status = self.returncode
        if status is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Signal it, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def run(
    *arguments: str, env: Mapping[str, str], cwd: Path, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """What ``subprocess.run`` gives for ``python`` and these arguments, as text.

    Forked, unless this environment needs a fresh interpreter.

    Raises:
        subprocess.TimeoutExpired: it has not ended in so many seconds; it is killed.
    """
    if needs_fresh_interpreter(env):
        return subprocess.run(
            [sys.executable, *arguments],
            env=env, cwd=cwd, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        process = Forked(arguments, env=env, output=output, cwd=cwd, errors=errors)
        try:
            status = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(
            arguments, status, output.read_text(), errors.read_text()
        )


def _run(
    arguments: list[str], environment: dict[str, str], files: tuple[str, str], folder: str
) -> None:
    """What ``python`` does with these arguments."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, name in enumerate(files, 1):
        with open(name, "ab", buffering=0) as file:  # noqa: PTH123
            os.dup2(file.fileno(), number)
    kind, what, *rest = arguments
    sys.argv = [kind, *rest]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    exec(what, main.__dict__)  # noqa: S102
