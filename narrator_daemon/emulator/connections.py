"""Open event streams: what is queued for each, keep-alives, and ending them on demand."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from aiohttp import web

from narrator_daemon.emulator.stream import Event
from narrator_daemon.emulator.traffic import Kind, Traffic
from narrator_daemon.emulator.values import to_json

_END = b""
_KEEP_ALIVE = b"event: keep-alive\ndata: null\n\n"
_CANCEL = b"event: cancel\ndata: null\n\n"
_AUTH_REVOKED = b'event: auth_revoked\ndata: "credential is no longer valid"\n\n'


class StreamConnection:
    """One client of an event stream.

    Args:
        path: what it listens to, for faults that pick streams by path.
        still_allowed: whether the rules still let it listen.

    Attributes:
        path: as above.
        ended: whether nothing more will be queued.
    """

    def __init__(self, path: str, still_allowed: Callable[[], bool]) -> None:
        self.path = path
        self._still_allowed = still_allowed
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.ended = False

    def event(self, event: Event) -> None:
        """Queue an event; a listener that the rules have shut out meanwhile is cancelled."""
        if self.ended:
            return
        if not self._still_allowed():
            self.cancel()
            return
        data = to_json({"path": event.path, "data": event.data})
        self._queue.put_nowait(b"event: %s\ndata: %s\n\n" % (event.name.encode(), data))

    def check(self) -> None:
        """Cancel it if the rules no longer allow it."""
        if not self._still_allowed():
            self.cancel()

    def cancel(self) -> None:
        """Send ``cancel`` and end."""
        self._finish(_CANCEL)

    def revoke(self) -> None:
        """Send ``auth_revoked`` and end."""
        self._finish(_AUTH_REVOKED)

    def end(self) -> None:
        """End without a word."""
        self._finish(_END)

    def _finish(self, last: bytes) -> None:
        if not self.ended:
            self.ended = True
            if last:
                self._queue.put_nowait(last)
            self._queue.put_nowait(_END)

    async def next(self, patience: float) -> bytes:
        """The next bytes to send; empty to end. A keep-alive when there is nothing for a while."""
        try:
            return await asyncio.wait_for(self._queue.get(), patience)
        except TimeoutError:
            return _KEEP_ALIVE


class Streams:
    """Every open event stream of a server. Belongs to one event loop.

    Args:
        keep_alive_seconds: how long a stream may be silent.
        traffic: where bytes are counted.
        silenced: whether a fault keeps a stream of that path silent.
    """

    def __init__(
        self, keep_alive_seconds: float, traffic: Traffic, silenced: Callable[[str], bool]
    ) -> None:
        self._keep_alive_seconds = keep_alive_seconds
        self._traffic = traffic
        self._silenced = silenced
        self._open: set[StreamConnection] = set()

    def matching(self, wanted: Callable[[str], bool]) -> list[StreamConnection]:
        """The open streams whose path is wanted."""
        return [
            connection
            for connection in self._open
            if not connection.ended and wanted(connection.path)
        ]

    async def serve(
        self,
        connection: StreamConnection,
        response: web.StreamResponse,
        kind: Kind,
        expires: float | None,
    ) -> None:
        """Send a stream's events until it ends or its client goes.

        Args:
            connection: what to send.
            response: where to, prepared.
            kind: what its bytes are counted as.
            expires: when the client's token ends, seconds since the epoch; None if it doesn't.
        """
        self._open.add(connection)
        self._traffic.add(kind, requests=1)
        timer = None
        if expires is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(max(0, expires - time.time()), connection.revoke)
        # A client that has gone is no news.
        try:
            with contextlib.suppress(ConnectionError):
                while chunk := await connection.next(self._keep_alive_seconds):
                    if not self._silenced(connection.path):
                        await response.write(chunk)
                        self._traffic.add(kind, sent=len(chunk))
                await response.write_eof()
        finally:
            self._open.discard(connection)
            if timer is not None:
                timer.cancel()

    def check_all(self) -> None:
        """Cancel the streams that the rules no longer allow."""
        for connection in self._open:
            connection.check()

    def end_all(self) -> None:
        """End every stream, as a server does that stops."""
        for connection in self._open:
            connection.end()
