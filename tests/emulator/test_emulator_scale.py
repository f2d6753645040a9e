"""Twenty thousand books of 5 KB: what a write costs does not depend on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from narrator_daemon.emulator.database.feeds import Event, QueryFeed
from narrator_daemon.emulator.database.query import Indexes, parse_query
from narrator_daemon.emulator.database.tree import Tree
from narrator_daemon.emulator.database.values import normalise

BOOKS = 20_000


class _Visits(dict[str, Any]):
    """A dict that counts how often it is gone through as a whole."""

    walks = 0

    def __iter__(self) -> Iterator[str]:
        type(self).walks += 1
        return super().__iter__()

    def items(self) -> Any:
        type(self).walks += 1
        return super().items()

    def keys(self) -> Any:
        type(self).walks += 1
        return super().keys()

    def values(self) -> Any:
        type(self).walks += 1
        return super().values()


@pytest.fixture
def library() -> Tree:
    narrative = "x" * 5000
    books = {f"book{i}": {"narrative": narrative, "status": "ready"} for i in range(BOOKS)}
    return Tree({"books": _Visits(books)})


def test_a_filtered_stream_over_20000_books_costs_what_has_changed(library: Tree) -> None:
    events: list[Event] = []
    query = parse_query({"orderBy": '"status"', "equalTo": '"requested"'})
    assert query is not None
    indexes = Indexes(library)
    QueryFeed(library, indexes, ("books",), query, events.append).open()
    index = indexes.on(("books",), query.order)
    assert index.builds == 1
    _Visits.walks, before = 0, library.steps
    for i in range(200):
        path = ("books", f"book{i * 7}", "status")
        library.write(path, [(path, "requested")])
        library.write(path, [(path, "processing")])
        progress = (*path[:2], "progress")
        library.write(progress, [(progress, normalise(0.5, now=0))])
        library.write(path[:2], [(path[:2], None)])
    assert index.builds == 1
    assert _Visits.walks == 0
    assert library.steps - before <= 800 * 5
    assert len(events) == 1 + 200 * 2


def test_limited_streams_cost_their_limit(library: Tree) -> None:
    events: list[Event] = []
    query = parse_query({"orderBy": '"status"', "startAt": '"a"', "limitToFirst": "10"})
    assert query is not None
    indexes = Indexes(library)
    QueryFeed(library, indexes, ("books",), query, events.append).open()
    _Visits.walks = 0
    path = ("books", "book777", "status")
    library.write(path, [(path, "processing")])
    assert _Visits.walks == 0
    (event,) = events[1:]
    assert (event.name, event.path) == ("patch", "/")
    assert isinstance(event.data, dict)
    assert {key: value is None for key, value in event.data.items()} == {
        "book10004": True,
        "book777": False,
    }
