"""Faults on demand, for drills: what goes wrong, for which requests, how often or how long.

In the process that runs the local Firebase through `LocalFirebase.faults`; from any other process
over HTTP, with the owner's credential, at ``/.emulator/faults`` of the database's port:
``POST`` a fault's fields as JSON adds it and answers ``{"id": n}``, ``GET`` lists them, ``DELETE``
clears all of them, or with ``?id=n`` one.
"""

from __future__ import annotations

import itertools
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

#: What a fault can do to a request.
KINDS = {
    "status": "answer with `status` and do nothing",
    "redirect": "answer 307 to the same path at `to`, such as http://127.0.0.1:9001",
    "drop_answer": "do what was asked, then close the connection without an answer",
    "slow": "wait `seconds` before doing what was asked",
    "slow_answer": "do what was asked, then wait `seconds` before the answer",
    "hang": "do nothing and never answer, until the fault ends",
    "refuse": "close the connection at once",
    "reset_upload": "read `after_bytes` of the body, then reset the connection",
    "silence": "send nothing on streams or WebSockets; what is missed is lost",
}
#: What can be done at once to the event streams and WebSockets that are open.
STREAM_ACTIONS = ("end_streams", "cancel_streams", "revoke_streams")


class InvalidFaultError(ValueError):
    """A fault that makes no sense; the text says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong and for whom.

    Attributes:
        kind: one of `KINDS`.
        service: ``database`` or ``storage``.
        method: a regular expression for the whole method; an event stream's is ``STREAM``, a
            WebSocket's ``WEBSOCKET``.
        path: a regular expression looked for in the decoded path, as ``/books/a`` (no ``.json``);
            a WebSocket's is ``/.ws``.
        count: for so many requests; None for any number.
        for_seconds: for so long from now; None until it is cleared.
        fraction: the chance of each matching request, 0..1.
        status: for ``status``.
        to: for ``redirect``: scheme, host and port.
        seconds: for ``slow`` and ``slow_answer``.
        after_bytes: for ``reset_upload``.
    """

    kind: str
    service: str = "database"
    method: str = ".*"
    path: str = ""
    count: int | None = None
    for_seconds: float | None = None
    fraction: float = 1.0
    status: int = 503
    to: str = ""
    seconds: float = 0.0
    after_bytes: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidFaultError(f"unknown kind {self.kind!r}; one of {', '.join(KINDS)}")
        if self.service not in ("database", "storage"):
            raise InvalidFaultError(f"unknown service {self.service!r}; database or storage")
        if self.kind == "redirect" and not self.to.startswith("http"):
            raise InvalidFaultError("a redirect needs `to`, such as http://127.0.0.1:9001")
        for pattern in (self.method, self.path):
            try:
                re.compile(pattern)
            except re.error as error:
                raise InvalidFaultError(f"bad pattern {pattern!r}: {error}") from None


def parse_fault(raw: object) -> Fault:
    """A fault from its fields as JSON.

    Raises:
        InvalidFaultError: a field is unknown or of the wrong type.
    """
    if not isinstance(raw, Mapping) or "kind" not in raw:
        raise InvalidFaultError("expected an object with at least `kind`")
    types: dict[str, tuple[type, ...]] = {
        "count": (int, type(None)),
        "for_seconds": (int, float, type(None)),
        "fraction": (int, float),
        "status": (int,),
        "seconds": (int, float),
        "after_bytes": (int,),
    }
    known = {field.name for field in fields(Fault)}
    for name, value in raw.items():
        if name not in known:
            raise InvalidFaultError(f"unknown field {name!r}; one of {', '.join(sorted(known))}")
        if not isinstance(value, types.get(name, (str,))) or isinstance(value, bool):
            raise InvalidFaultError(f"wrong type for {name!r}: {value!r}")
    return Fault(**raw)


class _Active:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.hits = 0
        self.until = None if fault.for_seconds is None else time.monotonic() + fault.for_seconds
        self.method = re.compile(fault.method)
        self.path = re.compile(fault.path)

    @property
    def over(self) -> bool:
        used_up = self.fault.count is not None and self.hits >= self.fault.count
        return used_up or (self.until is not None and time.monotonic() >= self.until)

    def concerns(self, service: str, method: str, path: str) -> bool:
        return (
            self.fault.service == service
            and self.method.fullmatch(method) is not None
            and self.path.search(path) is not None
        )


class Faults:
    """The faults of one local Firebase. Thread-safe.

    Args:
        act: does a stream action: (one of `STREAM_ACTIONS`, path pattern) → streams concerned.
        seed: for faults with a fraction.
    """

    def __init__(self, act: Callable[[str, re.Pattern[str]], int], seed: int = 0) -> None:
        self._act = act
        self._lock = threading.Lock()
        self._active: dict[int, _Active] = {}
        self._ids = itertools.count(1)
        self._random = random.Random(seed)  # noqa: S311 - faults need no secrets

    def add(self, fault: Fault) -> int:
        """Start a fault; gives the id that `clear` takes."""
        with self._lock:
            number = next(self._ids)
            self._active[number] = _Active(fault)
            return number

    def list(self) -> list[dict[str, Any]]:
        """The faults that go on: their fields, ``id`` and ``hits``, the requests hit so far."""
        with self._lock:
            return [
                {"id": number, "hits": active.hits, **asdict(active.fault)}
                for number, active in self._active.items()
                if not active.over
            ]

    def hits(self, number: int) -> int:
        """How many requests a fault has hit, also after it is over; 0 once it is cleared."""
        with self._lock:
            active = self._active.get(number)
            return active.hits if active else 0

    def clear(self, number: int | None = None) -> None:
        """End one fault, or all."""
        with self._lock:
            if number is None:
                self._active.clear()
            else:
                self._active.pop(number, None)

    def goes_on(self, number: int) -> bool:
        """Whether a fault still holds requests it has hit: not cleared, its time not up."""
        with self._lock:
            active = self._active.get(number)
            return active is not None and (active.until is None or time.monotonic() < active.until)

    def take(self, service: str, method: str, path: str) -> tuple[int, Fault] | None:
        """The first fault that concerns a request; counts it as hit."""
        with self._lock:
            for number, active in self._active.items():
                if active.fault.kind == "silence" or active.over:
                    continue
                if not active.concerns(service, method, path):
                    continue
                if self._random.random() < active.fault.fraction:
                    active.hits += 1
                    return number, active.fault
        return None

    def silenced(self, method: str, path: str) -> bool:
        """Whether a ``STREAM`` or ``WEBSOCKET`` of that path is to send nothing now."""
        with self._lock:
            return any(
                active.fault.kind == "silence"
                and not active.over
                and active.concerns("database", method, path)
                for active in self._active.values()
            )

    def end_streams(self, path: str = "") -> int:
        """End the open streams whose path has a match for a pattern; gives their number.

        A WebSocket is cut when ``/.ws`` or a path that its client listens to has a match.
        """
        return self._act("end_streams", re.compile(path))

    def cancel_streams(self, path: str = "") -> int:
        """Send them ``cancel`` and end them; a WebSocket loses the listeners that match."""
        return self._act("cancel_streams", re.compile(path))

    def revoke_streams(self, path: str = "") -> int:
        """Send them ``auth_revoked`` and end them."""
        return self._act("revoke_streams", re.compile(path))
