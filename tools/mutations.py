"""What ``mutants.py`` changes in the program: one place of one module at a time."""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "narrator_daemon"


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        module: its path below ``narrator_daemon``, without the suffix.
        place: the function, class or constant around it.
        old: what stands there.
        new: what is put in its place.
        start: where it begins, in bytes of the source.
        end: where it ends.
        line: where that is, from 1.
        lines: the first and the last line of the statement, or of its head.
        at_import: whether it is carried out when the module is imported, and not by a call.
    """

    module: str
    place: str
    old: str
    new: str
    start: int
    end: int
    line: int
    lines: tuple[int, int]
    at_import: bool

    @property
    def change(self) -> str:
        """The change in one line."""
        return " ".join(f"{self.old} → {self.new}".split())

    @property
    def name(self) -> tuple[str, str, str]:
        """What it is known by while lines move."""
        return self.module, self.place, self.change

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.place}: {self.change}"


def modules_of(rooms: list[str]) -> list[str]:
    """The modules of folders, and modules by their own paths.

    Raises:
        ValueError: there is no such folder or module.
    """
    found = []
    for room in rooms:
        folder = PROGRAM / room
        if folder.is_dir():
            found += [f"{room}/{path.stem}" for path in sorted(folder.glob("*.py"))]
        elif folder.with_suffix(".py").is_file():
            found.append(room)
        else:
            raise ValueError(f"narrator_daemon holds no {room}")
    return found


def source_of(module: str) -> Path:
    """The file of a module."""
    return PROGRAM / f"{module}.py"


def mutants_of(module: str) -> list[Mutant]:
    """All mutants of a module, in the order of their places; some may not compile."""
    source = source_of(module).read_text(encoding="utf-8")
    finder = _Finder(module, source)
    finder.visit(ast.parse(source))
    return sorted(set(finder.found), key=lambda one: (one.start, one.end, one.new))


def in_lots(mutants: Sequence[Mutant], seed: int) -> list[Mutant]:
    """Mutants as if at random, and each where it was though others come and go."""
    counts = Counter[tuple[str, str, str]]()
    lots: dict[Mutant, bytes] = {}
    for one in mutants:
        counts[one.name] += 1
        lots[one] = hashlib.sha256(repr((seed, *one.name, counts[one.name])).encode()).digest()
    return sorted(mutants, key=lambda one: lots[one])


def mutated(source: str, mutant: Mutant) -> str:
    """The source with the change made."""
    data = source.encode()
    return (data[: mutant.start] + mutant.new.encode() + data[mutant.end :]).decode()


def compiles(mutant: Mutant) -> bool:
    """Whether the changed module can be compiled at all."""
    source = source_of(mutant.module).read_text(encoding="utf-8")
    try:
        compile(mutated(source, mutant), "mutant", "exec")
    except SyntaxError:
        return False
    return True


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
        self._lines = (1, 1)
        self._calls = 0

    def visit(self, node: ast.AST) -> None:
        if not isinstance(node, ast.stmt):
            super().visit(node)
            return
        around = self._lines
        body = getattr(node, "body", None)
        last = body[0].lineno - 1 if body else node.end_lineno
        self._lines = (node.lineno, max(node.lineno, last))
        super().visit(node)
        self._lines = around

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
        at_import = not self._calls
        self.found.append(
            Mutant(self._module, place, old, new, start, end, line, self._lines, at_import)
        )

    def _operator(self, left: ast.AST, right: ast.AST, old: str, new: str) -> None:
        """The operator between two operands."""
        begin, end = self._span(left)[1], self._span(right)[0]
        between = self._bytes[begin:end].decode()
        match = re.search(rf"(?<![=<>!*/]){re.escape(old)}(?![=*/])", between)
        if match:
            self._add(begin + match.start(), begin + match.end(), new)

    def _within(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        with self._in(node.name):
            for statement in node.body:
                self.visit(statement)

    @contextmanager
    def _in(self, name: str) -> Iterator[None]:
        """Inside a function, a class, or what is assigned by an import; empty for none."""
        around = self._place
        self._place = [*around, name] if name else around
        yield
        self._place = around

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        with self._in(node.name):
            for default in [*node.args.defaults, *node.args.kw_defaults]:
                if default is not None:
                    self.visit(default)
        self._calls += 1
        self._within(node)
        self._calls -= 1

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._within(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            with self._in("" if self._calls else self._text(node.target)):
                self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        with self._in("" if self._calls else self._text(node.targets[0])):
            self.generic_visit(node)

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
