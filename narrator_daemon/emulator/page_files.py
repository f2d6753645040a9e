"""The demo page, for browsers of this machine.

What is served lies beside this file, built from ``examples/frontend`` when the package is, by
``tools/build_page.py``. The page signs itself in as an admin, as anybody can at a local Firebase.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from functools import cache
from pathlib import Path

from aiohttp import web

#: Where the page is. No clash with the REST API, whose paths end in ``.json``.
PAGE = "/demo/"

_FOLDER = Path(__file__).parent / "page"
_INDEX = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    # Browsers take it with nothing behind it.
    ".wasm": "application/wasm",
}
#: What may compile WebAssembly: the page that verifies credentials, and its worker.
_COMPILES = "detector"


def is_built() -> bool:
    """Whether there is a page; a clone that nobody has set up has none."""
    return (_FOLDER / _INDEX).is_file()


def answer(request: web.Request) -> web.StreamResponse:
    """Answer a request below ``PAGE``."""
    if request.remote is None or not ipaddress.ip_address(request.remote).is_loopback:
        return web.Response(status=403, text="The demo page is for this machine alone.\n")
    if request.method not in {"GET", "HEAD"}:
        return web.Response(status=405, headers={"Allow": "GET, HEAD"})
    file = _files().get(request.path.removeprefix(PAGE) or _INDEX)
    if file is None:
        missing = "There is no such file." if is_built() else "The page is not built: make page."
        return web.Response(status=404, text=f"{missing}\n")
    scripts = f"'self' {_import_map()}"
    if file.relative_to(_FOLDER).as_posix().startswith(_COMPILES):
        scripts += " 'wasm-unsafe-eval'"
    headers = {
        "Content-Type": _TYPES[file.suffix],
        "Cache-Control": "no-cache",
        # Of the page's own origin but for the audio, whose URLs come from the database.
        "Content-Security-Policy": (
            f"default-src 'none'; script-src {scripts}; style-src 'self'; "
            # Words and times of a narration lie in the local storage.
            f"img-src 'self'; connect-src 'self' ws://{request.host} http://127.0.0.1:* "
            "http://localhost:*; media-src http: https:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return web.Response(body=file.read_bytes(), headers=headers)


@cache
def _files() -> dict[str, Path]:
    """What may be asked for: nothing else on this machine can be reached."""
    return {
        path.relative_to(_FOLDER).as_posix(): path
        for path in _FOLDER.rglob("*")
        if path.is_file() and path.suffix in _TYPES
    }


@cache
def _import_map() -> str:
    """The digest of the page's import map, the one script that stands in the page itself."""
    text = (_FOLDER / _INDEX).read_text(encoding="utf-8")
    (script,) = re.findall(r'<script type="importmap">(.*?)</script>', text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"
