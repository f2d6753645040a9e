"""One spelling for each address: of the database, of the bucket, and so of the catalogue."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

#: Hosts that Google runs databases on: these are reached by TLS alone.
_GOOGLES = re.compile(r"[a-z0-9-]+\.(firebaseio\.com|[a-z0-9-]+\.firebasedatabase\.app)")

_DATABASE = "must look like https://PROJECT-default-rtdb.firebaseio.com, with no path"
_BUCKET = "must be a bucket's name alone, such as PROJECT.appspot.com"


def database_url(written: str) -> str:
    """The one spelling of a database's address.

    Args:
        written: as people write it: with a slash at its end, in capitals, with a port that needs no
            saying, or without its scheme where the host is Google's.

    Raises:
        ValueError: it is no address of a database.
    """
    text = written.strip()
    if "://" not in text and _GOOGLES.fullmatch(text.rstrip("/").lower()):
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(_DATABASE) from None
    if (
        parts.scheme not in ("http", "https")
        or not host
        or re.search(r"\s", text)
        or parts.username is not None
        or parts.path.strip("/")
        or parts.fragment
        or not re.fullmatch(r"(ns=[\w-]+)?", parts.query)
    ):
        raise ValueError(_DATABASE)
    if _GOOGLES.fullmatch(host) and parts.scheme == "http":
        raise ValueError("must begin with https://, as the database is reached by TLS alone")
    if ":" in host:
        host = f"[{host}]"
    usual = {"http": 80, "https": 443}[parts.scheme]
    place = host if port in (None, usual) else f"{host}:{port}"
    return f"{parts.scheme}://{place}" + (f"?{parts.query}" if parts.query else "")


def bucket(written: str) -> str:
    """The one spelling of a bucket's name.

    Args:
        written: as people write it: with ``gs://`` before it or a slash at its end.

    Raises:
        ValueError: it is no name of a bucket.
    """
    name = written.strip().removeprefix("gs://").rstrip("/")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", name):
        raise ValueError(_BUCKET)
    return name


def catalogue(url: str, path: str) -> str:
    """The name of a catalogue: what its audio carries, to be told from that of others.

    Args:
        url: of the database (``database_url``).
        path: of the folder of books.
    """
    return f"{url}/{path}"


def same_catalogue(left: str, right: str) -> bool:
    """Whether two names are of one catalogue, in whatever spelling they were written."""
    return left == right or _plain(left) == _plain(right)


def _plain(name: str) -> str:
    scheme, _, rest = name.strip().partition("://")
    host, query, path = re.fullmatch(r"([^/?]*)/*(\?ns=[\w-]+)?(.*)", rest, re.S).groups()  # type: ignore[union-attr]
    host = re.sub(r":443$" if scheme.lower() == "https" else r":80$", "", host.lower())
    host = re.sub(r"^(localhost|\[::1\]|127\.0\.0\.1|0\.0\.0\.0)(?=:|$)", "localhost", host)
    plain_path = "/".join(filter(None, path.split("/")))
    return f"{scheme.lower()}://{host}{query or ''}/{plain_path}"
