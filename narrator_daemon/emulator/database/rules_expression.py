"""The expression language of security rules, checked and compiled to Python functions.

Source: https://firebase.google.com/docs/reference/security/database
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from narrator_daemon.emulator.database.rules_operations import (
    OPERATORS,
    SNAPSHOT_METHODS,
    STRING_METHODS,
    look_up,
    look_up_query,
    negative,
)
from narrator_daemon.emulator.database.rules_regex import Regex, RegexError
from narrator_daemon.emulator.database.rules_types import (
    ANY,
    BOOLEAN,
    LIST,
    MEMBERS,
    NULL,
    NUMBER,
    QUERY,
    REGEX,
    SNAPSHOT,
    STRING,
    STRING_MEMBERS,
    UNKNOWN,
    Method,
    either,
    mistyped,
    result,
    variables,
)

Scope: TypeAlias = Mapping[str, Any]
Compiled: TypeAlias = Callable[[Scope], Any]


class RuleSyntaxError(ValueError):
    """A rule that is no expression, or cannot work; the text says why."""


@dataclass(frozen=True, slots=True)
class _Term:
    """A part of an expression.

    Attributes:
        type: what it gives.
        run: gives it.
        text: of a string that stands in the rule itself.
        items: of a list, its parts.
    """

    type: str
    run: Compiled
    text: str | None = None
    items: tuple[_Term, ...] = ()


_IGNORED = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_TOKEN = re.compile(
    r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![A-Za-z0-9_$]))"
    r"|(?P<name>[A-Za-z_$][A-Za-z0-9_$]*)"
    r"|(?P<string>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")"
    r"|(?P<operator>===|!==|==|!=|<=|>=|&&|\|\||[-+*/%<>!?:().,\[\]])"
    r"|(?P<end>\Z)",
    re.DOTALL,
)
_REGEX = re.compile(r"/((?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+)/([A-Za-z]*)")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": ""}
_CONSTANTS = {"true": (BOOLEAN, True), "false": (BOOLEAN, False), "null": (NULL, None)}
_LEVELS = (
    ("||",),
    ("&&",),
    ("==", "!=", "===", "!=="),
    ("<", "<=", ">", ">="),
    ("+", "-"),
    ("*", "/", "%"),
)


def compile_rule(source: str, wildcards: Iterable[str] = (), *, writing: bool = True) -> Compiled:
    """An expression as a function of its variables.

    Args:
        source: the rule's text.
        wildcards: the ``$`` variables known where the rule stands.
        writing: whether it is about a write, which has ``newData``.

    Raises:
        RuleSyntaxError: it is no valid expression, or could not give a boolean.
    """
    try:
        return _Parser(source, variables(wildcards, writing=writing)).parse()
    except RecursionError:
        raise RuleSyntaxError("It is nested too deeply.") from None


def _unescape(body: str) -> str:
    def replace(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) > 1:
            return chr(int(code[1:], 16))
        return _ESCAPES.get(code, code)

    return _ESCAPE.sub(replace, body)


class _Parser:
    """Recursive descent, one method for each level of precedence."""

    def __init__(self, source: str, known: Mapping[str, str]) -> None:
        self._source = source
        self._variables = known
        self._position = 0
        self._kind = self._text = ""
        self._advance()

    def parse(self) -> Compiled:
        rule = self._ternary()
        if self._kind != "end":
            raise self._error()
        if rule.type != BOOLEAN:
            raise RuleSyntaxError(f"A rule must evaluate to a boolean, not to a {rule.type}.")
        return rule.run

    def _error(self) -> RuleSyntaxError:
        found = self._text or "end of the rule"
        return RuleSyntaxError(f"Unexpected '{found}' at character {self._start + 1}.")

    def _advance(self) -> None:
        ignored = _IGNORED.match(self._source, self._position)
        assert ignored is not None  # noqa: S101 - it matches nothing too
        self._start = ignored.end()
        match = _TOKEN.match(self._source, self._start)
        if match is None or match.lastgroup is None:
            bad = self._source[self._start]
            raise RuleSyntaxError(f"Unexpected '{bad}' at character {self._start + 1}.")
        self._kind, self._text = match.lastgroup, match[match.lastgroup]
        self._position = match.end()

    def _at(self, *texts: str) -> bool:
        return self._kind == "operator" and self._text in texts

    def _take(self, *texts: str) -> str | None:
        if self._at(*texts):
            text = self._text
            self._advance()
            return text
        return None

    def _expect(self, text: str) -> None:
        if self._take(text) is None:
            raise self._error()

    def _ternary(self) -> _Term:
        condition = self._binary(0)
        if self._take("?") is None:
            return condition
        if condition.type != BOOLEAN:
            raise RuleSyntaxError("The condition of ? must be a boolean.")
        yes = self._ternary()
        self._expect(":")
        no = self._ternary()
        test, positive, negative_ = condition.run, yes.run, no.run
        return _Term(
            either(yes.type, no.type),
            lambda scope: positive(scope) if test(scope) else negative_(scope),
        )

    def _binary(self, level: int) -> _Term:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while (operator := self._take(*_LEVELS[level])) is not None:
            left = _join(operator, left, self._binary(level + 1))
        return left

    def _unary(self) -> _Term:
        if self._take("!"):
            operand = self._unary()
            if operand.type != BOOLEAN:
                raise RuleSyntaxError("! only operates on a boolean.")
            return _Term(BOOLEAN, lambda scope: not operand.run(scope))
        if self._take("-"):
            operand = self._unary()
            if operand.type not in {NUMBER, *UNKNOWN}:
                raise RuleSyntaxError("- only operates on a number.")
            return _Term(NUMBER, lambda scope: negative(operand.run(scope)))
        return self._postfix()

    def _postfix(self) -> _Term:
        value = self._primary()
        while True:
            if self._take("."):
                name = self._text
                if self._kind != "name":
                    raise self._error()
                self._advance()
                value = self._member(value, _constant(STRING, name, text=name))
            elif self._take("["):
                key = self._ternary()
                self._expect("]")
                value = self._member(value, key)
            else:
                return value

    def _member(self, value: _Term, key: _Term) -> _Term:
        """``value.key`` or ``value[key]``, with the call if one follows."""
        called = self._at("(")
        if value.type == ANY and not called:
            return _Term(ANY, lambda scope: look_up(value.run(scope), key.run(scope)))
        members = STRING_MEMBERS if value.type == ANY else MEMBERS.get(value.type, {})
        member = None if key.text is None else members.get(key.text)
        if member is None or key.text is None or isinstance(member, Method) is not called:
            shown = f" '{key.text}'" if key.text is not None else ""
            raise RuleSyntaxError(f"No such method/property{shown} of a {value.type}.")
        if isinstance(member, Method):
            return self._call(value, key.text, member)
        return _Term(member, _property(value, key.text))

    def _call(self, receiver: _Term, name: str, method: Method) -> _Term:
        arguments = self._arguments()
        missing = method.optional and not arguments
        if len(arguments) != len(method.takes) and not missing:
            raise RuleSyntaxError(
                f"'{name}' takes {len(method.takes)} argument(s), but got {len(arguments)}."
            )
        for argument, wanted in zip(arguments, method.takes, strict=False):
            _check_argument(name, argument, wanted)
        methods = SNAPSHOT_METHODS if receiver.type == SNAPSHOT else STRING_METHODS
        work, of = methods[name], receiver.run
        runs = [argument.run for argument in arguments]
        return _Term(method.gives, lambda scope: work(of(scope), *[run(scope) for run in runs]))

    def _arguments(self) -> list[_Term]:
        self._expect("(")
        return self._listed(")")

    def _listed(self, end: str) -> list[_Term]:
        items: list[_Term] = []
        while not self._take(end):
            items.append(self._ternary())
            if not self._at(end):
                self._expect(",")
                if self._at(end):
                    raise self._error()
        return items

    def _primary(self) -> _Term:
        kind, text = self._kind, self._text
        if self._at("/"):
            return self._regex()
        if kind not in ("number", "string", "name") and not self._at("(", "["):
            raise self._error()
        self._advance()
        if kind == "number":
            number = float(text)
            return _constant(NUMBER, int(number) if number.is_integer() else number)
        if kind == "string":
            body = _unescape(text[1:-1])
            return _constant(STRING, body, text=body)
        if kind == "name":
            return self._named(text)
        if text == "(":
            inner = self._ternary()
            self._expect(")")
            return inner
        items = tuple(self._listed("]"))
        return _Term(LIST, lambda scope: [item.run(scope) for item in items], items=items)

    def _named(self, name: str) -> _Term:
        if name in _CONSTANTS:
            return _constant(*_CONSTANTS[name])
        if name not in self._variables:
            raise RuleSyntaxError(f"Unknown variable '{name}'.")
        return _Term(self._variables[name], lambda scope: scope[name])

    def _regex(self) -> _Term:
        match = _REGEX.match(self._source, self._start)
        if match is None:
            raise self._error()
        if match[2] not in ("", "i"):
            raise RuleSyntaxError(
                f"Invalid regular expression flags '{match[2]}': only i is known."
            )
        try:
            pattern = Regex(match[1], ignore_case=match[2] == "i")
        except RegexError as error:
            raise RuleSyntaxError(str(error)) from None
        self._position = match.end()
        self._advance()
        return _constant(REGEX, pattern)


def _constant(kind: str, value: Any, *, text: str | None = None) -> _Term:
    return _Term(kind, lambda _: value, text=text)


def _property(value: _Term, name: str) -> Compiled:
    run = value.run
    if value.type == QUERY:
        return lambda scope: look_up_query(run(scope), name)
    return lambda scope: look_up(run(scope), name)


def _join(operator: str, left: _Term, right: _Term) -> _Term:
    wrong = mistyped(operator, left.type, right.type)
    if wrong is not None:
        raise RuleSyntaxError(wrong)
    one, other = left.run, right.run
    if operator == "&&":
        return _Term(BOOLEAN, lambda scope: one(scope) and other(scope))
    if operator == "||":
        return _Term(BOOLEAN, lambda scope: one(scope) or other(scope))
    work = OPERATORS[operator]
    kind = result(operator, left.type, right.type)
    return _Term(kind, lambda scope: work(one(scope), other(scope)))


def _check_argument(name: str, argument: _Term, wanted: str) -> None:
    if wanted == LIST:
        if argument.type != LIST or not argument.items:
            raise RuleSyntaxError(f"'{name}' takes an array of at least one string.")
        for item in argument.items:
            if item.type not in {STRING, *UNKNOWN}:
                raise RuleSyntaxError(f"'{name}' got an array with a non-string value.")
    elif wanted == REGEX:
        if argument.type != REGEX:
            raise RuleSyntaxError(f"The argument of '{name}' must be a regular expression.")
    elif argument.type not in {wanted, *UNKNOWN}:
        raise RuleSyntaxError(f"'{name}' takes a {wanted}, but got a {argument.type}.")
