"""How WebSockets end, and what is done when they have; readers that are slow."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests

from narrator_daemon.emulator import Fault, LocalFirebase
from narrator_daemon.emulator.protocols import outbox
from tests.emulator.sdk_client import OPEN, Client, connect, eventually, set_rules, talk


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
    count = 120

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
    answer = requests.get(url, params={"start": "t", "cb": "3", "v": "5"}, timeout=60)
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert 'removeItem("firebase:previous_websocket_failure")' in answer.text
    assert 'parent["pLPCommand3"]("close")' in answer.text
    for hostile in ("alert(1)", "", '"]', "1\n", "٣", "1" * 5000):
        params = {"start": "t", "cb": hostile}
        assert requests.get(url, params=params, timeout=60).status_code == 404


def test_a_client_that_gives_no_sign_of_life_has_gone() -> None:
    with LocalFirebase(storage=False, rules=OPEN, keep_alive_seconds=0.1) as firebase:
        url = f"http://{firebase.endpoints['database_host']}"

        async def run() -> None:
            async with aiohttp.ClientSession() as session:
                client = Client(await session.ws_connect(f"{url}/.ws?v=5", autoping=False))
                await client.receive()
                assert await client.ask("o", p="/gone", d=True) == ("ok", "")

                def gone() -> bool:
                    return bool(requests.get(f"{url}/gone.json", timeout=60).json())

                await asyncio.to_thread(eventually, gone)
                client.socket._response.close()

        asyncio.run(run())
