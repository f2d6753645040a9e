"""One SDK's conversation with a database over its WebSocket: requests, listeners, what it leaves.

It knows no sockets: messages come in parsed and go out as dicts.

Source: the public source of the Firebase JavaScript SDK (``@firebase/database``), which is the
only published description of the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from narrator_daemon.emulator.database.caller import (
    Caller,
    ExpiredTokenError,
    InvalidTokenError,
    read_credential,
    with_override,
)
from narrator_daemon.emulator.database.database import (
    Database,
    IndexMissingError,
    PermissionDeniedError,
)
from narrator_daemon.emulator.database.feeds import Event, Feed
from narrator_daemon.emulator.database.node_hash import node_hash
from narrator_daemon.emulator.database.query import InvalidQueryError, Query
from narrator_daemon.emulator.database.values import (
    InvalidDataError,
    Path,
    Value,
    parse_path,
    render,
)
from narrator_daemon.emulator.protocols.connections import Wanted
from narrator_daemon.emulator.protocols.on_disconnect import OnDisconnect
from narrator_daemon.emulator.protocols.wire import Request, parse_query

#: Listeners of one connection.
MAX_LISTENERS = 10_000

Send: TypeAlias = Callable[[Mapping[str, object]], None]


class _RefusedError(Exception):
    """A request that is answered with an error; the text is for people."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Listener:
    """A listen that a client has sent."""

    def __init__(self, path: Path, query: Query | None, raw_query: object, tag: int | None) -> None:
        self.path = path
        self.query = query
        self.raw_query = raw_query
        self.tag = tag
        #: What its data is sent with.
        self.data_tag = tag
        self.feed: Feed

    @property
    def place(self) -> str:
        return "/" + "/".join(self.path)


class Session:
    """The conversation.

    Args:
        database: what it is about.
        send: takes the body of each data message to the client, in order.
        signed_in: told of each change of the caller, whose token may expire.

    Attributes:
        caller: who asks.
    """

    def __init__(self, database: Database, send: Send, signed_in: Callable[[Caller], None]) -> None:
        self.caller = Caller()
        self._database = database
        self._send = send
        self._signed_in = signed_in
        self._listeners: dict[tuple[Path, int | None], _Listener] = {}
        self._on_disconnect = OnDisconnect(database)
        self._actions: dict[str, Callable[[Mapping[str, Any]], object]] = {
            "q": self._listen,
            "n": self._unlisten,
            "g": self._get,
            "p": self._put,
            "m": self._merge,
            "o": self._on_disconnect_put,
            "om": self._on_disconnect_merge,
            "oc": self._on_disconnect_cancel,
            "auth": self._auth,
            "gauth": self._auth,
            "unauth": self._unauth,
            "s": self._nothing,
            "appcheck": self._nothing,
            "unappcheck": self._nothing,
            # As the SDK spells it.
            "unappeck": self._nothing,
        }

    def receive(self, request: Request) -> None:
        """Do what a client asks and answer."""
        status = "ok"
        data: object = ""
        try:
            action = self._actions.get(request.action)
            if action is None:
                raise _RefusedError("invalid_request", f"there is no action {request.action!r:.80}")
            data = action(request.body)
        except _RefusedError as error:
            status, data = error.status, str(error)
        except PermissionDeniedError:
            status, data = "permission_denied", "Permission denied"
        except ExpiredTokenError as error:
            status, data = "expired_token", str(error)
        except InvalidTokenError as error:
            status, data = "invalid_token", str(error)
        except IndexMissingError as error:
            status, data = "failed", str(error)
        except (InvalidDataError, InvalidQueryError) as error:
            status, data = "invalid_request", str(error)
        self.answer(request.number, status, data)

    def answer(self, number: int, status: str, data: object) -> None:
        """Send the answer to a request."""
        self._send({"r": number, "b": {"s": status, "d": data}})

    def concerns(self, wanted: Wanted) -> bool:
        """Whether the client listens to a path that is wanted."""
        return any(wanted(listener.place) for listener in self._listeners.values())

    def check(self) -> None:
        """Revoke the listeners that the rules no longer allow."""
        for listener in tuple(self._listeners.values()):
            if not self._may_listen(listener):
                self._revoke(listener)

    def cancel(self, wanted: Wanted) -> None:
        """Revoke the listeners whose path is wanted."""
        for listener in tuple(self._listeners.values()):
            if wanted(listener.place):
                self._revoke(listener)

    def sign_out(self, status: str, explanation: str) -> None:
        """Tell the client that its credential is no longer valid; it is nobody from here on."""
        self._send({"a": "ac", "b": {"s": status, "d": explanation}})
        self._become(Caller())

    def close(self) -> None:
        """Listen no more, and write what was to be written when the client has gone."""
        for listener in self._listeners.values():
            listener.feed.close()
        self._listeners.clear()
        self._on_disconnect.run(self.caller)

    def _listen(self, body: Mapping[str, Any]) -> object:
        path, query, tag = _path(body), parse_query(body.get("q")), _tag(body)
        listener = _Listener(path, query, body.get("q"), tag)
        answer: dict[str, object] = {}

        def sink(event: Event) -> None:
            self._event(listener, event)

        try:
            feed = self._database.feed(self.caller, path, query, sink, export=True)
        except IndexMissingError:
            # As the service does: the client gets everything, a warning, and filters for itself,
            # which it does with data that has no tag.
            listener.data_tag = None
            feed = self._database.whole_feed(self.caller, path, query, sink, export=True)
            answer["w"] = ["no_index"]
        before = self._listeners.pop((path, tag), None)
        if before is not None:
            before.feed.close()
        if len(self._listeners) >= MAX_LISTENERS:
            raise _RefusedError("too_big", f"a connection has {MAX_LISTENERS} listeners at most")
        listener.feed = feed
        self._listeners[path, tag] = listener
        feed.open(known=_knows(body.get("h"), feed.current()))
        return answer

    def _event(self, listener: _Listener, event: Event) -> None:
        # A listener can be closed by another that hears of the same commit.
        if self._listeners.get((listener.path, listener.tag)) is not listener:
            return
        if not self._may_listen(listener):
            self._revoke(listener)
            return
        body: dict[str, object] = {
            "p": ("/".join(listener.path) + event.path).strip("/"),
            "d": event.data,
        }
        if listener.data_tag is not None:
            body["t"] = listener.data_tag
        self._send({"a": "d" if event.name == "put" else "m", "b": body})

    def _may_listen(self, listener: _Listener) -> bool:
        return self._database.may_read(self.caller, listener.path, listener.query)

    def _revoke(self, listener: _Listener) -> None:
        del self._listeners[listener.path, listener.tag]
        listener.feed.close()
        body: dict[str, object] = {"p": "/".join(listener.path)}
        if listener.query is not None:
            body["q"] = [listener.raw_query]
        self._send({"a": "c", "b": body})

    def _unlisten(self, body: Mapping[str, Any]) -> object:
        listener = self._listeners.pop((_path(body), _tag(body)), None)
        if listener is not None:
            listener.feed.close()
        return ""

    def _get(self, body: Mapping[str, Any]) -> object:
        path, query = _path(body), parse_query(body.get("q"))
        if query is None:
            return render(self._database.read(self.caller, path), export=True)
        found = self._database.query(self.caller, path, query)
        return render(found or None, export=True)

    def _put(self, body: Mapping[str, Any]) -> object:
        path = _path(body)
        self._check_hash(path, body)
        self._database.set(self.caller, path, _data(body))
        return ""

    def _merge(self, body: Mapping[str, Any]) -> object:
        path = _path(body)
        self._check_hash(path, body)
        self._database.update(self.caller, path, _children(body))
        return ""

    def _check_hash(self, path: Path, body: Mapping[str, Any]) -> None:
        if "h" not in body:
            return
        if node_hash(self._database.read(self.caller, path)) != body["h"]:
            raise _RefusedError("datastale", "Transaction hash does not match")

    def _on_disconnect_put(self, body: Mapping[str, Any]) -> object:
        self._on_disconnect.put(self.caller, _path(body), _data(body))
        return ""

    def _on_disconnect_merge(self, body: Mapping[str, Any]) -> object:
        self._on_disconnect.merge(self.caller, _path(body), _children(body))
        return ""

    def _on_disconnect_cancel(self, body: Mapping[str, Any]) -> object:
        self._on_disconnect.cancel(_path(body))
        return ""

    def _auth(self, body: Mapping[str, Any]) -> object:
        credential = body.get("cred")
        if not isinstance(credential, str):
            raise InvalidTokenError("Could not parse auth token.")
        caller = read_credential(credential)
        if body.get("noauth") is True:
            caller = with_override(caller, None)
        elif "authvar" in body:
            caller = with_override(caller, body["authvar"])
        self._become(caller)
        return {"auth": caller.auth}

    def _unauth(self, _: Mapping[str, Any]) -> object:
        self._become(Caller())
        return ""

    def _become(self, caller: Caller) -> None:
        self.caller = caller
        self._signed_in(caller)
        self.check()

    def _nothing(self, _: Mapping[str, Any]) -> object:
        return ""


def _knows(known: object, value: Value) -> bool:
    """Whether a client whose cache has a hash needs no snapshot."""
    if not known:
        return value is None and known == ""
    return known == node_hash(value)


def _path(body: Mapping[str, Any]) -> Path:
    text = body.get("p")
    if not isinstance(text, str):
        raise InvalidDataError("Invalid path: `p` is to be a string")
    return parse_path(text)


def _data(body: Mapping[str, Any]) -> object:
    if "d" not in body:
        raise InvalidDataError("Error: No data supplied.")
    return body["d"]


def _tag(body: Mapping[str, Any]) -> int | None:
    tag = body.get("t")
    if tag is not None and (not isinstance(tag, int) or isinstance(tag, bool)):
        raise InvalidQueryError("a query's tag `t` is an integer")
    return tag


def _children(body: Mapping[str, Any]) -> Mapping[str, object]:
    children = body.get("d")
    if not isinstance(children, dict):
        raise InvalidDataError("Invalid data; an update takes an object of children.")
    return children
