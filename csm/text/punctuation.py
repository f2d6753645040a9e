"""Separators between words: one mark, its quotes, one space, whatever was written."""

from __future__ import annotations

import re
from functools import lru_cache

from csm.text.traced import Traced

#: What a separator may be written with.
SEPARATORS = " ,;:.!?\"'()[]{}—–-"
_MARKS = r"[ ,;:.!?\"'()\[\]{}—–-]"
_RUN = re.compile(r"[ ,;:.!?\"'()\[\]{}—–-]{2,}|[()\[\]{}—–]")
#: Those and the marks at the ends, however few.
_ALL_RUNS = re.compile(rf"\A{_MARKS}+|{_MARKS}+\Z|{_RUN.pattern}")
_ASIDE = re.compile(r"[—–()\[\]{}]| -+ ")
_GLUED = re.compile(r"[,;:!?](?=[^\W\d_])|\.(?=[A-Z][a-z])")
_QUOTES = re.compile(r"[\"']")
_MARK_AND_QUOTE = re.compile(r"[.,;:!?]+[\"']")
_BREAK = re.compile(r"[ —–()\[\]{}]")

#: The longest run whose result is worth remembering.
_SHORT = 12


def tidy(text: Traced) -> Traced:
    """Write every separator of one paragraph in its plain form; doing it twice changes nothing.

    Dashes and brackets become the comma that a reader makes of them, doubled marks become one, a
    closing quote stands after its mark, the ends carry no loose marks.
    """
    text = text.sub(_GLUED, lambda match: f"{match.group()} ")
    written = text.text
    start = len(written) - len(written.lstrip(SEPARATORS))
    end = len(written.rstrip(SEPARATORS))
    if end <= start:
        return text.part(0, 0)

    def plain(match: re.Match[str]) -> str:
        if match.end() <= start:
            return _some_quotes(_after_last_space(match.group()))
        return _end(match.group()) if match.start() >= end else _plain(match.group())

    # A single mark at an end is part of no run, and changes only where it is no end.
    loose = (start == 1 and written[0] not in "\"'") or (
        end == len(written) - 1 and written[-1] not in ".?!\"'"
    )
    return text.sub(_ALL_RUNS if loose else _RUN, plain)


def _plain(run: str) -> str:
    return _remembered(run) if len(run) <= _SHORT else _resolve(run)


def _resolve(run: str) -> str:
    mark = _mark(run)
    pieces = _BREAK.split(run)
    if len(pieces) == 1:
        if run == "''":
            return '"'
        return f"{mark}{_some_quotes(run)} "
    # What follows a mark closes: the quote of ". . . ,\"" stands apart from the first dot.
    closing = pieces[0] + "".join(piece for piece in pieces[1:-1] if _MARK_AND_QUOTE.match(piece))
    return f"{mark}{_some_quotes(closing)} {_some_quotes(pieces[-1])}"


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
