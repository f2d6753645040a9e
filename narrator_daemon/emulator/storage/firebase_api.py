"""Firebase's API of Cloud Storage, as the SDKs of clients speak it: storage rules decide.

A download token opens its object to whoever has it, whatever the rules.

Sources: the public source of the Firebase JavaScript SDK (``@firebase/storage``) and of the
Firebase CLI's storage emulator, which are the only published descriptions of it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4

from aiohttp import web

from narrator_daemon.emulator.database.caller import (
    OWNER,
    Caller,
    InvalidTokenError,
    read_credential,
)
from narrator_daemon.emulator.storage.answers import (
    TOKENS,
    empty,
    file_name,
    firebase_resource,
    json_answer,
    media,
)
from narrator_daemon.emulator.storage.conditions import Conditions
from narrator_daemon.emulator.storage.listing import list_objects
from narrator_daemon.emulator.storage.objects import (
    Metadata,
    ObjectStore,
    StorageError,
    StoredObject,
    checksums,
    invalid,
    no_object,
)
from narrator_daemon.emulator.storage.rules import Proposed, StorageRules
from narrator_daemon.emulator.storage.uploads import (
    CANCELLED,
    Upload,
    Uploads,
    parse_multipart,
    parse_resource,
)

#: How many bytes the chunks of an upload are multiples of.
CHUNK_BYTES = 256 * 1024

_PATH = re.compile(r"/v0/b/([^/]+)/o(?:/(.*))?\Z")
_STATUS = "X-Goog-Upload-Status"


class FirebaseApi:
    """Answers requests of client SDKs.

    Args:
        store: the objects.
        uploads: those under way.
        base: scheme, host and port of this server.
        rules: who may do what.
        clock: seconds since the epoch.

    Attributes:
        rules: as above; to be replaced as a whole.
    """

    def __init__(
        self,
        store: ObjectStore,
        uploads: Uploads,
        base: str,
        rules: StorageRules,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._uploads = uploads
        self._base = base
        self._clock = clock
        self.rules = rules

    async def handle(self, request: web.Request, path: str) -> web.Response | None:
        """Answer one request, None if the path is not of this API."""
        match = _PATH.match(path)
        if match is None:
            return None
        bucket, name = unquote(match[1]), unquote(match[2] or "")
        method = request.method
        if method in ("POST", "PUT") and "X-HTTP-Method-Override" in request.headers:
            method = request.headers["X-HTTP-Method-Override"].upper()
        # Clients have no way to make one, and test suites have buckets of their own.
        self._store.open_bucket(bucket)
        if method in ("POST", "PUT"):
            if name and ("create_token" in request.query or "delete_token" in request.query):
                return self._change_tokens(request, bucket, name)
            return await self._upload(request, bucket, name)
        if not name and method == "GET":
            return self._list(request, bucket)
        if method in ("GET", "HEAD"):
            return self._get(request, bucket, name)
        if method == "PATCH":
            return await self._patch(request, bucket, name)
        if method == "DELETE":
            stored = self._store.find(bucket, name)
            self._ask("delete", self._caller(request), bucket, name, stored)
            if stored is None:
                raise no_object(bucket, name)
            self._store.delete(stored)
            return empty(204)
        raise StorageError(405, "Method not allowed.", "methodNotAllowed")

    def _caller(self, request: web.Request) -> Caller:
        return _identify(request.headers.get("Authorization"))

    def _ask(
        self,
        method: str,
        caller: Caller,
        bucket: str,
        name: str,
        stored: StoredObject | None,
        proposed: Proposed | None = None,
    ) -> None:
        """Refuse what the rules do not allow."""
        now = self._clock()
        if not self.rules.allows(method, caller, bucket, name, stored, proposed, now):
            kind = {"get": "READ", "list": "LIST"}.get(method, "WRITE")
            raise StorageError(403, f"Permission denied. No {kind} permission.", "forbidden")

    def _get(self, request: web.Request, bucket: str, name: str) -> web.Response:
        stored = self._store.find(bucket, name)
        tokens = [] if stored is None else _tokens(stored)
        if request.query.get("token") not in tokens:
            caller = self._caller(request)
            if stored is None and "token" in request.query and caller.auth is None:
                raise no_object(bucket, name)
            self._ask("get", caller, bucket, name, stored)
        if stored is None:
            raise no_object(bucket, name)
        if request.query.get("alt") == "media":
            disposition = f"inline; filename*=utf-8''{file_name(stored)}"
            return media(request, stored, self._store.content(stored), disposition)
        if not tokens:
            # Whoever may read it may have a URL for it.
            stored = self._with_tokens(stored, [str(uuid4())])
        return json_answer(firebase_resource(stored))

    def _list(self, request: web.Request, bucket: str) -> web.Response:
        prefix = request.query.get("prefix", "")
        if prefix and not prefix.endswith("/"):
            raise invalid(
                "The prefix parameter is required to be empty or ends with a single / character."
            )
        self._ask("list", self._caller(request), bucket, prefix, None)
        page = list_objects(self._store.bucket(bucket), request.query)
        answer: dict[str, Any] = {
            "prefixes": [prefix for prefix in page.prefixes if _is_clean(prefix[:-1])],
            "items": [
                {"name": stored.name, "bucket": stored.bucket}
                for stored in page.items
                if _is_clean(stored.name)
            ],
        }
        if page.next_token is not None:
            answer["nextPageToken"] = page.next_token
        return json_answer(answer)

    async def _patch(self, request: web.Request, bucket: str, name: str) -> web.Response:
        resource = parse_resource(await request.read())
        stored = self._store.find(bucket, name)
        metadata = Metadata() if stored is None else stored.metadata.patched(resource)
        proposed = None
        if stored is not None:
            proposed = Proposed(metadata, stored.size, stored.md5, stored.crc32c)
        self._ask("update", self._caller(request), bucket, name, stored, proposed)
        if stored is None:
            raise no_object(bucket, name)
        tokens = stored.metadata.custom.get(TOKENS)
        if tokens is not None:
            # A client that sets metadata of its own leaves the tokens as they are.
            metadata = Metadata(metadata.fields, {TOKENS: tokens, **metadata.custom})
        return json_answer(firebase_resource(self._store.change(stored, metadata)))

    def _change_tokens(self, request: web.Request, bucket: str, name: str) -> web.Response:
        if not self._caller(request).admin:
            raise StorageError(403, "Missing admin credentials.", "forbidden")
        stored = self._store.find(bucket, name)
        if stored is None:
            raise no_object(bucket, name)
        tokens = _tokens(stored)
        if request.query.get("create_token", "true") != "true":
            raise invalid("create_token is true.")
        if "create_token" in request.query:
            tokens = [*tokens, str(uuid4())]
        else:
            tokens = [token for token in tokens if token != request.query["delete_token"]]
        # There is always one: the SDKs make their URLs of it.
        return json_answer(firebase_resource(self._with_tokens(stored, tokens or [str(uuid4())])))

    def _with_tokens(self, stored: StoredObject, tokens: list[str]) -> StoredObject:
        custom = {**stored.metadata.custom, TOKENS: ",".join(tokens)}
        return self._store.change(stored, Metadata(stored.metadata.fields, custom))

    async def _upload(self, request: web.Request, bucket: str, name: str) -> web.Response:
        name = name or request.query.get("name", "")
        body = await request.read()
        command = request.headers.get("X-Goog-Upload-Command")
        kind = request.headers.get("X-Goog-Upload-Protocol")
        if kind == "resumable" or command is not None:
            return self._resumable(request, bucket, name, command or "", body)
        content_type = request.headers.get("Content-Type")
        resource: dict[str, Any] = {}
        if kind == "multipart":
            resource, content_type, body = parse_multipart(content_type or "", body)
        if content_type and not resource.get("contentType"):
            resource["contentType"] = content_type
        if not name:
            raise invalid("An object has a name.")
        upload = Upload(bucket, name, resource, Conditions(), bytearray(body))
        return json_answer(firebase_resource(self._stored(request, upload)))

    def _stored(self, request: web.Request, upload: Upload) -> StoredObject:
        """Store what is complete, if the rules allow it."""
        caller = _identify(upload.credential or request.headers.get("Authorization"))
        content = bytes(upload.content)
        metadata = Metadata.parse(upload.resource)
        md5, crc32c = checksums(content)
        before = self._store.find(upload.bucket, upload.name)
        self._ask(
            "create" if before is None else "update",
            caller,
            upload.bucket,
            upload.name,
            before,
            Proposed(metadata, len(content), md5, crc32c),
        )
        upload.check(request.headers)
        custom = {TOKENS: str(uuid4()), **metadata.custom}
        return self._store.put(
            upload.bucket, upload.name, Metadata(metadata.fields, custom), content
        )

    def _resumable(
        self, request: web.Request, bucket: str, name: str, command: str, body: bytes
    ) -> web.Response:
        if command == "start":
            return self._start(request, bucket, name, body)
        number = request.query.get("upload_id")
        if number is None:
            raise invalid("An upload in chunks has an upload_id.")
        upload = self._uploads.find(number)
        words = {word.strip() for word in command.split(",")}
        if not words or not words <= {"query", "cancel", "upload", "finalize"}:
            raise invalid(f"Unknown X-Goog-Upload-Command: {command!r:.80}")
        if "query" in words:
            received = str(len(upload.content))
            status = {None: "active", CANCELLED: "cancelled"}.get(upload.ended, "final")
            return empty(200, **{_STATUS: status, "X-Goog-Upload-Size-Received": received})
        if "cancel" in words:
            if upload.ended not in (None, CANCELLED):
                raise invalid("The upload has ended.")
            upload.end(CANCELLED)
            return empty(200, **{_STATUS: "cancelled"})
        if upload.ended is not None:
            if "upload" in words or upload.ended == CANCELLED:
                raise invalid("The upload has ended.")
            return empty(upload.ended, **{_STATUS: "final"})
        if "upload" in words:
            self._add(upload, request.headers.get("X-Goog-Upload-Offset", ""), body)
        if "finalize" not in words:
            return empty(200, **{_STATUS: "active"})
        try:
            stored = self._stored(request, upload)
        except StorageError as error:
            upload.end(error.status)
            answer = json_answer(
                {"error": {"code": error.status, "message": str(error)}}, error.status
            )
            answer.headers[_STATUS] = "final"
            return answer
        upload.end(200)
        answer = json_answer(firebase_resource(stored))
        answer.headers[_STATUS] = "final"
        return answer

    def _start(self, request: web.Request, bucket: str, name: str, body: bytes) -> web.Response:
        if not name:
            raise invalid("An object has a name.")
        resource = parse_resource(body)
        content_type = request.headers.get("X-Goog-Upload-Header-Content-Type")
        if content_type and not resource.get("contentType"):
            resource["contentType"] = content_type
        Metadata.parse(resource)
        credential = request.headers.get("Authorization")
        number = self._uploads.begin(
            Upload(bucket, name, resource, Conditions(), credential=credential)
        )
        url = (
            f"{self._base}/v0/b/{quote(bucket, safe='')}/o?name={quote(name, safe='')}"
            f"&upload_id={number}&upload_protocol=resumable"
        )
        return empty(
            200,
            **{
                _STATUS: "active",
                "X-Goog-Upload-URL": url,
                "X-Goog-Upload-Control-URL": url,
                "X-Goog-Upload-Chunk-Granularity": str(CHUNK_BYTES),
                "X-GUploader-UploadID": number,
            },
        )

    def _add(self, upload: Upload, offset: str, body: bytes) -> None:
        received = len(upload.content)
        start = int(offset) if offset.isascii() and offset.isdecimal() else received
        if start > received:
            raise invalid(f"X-Goog-Upload-Offset is {start}, and {received} bytes have come.")
        upload.content += body[received - start :]


def _identify(authorization: str | None) -> Caller:
    """Who sends a request: a client by ``Firebase TOKEN``, the owner by ``Bearer owner``."""
    if not authorization:
        return Caller()
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() not in ("firebase", "bearer"):
        return Caller()
    if scheme.lower() == "bearer" and credential != OWNER:
        # A token of a server's account, which nobody here can check.
        return Caller()
    try:
        return read_credential(credential)
    except InvalidTokenError as error:
        raise StorageError(401, str(error), "authError") from None


def _tokens(stored: StoredObject) -> list[str]:
    text = stored.metadata.custom.get(TOKENS, "")
    return [token for token in text.split(",") if token]


def _is_clean(name: str) -> bool:
    """Whether the SDKs can name it: no part between its slashes is empty."""
    return all(name.removeprefix("/").split("/"))
