"""What waits to be sent to one client, bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

#: Bytes of events that may wait for a client that reads slowly; then it is cut off.
MAX_UNREAD_BYTES = 64 * 1024 * 1024


class Outbox:
    """Messages in order, from whoever writes to the one task that sends. Not thread-safe.

    What a client has asked for itself is not counted: it is up to the reader of its requests to
    wait for `drained` before the next.

    Args:
        overflow: called once when a client has left too much unread; the rest is dropped.
    """

    def __init__(self, overflow: Callable[[], None]) -> None:
        self._overflow = overflow
        self._messages: deque[tuple[bytes, bool]] = deque()
        self._unread = 0
        self._ended = False
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether nothing more will be queued."""
        return self._ended

    def put(self, message: bytes, *, asked_for: bool = False) -> None:
        """Queue a message; after the end it is dropped."""
        if self._ended:
            return
        if not asked_for:
            if self._unread > MAX_UNREAD_BYTES:
                self.drop()
                self._overflow()
                return
            self._unread += len(message)
        self._messages.append((message, asked_for))
        self._filled.set()
        self._emptied.clear()

    def end(self) -> None:
        """Queue nothing more. Safe to call twice."""
        self._ended = True
        self._filled.set()

    def drop(self) -> None:
        """End, and forget what has not been taken. Safe to call twice."""
        self._messages.clear()
        self._emptied.set()
        self.end()

    async def next(self) -> bytes | None:
        """The next message, None after the last."""
        while not self._messages:
            self._emptied.set()
            if self._ended:
                return None
            self._filled.clear()
            await self._filled.wait()
        message, asked_for = self._messages.popleft()
        if not asked_for:
            self._unread -= len(message)
        return message

    async def drained(self) -> None:
        """Wait until every message has been taken."""
        if self._messages:
            await self._emptied.wait()
