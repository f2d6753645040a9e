"""The beginning of a long book: heard while the rest is in work, and gone with the claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest

from narrator_daemon.errors import Unavailable
from tests.desk import Desk
from tests.memory import refusal

SENTENCE = "It was a bright cold day in April, and the clocks were striking thirteen. "


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    files = {
        "formats": [],
        "captions": False,
        "preview_from_characters": 2000,
        "preview_seconds": 15,
    }
    desk = Desk(tmp_path, files=files)
    desk.edit(narrative=SENTENCE * 30, title="A book")
    return desk


def test_it_is_there_before_the_rest_and_goes_with_the_claim(desk: Desk, tmp_path: Path) -> None:
    seen: list[Any] = []

    def before(_index: int) -> None:
        if "narrativeAudioPreview" in desk.book and not seen:
            seen.append(dict(desk.book["narrativeAudioPreview"]))
            assert desk.book["narrativeAudioStatus"] == "processing"
            (path,) = desk.store.objects_by_path
            (tmp_path / "beginning").write_bytes(desk.store.objects_by_path[path])
            seen.append(path)

    desk.engine.before = before
    work = desk.claim()
    ending = desk.run(desk.job(work))
    preview, path = seen
    assert path == f"narrations/b/{work.token}.preview.m4a" == preview["path"]
    assert preview["bytes"] == (tmp_path / "beginning").stat().st_size
    with av.open(str(tmp_path / "beginning")) as opened:
        assert opened.duration == pytest.approx(1e6 * preview["duration"], abs=1e5)
    assert 15 <= preview["duration"] < 60 < desk.book["narrativeAudioDuration"]
    assert ending.facts["previewAfterSeconds"] >= 0
    assert ending.outcome == "published"
    assert "narrativeAudioPreview" not in desk.book
    assert list(desk.store.objects_by_path) == [f"narrations/b/{work.token}.wav"]


@pytest.mark.parametrize("text", [SENTENCE * 20, 7, None])
def test_a_short_book_has_none(desk: Desk, text: Any) -> None:
    desk.edit(narrative=text)
    uploaded: list[str] = []
    desk.store.on_upload = lambda: uploaded.extend(desk.store.objects_by_path)
    desk.run()
    assert not [path for path in uploaded if "preview" in path]


def test_a_storage_that_does_not_take_it_costs_nothing_else(desk: Desk) -> None:
    def refuse() -> None:
        desk.store.on_upload = lambda: None
        raise Unavailable("storage", "down")

    desk.store.on_upload = refuse
    assert desk.run().outcome == "published"
    assert [error.dependency for error in desk.reported] == ["storage"]


def test_a_database_that_does_not_take_it_costs_nothing_else(desk: Desk) -> None:
    fault = refusal(503)
    # The second write of the whole book; the first was the claim.
    work = desk.claim()
    desk.project.fail("write /books/b$", fault, times=1)
    assert desk.run(desk.job(work)).outcome == "published"
    assert [path for path in desk.store.objects_by_path if "preview" in path] == []


def test_a_book_that_is_cancelled_or_given_back_loses_it(desk: Desk) -> None:
    job = desk.job()

    def before(_index: int) -> None:
        if "narrativeAudioPreview" in desk.book:
            job.give_back_at_boundary()

    desk.engine.before = before
    assert desk.run(job).outcome == "given_back"
    assert "narrativeAudioPreview" not in desk.book
    assert desk.store.objects_by_path == {}
    # The next attempt has its segments and shows it at once.
    desk.endings.clear()
    desk.over.clear()
    desk.engine.before = lambda _index: None
    assert "previewAfterSeconds" in desk.run().facts


def test_a_deleted_book_does_not_come_back(desk: Desk) -> None:
    desk.store.on_upload = lambda: desk.project.shelf.pop("b", None)
    assert desk.run().outcome == "gone"
    assert desk.project.shelf == {}
    assert desk.store.objects_by_path == {}
