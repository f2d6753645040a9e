"""The WebSocket of the Firebase SDKs, at ``/.ws``, on the port of the REST API.

Long polling, which the SDK falls back to where a WebSocket has failed before, is not served: its
first request is answered with the advice to try the WebSocket again.

Source: the public source of the Firebase JavaScript SDK (``@firebase/database``), which is the
only published description of the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import Callable, Mapping

from aiohttp import WSCloseCode, WSMsgType, web

from narrator_daemon.emulator.database.caller import Caller
from narrator_daemon.emulator.database.database import Database
from narrator_daemon.emulator.database.databases import Databases, UnknownDatabaseError
from narrator_daemon.emulator.database.values import to_json
from narrator_daemon.emulator.harness.traffic import Kind, Traffic
from narrator_daemon.emulator.protocols.connections import Connections, Wanted
from narrator_daemon.emulator.protocols.outbox import Outbox
from narrator_daemon.emulator.protocols.session import Session
from narrator_daemon.emulator.protocols.wire import (
    MAX_MESSAGE_BYTES,
    VERSION,
    Assembler,
    MessageTooBigError,
    ProtocolError,
    frames,
    parse_message,
)

PATH = "/.ws"
LONG_POLLING_PATH = "/.lp"
#: What connections and their bytes are counted as.
KIND = Kind("database", "WEBSOCKET", "websocket", PATH)

#: How long a client may take to answer the close of a WebSocket.
_CLOSE_SECONDS = 1.0
_CALLBACK = re.compile(r"[0-9]{1,9}\Z")
# Run by the SDK in the page: forget that the WebSocket failed before, and connect anew.
_BACK_TO_WEBSOCKET = """\
try {{
  parent.localStorage.removeItem("firebase:previous_websocket_failure");
}} catch {{
  // A page without storage forgets it anyway.
}}
parent["pLPCommand{callback}"]("close");
"""


class _Connection:
    """One client."""

    def __init__(
        self, database: Database, silenced: Callable[[str, str], bool], abort: Callable[[], None]
    ) -> None:
        self.database = database
        self.session_id = secrets.token_urlsafe(24)
        self.session = Session(database, self._send_data, self._signed_in)
        self.outbox = Outbox(abort)
        self.close_code = WSCloseCode.GOING_AWAY
        self.close_reason = "the server stops"
        self._silenced = silenced
        self._abort = abort
        self._answering = False
        self._expiry: asyncio.TimerHandle | None = None

    def receive(self, message: str) -> None:
        """Handle a message.

        Raises:
            ProtocolError: it is none.
        """
        request = parse_message(message)
        self._answering = True
        try:
            if isinstance(request, str):
                if request == "p":
                    self.send({"t": "c", "d": {"t": "o", "d": {}}})
                return
            self.session.receive(request)
        finally:
            self._answering = False

    def refuse(self, error: MessageTooBigError) -> None:
        """Answer a message that was too long."""
        if error.request is None:
            raise ProtocolError(str(error))
        self.session.answer(error.request, "too_big", str(error))

    def greet(self, host: str, now: int) -> None:
        """Send the handshake."""
        greeting = {"ts": now, "v": VERSION, "h": host, "s": self.session_id}
        self.send({"t": "c", "d": {"t": "h", "d": greeting}})

    def send(self, message: Mapping[str, object]) -> None:
        """Queue a message, unless a fault keeps the connection silent."""
        if self._silenced("WEBSOCKET", PATH):
            return
        self.outbox.put(to_json(message), asked_for=self._answering)

    def _send_data(self, body: Mapping[str, object]) -> None:
        self.send({"t": "d", "d": body})

    def _signed_in(self, caller: Caller) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if caller.expires is not None:
            self._expiry = asyncio.get_running_loop().call_later(
                max(0, caller.expires - time.time()),
                self.session.sign_out,
                "expired_token",
                "Auth token is expired",
            )

    def concerns(self, wanted: Wanted) -> bool:
        """Whether it is open, and `PATH` or a path it listens to is wanted."""
        return not self.outbox.ended and (wanted(PATH) or self.session.concerns(wanted))

    def check(self) -> None:
        """Revoke the listeners that the rules no longer allow."""
        self.session.check()

    def cancel(self, wanted: Wanted) -> None:
        """Revoke the listeners whose path is wanted."""
        self.session.cancel(wanted)

    def revoke(self) -> None:
        """Tell the client that its credential is no longer valid."""
        self.session.sign_out("invalid_token", "credential is no longer valid")

    def drop(self) -> None:
        """Cut the connection."""
        self.outbox.end()
        self._abort()

    def end(self) -> None:
        """Close it as a server does that stops."""
        self.outbox.end()

    def give_up(self, error: ProtocolError) -> None:
        """Close it on a client that does not speak the protocol, and say why."""
        self.send({"t": "c", "d": {"t": "e", "d": str(error)}})
        self.close_code = WSCloseCode.PROTOCOL_ERROR
        # A close frame holds 123 bytes of reason.
        self.close_reason = str(error)[:120]
        self.outbox.end()

    def close(self) -> None:
        """Listen no more, and do what the client wanted done when it has gone."""
        if self._expiry is not None:
            self._expiry.cancel()
        self.outbox.end()
        self.session.close()


class WebSocketApi:
    """Serves the databases.

    Args:
        databases: what is served; ``?ns=`` names one.
        connections: where the open ones are kept.
        keep_alive_seconds: how often a silent client is asked for a sign of life.
        traffic: where connections and bytes are counted.
        silenced: whether a fault keeps a method and path silent.
    """

    def __init__(
        self,
        databases: Databases,
        connections: Connections,
        keep_alive_seconds: float,
        traffic: Traffic,
        silenced: Callable[[str, str], bool],
    ) -> None:
        self._databases = databases
        self._connections = connections
        self._keep_alive_seconds = keep_alive_seconds
        self._traffic = traffic
        self._silenced = silenced
        self._by_session: dict[str, _Connection] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for `PATH`: talk until one side ends it."""
        socket = web.WebSocketResponse(
            timeout=_CLOSE_SECONDS,
            heartbeat=self._keep_alive_seconds,
            max_msg_size=MAX_MESSAGE_BYTES,
            # Nothing leaves this machine: compressing costs more than it saves.
            compress=False,
        )
        transport = request.transport
        if transport is None or not socket.can_prepare(request).ok:
            return web.json_response(
                {"error": f"{PATH} speaks WebSocket; the REST API is at /PATH.json"}, status=426
            )
        await socket.prepare(request)
        self._traffic.add(KIND, requests=1)
        try:
            database = self._asked(request)
        except (ProtocolError, UnknownDatabaseError) as error:
            # The control message that keeps the SDK from trying again.
            message = {"t": "c", "d": {"t": "s", "d": str(error)}}
            await socket.send_str(to_json(message).decode())
            reason = str(error).encode()[:120].decode(errors="ignore").encode()
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=reason)
            return socket
        # The SDK's last session, if the server has not noticed its end yet, is over.
        last = self._by_session.get(request.query.get("ls", ""))
        if last is not None:
            last.drop()
            self._close(last)
        connection = _Connection(database, self._silenced, transport.abort)
        self._by_session[connection.session_id] = connection
        self._connections.add(connection)
        connection.greet(request.host, database.now())
        writer = asyncio.create_task(self._write(socket, connection))
        try:
            await self._read(socket, connection)
            self._close(connection)
            await writer
        finally:
            self._close(connection)
            writer.cancel()
        return socket

    def _asked(self, request: web.Request) -> Database:
        if request.query.get("v") != VERSION:
            raise ProtocolError(f"This server speaks version {VERSION} of the protocol.")
        return self._databases.named(request.query.get("ns"))

    def _close(self, connection: _Connection) -> None:
        if self._by_session.pop(connection.session_id, None) is not None:
            self._connections.remove(connection)
            connection.close()

    async def _read(self, socket: web.WebSocketResponse, connection: _Connection) -> None:
        assembler = Assembler()
        try:
            async for frame in socket:
                if frame.type is WSMsgType.ERROR:
                    # Broken framing; the library has closed the connection with the reason.
                    return
                if frame.type is not WSMsgType.TEXT:
                    raise ProtocolError("frames are text")
                self._traffic.add(KIND, received=len(frame.data.encode()))
                try:
                    message = assembler.add(frame.data)
                except MessageTooBigError as error:
                    connection.refuse(error)
                    continue
                if message is not None:
                    connection.receive(message)
                # A client that asks faster than it reads waits.
                await connection.outbox.drained()
        except ProtocolError as error:
            connection.give_up(error)

    async def _write(self, socket: web.WebSocketResponse, connection: _Connection) -> None:
        # A client that has gone is no news.
        try:
            with contextlib.suppress(ConnectionError):
                while (message := await connection.outbox.next()) is not None:
                    for frame in frames(message):
                        await socket.send_frame(frame, WSMsgType.TEXT)
                    self._traffic.add(KIND, sent=len(message))
                await socket.close(
                    code=connection.close_code, message=connection.close_reason.encode()
                )
        finally:
            # Whoever waits for the client to read on waits in vain.
            connection.outbox.drop()


def back_to_websocket(request: web.Request) -> web.Response:
    """Answer a request for `LONG_POLLING_PATH`.

    The SDK remembers, in the browser's storage, that a WebSocket has failed, as it does while the
    server is down, and tries long polling from then on.
    """
    callback = request.query.get("cb", "")
    if request.query.get("start") != "t" or not _CALLBACK.match(callback):
        return web.json_response({"error": f"long polling is not served; use {PATH}"}, status=404)
    return web.Response(
        text=_BACK_TO_WEBSOCKET.format(callback=callback),
        content_type="text/javascript",
        headers={"Cache-Control": "no-store"},
    )
