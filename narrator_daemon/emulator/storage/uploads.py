"""Uploads: in one piece, with metadata before the content, or in chunks that can be resumed.

Sources: https://cloud.google.com/storage/docs/uploads-downloads,
https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from narrator_daemon.emulator.storage.conditions import Conditions
from narrator_daemon.emulator.storage.objects import StorageError, checksums, invalid

#: How an upload ended that the client has called off.
CANCELLED = 499
#: Uploads that may be under way at once, and how long one may be left alone.
MAX_UPLOADS = 1000
MAX_IDLE_SECONDS = 7 * 24 * 3600.0

_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-([0-9]{1,18}|\*)|\*)/([0-9]{1,18}|\*)\Z")
_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;\s]+))', re.IGNORECASE)


@dataclass(slots=True)
class Upload:
    """What is to be stored once it is there.

    Attributes:
        bucket: where.
        name: what it is to be called.
        resource: what the client says about it, as a resource of the JSON API.
        conditions: what must be true of the object that is there.
        content: what has come so far.
        credential: the ``Authorization`` that the upload began with.
        ended: the answer to whoever asks again: a status, None while it goes on.
        touched: when anything came, monotonic seconds.
    """

    bucket: str
    name: str
    resource: dict[str, Any]
    conditions: Conditions
    content: bytearray = field(default_factory=bytearray)
    credential: str | None = None
    ended: int | None = None
    touched: float = 0.0

    def end(self, status: int) -> None:
        """Remember how it ended, and let the content go."""
        self.ended = status
        self.content.clear()

    def check(self, headers: Mapping[str, str]) -> None:
        """Compare the content with the checksums that the client gave.

        Args:
            headers: of the last request: ``X-Goog-Hash`` and ``Content-MD5`` count too.

        Raises:
            StorageError: they are of something else.
        """
        md5, crc32c = checksums(bytes(self.content))
        given = _hashes(headers.get("X-Goog-Hash", ""))
        wanted = [
            ("MD5 hash", md5, self.resource.get("md5Hash")),
            ("MD5 hash", md5, given.get("md5")),
            ("MD5 hash", md5, headers.get("Content-MD5")),
            ("CRC32C", crc32c, self.resource.get("crc32c")),
            ("CRC32C", crc32c, given.get("crc32c")),
        ]
        for kind, found, said in wanted:
            if said is not None and not _same(found, said):
                shown = json.dumps(str(said)[:80])
                raise invalid(
                    f'Provided {kind} {shown} doesn\'t match calculated {kind} "{found}".'
                )


def _hashes(header: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in header.split(","))
    return {name.lower(): value for name, _, value in pairs if value}


def _same(found: str, said: object) -> bool:
    try:
        return base64.b64decode(found) == base64.b64decode(str(said), validate=True)
    except (binascii.Error, ValueError):
        return False


class Uploads:
    """The uploads in chunks that are under way, by their ids. Belongs to one event loop.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._uploads: dict[str, Upload] = {}

    def begin(self, upload: Upload) -> str:
        """Take an upload in; gives its id.

        Raises:
            StorageError: too many are under way.
        """
        now = self._clock()
        for known in [k for k, u in self._uploads.items() if now - u.touched > MAX_IDLE_SECONDS]:
            del self._uploads[known]
        ended = [known for known, other in self._uploads.items() if other.ended is not None]
        for known in ended[: max(0, len(self._uploads) - MAX_UPLOADS + 1)]:
            del self._uploads[known]
        if len(self._uploads) >= MAX_UPLOADS:
            raise StorageError(429, "Too many uploads are under way.", "rateLimitExceeded")
        upload.touched = now
        number = secrets.token_urlsafe(32)
        self._uploads[number] = upload
        return number

    def find(self, number: str) -> Upload:
        """The upload of that id.

        Raises:
            StorageError: there is none.
        """
        upload = self._uploads.get(number)
        if upload is None:
            raise StorageError(404, "There is no such upload.", "notFound")
        upload.touched = self._clock()
        return upload

    def forget(self, number: str) -> None:
        """Let an upload go."""
        self._uploads.pop(number, None)


def add_chunk(upload: Upload, content_range: str | None, chunk: bytes) -> bool:
    """Add what a request brings; gives whether the upload is complete.

    Args:
        upload: what it is a part of.
        content_range: the header of that name; None where the request brings everything.
        chunk: the body of the request.

    Raises:
        StorageError: the chunk does not go on where the last one ended, or is of another length.
    """
    if content_range is None:
        upload.content[:] = chunk
        return True
    match = _RANGE.match(content_range.strip())
    if match is None:
        raise invalid(f"Invalid Content-Range: {content_range!r:.80}")
    total = None if match[3] == "*" else int(match[3])
    if match[1] is not None:
        start = int(match[1])
        # A client that does not know how much it has sends all of it, from the start on.
        open_ended = match[2] == "*"
        end = start + len(chunk) - 1 if open_ended else int(match[2])
        if open_ended and total is None:
            total = end + 1
        if end - start + 1 != len(chunk) or (total is not None and end >= total):
            raise invalid(f"Content-Range {content_range!r:.80} is not that of the body.")
        if start > len(upload.content):
            raise StorageError(
                503, "A chunk in between is missing. Ask for the status and go on from there.",
                "backendError",
            )  # fmt: skip
        # What came before, and was perhaps not heard of, may come again.
        known = len(upload.content) - start
        upload.content += chunk[known:]
    return total is not None and len(upload.content) == total


def parse_multipart(content_type: str, body: bytes) -> tuple[dict[str, Any], str | None, bytes]:
    """Metadata, type and content of a body of two parts.

    Raises:
        StorageError: it has not two parts, or the first is no JSON object.
    """
    boundary = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/") or boundary is None:
        raise invalid("Bad content type. A multipart upload is multipart/related with a boundary.")
    mark = b"--" + (boundary[1] or boundary[2]).encode()
    parts = re.split(rb"(?:\A|\r?\n)" + re.escape(mark) + rb"(?:--)?[ \t]*(?:\r?\n|\Z)", body)
    if len(parts) < 3:
        raise invalid("Unexpected number of parts in request body: a multipart upload has two.")
    _, resource = _part(parts[1])
    headers, content = _part(parts[2])
    return parse_resource(resource), headers.get("content-type"), content


def _part(part: bytes) -> tuple[dict[str, str], bytes]:
    if part.startswith((b"\r\n", b"\n")):
        return {}, part[2:] if part.startswith(b"\r\n") else part[1:]
    match = re.search(rb"\r?\n\r?\n", part)
    if match is None:
        raise invalid("A part of the request body has no blank line after its headers.")
    lines = part[: match.start()].decode(errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}, part[match.end() :]


def parse_resource(body: bytes) -> dict[str, Any]:
    """The resource of the JSON API in a body; an empty body says nothing.

    Raises:
        StorageError: it is no JSON object.
    """
    if not body.strip():
        return {}
    try:
        resource = json.loads(body)
    except (ValueError, RecursionError):
        raise invalid("Parse Error: the body is not JSON.") from None
    if not isinstance(resource, dict):
        raise invalid("The body is a JSON object.")
    return resource
