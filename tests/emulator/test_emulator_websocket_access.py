"""Rules and tokens over the WebSocket."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import pytest

from narrator_daemon.emulator import LocalFirebase, client_token
from tests.emulator.sdk_client import Client, set_rules, talk


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
