"""One check: what it looks at, what it found, and how long it may take."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import requests

from narrator_daemon import logs
from narrator_daemon.errors import NarratorError
from narrator_daemon.libraries import misfit

Result = Literal["pass", "warn", "fail"]

#: Seconds a check may take; those that load large libraries get more.
LIMIT_SECONDS, LONG_LIMIT_SECONDS = 20.0, 120.0


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report.

    Attributes:
        name: what was looked at.
        result: ``pass``, ``warn`` or ``fail``.
        note: what was found and, unless it passed, what to do. Never a secret.
    """

    name: str
    result: Result
    note: str


@dataclass(frozen=True)
class Found:
    """What a look found: its result, and the note that goes with it."""

    result: Result
    note: str


def passed(note: str) -> Found:
    """All is well."""
    return Found("pass", note)


def warned(note: str) -> Found:
    """It works, and could be better."""
    return Found("warn", note)


def failed(note: str) -> Found:
    """It does not work."""
    return Found("fail", note)


def check(name: str, look: Callable[[], Found], limit_seconds: float = LIMIT_SECONDS) -> Check:
    """Look, for so long at most; whatever goes wrong is this check's result and nobody else's.

    Args:
        name: what is looked at.
        look: gives what it found, or raises an error that says what to do.
        limit_seconds: past these the look is left alone and fails.
    """
    found: list[Found] = []

    def run() -> None:
        found.append(_look(look))

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    thread.join(limit_seconds)
    seen = found[0] if found else failed(f"no answer for {limit_seconds:g} s")
    return Check(name, seen.result, logs.redact(seen.note))


def _look(look: Callable[[], Found]) -> Found:
    try:
        return look()
    except NarratorError as error:
        return failed(str(error))
    except Exception as error:
        if (told := _outside(error)) is not None:
            return failed(told)
        return failed(
            f"the check itself failed ({type(error).__name__}: {error}); please report it"
        )


def _outside(error: Exception) -> str | None:
    """What to say of an error that comes from this machine and not from the program."""
    if (unfit := misfit(error)) is not None:
        return str(unfit)
    if isinstance(error, requests.RequestException):
        return f"no answer ({type(error).__name__}): check the network and its proxy settings"
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}: check that it is there, and whose it is"
    if isinstance(error, MemoryError):
        return "this machine has too little memory free"
    if isinstance(error, UnicodeError):
        return f"a file is not the text that it should be ({type(error).__name__})"
    return None
