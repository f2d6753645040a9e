"""Mutation tests: change the program in one place at a time, and see whether a test goes red.

    make mutants                     a fixed sample of all rooms
    make mutants ARGS="--all"        every mutant there is
    make mutants ARGS="--only claims daemon/job --show"

Each mutant is shown to the tests that carry out the changed line (``touching_tests.py``), the
quickest first, until one goes red. It lives in a fork of a process in which pytest has collected
the tests, and which is given the code of the changed function in the place of its own; where what
is changed is carried out by the import of its module, in a fork of one that has loaded the
libraries alone, and imports the module from memory. No file is touched. Verdicts are kept in
``build/mutants`` until the program or a test changes, so that a run that was stopped goes on where
it was.

A mutant that no test notices survives. Those that need not be noticed are listed, with why, in
``docs/design/mutants.md``; any other fails this run, and so does a sample of which less than
``LEAST_KILLED`` is noticed, the listed ones apart.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, TypeAlias

import touching_tests
from mutations import ROOT, Mutant, compiles, modules_of, mutants_of, mutated, source_of
from touching_tests import KEPT, Test, Touching

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

#: The exit status of a child that found nothing to change.
UNCHANGED = 99


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        survived: whether all tests stayed green.
        shown: how many tests it was shown to at most.
    """

    survived: bool
    shown: int


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

    def __init__(self, tests: Sequence[Test]) -> None:
        self._order = {test.name: index for index, test in enumerate(tests)}

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

    def __init__(self, todo: Sequence[Mutant], touching: Touching, judge: Judge) -> None:
        self._todo = todo
        self._touching = touching
        self._judge = judge

    def run(self, jobs: int) -> None:
        """Judge each mutant."""
        import pytest

        self._jobs = jobs
        files = dict.fromkeys(
            test.name.partition("::")[0] for one in self._todo for test in self._tests(one)
        )
        if files:
            quick = ["-q", "-s", "--no-summary", "--no-header", "-p", "no:cacheprovider"]
            pytest.main([*quick, "--hypothesis-seed=1", *files], plugins=[self])

    def _tests(self, mutant: Mutant) -> list[Test]:
        return self._touching.ask(mutant, SHOWN_SECONDS)

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

        def show(mutant: Mutant, tests: Sequence[Test]) -> int:
            _swap(mutant, functions.get(str(source_of(mutant.module)), []))
            return _first_red([items[test.name] for test in tests if test.name in items])

        self._judge(self._todo, self._tests, show, self._jobs)
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


def _first_red(items: Sequence[pytest.Item]) -> int:
    """Run these until one is red: 1 where one was."""
    from _pytest.runner import runtestprotocol

    for item, following in zip(items, [*items[1:], None], strict=True):
        if any(one.failed for one in runtestprotocol(item, nextitem=following, log=False)):
            return 1
    return 0


def _show_anew(mutant: Mutant, tests: Sequence[Test]) -> int:
    """Import the changed module from memory, and all that imports it; pytest's exit status."""
    import pytest

    name = "narrator_daemon." + mutant.module.replace("/", ".")
    path = source_of(mutant.module)
    source = mutated(path.read_text(encoding="utf-8"), mutant)
    sys.meta_path.insert(0, _Instead(name, path, source))
    files = dict.fromkeys(test.name.partition("::")[0] for test in tests)
    quick = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=1"]
    return int(pytest.main([*quick, *files], plugins=[_Only(tests)]))


Show: TypeAlias = Callable[[Mutant, Sequence[Test]], int]
Judge: TypeAlias = Callable[[Sequence[Mutant], Callable[[Mutant], Sequence[Test]], Show, int], None]


def _in_child(show: Show, mutant: Mutant, tests: Sequence[Test]) -> int:
    """Show a mutant to tests in a fork of this process, whose id this gives."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        status = 1
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            status = show(mutant, tests)
        except LookupError:
            status = UNCHANGED
        finally:
            os._exit(status)
    return child


def _judge(
    todo: Sequence[Mutant],
    tests_of: Callable[[Mutant], Sequence[Test]],
    show: Show,
    jobs: int,
) -> Iterator[tuple[Mutant, Verdict]]:
    """Show each to its tests; gives it and what became of it, as they end."""
    running: dict[int, tuple[Mutant, int, float]] = {}
    waiting = list(reversed(todo))
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            tests = tests_of(mutant)
            if not tests:
                yield mutant, Verdict(True, 0)
                continue
            until = time.monotonic() + PATIENCE_SECONDS + 10 * sum(test.seconds for test in tests)
            running[_in_child(show, mutant, tests)] = mutant, len(tests), until
        child, status = os.waitpid(-1, os.WNOHANG) if running else (0, 0)
        if child:
            mutant, shown, _ = running.pop(child)
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) == UNCHANGED:
                raise LookupError(f"nothing to change for {mutant}")
            yield mutant, Verdict(status == 0, shown)
            continue
        for child, (_mutant, _shown, until) in running.items():
            if time.monotonic() > until:
                os.killpg(child, signal.SIGKILL)
        time.sleep(0.01)


class _Verdicts:
    """Those of earlier runs, as long as program and tests are the same."""

    def __init__(self) -> None:
        files = [
            path for room in ("narrator_daemon", "tests") for path in ROOT.glob(f"{room}/**/*.py")
        ]
        digest = hashlib.sha256()
        for path in sorted(files):
            digest.update(path.as_posix().encode() + b"\0" + path.read_bytes())
        KEPT.mkdir(parents=True, exist_ok=True)
        self._path = KEPT / "verdicts.jsonl"
        self._state = digest.hexdigest()
        self._found: dict[str, Verdict] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                if record["state"] == self._state:
                    verdict = Verdict(record["survived"], record["shown"])
                    self._found[record["mutant"]] = verdict

    @staticmethod
    def _key(mutant: Mutant) -> str:
        return f"{mutant.module} {mutant.start} {mutant.end} {mutant.new}"

    def of(self, mutant: Mutant) -> Verdict | None:
        """What became of it, if it was tried."""
        return self._found.get(self._key(mutant))

    def keep(self, mutant: Mutant, verdict: Verdict) -> None:
        """For the next run."""
        record = {
            "mutant": self._key(mutant),
            "state": self._state,
            "survived": verdict.survived,
            "shown": verdict.shown,
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def known_survivors() -> set[tuple[str, str, str]]:
    """The survivors that are listed with a reason: rows of module, place, change, why."""
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
        random.Random(f"{chosen.seed} {room}").shuffle(found)  # noqa: S311
        most = len(found) if chosen.all else chosen.sample
        found = list(islice(filter(compiles, found), most))
        found.sort(key=lambda one: (one.module, one.start))
        todo[room] = found
    _load_libraries()
    touching = touching_tests.made_once(modules_of(chosen.only), chosen.show)
    verdicts = _Verdicts()
    judged: dict[Mutant, Verdict] = {}
    for mutant in [one for found in todo.values() for one in found]:
        if (verdict := verdicts.of(mutant)) is not None:
            judged[mutant] = verdict

    def judge(
        left: Sequence[Mutant],
        tests_of: Callable[[Mutant], Sequence[Test]],
        show: Show,
        jobs: int,
    ) -> None:
        for mutant, verdict in _judge(left, tests_of, show, jobs):
            verdicts.keep(mutant, verdict)
            judged[mutant] = verdict
            if verdict.survived or chosen.show:
                state = f"SURVIVED {verdict.shown} tests" if verdict.survived else "killed"
                print(f"{state}: {mutant}", flush=True)

    left = [one for found in todo.values() for one in found if one not in judged]
    at_import = [one for one in left if one.at_import]
    judge(at_import, lambda one: touching.ask(one, SHOWN_SECONDS), _show_anew, chosen.jobs)
    in_calls = [one for one in left if not one.at_import]
    _Swapped(in_calls, touching, judge).run(chosen.jobs)
    return _tell(todo, judged, totals)


def _tell(
    todo: dict[str, list[Mutant]], judged: dict[Mutant, Verdict], totals: Counter[str]
) -> int:
    known = known_survivors()
    survived = [one for found in todo.values() for one in found if judged[one].survived]
    unknown = [one for one in survived if one.name not in known]
    print(f"\n{'room':14} {'there are':>9} {'tried':>6} {'may survive':>12} {'killed':>7}")
    for room, found in todo.items():
        killed = sum(not judged[one].survived for one in found)
        may = sum(judged[one].survived and one.name in known for one in found)
        print(f"{room:14} {totals[room]:9} {len(found):6} {may:12} {killed:7}")
    counted = len(judged) - (len(survived) - len(unknown))
    killed = len(judged) - len(survived)
    share = killed / counted
    print(f"{killed} killed of {counted}, {share:.1%}; {len(judged)} tried of {totals.total()}")
    for one in unknown:
        row = " | ".join(f"`{part}`" for part in one.name)
        print(f"not explained, {judged[one].shown} tests, line {one.line}: | {row} | … |")
    return 0 if share >= LEAST_KILLED and not unknown else 1


if __name__ == "__main__":
    sys.exit(main())
