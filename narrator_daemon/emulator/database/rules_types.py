"""The types of security rules, as they are checked when rules are deployed.

What a rule reads, from the database or from a token, has a type that nobody knows before the rule
is evaluated: `PRIMITIVE` for what a node holds, `ANY` for what a token may hold. Everything else is
known, and what cannot work is refused.

Source: https://firebase.google.com/docs/reference/security/database; where that is silent, what
npm's ``targaryen`` has recorded of the service.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

BOOLEAN, NUMBER, STRING, NULL = "boolean", "number", "string", "null"
PRIMITIVE, ANY = "primitive", "any"
SNAPSHOT, QUERY, LIST, REGEX = "RuleDataSnapshot", "Query", "array", "RegExp"

#: Types that are decided when a rule is evaluated.
UNKNOWN = frozenset({PRIMITIVE, ANY})
_PRIMITIVES = frozenset({BOOLEAN, NUMBER, STRING, NULL, PRIMITIVE})


@dataclass(frozen=True, slots=True)
class Method:
    """What a method takes and gives.

    Attributes:
        takes: the types of its arguments.
        gives: the type of its result.
        optional: whether the arguments may be left out.
    """

    takes: tuple[str, ...]
    gives: str
    optional: bool = False


Members: TypeAlias = dict[str, "str | Method"]

STRING_MEMBERS: Members = {
    "length": NUMBER,
    "contains": Method((STRING,), BOOLEAN),
    "beginsWith": Method((STRING,), BOOLEAN),
    "endsWith": Method((STRING,), BOOLEAN),
    "replace": Method((STRING, STRING), STRING),
    "toLowerCase": Method((), STRING),
    "toUpperCase": Method((), STRING),
    "matches": Method((REGEX,), BOOLEAN),
}

#: What each type has; the types that are not named have nothing.
MEMBERS: dict[str, Members] = {
    STRING: STRING_MEMBERS,
    # What a node holds can be used as a string; whether it is one shows when it is.
    PRIMITIVE: STRING_MEMBERS,
    SNAPSHOT: {
        "val": Method((), PRIMITIVE),
        "child": Method((STRING,), SNAPSHOT),
        "parent": Method((), SNAPSHOT),
        "hasChild": Method((STRING,), BOOLEAN),
        "hasChildren": Method((LIST,), BOOLEAN, optional=True),
        "exists": Method((), BOOLEAN),
        "getPriority": Method((), ANY),
        "isNumber": Method((), BOOLEAN),
        "isString": Method((), BOOLEAN),
        "isBoolean": Method((), BOOLEAN),
    },
    QUERY: {
        "orderByKey": BOOLEAN,
        "orderByPriority": BOOLEAN,
        "orderByValue": BOOLEAN,
        "orderByChild": STRING,
        "startAt": PRIMITIVE,
        "endAt": PRIMITIVE,
        "equalTo": PRIMITIVE,
        "limitToFirst": NUMBER,
        "limitToLast": NUMBER,
    },
}

_READ_VARIABLES = {"auth": ANY, "now": NUMBER, "root": SNAPSHOT, "data": SNAPSHOT, "query": QUERY}


def variables(wildcards: Iterable[str], *, writing: bool) -> dict[str, str]:
    """The variables that a rule may use, with their types.

    Args:
        wildcards: the ``$`` variables known where the rule stands.
        writing: whether it is about a write, which has ``newData``.
    """
    known = dict(_READ_VARIABLES)
    if writing:
        known["newData"] = SNAPSHOT
    return known | dict.fromkeys(wildcards, STRING)


def mistyped(operator: str, left: str, right: str) -> str | None:
    """What is wrong with the operands of an operator, None if nothing."""
    if operator in ("&&", "||"):
        return _unless(operator, left, right, {BOOLEAN}, strict=True)
    if operator == "+":
        return _unless(operator, left, right, {STRING, NUMBER})
    if operator in ("-", "*", "/", "%"):
        return _unless(operator, left, right, {NUMBER})
    if operator in ("==", "===", "!=", "!=="):
        return _unless(operator, left, right, {STRING, NUMBER, BOOLEAN, NULL})
    wrong = _unless(operator, left, right, {STRING, NUMBER, NULL})
    if wrong is None and left != right and not UNKNOWN & {left, right}:
        return f"Invalid {operator} expression: left and right operands are of different types."
    return wrong


def _unless(
    operator: str, left: str, right: str, allowed: set[str], *, strict: bool = False
) -> str | None:
    for side, found in (("left", left), ("right", right)):
        if found not in allowed and (strict or found not in UNKNOWN):
            wanted = " or ".join(sorted(allowed))
            return f"Invalid {operator} expression: {side} operand is not a {wanted}."
    return None


def result(operator: str, left: str, right: str) -> str:
    """The type of what an operator gives."""
    if operator == "+":
        if STRING in (left, right):
            return STRING
        return NUMBER if left == right == NUMBER else PRIMITIVE
    return NUMBER if operator in ("-", "*", "/", "%") else BOOLEAN


def either(one: str, other: str) -> str:
    """The type of what is one or the other."""
    if one == other:
        return one
    return PRIMITIVE if {one, other} <= _PRIMITIVES else ANY
