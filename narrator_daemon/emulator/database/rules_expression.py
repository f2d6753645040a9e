"""The expression language of security rules, compiled to Python functions.

Source: https://firebase.google.com/docs/reference/security/database
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from narrator_daemon.emulator.database.rules_data import Snapshot

Scope: TypeAlias = Mapping[str, Any]
Compiled: TypeAlias = Callable[[Scope], Any]

VARIABLES = frozenset({"auth", "now", "root", "data", "newData", "query"})


class RuleSyntaxError(ValueError):
    """A rule that is no expression; the text says why."""


class RuleEvaluationError(Exception):
    """A rule that met a value it cannot work with; the rule counts as false."""


class _Object:
    """What ``val()`` gives for a node with children: equal to nothing."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return False


_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_$][A-Za-z0-9_$]*)"
    r"|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<operator>===|!==|==|!=|<=|>=|&&|\|\||[-+*/%<>!?:().,\[\]])"
    r"|(?P<end>$))",
    re.DOTALL,
)
_REGEX = re.compile(r"/((?:[^/\\\[]|\\.|\[(?:[^\]\\]|\\.)*\])+)/(i?)")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}


def compile_rule(source: str, wildcards: Iterable[str] = ()) -> Compiled:
    """An expression as a function of its variables.

    Args:
        source: the rule's text.
        wildcards: the ``$`` variables known where the rule stands.

    Raises:
        RuleSyntaxError: it is no valid expression.
    """
    return _Parser(source, VARIABLES.union(wildcards)).parse()


def _unescape(body: str) -> str:
    def replace(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) > 1:
            return chr(int(code[1:], 16))
        return _ESCAPES.get(code, code)

    return _ESCAPE.sub(replace, body)


def _compile_regex(body: str, flags: str) -> re.Pattern[str]:
    # Python's $ also matches before a last line break; in the rules it is the end alone.
    parts = re.split(r"(\\.|\[(?:[^\]\\]|\\.)*\])", body, flags=re.DOTALL)
    body = "".join(part if i % 2 else part.replace("$", r"\Z") for i, part in enumerate(parts))
    try:
        return re.compile(body, re.ASCII | (re.IGNORECASE if flags else 0))
    except re.error as error:
        raise RuleSyntaxError(f"Invalid regular expression: {error}.") from None


class _Parser:
    """Recursive descent, one method for each level of precedence."""

    def __init__(self, source: str, variables: frozenset[str]) -> None:
        self._source = source
        self._variables = variables
        self._position = 0
        self._kind = self._text = ""
        self._advance()

    def parse(self) -> Compiled:
        rule = self._ternary()
        if self._kind != "end":
            raise self._error()
        return rule

    def _error(self) -> RuleSyntaxError:
        found = self._text or "end of the rule"
        return RuleSyntaxError(f"Unexpected '{found}' at character {self._start + 1}.")

    def _advance(self) -> None:
        match = _TOKEN.match(self._source, self._position)
        if match is None or match.lastgroup is None:
            bad = self._source[self._position :].lstrip()[:1]
            raise RuleSyntaxError(f"Unexpected '{bad}' at character {self._position + 1}.")
        self._kind, self._text = match.lastgroup, match[match.lastgroup]
        self._start, self._position = match.start(match.lastgroup), match.end()

    def _take(self, *texts: str) -> str | None:
        if self._kind == "operator" and self._text in texts:
            text = self._text
            self._advance()
            return text
        return None

    def _expect(self, text: str) -> None:
        if self._take(text) is None:
            raise self._error()

    def _ternary(self) -> Compiled:
        condition = self._binary(0)
        if self._take("?") is None:
            return condition
        yes = self._ternary()
        self._expect(":")
        no = self._ternary()
        return lambda scope: yes(scope) if _boolean(condition(scope)) else no(scope)

    def _binary(self, level: int) -> Compiled:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while (operator := self._take(*_LEVELS[level])) is not None:
            left = _join(operator, left, self._binary(level + 1))
        return left

    def _unary(self) -> Compiled:
        if self._take("!"):
            operand = self._unary()
            return lambda scope: not _boolean(operand(scope))
        if self._take("-"):
            operand = self._unary()
            return lambda scope: -_number(operand(scope))
        return self._postfix()

    def _postfix(self) -> Compiled:
        value = self._primary()
        while True:
            if self._take("."):
                name = self._text
                if self._kind != "name":
                    raise self._error()
                self._advance()
                if self._kind == "operator" and self._text == "(":
                    value = self._call(value, name)
                else:
                    value = _property(value, _constant(name))
            elif self._take("["):
                value = _property(value, self._ternary())
                self._expect("]")
            else:
                return value

    def _call(self, receiver: Compiled, name: str) -> Compiled:
        if name not in _METHODS:
            raise RuleSyntaxError(f"No such method/property '{name}'.")
        arguments: list[Compiled] = []
        if name == "matches":
            arguments.append(self._regex())
        else:
            self._expect("(")
            while not self._take(")"):
                arguments.append(self._ternary())
                if not self._take(",") and self._text != ")":
                    raise self._error()
        method, least, most = _METHODS[name]
        if not least <= len(arguments) <= most:
            raise RuleSyntaxError(f"Wrong number of arguments for '{name}'.")
        return lambda scope: method(receiver(scope), *(a(scope) for a in arguments))

    def _regex(self) -> Compiled:
        start = (
            self._position
            + len(self._source[self._position :])
            - len(self._source[self._position :].lstrip())
        )
        match = _REGEX.match(self._source, start)
        if match is None:
            raise RuleSyntaxError("The argument of 'matches' must be a regular expression literal.")
        pattern = _compile_regex(match[1], match[2])
        self._position = match.end()
        self._advance()
        self._expect(")")
        return _constant(pattern)

    def _primary(self) -> Compiled:
        kind, text = self._kind, self._text
        if kind == "number":
            self._advance()
            number = float(text)
            return _constant(int(number) if number.is_integer() else number)
        if kind == "string":
            self._advance()
            return _constant(_unescape(text[1:-1]))
        if kind == "name":
            self._advance()
            if text in _CONSTANTS:
                return _constant(_CONSTANTS[text])
            if text not in self._variables:
                raise RuleSyntaxError(f"Unknown variable '{text}'.")
            return lambda scope: scope[text]
        if self._take("("):
            inner = self._ternary()
            self._expect(")")
            return inner
        if self._take("["):
            items: list[Compiled] = []
            while not self._take("]"):
                items.append(self._ternary())
                if not self._take(",") and self._text != "]":
                    raise self._error()
            return lambda scope: [item(scope) for item in items]
        raise self._error()


_CONSTANTS = {"true": True, "false": False, "null": None}
_LEVELS = (
    ("||",),
    ("&&",),
    ("==", "!=", "===", "!=="),
    ("<", "<=", ">", ">="),
    ("+", "-"),
    ("*", "/", "%"),
)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise RuleEvaluationError("not a boolean")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RuleEvaluationError("not a number")
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise RuleEvaluationError("not a string")
    return value


def _snapshot(value: Any) -> Snapshot:
    if not isinstance(value, Snapshot):
        raise RuleEvaluationError("not a snapshot")
    return value


def _equal(a: Any, b: Any) -> bool:
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _compare(a: Any, b: Any, test: Callable[[Any, Any], bool]) -> bool:
    if isinstance(a, str) and isinstance(b, str):
        return test(a, b)
    return test(_number(a), _number(b))


def _add(a: Any, b: Any) -> Any:
    if isinstance(a, str) or isinstance(b, str):
        return _as_text(a) + _as_text(b)
    return _number(a) + _number(b)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(_number(value))


def _divide(a: Any, b: Any) -> Any:
    if _number(b) == 0:
        raise RuleEvaluationError("division by zero")
    return _number(a) / b


def _remainder(a: Any, b: Any) -> Any:
    if _number(b) == 0:
        raise RuleEvaluationError("division by zero")
    rest = abs(_number(a)) % abs(b)
    return -rest if a < 0 else rest


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": _equal,
    "===": _equal,
    "!=": lambda a, b: not _equal(a, b),
    "!==": lambda a, b: not _equal(a, b),
    "<": lambda a, b: _compare(a, b, lambda x, y: x < y),
    "<=": lambda a, b: _compare(a, b, lambda x, y: x <= y),
    ">": lambda a, b: _compare(a, b, lambda x, y: x > y),
    ">=": lambda a, b: _compare(a, b, lambda x, y: x >= y),
    "+": _add,
    "-": lambda a, b: _number(a) - _number(b),
    "*": lambda a, b: _number(a) * _number(b),
    "/": _divide,
    "%": _remainder,
}


def _join(operator: str, left: Compiled, right: Compiled) -> Compiled:
    if operator == "&&":
        return lambda scope: _boolean(left(scope)) and _boolean(right(scope))
    if operator == "||":
        return lambda scope: _boolean(left(scope)) or _boolean(right(scope))
    work = _OPERATORS[operator]
    return lambda scope: work(left(scope), right(scope))


def _constant(value: Any) -> Compiled:
    return lambda _: value


def _property(receiver: Compiled, name: Compiled) -> Compiled:
    def look(scope: Scope) -> Any:
        value, key = receiver(scope), name(scope)
        if isinstance(value, str) and key == "length":
            return len(value)
        if value is None:
            return None
        if not isinstance(value, Mapping) or not isinstance(key, str):
            raise RuleEvaluationError(f"no property {key}")
        return value.get(key)

    return look


def _val(snapshot: Snapshot) -> Any:
    node = _snapshot(snapshot).node
    return _Object() if node.has_children else node.leaf


def _parent(snapshot: Snapshot) -> Snapshot:
    if not _snapshot(snapshot).path:
        raise RuleEvaluationError("the root has no parent")
    return Snapshot(snapshot.state, snapshot.path[:-1])


def _has_children(snapshot: Snapshot, names: Sequence[str] | None = None) -> bool:
    if names is None:
        return _snapshot(snapshot).node.has_children
    if not isinstance(names, list) or not names:
        raise RuleEvaluationError("hasChildren needs names")
    return all(_snapshot(snapshot).child(_string(name)).node.exists for name in names)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


#: name: (function of the receiver and its arguments, least and most arguments)
_METHODS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "val": (_val, 0, 0),
    "child": (lambda s, path: _snapshot(s).child(_string(path)), 1, 1),
    "parent": (_parent, 0, 0),
    "hasChild": (lambda s, path: _snapshot(s).child(_string(path)).node.exists, 1, 1),
    "hasChildren": (_has_children, 0, 1),
    "exists": (lambda s: _snapshot(s).node.exists, 0, 0),
    "getPriority": (lambda s: _snapshot(s).node.priority, 0, 0),
    "isNumber": (lambda s: _is_number(_snapshot(s).node.leaf), 0, 0),
    "isString": (lambda s: isinstance(_snapshot(s).node.leaf, str), 0, 0),
    "isBoolean": (lambda s: isinstance(_snapshot(s).node.leaf, bool), 0, 0),
    "contains": (lambda s, part: _string(part) in _string(s), 1, 1),
    "beginsWith": (lambda s, part: _string(s).startswith(_string(part)), 1, 1),
    "endsWith": (lambda s, part: _string(s).endswith(_string(part)), 1, 1),
    "replace": (lambda s, old, new: _string(s).replace(_string(old), _string(new)), 2, 2),
    "toLowerCase": (lambda s: _string(s).lower(), 0, 0),
    "toUpperCase": (lambda s: _string(s).upper(), 0, 0),
    "matches": (lambda s, pattern: pattern.search(_string(s)) is not None, 1, 1),
}
