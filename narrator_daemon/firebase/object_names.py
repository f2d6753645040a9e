"""How objects in the bucket are named, and what their metadata can hold."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote

#: How a narration's own object ends.
WAV = ".wav"


def slug(book_id: str) -> str:
    """A short, safe name for a book.

    The id itself where it is made of letters, digits, ``_`` and ``-`` and at most 100 long; else
    what is readable of it, at most 40 characters, ``-`` and 32 hex digits of its SHA-256. A book
    can be given an id that equals another's slug; the claim's token keeps their objects apart.
    """
    if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", book_id):
        return book_id
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", book_id)[:40].strip("-")
    digest = hashlib.sha256(book_id.encode("utf-8", errors="surrogatepass")).hexdigest()[:32]
    return f"{readable}-{digest}" if readable else digest


def beside(path: str, ending: str) -> str:
    """The name of an object beside a WAV, made under the same claim.

    Args:
        path: the WAV's.
        ending: of letters, digits and dots, such as ``m4a``.
    """
    return f"{path.removesuffix(WAV)}.{ending}"


def is_name(path: str) -> bool:
    """Whether an object can have this name.

    Source: https://cloud.google.com/storage/docs/objects#naming
    """
    try:
        size = len(path.encode("utf-8"))
    except UnicodeEncodeError:
        return False
    return 0 < size <= 1024 and path not in (".", "..") and not re.search(r"[\r\n\0]", path)


def metadata_text(text: str) -> str:
    """A text as an object's metadata hold it."""
    # Metadata travels in headers too on its way to readers: printable ASCII survives everywhere.
    return quote(text, safe=" !#$&'()*+,/:;=?@[]~", errors="surrogatepass")
