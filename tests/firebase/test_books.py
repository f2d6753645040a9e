"""What is asked of the catalogue, by what reaches the database."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from narrator_daemon.errors import NodeRefused, Unavailable
from narrator_daemon.firebase import books
from tests.memory import MemoryProject, refusal


@pytest.mark.parametrize(("stored", "there"), [({"title": True}, True), ("x", True), (None, False)])
def test_whether_a_book_is_there_is_asked_without_its_text(stored: Any, there: bool) -> None:
    asked: list[dict[str, Any]] = []

    def get(**how: Any) -> Any:
        asked.append(how)
        return stored

    project: Any = MemoryProject()
    project.book = lambda _book_id: SimpleNamespace(get=get)
    assert books.exists(project, "b") is there
    assert asked == [{"shallow": True}]


def test_a_refusal_of_one_book_is_told_from_one_of_all() -> None:
    memory = MemoryProject({"b": {"title": "T"}})
    project: Any = memory
    memory.fail("get /books/b", refusal(401))
    with pytest.raises(NodeRefused, match="/books/b cannot be written"):
        books.read(project, "b")
    # Both indices are asked for.
    assert memory.count("query /books by narrativeAudioStatus") == 1
    assert memory.count("query /books by narrativeAudioUrlExpiresAt") == 1
    memory.fail("query", refusal(401))
    with pytest.raises(Unavailable) as refused:
        books.read(project, "b")
    assert not isinstance(refused.value, NodeRefused)


def test_a_refusal_that_is_over_when_it_is_asked_for_is_of_no_book() -> None:
    """As where rules were being deployed while the process slept."""
    memory = MemoryProject({"b": {"title": "T"}})
    project: Any = memory
    memory.fail("get /books/b", refusal(401), times=1)
    assert books.read(project, "b") == {"title": "T"}
    assert memory.count("get /books/b") == 2


def test_so_many_are_asked_for_and_from_either_end() -> None:
    project: Any = MemoryProject(
        {name: {"narrativeAudioStatus": "requested"} for name in ("a", "b", "c", "d")}
    )
    assert set(books.with_status(project, "requested")) == {"a", "b", "c", "d"}
    assert set(books.with_status(project, "requested", 2)) == {"a", "b"}
    assert set(books.with_status(project, "requested", 2, last=True)) == {"c", "d"}
    assert books.with_status(project, "processing") == {}


@pytest.mark.parametrize(("count", "complete"), [(99, True), (100, False), (101, False)])
def test_a_window_that_is_full_may_not_be_all(count: int, complete: bool) -> None:
    assert books.is_complete(range(count)) is complete
