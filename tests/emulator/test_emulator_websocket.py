"""Messages, reads and writes. What the SDK itself makes of them: tests/frontend."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
import requests

from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.protocols import wire
from tests.emulator.sdk_client import Client, connect, talk


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


@pytest.mark.parametrize("wrong", [{"ns": "no name!"}, {"v": "4"}])
def test_whoever_asks_for_something_else_is_told_to_stop(
    firebase: LocalFirebase, wrong: dict[str, str]
) -> None:
    async def run() -> None:
        async with connect(firebase, **wrong) as client:
            assert client.hello["t"] == "s"
            assert ("No database" if "ns" in wrong else "version 5") in client.hello["d"]
            assert (await client.close_code())[0] == 1008

    asyncio.run(run())


def test_no_websocket(rest: Any) -> None:
    assert requests.get(f"{rest.base}/.ws", params={"v": "5"}, timeout=60).status_code == 426


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
