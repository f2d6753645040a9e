"""Mutation tests: change the program in one place at a time, and see whether a test goes red.

    make mutants                     a fixed sample of all rooms
    make mutants ARGS="--all"        every mutant there is
    make mutants ARGS="--only claims daemon/job --show"

Each mutant is shown to the tests that carry out the changed line (``touching_tests.py``), the
quickest first, until one goes red. It lives in a fork of a process in which pytest has collected
the tests, and which is given the code of the changed function in the place of its own; where what
is changed is carried out by the import of its module, in a fork of one that has loaded the
libraries alone, and imports the module from memory. No file is touched. Verdicts are kept in
``build/mutants`` until what they rest on changes (``mutant_verdicts.py``), so that a run that was
stopped goes on where it was.

A mutant that no test notices survives. Those that need not be noticed are listed, with why, in
``docs/design/mutants.md``; any other fails this run, and so does a sample of which less than
``LEAST_KILLED`` is noticed, the listed ones apart.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import IO, TYPE_CHECKING, TypeAlias

import touching_tests
from mutant_verdicts import Verdict, Verdicts
from mutations import (
    ROOT,
    Mutant,
    compiles,
    in_lots,
    modules_of,
    mutants_of,
    mutated,
    source_of,
)
from touching_tests import Test

import build_page

if TYPE_CHECKING:
    import pytest

KNOWN = ROOT / "docs" / "design" / "mutants.md"

#: What is changed, unless told otherwise.
ROOMS = ["claims", "queue", "daemon", "narration", "housekeeping", "firebase"]

#: Of all mutants but those that may survive, the share that a test must notice.
LEAST_KILLED = 0.95

#: How many of each room are in the sample.
SAMPLE = 50

#: Seconds of CPU of tests, as they took under coverage, that a mutant is shown to at most.
SHOWN_SECONDS = 60.0

#: Seconds after which a mutant's tests count as red: it hangs.
PATIENCE_SECONDS = 60.0

#: What the list says of a place whose numbers are choices.
ANOTHER_NUMBER = "another number"

#: The exit status of a child that found nothing to change.
UNCHANGED = 99


class _Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module from memory."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, str(self._path), "exec"), module.__dict__)  # noqa: S102


class _Only:
    """Of the files that are collected, the tests that a mutant is shown to, in their order."""

    def __init__(self, tests: Sequence[Test], begins: Begins) -> None:
        self._order = {test.name: index for index, test in enumerate(tests)}
        self._begins = begins

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._begins(nodeid)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._order),
            key=lambda item: self._order[item.nodeid],
        )

    def pytest_sessionstart(self) -> None:
        _settle_hypothesis()


def _settle_hypothesis() -> None:
    """The first counterexample will do, and none is for later runs of the tests."""
    import hypothesis

    ours = hypothesis.settings.get_profile("ours")
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutants", ours, database=None, phases=phases)
    hypothesis.settings.load_profile("mutants")


class _Swapped:
    """Collects the tests, and shows them what is changed in the body of a function."""

    def __init__(
        self, todo: Sequence[Mutant], tests_of: Callable[[Mutant], Sequence[Test]], judge: Judge
    ) -> None:
        self._todo = todo
        self._tests_of = tests_of
        self._judge = judge

    def run(self) -> None:
        """Judge each mutant."""
        import pytest

        files = dict.fromkeys(
            test.name.partition("::")[0] for one in self._todo for test in self._tests_of(one)
        )
        if files:
            quick = ["-q", "-s", "--no-summary", "--no-header", "-p", "no:cacheprovider"]
            pytest.main([*quick, "--hypothesis-seed=1", *files], plugins=[self])

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        _settle_hypothesis()
        # Made once, and not by each child.
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        functions: dict[str, list[FunctionType]] = {}
        for one in gc.get_objects():
            if isinstance(one, FunctionType):
                functions.setdefault(one.__code__.co_filename, []).append(one)
        gc.freeze()

        def show(mutant: Mutant, tests: Sequence[Test], begins: Begins) -> int:
            _swap(mutant, functions.get(str(source_of(mutant.module)), []))
            return _first_red([items[test.name] for test in tests if test.name in items], begins)

        self._judge(self._todo, show)
        return True


def _swap(mutant: Mutant, functions: Sequence[FunctionType]) -> None:
    """Give the functions of a module the code of the changed one.

    Raises:
        LookupError: it does not change any of them.
    """
    path = source_of(mutant.module)
    before = path.read_text(encoding="utf-8")
    source = mutated(before, mutant)
    # A change may take lines away, and all that follows moves up.
    moved = source.count("\n") - before.count("\n")
    codes: dict[tuple[str, int], CodeType] = {}
    waiting = [compile(source, str(path), "exec", dont_inherit=True)]
    while waiting:
        inner = [one for one in waiting.pop().co_consts if isinstance(one, CodeType)]
        codes |= {(one.co_qualname, one.co_firstlineno): one for one in inner}
        waiting += inner
    swapped = 0
    for function in functions:
        old = function.__code__
        after = moved if old.co_firstlineno > mutant.line else 0
        new = codes.get((old.co_qualname, old.co_firstlineno + after))
        if new is not None and new != old:
            function.__code__ = new
            swapped += 1
    if not swapped:
        raise LookupError(f"nothing to change for {mutant}")


def _first_red(items: Sequence[pytest.Item], begins: Begins) -> int:
    """Run these until one is red: 1 where one was."""
    from _pytest.runner import runtestprotocol

    for item, following in zip(items, [*items[1:], None], strict=True):
        begins(item.nodeid)
        if any(one.failed for one in runtestprotocol(item, nextitem=following, log=False)):
            return 1
    return 0


def _show_anew(mutant: Mutant, tests: Sequence[Test], begins: Begins) -> int:
    """Import the changed module from memory, and all that imports it; pytest's exit status."""
    import pytest

    name = "narrator_daemon." + mutant.module.replace("/", ".")
    path = source_of(mutant.module)
    source = mutated(path.read_text(encoding="utf-8"), mutant)
    sys.meta_path.insert(0, _Instead(name, path, source))
    files = dict.fromkeys(test.name.partition("::")[0] for test in tests)
    quick = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=1"]
    return int(pytest.main([*quick, *files], plugins=[_Only(tests, begins)]))


#: Says by name which test begins.
Begins: TypeAlias = Callable[[str], None]
Show: TypeAlias = Callable[[Mutant, Sequence[Test], Begins], int]
Judge: TypeAlias = Callable[[Sequence[Mutant], Show], None]

#: Bytes of the name of a test that are kept at most.
NAME_BYTES = 1000


@dataclass(frozen=True)
class _Child:
    """A fork of this process that shows a mutant to tests.

    Attributes:
        mutant: what is changed.
        tests: those that it is shown to.
        until: when it counts as hanging, by the monotonic clock.
        begun: holds the name of the test that began last.
    """

    mutant: Mutant
    tests: Sequence[Test]
    until: float
    begun: IO[bytes]

    def ended(self, status: int) -> Verdict:
        """What its exit status says.

        Raises:
            LookupError: it found nothing to change.
        """
        with self.begun:
            name = os.pread(self.begun.fileno(), NAME_BYTES, 0).decode(errors="replace").strip()
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == UNCHANGED:
            raise LookupError(f"nothing to change for {self.mutant}")
        return Verdict(status == 0, len(self.tests), "" if status == 0 else name)


def _started(show: Show, mutant: Mutant, tests: Sequence[Test]) -> tuple[int, _Child]:
    """Show a mutant to tests in a fork of this process, whose id this gives."""
    until = time.monotonic() + PATIENCE_SECONDS + 10 * sum(test.seconds for test in tests)
    begun = tempfile.TemporaryFile()  # noqa: SIM115

    def begins(name: str) -> None:
        os.pwrite(begun.fileno(), name.encode()[:NAME_BYTES].ljust(NAME_BYTES), 0)

    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        status = 1
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            status = show(mutant, tests, begins)
        except LookupError:
            status = UNCHANGED
        finally:
            os._exit(status)
    return child, _Child(mutant, tests, until, begun)


def _judge(
    todo: Sequence[Mutant],
    tests_of: Callable[[Mutant], Sequence[Test]],
    show: Show,
    jobs: int,
) -> Iterator[tuple[Mutant, Verdict]]:
    """Show each to its tests; gives it and what became of it, as they end."""
    running: dict[int, _Child] = {}
    waiting = list(reversed(todo))
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            if tests := tests_of(mutant):
                process, child = _started(show, mutant, tests)
                running[process] = child
            else:
                yield mutant, Verdict(True, 0)
        process, status = os.waitpid(-1, os.WNOHANG) if running else (0, 0)
        if process:
            child = running.pop(process)
            yield child.mutant, child.ended(status)
            continue
        for process, child in running.items():
            if time.monotonic() > child.until:
                os.killpg(process, signal.SIGKILL)
        time.sleep(0.01)


def known_survivors() -> set[tuple[str, str, str]]:
    """The survivors that are listed with a reason: rows of module, place, change, why.

    Where the change is ``ANOTHER_NUMBER``, each number of the place may be another one.
    """
    rows = re.findall(
        r"^\| `([^`]+)` \| `([^`]+)` \| `(.+?)` \| .+ \|$",
        KNOWN.read_text(encoding="utf-8") if KNOWN.exists() else "",
        re.MULTILINE,
    )
    return {(module, place, change.replace("\\|", "|")) for module, place, change in rows}


def _load_libraries() -> None:
    """What every child needs and no mutant changes."""
    sys.path.insert(0, str(ROOT))
    for name in (
        "pytest",
        "_pytest.assertion.rewrite",
        "hypothesis",
        "hypothesis.extra.pytestplugin",
        "anyio.pytest_plugin",
        "pytest_timeout",
        "xdist.plugin",
        "xdist.looponfail",
        "structlog",
        "numpy",
        "scipy.signal",
        "firebase_admin.db",
        "google.cloud.storage",
        "pydantic.main",
        "pydantic.types",
        "tenacity",
        "prometheus_client",
        "promql_parser",
        "typer",
        "rich.console",
        "aiohttp.web",
        "jinja2",
        "requests",
        "soundfile",
        "watermark",
        "csm.text",
        "csm.mastering.mastering",
    ):
        importlib.import_module(name)
    # The page is made already, and no mutant changes it.
    build_page.build = lambda *_: None
    # What is loaded stays: children need not look whether it is garbage.
    gc.freeze()


def main() -> int:
    """Run; 0 where enough are noticed and every survivor is a known one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--all", action="store_true", help="every mutant, and not a sample")
    parser.add_argument("--only", nargs="+", default=ROOMS, metavar="ROOM", help="or a module")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="of each room")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--show", action="store_true", help="each mutant as it is judged")
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.chdir(ROOT)
    todo: dict[str, list[Mutant]] = {}
    totals: Counter[str] = Counter()
    for room in chosen.only:
        found = [mutant for module in modules_of([room]) for mutant in mutants_of(module)]
        totals[room] = len(found)
        most = len(found) if chosen.all else chosen.sample
        found = list(islice(filter(compiles, in_lots(found, chosen.seed)), most))
        found.sort(key=lambda one: (one.module, one.start))
        todo[room] = found
    _load_libraries()
    touching = touching_tests.made_once(modules_of(chosen.only), chosen.jobs)
    verdicts = Verdicts()
    judged: dict[Mutant, Verdict] = {}
    left: list[Mutant] = []
    for mutant in [one for found in todo.values() for one in found]:
        if (verdict := verdicts.of(mutant, touching.ask(mutant, SHOWN_SECONDS))) is not None:
            judged[mutant] = verdict
        else:
            left.append(mutant)

    def tests_of(mutant: Mutant) -> list[Test]:
        return verdicts.in_order(mutant, touching.ask(mutant, SHOWN_SECONDS))

    def judge(some: Sequence[Mutant], show: Show) -> None:
        for mutant, verdict in _judge(some, tests_of, show, chosen.jobs):
            verdicts.keep(mutant, tests_of(mutant), verdict)
            judged[mutant] = verdict
            if verdict.survived:
                print(f"SURVIVED {verdict.shown} tests: {mutant}", flush=True)
            elif chosen.show:
                print(f"killed: {mutant}, by {verdict.noticed_by}", flush=True)

    judge([one for one in left if one.at_import], _show_anew)
    _Swapped([one for one in left if not one.at_import], tests_of, judge).run()
    return _tell(todo, judged, totals)


def _as_another_number(mutant: Mutant) -> tuple[str, str, str]:
    """As it is listed where a number may be another one; else as itself."""
    is_number = mutant.new == f"({mutant.old} + 1)"
    return (mutant.module, mutant.place, ANOTHER_NUMBER) if is_number else mutant.name


def _tell(
    todo: dict[str, list[Mutant]], judged: dict[Mutant, Verdict], totals: Counter[str]
) -> int:
    listed = known_survivors()
    survived = [one for found in todo.values() for one in found if judged[one].survived]
    known = {one for one in survived if one.name in listed or _as_another_number(one) in listed}
    unknown = [one for one in survived if one not in known]
    print(f"\n{'room':14} {'there are':>9} {'tried':>6} {'may survive':>12} {'killed':>7}")
    for room, found in todo.items():
        killed = sum(not judged[one].survived for one in found)
        may = sum(one in known for one in found)
        print(f"{room:14} {totals[room]:9} {len(found):6} {may:12} {killed:7}")
    counted = len(judged) - (len(survived) - len(unknown))
    killed = len(judged) - len(survived)
    share = killed / counted
    print(
        f"{killed} killed of {counted}, {share:.1%}; of all {len(judged)} that were tried "
        f"{killed / len(judged):.1%}; there are {totals.total()}"
    )
    for one in unknown:
        row = " | ".join(f"`{part}`" for part in one.name)
        print(f"not explained, {judged[one].shown} tests, line {one.line}: | {row} | … |")
    return 0 if share >= LEAST_KILLED and not unknown else 1


if __name__ == "__main__":
    sys.exit(main())
