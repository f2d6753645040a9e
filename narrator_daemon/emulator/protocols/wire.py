"""The messages of the SDKs' WebSocket: frames, envelopes and queries.

A message is JSON text. One that is longer than a frame is sent as its number of frames in digits,
followed by the frames; a lone ``0`` is a client's sign of life. The server sends none of those: a
client takes it for a message of no frames and waits for ever.

Source: the public source of the Firebase JavaScript SDK (``@firebase/database``), which is the
only published description of the protocol.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from narrator_daemon.emulator.database.query import (
    CHILD,
    KEY,
    PRIORITY,
    VALUE,
    Entry,
    InvalidQueryError,
    Order,
    Query,
    parse_order,
)
from narrator_daemon.emulator.database.values import Value, key_order, order_key

#: The version in ``/.ws?v=``.
VERSION = "5"
#: Characters in one frame, as the SDK cuts them.
FRAME_SIZE = 16_384
#: Bytes in one message from a client, as the service limits writes by its SDKs.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

_FRAME_COUNT = re.compile(r"[0-9]{1,6}\Z")
_REQUEST_NUMBER = re.compile(r'"r":\s*([0-9]{1,15})')
# Names that a query's bounds give for "before all keys" and "after all keys".
_FIRST_KEY, _LAST_KEY = "[MIN_NAME]", "[MAX_NAME]"
_QUERY_FIELDS = {"sp", "sn", "sin", "ep", "en", "ein", "l", "vf", "i"}


class ProtocolError(Exception):
    """A client that does not speak the protocol; the text says how. The connection is to end."""


class MessageTooBigError(Exception):
    """A message over the limit, which has been read to its end and dropped.

    Attributes:
        request: the number of the request in it, None if it could not be found.
    """

    def __init__(self, request: int | None) -> None:
        super().__init__(
            f"Data to write exceeds the maximum size of {MAX_MESSAGE_BYTES} bytes that can be "
            "modified with a single request of an SDK."
        )
        self.request = request


class Assembler:
    """Joins frames to messages."""

    def __init__(self) -> None:
        self._frames: list[str] = []
        self._missing = 0
        self._size = 0

    def add(self, frame: str) -> str | None:
        """Take a frame in; gives a message when it is complete, else None.

        Raises:
            MessageTooBigError: a message was complete, but too long to be kept.
        """
        if self._missing == 0:
            if _FRAME_COUNT.match(frame):
                self._missing = int(frame)
                return None
            self._missing = 1
        self._missing -= 1
        self._size += len(frame.encode())
        # Of a message that is too long, the beginning tells which request it was.
        if self._size <= MAX_MESSAGE_BYTES or not self._frames:
            self._frames.append(frame)
        if self._missing:
            return None
        frames, size = self._frames, self._size
        self._frames, self._size = [], 0
        if size > MAX_MESSAGE_BYTES:
            number = _REQUEST_NUMBER.search(frames[0][:200])
            raise MessageTooBigError(int(number[1]) if number else None)
        return "".join(frames)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def frames(message: bytes) -> Iterator[bytes]:
    """A message, UTF-8, as the frames that carry it."""
    if len(message) <= FRAME_SIZE:
        yield message
        return
    # Cut between characters: each frame is a text of its own.
    text = message.decode()
    parts = range(0, len(text), FRAME_SIZE)
    yield str(len(parts)).encode()
    for start in parts:
        yield text[start : start + FRAME_SIZE].encode()


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks.

    Attributes:
        number: comes back in the answer.
        action: what to do, such as ``p`` for put.
        body: what with.
    """

    number: int
    action: str
    body: Mapping[str, Any]


def parse_message(text: str) -> Request | str:
    """A client's request, or the name of its control message.

    Raises:
        ProtocolError: it is neither.
    """
    try:
        message = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ProtocolError("a message is not JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("d"), dict):
        raise ProtocolError("a message is an object with `t` and the object `d`")
    layer, data = message.get("t"), message["d"]
    if layer == "c" and isinstance(data.get("t"), str):
        return str(data["t"])
    number, action, body = data.get("r"), data.get("a"), data.get("b")
    if layer != "d" or not isinstance(action, str) or not isinstance(body, dict):
        raise ProtocolError("a request has a number `r`, an action `a` and a body `b`")
    if not isinstance(number, int) or isinstance(number, bool):
        raise ProtocolError("a request has a number `r`, an action `a` and a body `b`")
    return Request(number, action, body)


def parse_query(raw: object) -> Query | None:
    """The query of a listen or a get, None for the whole path.

    Raises:
        InvalidQueryError: it makes no sense.
    """
    if raw is None or raw == {}:
        return None
    if not isinstance(raw, dict):
        raise InvalidQueryError("a query is an object")
    unknown = sorted(raw.keys() - _QUERY_FIELDS)
    if unknown:
        raise InvalidQueryError(f"a query has no field {unknown[0]!r:.80}")
    order = _order(raw.get("i", ".priority"))
    low = _bound(order, raw, "s")
    high = _bound(order, raw, "e")
    first, last = _limits(raw)
    return Query(order, low, high, first, last, _given(raw, first, last))


def _order(name: object) -> Order:
    if name == ".priority":
        return Order(PRIORITY)
    if name == ".key":
        return Order(KEY)
    if name == ".value":
        return Order(VALUE)
    if not isinstance(name, str) or name.startswith("$"):
        raise InvalidQueryError("a query's index `i` is .key, .value, .priority or a child path")
    order = parse_order(name)
    assert order.kind == CHILD  # noqa: S101 - only names with $ are of other kinds
    return order


def _bound(order: Order, raw: Mapping[str, Any], side: str) -> Entry | None:
    """The probe of one side: ``s`` for the start, ``e`` for the end."""
    if side + "p" not in raw:
        return None
    value, name = raw[side + "p"], raw.get(side + "n")
    inclusive = raw.get(side + "in", True)
    if isinstance(value, (dict, list)) or not isinstance(inclusive, bool):
        raise InvalidQueryError("a query starts and ends at null, booleans, numbers or strings")
    if name is not None and not isinstance(name, str):
        raise InvalidQueryError("a query starts and ends at keys that are strings")
    # The start lies after what it excludes, the end after what it includes.
    after = inclusive if side == "e" else not inclusive
    if order.kind == KEY:
        if not isinstance(value, str):
            raise InvalidQueryError("a query by key starts and ends at strings")
        return order.probe(value, after=after)
    if name is None or name in (_FIRST_KEY, _LAST_KEY):
        return order.probe(value, after=after if name is None else name == _LAST_KEY)
    key = key_order(name)
    return (order_key(value), (*key, 0) if after else key)


def _limits(raw: Mapping[str, Any]) -> tuple[int | None, int | None]:
    if "l" not in raw:
        return None, None
    limit, view = raw["l"], raw.get("vf", "l")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit <= 0:
        raise InvalidQueryError("a query's limit `l` is a positive integer")
    if view not in ("l", "r"):
        raise InvalidQueryError("a query's side `vf` is l or r")
    return (limit, None) if view == "l" else (None, limit)


def _given(
    raw: Mapping[str, Any], first: int | None, last: int | None
) -> tuple[tuple[str, Value], ...]:
    """The parameters as rules see them, under the names that REST has for them."""
    given: dict[str, Value] = {}
    start, end = raw.get("sin", True), raw.get("ein", True)
    if "sp" in raw and "ep" in raw and raw["sp"] == raw["ep"] and start and end:
        given["equalTo"] = raw["sp"]
    else:
        if "sp" in raw:
            given["startAt" if start else "startAfter"] = raw["sp"]
        if "ep" in raw:
            given["endAt" if end else "endBefore"] = raw["ep"]
    if first is not None:
        given["limitToFirst"] = first
    if last is not None:
        given["limitToLast"] = last
    return tuple(given.items())
