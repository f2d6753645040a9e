"""How storage answers: resources of the JSON API, contents, refusals."""

from __future__ import annotations

import gzip
import re
import zlib
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from aiohttp import web
from multidict import CIMultiDict

from narrator_daemon.emulator.storage.objects import Bucket, StorageError, StoredObject

#: The custom metadata under which Firebase keeps download tokens.
TOKENS = "firebaseStorageDownloadTokens"

# By name, since not every client knows the asterisk.
_EXPOSED = (
    "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type",
    "ETag", "Location", "Range", "X-Goog-Generation", "X-Goog-Hash", "X-Goog-Metageneration",
    "X-Goog-Stored-Content-Encoding", "X-Goog-Stored-Content-Length",
    "X-Goog-Upload-Chunk-Granularity", "X-Goog-Upload-Control-URL", "X-Goog-Upload-Size-Received",
    "X-Goog-Upload-Status", "X-Goog-Upload-URL", "X-GUploader-UploadID",
)  # fmt: skip
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": ", ".join(_EXPOSED),
}
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")
_HEADER_FIELDS = {
    "contentEncoding": "Content-Encoding",
    "contentDisposition": "Content-Disposition",
    "contentLanguage": "Content-Language",
    "cacheControl": "Cache-Control",
}


def _moment(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def etag(stored: StoredObject) -> str:
    """Changes whenever anything of an object does."""
    return f"{stored.generation:x}/{stored.metageneration:x}"


def object_resource(stored: StoredObject, base: str) -> dict[str, Any]:
    """An object as the JSON API shows it.

    Args:
        stored: which.
        base: scheme, host and port of this server.
    """
    bucket, name = quote(stored.bucket, safe=""), quote(stored.name, safe="")
    generation = str(stored.generation)
    shown: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{generation}",
        "selfLink": f"{base}/storage/v1/b/{bucket}/o/{name}",
        "mediaLink": (
            f"{base}/download/storage/v1/b/{bucket}/o/{name}?generation={generation}&alt=media"
        ),
        "name": stored.name,
        "bucket": stored.bucket,
        "generation": generation,
        "metageneration": str(stored.metageneration),
        "storageClass": "STANDARD",
        **_shared(stored),
    }
    if stored.metadata.custom:
        shown["metadata"] = dict(stored.metadata.custom)
    if stored.acl:
        shown["acl"] = [access(stored, entity, role, base) for entity, role in stored.acl.items()]
    return shown


def firebase_resource(stored: StoredObject) -> dict[str, Any]:
    """An object as Firebase's API shows it to clients."""
    custom = {name: value for name, value in stored.metadata.custom.items() if name != TOKENS}
    shown = {
        "name": stored.name,
        "bucket": stored.bucket,
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        "storageClass": "STANDARD",
        "contentEncoding": "identity",
        "contentDisposition": "inline",
        **_shared(stored),
        "downloadTokens": stored.metadata.custom.get(TOKENS, ""),
    }
    if custom:
        shown["metadata"] = custom
    return shown


def _shared(stored: StoredObject) -> dict[str, Any]:
    return {
        **stored.metadata.fields,
        "contentType": stored.metadata.content_type,
        "size": str(stored.size),
        "md5Hash": stored.md5,
        "crc32c": stored.crc32c,
        "etag": etag(stored),
        "timeCreated": _moment(stored.created),
        "updated": _moment(stored.updated),
        "timeStorageClassUpdated": _moment(stored.created),
    }


def bucket_resource(bucket: Bucket, base: str) -> dict[str, Any]:
    """A bucket as the JSON API shows it."""
    return {
        "location": "US",
        "storageClass": "STANDARD",
        **bucket.settings,
        "kind": "storage#bucket",
        "id": bucket.name,
        "selfLink": f"{base}/storage/v1/b/{quote(bucket.name, safe='')}",
        "name": bucket.name,
        "projectNumber": "0",
        "metageneration": "1",
        "locationType": "multi-region",
        "etag": "CAE=",
        "timeCreated": _moment(bucket.created),
        "updated": _moment(bucket.created),
    }


def access(stored: StoredObject, entity: str, role: str, base: str) -> dict[str, Any]:
    """One entry of an object's access control."""
    bucket, name = quote(stored.bucket, safe=""), quote(stored.name, safe="")
    return {
        "kind": "storage#objectAccessControl",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}/{entity}",
        "selfLink": f"{base}/storage/v1/b/{bucket}/o/{name}/acl/{quote(entity, safe='')}",
        "bucket": stored.bucket,
        "object": stored.name,
        "generation": str(stored.generation),
        "entity": entity,
        "role": role,
        "etag": etag(stored),
    }


def json_answer(content: object, status: int = 200) -> web.Response:
    """An answer of JSON."""
    return web.json_response(content, status=status, headers=_CORS)


def empty(status: int, **headers: str) -> web.Response:
    """An answer that says nothing but its status."""
    return web.Response(status=status, headers={**_CORS, **headers})


def refusal(error: StorageError) -> web.Response:
    """What the JSON API answers to a request that it refuses."""
    if error.status == 304:
        return empty(304)
    message = str(error)
    return json_answer(
        {
            "error": {
                "code": error.status,
                "message": message,
                "errors": [{"domain": "global", "reason": error.reason, "message": message}],
            }
        },
        error.status,
    )


def xml_refusal(status: int, code: str, message: str, details: str = "") -> web.Response:
    """What the XML API answers to a request that it refuses."""
    if status == 304:
        return empty(304)
    text = (
        "<?xml version='1.0' encoding='UTF-8'?>"
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message>"
        f"<Details>{escape(details)}</Details></Error>"
    )
    return web.Response(status=status, text=text, content_type="application/xml", headers=_CORS)


def preflight(request: web.Request) -> web.Response:
    """What a browser wants to know before it asks from another origin."""
    asked = request.headers.get("Access-Control-Request-Headers", "Authorization")
    return web.Response(
        headers={
            **_CORS,
            "Access-Control-Allow-Methods": "GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS",
            "Access-Control-Allow-Headers": asked,
            "Access-Control-Max-Age": "3600",
        }
    )


def file_name(stored: StoredObject) -> str:
    """What a browser may save an object as: its name without folders, percent-encoded."""
    return quote(stored.name.rpartition("/")[2], safe="")


def media(
    request: web.Request, stored: StoredObject, content: bytes, disposition: str | None = None
) -> web.Response:
    """The content of an object, or the part that the request asks for.

    Args:
        request: who asks.
        stored: which.
        content: all of it.
        disposition: ``Content-Disposition`` where the object says none.
    """
    headers = CIMultiDict(_CORS)
    if disposition is not None:
        headers["Content-Disposition"] = disposition
    for name, header in _HEADER_FIELDS.items():
        if name in stored.metadata.fields:
            headers[header] = _header_text(stored.metadata.fields[name])
    headers["Content-Type"] = _header_text(stored.metadata.content_type)
    headers["ETag"] = f'"{etag(stored)}"'
    headers["Last-Modified"] = formatdate(stored.updated, usegmt=True)
    headers["Accept-Ranges"] = "bytes"
    headers["X-Goog-Generation"] = str(stored.generation)
    headers["X-Goog-Metageneration"] = str(stored.metageneration)
    headers["X-Goog-Hash"] = f"crc32c={stored.crc32c},md5={stored.md5}"
    headers["X-Goog-Storage-Class"] = "STANDARD"
    headers["X-Goog-Stored-Content-Length"] = str(stored.size)
    encoding = stored.metadata.fields.get("contentEncoding", "")
    headers["X-Goog-Stored-Content-Encoding"] = encoding or "identity"
    if encoding == "gzip" and "gzip" not in request.headers.get("Accept-Encoding", ""):
        # As the service does for clients that cannot unpack.
        unpacked = _unpacked(content)
        if unpacked is not None:
            del headers["Content-Encoding"]
            answer = web.Response(body=unpacked, headers=headers)
            # Its length is not the object's.
            answer.enable_chunked_encoding()
            return answer
    return _part(request, content, headers)


def _part(request: web.Request, content: bytes, headers: CIMultiDict[str]) -> web.Response:
    size = len(content)
    wanted = _RANGE.match(request.headers.get("Range", ""))
    if wanted is None or wanted[0] == "bytes=-":
        return web.Response(body=content, headers=headers)
    if wanted[1]:
        start, end = int(wanted[1]), min(int(wanted[2] or size), size - 1)
        if wanted[2] and int(wanted[2]) < start:
            return web.Response(body=content, headers=headers)
    else:
        start, end = max(0, size - int(wanted[2])), size - 1
    if start >= size or end < start:
        headers["Content-Range"] = f"bytes */{size}"
        return web.Response(status=416, headers=headers)
    headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    return web.Response(status=206, body=content[start : end + 1], headers=headers)


def _unpacked(content: bytes) -> bytes | None:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return None


def _header_text(text: str) -> str:
    """A text that a client chose, as the value of a header."""
    return re.sub(r"[\x00-\x1f\x7f]", " ", text)
