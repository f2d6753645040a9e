"""The local Cloud Storage: which API a request is for, and how it is refused."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from aiohttp import web

from narrator_daemon.emulator.harness.target import raw_path
from narrator_daemon.emulator.harness.traffic import Kind
from narrator_daemon.emulator.storage.answers import empty, json_answer, preflight, refusal
from narrator_daemon.emulator.storage.disk import DiskContents
from narrator_daemon.emulator.storage.earlier import take_over
from narrator_daemon.emulator.storage.firebase_api import FirebaseApi
from narrator_daemon.emulator.storage.json_api import JsonApi
from narrator_daemon.emulator.storage.objects import Contents, ObjectStore, StorageError, invalid
from narrator_daemon.emulator.storage.rules import StorageRules
from narrator_daemon.emulator.storage.rules_language import StorageRulesError
from narrator_daemon.emulator.storage.uploads import Uploads, parse_resource
from narrator_daemon.emulator.storage.xml_api import XmlApi

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_XML = re.compile(r"/([^/]+)(?:/(.*))?\Z")
# What the Firebase CLI and its library for testing rules ask of an emulator.
_RESET, _SET_RULES = "/internal/reset", "/internal/setRules"


class StorageService:
    """Answers storage requests.

    Args:
        bucket: made if it is not there.
        base: scheme, host and port of this server.
        rules: for client SDKs.
        data: folder for the objects; None keeps them in memory.

    Raises:
        DamagedDataError: a file in the folder is no object.
    """

    def __init__(self, bucket: str, base: str, rules: StorageRules, data: Path | None) -> None:
        self._store = ObjectStore(Contents() if data is None else DiskContents(data))
        if data is not None and not self._store.buckets():
            take_over(self._store, data)
        if bucket not in (known.name for known in self._store.buckets()):
            self._store.create_bucket(bucket)
        uploads = Uploads()
        self._json = JsonApi(self._store, uploads, base)
        self._xml = XmlApi(self._store, uploads, base)
        self._firebase = FirebaseApi(self._store, uploads, base, rules)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.method == "OPTIONS":
            return preflight(request)
        try:
            return await self._answer(request)
        except StorageError as error:
            return refusal(error)
        except web.HTTPRequestEntityTooLarge:
            return refusal(StorageError(413, "The body is too large.", "uploadTooLarge"))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = raw_path(request)
        if not path.startswith("/") or _BROKEN_ESCAPE.search(request.raw_path):
            raise invalid("The path of the request cannot be read.")
        if path in (_RESET, _SET_RULES):
            return await self._internal(request, path)
        answer = await self._firebase.handle(request, path)
        if answer is not None:
            return answer
        route = self._json.route(path)
        if route is not None:
            handlers, names = route
            handler = handlers.get(_method(request))
            if handler is None:
                raise StorageError(405, "Method not allowed.", "methodNotAllowed")
            return await handler(request, names)
        match = _XML.match(path)
        if match is None or match[1] in ("b", "v0", "storage", "upload", "download", "internal"):
            raise StorageError(404, "Not Found", "notFound")
        return await self._xml.handle(request, unquote(match[1]), unquote(match[2] or ""))

    async def _internal(self, request: web.Request, path: str) -> web.Response:
        if path == _RESET and request.method == "POST":
            self._store.clear()
            return empty(200)
        if path == _SET_RULES and request.method == "PUT":
            raw = parse_resource(await request.read())
            try:
                source = raw["rules"]["files"][0]["content"]
                self._firebase.rules = StorageRules(str(source))
            except (KeyError, IndexError, TypeError):
                raise invalid("Expected {rules: {files: [{name, content}]}}.") from None
            except StorageRulesError as error:
                return json_answer({"message": f"There was an error updating rules: {error}"}, 400)
            return json_answer({"message": "Rules updated successfully"})
        raise StorageError(405, "Method not allowed.", "methodNotAllowed")


def _method(request: web.Request) -> str:
    if request.method == "POST":
        return request.headers.get("X-HTTP-Method-Override", "POST").upper()
    return request.method


_UPLOAD = re.compile(r"/(?:resumable/)?upload/")
_LIST = re.compile(r"(?:/v0|/storage/v1)?/b/[^/]+/o/?\Z")
_OBJECT = re.compile(r"(?:/v0|/storage/v1)?/b/[^/]+/o/[^/]+\Z")


def kind_of(request: web.Request) -> Kind:
    """What a request is counted as."""
    return Kind("storage", request.method, _action(request), "/")


def _action(request: web.Request) -> str:
    path = raw_path(request)
    if _UPLOAD.match(path) or (path.startswith("/v0/") and request.method in ("POST", "PUT")):
        return "upload"
    if _LIST.match(path):
        return "list"
    if request.method in ("GET", "HEAD") and (
        request.query.get("alt") == "media" or not _OBJECT.match(path)
    ):
        return "download"
    return "object" if _OBJECT.match(path) else "other"
