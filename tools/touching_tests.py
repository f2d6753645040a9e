"""Which tests carry out which lines of the program, for ``mutants.py``.

Each file of tests runs once, in a process of its own and under coverage.py, with the lines told
apart by test. What that gave is kept in ``build/mutants`` until the file, or what it touches, is
another.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mutations import PROGRAM, ROOT, Mutant

if TYPE_CHECKING:
    import coverage
    import pytest

KEPT = ROOT / "build" / "mutants"

#: Tests of these are asked: those of the same names below ``tests``.
ASKED = (
    "claims",
    "daemon",
    "firebase",
    "health",
    "housekeeping",
    "narration",
    "queue",
)

#: Seconds of CPU that a test may take to be asked at all.
SLOWEST = 5.0

#: Names of what starts a daemon. Tests that say one of them are not asked, nor are those that use a
#: function of their file which does: their daemons carry out most of the program, in threads that
#: are timed by the clock, or in processes whose lines are not seen.
STARTS = frozenset({"start_daemon", "start_inside", "Daemon", "Inside"})


@dataclass(frozen=True)
class Test:
    """A test, and what it touches.

    Attributes:
        name: as pytest says it, from the root.
        seconds: of CPU that it took, under coverage.
        lines: those that it carried out, by module.
        file_digest: of its file, and of all that the file's tests touch.
    """

    __test__ = False

    name: str
    seconds: float
    lines: dict[str, frozenset[int]]
    file_digest: str


class Touching:
    """Which tests touch a mutant."""

    def __init__(self, tests: Iterable[Test]) -> None:
        self._tests = sorted(tests, key=lambda test: test.seconds)

    def __len__(self) -> int:
        return len(self._tests)

    def ask(self, mutant: Mutant, seconds: float) -> list[Test]:
        """The tests that a mutant is shown to, the quickest first, as many as that time allows.

        Those of its own room come before others. What is carried out when its module is imported is
        shown to all that touch the module, or else to the tests of its room.
        """
        room = f"tests/{mutant.module.rpartition('/')[0]}/"
        first, last = mutant.lines
        wanted = frozenset(range(first, last + 1))
        found = [
            test
            for test in self._tests
            if mutant.module in test.lines
            and (mutant.at_import or wanted & test.lines[mutant.module])
        ]
        if mutant.at_import and not found:
            found = [test for test in self._tests if test.name.startswith(room)]
        found.sort(key=lambda test: not test.name.startswith(room))
        chosen: list[Test] = []
        for test in found:
            seconds -= test.seconds
            if chosen and seconds < 0:
                break
            chosen.append(test)
        return chosen


def made_once(modules: Sequence[str], jobs: int) -> Touching:
    """What the tests touch of these modules; runs those that are new.

    A test that is red while nothing is changed is told, and not asked.

    Raises:
        RuntimeError: a file of tests cannot be run.
    """
    folder = KEPT / "touching"
    folder.mkdir(parents=True, exist_ok=True)
    kept = {
        path: folder / f"{path.relative_to(ROOT).as_posix().replace('/', '.')}.json"
        for path in _files()
    }
    _run_all({path: record for path, record in kept.items() if not _is_fresh(path, record)}, jobs)
    found: list[Test] = []
    for place in kept.values():
        record = json.loads(place.read_text(encoding="utf-8"))
        for test in record["red"]:
            print(f"red without any mutant: {test}", flush=True)
        for test in record["tests"]:
            lines = {
                module: frozenset(numbers)
                for module, numbers in test["lines"].items()
                if module in modules
            }
            if lines and test["seconds"] <= SLOWEST:
                found.append(Test(test["name"], test["seconds"], lines, record["digest"]))
    return Touching(found)


def _files() -> list[Path]:
    tests = ROOT / "tests"
    folders = [tests / folder for folder in ASKED]
    found = sorted(path for folder in [tests, *folders] for path in folder.glob("test_*.py"))
    return [path for path in found if not _tests_in(path) or _tests_in(path) - _starting(path)]


def _is_fresh(path: Path, kept: Path) -> bool:
    """Whether what is kept of a file of tests is of this one."""
    if not kept.exists():
        return False
    record = json.loads(kept.read_text(encoding="utf-8"))
    return bool(record["digest"] == _digest(path, record["modules"]))


def _run_all(todo: Mapping[Path, Path], jobs: int) -> None:
    """Run files of tests, some at a time, and keep what they touch."""
    waiting, running = list(todo.items()), dict[int, Path]()
    while waiting or running:
        while waiting and len(running) < jobs:
            path, kept = waiting.pop(0)
            running[_in_child(path, kept)] = path
        child, status = os.wait()
        path = running.pop(child)
        if status != 0:
            raise RuntimeError(f"cannot be run without any mutant: pytest {path}")


def _digest(tests: Path, modules: Iterable[str]) -> str:
    """Of a file of tests, what it may import from beside it, what it touches, and who asks."""
    beside = [*tests.parent.glob("*.py"), *(ROOT / "tests").glob("*.py")]
    helpers = {path for path in beside if not path.name.startswith("test_")}
    imported = re.findall(r"^from (tests[\w.]+) import", tests.read_text("utf-8"), re.MULTILINE)
    helpers |= {ROOT / f"{name.replace('.', '/')}.py" for name in imported}
    digest = hashlib.sha256()
    for path in [
        *sorted({tests, *helpers, Path(__file__)}),
        *(PROGRAM / f"{module}.py" for module in modules),
    ]:
        digest.update(path.as_posix().encode() + b"\0")
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()


def _in_child(path: Path, kept: Path) -> int:
    """Run one in a fork of this process, whose id this gives."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = _run(path, kept)
        finally:
            os._exit(status)
    return child


def _run(path: Path, kept: Path) -> int:
    import coverage
    import pytest

    output = os.open(os.devnull, os.O_RDWR)
    os.dup2(output, 1)
    counter = coverage.Coverage(
        data_file=None, config_file=False, source_pkgs=["narrator_daemon"], messages=False
    )
    counter.start()
    watch = _Watch(counter)
    status = pytest.main(["-q", "-p", "no:cacheprovider", str(path)], plugins=[watch])
    counter.stop()
    ran = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
    if status not in ran:
        return int(status)
    data = counter.get_data()
    modules = sorted(_module(file) for file in data.measured_files())
    tests = [
        {"name": test, "seconds": round(seconds, 3), "lines": lines}
        for test, seconds, lines in _told_apart(data, watch.seconds)
        if test not in watch.red
    ]
    record = {
        "digest": _digest(path, modules),
        "modules": modules,
        "tests": tests,
        "red": sorted(watch.red),
    }
    written = kept.with_suffix(".new")
    written.write_text(json.dumps(record), encoding="utf-8")
    written.rename(kept)
    return 0


def _module(file: str) -> str:
    return Path(file).relative_to(PROGRAM).with_suffix("").as_posix()


class _Watch:
    """Says to coverage.py which test runs."""

    def __init__(self, counter: coverage.Coverage) -> None:
        self._counter = counter
        self.seconds: dict[str, float] = {}
        self.red: set[str] = set()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not _starts_a_daemon(item)]

    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        self._counter.switch_context(item.nodeid)
        self.seconds[item.nodeid] = time.process_time()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.red.add(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._counter.switch_context("")
        self.seconds[nodeid] = time.process_time() - self.seconds[nodeid]


def _starts_a_daemon(item: pytest.Item) -> bool:
    said = _starting(item.path)
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(fixtures & said) or item.name.partition("[")[0] in said


@functools.cache
def _says(path: Path) -> dict[str, set[str]]:
    """The words of each function and class of a file."""
    source = path.read_text(encoding="utf-8")
    return {
        node.name: set(re.findall(r"\w+", ast.get_source_segment(source, node) or ""))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


def _tests_in(path: Path) -> set[str]:
    """The names of the tests of a file, as far as they are functions and classes."""
    return {name for name in _says(path) if name.startswith(("test_", "Test"))}


@functools.cache
def _starting(path: Path) -> set[str]:
    """The names that start a daemon: those that all know, and those of a file's functions."""
    says = _says(path)
    found = set(STARTS)
    while more := {name for name, words in says.items() if words & found} - found:
        found |= more
    return found


def _told_apart(
    data: coverage.CoverageData, seconds: dict[str, float]
) -> Generator[tuple[str, float, dict[str, list[int]]], None, None]:
    touched: dict[str, dict[str, list[int]]] = {test: {} for test in seconds}
    for file in data.measured_files():
        module = _module(file)
        for line, tests in data.contexts_by_lineno(file).items():
            for test in tests:
                if test in touched:
                    touched[test].setdefault(module, []).append(line)
    for test, lines in touched.items():
        yield test, seconds[test], lines


if __name__ == "__main__":
    sys.exit("this is a part of tools/mutants.py")
