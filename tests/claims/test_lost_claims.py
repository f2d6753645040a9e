"""A claim whose answer was lost, over the applying code and a database of one node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from narrator_daemon.catalogue import CLAIM, STATUS
from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.leases import Leases
from narrator_daemon.firebase.service_clock import ServiceClock
from narrator_daemon.settings import Settings


class Node:
    """A node whose first write is taken, and then sent again by the SDK as its answer was lost."""

    def __init__(self, value: Any, meanwhile: Callable[[Any], Any]) -> None:
        self.value = value
        self._meanwhile = meanwhile

    def transaction(self, update: Callable[[Any], Any]) -> Any:
        self.value = self._meanwhile(update(self.value))
        self.value = update(self.value)
        return self.value

    def get(self) -> Any:
        return self.value

    def set(self, value: Any) -> None:
        self.value = value

    def delete(self) -> None:
        self.value = None


class OneBook:
    books_path = "/books"
    database_clock = ServiceClock()

    def __init__(self, node: Node) -> None:
        self._node = node

    def book(self, *_keys: str) -> Node:
        return self._node

    def node(self, *_keys: str) -> Node:
        return Node(None, lambda value: value)


def test_what_was_claimed_is_read_though_the_book_was_edited_before_the_answer() -> None:
    node = Node({"narrative": "A", STATUS: "requested"}, lambda book: {**book, "narrative": "B"})
    project: Any = OneBook(node)
    claims = Claims(
        project, Settings(), "voice", lambda _book, _token: False, Leases(project, "w", 45.0)
    )
    attempted = claims.claim("b")
    assert attempted.verdict is Verdict.MINE and attempted.work is not None
    assert claims.text(attempted.work.book) == "A"
    assert attempted.work.claim.input_hash == claims.digest({"narrative": "A"})
    assert node.value[CLAIM]["token"] == attempted.work.token and node.value["narrative"] == "B"
