"""Covers of books, brought from the catalogue's own bucket and from nowhere else.

A book may name anything: an address of another machine would make the daemon ask there, in its own
network, for whoever edits a book.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from google.cloud.storage.retry import DEFAULT_RETRY

from narrator_daemon.cover import MOST_BYTES, BadCover, Cover, cover_of
from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase.answers import storage_errors
from narrator_daemon.firebase.project import Project

_CONNECT_AND_READ_SECONDS = (5.0, 30.0)
_GIVE_UP_SECONDS = 15.0

_FIREBASE, _GOOGLE = "https://firebasestorage.googleapis.com", "https://storage.googleapis.com"


def bring(project: Project, named: object) -> Cover | None:
    """The cover that a book names; None where it names none.

    Args:
        project: the bucket.
        named: what the book holds: the name of an object, its ``gs://`` address, or a URL by which
            Firebase or Cloud Storage gives it out.

    Raises:
        BadCover: it is not in the bucket, cannot be had, is too large, or is no picture.
    """
    if named is None or named == "":
        return None
    name = object_name(named, project.bucket_name, project.storage_emulator)
    if name is None:
        raise BadCover("it is not in the catalogue's own bucket")
    try:
        with storage_errors(project.bucket_name):
            blob = project.bucket.get_blob(name, timeout=_CONNECT_AND_READ_SECONDS)
            if blob is None:
                raise BadCover("the bucket has no such object")
            if not blob.size:
                raise BadCover("it is empty")
            if blob.size > MOST_BYTES:
                raise BadCover(
                    f"it has {blob.size / 1e6:.1f} MB; at most {MOST_BYTES / 1e6:.1f} will do"
                )
            data = blob.download_as_bytes(
                # What is stored compressed may be of any size once it is not.
                raw_download=True,
                if_generation_match=blob.generation,
                end=MOST_BYTES,
                timeout=_CONNECT_AND_READ_SECONDS,
                retry=DEFAULT_RETRY.with_timeout(_GIVE_UP_SECONDS),
            )
    except Unavailable as error:
        raise BadCover(f"it cannot be read: {error}") from error
    return cover_of(data)


def object_name(named: object, bucket: str, emulator: str | None = None) -> str | None:
    """Which object of the bucket is meant; None where that is none of this bucket.

    Args:
        named: as for ``bring``.
        bucket: its name.
        emulator: the base URL of a local Cloud Storage, where that is worked with.
    """
    if not isinstance(named, str) or len(named) > 4096:
        return None
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", named):
        return _usable(named.lstrip("/"))
    try:
        parts = urlsplit(named)
    except ValueError:
        return None
    base = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme == "gs":
        return _usable(parts.path[1:]) if parts.netloc == bucket else None
    if base not in (_FIREBASE, _GOOGLE, (emulator or _GOOGLE).rstrip("/")):
        return None
    for begins in (f"/v0/b/{bucket}/o/", f"/{bucket}/"):
        if parts.path.startswith(begins):
            return _usable(unquote(parts.path.removeprefix(begins)))
    return None


def _usable(name: str) -> str | None:
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return None
    return name if 0 < size <= 1024 and not re.search(r"[\r\n\0]", name) else None
