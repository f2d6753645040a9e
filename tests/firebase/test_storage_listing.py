"""Listing the bucket, over a client that lists as the service does."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.settings import Storage

CREATED = datetime(2025, 6, 15, tzinfo=UTC)


class Client:
    """Lists names from ``start_offset`` on, that one included."""

    def __init__(self, names: list[str]) -> None:
        self._names = sorted(names)

    def list_blobs(
        self, _bucket: Any, *, prefix: str, start_offset: str | None, max_results: int, **_: Any
    ) -> list[Any]:
        after = [name for name in self._names if name >= (start_offset or "")]
        found = [name for name in after if name.startswith(prefix)]
        return [
            SimpleNamespace(name=name, generation="7", time_created=CREATED, metadata=None)
            for name in found[:max_results]
        ]


def store(*names: str) -> AudioStore:
    project: Any = SimpleNamespace(
        bucket=SimpleNamespace(client=Client(list(names))),
        bucket_name="b",
        storage_emulator=None,
    )
    return AudioStore(project, Storage(), clock=lambda: 0.0)


def test_it_goes_on_after_a_name_and_not_with_it() -> None:
    listed = store("narrations/a", "narrations/b", "narrations/b0", "other/c", "narrations/a\0")
    names = [stored.path for stored in listed.objects(most=10)]
    assert names == ["narrations/a", "narrations/a\0", "narrations/b", "narrations/b0"]
    after = [stored.path for stored in listed.objects(after="narrations/b", most=10)]
    assert after == ["narrations/b0"]


def test_page_by_page_is_each_once() -> None:
    names = [f"narrations/{number:03}" for number in range(25)]
    listed, seen, after = store(*names), list[str](), ""
    while page := [stored.path for stored in listed.objects(after=after, most=4)]:
        seen += page
        after = page[-1]
    assert seen == names


def test_what_is_told_of_each() -> None:
    (stored,) = store("narrations/a").objects(most=1)
    assert (stored.generation, stored.created_at) == (7, CREATED.timestamp())
    assert stored.metadata == {}
