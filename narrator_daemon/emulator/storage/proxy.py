"""Cloud Storage: fake-gcs-server behind a proxy that adds what it lacks.

The proxy checks preconditions on every write (the server ignores them on some uploads and on
deletes), the expiry of V4 signed URLs, and the tokens of Firebase download URLs. Signatures
are not verified.

Sources: https://cloud.google.com/storage/docs/json_api/v1,
https://cloud.google.com/storage/docs/access-control/signed-urls
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from narrator_daemon.emulator.harness.traffic import Kind

#: Seconds that a V4 signed URL may live.
MAX_SIGNED_SECONDS = 604_800

_UPLOAD = re.compile(r"/(?:resumable/)?upload/(?:resumable/)?storage/v1/b/([^/]+)/o\Z")
_OBJECT = re.compile(r"/(?:download/)?storage/v1/b/([^/]+)/o/([^/]+)\Z")
_LIST = re.compile(r"/storage/v1/b/([^/]+)/o\Z")
_FIREBASE = re.compile(r"/v0/b/([^/]+)/o/([^/]+)\Z")
_RANGE_END = re.compile(r"bytes (?:\d+-(\d+)|\*)/(\d+|\*)\Z")
_CONDITIONS = (
    "ifGenerationMatch",
    "ifGenerationNotMatch",
    "ifMetagenerationMatch",
    "ifMetagenerationNotMatch",
)
# Between two connections these stay behind.
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "expect"}
)
_CORS = {"Access-Control-Allow-Origin": "*"}


@dataclass(frozen=True, slots=True)
class _Target:
    """An object and what must be true of it."""

    bucket: str
    name: str
    conditions: tuple[tuple[str, str], ...]


class StorageProxy:
    """Answers storage requests by passing them on.

    Args:
        backend: where fake-gcs-server answers.
        public_host: host and port that clients are to use.
    """

    def __init__(self, backend: str, public_host: str) -> None:
        self._backend = backend
        self._public_host = public_host
        self._client = aiohttp.ClientSession(
            auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)
        )
        self._uploads: dict[str, _Target] = {}
        # One write at a time, so that a precondition still holds when the object is written.
        self._writing = asyncio.Lock()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def create_bucket(self, bucket: str) -> None:
        """Make a bucket; one that is there already stays as it is."""
        async with self._client.post(f"{self._backend}/storage/v1/b", json={"name": bucket}) as got:
            if got.status not in (200, 409):
                got.raise_for_status()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._answer(request)
        except aiohttp.ClientConnectionError:
            return _json_error(503, "The storage server does not answer.", "backendError")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if request.method == "OPTIONS":
            return _preflight()
        if match := _FIREBASE.match(path):
            return await self._firebase(request, unquote(match[1]), unquote(match[2]))
        if match := _UPLOAD.match(path):
            return await self._upload(request, unquote(match[1]))
        if request.method in ("DELETE", "PATCH", "PUT") and (match := _OBJECT.match(path)):
            return await self._change(
                request, _target(unquote(match[1]), unquote(match[2]), request.query)
            )
        if "X-Goog-Algorithm" in request.query and (refusal := _signed_refusal(request.query)):
            return refusal
        return await self._pass_on(request)

    async def _upload(self, request: web.Request, bucket: str) -> web.StreamResponse:
        session = request.query.get("upload_id")
        if session is not None:
            return await self._upload_chunk(request, session)
        body = await request.read()
        name = request.query.get("name") or _name_in(request, body)
        target = _target(bucket, name, request.query)
        if request.query.get("uploadType") == "resumable":
            if refusal := await self._refusal(target):
                return refusal
            return await self._begin_upload(request, body, target)
        return await self._change(request, target, body)

    async def _begin_upload(
        self, request: web.Request, body: bytes, target: _Target
    ) -> web.StreamResponse:
        async with self._forward(request, body) as answer:
            location = URL(answer.headers.get("Location", ""), encoded=True)
            session = location.query.get("upload_id")
            if session is not None:
                self._uploads[session] = target
            return await self._send(request, answer)

    async def _upload_chunk(self, request: web.Request, session: str) -> web.StreamResponse:
        target = self._uploads.get(session)
        if target is None or not _is_last_chunk(request.headers.get("Content-Range")):
            return await self._pass_on(request)
        # Read before the lock is taken: a slow client holds nobody up.
        return await self._change(request, target, await request.read())

    async def _change(
        self, request: web.Request, target: _Target, body: bytes | None = None
    ) -> web.StreamResponse:
        if body is None:
            body = await request.read()
        async with self._writing:
            if refusal := await self._refusal(target):
                return refusal
            return await self._pass_on(request, body)

    async def _refusal(self, target: _Target) -> web.Response | None:
        """The answer to a request whose preconditions don't hold."""
        if not target.conditions:
            return None
        stored = await self._metadata(target.bucket, target.name)
        for condition, wanted in target.conditions:
            field = "metageneration" if "Metageneration" in condition else "generation"
            found = str(stored[field]) if stored else "0"
            if (found == wanted) == condition.endswith("NotMatch"):
                return _json_error(
                    412,
                    "At least one of the pre-conditions you specified did not hold.",
                    "conditionNotMet",
                )
        return None

    async def _metadata(self, bucket: str, name: str) -> dict[str, Any] | None:
        url = f"{self._backend}/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"
        async with self._client.get(URL(url, encoded=True)) as answer:
            if answer.status != 200:
                return None
            metadata: dict[str, Any] = await answer.json()
            return metadata

    async def _firebase(self, request: web.Request, bucket: str, name: str) -> web.StreamResponse:
        """A Firebase download URL: ``/v0/b/BUCKET/o/OBJECT?alt=media&token=TOKEN``."""
        if request.method not in ("GET", "HEAD"):
            return _json_error(405, "Method not allowed.", "methodNotAllowed")
        stored = await self._metadata(bucket, name)
        if stored is None:
            return _json_error(404, "Not Found.", "notFound")
        tokens = str(stored.get("metadata", {}).get("firebaseStorageDownloadTokens", ""))
        if request.query.get("token", "") not in tokens.split(",") or not tokens:
            return _json_error(403, "Permission denied.", "forbidden")
        if request.query.get("alt") != "media":
            return web.json_response({**stored, "downloadTokens": tokens}, headers=_CORS)
        path = f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}?alt=media"
        return await self._pass_on(request, path=path)

    async def _pass_on(
        self, request: web.Request, body: bytes | None = None, path: str | None = None
    ) -> web.StreamResponse:
        async with self._forward(request, body, path) as answer:
            return await self._send(request, answer)

    def _forward(
        self, request: web.Request, body: bytes | None = None, path: str | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _HOP_BY_HOP
        }
        # The server tells buckets in the host name from buckets in the path by it.
        headers["Host"] = self._public_host
        data: Any = body
        if body is None and request.body_exists:
            data = request.content
        return self._client.request(
            request.method,
            URL(self._backend + (path or request.raw_path), encoded=True),
            headers=headers,
            data=data,
            allow_redirects=False,
        )

    async def _send(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        # Read before the first byte goes out, so that an answer can still be held back.
        body = await answer.read()
        headers = CIMultiDict(
            (name, value)
            for name, value in answer.headers.items()
            if name.lower() not in _HOP_BY_HOP and name.lower() != "content-length"
        )
        headers.setdefault("Access-Control-Allow-Origin", "*")
        if request.method == "HEAD":
            headers["Content-Length"] = answer.headers.get("Content-Length", "0")
            return web.Response(status=answer.status, headers=headers)
        return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=body)


def kind_of(request: web.Request) -> Kind:
    """What a request is counted as."""
    path = request.raw_path.partition("?")[0]
    return Kind("storage", request.method, _action(request.method, path), "/")


def _action(method: str, path: str) -> str:
    if _UPLOAD.match(path):
        return "upload"
    if _LIST.match(path):
        return "list"
    if method in ("GET", "HEAD") and not path.startswith("/storage/v1/"):
        return "download"
    return "object" if _OBJECT.match(path) else "other"


def _target(bucket: str, name: str, query: Mapping[str, str]) -> _Target:
    conditions = tuple((c, query[c]) for c in _CONDITIONS if c in query)
    return _Target(bucket, name, conditions)


def _name_in(request: web.Request, body: bytes) -> str:
    """The object's name in the metadata of an upload, ``""`` if there is none."""
    if request.query.get("uploadType") == "multipart":
        # The first part is the metadata; JSON holds no blank line of its own there.
        body = (
            re.split(rb"\r?\n\r?\n", body, maxsplit=2)[1].partition(b"\r\n--")[0] if body else b""
        )
    try:
        metadata = json.loads(body or b"{}")
    except ValueError:
        return ""
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""


def _is_last_chunk(content_range: str | None) -> bool:
    if content_range is None:
        return True
    match = _RANGE_END.match(content_range.strip())
    return (
        match is not None
        and match[1] is not None
        and match[2] != "*"
        and int(match[1]) + 1 == int(match[2])
    )


def _signed_refusal(
    query: Mapping[str, str], clock: Callable[[], float] = time.time
) -> web.Response | None:
    """The answer to a signed URL that has expired or asks for too long a life."""
    try:
        signed_at = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        seconds = int(query["X-Goog-Expires"])
    except (KeyError, ValueError):
        return _xml_error(400, "AuthenticationRequired", "Malformed signed URL.", "")
    if not 1 <= seconds <= MAX_SIGNED_SECONDS:
        return _xml_error(
            400, "InvalidArgument", f"X-Goog-Expires must be 1 to {MAX_SIGNED_SECONDS}.", ""
        )
    end = signed_at + timedelta(seconds=seconds)
    if clock() >= end.timestamp():
        return _xml_error(
            400,
            "ExpiredToken",
            "The provided token has expired.",
            f"Request signature expired at: {end.isoformat()}",
        )
    return None


def _xml_error(status: int, code: str, message: str, details: str) -> web.Response:
    text = (
        "<?xml version='1.0' encoding='UTF-8'?>"
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message>"
        f"<Details>{escape(details)}</Details></Error>"
    )
    return web.Response(status=status, text=text, content_type="application/xml", headers=_CORS)


def _json_error(status: int, message: str, reason: str) -> web.Response:
    return web.json_response(
        {
            "error": {
                "code": status,
                "message": message,
                "errors": [{"domain": "global", "reason": reason, "message": message}],
            }
        },
        status=status,
        headers=_CORS,
    )


def _preflight() -> web.Response:
    return web.Response(
        headers={
            **_CORS,
            "Access-Control-Allow-Methods": "GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS",
            "Access-Control-Allow-Headers": "*, Authorization",
            "Access-Control-Max-Age": "3600",
        }
    )
