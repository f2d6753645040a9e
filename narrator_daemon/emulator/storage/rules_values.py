"""What the operators, functions and methods of storage rules do with values.

Source: https://firebase.google.com/docs/reference/rules/rules
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from narrator_daemon.emulator.database.rules_regex import Regex, RegexError

#: What the linear matcher takes to mean the same as RE2 does.
_PLAIN = re.compile(r"(?:[^\\(]|\\[dwsDWS]|\\[^A-Za-z0-9]|\((?!\?))*\Z", re.DOTALL)
_NOT_RE2 = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]")
_UNITS = {"w": 604_800.0, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "ns": 1e-9}


class EvaluationError(Exception):
    """A condition that met a value it cannot work with; it does not hold."""


class PathValue(tuple[str, ...]):
    """A path, such as a request's, or what ``{name=**}`` stands for."""

    __slots__ = ()


def type_of(value: Any) -> str:
    """The name of a value's type, as ``is`` takes it."""
    if value is None:
        return "null"
    for kind, name in _TYPES:
        if isinstance(value, kind):
            return name
    raise EvaluationError("a value of no type")


_TYPES: tuple[tuple[Any, str], ...] = (
    (bool, "bool"),
    (int, "int"),
    (float, "float"),
    (str, "string"),
    (PathValue, "path"),
    (list, "list"),
    (frozenset, "set"),
    (Mapping, "map"),
    (datetime, "timestamp"),
    (timedelta, "duration"),
)
#: What may stand after ``is``.
TYPE_NAMES = frozenset(name for _, name in _TYPES) | {"number", "bytes", "latlng"}


def is_of(value: Any, kind: str) -> bool:
    """``value is kind``."""
    found = type_of(value)
    return found == kind or (kind == "number" and found in ("int", "float"))


def boolean(value: Any) -> bool:
    """A value that must be true or false."""
    if not isinstance(value, bool):
        raise EvaluationError("not a boolean")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise EvaluationError("not a number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise EvaluationError("not a string")
    return value


def equal(a: Any, b: Any) -> bool:
    """``a == b``; values of different types are different."""
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    return bool(a == b)


def compare(a: Any, b: Any) -> int:
    """The sign of ``a - b``.

    Raises:
        EvaluationError: the two have no order.
    """
    kinds = (type_of(a), type_of(b))
    if kinds[0] != kinds[1] or kinds[0] not in ("string", "timestamp", "duration"):
        _number(a)
        _number(b)
    return int(a > b) - int(a < b)


def contains(needle: Any, hay: Any) -> bool:
    """``needle in hay``."""
    if isinstance(hay, Mapping):
        return isinstance(needle, str) and needle in hay
    if isinstance(hay, (list, frozenset)):
        return any(equal(needle, one) for one in hay)
    raise EvaluationError("`in` takes a list, a set or a map")


_ADDABLE = {
    ("string", "string"),
    ("list", "list"),
    ("timestamp", "duration"),
    ("duration", "duration"),
}
_SUBTRACTABLE = {("timestamp", "duration"), ("timestamp", "timestamp"), ("duration", "duration")}


def add(a: Any, b: Any) -> Any:
    """``a + b``."""
    if (type_of(a), type_of(b)) in _ADDABLE:
        return a + b
    return _number(a) + _number(b)


def subtract(a: Any, b: Any) -> Any:
    """``a - b``."""
    if (type_of(a), type_of(b)) in _SUBTRACTABLE:
        return a - b
    return _number(a) - _number(b)


def _divide(a: Any, b: Any) -> Any:
    if _number(b) == 0:
        raise EvaluationError("division by zero")
    if isinstance(a, int) and isinstance(b, int):
        return int(math.copysign(1, a * b)) * (abs(a) // abs(b))
    return _number(a) / b


def _remainder(a: Any, b: Any) -> Any:
    if _number(b) == 0:
        raise EvaluationError("division by zero")
    return (
        math.fmod(_number(a), b)
        if isinstance(a, float) or isinstance(b, float)
        else (int(math.copysign(1, a)) * (abs(_number(a)) % abs(b)))
    )


#: Binary operators but for those that look at one side first.
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": equal,
    "!=": lambda a, b: not equal(a, b),
    "<": lambda a, b: compare(a, b) < 0,
    "<=": lambda a, b: compare(a, b) <= 0,
    ">": lambda a, b: compare(a, b) > 0,
    ">=": lambda a, b: compare(a, b) >= 0,
    "in": contains,
    "+": add,
    "-": subtract,
    "*": lambda a, b: _number(a) * _number(b),
    "/": _divide,
    "%": _remainder,
}


def negative(value: Any) -> Any:
    """``-value``."""
    return -value if isinstance(value, timedelta) else -_number(value)


def member(value: Any, name: str) -> Any:
    """``value.name``.

    Raises:
        EvaluationError: there is none.
    """
    if isinstance(value, Mapping) and name in value:
        return value[name]
    raise EvaluationError(f"no member {name}")


def item(value: Any, key: Any) -> Any:
    """``value[key]``.

    Raises:
        EvaluationError: there is none.
    """
    if isinstance(value, Mapping):
        return member(value, _text(key))
    if isinstance(value, (list, str, PathValue)) and isinstance(key, int):
        if isinstance(key, bool) or not 0 <= key < len(value):
            raise EvaluationError("no such index")
        return value[key]
    raise EvaluationError("no such index")


def whole_match(pattern: str) -> Callable[[str], bool]:
    """Whether a pattern matches a whole text.

    Raises:
        EvaluationError: it is none that RE2 knows.
    """
    core = pattern.removeprefix("^")
    core = core.removesuffix("$") if not core.endswith("\\$") else core
    if _PLAIN.match(core):
        try:
            return Regex(f"^({core})$" if core else "^.{0}$").found_in
        except RegexError:
            # Something that RE2 knows and this doesn't.
            pass
    if _NOT_RE2.search(pattern):
        raise EvaluationError("a pattern that RE2 does not know")
    try:
        compiled = re.compile(pattern)
    except re.error:
        raise EvaluationError("not a pattern") from None
    return lambda text: compiled.fullmatch(text) is not None


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(_text(text))
    except re.error:
        raise EvaluationError("not a pattern") from None


def _get(value: Mapping[str, Any], key: Any, default: Any) -> Any:
    keys = key if isinstance(key, list) else [key]
    for part in keys:
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def _has_all(value: Any, others: Any) -> bool:
    return all(contains(other, value) for other in others)


_COLLECTION: dict[str, tuple[Callable[..., Any], int]] = {
    "size": (len, 0),
    "hasAny": (lambda v, others: any(contains(other, v) for other in others), 1),
    "hasAll": (_has_all, 1),
    "hasOnly": (lambda v, others: all(contains(own, others) for own in v), 1),
}
#: What each type can do: the function, and how many arguments it takes.
METHODS: dict[str, dict[str, tuple[Callable[..., Any], int]]] = {
    "string": {
        "size": (len, 0),
        "matches": (lambda s, pattern: whole_match(_text(pattern))(s), 1),
        "split": (lambda s, pattern: _pattern(pattern).split(s), 1),
        "replace": (lambda s, pattern, by: _pattern(pattern).sub(lambda _: _text(by), s), 2),
        "lower": (str.lower, 0),
        "upper": (str.upper, 0),
        "trim": (str.strip, 0),
    },
    "list": {
        **_COLLECTION,
        "join": (lambda v, by: _text(by).join(map(_text, v)), 1),
        "concat": (lambda v, other: v + other, 1),
        "removeAll": (lambda v, others: [own for own in v if not contains(own, others)], 1),
        "toSet": (frozenset, 0),
    },
    "set": {
        **_COLLECTION,
        "union": (frozenset.union, 1),
        "intersection": (frozenset.intersection, 1),
        "difference": (frozenset.difference, 1),
    },
    "map": {
        "size": (len, 0),
        "keys": (lambda v: frozenset(v), 0),
        "values": (lambda v: list(v.values()), 0),
        "get": (_get, 2),
    },
    "path": {"size": (len, 0)},
    "timestamp": {
        "toMillis": (lambda t: int(t.timestamp() * 1000), 0),
        "seconds": (lambda t: t.second, 0),
        "minutes": (lambda t: t.minute, 0),
        "hours": (lambda t: t.hour, 0),
        "day": (lambda t: t.day, 0),
        "month": (lambda t: t.month, 0),
        "year": (lambda t: t.year, 0),
        "dayOfWeek": (lambda t: t.isoweekday(), 0),
        "dayOfYear": (lambda t: t.timetuple().tm_yday, 0),
        "date": (lambda t: datetime(t.year, t.month, t.day, tzinfo=UTC), 0),
    },
    "duration": {"seconds": (lambda d: int(d.total_seconds()), 0)},
}


def call_method(value: Any, name: str, arguments: list[Any]) -> Any:
    """``value.name(arguments)``.

    Raises:
        EvaluationError: the value has no such method, or it does not take these.
    """
    method = METHODS.get(type_of(value), {}).get(name)
    if method is None or method[1] != len(arguments):
        raise EvaluationError(f"no method {name} of that type")
    try:
        return method[0](value, *arguments)
    except (TypeError, ValueError, OverflowError, re.error):
        raise EvaluationError(f"{name} takes no such arguments") from None


def _as_text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, PathValue):
        return "/" + "/".join(value)
    return str(value)


#: Functions that stand alone, by their full name.
FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "int": (lambda value: int(_number(value) if not isinstance(value, str) else value), 1),
    "float": (lambda value: float(_number(value) if not isinstance(value, str) else value), 1),
    "string": (_as_text, 1),
    "debug": (lambda value: value, 1),
    "math.abs": (lambda value: abs(_number(value)), 1),
    "math.ceil": (lambda value: math.ceil(_number(value)), 1),
    "math.floor": (lambda value: math.floor(_number(value)), 1),
    "math.round": (lambda value: math.floor(_number(value) + 0.5), 1),
    "math.sqrt": (lambda value: math.sqrt(_number(value)), 1),
    "math.pow": (lambda a, b: float(_number(a)) ** _number(b), 2),
    "timestamp.value": (lambda ms: datetime.fromtimestamp(_number(ms) / 1000, UTC), 1),
    "timestamp.date": (lambda y, m, d: datetime(y, m, d, tzinfo=UTC), 3),
    "duration.value": (lambda n, unit: timedelta(seconds=_number(n) * _UNITS[unit]), 2),
    "duration.time": (
        lambda h, m, s, ns: timedelta(hours=h, minutes=m, seconds=s, microseconds=ns / 1000),
        4,
    ),
}


def call_function(name: str, arguments: list[Any]) -> Any:
    """A function that stands alone.

    Raises:
        EvaluationError: it does not take these arguments.
    """
    work, count = FUNCTIONS[name]
    if count != len(arguments):
        raise EvaluationError(f"{name} takes {count} arguments")
    try:
        return work(*arguments)
    except (TypeError, ValueError, KeyError, OverflowError, ZeroDivisionError, OSError):
        raise EvaluationError(f"{name} takes no such arguments") from None
