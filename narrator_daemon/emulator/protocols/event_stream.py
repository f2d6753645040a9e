"""Event streams of the REST API: one client's events, keep-alives, and its end.

Source: https://firebase.google.com/docs/reference/rest/database#section-streaming
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from aiohttp import web

from narrator_daemon.emulator.database.database import Database
from narrator_daemon.emulator.database.feeds import Event
from narrator_daemon.emulator.database.values import to_json
from narrator_daemon.emulator.harness.traffic import Kind, Traffic
from narrator_daemon.emulator.protocols.connections import Connections, Wanted
from narrator_daemon.emulator.protocols.outbox import Outbox

_KEEP_ALIVE = b"event: keep-alive\ndata: null\n\n"
_CANCEL = b"event: cancel\ndata: null\n\n"
_AUTH_REVOKED = b'event: auth_revoked\ndata: "credential is no longer valid"\n\n'


class EventStream:
    """One client of an event stream.

    Args:
        database: what it listens to.
        path: where, for faults that pick streams by path.
        still_allowed: whether the rules still let it listen.
        overflow: called when the client has left too much unread.

    Attributes:
        database: as above.
        path: as above.
    """

    def __init__(
        self,
        database: Database,
        path: str,
        still_allowed: Callable[[], bool],
        overflow: Callable[[], None],
    ) -> None:
        self.database = database
        self.path = path
        self._still_allowed = still_allowed
        self._outbox = Outbox(overflow)
        self._begun = False

    def event(self, event: Event) -> None:
        """Queue an event; a listener that the rules have shut out meanwhile is cancelled."""
        if not self._still_allowed():
            self._finish(_CANCEL)
            return
        data = to_json({"path": event.path, "data": event.data})
        text = b"event: %s\ndata: %s\n\n" % (event.name.encode(), data)
        self._outbox.put(text, asked_for=not self._begun)
        self._begun = True

    def concerns(self, wanted: Wanted) -> bool:
        """Whether it is open and its path is wanted."""
        return not self._outbox.ended and wanted(self.path)

    def check(self) -> None:
        """Cancel it if the rules no longer allow it."""
        if not self._still_allowed():
            self._finish(_CANCEL)

    def cancel(self, wanted: Wanted) -> None:
        """Send ``cancel`` and end, if the path is wanted."""
        if wanted(self.path):
            self._finish(_CANCEL)

    def revoke(self) -> None:
        """Send ``auth_revoked`` and end."""
        self._finish(_AUTH_REVOKED)

    def drop(self) -> None:
        """End without a word."""
        self._outbox.end()

    def end(self) -> None:
        """End without a word: there is none for it."""
        self._outbox.end()

    def _finish(self, last: bytes) -> None:
        self._outbox.put(last)
        self._outbox.end()

    async def next(self, patience: float) -> bytes | None:
        """The next bytes to send, None to end. A keep-alive when there is nothing for a while."""
        try:
            async with asyncio.timeout(patience):
                return await self._outbox.next()
        except TimeoutError:
            return _KEEP_ALIVE


class EventStreams:
    """Sends event streams.

    Args:
        connections: where the open ones are kept.
        keep_alive_seconds: how long a stream may be silent.
        traffic: where bytes are counted.
        silenced: whether a fault keeps a method and path silent.
    """

    def __init__(
        self,
        connections: Connections,
        keep_alive_seconds: float,
        traffic: Traffic,
        silenced: Callable[[str, str], bool],
    ) -> None:
        self._connections = connections
        self._keep_alive_seconds = keep_alive_seconds
        self._traffic = traffic
        self._silenced = silenced

    async def serve(
        self,
        stream: EventStream,
        response: web.StreamResponse,
        kind: Kind,
        expires: float | None,
    ) -> None:
        """Send a stream's events until it ends or its client goes.

        Args:
            stream: what to send.
            response: where to, prepared.
            kind: what its bytes are counted as.
            expires: when the client's token ends, seconds since the epoch; None if it doesn't.
        """
        self._connections.add(stream)
        self._traffic.add(kind, requests=1)
        timer = None
        if expires is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(max(0, expires - time.time()), stream.revoke)
        # A client that has gone is no news.
        try:
            with contextlib.suppress(ConnectionError):
                while (chunk := await stream.next(self._keep_alive_seconds)) is not None:
                    if not self._silenced("STREAM", stream.path):
                        await response.write(chunk)
                        self._traffic.add(kind, sent=len(chunk))
                await response.write_eof()
        finally:
            self._connections.remove(stream)
            if timer is not None:
                timer.cancel()
