"""Security rules: who may read and write what, and which queries have an index.

Source: https://firebase.google.com/docs/database/security and
https://firebase.google.com/docs/reference/security/database
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from narrator_daemon.emulator.database.caller import Caller
from narrator_daemon.emulator.database.query import CHILD, KEY, VALUE, Query
from narrator_daemon.emulator.database.query import PRIORITY as QUERY_PRIORITY
from narrator_daemon.emulator.database.rules_data import Node, Snapshot
from narrator_daemon.emulator.database.rules_expression import (
    Compiled,
    RuleSyntaxError,
    compile_rule,
)
from narrator_daemon.emulator.database.rules_operations import RuleEvaluationError
from narrator_daemon.emulator.database.values import PRIORITY, Path, Value, is_valid_key
from narrator_daemon.errors import NarratorError

# Rules files may hold // and /* */ comments; strings, which may hold such marks too, come first.
_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_LOOKS_AT_DATA = re.compile(r"\b(root|data)\b")
_RULE_KINDS = (".read", ".write", ".validate")


class InvalidRulesError(NarratorError, ValueError):
    """Rules that cannot be used; the text says where and why."""


def default_rules() -> str:
    """The rules of a local Firebase that was given none: the narration contract."""
    return resources.files(__package__).joinpath("default.rules.json").read_text()


@dataclass(slots=True)
class _Room:
    """The rules of one place."""

    read: Compiled | None = None
    write: Compiled | None = None
    validate: Compiled | None = None
    index_on: frozenset[str] = frozenset()
    below: dict[str, _Room] = field(default_factory=dict)
    wildcard: str | None = None
    any: _Room | None = None


class Rules:
    """A set of rules.

    Args:
        source: the text of a rules file: JSON, with comments, and with strings of several lines.

    Attributes:
        source: that text.
        parsed: what it says.
        reads_depend_on_data: whether a write can change who may read what.

    Raises:
        InvalidRulesError: it cannot be used.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.parsed = _read(source)
        try:
            self._root = _parse(self.parsed["rules"], (), ())
            self.reads_depend_on_data = _reads_depend_on_data(self.parsed["rules"])
        except RecursionError:
            raise InvalidRulesError("Rules are nested too deeply.") from None

    def has_index(self, path: Path, name: str) -> bool:
        """Whether queries of the children of ``path`` by ``name`` have an index."""
        rooms = [room for room, _ in self._along(path)]
        return len(rooms) == len(path) + 1 and name in rooms[-1].index_on

    def may_read(
        self, caller: Caller, root: Value, path: Path, now: int, query: Query | None = None
    ) -> bool:
        """Whether a caller may read a path.

        Args:
            caller: who asks.
            root: the whole database.
            path: what is asked for.
            now: server time, epoch ms.
            query: the filter asked with, for rules that look at it.
        """
        if caller.admin:
            return True
        data, asked = Node(root), _query_variable(query)
        for depth, (room, wildcards) in enumerate(self._along(path)):
            scope = _scope(caller, data, path[:depth], now, wildcards)
            scope["query"] = asked
            if _holds(room.read, scope):
                return True
        return False

    def may_write(
        self, caller: Caller, root: Value, writes: Sequence[tuple[Path, Value]], now: int
    ) -> bool:
        """Whether a caller may make some writes, all at once.

        Args:
            caller: who asks.
            root: the whole database before the write.
            writes: absolute paths and normalised values.
            now: server time, epoch ms; the one that the values were normalised with.
        """
        if caller.admin:
            return True
        data, new = Node(root), Node(root, writes)
        return all(self._allows(caller, data, new, _ruled(path), now) for path, _ in writes)

    def _allows(self, caller: Caller, data: Node, new: Node, path: Path, now: int) -> bool:
        allowed = False
        room, wildcards, reached = self._root, dict[str, str](), 0
        for depth, (room, wildcards) in enumerate(self._along(path)):
            reached = depth
            scope = _scope(caller, data, path[:depth], now, wildcards)
            scope["newData"] = Snapshot(new, path[:depth])
            allowed = allowed or _holds(room.write, scope)
            guarded = room.validate is not None and new.at(path[:depth]).exists
            if guarded and not _holds(room.validate, scope):
                return False
        if not allowed:
            return False
        if reached < len(path):
            return True
        return self._validates_below(room, wildcards, caller, data, new, path, now)

    def _validates_below(
        self,
        room: _Room,
        wildcards: Mapping[str, str],
        caller: Caller,
        data: Node,
        new: Node,
        path: Path,
        now: int,
    ) -> bool:
        if not room.below and room.any is None:
            return True
        for key in new.at(path).children():
            below, names = _step(room, wildcards, key)
            if below is None:
                continue
            at = (*path, key)
            if below.validate is not None:
                scope = _scope(caller, data, at, now, names)
                scope["newData"] = Snapshot(new, at)
                if not _holds(below.validate, scope):
                    return False
            if not self._validates_below(below, names, caller, data, new, at, now):
                return False
        return True

    def _along(self, path: Path) -> Iterator[tuple[_Room, dict[str, str]]]:
        """The rules from the root to a path, as far as there are any."""
        room: _Room | None = self._root
        wildcards: dict[str, str] = {}
        yield self._root, wildcards
        for key in path:
            assert room is not None  # noqa: S101 - the loop returns otherwise
            room, wildcards = _step(room, wildcards, key)
            if room is None:
                return
            yield room, wildcards


def _ruled(path: Path) -> Path:
    """The place whose rules a write must pass: a priority is a part of its node."""
    return path[:-1] if path and path[-1] == PRIORITY else path


def _step(
    room: _Room, wildcards: Mapping[str, str], key: str
) -> tuple[_Room | None, dict[str, str]]:
    if key in room.below:
        return room.below[key], dict(wildcards)
    if room.any is not None and room.wildcard is not None:
        return room.any, {**wildcards, room.wildcard: key}
    return None, dict(wildcards)


def _scope(
    caller: Caller,
    data: Node,
    path: Path,
    now: int,
    wildcards: Mapping[str, str],
) -> dict[str, Any]:
    here = Snapshot(data, path)
    return {
        "auth": caller.auth,
        "now": now,
        "root": Snapshot(data),
        "data": here,
        "newData": here,
        "query": None,
        **wildcards,
    }


def _query_variable(query: Query | None) -> dict[str, Any]:
    """The variable ``query``: a read without a query is one by key, of everything."""
    given = dict[str, Value]() if query is None else dict(query.given)
    kind = KEY if query is None else query.order.kind
    child = None if query is None or kind != CHILD else query.order.index_name
    return {
        "orderByKey": kind == KEY,
        "orderByValue": kind == VALUE,
        "orderByPriority": kind == QUERY_PRIORITY,
        "orderByChild": child,
        # Rules know no bounds that are excluded.
        "startAt": given.get("startAt", given.get("startAfter")),
        "endAt": given.get("endAt", given.get("endBefore")),
        "equalTo": given.get("equalTo"),
        "limitToFirst": given.get("limitToFirst"),
        "limitToLast": given.get("limitToLast"),
    }


def _holds(rule: Compiled | None, scope: Mapping[str, Any]) -> bool:
    if rule is None:
        return False
    try:
        return rule(scope) is True
    except RuleEvaluationError:
        return False


def _read(source: str) -> dict[str, Any]:
    bare = _COMMENT.sub(lambda match: match[0] if match[0][0] == '"' else " ", source)
    try:
        # As in the console, a rule may go over several lines.
        parsed = json.loads(bare, strict=False)
    except ValueError as error:
        raise InvalidRulesError(f"Parse error: {error}") from None
    except RecursionError:
        raise InvalidRulesError("Parse error: nested too deeply") from None
    if not isinstance(parsed, dict) or set(parsed) != {"rules"}:
        raise InvalidRulesError("Rules must be an object with the one key 'rules'.")
    return parsed


def _parse(raw: object, path: Path, wildcards: tuple[str, ...]) -> _Room:
    where = "/" + "/".join(path)
    if not isinstance(raw, dict):
        raise InvalidRulesError(f"{where}: expected an object of rules.")
    room = _Room()
    for key, item in raw.items():
        if key in _RULE_KINDS:
            writing = key != ".read"
            rule = _compile(item, f"{where}: '{key}'", wildcards, writing=writing)
            setattr(room, key[1:], rule)
        elif key == ".indexOn":
            room.index_on = _index_names(item, where)
        elif key.startswith("."):
            raise InvalidRulesError(f"{where}: unknown rule '{key}'.")
        elif key.startswith("$"):
            if room.any is not None:
                raise InvalidRulesError(f"{where}: only one $ variable is allowed at one place.")
            if key in wildcards:
                raise InvalidRulesError(f"{where}: '{key}' is already bound above.")
            room.wildcard = key
            room.any = _parse(item, (*path, key), (*wildcards, key))
        elif not is_valid_key(key):
            raise InvalidRulesError(f"{where}: '{key}' can be no key of the database.")
        else:
            room.below[key] = _parse(item, (*path, key), wildcards)
    return room


def _reads_depend_on_data(raw: dict[str, Any]) -> bool:
    return any(
        _LOOKS_AT_DATA.search(item) is not None
        if key == ".read" and isinstance(item, str)
        else isinstance(item, dict) and _reads_depend_on_data(item)
        for key, item in raw.items()
    )


def _compile(item: object, where: str, wildcards: tuple[str, ...], *, writing: bool) -> Compiled:
    if isinstance(item, bool):
        return lambda _: item
    if not isinstance(item, str):
        raise InvalidRulesError(f"{where} must be a boolean or a string.")
    try:
        return compile_rule(item, wildcards, writing=writing)
    except RuleSyntaxError as error:
        raise InvalidRulesError(f"{where}: {error}") from None


def _index_names(item: object, where: str) -> frozenset[str]:
    names = [item] if isinstance(item, str) else item
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRulesError(f"{where}: '.indexOn' must be a string or a list of strings.")
    return frozenset(name.strip("/") for name in names)
