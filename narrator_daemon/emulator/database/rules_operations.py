"""What the operators and methods of security rules do with values, once a rule is evaluated.

Numbers are JavaScript's: doubles, where a division by zero is not an error. A type that an operator
cannot work with is one, and then the rule grants nothing.

Source: https://firebase.google.com/docs/reference/security/database; where that is silent, what
npm's ``targaryen`` has recorded of the service.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from narrator_daemon.emulator.database.rules_data import Snapshot
from narrator_daemon.emulator.database.rules_regex import Regex


class RuleEvaluationError(Exception):
    """A rule that met a value it cannot work with; the rule counts as false."""


class _Children:
    """What ``val()`` gives for a node with children: equal to nothing, not even to itself."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return False


def is_number(value: Any) -> bool:
    """Whether a value is a number; a boolean is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: Any) -> Any:
    if not is_number(value):
        raise RuleEvaluationError("not a number")
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise RuleEvaluationError("not a string")
    return value


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, (Mapping, list)) or isinstance(b, (Mapping, list)):
        return a is b
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _compare(a: Any, b: Any) -> int | None:
    """The sign of ``a - b``, None where one of them is no number at all."""
    if isinstance(a, str) and isinstance(b, str):
        # As the service's and the browsers' strings do: by units of UTF-16.
        left, right = _utf16(a), _utf16(b)
        return (left > right) - (left < right)
    if a is None and b is None:
        return 0
    if math.isnan(_number(a)) or math.isnan(_number(b)):
        return None
    return int(a > b) - int(a < b)


def _ordered(wanted: frozenset[int]) -> Callable[[Any, Any], bool]:
    return lambda a, b: _compare(a, b) in wanted


def _calculated(work: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def calculate(a: Any, b: Any) -> Any:
        try:
            result = work(_number(a), _number(b))
        except OverflowError:
            return math.inf if (a > 0) == (b > 0) else -math.inf
        # Beyond this, integers are doubles too.
        return float(result) if isinstance(result, int) and abs(result) > 2**53 else result

    return calculate


def _add(a: Any, b: Any) -> Any:
    if isinstance(a, str) or isinstance(b, str):
        return _as_text(a) + _as_text(b)
    return _sum(a, b)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else number_text(_number(value))


def number_text(value: float) -> str:
    """A number as JavaScript writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    mantissa, _, exponent = repr(float(value)).partition("e")
    if not exponent:
        return mantissa
    power = int(exponent)
    if -6 <= power < 0:
        sign, digits = ("-" if value < 0 else ""), mantissa.lstrip("-").replace(".", "")
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    return f"{mantissa}e{power:+d}"


def _divide(a: Any, b: Any) -> Any:
    return math.nan if b == 0 else a / b


def _remainder(a: Any, b: Any) -> Any:
    if b == 0 or math.isinf(a) or math.isnan(a) or math.isnan(b):
        return math.nan
    if isinstance(a, int) and isinstance(b, int):
        rest = abs(a) % abs(b)
        return -rest if a < 0 else rest
    return math.fmod(a, b)


_sum = _calculated(lambda a, b: a + b)

#: What an operator gives for its operands.
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": _equal,
    "===": _equal,
    "!=": lambda a, b: not _equal(a, b),
    "!==": lambda a, b: not _equal(a, b),
    "<": _ordered(frozenset({-1})),
    "<=": _ordered(frozenset({-1, 0})),
    ">": _ordered(frozenset({1})),
    ">=": _ordered(frozenset({0, 1})),
    "+": _add,
    "-": _calculated(lambda a, b: a - b),
    "*": _calculated(lambda a, b: a * b),
    "/": _calculated(_divide),
    "%": _calculated(_remainder),
}


def negative(value: Any) -> Any:
    """``-value``."""
    return -_number(value)


def look_up(value: Any, key: Any) -> Any:
    """``value.key`` and ``value[key]`` of what is no snapshot; null where there is nothing."""
    if is_number(key):
        key = number_text(key)
    if isinstance(value, Mapping):
        return value.get(key) if isinstance(key, str) else None
    if isinstance(value, (str, list)):
        if key == "length":
            return len(_utf16(value)) // 2 if isinstance(value, str) else len(value)
        if isinstance(key, str) and key.isdecimal() and key.isascii() and int(key) < len(value):
            return value[int(key)]
    return None


def look_up_query(query: Mapping[str, Any] | None, name: str) -> Any:
    """``query.name``; only a read has a query."""
    if query is None:
        raise RuleEvaluationError("a write has no query")
    return query[name]


def _val(snapshot: Snapshot) -> Any:
    node = snapshot.node
    return _Children() if node.has_children else node.leaf


def _parent(snapshot: Snapshot) -> Snapshot:
    if not snapshot.path:
        raise RuleEvaluationError("the root has no parent")
    return snapshot.parent


def _has_children(snapshot: Snapshot, names: Sequence[Any] | None = None) -> bool:
    if names is None:
        return snapshot.node.has_children
    keys = [_string(name) for name in names]
    return all(snapshot.child(key).node.exists for key in keys)


def _matches(text: str, pattern: Regex) -> bool:
    return pattern.found_in(text)


#: What the methods of a snapshot do.
SNAPSHOT_METHODS: dict[str, Callable[..., Any]] = {
    "val": _val,
    "child": lambda s, path: s.child(_string(path)),
    "parent": _parent,
    "hasChild": lambda s, path: s.child(_string(path)).node.exists,
    "hasChildren": _has_children,
    "exists": lambda s: s.node.exists,
    "getPriority": lambda s: s.node.priority,
    "isNumber": lambda s: is_number(s.node.leaf),
    "isString": lambda s: isinstance(s.node.leaf, str),
    "isBoolean": lambda s: isinstance(s.node.leaf, bool),
}

#: What the methods of a string do; each checks what it is called on.
STRING_METHODS: dict[str, Callable[..., Any]] = {
    "contains": lambda s, part: _string(part) in _string(s),
    "beginsWith": lambda s, part: _string(s).startswith(_string(part)),
    "endsWith": lambda s, part: _string(s).endswith(_string(part)),
    "replace": lambda s, old, new: _string(s).replace(_string(old), _string(new)),
    "toLowerCase": lambda s: _string(s).lower(),
    "toUpperCase": lambda s: _string(s).upper(),
    "matches": lambda s, pattern: _matches(_string(s), pattern),
}
