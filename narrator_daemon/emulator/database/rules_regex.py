r"""Regular expressions of security rules: the documented symbols alone, matched in linear time.

The documentation knows ``\s \w \d \S \W \D``, ``.``, sets, groups, ``|``, ``* + ? {n}``, the
escape, and ``^`` and ``$`` as the first and the last character of a pattern. A match is only
detected, nothing is captured, so an automaton is enough: no pattern can be made to run for ever.

Source: https://firebase.google.com/docs/database/security/regex; for what may stand at the
beginning of a pattern or a group, the grammar of npm's ``targaryen``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

#: States of the largest automaton: repeats are written out.
MAX_STATES = 20_000
#: States of the automaton that are kept made deterministic.
_MAX_KNOWN = 2_000

#: Whether one character is in a set.
Test: TypeAlias = Callable[[str], bool]

# The states in which a text has matched: at its end alone, and whatever follows.
_END, _FOUND = 0, 1

_META = "|)?+{*"
_DIGITS = frozenset("0123456789")
_WORD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_SPACE = frozenset(" \t\n\r\f\v")
_CLASSES: dict[str, Test] = {
    "d": _DIGITS.__contains__,
    "w": _WORD.__contains__,
    "s": _SPACE.__contains__,
    "D": lambda c: c not in _DIGITS,
    "W": lambda c: c not in _WORD,
    "S": lambda c: c not in _SPACE,
}


class RegexError(ValueError):
    """A pattern that rules may not hold; the text says why."""


@dataclass(slots=True)
class _State:
    """A state of the automaton: a step on a character, or free steps, or the end."""

    test: Test | None = None
    to: int = -1
    free: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a pattern, as a function that adds it to an automaton.

    Attributes:
        build: takes the automaton and the state to go on to, gives the state to begin in.
        size: how many states it takes.
    """

    build: Callable[[list[_State], int], int]
    size: int


class Regex:
    """A compiled pattern.

    Args:
        pattern: what stands between the slashes.
        ignore_case: whether the flag ``i`` is set.

    Raises:
        RegexError: it is none that the documentation knows.
    """

    def __init__(self, pattern: str, *, ignore_case: bool = False) -> None:
        self._states = [_State(), _State(_any)]
        self._states[_FOUND].to = _FOUND
        piece = _Parser(pattern, ignore_case).parse()
        self._start = self._closed({piece.build(self._states, _END)})
        self._known: dict[frozenset[int], dict[str, frozenset[int]]] = {}

    def found_in(self, text: str) -> bool:
        """Whether the pattern matches anywhere in a text."""
        now = self._start
        for character in text:
            if _FOUND in now:
                return True
            if not now:
                return False
            steps = self._known.get(now)
            if steps is None:
                if len(self._known) >= _MAX_KNOWN:
                    self._known.clear()
                steps = self._known[now] = {}
            following = steps.get(character)
            if following is None:
                following = self._step(now, character)
                if len(steps) < _MAX_KNOWN:
                    steps[character] = following
            now = following
        return _FOUND in now or _END in now

    def _step(self, now: frozenset[int], character: str) -> frozenset[int]:
        reached = set()
        for number in now:
            state = self._states[number]
            if state.test is not None and state.test(character):
                reached.add(state.to)
        return self._closed(reached)

    def _closed(self, seen: set[int]) -> frozenset[int]:
        """States with those that they lead to without a character."""
        waiting = list(seen)
        while waiting:
            for number in self._states[waiting.pop()].free:
                if number not in seen:
                    seen.add(number)
                    waiting.append(number)
        return frozenset(seen)


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, pattern: str, ignore_case: bool) -> None:
        self._text = pattern
        self._ignore_case = ignore_case
        self._at = 0

    def parse(self) -> _Piece:
        begins = self._take("^")
        branches = [self._sequence(None if begins else self._literal_meta())]
        while self._take("|"):
            branches.append(self._sequence(None))
        ends = self._take("$")
        if self._at < len(self._text):
            raise self._error(self._misplaced(self._peek()))
        piece = _either(
            [
                _branch(
                    branch,
                    begins=begins and branch is branches[0],
                    ends=ends and branch is branches[-1],
                )
                for branch in branches
            ]
        )
        if piece.size > MAX_STATES:
            raise RegexError("Invalid regular expression: its repeats make it too large.")
        return piece

    @staticmethod
    def _misplaced(sign: str) -> str:
        if sign in "^$":
            return f"'{sign}' can only be the first or the last character of a pattern"
        return f"'{sign}' cannot stand here"

    def _error(self, message: str) -> RegexError:
        return RegexError(
            f"Invalid regular expression /{self._text}/: {message} (character {self._at + 1})."
        )

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        if self._text.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _literal_meta(self) -> _Piece | None:
        """A sign that stands for itself where there is nothing for it to work on."""
        sign = self._peek()
        if not sign or sign not in _META:
            return None
        self._at += 1
        return self._one(sign.__eq__)

    def _sequence(self, first: _Piece | None) -> _Piece:
        pieces = []
        while (sign := self._peek()) and sign not in "|)$":
            pieces.append(self._repeated(self._atom()))
        if not pieces:
            raise self._error("a part of it is empty")
        return _sequence(pieces if first is None else [first, *pieces])

    def _atom(self) -> _Piece:
        sign = self._peek()
        self._at += 1
        if sign == "(":
            return self._group()
        if sign == "[":
            return self._one(self._set())
        if sign == ".":
            return self._one(_any)
        if sign == "\\":
            return self._one(self._escape())
        if sign in "*+?{":
            self._at -= 1
            raise self._error(f"there is nothing before '{sign}' to repeat")
        if sign == "^":
            self._at -= 1
            raise self._error(self._misplaced(sign))
        return self._one(sign.__eq__)

    def _group(self) -> _Piece:
        if self._peek() == "?":
            raise self._error("groups that begin with '?' are not supported")
        branches = [self._sequence(self._literal_meta())]
        while self._take("|"):
            branches.append(self._sequence(None))
        if not self._take(")"):
            raise self._error(
                self._misplaced("$") if self._peek() == "$" else "a group is not closed"
            )
        return _either(branches)

    def _escape(self) -> Test:
        sign = self._peek()
        if not sign:
            raise self._error("nothing follows the last backslash")
        if sign in _DIGITS:
            raise self._error("references to groups are not supported")
        self._at += 1
        return _CLASSES.get(sign, sign.__eq__)

    def _set(self) -> Test:
        excludes = self._take("^")
        tests: list[Test] = []
        while not self._take("]"):
            tests.append(self._item())
        if not tests:
            raise self._error("a set is empty")
        insensitive = self._insensitive(lambda c: any(test(c) for test in tests))
        return (lambda c: not insensitive(c)) if excludes else insensitive

    def _item(self) -> Test:
        first = self._set_character()
        if not isinstance(first, str):
            return first
        rest = self._text[self._at : self._at + 2]
        if rest[:1] != "-" or rest[1:] in ("", "]"):
            return first.__eq__
        self._at += 1
        last = self._set_character(literal=True)
        assert isinstance(last, str)  # noqa: S101 - asked for as a literal
        if last < first:
            raise self._error(f"'{first}-{last}' runs backwards")
        return lambda c: first <= c <= last

    def _set_character(self, *, literal: bool = False) -> str | Test:
        sign = self._peek()
        self._at += 1
        if sign == "\\":
            sign = self._peek()
            self._at += 1
            if sign in _CLASSES and not literal:
                return _CLASSES[sign]
        if not sign:
            raise self._error("a set is not closed")
        return sign

    def _repeated(self, piece: _Piece) -> _Piece:
        bounds = self._bounds()
        if bounds is None:
            return piece
        # A '?' after a repeat asks for the shortest match, and matches the same texts.
        self._take("?")
        if self._peek() in ("*", "+", "?", "{"):
            raise self._error("a repeat cannot be repeated")
        return _repeat(piece, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        if not self._take("{"):
            return None
        least = self._number()
        most: int | None = least
        if self._take(","):
            most = None if self._peek() == "}" else self._number()
        if not self._take("}"):
            raise self._error("'{' begins a repeat such as {2}, {2,} or {2,4}")
        if most is not None and most < least:
            raise self._error("a repeat's bounds are the wrong way round")
        return least, most

    def _number(self) -> int:
        start = self._at
        while self._peek() in _DIGITS:
            self._at += 1
        digits = self._text[start : self._at]
        if not digits or len(digits) > 6 or (digits[0] == "0" and len(digits) > 1):
            raise self._error("'{' begins a repeat such as {2}, {2,} or {2,4}")
        return int(digits)

    def _one(self, test: Test) -> _Piece:
        insensitive = self._insensitive(test)

        def build(states: list[_State], onward: int) -> int:
            states.append(_State(insensitive, onward))
            return len(states) - 1

        return _Piece(build, 1)

    def _insensitive(self, test: Test) -> Test:
        if not self._ignore_case:
            return test
        return lambda c: any(map(test, _cases(c)))


def _any(_: str) -> bool:
    return True


def _cases(character: str) -> set[str]:
    """A character in either case, one character each, ASCII apart from the rest."""
    return {character}.union(
        other
        for other in (character.lower(), character.upper())
        if len(other) == 1 and other.isascii() == character.isascii()
    )


def _branch(piece: _Piece, *, begins: bool, ends: bool) -> _Piece:
    """A pattern's part between ``|``: what is not anchored may have anything before and after."""

    def build(states: list[_State], onward: int) -> int:
        start = piece.build(states, onward if ends else _FOUND)
        if begins:
            return start
        states.append(_State(_any, len(states), [start]))
        return len(states) - 1

    return _Piece(build, piece.size + 1)


def _sequence(pieces: list[_Piece]) -> _Piece:
    def build(states: list[_State], onward: int) -> int:
        for piece in reversed(pieces):
            onward = piece.build(states, onward)
        return onward

    return _Piece(build, sum(piece.size for piece in pieces))


def _either(branches: list[_Piece]) -> _Piece:
    def build(states: list[_State], onward: int) -> int:
        starts = [piece.build(states, onward) for piece in branches]
        states.append(_State(free=starts))
        return len(states) - 1

    return _Piece(build, 1 + sum(piece.size for piece in branches))


def _repeat(piece: _Piece, least: int, most: int | None) -> _Piece:
    copies = least + (1 if most is None else most - least)

    def build(states: list[_State], onward: int) -> int:
        end = onward
        if most is None:
            states.append(_State(free=[onward]))
            loop = len(states) - 1
            states[loop].free.append(piece.build(states, loop))
            onward = loop
        for _ in range(0 if most is None else most - least):
            states.append(_State(free=[end, piece.build(states, onward)]))
            onward = len(states) - 1
        for _ in range(least):
            onward = piece.build(states, onward)
        return onward

    return _Piece(build, copies * (piece.size + 1))
