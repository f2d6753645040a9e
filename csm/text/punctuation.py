"""Separators between words: one mark, its quotes, one space, whatever was written."""

from __future__ import annotations

import re
from functools import lru_cache

#: What a separator may be written with.
SEPARATORS = " ,;:.!?\"'()[]{}—–-"
_RUN = re.compile(r"[ ,;:.!?\"'()\[\]{}—–-]{2,}|[()\[\]{}—–]")
_ASIDE = re.compile(r"[—–()\[\]{}]| -+ ")
_GLUED = re.compile(r"[,;:!?](?=[^\W\d_])|\.(?=[A-Z][a-z])")
_QUOTES = re.compile(r"[\"']")
_NOT_QUOTES = re.compile(r"[^\"']")
_BREAK = re.compile(r"[ —–()\[\]{}]")

#: The longest run whose result is worth remembering.
_SHORT = 12


def tidy(text: str) -> str:
    """Write every separator of one paragraph in its plain form; doing it twice changes nothing.

    Dashes and brackets become the comma that a reader makes of them, doubled marks become one, a
    closing quote stands after its mark, the ends carry no loose marks.
    """
    text = _GLUED.sub(lambda match: f"{match.group()} ", text)
    body = text.lstrip(SEPARATORS)
    head = text[: len(text) - len(body)]
    core = body.rstrip(SEPARATORS)
    tail = body[len(core) :]
    if not core:
        return ""
    middle = _RUN.sub(lambda match: _plain(match.group()), core)
    return _some_quotes(_after_last_space(head)) + middle + _end(tail)


def _plain(run: str) -> str:
    return _remembered(run) if len(run) <= _SHORT else _resolve(run)


def _resolve(run: str) -> str:
    mark = _mark(run)
    pieces = _BREAK.split(run)
    if len(pieces) == 1:
        if run == "''":
            return '"'
        return f"{mark}{_some_quotes(run)} "
    return f"{mark}{_some_quotes(pieces[0])} {_some_quotes(pieces[-1])}"


_remembered = lru_cache(maxsize=4096)(_resolve)


def _mark(run: str) -> str:
    """The one mark that a reader hears in a run of them."""
    if "?" in run:
        return "?"
    if "!" in run:
        return "!"
    if ".." in run:
        return "..."
    if "." in run:
        # An abbreviation's stop does not end the sentence when it goes on with a comma.
        later = run[run.rindex(".") :]
        return ";" if ";" in later else "," if "," in later else "."
    if ";" in run:
        return ";"
    if ":" in run:
        return ":"
    return "," if "," in run or _ASIDE.search(run) else ""


def _end(run: str) -> str:
    mark = _mark(run)
    return (mark if mark in ("?", "!", "...", ".") else "") + _some_quotes(run)


def _after_last_space(run: str) -> str:
    return _BREAK.split(run)[-1]


def _some_quotes(run: str) -> str:
    """The quotes of a run, each kind once, in their order."""
    return "".join(dict.fromkeys(_QUOTES.findall(run)))
