"""What a request line names: the path as it was sent, undecoded."""

from __future__ import annotations

import logging
import re

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


def raw_path(request: web.Request) -> str:
    """The path, percent-encoded as it came, without the query.

    Clients that speak through a proxy name scheme and host too.
    """
    path = _AUTHORITY.sub("", request.raw_path, count=1)
    return path.partition("?")[0] or "/"


def request_log(name: str) -> logging.Logger:
    """A logger for a server, which says nothing of requests that are no HTTP.

    They are answered with 400, and are the client's affair; what goes wrong here is shown.
    """
    log = logging.getLogger(name)
    log.addFilter(_is_ours)
    return log


def _is_ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    return not isinstance(error, HttpProcessingError)
