"""The JSON API of Cloud Storage, as the server SDKs speak it: no credential is asked for.

Source: https://cloud.google.com/storage/docs/json_api/v1
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import quote, unquote

from aiohttp import web

from narrator_daemon.emulator.storage.answers import (
    access,
    bucket_resource,
    empty,
    file_name,
    json_answer,
    media,
    object_resource,
)
from narrator_daemon.emulator.storage.conditions import Conditions
from narrator_daemon.emulator.storage.listing import list_objects
from narrator_daemon.emulator.storage.objects import (
    Metadata,
    ObjectStore,
    StorageError,
    StoredObject,
    invalid,
    no_object,
)
from narrator_daemon.emulator.storage.uploads import (
    CANCELLED,
    Upload,
    Uploads,
    add_chunk,
    parse_multipart,
    parse_resource,
)

Answer: TypeAlias = Awaitable[web.Response]
Handler: TypeAlias = Callable[[web.Request, tuple[str, ...]], Answer]

#: Objects that one compose may join.
MAX_COMPOSED = 32

# Node asks for `/b/…`, Python for `/storage/v1/b/…`, downloads of both begin with `/download`.
_ROOT = r"(?:/download)?(?:/storage/v1)?"
_UPLOAD = r"/(?:resumable/)?upload(?:/resumable)?(?:/storage/v1)?/b/([^/]+)/o/?\Z"
_BUCKET = _ROOT + r"/b/([^/]+)"
_OBJECT = _BUCKET + r"/o/([^/]+)"
_TO = r"/(?:b/([^/]+)/)o/([^/]+)\Z"


class JsonApi:
    """Answers requests of server SDKs.

    Args:
        store: the objects.
        uploads: those under way.
        base: scheme, host and port of this server.
    """

    def __init__(self, store: ObjectStore, uploads: Uploads, base: str) -> None:
        self._store = store
        self._uploads = uploads
        self._base = base
        routes: list[tuple[str, dict[str, Handler]]] = [
            (_UPLOAD, {"POST": self._upload, "PUT": self._chunk, "DELETE": self._cancel}),
            (_ROOT + r"/b/?\Z", {"GET": self._buckets, "POST": self._create_bucket}),
            (
                _BUCKET + r"/?\Z",
                {
                    "GET": self._bucket,
                    "PATCH": self._change_bucket,
                    "PUT": self._change_bucket,
                    "DELETE": self._delete_bucket,
                },
            ),
            (_BUCKET + r"/iam\Z", {"GET": self._policy, "PUT": self._policy}),
            (_BUCKET + r"/iam/testPermissions\Z", {"GET": self._permissions}),
            (_BUCKET + r"/o/?\Z", {"GET": self._list}),
            (
                _OBJECT + r"\Z",
                {
                    "GET": self._get,
                    "HEAD": self._get,
                    "PATCH": self._patch,
                    "PUT": self._update,
                    "DELETE": self._delete,
                },
            ),
            (_OBJECT + r"/compose\Z", {"POST": self._compose}),
            (_OBJECT + r"/(rewriteTo|copyTo)" + _TO, {"POST": self._copy}),
            (_OBJECT + r"/moveTo/o/([^/]+)\Z", {"POST": self._move}),
            (_OBJECT + r"/acl\Z", {"GET": self._acl, "POST": self._share}),
            (_OBJECT + r"/acl/([^/]+)\Z", {"DELETE": self._unshare}),
        ]
        self._routes = [(re.compile(pattern), handlers) for pattern, handlers in routes]

    def route(self, path: str) -> tuple[dict[str, Handler], tuple[str, ...]] | None:
        """What answers requests for a path, by method, and the names in the path."""
        for pattern, handlers in self._routes:
            if match := pattern.match(path):
                return handlers, tuple(unquote(part) for part in match.groups())
        return None

    def _found(self, bucket: str, name: str, conditions: Conditions) -> StoredObject:
        stored = conditions.pick(self._store.find(bucket, name))
        if stored is None:
            raise no_object(bucket, name)
        return stored

    def _shown(self, stored: StoredObject) -> web.Response:
        return json_answer(object_resource(stored, self._base))

    async def _buckets(self, request: web.Request, _: tuple[str, ...]) -> web.Response:
        prefix = request.query.get("prefix", "")
        items = [
            bucket_resource(bucket, self._base)
            for bucket in self._store.buckets()
            if bucket.name.startswith(prefix)
        ]
        return json_answer({"kind": "storage#buckets", "items": items})

    async def _create_bucket(self, request: web.Request, _: tuple[str, ...]) -> web.Response:
        resource = parse_resource(await request.read())
        name = resource.get("name")
        if not isinstance(name, str):
            raise invalid("A bucket has a name.")
        return json_answer(bucket_resource(self._store.create_bucket(name, resource), self._base))

    async def _bucket(self, _: web.Request, names: tuple[str, ...]) -> web.Response:
        return json_answer(bucket_resource(self._store.bucket(names[0]), self._base))

    async def _change_bucket(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        changed = self._store.change_bucket(names[0], parse_resource(await request.read()))
        return json_answer(bucket_resource(changed, self._base))

    async def _delete_bucket(self, _: web.Request, names: tuple[str, ...]) -> web.Response:
        self._store.delete_bucket(names[0])
        return empty(204)

    async def _policy(self, _: web.Request, names: tuple[str, ...]) -> web.Response:
        self._store.bucket(names[0])
        return json_answer({"kind": "storage#policy", "version": 1, "bindings": [], "etag": "CAE="})

    async def _permissions(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        self._store.bucket(names[0])
        asked = request.query.getall("permissions", [])
        return json_answer({"kind": "storage#testIamPermissionsResponse", "permissions": asked})

    async def _list(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        page = list_objects(self._store.bucket(names[0]), request.query)
        items = [object_resource(stored, self._base) for stored in page.items]
        answer: dict[str, object] = {"kind": "storage#objects", "items": items}
        if page.prefixes:
            answer["prefixes"] = page.prefixes
        if page.next_token is not None:
            answer["nextPageToken"] = page.next_token
        return json_answer(answer)

    async def _get(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        conditions = Conditions.parse(request.query)
        stored = self._found(names[0], names[1], conditions)
        conditions.check(stored, reading=True)
        if request.query.get("alt") == "media":
            disposition = f"attachment; filename*={file_name(stored)}"
            return media(request, stored, self._store.content(stored), disposition)
        return self._shown(stored)

    async def _patch(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        return await self._change(request, names, whole=False)

    async def _update(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        return await self._change(request, names, whole=True)

    async def _change(
        self, request: web.Request, names: tuple[str, ...], *, whole: bool
    ) -> web.Response:
        # Read first: nothing happens between the check and the change.
        resource = parse_resource(await request.read())
        conditions = Conditions.parse(request.query)
        stored = self._found(names[0], names[1], conditions)
        conditions.check(stored)
        metadata = Metadata() if whole else stored.metadata
        return self._shown(self._store.change(stored, metadata.patched(resource)))

    async def _delete(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        conditions = Conditions.parse(request.query)
        stored = self._found(names[0], names[1], conditions)
        conditions.check(stored)
        self._store.delete(stored)
        return empty(204)

    async def _compose(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        body = parse_resource(await request.read())
        bucket, name = names
        sources = body.get("sourceObjects")
        if not isinstance(sources, list) or not 1 <= len(sources) <= MAX_COMPOSED:
            raise invalid(f"A compose joins 1 to {MAX_COMPOSED} objects.")
        parts = [self._source(bucket, source) for source in sources]
        Conditions.parse(request.query).check(self._store.find(bucket, name))
        content = b"".join(self._store.content(part) for part in parts)
        metadata = Metadata.parse(body.get("destination") or {})
        return self._shown(self._store.put(bucket, name, metadata, content))

    def _source(self, bucket: str, source: object) -> StoredObject:
        if not isinstance(source, dict) or not isinstance(source.get("name"), str):
            raise invalid("Each of `sourceObjects` is an object with a name.")
        preconditions = source.get("objectPreconditions") or {}
        given = {"generation": source.get("generation")}
        if isinstance(preconditions, dict):
            given["ifGenerationMatch"] = preconditions.get("ifGenerationMatch")
        conditions = Conditions.parse({k: str(v) for k, v in given.items() if v is not None})
        stored = self._found(bucket, source["name"], conditions)
        conditions.check(stored)
        return stored

    async def _copy(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        resource = parse_resource(await request.read())
        bucket, name, method, to_bucket, to_name = names
        if "rewriteToken" in request.query:
            raise StorageError(
                501, "Every rewrite is done at once: no rewriteToken was given.", "notImplemented"
            )
        source_conditions = Conditions.parse(request.query, "ifSource")
        source = self._found(bucket, name, source_conditions)
        source_conditions.check(source)
        copied = self._copied(request, source, to_bucket, to_name, resource)
        if method == "copyTo":
            return self._shown(copied)
        return json_answer(
            {
                "kind": "storage#rewriteResponse",
                "totalBytesRewritten": str(copied.size),
                "objectSize": str(copied.size),
                "done": True,
                "resource": object_resource(copied, self._base),
            }
        )

    async def _move(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        bucket, name, to_name = names
        conditions = Conditions.parse(request.query, "ifSource")
        source = self._found(bucket, name, conditions)
        conditions.check(source)
        moved = self._copied(request, source, bucket, to_name, {})
        if to_name != name:
            self._store.delete(source)
        return self._shown(moved)

    def _copied(
        self,
        request: web.Request,
        source: StoredObject,
        bucket: str,
        name: str,
        resource: dict[str, object],
    ) -> StoredObject:
        # A resource takes the place of the source's metadata as a whole.
        custom = resource.get("metadata")
        if isinstance(custom, dict):
            # There is nothing yet that null could take away.
            nothing = {name: "" for name, value in custom.items() if value is None}
            resource = {**resource, "metadata": {**custom, **nothing}}
        said = {key for key in resource if key not in ("name", "bucket", "kind", "storageClass")}
        metadata = Metadata.parse(resource) if said else source.metadata
        if "contentType" not in metadata.fields and "contentType" in source.metadata.fields:
            kept = source.metadata.fields["contentType"]
            metadata = Metadata({**metadata.fields, "contentType": kept}, metadata.custom)
        Conditions.parse(request.query).check(self._store.find(bucket, name))
        return self._store.put(bucket, name, metadata, self._store.content(source))

    async def _acl(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        stored = self._found(names[0], names[1], Conditions.parse(request.query))
        items = [access(stored, entity, role, self._base) for entity, role in stored.acl.items()]
        return json_answer({"kind": "storage#objectAccessControls", "items": items})

    async def _share(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        resource = parse_resource(await request.read())
        stored = self._found(names[0], names[1], Conditions.parse(request.query))
        entity, role = str(resource.get("entity", "")), str(resource.get("role", ""))
        if not entity or not role:
            raise invalid("An access control has an entity and a role.")
        return json_answer(
            access(self._store.share(stored, entity, role), entity, role, self._base)
        )

    async def _unshare(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        stored = self._found(names[0], names[1], Conditions.parse(request.query))
        self._store.share(stored, names[2], None)
        return empty(204)

    async def _upload(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        if "upload_id" in request.query:
            return await self._chunk(request, names)
        body = await request.read()
        kind = request.query.get("uploadType") or request.headers.get(
            "X-Goog-Upload-Protocol", "media"
        )
        content_type = request.headers.get("Content-Type")
        resource: dict[str, object] = {}
        content = b""
        if kind == "multipart":
            resource, said_type, content = parse_multipart(content_type or "", body)
        elif kind == "resumable":
            resource, said_type = parse_resource(body), None
        elif kind in ("media", "raw"):
            said_type, content = content_type, body
        else:
            raise invalid(f"Invalid value for uploadType: {kind!r:.80}")
        content_type = request.headers.get("X-Upload-Content-Type") or said_type
        if content_type and not resource.get("contentType"):
            resource["contentType"] = content_type
        if "contentEncoding" in request.query:
            resource["contentEncoding"] = request.query["contentEncoding"]
        upload = self._begun(request, names[0], resource)
        if kind == "resumable":
            number = self._uploads.begin(upload)
            return empty(200, **self._session_headers(upload, number))
        upload.content += content
        return self._shown(self._stored(request, upload))

    def _begun(self, request: web.Request, bucket: str, resource: dict[str, object]) -> Upload:
        self._store.bucket(bucket)
        name = request.query.get("name") or resource.get("name")
        if not isinstance(name, str) or not name:
            raise StorageError(400, "Required parameter: name", "required")
        upload = Upload(bucket, name, resource, Conditions.parse(request.query))
        Metadata.parse(resource)
        upload.conditions.check(self._store.find(bucket, name))
        return upload

    def _session_headers(self, upload: Upload, number: str) -> dict[str, str]:
        bucket, name = quote(upload.bucket, safe=""), quote(upload.name, safe="")
        where = f"{self._base}/upload/storage/v1/b/{bucket}/o"
        location = f"{where}?uploadType=resumable&name={name}&upload_id={number}"
        return {"Location": location, "X-GUploader-UploadID": number}

    def _stored(self, request: web.Request, upload: Upload) -> StoredObject:
        """Store what is complete."""
        upload.check(request.headers)
        upload.conditions.check(self._store.find(upload.bucket, upload.name))
        metadata = Metadata.parse(upload.resource)
        return self._store.put(upload.bucket, upload.name, metadata, bytes(upload.content))

    async def _chunk(self, request: web.Request, _: tuple[str, ...]) -> web.Response:
        number = request.query.get("upload_id", "")
        upload = self._uploads.find(number)
        # Read to its end first: of a chunk that breaks off, nothing is kept.
        chunk = await request.read()
        content_range = request.headers.get("Content-Range")
        if upload.ended is None and not add_chunk(upload, content_range, chunk):
            received = len(upload.content)
            more = {"Range": f"bytes=0-{received - 1}"} if received else {}
            return empty(308, **more)
        if upload.ended is not None:
            stored = self._store.find(upload.bucket, upload.name)
            if stored is None or upload.ended != 200:
                return empty(upload.ended)
            return self._shown(stored)
        try:
            stored = self._stored(request, upload)
        except StorageError as error:
            upload.end(error.status)
            raise
        upload.end(200)
        return self._shown(stored)

    async def _cancel(self, request: web.Request, _: tuple[str, ...]) -> web.Response:
        self._uploads.find(request.query.get("upload_id", "")).end(CANCELLED)
        return empty(CANCELLED)
