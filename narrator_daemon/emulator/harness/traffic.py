"""Counts of what went over the wire, for benchmarks and for the curious."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

#: The kinds that go on until somebody ends them.
STREAM_KINDS = ("stream", "query-stream", "websocket")


@dataclass(frozen=True, slots=True)
class Kind:
    """What is counted together.

    Attributes:
        service: ``database`` or ``storage``.
        method: the HTTP method, after an override, or ``WEBSOCKET``.
        kind: for the database ``value``, ``shallow``, ``query``, ``stream``, ``query-stream``,
            ``websocket``, ``write`` or ``rules``; for storage ``upload``, ``download``, ``object``
            or ``list``; ``other`` for what is none of these.
        place: ``/books`` for that node itself, ``/books/*`` for anything below it.
    """

    service: str
    method: str
    kind: str
    place: str


class Traffic:
    """Requests and bytes of bodies (not of headers) by kind. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[Kind] = Counter()
        self._received: Counter[Kind] = Counter()
        self._sent: Counter[Kind] = Counter()

    def add(self, kind: Kind, *, requests: int = 0, received: int = 0, sent: int = 0) -> None:
        """Count; bytes ``received`` by the server, bytes ``sent`` to clients."""
        with self._lock:
            self._requests[kind] += requests
            self._received[kind] += received
            self._sent[kind] += sent

    def reset(self) -> None:
        """Start from zero."""
        with self._lock:
            for counter in (self._requests, self._received, self._sent):
                counter.clear()

    def rows(self) -> list[dict[str, str | int]]:
        """A row for each kind: its fields, ``requests``, ``bytes_received``, ``bytes_sent``."""
        with self._lock:
            return [
                {
                    "service": kind.service,
                    "method": kind.method,
                    "kind": kind.kind,
                    "place": kind.place,
                    "requests": self._requests[kind],
                    "bytes_received": self._received[kind],
                    "bytes_sent": self._sent[kind],
                }
                for kind in self._requests
            ]

    def total(self, field: str, **only: str) -> int:
        """The sum of one field over the rows whose other fields are as given.

        >>> Traffic().total("bytes_sent", service="database", kind="stream")
        0
        """
        return sum(
            int(row[field])
            for row in self.rows()
            if all(row[name] == wanted for name, wanted in only.items())
        )
