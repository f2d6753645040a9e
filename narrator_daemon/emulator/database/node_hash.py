"""The SDKs' hash of a value: a transaction and a listener say by it what they know.

Source: the public source of the Firebase JavaScript SDK (``@firebase/database``).
"""

from __future__ import annotations

import base64
import hashlib
import struct

from narrator_daemon.emulator.database.values import (
    OrderKey,
    Value,
    children_of,
    key_order,
    leaf_of,
    order_key,
    priority_of,
)


def node_hash(value: Value) -> str:
    """The hash of a stored value: base64 of 20 bytes, empty for no value.

    Costs the size of the value; it is computed for what a client asks about, and then only.
    """
    if value is None:
        return ""
    priority = priority_of(value)
    text = "" if priority is None else f"priority:{_leaf_text(priority)}:"
    leaf = leaf_of(value)
    if isinstance(leaf, dict):
        text += "".join(f":{key}:{node_hash(child)}" for key, child in _in_order(leaf))
    else:
        text += _leaf_text(leaf)
    return base64.b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()


def _in_order(value: dict[str, Value]) -> list[tuple[str, Value]]:
    """Children by priority, then by key as JavaScript compares strings: by UTF-16 units."""

    def place(item: tuple[str, Value]) -> tuple[OrderKey, tuple[int, int, int, bytes]]:
        kind, number, length, key = key_order(item[0])
        return order_key(priority_of(item[1])), (kind, number, length, key.encode("utf-16-be"))

    return sorted(children_of(value), key=place)


def _leaf_text(leaf: Value) -> str:
    if isinstance(leaf, bool):
        return f"boolean:{'true' if leaf else 'false'}"
    if isinstance(leaf, (int, float)):
        return f"number:{struct.pack('>d', leaf).hex()}"
    return f"string:{leaf}"
