"""Captions go with the audio: published in the same outcome, deleted where it has no place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.daemon.test_job import TEXT, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    files = desk.settings.files.model_copy(update={"captions": True})
    settings = desk.settings.model_copy(update={"files": files})
    desk.context = replace(desk.context, settings=settings)
    return desk


def test_captions_are_published_with_the_audio(desk: Desk) -> None:
    assert desk.run().outcome == "published"
    book = desk.book
    named = book["narrativeAudioCaptions"]
    stem = book["narrativeAudioPath"].removesuffix(".wav")
    assert {name: record["path"] for name, record in named.items()} == {
        "json": f"{stem}.json",
        "vtt": f"{stem}.vtt",
    }
    assert set(named["vtt"]) == {"url", "urlExpiresAt", "bytes", "path"}
    assert desk.store.content_types[f"{stem}.vtt"] == "text/vtt; charset=utf-8"
    document = json.loads(desk.store.objects_by_path[f"{stem}.json"])
    words = [word for one in document["segments"] for word in one["words"]]
    assert [TEXT[begin:end] for _, _, begin, end in words] == [
        word.strip(".") for word in TEXT.split()
    ]
    assert document["textHash"] == book["narrativeAudioTextHash"]


@pytest.mark.parametrize("lost", ["narrativeAudioStatus", "narrativeAudioClaim"])
def test_captions_that_nobody_wants_are_deleted(desk: Desk, lost: str) -> None:
    there: list[int] = []

    def spoil() -> None:
        there.append(len(desk.store.objects_by_path))
        if len(there) == 3:
            desk.edit(**{lost: None})

    desk.store.on_upload = spoil
    assert desk.run().outcome in ("cancelled", "fenced")
    assert there == [1, 2, 3]
    assert desk.store.objects_by_path == {}
    assert "narrativeAudioCaptions" not in desk.book


def test_a_narration_without_captions_takes_the_earlier_ones_away(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.edit(narrativeAudioCaptions={"vtt": {"path": "x"}})
    assert desk.run().outcome == "published"
    assert "narrativeAudioCaptions" not in desk.book
