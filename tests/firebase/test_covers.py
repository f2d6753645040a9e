"""Covers that books name: from the catalogue's own bucket, and from nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from narrator_daemon import config
from narrator_daemon.cover import MOST_BYTES, BadCover
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.firebase.covers import bring, object_name
from narrator_daemon.firebase.project import Project
from tests.narration.test_companions import png

EMULATOR = "http://127.0.0.1:9199"


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("covers/emma.png", "covers/emma.png"),
        ("/covers/emma.png", "covers/emma.png"),
        ("gs://b.example/covers/100%/emma.png", "covers/100%/emma.png"),
        (
            "https://firebasestorage.googleapis.com/v0/b/b.example/o/covers%2Femma.png?alt=media&token=1",
            "covers/emma.png",
        ),
        ("https://storage.googleapis.com/b.example/covers/emma%20a.png", "covers/emma a.png"),
        (f"{EMULATOR}/v0/b/b.example/o/covers%2Femma.png?alt=media", "covers/emma.png"),
        ("https://storage.googleapis.com/b.example/a?".ljust(4096, "x"), "a"),
        ("https://storage.googleapis.com/b.example/a?".ljust(4097, "x"), None),
        ("gs://other.example/covers/emma.png", None),
        ("https://storage.googleapis.com/other.example/emma.png", None),
        ("https://storage.googleapis.com/b.example.evil/emma.png", None),
        ("https://storage.googleapis.com@evil.example/b.example/emma.png", None),
        ("https://evil.example/b.example/emma.png", None),
        ("http://storage.googleapis.com/b.example/emma.png", None),
        ("http://127.0.0.1:9200/b.example/emma.png", None),
        ("http://169.254.169.254/computeMetadata/v1/", None),
        ("http://[::1/b.example/x", None),
        ("file:///etc/passwd", None),
        ("data:image/png;base64,AAAA", None),
        ("javascript:alert(1)", None),
        ("covers/\nemma.png", None),
        ("covers/\ud800.png", None),
        ("x" * 1025, None),
        ("x" * 5000, None),
        ("/", None),
        (5, None),
        ({"url": "covers/emma.png"}, None),
        (["covers/emma.png"], None),
        (True, None),
    ],
)
def test_which_object_is_meant(named: object, found: str | None) -> None:
    assert object_name(named, "b.example", EMULATOR) == found


def test_without_an_emulator_its_address_is_nobodys() -> None:
    assert object_name(f"{EMULATOR}/b/x.png", "b") is None


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with (
        LocalFirebase() as firebase,
        mock.patch.dict(os.environ, firebase.environment()),
        Project(config.load(None)) as project,
    ):
        yield project


def put(project: Any, name: str, data: bytes, **how: Any) -> None:
    blob = project.bucket.blob(name)
    for key, value in how.items():
        setattr(blob, key, value)
    blob.upload_from_string(data)


def test_one_of_the_bucket_is_brought(project: Project) -> None:
    put(project, "covers/emma.png", png(3, 2))
    cover = bring(project, f"gs://{project.bucket_name}/covers/emma.png")
    assert cover is not None and (cover.width, cover.data) == (3, png(3, 2))
    assert bring(project, None) is None
    assert bring(project, "") is None


@pytest.mark.parametrize(
    ("data", "how", "why"),
    [
        (None, {}, "no such object"),
        (b"\0" * (MOST_BYTES + 1), {}, r"5\.2 MB; at most 5\.2"),
        (b"", {}, "empty"),
        (png()[:-5], {}, "damaged"),
        # Read as it is stored, and so no picture.
        (b"\x1f\x8b" + b"\0" * 30, {"content_encoding": "gzip"}, "neither JPEG nor PNG"),
    ],
)
def test_one_that_cannot_be_used_is_told(
    project: Project, data: bytes | None, how: dict[str, str], why: str
) -> None:
    if data is not None:
        put(project, "covers/odd", data, **how)
    with pytest.raises(BadCover, match=why):
        bring(project, "covers/none" if data is None else "covers/odd")


def test_a_storage_that_is_down_costs_the_cover_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Down:
        bucket_name = "b"
        storage_emulator = None

        @property
        def bucket(self) -> Any:
            raise ConnectionError("down")

    project: Any = Down()
    with pytest.raises(BadCover, match="cannot be read"):
        bring(project, "covers/emma.png")
