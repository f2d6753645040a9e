"""Mutation tests: change the program in one place at a time, and see whether a test goes red.

    make mutants                     a fixed sample of all rooms, a quarter of an hour
    make mutants ARGS="--all"        every mutant there is
    make mutants ARGS="--only claims/book --show"

Each mutant runs in a child of this process, which has loaded the libraries before, and which is
given the changed module in the place of the one on disk: no file is touched. The tests are those
that ``ROOMS`` names for the module, none of which starts a process.

A mutant that no test notices survives. Those that need not be noticed are listed, with why, in
``docs/design/mutants.md``; any other fails this run, and so does a sample of which less than
``LEAST_KILLED`` is noticed.
"""

from __future__ import annotations

import argparse
import ast
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
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent
KNOWN = ROOT / "docs" / "design" / "mutants.md"

#: Of all mutants, those that a test must notice.
LEAST_KILLED = 0.95

#: Seconds after which the tests of a mutant count as red: it hangs.
PATIENCE_SECONDS = 120

#: How many of each module are in the sample.
SAMPLE = 14

_BOOK = ["tests/claims/test_book.py"]
_APPLIED = [
    "tests/claims/test_applying.py",
    "tests/claims/test_lost_claims.py",
    "tests/daemon/test_beats_and_looks.py",
]
_JOB = ["tests/daemon/test_job.py"]
_LOOPS = ["tests/daemon/test_loops.py"]
_ROUNDS = ["tests/housekeeping/test_rounds.py"]
_QUEUE = ["tests/queue/test_waiting.py", "tests/queue/test_picking.py"]
_NARRATE = ["tests/narration/test_narrate.py", "tests/narration/test_wav.py"]
_WIRED = ["tests/daemon/test_assembly.py"]

#: The modules, and the quick tests that cover each.
ROOMS: dict[str, list[str]] = {
    "claims/book": _BOOK,
    "claims/outcome": _BOOK,
    "claims/claim": [*_BOOK, *_QUEUE],
    "claims/failure": _BOOK,
    "claims/claims": _APPLIED,
    "claims/work": [*_APPLIED, *_JOB],
    "claims/leases": ["tests/claims/test_own_leases.py", *_APPLIED],
    "claims/lease_watch": ["tests/claims/test_lease_watch.py"],
    "claims/history": [
        "tests/claims/test_history.py",
        "tests/claims/test_ending.py",
        *_ROUNDS,
        *_WIRED,
    ],
    "claims/ending": ["tests/claims/test_ending.py", *_JOB, "tests/daemon/test_metrics.py"],
    "queue/waiting": _QUEUE,
    "queue/picking": _QUEUE,
    "queue/requesters": ["tests/queue/test_requesters.py", *_QUEUE],
    "daemon/job": _JOB,
    "daemon/claimer": ["tests/daemon/test_claimer.py"],
    "daemon/dependencies": ["tests/daemon/test_dependencies.py", *_WIRED],
    "daemon/loops": _LOOPS,
    "daemon/announcements": _LOOPS,
    "daemon/loading": _LOOPS,
    "daemon/heart": ["tests/daemon/test_beats_and_looks.py"],
    "daemon/minder": ["tests/daemon/test_beats_and_looks.py"],
    "daemon/presence": ["tests/daemon/test_beats_and_looks.py"],
    "daemon/in_work": [
        "tests/daemon/test_claimer.py",
        "tests/daemon/test_beats_and_looks.py",
        *_WIRED,
    ],
    "daemon/gauges": ["tests/daemon/test_gauges.py", *_WIRED],
    "daemon/tally": ["tests/daemon/test_metrics.py", "tests/daemon/test_tally.py"],
    "daemon/worker": ["tests/daemon/test_worker.py"],
    "daemon/assembly": [*_WIRED, "tests/daemon/test_worker.py"],
    "housekeeping/reaper": _ROUNDS,
    "housekeeping/reconciler": _ROUNDS,
    "housekeeping/renewal": _ROUNDS,
    "housekeeping/sweep": _ROUNDS,
    "narration/narrate": [*_NARRATE, *_JOB],
    "narration/progress": ["tests/narration/test_progress.py", *_NARRATE],
    "narration/wav": _NARRATE,
    "narration/segment_store": ["tests/narration/test_segment_store.py"],
    "firebase/books": ["tests/firebase/test_answers.py"],
    "firebase/transact": ["tests/firebase/test_answers.py"],
    "firebase/answers": ["tests/firebase/test_answers.py"],
    "rounds": _LOOPS,
    "clock": ["tests/test_catalogue.py"],
    "catalogue": ["tests/test_catalogue.py"],
}


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        module: as in ``ROOMS``.
        place: the function or class around it.
        line: where it is, from 1.
        old: what stands there.
        new: what is put in its place.
        start: where it begins, in bytes of the source.
        end: where it ends.
    """

    module: str
    place: str
    line: int
    old: str
    new: str
    start: int
    end: int

    @property
    def change(self) -> str:
        """The change in one line."""
        return " ".join(f"{self.old} → {self.new}".split())

    @property
    def name(self) -> tuple[str, str, str]:
        """What it is known by while lines move."""
        return self.module, self.place, self.change


_COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Pow: ("**", "*"),
}


class _Finder(ast.NodeVisitor):
    """Finds the places of a module where it can be changed."""

    def __init__(self, module: str, source: str) -> None:
        self.found: list[Mutant] = []
        self._module = module
        self._bytes = source.encode()
        self._starts = [0]
        for line in self._bytes.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._place: list[str] = []

    def _span(self, node: ast.AST) -> tuple[int, int]:
        start = self._starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = self._starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        return start, end

    def _text(self, node: ast.AST) -> str:
        start, end = self._span(node)
        return self._bytes[start:end].decode()

    def _replace(self, node: ast.AST, new: str) -> None:
        self._add(*self._span(node), new)

    def _add(self, start: int, end: int, new: str) -> None:
        line = self._bytes[:start].count(b"\n") + 1
        old = self._bytes[start:end].decode()
        place = ".".join(self._place) or "(module)"
        self.found.append(Mutant(self._module, place, line, old, new, start, end))

    def _operator(self, left: ast.AST, right: ast.AST, old: str, new: str) -> None:
        """The operator between two operands."""
        begin, end = self._span(left)[1], self._span(right)[0]
        between = self._bytes[begin:end].decode()
        match = re.search(rf"(?<![=<>!*/]){re.escape(old)}(?![=*/])", between)
        if match:
            self._add(begin + match.start(), begin + match.end(), new)

    def _within(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        self._place.append(node.name)
        for statement in node.body:
            self.visit(statement)
        self._place.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        self._within(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._within(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for index, operator in enumerate(node.ops):
            old, new = _COMPARISONS[type(operator)]
            self._operator(operands[index], operands[index + 1], old, new)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._operator(left, right, old, new)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        change = _ARITHMETIC.get(type(node.op))
        text = isinstance(node.left, ast.JoinedStr) or isinstance(node.right, ast.JoinedStr)
        if change and not text:
            self._operator(node.left, node.right, *change)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._replace(node, self._text(node.operand))
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if self._text(node.test) != "TYPE_CHECKING":
            self._replace(node.test, f"not ({self._text(node.test)})")
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._replace(node.test, f"not ({self._text(node.test)})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value))
        elif isinstance(node.value, int | float):
            self._replace(node, f"({self._text(node)} + 1)")

    def visit_Return(self, node: ast.Return) -> None:
        value = node.value
        if value is not None and not (isinstance(value, ast.Constant) and value.value is None):
            self._replace(value, "None")
            self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return  # a docstring
        if re.match(r"(self\.)?_log\b|level\(", self._text(node)):
            return  # what is logged is for people
        if isinstance(node.value, ast.Call):
            self._replace(node, "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._replace(node, "pass")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        # What the error says is for people.
        self._replace(node, "pass")

    def visit_Break(self, node: ast.Break) -> None:
        self._replace(node, "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace(node, "break")

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
            self._replace(node.func, "max" if node.func.id == "min" else "min")
        self.generic_visit(node)


def source_of(module: str) -> Path:
    """The file of a module of ``ROOMS``."""
    return ROOT / "narrator_daemon" / f"{module}.py"


def mutants_of(module: str) -> list[Mutant]:
    """All mutants of a module, in the order of their places; those that cannot be compiled go."""
    source = source_of(module).read_text(encoding="utf-8")
    finder = _Finder(module, source)
    finder.visit(ast.parse(source))
    found = sorted(set(finder.found), key=lambda one: (one.start, one.end, one.new))
    return [one for one in found if _compiles(mutated(source, one))]


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def mutated(source: str, mutant: Mutant) -> str:
    """The source with the change made."""
    data = source.encode()
    return (data[: mutant.start] + mutant.new.encode() + data[mutant.end :]).decode()


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


def _run_tests(module: str, source: str | None) -> int:
    """Run the tests of a module in a child; its exit status, or -1 where it hung."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        if source is not None:
            name = "narrator_daemon." + module.replace("/", ".")
            sys.meta_path.insert(0, _Instead(name, source_of(module), source))
        import pytest

        quick = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--hypothesis-seed=1"]
        status = 1
        try:
            status = int(pytest.main([*quick, *ROOMS[module]]))
        finally:
            os._exit(status)
    return child


def _judge(todo: Sequence[Mutant], jobs: int) -> Iterator[tuple[Mutant, bool]]:
    """Run the tests of each; gives it and whether it survived, as they end."""
    sources = {module: source_of(module).read_text(encoding="utf-8") for module in ROOMS}
    running: dict[int, tuple[Mutant, float]] = {}
    waiting = list(reversed(todo))
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            changed = mutated(sources[mutant.module], mutant)
            running[_run_tests(mutant.module, changed)] = mutant, time.monotonic()
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            mutant, _ = running.pop(child)
            yield mutant, status == 0
            continue
        for child, (_mutant, started) in running.items():
            if time.monotonic() - started > PATIENCE_SECONDS:
                os.killpg(child, signal.SIGKILL)
        time.sleep(0.02)


def _green(modules: Sequence[str]) -> bool:
    """Whether the tests are green while nothing is changed."""
    for tests in {tuple(ROOMS[module]) for module in modules}:
        module = next(name for name in modules if tuple(ROOMS[name]) == tests)
        _, status = os.waitpid(_run_tests(module, None), 0)
        if status != 0:
            print(f"red without any mutant: pytest {' '.join(tests)}", file=sys.stderr)
            return False
    return True


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
        "structlog",
        "numpy",
        "scipy.signal",
        "firebase_admin.db",
        "google.cloud.storage",
        "pydantic",
        "tenacity",
        "prometheus_client",
        "promql_parser",
        "typer",
        "rich.console",
        "aiohttp",
        "watermark",
        "csm.text",
        "csm.mastering.mastering",
    ):
        importlib.import_module(name)


def main() -> int:
    """Run; 0 where enough are noticed and every survivor is a known one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--all", action="store_true", help="every mutant, and not a sample")
    parser.add_argument("--only", nargs="+", default=list(ROOMS), metavar="MODULE")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="of each module")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--show", action="store_true", help="each mutant as it is judged")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there")
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.chdir(ROOT)
    todo: list[Mutant] = []
    totals: Counter[str] = Counter()
    for module in chosen.only:
        found = mutants_of(module)
        totals[module] = len(found)
        if not chosen.all:
            pick = random.Random(f"{chosen.seed} {module}")  # noqa: S311
            found = sorted(
                pick.sample(found, min(chosen.sample, len(found))), key=lambda one: one.start
            )
        todo += found
    _load_libraries()
    if not _green(chosen.only):
        return 2
    started = time.monotonic()
    survived: list[Mutant] = []
    for mutant, lives in _judge(todo, chosen.jobs):
        if lives:
            survived.append(mutant)
        if lives or chosen.show:
            state = "SURVIVED" if lives else "killed"
            print(f"{state:8} {mutant.module}:{mutant.line} {mutant.place}: {mutant.change}")
            sys.stdout.flush()
    return _tell(todo, survived, totals, time.monotonic() - started, chosen.json)


def _tell(
    todo: Sequence[Mutant],
    survived: Sequence[Mutant],
    totals: Counter[str],
    seconds: float,
    file: Path | None,
) -> int:
    tried, lived = Counter(one.module for one in todo), Counter(one.module for one in survived)
    print(f"\n{'module':26} {'there are':>9} {'tried':>6} {'killed':>7}")
    for module in tried:
        killed = tried[module] - lived[module]
        print(f"{module:26} {totals[module]:9} {tried[module]:6} {killed:7}")
    share = 1 - len(survived) / len(todo)
    known = known_survivors()
    unknown = [one for one in survived if one.name not in known]
    print(
        f"{len(todo)} mutants of {totals.total()}, {len(todo) - len(survived)} killed "
        f"({share:.1%}), {len(survived) - len(unknown)} of {len(survived)} survivors explained, "
        f"{seconds:.0f} s"
    )
    for one in unknown:
        print(f"not explained: | `{one.module}` | `{one.place}` | `{one.change}` | … |")
    if file is not None:
        record = {"tried": tried, "survived": [asdict(one) for one in survived]}
        file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0 if share >= LEAST_KILLED and not unknown else 1


if __name__ == "__main__":
    sys.exit(main())
