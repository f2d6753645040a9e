"""The SDK's protocol, spoken by hand."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.protocols import wire

OWNER = {"Authorization": "Bearer owner"}
OPEN = {"rules": {".read": True, ".write": True}}
WAIT = 60.0


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
