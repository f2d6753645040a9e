"""The demo page, for browsers of this machine.

What is served lies beside this file, built from ``examples/frontend``. The page signs itself in as
an admin, as anybody can at a local Firebase.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

from aiohttp import web

#: Where the page is. No clash with the REST API, whose paths end in ``.json``.
PAGE = "/demo/"

_FOLDER = Path(__file__).parent / "page"
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_FILES = {file.name: file for file in _FOLDER.iterdir() if file.suffix in _TYPES}


def answer(request: web.Request) -> web.StreamResponse:
    """Answer a request below ``PAGE``."""
    if request.remote is None or not ipaddress.ip_address(request.remote).is_loopback:
        return web.Response(status=403, text="The demo page is for this machine alone.\n")
    if request.method not in {"GET", "HEAD"}:
        return web.Response(status=405, headers={"Allow": "GET, HEAD"})
    file = _FILES.get(request.path.removeprefix(PAGE) or "index.html")
    if file is None:
        return web.Response(status=404, text="There is no such file.\n")
    headers = {
        "Content-Type": f"{_TYPES[file.suffix]}; charset=utf-8",
        "Cache-Control": "no-cache",
        # Of the page's own origin but for the audio, whose URLs come from the database.
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            f"connect-src 'self' ws://{request.host}; media-src http: https:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return web.Response(body=file.read_bytes(), headers=headers)
