"""The Realtime Database's REST API.

Source: https://firebase.google.com/docs/reference/rest/database
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Mapping
from urllib.parse import unquote

from aiohttp import web

from narrator_daemon.emulator.database.caller import Caller, InvalidTokenError, identify
from narrator_daemon.emulator.database.database import (
    Database,
    IndexMissingError,
    PermissionDeniedError,
)
from narrator_daemon.emulator.database.databases import Databases, UnknownDatabaseError
from narrator_daemon.emulator.database.query import InvalidQueryError, Query, parse_query
from narrator_daemon.emulator.database.rules import InvalidRulesError
from narrator_daemon.emulator.database.values import (
    InvalidDataError,
    InvalidKeyError,
    Path,
    Value,
    children_of,
    coerce_list,
    etag,
    parse_path,
    render,
    to_json,
)
from narrator_daemon.emulator.harness.target import raw_path
from narrator_daemon.emulator.harness.traffic import Kind
from narrator_daemon.emulator.protocols.event_stream import EventStream, EventStreams
from narrator_daemon.emulator.protocols.rest_parameters import (
    InvalidParameterError,
    Parameters,
    parse_parameters,
)
from narrator_daemon.emulator.protocols.rest_settings import (
    PREFIX,
    RULES_PATH,
    InvalidSettingError,
    change_setting,
    parse_rules,
    read_setting,
    rules_text,
)

#: Bytes in the body of one write.
MAX_WRITE_BYTES = 256 * 1024 * 1024

_PUSH_CHARACTERS = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag",
}
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_REFUSALS = (
    IndexMissingError,
    InvalidDataError,
    InvalidParameterError,
    InvalidQueryError,
    InvalidRulesError,
    InvalidSettingError,
)
_NO_OBJECT = (
    "Invalid data; couldn't parse JSON object. Are you sending a JSON object with valid key names?"
)


class RestError(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        message: for the body's ``error``.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def push_id(now: int) -> str:
    """A key that sorts by time: 8 characters of milliseconds, 12 of chance.

    Source: https://firebase.blog/posts/2015/02/the-2120-ways-to-ensure-unique_68
    """
    stamp = [_PUSH_CHARACTERS[now >> shift & 63] for shift in range(42, -1, -6)]
    return "".join([*stamp, *(secrets.choice(_PUSH_CHARACTERS) for _ in range(12))])


class RestApi:
    """Answers requests for the databases.

    Args:
        databases: what is served; ``?ns=`` names one.
        streams: sends event streams.
    """

    def __init__(self, databases: Databases, streams: EventStreams) -> None:
        self._databases = databases
        self._streams = streams

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._answer(request)
        except RestError as error:
            return _error(error.status, str(error))
        except PermissionDeniedError:
            return _error(401, "Permission denied")
        except InvalidTokenError as error:
            return _error(401, str(error))
        except UnknownDatabaseError as error:
            return _error(404, str(error))
        except _REFUSALS as error:
            return _error(400, str(error))
        except web.HTTPRequestEntityTooLarge:
            return _error(
                400,
                "Data to write exceeds the maximum size that can be modified with a single "
                "request.",
            )

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        method = _method(request)
        if method == "OPTIONS":
            return _preflight(request)
        path_sent = raw_path(request)
        if _BROKEN_ESCAPE.search(request.raw_path):
            raise RestError(400, "Invalid path: Invalid token in path")
        database = self._databases.named(request.query.get("ns"))
        caller = identify(request.headers.get("Authorization"), request.query)
        if path_sent.startswith(PREFIX):
            return await self._settings(request, method, caller, database)
        path = _parse_path(path_sent)
        parameters = parse_parameters(request.query, formats=("export",))
        if method in ("GET", "HEAD"):
            query = parse_query(request.query)
            if "text/event-stream" in request.headers.get("Accept", ""):
                return await self._stream(request, database, caller, path, query)
            return _get(request, database, caller, path, query, parameters)
        if method in ("PUT", "PATCH", "POST", "DELETE"):
            body = await request.read() if method != "DELETE" else b"null"
            return _write(request, database, method, caller, path, body, parameters)
        raise RestError(405, "Method not allowed.")

    async def _stream(
        self,
        request: web.Request,
        database: Database,
        caller: Caller,
        path: Path,
        query: Query | None,
    ) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        stream = EventStream(
            database,
            "/" + "/".join(path),
            lambda: database.may_read(caller, path, query),
            transport.abort,
        )
        feed = database.feed(caller, path, query, stream.event)
        response = web.StreamResponse(
            headers={**_CORS, "Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )
        await response.prepare(request)
        try:
            # The feed hears of commits from here on: nothing is lost between snapshot and events.
            feed.open()
            await self._streams.serve(stream, response, kind_of(request), caller.expires)
        finally:
            feed.close()
        return response

    async def _settings(
        self, request: web.Request, method: str, caller: Caller, database: Database
    ) -> web.Response:
        if not caller.admin:
            raise PermissionDeniedError
        setting = raw_path(request)
        parameters = parse_parameters(request.query, formats=("strict",))
        if method not in ("GET", "PUT"):
            raise RestError(405, "Method not allowed.")
        if setting != RULES_PATH:
            if method == "PUT":
                change_setting(database, setting, _parse_body(await request.read()))
            return _answer(parameters, read_setting(database, setting))
        if method == "GET":
            text = rules_text(database.rules, strict="format" in request.query)
            return web.Response(text=text, content_type="application/json", headers=_CORS)
        rules = parse_rules(await request.read())
        # The Firebase CLI asks so before it deploys.
        if not _flag(request.query.get("dryRun")):
            self._databases.change_rules(request.query.get("ns"), rules)
        return _answer(parameters, {"status": "ok"})


def _get(
    request: web.Request,
    database: Database,
    caller: Caller,
    path: Path,
    query: Query | None,
    parameters: Parameters,
) -> web.Response:
    started = time.perf_counter()
    wants_etag = _flag(request.headers.get("X-Firebase-ETag"))
    if_none_match = request.headers.get("if-none-match")
    headers: dict[str, str] = {}
    if query is not None:
        if parameters.shallow:
            raise RestError(400, "Mixing 'shallow' and querying parameters is not supported.")
        if wants_etag or if_none_match is not None:
            raise RestError(400, "ETags are not supported with querying parameters.")
        found = database.query(caller, path, query)
        children = {key: render(child, export=parameters.export) for key, child in found.items()}
        content: object = children if parameters.export else coerce_list(children)
    else:
        value = database.read(caller, path)
        if wants_etag or if_none_match is not None:
            headers["ETag"] = etag(value)
            if if_none_match is not None and _unquoted(if_none_match) == headers["ETag"]:
                return web.Response(status=304, headers={**_CORS, **headers})
        content = _shallow(value) if parameters.shallow else render(value, export=parameters.export)
    answer = _answer(parameters, content, headers, read=True)
    if time.perf_counter() - started > parameters.timeout:
        raise RestError(400, "The read did not finish within the given timeout.")
    return answer


def _write(
    request: web.Request,
    database: Database,
    method: str,
    caller: Caller,
    path: Path,
    body: bytes,
    parameters: Parameters,
) -> web.Response:
    raw = _parse_body(body)
    headers = {}
    if_match = request.headers.get("if-match")
    if if_match is not None:
        if method == "PATCH":
            raise RestError(400, "The if-match header is not supported for PATCH requests.")
        value = database.read(caller, path)
        tag = etag(value)
        if _unquoted(if_match) != tag:
            return web.Response(
                status=412,
                body=to_json(render(value)),
                headers={**_CORS, "ETag": tag},
                content_type="application/json",
                charset="utf-8",
            )
    try:
        answer = _apply(database, method, caller, path, raw)
    except InvalidKeyError as error:
        raise RestError(400, _key_error(error.key, body)) from None
    if _flag(request.headers.get("X-Firebase-ETag")) and method != "POST":
        headers["ETag"] = etag(database.tree.get(path))
    return _answer(parameters, answer, headers)


def _apply(database: Database, method: str, caller: Caller, path: Path, raw: object) -> object:
    if method == "PATCH":
        if not isinstance(raw, dict):
            raise RestError(400, _NO_OBJECT)
        stored = database.update(caller, path, raw)
        return {name: render(value) for name, value in stored.items()}
    if method == "POST":
        name = push_id(database.now())
        database.set(caller, (*path, name), raw)
        return {"name": name}
    return render(database.set(caller, path, raw))


def _method(request: web.Request) -> str:
    if request.method == "POST":
        override = request.headers.get("X-HTTP-Method-Override") or request.query.get(
            "x-http-method-override"
        )
        if override:
            return override.upper()
    return request.method


def kind_of(request: web.Request) -> Kind:
    """What a request is counted as."""
    method, path_sent = _method(request), raw_path(request)
    if path_sent == RULES_PATH:
        return Kind("database", method, "rules", RULES_PATH)
    path = [part for part in unquote(path_sent).removesuffix(".json").split("/") if part]
    place = "/" + "/".join([*path[:1], *("*" for _ in path[1:2])])
    return Kind("database", method, _read_or_write(request, method), place)


def _read_or_write(request: web.Request, method: str) -> str:
    if method != "GET":
        return "write"
    stream = "text/event-stream" in request.headers.get("Accept", "")
    if "orderBy" in request.query:
        return "query-stream" if stream else "query"
    if stream:
        return "stream"
    return "shallow" if _flag(request.query.get("shallow")) else "value"


def _flag(text: str | None) -> bool:
    return text is not None and text.lower() == "true"


def _unquoted(tag: str) -> str:
    return tag.strip().strip('"')


def _parse_path(path_sent: str) -> Path:
    if not path_sent.endswith(".json"):
        raise RestError(404, "append .json to your request URI to use the REST API.")
    try:
        text = unquote(path_sent[: -len(".json")], errors="strict")
    except UnicodeDecodeError:
        raise RestError(400, "Invalid path: Invalid token in path") from None
    return parse_path(text)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _parse_body(body: bytes) -> object:
    if not body.strip():
        raise RestError(400, "Error: No data supplied.")
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise RestError(400, "Invalid data; couldn't parse JSON object, array, or value.") from None


def _key_error(key: str, body: bytes) -> str:
    text = body.decode()
    forms = (json.dumps(key, ensure_ascii=False), json.dumps(key))
    offset = max(0, *(text.find(form) for form in forms))
    line = text.count("\n", 0, offset) + 1
    column = offset - text.rfind("\n", 0, offset)
    return (
        f"Invalid data; couldn't parse key beginning at {line}:{column}. "
        "Key value can't be empty or contain $ # [ ] / or ."
    )


def _shallow(value: Value) -> object:
    keys = {key: True for key, _ in children_of(value)}
    return keys or render(value)


def _answer(
    parameters: Parameters,
    content: object,
    headers: Mapping[str, str] | None = None,
    *,
    read: bool = False,
) -> web.Response:
    if parameters.print == "silent":
        return web.Response(status=204, headers={**_CORS, **(headers or {})})
    body = to_json(content, pretty=parameters.print == "pretty")
    content_type = "application/json"
    more = {**_CORS, "Cache-Control": "no-cache", **(headers or {})}
    if read and parameters.callback is not None:
        body = parameters.script(body)
        content_type = "application/javascript"
        more["X-Content-Type-Options"] = "nosniff"
    if read and parameters.disposition is not None:
        more["Content-Disposition"] = parameters.disposition
    return web.Response(body=body, content_type=content_type, charset="utf-8", headers=more)


def _error(status: int, message: str) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps({"error": message}).encode(),
        content_type="application/json",
        charset="utf-8",
        headers=_CORS,
    )


def _preflight(request: web.Request) -> web.Response:
    asked = request.headers.get("Access-Control-Request-Headers", "Authorization")
    return web.Response(
        headers={
            **_CORS,
            "Access-Control-Allow-Methods": "GET, PUT, PATCH, POST, DELETE, OPTIONS",
            "Access-Control-Allow-Headers": asked,
            "Access-Control-Max-Age": "3600",
        }
    )
