"""Logging: readable lines on a terminal, JSON otherwise, one event per step.

Events carry ids, attempts and seconds; never a book's text, a key, or what makes a URL usable.
``redact`` is the net under that rule for texts that come from elsewhere, such as an SDK's errors.
"""

from __future__ import annotations

import io
import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, TextIO, TypeAlias

import structlog

from narrator_daemon.errors import NarratorError

Level: TypeAlias = Literal["debug", "info", "warning", "error"]

_SECRETS = (
    # What makes a signed or token URL usable.
    (
        re.compile(
            r"((?:X-Goog-Signature|Signature|access_token|auth|token|upload_id)=)[^&\s\"']+"
        ),
        r"\1…",
    ),
    (re.compile(r"(Bearer\s+)[\w.~+/-]+=*"), r"\1…"),
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.S
        ),
        "…private key…",
    ),
    # Who logs in at an address: a proxy's, say.
    (re.compile(r"(://)[^/\s@]+@"), r"\1…@"),
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), "hf_…"),
    (re.compile(r"\bya29\.[\w.-]+"), "ya29.…"),
)


def redact(text: str) -> str:
    """``text`` without signatures, tokens and private keys."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _redact_event(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return {name: _redact_value(value) for name, value in event.items()}


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _redact_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redact_value(inner) for inner in value]
    return value


class _NamedLogger(structlog.PrintLogger):
    """Prints, and has a name as the standard library's loggers have."""

    def __init__(self, file: TextIO, name: str) -> None:
        super().__init__(file)
        self.name = name


def _add_severity(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """The level by the name that Google's collectors read; without it all is an error to them."""
    event["severity"] = str(event.get("level", "info")).upper()
    return event


def _add_emulated(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    event["emulated"] = True
    return event


def configure(
    level: Level, form: Literal["auto", "text", "json"], *, emulated: bool = False
) -> None:
    """Set up logging to standard error for this process.

    Args:
        level: least severe level that is written.
        form: ``auto`` is text on a terminal and JSON elsewhere.
        emulated: whether all lines say that this is on a local Firebase.
    """
    out = _Captured.original(sys.stderr)
    as_text = form == "text" or (form == "auto" and out.isatty())
    _Captured.is_text = as_text
    shared: list[Any] = [
        *([_add_emulated] if emulated else []),
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any]
    if as_text:
        last = [
            structlog.processors.format_exc_info,
            _redact_event,
            structlog.dev.ConsoleRenderer(colors=out.isatty()),
        ]
    else:
        last = [
            _add_severity,
            structlog.processors.format_exc_info,
            _redact_event,
            structlog.processors.JSONRenderer(),
        ]
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=partial(_NamedLogger, out),
    )
    # Libraries log through the standard library: their warnings get the same form and net.
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(threshold, logging.WARNING))
    # It warns of every single retry; what comes of them is reported by whoever asked.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _say_the_end(error: Exception) -> int:
    """Log what ends the process; gives its exit status, as the command line would."""
    if isinstance(error, NarratorError):
        get(__name__).error("cannot_run", why=str(error))
        return 2
    if isinstance(error, OSError) and error.errno is not None:
        get(__name__).error("cannot_run", why=f"{error.filename or 'files'}: {error.strerror}")
        return 2
    get(__name__).critical("uncaught", exc_info=error)
    return 1


class _Captured(io.TextIOBase):
    """A standard stream of which each line that is written becomes an event.

    Args:
        stream: the original.
        level: of the events.
    """

    #: Whether the log is for people: then nothing is changed.
    is_text = True

    def __init__(self, stream: TextIO, level: int) -> None:
        self.stream = stream
        self._level = level
        self._lock = threading.Lock()
        self._begun = ""

    @staticmethod
    def original(stream: Any) -> TextIO:
        """The stream itself, where it is captured."""
        found: TextIO = stream.stream if isinstance(stream, _Captured) else stream
        return found

    def write(self, text: str) -> int:
        with self._lock:
            # Bars of progress go back to the beginning of their line.
            *lines, self._begun = re.split(r"[\r\n]+", self._begun + text)
        for line in lines:
            if plain := _ESCAPES.sub("", line).strip():
                get("print").log(self._level, "printed", text=plain)
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self.stream.fileno()


#: Colours and movements of a terminal.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@contextmanager
def captured() -> Iterator[None]:
    """Have all that the process says go through the log, as long as this lasts.

    Warnings, errors that nobody catches, in whatever thread, errors that Python ignores, and, where
    the log is JSON, whatever a library prints. What is no Python (the system's loader, a crash of
    the interpreter) writes as it likes.
    """
    out, err = sys.stdout, sys.stderr
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    log = get(__name__)

    def uncaught(kind: Any, error: BaseException, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("uncaught", exc_info=(kind, error, trace))

    def in_thread(seen: threading.ExceptHookArgs) -> None:
        if seen.exc_value is not None and not issubclass(seen.exc_type, SystemExit):
            name = seen.thread.name if seen.thread else None
            exc_info = (seen.exc_type, seen.exc_value, seen.exc_traceback)
            log.error("thread_died", thread=name, exc_info=exc_info)

    def ignored(seen: Any) -> None:
        exc_info = (seen.exc_type, seen.exc_value, seen.exc_traceback)
        about = seen.err_msg or "Exception ignored in"
        log.warning("ignored", about=about, where=repr(seen.object)[:200], exc_info=exc_info)

    sys.excepthook, threading.excepthook, sys.unraisablehook = uncaught, in_thread, ignored
    logging.captureWarnings(True)
    if not _Captured.is_text:
        sys.stdout = _Captured(out, logging.INFO)
        sys.stderr = _Captured(err, logging.WARNING)
    try:
        yield
    except Exception as error:
        if _Captured.is_text:
            raise
        raise SystemExit(_say_the_end(error)) from None
    finally:
        sys.stdout, sys.stderr = out, err
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
        logging.captureWarnings(False)


def say_in_this_thread(facts: Mapping[str, object]) -> None:
    """Have all that this thread logs from now on carry ``facts``."""
    structlog.contextvars.bind_contextvars(**facts)


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose events carry ``name``, a module's, as their ``logger``."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger
