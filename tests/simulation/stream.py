"""The stream of waiting books, as a connection that is read from: late, doubled, cut, dumb."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import requests
from urllib3.exceptions import ReadTimeoutError

from narrator_daemon.catalogue import REQUESTED, STATUS
from tests.simulation import faults
from tests.simulation.database import Path, Query
from tests.simulation.limits import WINDOW_BOOKS
from tests.simulation.scheduler import Process, Task, current

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Seconds between signs of life, and without one until the reader gives up.
ALIVE_SECONDS, SILENCE_SECONDS = 8.0, 20.0

_WAITING = Query(STATUS, equal_to=REQUESTED, first=WINDOW_BOOKS)
_KEEP_ALIVE = b"event: keep-alive\ndata: null\n\n"


class Streams:
    """All open streams of a history."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: list[Stream] = []

    def session(self) -> Session:
        """Stands for the program's own session."""
        return Session(self)

    def open(self, process: Process) -> Stream:
        stream = Stream(self._world, process)
        self._open = [one for one in self._open if not one.ended and not one.process.dead]
        self._open.append(stream)
        return stream

    def hear(self, before: dict[str, Any], paths: list[Path]) -> None:
        """Tell all of a write."""
        if any(path[0] == "books" for path in paths):
            whole = all(len(path) == 2 for path in paths)
            for stream in self._open:
                if not stream.ended and not stream.process.dead:
                    stream.follow(whole)


class Stream:
    """A response that is a stream; its own ``raw``."""

    status_code = 200
    text = ""
    chunked = False

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self.process = process
        self.ended = False
        self.dumb = False
        self._reader: Task | None = None
        self._queue: list[tuple[float, bytes]] = []
        self._last_at = 0.0
        self._known = dict(_WAITING.run(world.database.get(("books",))))
        self._send("put", "/", self._known or None)

    @property
    def raw(self) -> Stream:
        return self

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True

    def follow(self, whole: bool) -> None:
        """Say what has changed among the waiting books."""
        now = _WAITING.run(self._world.database.get(("books",)))
        old, self._known = self._known, now
        for book_id in sorted(old.keys() - now.keys()):
            told_at = self._send("put", f"/{book_id}", None)
            self._world.checker.claims.leaves_window(book_id, told_at)
        for book_id, record in now.items():
            if old.get(book_id) is not record:
                if whole or book_id not in old:
                    self._send("put", f"/{book_id}", record)
                else:
                    self._send("patch", f"/{book_id}", {"narrative": record.get("narrative")})

    def _send(self, name: str, path: str, data: Any) -> float:
        """Send an event; gives when it comes for the last time, seconds."""
        world = self._world
        event = f"event: {name}\ndata: {json.dumps({'path': path, 'data': data})}\n\n".encode()
        task = world.network
        kind = world.faults.at(task, faults.STREAM, world.plan.stream_rate)
        at = world.scheduler.now + 0.02 * task.dice.random()
        delay = task.dice.choice((0.5, 3.0, 8.0))
        if kind == "late":
            at += delay
        if kind == "cut":
            self.end()
            return at
        if kind == "dumb":
            self.dumb = True
        if kind != "out of order":
            at = self._last_at = max(self._last_at, at)
        self._queue.append((at, event))
        if kind == "twice":
            at += delay
            self._queue.append((at, event))
        self._queue.sort(key=lambda one: one[0])
        if self._reader is not None:
            world.scheduler.wake(self._reader)
        return at

    def end(self) -> None:
        """Close it, from the service's side or the reader's."""
        self.ended = True
        if self._reader is not None:
            self._world.scheduler.wake(self._reader)

    shutdown = end
    close = end

    def read1(self, _most: int, **_: object) -> bytes:
        """The next event, or a sign of life; nothing at the end."""
        scheduler = self._world.scheduler
        began = scheduler.now
        while True:
            if self.ended or self._world.is_cut("database", self.process):
                return b""
            now = scheduler.now
            dumb = self.dumb and self._world.faults.on
            if self._queue and self._queue[0][0] <= now and not dumb:
                return self._queue.pop(0)[1]
            silent_until = began + (SILENCE_SECONDS if dumb else ALIVE_SECONDS)
            if now >= silent_until:
                if dumb:
                    raise ReadTimeoutError(None, "", "Read timed out")  # type: ignore[arg-type]
                return _KEEP_ALIVE
            next_at = silent_until
            if self._queue and not dumb:
                next_at = min(next_at, self._queue[0][0])
            self._reader = current()
            scheduler.block(next_at - now)
            self._reader = None


class Session:
    """A ``requests.Session`` that opens streams and nothing else."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get(self, _url: str, **_: Any) -> Stream:
        process = current().process
        assert process is not None
        world = self._streams._world
        world.scheduler.sleep(0.01)
        if world.is_cut("database", process):
            raise requests.ConnectionError("Connection refused")
        return self._streams.open(process)
