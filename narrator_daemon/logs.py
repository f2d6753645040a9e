"""Logging: readable lines on a terminal, JSON otherwise, one event per step.

Events carry ids, attempts and seconds; never a book's text, a key, or what makes a URL usable.
``redact`` is the net under that rule for texts that come from elsewhere, such as an SDK's errors.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from functools import partial
from typing import Any, Literal, TextIO

import structlog

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


def configure(
    level: Literal["debug", "info", "warning", "error"], form: Literal["auto", "text", "json"]
) -> None:
    """Set up logging to standard error for this process.

    Args:
        level: least severe level that is written.
        form: ``auto`` is text on a terminal and JSON elsewhere.
    """
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
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
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
    else:
        last = [
            structlog.processors.format_exc_info,
            _redact_event,
            structlog.processors.JSONRenderer(),
        ]
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=partial(_NamedLogger, sys.stderr),
    )
    # Libraries log through the standard library: their warnings get the same form and net.
    handler = logging.StreamHandler(sys.stderr)
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


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose events carry ``name``, a module's, as their ``logger``."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger
