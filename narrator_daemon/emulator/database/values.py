"""The values a Realtime Database holds: how they come in, compare, sort and go out.

A stored value is ``None``, a boolean, a number, a string, or a non-empty ``dict`` of children.
Lists are dicts with the keys "0", "1", …; null children and empty dicts do not exist. A priority
is kept as the key ``.priority`` of its node, and a leaf that has one is
``{".value": leaf, ".priority": priority}``, which is also the form of the REST API's
``format=export``.

Source: https://firebase.google.com/docs/reference/rest/database and
https://firebase.google.com/docs/database/usage/limits
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator
from typing import TypeAlias

Value: TypeAlias = "bool | int | float | str | dict[str, Value] | None"
Path: TypeAlias = tuple[str, ...]
#: (rank of the type, the value within its type); see `order_key`.
OrderKey: TypeAlias = tuple[int, float | str]
#: (0 for an integer key else 1, the integer, its length, the key); see `key_order`.
KeyOrder: TypeAlias = tuple[int, int, int, str]

#: Bytes of UTF-8 in one key.
MAX_KEY_BYTES = 768
#: Levels below the root.
MAX_DEPTH = 32
#: Bytes of UTF-8 in one string.
MAX_STRING_BYTES = 10 * 1024 * 1024
#: Integers beyond this magnitude are kept as doubles, as the service does.
MAX_INTEGER = 2**63

PRIORITY = ".priority"
LEAF = ".value"

_FORBIDDEN_IN_KEY = re.compile(r"[.$#\[\]/\x00-\x1f\x7f]")
_INTEGER_KEY = re.compile(r"-?0*[0-9]{1,10}\Z")
_LIST_KEY = re.compile(r"(0|[1-9][0-9]{0,9})\Z")


class InvalidDataError(ValueError):
    """Data the database refuses; the text is what the REST API answers."""


class InvalidKeyError(InvalidDataError):
    """A key the database refuses.

    Attributes:
        key: the key as it came in.
    """

    def __init__(self, key: str) -> None:
        super().__init__("Key value can't be empty or contain $ # [ ] / or .")
        self.key = key


def is_valid_key(key: str) -> bool:
    """Whether a child may be called so."""
    if not key or _FORBIDDEN_IN_KEY.search(key):
        return False
    try:
        return len(key.encode()) <= MAX_KEY_BYTES
    except UnicodeEncodeError:
        return False


def parse_path(text: str) -> Path:
    """The path in a text with slashes; the last part may be ``.priority``.

    Raises:
        InvalidDataError: a part of it is no key, or there are too many.
    """
    path = tuple(part for part in text.split("/") if part)
    keys = path[:-1] if path and path[-1] == PRIORITY else path
    if not all(map(is_valid_key, keys)):
        raise InvalidDataError("Invalid path: Invalid token in path")
    if len(path) > MAX_DEPTH:
        raise InvalidDataError(f"Invalid path: path exceeds the maximum depth of {MAX_DEPTH}")
    return path


def normalise(raw: object, *, now: int, existing: Value = None, depth: int = 0) -> Value:
    """The stored form of a parsed JSON value.

    Args:
        raw: what ``json.loads`` gave.
        now: server time in epoch milliseconds, for ``{".sv": "timestamp"}``.
        existing: the value now stored at the same place, for ``{".sv": {"increment": n}}``.
        depth: levels between the root and this value.

    Raises:
        InvalidDataError: the data breaks a rule of the database.
    """
    if depth > MAX_DEPTH:
        raise InvalidDataError(f"Invalid data; path exceeds the maximum depth of {MAX_DEPTH}.")
    if isinstance(raw, dict):
        return _normalise_dict(raw, now, existing, depth)
    if isinstance(raw, list):
        return _normalise_children(
            ((str(i), item) for i, item in enumerate(raw)), now, existing, depth
        )
    if isinstance(raw, str):
        return _normalise_string(raw)
    if isinstance(raw, float):
        return _normalise_float(raw)
    if isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) >= MAX_INTEGER:
        try:
            return float(raw)
        except OverflowError:
            raise InvalidDataError("Invalid data; number out of range.") from None
    if raw is None or isinstance(raw, (bool, int)):
        return raw
    raise TypeError(f"{type(raw).__name__} is not JSON")


def _normalise_string(raw: str) -> str:
    try:
        size = len(raw.encode())
    except UnicodeEncodeError:
        # Lone surrogates are legal in JSON escapes and have no UTF-8.
        raw = raw.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        size = len(raw.encode())
    if size > MAX_STRING_BYTES:
        raise InvalidDataError(
            "Invalid data; string exceeds the maximum size of 10485760 UTF-8 encoded bytes."
        )
    return raw


def _normalise_float(raw: float) -> int | float:
    if not math.isfinite(raw):
        raise InvalidDataError("Invalid data; couldn't parse JSON object, array, or value.")
    return int(raw) if raw.is_integer() and abs(raw) < 2**53 else raw


def _normalise_dict(raw: dict[str, object], now: int, existing: Value, depth: int) -> Value:
    priority = _priority(raw[PRIORITY], now, existing) if PRIORITY in raw else None
    if ".sv" in raw:
        leaf = _server_value(raw[".sv"], set(raw) - {PRIORITY}, now, existing)
        return leaf if priority is None else {LEAF: leaf, PRIORITY: priority}
    if LEAF in raw:
        if set(raw) - {LEAF, PRIORITY}:
            raise InvalidDataError("Invalid data; '.value' can't have sibling children.")
        leaf = normalise(raw[LEAF], now=now, existing=existing, depth=depth)
        if leaf is None or isinstance(leaf, dict) or priority is None:
            return leaf
        return {LEAF: leaf, PRIORITY: priority}
    children = _normalise_children(
        ((k, v) for k, v in raw.items() if k != PRIORITY), now, existing, depth
    )
    if isinstance(children, dict) and priority is not None:
        children[PRIORITY] = priority
    return children


def _normalise_children(
    items: Iterator[tuple[str, object]], now: int, existing: Value, depth: int
) -> Value:
    children: dict[str, Value] = {}
    for key, item in items:
        if not is_valid_key(key):
            raise InvalidKeyError(key)
        before = existing.get(key) if isinstance(existing, dict) else None
        child = normalise(item, now=now, existing=before, depth=depth + 1)
        if child is not None:
            children[key] = child
    return children or None


def _priority(raw: object, now: int, existing: Value) -> Value:
    if isinstance(raw, dict) and ".sv" in raw:
        return _server_value(raw[".sv"], set(raw), now, priority_of(existing))
    if raw is None or (isinstance(raw, (int, float, str)) and not isinstance(raw, bool)):
        return normalise(raw, now=now)
    raise InvalidDataError("Invalid data; priority must be a number, a string or null.")


def _server_value(wanted: object, fields: set[str], now: int, existing: Value) -> Value:
    """What the server puts in place of ``{".sv": wanted}``."""
    if len(fields) == 1:
        if wanted == "timestamp":
            return now
        if isinstance(wanted, dict) and set(wanted) == {"increment"}:
            delta = wanted["increment"]
            if isinstance(delta, (int, float)) and not isinstance(delta, bool):
                before = leaf_of(existing)
                if isinstance(before, bool) or not isinstance(before, (int, float)):
                    before = 0
                return normalise(before + delta, now=now)
    raise InvalidDataError("Invalid data; couldn't parse the '.sv' server value.")


def children_of(value: Value) -> Iterator[tuple[str, Value]]:
    """The children of a stored value, priority and leaf markers left out."""
    if isinstance(value, dict):
        for key, child in value.items():
            if not key.startswith("."):
                yield key, child


def leaf_of(value: Value) -> Value:
    """The leaf itself where a leaf has a priority; any other value as it is."""
    if isinstance(value, dict) and LEAF in value:
        return value[LEAF]
    return value


def priority_of(value: Value) -> Value:
    """The priority of a stored value, None without one."""
    return value.get(PRIORITY) if isinstance(value, dict) else None


def value_at(value: Value, path: Path) -> Value:
    """The value at a path below a stored value, None where there is none."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def same(a: Value, b: Value) -> bool:
    """Equality of stored values; unlike ``==``, ``True`` is not 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return len(a) == len(b) and all(k in b and same(v, b[k]) for k, v in a.items())
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def render(value: Value, *, export: bool = False) -> object:
    """The JSON form of a stored value.

    Children whose keys are mostly the integers from 0 become a list, as the service does.

    Args:
        value: a stored value.
        export: keep priorities (the REST API's ``format=export``).
    """
    if not isinstance(value, dict):
        return value
    if LEAF in value:
        return dict(value) if export else value[LEAF]
    out = {k: render(v, export=export) for k, v in children_of(value)}
    if export and PRIORITY in value:
        out[PRIORITY] = value[PRIORITY]
        return out
    return coerce_list(out)


def coerce_list(children: dict[str, object]) -> dict[str, object] | list[object]:
    """A dict of rendered children, or the list it stands for."""
    highest = -1
    for key in children:
        if not _LIST_KEY.match(key):
            return children
        highest = max(highest, int(key))
    if not children or highest >= 2 * len(children):
        return children
    return [children.get(str(i)) for i in range(highest + 1)]


def to_json(value: object, *, pretty: bool = False) -> bytes:
    """A rendered value as the bytes that go over the wire.

    What a client has sent and hears again, a query or a token, may hold lone surrogates, which have
    no UTF-8; stored values don't.
    """
    if pretty:
        text = json.dumps(value, indent=2, separators=(",", " : "), ensure_ascii=False)
        return text.encode(errors="replace")
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="replace")


def etag(value: Value) -> str:
    """The entity tag of a stored value: equal tags, equal values.

    A hash of the canonical JSON, computed when it is asked for and for the node that is asked for.
    """
    if value is None:
        return "null_etag"
    canonical = json.dumps(render(value, export=True), separators=(",", ":"), sort_keys=True)
    return base64.b64encode(hashlib.sha256(canonical.encode()).digest()[:20]).decode()


def key_order(key: str) -> KeyOrder:
    """Sorts keys as the database does: 32-bit integers by value, then the others as text."""
    if _INTEGER_KEY.match(key):
        number = int(key)
        if -(2**31) <= number < 2**31:
            return (0, number, len(key), key)
    return (1, 0, 0, key)


def order_key(value: Value) -> OrderKey:
    """Sorts values as queries do: null, false, true, numbers, strings, objects.

    Source: https://firebase.google.com/docs/database/rest/retrieve-data#section-rest-ordered-data
    """
    value = leaf_of(value)
    if value is None:
        return (0, 0)
    if isinstance(value, bool):
        return (2, 0) if value else (1, 0)
    if isinstance(value, (int, float)):
        return (3, value)
    if isinstance(value, str):
        return (4, value)
    return (5, 0)
