"""Room on the disk: what is asked for, and a daemon that waits for it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from narrator_daemon.daemon import disk
from narrator_daemon.daemon.disk import Disk, Room
from narrator_daemon.errors import Unavailable
from narrator_daemon.settings import Settings
from tests.actors import Frontend, Inside, wait_until

MEGA = 1_000_000


class Volume:
    """What the kernel says of every disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.nodes, self.quota = 500 * MEGA, 1000, False
        monkeypatch.setattr(disk.os, "statvfs", self._statvfs)
        monkeypatch.setattr(disk.os, "posix_fallocate", self._allocate)

    def _statvfs(self, _folder: object) -> Any:
        return SimpleNamespace(
            f_frsize=1, f_blocks=1000 * MEGA, f_bavail=self.free, f_files=10, f_favail=self.nodes
        )

    def _allocate(self, _file: int, _start: int, _size: int) -> None:
        if self.quota:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


@pytest.fixture
def volume(monkeypatch: pytest.MonkeyPatch) -> Volume:
    return Volume(monkeypatch)


def test_a_book_needs_what_the_longest_text_takes() -> None:
    needed = disk.bytes_a_book(Settings())
    assert 50 * MEGA < needed < 200 * MEGA
    longer = Settings.model_validate({"limits": {"max_characters": 20_000}})
    assert disk.bytes_a_book(longer) == 2 * needed
    # No disk is kept idle for a book that hardly anybody asks for.
    longest = Settings.model_validate({"limits": {"max_characters": 10_000_000}})
    assert disk.bytes_a_book(longest) == 1000 * MEGA


def test_too_little_room_is_an_outage_that_says_where(volume: Volume, tmp_path: Path) -> None:
    seen = Disk({"state": (tmp_path, MEGA), "kept": (tmp_path / "kept", 100 * MEGA)})
    seen.look()
    seen.check()
    volume.free = 3 * MEGA
    with pytest.raises(Unavailable, match=r"kept \(3 MB free, 100 MB needed\)") as full:
        seen.look()
    assert full.value.dependency == "disk"
    with pytest.raises(Unavailable):
        seen.check()
    assert seen.rooms == {name: Room(1000 * MEGA, 3 * MEGA) for name in ("state", "kept")}


def test_a_disk_without_a_node_for_a_file_is_full(volume: Volume, tmp_path: Path) -> None:
    volume.nodes = 0
    with pytest.raises(Unavailable, match="0 MB free"):
        Disk({"state": (tmp_path, MEGA)}).look()


def test_a_quota_is_found_by_trying(volume: Volume, tmp_path: Path) -> None:
    volume.quota = True
    seen = Disk({"kept": (tmp_path, MEGA)})
    seen.look()
    with pytest.raises(Unavailable, match="quota"):
        seen.check()


def test_what_is_kept_for_the_interrupted_makes_room_first(volume: Volume, tmp_path: Path) -> None:
    volume.free = 30 * MEGA
    asked: list[int] = []

    def make_room(count: int) -> None:
        asked.append(count)
        volume.free += count

    Disk({"kept": (tmp_path, 100 * MEGA)}, make_room).look()
    assert asked == [70 * MEGA]


def test_a_disk_that_is_gone_is_an_outage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def gone(_folder: object) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(disk.os, "statvfs", gone)
    seen = Disk({"kept": (tmp_path, MEGA)})
    with pytest.raises(Unavailable, match="Input/output"):
        seen.look()
    assert seen.rooms == {}


def test_books_wait_for_room_at_no_cost(
    frontend: Frontend, start_inside: Callable[..., Inside], volume: Volume
) -> None:
    volume.free = 3 * MEGA
    daemon = start_inside().wait_ready()
    for book_id in ("a", "b"):
        frontend.add_requested(book_id, "A short tale.")
    wait_until(lambda: daemon.condition.queue_depth == 2, "the books to be known")
    wait_until(lambda: "disk" in daemon.condition.down, "health to name the disk")
    assert daemon.condition.status == "unhealthy" and daemon.condition.live
    assert frontend.node("narrationJobs").get() is None
    volume.free = 500 * MEGA
    for book_id in ("a", "b"):
        frontend.wait_for(book_id, "ready", 60)
        (entry,) = frontend.wait_for_history(book_id)
        assert entry["attempt"] == 1
    assert daemon.condition.status == "healthy"


def test_a_disk_that_fills_in_the_middle_costs_no_attempt(
    frontend: Frontend, start_inside: Callable[..., Inside], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel says that there is room and gives none, as under a quota."""
    full = {"now": True, "met": 0}
    write = os.pwrite

    def pwrite(file: int, data: Any, position: int) -> int:
        if full["now"]:
            full["met"] += 1
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return write(file, data, position)

    monkeypatch.setattr("narrator_daemon.narration.segment_store.os.pwrite", pwrite)
    daemon = start_inside().wait_ready()
    frontend.add_requested("b", "A short tale.")
    wait_until(lambda: full["met"] >= 2, "the disk to be met twice")
    assert frontend.status("b") != "failed"
    full["now"] = False
    frontend.wait_for("b", "ready", 60)
    history = frontend.wait_for_history("b", 3)
    assert {entry["outcome"] for entry in history[:-1]} | {"published"} <= {
        "given_back",
        "published",
    }
    assert max(entry["attempt"] for entry in history) == 1
    assert [one["dependency"] for one in daemon.logged("dependency_down")][:1] == ["disk"]
