"""The SDK's protocol, spoken by hand. What the SDK itself makes of it: tests/frontend."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from narrator_daemon.emulator import Fault, LocalFirebase, client_token, outbox, wire
from narrator_daemon.emulator.database import Database
from narrator_daemon.emulator.rules import Rules
from narrator_daemon.emulator.session import Session
from narrator_daemon.emulator.tree import Tree
from narrator_daemon.emulator.values import to_json

OWNER = {"Authorization": "Bearer owner"}
OPEN = {"rules": {".read": True, ".write": True}}
WAIT = 10.0


class Client:
    """One WebSocket and what has come in over it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.hello: dict[str, Any] = {}
        self._number = 0
        self.pushes: list[tuple[str, Any]] = []

    async def receive(self) -> Any:
        """The next message, its frames joined."""
        text = await self.socket.receive_str(timeout=WAIT)
        if text.isdecimal():
            parts = [await self.socket.receive_str(timeout=WAIT) for _ in range(int(text))]
            assert max(map(len, parts)) <= wire.FRAME_SIZE
            text = "".join(parts)
        return json.loads(text)

    async def ask(self, action: str, **body: Any) -> tuple[str, Any]:
        """Send a request; gives status and data. Pushes that come before are kept."""
        self._number += 1
        request = {"t": "d", "d": {"r": self._number, "a": action, "b": body}}
        await self.socket.send_str(json.dumps(request))
        return await self.answer(self._number)

    async def answer(self, number: int) -> tuple[str, Any]:
        while True:
            data = (await self.receive())["d"]
            if "r" in data:
                assert data["r"] == number
                return data["b"]["s"], data["b"]["d"]
            self.pushes.append((data["a"], data["b"]))

    async def push(self) -> tuple[str, Any]:
        """The next push."""
        if not self.pushes:
            data = (await self.receive())["d"]
            self.pushes.append((data["a"], data["b"]))
        return self.pushes.pop(0)

    async def close_code(self) -> tuple[int | None, str]:
        """How the server closes, and the reason it gives."""
        while True:
            message = await self.socket.receive(timeout=WAIT)
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra or ""
            if message.type is not aiohttp.WSMsgType.TEXT:
                return self.socket.close_code, ""


@asynccontextmanager
async def connect(firebase: LocalFirebase, **params: str) -> AsyncIterator[Client]:
    host = firebase.endpoints["database_host"]
    given = {"v": "5", "ns": "demo-books", **params}
    timeout = aiohttp.ClientWSTimeout(ws_close=0.5)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"http://{host}/.ws", params=given, autoclose=False, timeout=timeout
        ) as socket,
    ):
        client = Client(socket)
        client.hello = (await client.receive())["d"]
        yield client


def talk(firebase: LocalFirebase, dialogue: Callable[[Client], Awaitable[None]]) -> None:
    async def run() -> None:
        async with connect(firebase) as client:
            await dialogue(client)

    asyncio.run(run())


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def set_rules(rest: Any, rules: object) -> None:
    rest("PUT", "/.settings/rules", {"rules": rules}, headers=OWNER).raise_for_status()


def test_the_handshake(firebase: LocalFirebase) -> None:
    async def dialogue(client: Client) -> None:
        greeting = client.hello["d"]
        assert client.hello["t"] == "h"
        assert greeting["v"] == "5"
        assert greeting["h"] == firebase.endpoints["database_host"]
        assert len(greeting["s"]) > 20
        assert abs(greeting["ts"] / 1000 - time.time()) < 5
        await client.socket.send_str('{"t":"c","d":{"t":"p","d":{}}}')
        assert await client.receive() == {"t": "c", "d": {"t": "o", "d": {}}}

    talk(firebase, dialogue)


@pytest.mark.parametrize("namespace", ["demo-books", "demo-books-default-rtdb"])
def test_names_of_the_database(firebase: LocalFirebase, rest: Any, namespace: str) -> None:
    async def run() -> None:
        async with connect(firebase, ns=namespace) as client:
            assert (await client.ask("p", p="/a", d=namespace))[0] == "ok"

    asyncio.run(run())
    assert rest.get("/a", ns=namespace) == namespace


@pytest.mark.parametrize("wrong", [{"ns": "other"}, {"v": "4"}])
def test_whoever_asks_for_something_else_is_told_to_stop(
    firebase: LocalFirebase, wrong: dict[str, str]
) -> None:
    async def run() -> None:
        async with connect(firebase, **wrong) as client:
            assert client.hello["t"] == "s"
            assert ("demo-books" if "ns" in wrong else "version 5") in client.hello["d"]
            assert (await client.close_code())[0] == 1008

    asyncio.run(run())


def test_no_websocket(rest: Any) -> None:
    assert requests.get(f"{rest.base}/.ws", params={"v": "5"}, timeout=5).status_code == 426


def test_writes_are_those_of_rest(firebase: LocalFirebase, rest: Any) -> None:
    async def dialogue(client: Client) -> None:
        assert await client.ask("p", p="/books/a", d={"n": 1, "gone": None}) == ("ok", "")
        assert await client.ask("m", p="/books", d={"a/n": 2, "b": {"n": {".sv": "timestamp"}}})
        assert await client.ask("p", p="/books/a/n", d={".sv": {"increment": 5}}) == ("ok", "")
        assert await client.ask("g", p="/books/a", q={}) == ("ok", {"n": 7})
        assert await client.ask("g", p="/nothing", q={}) == ("ok", None)

    talk(firebase, dialogue)
    books = rest.get("/books")
    assert books["a"] == {"n": 7}
    assert abs(books["b"]["n"] / 1000 - time.time()) < 10


def test_a_listener_hears_what_has_changed(firebase: LocalFirebase, rest: Any) -> None:
    rest.put("/books", {"a": {"n": 1}, "p": {".value": 1, ".priority": 2}})

    async def dialogue(client: Client) -> None:
        assert await client.ask("q", p="/books", h="") == ("ok", {})
        whole = {"a": {"n": 1}, "p": {".value": 1, ".priority": 2}}
        assert await client.push() == ("d", {"p": "books", "d": whole})
        await asyncio.to_thread(rest.put, "/books/a/n", 2)
        assert await client.push() == ("d", {"p": "books/a/n", "d": 2})
        await asyncio.to_thread(rest, "PATCH", "/books", {"a/n": 3, "b": 4})
        assert await client.push() == ("m", {"p": "books", "d": {"a/n": 3, "b": 4}})
        # One's own writes come before their answer.
        assert await client.ask("p", p="/books/b", d=None) == ("ok", "")
        assert client.pushes == [("d", {"p": "books/b", "d": None})]
        client.pushes.clear()
        await client.ask("n", p="/books")
        await client.ask("p", p="/books/b", d=1)
        assert client.pushes == []

    talk(firebase, dialogue)


def test_a_query_has_a_tag(firebase: LocalFirebase, rest: Any) -> None:
    rest.put("/books", {"a": {"narrativeAudioStatus": "ready"}, "b": {"n": 1}})
    query = {"sp": "requested", "ep": "requested", "i": "narrativeAudioStatus"}

    async def dialogue(client: Client) -> None:
        assert await client.ask("q", p="/books", q=query, t=7, h="") == ("ok", {})
        assert client.pushes == []
        await client.ask("m", p="/books/b", d={"narrativeAudioStatus": "requested"})
        await client.ask("p", p="/books/b/n", d=2)
        await client.ask("p", p="/books/a/n", d=2)
        await client.ask("m", p="/books/b", d={"narrativeAudioStatus": "processing"})
        b = {"narrativeAudioStatus": "requested", "n": 1}
        assert client.pushes == [
            ("d", {"p": "books/b", "d": b, "t": 7}),
            ("d", {"p": "books/b/n", "d": 2, "t": 7}),
            ("d", {"p": "books/b", "d": None, "t": 7}),
        ]

    talk(firebase, dialogue)


def test_a_query_without_index_sends_everything_and_a_warning(
    firebase: LocalFirebase, rest: Any
) -> None:
    rest.put("/books", {"a": {"title": "x"}, "b": {"title": "y"}})
    query = {"sp": "y", "i": "title"}

    async def dialogue(client: Client) -> None:
        assert await client.ask("q", p="/books", q=query, t=1, h="") == ("ok", {"w": ["no_index"]})
        both = {"a": {"title": "x"}, "b": {"title": "y"}}
        assert client.pushes == [("d", {"p": "books", "d": both})]
        status, reason = await client.ask("g", p="/books", q=query)
        assert status == "failed"
        assert '".indexOn": "title"' in reason

    talk(firebase, dialogue)


def test_what_a_client_knows_is_not_sent_again(firebase: LocalFirebase, rest: Any) -> None:
    rest.put("/books", {"a": 1})
    query = {"l": 1, "vf": "r", "i": ".key"}

    async def dialogue(client: Client) -> None:
        # What the SDK computes for {"a": 1}.
        known = "gIphxiFGusLh2VwSNVKSvNu90m4="
        assert await client.ask("q", p="/books", h=known) == ("ok", {})
        assert await client.ask("q", p="/books", q=query, t=3, h=known) == ("ok", {})
        assert await client.ask("q", p="/none", h="") == ("ok", {})
        assert client.pushes == []
        await client.ask("p", p="/books/b", d=1)
        assert {body.get("t") for _, body in client.pushes} == {None, 3}

    talk(firebase, dialogue)


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (True, "E5z61QM0lN/U2WsOnusszCTkR8M="),
        (-1.5, "M56MQ4H2xiM8kwGXZUDuLOryQxM="),
        (5e-324, "AVzIJwC869iLHq/DQh6bzLDrVO4="),
        (1700000000000, "vzg0cpxiAeqQeyjkTe0gblJSTn8="),
        ("", "Ki0Xy0V6morg0TO3Sxi/jwugYDQ="),
        ("ä€😀", "haaKQhCq49LNkLeFXrgrW65IH/Q="),
        (
            {
                "a": {
                    "7": 5,
                    "9": False,
                    "10": True,
                    "b": "c",
                    "\uffff": 1,
                    "😀": 2,
                    "-5": 3,
                    "007": 4,
                    "00000000000001": 6,
                }
            },
            "GfXmfhQwiQnihTJJsne4670RqJw=",
        ),
        ({".value": 3, ".priority": 2}, "nSgtQhzwPMtbP67ihYuzfIrKsnQ="),
        (
            {
                ".priority": "p",
                "a": 1,
                "b": {".value": 1, ".priority": 9},
                "c": {".value": 1, ".priority": "x"},
            },
            "84FH0PogRPgYW9tPLQGm1D5hhu0=",
        ),
    ],
)
def test_a_put_with_the_sdks_hash(
    firebase: LocalFirebase, rest: Any, value: object, known: str
) -> None:
    """Hashes as @firebase/database 1.1.5 sends them with a transaction on these values."""
    rest.put("/v", value)

    async def dialogue(client: Client) -> None:
        status, reason = await client.ask("p", p="/v", d="new", h="0" + known[1:])
        assert (status, reason) == ("datastale", "Transaction hash does not match")
        assert await client.ask("p", p="/v", d="new", h=known) == ("ok", "")

    talk(firebase, dialogue)
    assert rest.get("/v") == "new"


def test_large_messages_travel_in_frames(firebase: LocalFirebase) -> None:
    text = "Grüße, 😀 " * 20_000

    async def dialogue(client: Client) -> None:
        request = json.dumps({"t": "d", "d": {"r": 1, "a": "p", "b": {"p": "/t", "d": text}}})
        parts = [request[i : i + 16_384] for i in range(0, len(request), 16_384)]
        await client.socket.send_str(str(len(parts)))
        for part in parts:
            await client.socket.send_str(part)
        assert await client.answer(1) == ("ok", "")
        # A sign of life is no message.
        await client.socket.send_str("0")
        assert await client.ask("s", c={"sdk.js": 1}) == ("ok", "")

    talk(firebase, dialogue)

    async def read(client: Client) -> None:
        assert await client.ask("g", p="/t", q={}) == ("ok", text)

    talk(firebase, read)


def test_a_message_that_is_too_large_is_refused_and_the_connection_goes_on(
    firebase: LocalFirebase, rest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_MESSAGE_BYTES", 40_000)

    async def dialogue(client: Client) -> None:
        request = json.dumps(
            {"t": "d", "d": {"r": 1, "a": "p", "b": {"p": "/t", "d": "x" * 90_000}}}
        )
        await client.socket.send_str("6")
        for i in range(6):
            await client.socket.send_str(request[i * 16_000 : (i + 1) * 16_000])
        status, reason = await client.answer(1)
        assert status == "too_big"
        assert "40000 bytes" in reason
        client._number = 1
        assert await client.ask("p", p="/t", d="small") == ("ok", "")

    talk(firebase, dialogue)
    assert rest.get("/t") == "small"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("nonsense", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"t":"d","d":{"r":NaN}}', "not JSON"),
        ("null", "`t`"),
        ('{"t":"d"}', "`d`"),
        ('{"t":"d","d":{"r":"1","a":"p","b":{}}}', "`r`"),
        ('{"t":"d","d":{"r":1,"a":"p","b":[]}}', "`b`"),
        ('{"t":"x","d":{"r":1,"a":"p","b":{}}}', "`a`"),
        (b"bytes", "text"),
    ],
)
def test_a_client_that_speaks_something_else_is_told_so(
    firebase: LocalFirebase, sent: str | bytes, said: str
) -> None:
    async def dialogue(client: Client) -> None:
        if isinstance(sent, bytes):
            await client.socket.send_bytes(sent)
        else:
            await client.socket.send_str(sent)
        error = await client.receive()
        assert error["t"] == "c" and error["d"]["t"] == "e"
        assert said in error["d"]["d"]
        code, reason = await client.close_code()
        assert code == 1002
        assert said in reason

    talk(firebase, dialogue)


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("fly", {}),
        ("p", {"d": 1}),
        ("p", {"p": "/a"}),
        ("p", {"p": 5, "d": 1}),
        ("p", {"p": "/a/$b", "d": 1}),
        ("p", {"p": "/x" * 33, "d": 1}),
        ("p", {"p": "/a", "d": {"b.c": 1}}),
        ("p", {"p": "/a", "d": {".sv": "now"}}),
        ("m", {"p": "/a", "d": 5}),
        ("m", {"p": "/a", "d": {"b": 1, "b/c": 2}}),
        ("q", {"p": "/a", "q": 5}),
        ("q", {"p": "/a", "q": {"zz": 1}}),
        ("q", {"p": "/a", "q": {"i": 7}}),
        ("q", {"p": "/a", "q": {"i": "$key"}}),
        ("q", {"p": "/a", "q": {"i": ".key", "sp": 7}}),
        ("q", {"p": "/a", "q": {"sp": {}}}),
        ("q", {"p": "/a", "q": {"sp": 1, "sn": 1}}),
        ("q", {"p": "/a", "q": {"l": 0}}),
        ("q", {"p": "/a", "q": {"l": 1, "vf": "x"}}),
        ("q", {"p": "/a", "q": {"l": 1}, "t": "7"}),
        ("g", {"q": {}}),
        ("o", {"p": "/a"}),
        ("om", {"p": "/a", "d": 1}),
        ("oc", {}),
        ("auth", {}),
        ("auth", {"cred": "a.b.c"}),
        ("gauth", {"cred": "ya29.token"}),
        ("auth", {"cred": "owner", "authvar": 5}),
    ],
)
def test_a_request_that_makes_no_sense_is_answered(
    firebase: LocalFirebase, rest: Any, action: str, body: dict[str, Any]
) -> None:
    async def dialogue(client: Client) -> None:
        status, reason = await client.ask(action, **body)
        assert status == ("invalid_token" if "auth" in action else "invalid_request")
        assert reason
        assert await client.ask("g", p="/", q={}) == ("ok", None)

    talk(firebase, dialogue)


def test_rules_are_those_of_rest(firebase: LocalFirebase, rest: Any) -> None:
    mine = {".read": "auth.uid === $uid", ".write": "auth.uid === $uid"}
    set_rules(rest, {"users": {"$uid": mine}})
    denied = ("permission_denied", "Permission denied")

    async def dialogue(client: Client) -> None:
        assert await client.ask("p", p="/users/ann", d=1) == denied
        status, data = await client.ask("auth", cred=client_token("ann"))
        assert (status, data["auth"]["uid"]) == ("ok", "ann")
        assert await client.ask("p", p="/users/ann", d=1) == ("ok", "")
        assert await client.ask("m", p="/users", d={"ann": 2, "bob": 2}) == denied
        assert await client.ask("g", p="/users/bob", q={}) == denied
        assert await client.ask("q", p="/users", h="") == denied
        assert await client.ask("o", p="/users/bob", d=1) == denied
        assert await client.ask("q", p="/users/ann", h="") == ("ok", {})
        client.pushes.clear()
        # Signed out, she may not listen any more.
        assert await client.ask("unauth") == ("ok", "")
        assert client.pushes == [("c", {"p": "users/ann"})]
        assert (await client.ask("gauth", cred="owner"))[0] == "ok"
        assert await client.ask("g", p="/users/ann", q={}) == ("ok", 1)
        await client.ask("auth", cred="owner", authvar={"uid": "bob"})
        assert await client.ask("p", p="/users/bob", d=1) == ("ok", "")
        await client.ask("auth", cred="owner", noauth=True)
        assert await client.ask("g", p="/users/bob", q={}) == denied

    talk(firebase, dialogue)


def test_listeners_that_a_write_shuts_out_are_revoked(firebase: LocalFirebase, rest: Any) -> None:
    set_rules(rest, {"books": {".read": "root.child('open').val() === true"}})
    rest.put("/open", True)
    query = {"l": 2, "vf": "l", "i": ".key"}

    async def dialogue(client: Client) -> None:
        await client.ask("q", p="/books", h="")
        await client.ask("q", p="/books", q=query, t=1, h="")
        await asyncio.to_thread(rest.put, "/open", False)
        revoked = [await client.push(), await client.push()]
        assert revoked == [("c", {"p": "books"}), ("c", {"p": "books", "q": [query]})]
        await asyncio.to_thread(rest.put, "/books/a", 1)
        assert (await client.ask("s", c={}))[0] == "ok"
        assert client.pushes == []

    talk(firebase, dialogue)


def test_new_rules_revoke_listeners(firebase: LocalFirebase, rest: Any) -> None:
    async def dialogue(client: Client) -> None:
        await client.ask("q", p="/books", h="")
        await asyncio.to_thread(set_rules, rest, {".read": False})
        assert await client.push() == ("c", {"p": "books"})

    talk(firebase, dialogue)


def test_a_token_that_ends(firebase: LocalFirebase, rest: Any) -> None:
    set_rules(rest, {".read": "auth !== null"})

    async def dialogue(client: Client) -> None:
        expired = client_token("ann", expires=time.time() - 1)
        assert (await client.ask("auth", cred=expired))[0] == "expired_token"
        # The SDK's `mockUserToken` says 1970, and is meant to last.
        lasting = client_token("ann", iat=0, exp=3600)
        assert (await client.ask("auth", cred=lasting))[0] == "ok"
        await client.ask("auth", cred=client_token("ann", expires=time.time() + 0.3))
        await client.ask("q", p="/books", h="")
        action, body = await client.push()
        assert (action, body["s"]) == ("ac", "expired_token")
        assert await client.push() == ("c", {"p": "books"})

    talk(firebase, dialogue)


def test_on_disconnect(firebase: LocalFirebase, rest: Any) -> None:
    rest.put("/users", {"ann": {"state": "here", "kept": 1}, "bob": 1})

    async def dialogue(client: Client) -> None:
        seen = {"seen": {".sv": "timestamp"}, "state": "gone", "dropped": 1}
        assert await client.ask("om", p="/users/ann", d=seen) == ("ok", "")
        assert await client.ask("o", p="/users/bob", d=None) == ("ok", "")
        assert await client.ask("o", p="/users/cyd", d={"x": 1}) == ("ok", "")
        assert await client.ask("oc", p="/users/cyd") == ("ok", "")
        assert await client.ask("oc", p="/users/ann/dropped") == ("ok", "")
        assert await client.ask("g", p="/users/ann/state", q={}) == ("ok", "here")

    talk(firebase, dialogue)
    eventually(lambda: rest.get("/users/bob") is None)
    users = rest.get("/users")
    assert abs(users["ann"].pop("seen") / 1000 - time.time()) < 10
    assert users == {"ann": {"state": "gone", "kept": 1}}


def test_on_disconnect_asks_the_rules_again(firebase: LocalFirebase, rest: Any) -> None:
    async def dialogue(client: Client) -> None:
        await client.ask("o", p="/a", d=1)
        await client.ask("o", p="/b", d=1)
        rules = {".read": True, "b": {".write": True}}
        await asyncio.to_thread(set_rules, rest, rules)

    talk(firebase, dialogue)
    eventually(lambda: rest.get("/b") == 1)
    assert rest.get("/a") is None


def test_on_disconnect_has_a_limit(firebase: LocalFirebase) -> None:
    async def dialogue(client: Client) -> None:
        many = {f"k{i}": None for i in range(1000)}
        assert (await client.ask("om", p="/many", d=many))[0] == "ok"
        assert (await client.ask("om", p="/many", d=many))[0] == "ok"
        status, reason = await client.ask("o", p="/more", d=None)
        assert status == "invalid_request"
        assert "1000" in reason

    talk(firebase, dialogue)


def test_a_client_that_comes_back_ends_its_last_session(firebase: LocalFirebase, rest: Any) -> None:
    async def run() -> None:
        async with connect(firebase) as old:
            await old.ask("o", p="/gone", d=True)
            async with connect(firebase, ls=old.hello["d"]["s"]) as new:
                assert await new.ask("g", p="/gone", q={}) == ("ok", True)
                await old.close_code()

    asyncio.run(run())


def test_faults_cut_cancel_revoke_and_silence(firebase: LocalFirebase, rest: Any) -> None:
    async def run() -> None:
        async with connect(firebase) as client, connect(firebase) as other:
            await client.ask("q", p="/shelf", h="")
            await other.ask("q", p="/other", h="")
            assert await asyncio.to_thread(firebase.faults.revoke_streams, "^/shelf") == 1
            action, body = await client.push()
            assert (action, body["s"]) == ("ac", "invalid_token")
            assert await asyncio.to_thread(firebase.faults.cancel_streams, "^/shelf") == 1
            assert await client.push() == ("c", {"p": "shelf"})
            number = firebase.faults.add(Fault("silence", method="WEBSOCKET"))
            await asyncio.to_thread(rest.put, "/other", 1)
            firebase.faults.clear(number)
            await asyncio.to_thread(rest.put, "/other", 2)
            assert await other.push() == ("d", {"p": "other", "d": 2})
            assert await asyncio.to_thread(firebase.faults.end_streams, "^/other") == 1
            assert (await other.close_code())[0] in (None, 1006)
            assert (await client.ask("s", c={}))[0] == "ok"
            assert await asyncio.to_thread(firebase.faults.end_streams) == 1
            assert (await client.close_code())[0] in (None, 1006)

    asyncio.run(run())


def test_a_refused_connection(firebase: LocalFirebase) -> None:
    firebase.faults.add(Fault("status", method="WEBSOCKET", status=503, count=1))

    async def run() -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            async with connect(firebase):
                pass
        async with connect(firebase):
            pass

    asyncio.run(run())


def test_traffic_counts_connections_and_bytes(firebase: LocalFirebase) -> None:
    firebase.traffic.reset()

    async def dialogue(client: Client) -> None:
        await client.ask("p", p="/t", d="x" * 1000)
        await client.ask("g", p="/t", q={})

    talk(firebase, dialogue)
    total = firebase.traffic.total
    eventually(lambda: total("requests", kind="websocket", place="/.ws") == 1)
    assert 1000 < total("bytes_received", kind="websocket") < 1300
    assert 1000 < total("bytes_sent", kind="websocket") < 1300


def test_a_change_among_20000_children_sends_the_change_alone(firebase: LocalFirebase) -> None:
    firebase.load("/many", {f"k{i}": {"n": i, "text": "x" * 50} for i in range(20_000)})

    async def run() -> None:
        async with connect(firebase) as client, connect(firebase) as writer:
            await client.ask("q", p="/many", h="")
            assert len((await client.push())[1]["d"]) == 20_000
            firebase.traffic.reset()
            for i in range(20):
                await writer.ask("p", p=f"/many/k{i}/n", d=-1)
                assert await client.push() == ("d", {"p": f"many/k{i}/n", "d": -1})

    asyncio.run(run())
    assert firebase.traffic.total("bytes_sent", kind="websocket") < 20 * 150


def test_a_client_that_does_not_read_is_cut_off(
    firebase: LocalFirebase, rest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_UNREAD_BYTES", 1_000_000)
    text = "x" * 500_000

    async def run() -> None:
        async with connect(firebase) as client, connect(firebase) as writer:
            await client.ask("q", p="/t", h="")
            await client.ask("o", p="/gone", d=True)
            client.socket._response.connection.transport.pause_reading()
            for number in range(200):
                assert (await writer.ask("p", p="/t", d=f"{number}{text}"))[0] == "ok"
                if await writer.ask("g", p="/gone", q={}) == ("ok", True):
                    return
            raise AssertionError("a client that reads nothing was served for ever")

    asyncio.run(run())


def test_a_client_that_asks_for_much_at_once_gets_it_as_it_reads(
    firebase: LocalFirebase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_UNREAD_BYTES", 10_000)
    firebase.load("/t", "x" * 500_000)
    request = '{"t":"d","d":{"r":%d,"a":"g","b":{"p":"/t","q":{}}}}'
    count = 60

    async def run() -> None:
        async with connect(firebase) as client, connect(firebase) as other:
            transport = client.socket._response.connection.transport
            transport.pause_reading()
            firebase.traffic.reset()
            for number in range(1, count + 1):
                await client.socket.send_str(request % number)
            for _ in range(20):
                assert (await other.ask("g", p="/t", q={}))[0] == "ok"
            # Most requests wait until the answers before them have been read.
            assert firebase.traffic.total("bytes_received") < 50 * (20 + count // 2)
            transport.resume_reading()
            for number in range(1, count + 1):
                status, value = await client.answer(number)
                assert (status, len(value)) == ("ok", 500_000)

    asyncio.run(run())


def test_writes_survive_a_restart_and_an_end_writes_what_was_left(tmp_path: Path) -> None:
    with LocalFirebase(storage=False, rules=OPEN, data=tmp_path) as firebase:

        async def leave(client: Client) -> None:
            await client.ask("p", p="/a", d={"b": 1})
            await client.ask("o", p="/gone", d=True)
            await asyncio.to_thread(firebase.stop)
            assert (await client.close_code())[0] == 1001

        talk(firebase, leave)
    assert json.loads((tmp_path / "database.json").read_text()) == {"a": {"b": 1}, "gone": True}


def test_long_polling_is_sent_back_to_the_websocket(rest: Any) -> None:
    url = f"{rest.base}/.lp"
    answer = requests.get(url, params={"start": "t", "cb": "3", "v": "5"}, timeout=5)
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert 'removeItem("firebase:previous_websocket_failure")' in answer.text
    assert 'parent["pLPCommand3"]("close")' in answer.text
    for hostile in ("alert(1)", "", '"]'):
        params = {"start": "t", "cb": hostile}
        assert requests.get(url, params=params, timeout=5).status_code == 404


def test_a_client_that_gives_no_sign_of_life_has_gone() -> None:
    with LocalFirebase(storage=False, rules=OPEN, keep_alive_seconds=0.1) as firebase:
        url = f"http://{firebase.endpoints['database_host']}"

        async def run() -> None:
            async with aiohttp.ClientSession() as session:
                client = Client(await session.ws_connect(f"{url}/.ws?v=5", autoping=False))
                await client.receive()
                assert await client.ask("o", p="/gone", d=True) == ("ok", "")

                def gone() -> bool:
                    return bool(requests.get(f"{url}/gone.json", timeout=5).json())

                await asyncio.to_thread(eventually, gone)
                client.socket._response.close()

        asyncio.run(run())


def test_texts_without_utf8_come_back_replaced(firebase: LocalFirebase, rest: Any) -> None:
    query = {"sp": "\ud800", "l": 1, "vf": "l"}

    async def dialogue(client: Client) -> None:
        status, data = await client.ask("auth", cred=client_token("ann", name="\ud800"))
        assert (status, data["auth"]["token"]["name"]) == ("ok", "?")
        await client.ask("q", p="/a", q=query, t=1, h="")
        await asyncio.to_thread(set_rules, rest, {".read": False})
        assert await client.push() == ("c", {"p": "a", "q": [{**query, "sp": "?"}]})

    talk(firebase, dialogue)


@pytest.mark.parametrize("claims", ['{"sub":"a","exp":1' + "0" * 400 + "}", "[" * 5000])
def test_a_hostile_token(firebase: LocalFirebase, claims: str) -> None:
    token = f"e30.{base64.urlsafe_b64encode(claims.encode()).decode()}."

    async def dialogue(client: Client) -> None:
        assert await client.ask("auth", cred=token) == (
            "invalid_token",
            "Could not parse auth token.",
        )

    talk(firebase, dialogue)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
_QUERY = st.dictionaries(
    st.sampled_from(["sp", "sn", "sin", "ep", "en", "ein", "l", "vf", "i"]),
    st.sampled_from([".key", ".value", "a/b", "l", "r", 1, 0, True, False, None, "k"]) | _JSON,
)
_BODY = st.fixed_dictionaries(
    {},
    optional={
        "p": st.sampled_from(["/", "/a", "/a/b", "/a/.priority"]) | _JSON,
        "d": st.dictionaries(st.sampled_from(["a", "a/b", ".priority", ".value", ".sv"]), _JSON)
        | _JSON,
        "q": _QUERY | _JSON,
        "t": st.integers() | _JSON,
        "h": st.sampled_from([""]) | _JSON,
        "cred": st.sampled_from(["owner", "a.e30."]) | _JSON,
        "authvar": _JSON,
    },
)
_ACTION = st.sampled_from(["q", "n", "g", "p", "m", "o", "om", "oc", "auth", "gauth", "unauth"])


@given(st.lists(st.tuples(_ACTION, _BODY), max_size=12))
@settings(max_examples=80, deadline=None)
def test_whatever_comes_in_is_answered_once(requests: list[tuple[str, Any]]) -> None:
    sent: list[Any] = []
    rules = Rules('{"rules": {".read": "data.child(\'a\').val() !== 1", ".write": true}}')
    session = Session(Database(Tree(), rules), sent.append, lambda _: None)
    for number, (action, body) in enumerate(requests):
        text = json.dumps({"t": "d", "d": {"r": number, "a": action, "b": body}}, allow_nan=True)
        try:
            request = wire.parse_message(text)
        except wire.ProtocolError:
            assert "NaN" in text or "Infinity" in text
            continue
        assert isinstance(request, wire.Request)
        session.receive(request)
        assert [message["r"] for message in sent if "r" in message] == [number]
        for message in sent:
            to_json(message).decode()
        sent.clear()
    session.close()
