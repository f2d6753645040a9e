"""Whether a built site asks the network for anything when it is read: check_site.py FOLDER.

Links that a reader may follow are fine; what a browser would fetch by itself must lie in the site.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Attributes of elements whose target is fetched without a click.
_FETCHED = {
    ("audio", "src"),
    ("embed", "src"),
    ("iframe", "src"),
    ("img", "src"),
    ("img", "srcset"),
    ("image", "href"),
    ("link", "href"),
    ("object", "data"),
    ("script", "src"),
    ("source", "src"),
    ("source", "srcset"),
    ("use", "href"),
    ("video", "src"),
}
#: Relations of a <link> that only say something.
_SAID = {"canonical", "next", "prev"}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "link" and attributes.get("rel") in _SAID:
            return
        self.fetched += [value for name, value in attrs if value and (tag, name) in _FETCHED]


def _wrong(site: Path) -> Iterator[str]:
    pages = sorted(site.rglob("*.html"))
    if not pages:
        yield f"{site}: there is no page"
    for path in pages:
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        for address in page.fetched:
            parts = urlsplit(address)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                yield f"{path}: fetches {address}"
            # Those of the 404 page begin at the root of a server.
            elif path.name != "404.html" and not (path.parent / unquote(parts.path)).exists():
                yield f"{path}: there is no {address}"
    for path in sorted(site.rglob("*.css")):
        for address in re.findall(r"url\(['\"]?([^)'\"]+)", path.read_text(encoding="utf-8")):
            if urlsplit(address).scheme not in {"", "data"} or address.startswith("//"):
                yield f"{path}: fetches {address}"


if __name__ == "__main__":
    found = list(_wrong(Path(sys.argv[1])))
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(1 if found else 0)
