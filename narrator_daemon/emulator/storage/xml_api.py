"""The XML API of Cloud Storage: plain and signed URLs, and uploads in parallel parts.

Of a signed URL the expiry is checked, not the signature.

Sources: https://cloud.google.com/storage/docs/xml-api/overview,
https://cloud.google.com/storage/docs/access-control/signed-urls,
https://cloud.google.com/storage/docs/multipart-uploads
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

from aiohttp import web

from narrator_daemon.emulator.harness.target import raw_path
from narrator_daemon.emulator.storage.answers import empty, media, xml_refusal
from narrator_daemon.emulator.storage.conditions import Conditions
from narrator_daemon.emulator.storage.objects import (
    Metadata,
    ObjectStore,
    StorageError,
    StoredObject,
    checksums,
    invalid,
    no_object,
)
from narrator_daemon.emulator.storage.uploads import Upload, Uploads, add_chunk

#: Seconds that a V4 signed URL may live.
MAX_SIGNED_SECONDS = 604_800
#: Parts of one upload in parts, and such uploads at once.
MAX_PARTS = 10_000
MAX_PART_UPLOADS = 1000

_FIELDS = {
    "content-type": "contentType",
    "content-encoding": "contentEncoding",
    "content-disposition": "contentDisposition",
    "content-language": "contentLanguage",
    "cache-control": "cacheControl",
}
_CUSTOM = "x-goog-meta-"
_PARTS = re.compile(
    r"<Part>.*?<PartNumber>\s*([0-9]{1,5})\s*</PartNumber>.*?</Part>", re.DOTALL | re.IGNORECASE
)
_CODES = {
    400: "InvalidArgument",
    404: "NoSuchKey",
    412: "PreconditionFailed",
    429: "SlowDown",
    503: "ServiceUnavailable",
}


@dataclass(slots=True)
class _PartUpload:
    """An upload in parts that may come in any order, several at once."""

    upload: Upload
    parts: dict[int, bytes] = field(default_factory=dict)


class XmlApi:
    """Answers requests for ``/BUCKET/OBJECT``.

    Args:
        store: the objects.
        uploads: those under way.
        base: scheme, host and port of this server.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: ObjectStore,
        uploads: Uploads,
        base: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._uploads = uploads
        self._base = base
        self._clock = clock
        self._in_parts: dict[str, _PartUpload] = {}

    async def handle(self, request: web.Request, bucket: str, name: str) -> web.Response:
        """Answer one request; ``name`` is empty for the bucket itself."""
        if "X-Goog-Algorithm" in request.query:
            refused = signed_refusal(request.query, self._clock())
            if refused is not None:
                return refused
        try:
            return await self._answer(request, bucket, name)
        except StorageError as error:
            code = _CODES.get(error.status, "InvalidRequest")
            return xml_refusal(error.status, code, str(error))

    async def _answer(self, request: web.Request, bucket: str, name: str) -> web.Response:
        method = request.method
        if not name:
            if method == "POST":
                return await self._form(request, bucket)
            raise StorageError(405, "The specified method is not allowed.", "methodNotAllowed")
        if method in ("GET", "HEAD") and "uploadId" not in request.query:
            conditions = Conditions.parse(request.query)
            stored = conditions.pick(self._store.find(bucket, name))
            if stored is None:
                raise no_object(bucket, name)
            Conditions.of_headers(request.headers).check(stored, reading=True)
            return media(request, stored, self._store.content(stored))
        if method == "DELETE" and "uploadId" not in request.query:
            stored = self._store.find(bucket, name)
            if stored is None:
                raise no_object(bucket, name)
            Conditions.of_headers(request.headers).check(stored)
            self._store.delete(stored)
            return empty(204)
        if "uploads" in request.query or "uploadId" in request.query:
            return await self._parts(request, bucket, name)
        if method == "POST" and request.headers.get("x-goog-resumable") == "start":
            upload = self._begun(request, bucket, name)
            number = self._uploads.begin(upload)
            location = f"{self._base}{raw_path(request)}?upload_id={number}"
            return empty(201, Location=location)
        if method == "PUT":
            return await self._put(request, bucket, name)
        raise StorageError(405, "The specified method is not allowed.", "methodNotAllowed")

    def _begun(self, request: web.Request, bucket: str, name: str) -> Upload:
        self._store.bucket(bucket)
        resource: dict[str, Any] = {
            field_: request.headers[header]
            for header, field_ in _FIELDS.items()
            if header in request.headers
        }
        resource["metadata"] = {
            header[len(_CUSTOM) :].lower(): value
            for header, value in request.headers.items()
            if header.lower().startswith(_CUSTOM)
        }
        return Upload(bucket, name, resource, Conditions.of_headers(request.headers))

    async def _put(self, request: web.Request, bucket: str, name: str) -> web.Response:
        body = await request.read()
        number = request.query.get("upload_id")
        upload = (
            self._begun(request, bucket, name) if number is None else self._uploads.find(number)
        )
        if not add_chunk(upload, request.headers.get("Content-Range"), body):
            received = len(upload.content)
            return empty(308, **({"Range": f"bytes=0-{received - 1}"} if received else {}))
        if number is not None:
            self._uploads.forget(number)
        stored = self._stored(upload, request.headers)
        return empty(200, **_written(stored))

    def _stored(self, upload: Upload, headers: Mapping[str, str]) -> StoredObject:
        upload.check(headers)
        upload.conditions.check(self._store.find(upload.bucket, upload.name))
        metadata = Metadata.parse(upload.resource)
        return self._store.put(upload.bucket, upload.name, metadata, bytes(upload.content))

    async def _parts(self, request: web.Request, bucket: str, name: str) -> web.Response:
        if request.method == "POST" and "uploads" in request.query:
            if len(self._in_parts) >= MAX_PART_UPLOADS:
                raise StorageError(429, "Too many uploads are under way.", "rateLimitExceeded")
            number = secrets.token_urlsafe(32)
            self._in_parts[number] = _PartUpload(self._begun(request, bucket, name))
            return _xml("InitiateMultipartUploadResult", bucket, name, UploadId=number)
        number = request.query.get("uploadId", "")
        under_way = self._in_parts.get(number)
        if under_way is None or (under_way.upload.bucket, under_way.upload.name) != (bucket, name):
            raise StorageError(404, "The specified upload does not exist.", "notFound")
        if request.method == "PUT":
            return await self._part(request, under_way)
        if request.method == "DELETE":
            del self._in_parts[number]
            return empty(204)
        if request.method == "GET":
            return _listed(bucket, name, number, under_way.parts)
        body = (await request.read()).decode(errors="replace")
        wanted = [int(match) for match in _PARTS.findall(body)]
        missing = [part for part in wanted if part not in under_way.parts]
        if not wanted or missing or wanted != sorted(set(wanted)):
            raise StorageError(
                400, "One or more of the parts could not be found, or they are out of order.",
                "invalidPart",
            )  # fmt: skip
        upload = under_way.upload
        upload.content[:] = b"".join(under_way.parts[part] for part in wanted)
        stored = self._stored(upload, {})
        self._in_parts.pop(number, None)
        return _xml("CompleteMultipartUploadResult", bucket, name, ETag=f'"{stored.md5}"')

    async def _part(self, request: web.Request, under_way: _PartUpload) -> web.Response:
        number = request.query.get("partNumber", "")
        if not number.isascii() or not number.isdecimal() or not 1 <= int(number) <= MAX_PARTS:
            raise invalid(f"partNumber is a number from 1 to {MAX_PARTS}.")
        content = await request.read()
        part = Upload("", "", {}, Conditions(), bytearray(content))
        part.check(request.headers)
        under_way.parts[int(number)] = content
        md5, crc32c = checksums(content)
        hashes = {"X-Goog-Hash": f"crc32c={crc32c},md5={md5}"}
        return empty(200, ETag=_part_etag(content), **hashes)

    async def _form(self, request: web.Request, bucket: str) -> web.Response:
        """An upload from an HTML form, as signed policies allow; the policy is not checked."""
        if not request.content_type.startswith("multipart/form-data"):
            raise invalid("Content-Type must be multipart/form-data")
        try:
            form = await request.post()
        except ValueError as error:
            raise invalid(f"The form cannot be read: {error}") from None
        key, file = form.get("key"), form.get("file")
        if not isinstance(key, str) or not isinstance(file, web.FileField):
            raise invalid("Missing 'key' or file.")
        texts = {n.lower(): v for n, v in form.items() if isinstance(v, str)}
        resource: dict[str, Any] = {
            its: texts[name].strip() for name, its in _FIELDS.items() if name in texts
        }
        resource.setdefault("contentType", file.content_type)
        resource["metadata"] = {
            name[len(_CUSTOM) :]: text for name, text in texts.items() if name.startswith(_CUSTOM)
        }
        content = file.file.read()
        self._store.put(bucket, key, Metadata.parse(resource), content)
        return empty(204)


def _written(stored: StoredObject) -> dict[str, str]:
    return {
        "ETag": f'"{stored.md5}"',
        "X-Goog-Generation": str(stored.generation),
        "X-Goog-Metageneration": str(stored.metageneration),
        "X-Goog-Hash": f"crc32c={stored.crc32c},md5={stored.md5}",
    }


def _part_etag(content: bytes) -> str:
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    return f'"{base64.b16encode(digest).decode().lower()}"'


def _xml(kind: str, bucket: str, name: str, **more: str) -> web.Response:
    inside = "".join(f"<{tag}>{escape(text)}</{tag}>" for tag, text in more.items())
    return web.Response(
        text=(
            f"<?xml version='1.0' encoding='UTF-8'?><{kind} xmlns='http://s3.amazonaws.com/doc/"
            f"2006-03-01/'><Bucket>{escape(bucket)}</Bucket><Key>{escape(name)}</Key>"
            f"{inside}</{kind}>"
        ),
        content_type="application/xml",
        headers={"Access-Control-Allow-Origin": "*"},
    )


def _listed(bucket: str, name: str, number: str, parts: Mapping[int, bytes]) -> web.Response:
    answer = _xml("ListPartsResult", bucket, name, UploadId=number)
    inside = "".join(
        f"<Part><PartNumber>{part}</PartNumber><ETag>{escape(_part_etag(content))}</ETag>"
        f"<Size>{len(content)}</Size></Part>"
        for part, content in sorted(parts.items())
    )
    answer.text = str(answer.text).replace("</ListPartsResult>", f"{inside}</ListPartsResult>")
    return answer


def signed_refusal(query: Mapping[str, str], now: float) -> web.Response | None:
    """The answer to a signed URL that has expired or asks for too long a life.

    Args:
        query: its parameters.
        now: seconds since the epoch.
    """
    try:
        signed_at = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        seconds = int(query["X-Goog-Expires"])
    except (KeyError, ValueError):
        return xml_refusal(400, "AuthenticationRequired", "Malformed signed URL.")
    if not 1 <= seconds <= MAX_SIGNED_SECONDS:
        return xml_refusal(
            400, "InvalidArgument", f"X-Goog-Expires must be 1 to {MAX_SIGNED_SECONDS}."
        )
    end = signed_at + timedelta(seconds=seconds)
    if now >= end.timestamp():
        return xml_refusal(
            400,
            "ExpiredToken",
            "The provided token has expired.",
            f"Request signature expired at: {end.isoformat()}",
        )
    return None
