"""The language of storage rules: matches, functions and conditions, compiled to Python functions.

What is not known here is refused when rules are loaded, so that nothing is judged wrongly in
silence.

Source: https://firebase.google.com/docs/rules/rules-language
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from narrator_daemon.emulator.storage.rules_values import (
    FUNCTIONS,
    METHODS,
    OPERATORS,
    TYPE_NAMES,
    EvaluationError,
    boolean,
    call_function,
    call_method,
    is_of,
    item,
    member,
    negative,
)

Scope: TypeAlias = Mapping[str, Any]
Compiled: TypeAlias = Callable[[Scope], Any]

#: Calls of functions inside one another.
MAX_CALLS = 20
READ, WRITE = ("get", "list"), ("create", "update", "delete")

_METHOD_GROUPS = {"read": READ, "write": WRITE, **{name: (name,) for name in (*READ, *WRITE)}}
_METHOD_NAMES = frozenset(name for methods in METHODS.values() for name in methods)
_NAMESPACES = frozenset(name.partition(".")[0] for name in FUNCTIONS if "." in name)
_TOKEN = re.compile(
    r"(?:\s|//[^\n]*|/\*.*?\*/)*"
    r"(?:(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![A-Za-z_]))"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<string>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")"
    r"|(?P<operator>==|!=|<=|>=|&&|\|\||=\*\*|[-+*/%<>!?:;().,\[\]{}=])"
    r"|(?P<end>\Z))",
    re.DOTALL,
)
_SEGMENT = re.compile(r"/(?:\{([A-Za-z_][A-Za-z0-9_]*)(=\*\*)?\}|([A-Za-z0-9_.~@%+-]+))")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_LEVELS = (
    ("==", "!="),
    ("<", "<=", ">", ">=", "in", "is"),
    ("+", "-"),
    ("*", "/", "%"),
)


class StorageRulesError(ValueError):
    """Storage rules that cannot be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a match's path.

    Attributes:
        literal: what it must be; empty for a variable.
        name: of the variable.
        rest: whether the variable stands for all that follows.
    """

    literal: str = ""
    name: str = ""
    rest: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function that rules define."""

    parameters: tuple[str, ...]
    lets: tuple[tuple[str, Compiled], ...]
    result: Compiled


@dataclass(slots=True)
class Match:
    """A ``match`` block.

    Attributes:
        path: what it matches.
        allows: methods and the condition under which they are allowed.
        below: the blocks inside.
        functions: those defined in it.
    """

    path: tuple[Segment, ...]
    allows: list[tuple[frozenset[str], Compiled]] = field(default_factory=list)
    below: list[Match] = field(default_factory=list)
    functions: dict[str, Function] = field(default_factory=dict)


def parse(source: str) -> tuple[int, Match]:
    """The version of the rules and what is in their service.

    Raises:
        StorageRulesError: they cannot be used.
    """
    try:
        return _Parser(source).parse()
    except RecursionError:
        raise StorageRulesError("Rules are nested too deeply.") from None


class _Parser:
    """Recursive descent."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._position = self._start = 0
        self._kind = self._text = ""
        self._known: list[set[str]] = [{"request", "resource"}]
        self._defined: set[str] = set()
        self._called: dict[str, StorageRulesError] = {}
        self._advance()

    def parse(self) -> tuple[int, Match]:
        version = 1
        if self._take("rules_version"):
            self._expect("=")
            if self._kind != "string" or self._text[1:-1] not in ("1", "2"):
                raise self._error("rules_version is '1' or '2'")
            version = int(self._text[1:-1])
            self._advance()
            self._expect(";")
        self._expect("service")
        for part in ("firebase", ".", "storage"):
            self._expect(part)
        service = Match(())
        self._block(service)
        if self._kind != "end":
            raise self._error()
        for name, error in self._called.items():
            if name not in self._defined:
                raise error
        return version, service

    def _error(self, message: str = "") -> StorageRulesError:
        line = self._source.count("\n", 0, self._start) + 1
        found = self._text or "end of the rules"
        return StorageRulesError(f"Line {line}: {message or f'unexpected {found!r:.60}'}.")

    def _advance(self) -> None:
        match = _TOKEN.match(self._source, self._position)
        if match is None or match.lastgroup is None:
            self._start = self._position
            self._text = self._source[self._position :].lstrip()[:1]
            raise self._error()
        self._kind, self._text = match.lastgroup, match[match.lastgroup]
        self._start, self._position = match.start(match.lastgroup), match.end()

    def _at(self, *texts: str) -> bool:
        return self._kind in ("operator", "name") and self._text in texts

    def _take(self, *texts: str) -> str | None:
        if not self._at(*texts):
            return None
        text = self._text
        self._advance()
        return text

    def _expect(self, text: str) -> None:
        if self._take(text) is None:
            raise self._error(f"expected {text!r} in place of {self._text!r:.60}")

    def _name(self) -> str:
        if self._kind != "name":
            raise self._error()
        name = self._text
        self._advance()
        return name

    def _block(self, into: Match) -> None:
        self._known.append({segment.name for segment in into.path if segment.name})
        self._expect("{")
        while not self._take("}"):
            if self._at("match"):
                inner = Match(self._path())
                into.below.append(inner)
                self._block(inner)
            elif self._take("function"):
                name = self._name()
                self._defined.add(name)
                into.functions[name] = self._function()
            elif self._take("allow"):
                into.allows.append(self._allow())
            else:
                raise self._error()
        self._known.pop()

    def _path(self) -> tuple[Segment, ...]:
        """The path after ``match``, which is no expression."""
        at = (
            self._position
            + len(self._source[self._position :])
            - len(self._source[self._position :].lstrip())
        )
        segments = []
        while match := _SEGMENT.match(self._source, at):
            segments.append(Segment(match[3] or "", match[1] or "", match[2] is not None))
            at = match.end()
        self._start = self._position = at
        if not segments:
            raise self._error("a match has a path, such as /audio/{name}")
        if any(segment.rest for segment in segments[:-1]):
            raise self._error("only the last part of a match's path may be {name=**}")
        self._advance()
        return tuple(segments)

    def _function(self) -> Function:
        self._expect("(")
        parameters = []
        while not self._take(")"):
            parameters.append(self._name())
            if not self._at(")"):
                self._expect(",")
        self._expect("{")
        known = set(parameters)
        self._known.append(known)
        lets = []
        while self._take("let"):
            name = self._name()
            self._expect("=")
            lets.append((name, self._expression()))
            known.add(name)
            self._expect(";")
        self._expect("return")
        result = self._expression()
        self._take(";")
        self._expect("}")
        self._known.pop()
        return Function(tuple(parameters), tuple(lets), result)

    def _allow(self) -> tuple[frozenset[str], Compiled]:
        methods: set[str] = set()
        while True:
            name = self._name()
            if name not in _METHOD_GROUPS:
                raise self._error(f"there is no method {name!r:.60} to allow")
            methods.update(_METHOD_GROUPS[name])
            if not self._take(","):
                break
        condition: Compiled = lambda _: True  # noqa: E731 - what no condition means
        if self._take(":"):
            self._expect("if")
            condition = self._expression()
        if not self._take(";") and not self._at("}"):
            raise self._error("an allow ends with ;")
        return frozenset(methods), condition

    def _expression(self) -> Compiled:
        condition = self._or()
        if not self._take("?"):
            return condition
        yes = self._expression()
        self._expect(":")
        no = self._expression()
        return lambda scope: yes(scope) if boolean(condition(scope)) else no(scope)

    def _or(self) -> Compiled:
        left = self._and()
        while self._take("||"):
            left = _either(left, self._and(), True)
        return left

    def _and(self) -> Compiled:
        left = self._binary(0)
        while self._take("&&"):
            left = _either(left, self._binary(0), False)
        return left

    def _binary(self, level: int) -> Compiled:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while (operator := self._take(*_LEVELS[level])) is not None:
            if operator == "is":
                left = self._is(left)
            else:
                left = _operation(operator, left, self._binary(level + 1))
        return left

    def _is(self, value: Compiled) -> Compiled:
        kind = self._name()
        if kind not in TYPE_NAMES:
            raise self._error(f"there is no type {kind!r:.60}")
        return lambda scope: is_of(value(scope), kind)

    def _unary(self) -> Compiled:
        if self._take("!"):
            operand = self._unary()
            return lambda scope: not boolean(operand(scope))
        if self._take("-"):
            operand = self._unary()
            return lambda scope: negative(operand(scope))
        return self._postfix()

    def _postfix(self) -> Compiled:
        value = self._primary()
        while True:
            if self._take("."):
                name = self._name()
                if self._at("("):
                    if name not in _METHOD_NAMES:
                        raise self._error(f"the method {name!r:.60} is not judged here")
                    value = _method(value, name, self._arguments(")"))
                else:
                    value = _member(value, name)
            elif self._take("["):
                key = self._expression()
                self._expect("]")
                value = _item(value, key)
            else:
                return value

    def _arguments(self, end: str) -> list[Compiled]:
        self._advance()
        found = []
        while not self._take(end):
            found.append(self._expression())
            if not self._at(end):
                self._expect(",")
        return found

    def _primary(self) -> Compiled:
        kind, text = self._kind, self._text
        if kind == "number":
            self._advance()
            number = float(text) if re.search(r"[.eE]", text) else int(text)
            return lambda _: number
        if kind == "string":
            self._advance()
            body = _unescape(text[1:-1])
            return lambda _: body
        if kind == "name":
            self._advance()
            return self._named(text)
        if self._at("["):
            items = self._arguments("]")
            return lambda scope: [one(scope) for one in items]
        if self._at("{"):
            return self._map()
        self._expect("(")
        inner = self._expression()
        self._expect(")")
        return inner

    def _map(self) -> Compiled:
        self._advance()
        pairs: list[tuple[str, Compiled]] = []
        while not self._take("}"):
            key = _unescape(self._text[1:-1]) if self._kind == "string" else self._text
            if self._kind not in ("string", "name"):
                raise self._error()
            self._advance()
            self._expect(":")
            pairs.append((key, self._expression()))
            if not self._at("}"):
                self._expect(",")
        return lambda scope: {key: value(scope) for key, value in pairs}

    def _named(self, name: str) -> Compiled:
        if name in ("true", "false", "null"):
            constant = {"true": True, "false": False, "null": None}[name]
            return lambda _: constant
        if name in _NAMESPACES and self._take("."):
            name = f"{name}.{self._name()}"
        if self._at("("):
            if name in FUNCTIONS:
                arguments = self._arguments(")")
                return lambda scope: call_function(name, [a(scope) for a in arguments])
            if "." not in name:
                error = self._error(f"the function {name!r:.60} is not known, or not judged here")
                self._called.setdefault(name, error)
                return _call(name, self._arguments(")"))
        if "." in name or not any(name in known for known in self._known):
            raise self._error(f"{name!r:.60} is not known, or not judged here")
        return lambda scope: scope[name]


def _unescape(body: str) -> str:
    def replace(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) > 1:
            return chr(int(code[1:], 16))
        return _ESCAPES.get(code, code)

    return _ESCAPE.sub(replace, body)


def _either(left: Compiled, right: Compiled, decisive: bool) -> Compiled:
    """``||`` and ``&&``: what one side decides, an error on the other does not undo."""

    def decide(scope: Scope) -> bool:
        try:
            if boolean(left(scope)) is decisive:
                return decisive
        except EvaluationError:
            if boolean(right(scope)) is decisive:
                return decisive
            raise
        return boolean(right(scope))

    return decide


def _operation(operator: str, left: Compiled, right: Compiled) -> Compiled:
    work = OPERATORS[operator]
    return lambda scope: work(left(scope), right(scope))


def _member(value: Compiled, name: str) -> Compiled:
    return lambda scope: member(value(scope), name)


def _item(value: Compiled, key: Compiled) -> Compiled:
    return lambda scope: item(value(scope), key(scope))


def _method(value: Compiled, name: str, arguments: list[Compiled]) -> Compiled:
    return lambda scope: call_method(value(scope), name, [a(scope) for a in arguments])


def _call(name: str, arguments: list[Compiled]) -> Compiled:
    """A call of a function that the rules define, in a block around this place."""

    def call(scope: Scope) -> Any:
        function, outer = scope.get(f"{name}()", (None, None))
        depth = scope["()"]
        if function is None or len(arguments) != len(function.parameters) or depth >= MAX_CALLS:
            raise EvaluationError(f"{name} cannot be called so")
        given = [argument(scope) for argument in arguments]
        inner = {**outer, **scope_of(scope), **dict(zip(function.parameters, given, strict=True))}
        inner["()"] = depth + 1
        for let, value in function.lets:
            inner[let] = value(inner)
        return function.result(inner)

    return call


def scope_of(scope: Scope) -> dict[str, Any]:
    """What every condition sees, wherever it stands: the request and the functions around it."""
    return {
        name: value
        for name, value in scope.items()
        if name in ("request", "resource") or name.endswith("()")
    }
