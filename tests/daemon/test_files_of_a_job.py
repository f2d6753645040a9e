"""What a job makes beside the WAV: published with it, and gone where it has no place."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

import watermark
from narrator_daemon.cover import BadCover
from narrator_daemon.errors import Unavailable
from narrator_daemon.narration import companions
from tests.desk import Desk
from tests.memory import refusal

FORMATS = ("m4a", "opus", "mp3")
TYPES = {"m4a": "audio/mp4", "opus": "audio/ogg", "mp3": "audio/mpeg"}
TEXT = "# The first\n\nIt was a bright cold day in April.\n\n# The second\n\nClocks were striking."


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(
        tmp_path, files={"formats": FORMATS, "captions": False}, watermark={"self_check": True}
    )
    desk.edit(narrative=TEXT, title="A\nbook", author=7, cover="covers/b.png")
    return desk


def test_they_are_published_with_the_wav_and_carry_its_mark(desk: Desk, tmp_path: Path) -> None:
    work = desk.claim()
    ending = desk.run(desk.job(work))
    assert ending.outcome == "published"
    book, stem = desk.book, f"narrations/b/{work.token}"
    assert sorted(desk.store.objects_by_path) == sorted(f"{stem}.{e}" for e in ("wav", *FORMATS))
    for name, file in book["narrativeAudioFiles"].items():
        path = f"{stem}.{name}"
        contents = desk.store.objects_by_path[path]
        assert file == {
            "url": f"https://storage.example/{path}",
            "urlExpiresAt": 123,
            "bytes": len(contents),
            "path": path,
        }
        assert len(contents) < 0.16 * len(desk.store.objects_by_path[f"{stem}.wav"])
        assert desk.store.content_types[path] == TYPES[name]
        assert ending.facts["companionScores"][name] > watermark.WEAK_SCORE
        (tmp_path / name).write_bytes(contents)
        with av.open(str(tmp_path / name)) as opened:
            tags = {**opened.streams.audio[0].metadata, **opened.metadata}
            assert tags["title"] == "A book" and "artist" not in tags
            assert [one["metadata"]["title"] for one in opened.chapters()] == [
                "The first",
                "The second",
            ]
            assert opened.duration == pytest.approx(1e6 * book["narrativeAudioDuration"], abs=1e5)


def test_their_digests_are_in_the_register(desk: Desk) -> None:
    assert desk.run().outcome == "published"
    (entry,) = desk.project.tree["narrationRegister"].values()
    stem = entry["path"].removesuffix(".wav")
    assert entry["files"] == {
        name: {
            "bytes": len(contents := desk.store.objects_by_path[f"{stem}.{name}"]),
            "sha256": hashlib.sha256(contents).hexdigest(),
        }
        for name in FORMATS
    }


def cancel(desk: Desk) -> None:
    desk.edit(narrativeAudioStatus=None)


def stop(desk: Desk) -> None:
    desk.store.fault = Unavailable("storage", "down")


def test_without_any_the_book_names_none(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.edit(narrativeAudioFiles={"m4a": {"path": "of an earlier take"}})
    desk.run()
    assert "narrativeAudioFiles" not in desk.book


def test_a_book_that_is_cancelled_meanwhile_leaves_none_of_them(desk: Desk) -> None:
    uploaded: list[int] = []

    def on_upload() -> None:
        uploaded.append(1)
        if len(uploaded) == 4:
            cancel(desk)

    desk.store.on_upload = on_upload
    assert desk.run().outcome == "cancelled"
    assert len(uploaded) == 4 and desk.store.objects_by_path == {}


def test_where_one_cannot_be_uploaded_none_is_left(desk: Desk) -> None:
    uploaded: list[int] = []

    def on_upload() -> None:
        uploaded.append(1)
        if len(uploaded) == 3:
            desk.store.on_upload = lambda: None
            raise Unavailable("storage", "down")

    desk.store.on_upload = on_upload
    ending = desk.run()
    assert ending.outcome == "given_back"
    assert len(uploaded) == 3
    # What the storage took though it said no is the sweep's.
    assert len(desk.store.objects_by_path) == 1
    assert "narrativeAudioUrl" not in desk.book


def test_a_database_that_takes_no_files_takes_the_narration(desk: Desk) -> None:
    def check() -> None:
        book = written[-1]
        if isinstance(book, dict) and "narrativeAudioFiles" in book:
            raise refusal(401, "Permission denied")

    written: list[Any] = []
    change = desk.project.book

    def watched(book_id: str, *keys: str) -> Any:
        reference = change(book_id, *keys)
        transaction = reference.transaction

        def watch(update: Callable[[Any], Any]) -> Any:
            def noted(seen: Any) -> Any:
                written.append(update(seen))
                return written[-1]

            return transaction(noted)

        reference.transaction = watch
        return reference

    desk.project.book = watched  # type: ignore[method-assign]
    desk.project.at_each("write /books/b$", check)
    desk.context = replace(desk.context, sleep=lambda _seconds: desk.pass_seconds(3))
    ending = desk.run()
    assert ending.outcome == "published"
    assert desk.book["narrativeAudioStatus"] == "ready"
    assert "narrativeAudioFiles" not in desk.book
    assert desk.store.exists(desk.book["narrativeAudioPath"])


def test_a_cover_that_cannot_be_used_is_told_and_left_out(desk: Desk) -> None:
    named: list[object] = []

    def bring(name: object) -> None:
        named.append(name)
        raise BadCover("it is damaged")

    desk.context = replace(desk.context, cover=bring)
    ending = desk.run()
    assert named == ["covers/b.png"]
    assert ending.outcome == "published"
    assert ending.facts["coverLeftOut"] == "it is damaged"


def test_an_encoder_that_fails_is_the_fault_of_nobody_but_the_worker(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        companions.FORMS, "m4a", replace(companions.FORMS["m4a"], codec="no such codec")
    )
    fault = Unavailable("narration", "a sentence of the daemon's own cannot be narrated either")
    seen: list[Exception] = []
    desk.context = replace(desk.context, own_fault=lambda error: seen.append(error) or fault)
    assert desk.run().outcome == "given_back"
    assert "no such codec" in str(seen[0])
    assert desk.reported == [fault]
    assert desk.store.objects_by_path == {}
