"""Audio in a bucket: what an upload leaves there, what it is reached by, and what it survives."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import numpy as np
import pytest

from narrator_daemon import config
from narrator_daemon.emulator import Fault, LocalFirebase
from narrator_daemon.errors import NodeRefused, Refused, Unavailable
from narrator_daemon.firebase.fetching import fetch
from narrator_daemon.firebase.object_names import is_name
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore, StoredAudio, StoredObject
from narrator_daemon.settings import Storage

AUDIO = b"RIFF and samples"
NOW = 1_750_000_000.25
HOUR = 3600.0


@pytest.fixture(scope="module")
def firebase() -> Iterator[LocalFirebase]:
    with LocalFirebase() as running:
        yield running


@pytest.fixture(scope="module")
def opened(firebase: LocalFirebase) -> Iterator[Project]:
    with (
        mock.patch.dict(os.environ, firebase.environment()),
        Project(config.load(None)) as project,
    ):
        yield project


@pytest.fixture
def project(opened: Project, firebase: LocalFirebase) -> Iterator[Project]:
    """With an empty bucket and no faults."""
    yield opened
    firebase.faults.clear()
    for blob in opened.bucket.list_blobs():
        blob.delete()


@pytest.fixture
def store(project: Project) -> AudioStore:
    return AudioStore(project, Storage(), lambda: NOW)


def upload(store: AudioStore, token: str = "a" * 32, audio: bytes = AUDIO, **how: Any) -> Any:
    path = store.path("b", token)
    return store.upload(path, io.BytesIO(audio), len(audio), book_id="b", **how)


def played(url: str) -> bytes:
    with urlopen(url) as answer:
        found: bytes = answer.read()
    return found


def test_what_is_uploaded_says_whose_it_is_and_may_be_kept_for_good(
    store: AudioStore, project: Project
) -> None:
    stored = upload(store)
    assert (stored.path, stored.size) == (f"narrations/b/{'a' * 32}.wav", len(AUDIO))
    blob = project.bucket.get_blob(stored.path)
    assert blob.download_as_bytes() == AUDIO
    assert blob.content_type == "audio/wav"
    assert blob.cache_control == "public, max-age=31536000, immutable"
    assert blob.metadata == {
        "bookId": "b",
        "generatedAt": "2025-06-15T15:06:40+00:00",
        "watermarked": "true",
        "catalogue": project.catalogue,
    }
    upload(store, "c" * 32, b"{}", content_type="application/json")
    blob = project.bucket.get_blob(store.path("b", "c" * 32))
    assert (blob.content_type, blob.metadata["watermarked"]) == ("application/json", "false")
    assert (store.uploaded_bytes, store.upload_retries) == (len(AUDIO) + 2, 0)


def test_a_signed_url_expires_a_lifetime_after_it_was_signed(store: AudioStore) -> None:
    store = AudioStore(store._project, Storage(url_lifetime_hours=5), lambda: NOW)
    assert store.signed_seconds == 5 * HOUR
    stored = upload(store)
    # Dated two seconds back, as the bucket's clock is known to about one.
    assert stored.url_expires_at == int((NOW - 2) // 1 + 5 * HOUR) * 1000
    query = parse_qs(urlsplit(stored.url).query)
    assert query["X-Goog-Date"] == ["20250615T150638Z"]
    assert query["X-Goog-Expires"] == ["18000"]
    assert store.sign(stored.path) == (stored.url, stored.url_expires_at)


@pytest.mark.parametrize("kind", ["signed", "download-token", "public"])
def test_what_is_uploaded_plays(project: Project, kind: Any) -> None:
    store = AudioStore(project, Storage(url=kind))
    stored = upload(store)
    assert played(stored.url) == AUDIO
    assert (stored.url_expires_at is not None) is (kind == "signed")
    metadata = project.bucket.get_blob(stored.path).metadata
    assert ("firebaseStorageDownloadTokens" in metadata) is (kind == "download-token")
    assert stored.as_record() == {
        "url": stored.url,
        "bytes": len(AUDIO),
        "path": stored.path,
        **({"urlExpiresAt": stored.url_expires_at} if kind == "signed" else {}),
    }


@pytest.mark.parametrize("kind", ["signed", "download-token"])
def test_an_upload_whose_answer_was_lost_is_found_to_be_there(project: Project, kind: Any) -> None:
    store = AudioStore(project, Storage(url=kind), lambda: NOW)
    first = upload(store)
    again = upload(store)
    assert again == first
    with pytest.raises(NodeRefused, match="exists with other contents"):
        upload(store, audio=b"RIFF and others")
    assert project.bucket.blob(first.path).download_as_bytes() == AUDIO


def test_what_can_be_repeated_is_and_is_counted(store: AudioStore, firebase: LocalFirebase) -> None:
    number = firebase.faults.add(Fault("status", "storage", method="POST|PUT", count=1))
    reads: list[int] = []
    upload(store, on_read=lambda: reads.append(1))
    assert (firebase.faults.hits(number), store.upload_retries) == (1, 1)
    assert reads


@pytest.mark.parametrize(
    ("method", "after_bytes", "size"),
    [
        ("PUT|POST", 0, 100_000),
        ("PUT|POST", 50_000, 100_000),
        # In two parts, of which the first is begun anew.
        ("PUT", 1 << 20, 9 << 20),
    ],
)
def test_what_breaks_on_the_way_is_sent_again_from_its_start(
    store: AudioStore,
    project: Project,
    firebase: LocalFirebase,
    method: str,
    after_bytes: int,
    size: int,
) -> None:
    audio = np.random.default_rng(1).bytes(size)
    broken = Fault("reset_upload", "storage", method=method, count=1, after_bytes=after_bytes)
    number = firebase.faults.add(broken)
    path = upload(store, audio=audio).path
    assert firebase.faults.hits(number) == 1
    assert project.bucket.blob(path).download_as_bytes() == audio


def test_a_part_whose_answer_is_lost_is_not_stored_twice(
    store: AudioStore, project: Project, firebase: LocalFirebase
) -> None:
    audio = np.random.default_rng(1).bytes(9 << 20)
    number = firebase.faults.add(Fault("drop_answer", "storage", method="PUT", count=1))
    path = upload(store, audio=audio).path
    assert firebase.faults.hits(number) == 1
    assert project.bucket.blob(path).download_as_bytes() == audio


def test_a_bucket_that_is_closed_to_writing_is_told(
    store: AudioStore, firebase: LocalFirebase
) -> None:
    firebase.faults.add(Fault("status", "storage", method="POST|PUT", status=403))
    with pytest.raises(Refused, match="answers 403"):
        upload(store)
    with pytest.raises(Refused, match="answers 403"):
        store.check()
    assert (store.uploaded_bytes, store.upload_retries) == (0, 0)


def test_a_refusal_that_is_not_of_the_bytes_is_not_tried_again(
    store: AudioStore, firebase: LocalFirebase
) -> None:
    number = firebase.faults.add(Fault("status", "storage", method="POST|PUT", status=400))
    with pytest.raises(Refused, match="answers 400"):
        upload(store)
    assert firebase.faults.hits(number) == 2  # and the probe, which tells whose refusal it is


def test_a_refusal_that_is_over_when_it_is_asked_for_is_nobodys(
    store: AudioStore, project: Project, firebase: LocalFirebase
) -> None:
    number = firebase.faults.add(Fault("status", "storage", method="POST", status=403, count=1))
    stored = upload(store)
    assert firebase.faults.hits(number) == 1
    assert project.bucket.blob(stored.path).download_as_bytes() == AUDIO
    number = firebase.faults.add(Fault("status", "storage", method="GET", status=403, count=1))
    assert store.exists(stored.path) and firebase.faults.hits(number) == 1


def test_an_object_that_alone_is_refused_is_told_from_a_bucket_that_is(
    store: AudioStore, firebase: LocalFirebase
) -> None:
    # Only what is long goes up in parts.
    number = firebase.faults.add(Fault("status", "storage", method="PUT", status=403))
    with pytest.raises(NodeRefused, match="answers 403"):
        upload(store, audio=bytes(9 << 20))
    assert firebase.faults.hits(number) == 2
    upload(store)


def test_what_is_deleted_is_gone_and_may_be_gone_before(
    store: AudioStore, project: Project
) -> None:
    path = upload(store).path
    (listed,) = store.objects(most=10)
    store.delete(path, listed.generation + 1)
    assert store.exists(path)
    store.delete(path, listed.generation)
    assert not store.exists(path)
    store.delete(path)
    path = upload(store).path
    store.delete(path)
    assert not store.exists(path) and store.cannot_delete is None


def test_what_cannot_be_deleted_is_told_until_it_can(
    store: AudioStore, firebase: LocalFirebase
) -> None:
    path = upload(store).path
    firebase.faults.add(Fault("status", "storage", method="DELETE", status=403))
    with pytest.raises(NodeRefused, match="cannot be deleted"):
        store.delete(path)
    assert store.cannot_delete is not None and "403" in store.cannot_delete
    firebase.faults.clear()
    store.delete(path)
    assert store.cannot_delete is None


def test_the_probe_leaves_nothing_unless_it_must(
    store: AudioStore, firebase: LocalFirebase
) -> None:
    store.check()
    assert list(store.objects(most=10)) == []
    firebase.faults.add(Fault("status", "storage", method="DELETE", status=403))
    for _ in range(2):
        store.check()
    (left,) = store.objects(most=10)
    name = hashlib.sha256(store._project.catalogue.encode()).hexdigest()[:32]
    assert left.path == f"narrations/probe-{name}"
    assert store.is_probe(left) and not store.is_ours(left)
    assert not store.is_probe(replace(left, metadata={"bookId": "b"}))
    assert not store.is_probe(replace(left, path=left.path + "0"))
    assert not store.is_probe(replace(left, path=left.path.replace("narrations/", "")))


def test_an_object_is_its_books(store: AudioStore, project: Project) -> None:
    path = upload(store).path
    assert store.exists(path) and store.belongs_to(path, "b")
    assert not store.belongs_to(path, "c")
    assert not store.exists(path + "x") and not store.belongs_to(path + "x", "b")
    for bad in ("", "..", "a\nb", "x" * 1025, "\ud800"):
        assert not store.exists(bad) and not store.belongs_to(bad, "b")
    blob = project.bucket.get_blob(path)
    blob.metadata = {**blob.metadata, "catalogue": "https://other.example/books"}
    blob.patch()
    assert store.exists(path) and not store.belongs_to(path, "b")
    blob.metadata = None
    blob.patch()
    assert not store.belongs_to(path, "b")


def test_one_object_that_is_closed_is_told_from_a_bucket_that_is(
    store: AudioStore, firebase: LocalFirebase
) -> None:
    path = upload(store).path
    closed = Fault("status", "storage", method="GET", path=path, status=403)
    firebase.faults.add(closed)
    for ask in (store.exists, lambda path: store.belongs_to(path, "b")):
        with pytest.raises(NodeRefused, match="cannot be reached"):
            ask(path)
    firebase.faults.clear()
    firebase.faults.add(replace(closed, method=".*", path=""))
    with pytest.raises(Refused) as refused:
        store.exists(path)
    assert not isinstance(refused.value, NodeRefused)


@pytest.mark.parametrize(
    ("metadata", "ours"),
    [
        ({"watermarked": "true", "bookId": "b"}, True),
        ({"watermarked": "false", "bookId": "b"}, True),
        ({"watermarked": "maybe", "bookId": "b"}, False),
        ({"bookId": "b"}, False),
        ({"watermarked": "true"}, False),
        ({"watermarked": "true", "bookId": "b", "catalogue": "https://other.example/books"}, False),
    ],
)
def test_audio_is_ours_by_its_metadata(
    store: AudioStore, project: Project, metadata: dict[str, str], ours: bool
) -> None:
    stored = StoredObject("narrations/x", 1, 0.0, {"catalogue": project.catalogue} | metadata)
    assert store.is_ours(stored) is ours


TOKEN = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("narrations/{book}/{token}.wav", f"narrations/b/{TOKEN}.wav", True),
        ("narrations/{book}/{token}.wav", f"narrations/b/{TOKEN}.m4a", True),
        ("narrations/{book}/{token}.wav", f"narrations/b/{TOKEN}.chapters.vtt", True),
        ("narrations/{book}/{token}.wav", f"narrations/b/{TOKEN}", False),
        ("narrations/{book}/{token}.wav", f"narrations/b/{TOKEN}.a.b.c", False),
        ("narrations/{book}/{token}.wav", f"narrations/c/{TOKEN}.wav", False),
        ("narrations/{book}/{token}.wav", f"narrations/b/{TOKEN[1:]}.wav", False),
        ("narrations/{book}/{token}.wav", f"narrationsxb/{TOKEN}.wav", False),
        ("{token}", TOKEN, True),
        ("{token}", f"{TOKEN}.m4a", True),
        ("{token}", f"{TOKEN}.chapters.vtt", True),
        ("a.b/{token}", f"axb/{TOKEN}", False),
    ],
)
def test_a_claim_is_known_by_the_name_of_its_audio(
    project: Project, pattern: str, path: str, found: bool
) -> None:
    store = AudioStore(project, Storage(object_name=pattern))
    assert store.token(path, "b") == (TOKEN if found else None)


def test_a_url_without_an_expiry_is_kept_without() -> None:
    record = StoredAudio("p", "u", None, 5).as_record()
    assert record == {"url": "u", "bytes": 5, "path": "p"}


class Keyless:
    """Credentials of a machine: no key, and perhaps a service account."""

    token = "an access token"

    def __init__(self, email: str | None) -> None:
        if email is not None:
            self.service_account_email = email
        self.refreshed = 0

    def refresh(self, _request: Any) -> None:
        self.refreshed += 1


@pytest.mark.parametrize(("hours", "signed"), [(5, 5), (12, 12), (168, 12)])
def test_without_a_key_a_url_lives_half_a_day_at_most(
    project: Project, monkeypatch: pytest.MonkeyPatch, hours: float, signed: float
) -> None:
    monkeypatch.setattr(project, "credentials", Keyless(None))
    store = AudioStore(project, Storage(url_lifetime_hours=hours), lambda: NOW)
    assert store.signed_seconds == signed * HOUR


def test_who_is_no_service_account_cannot_sign(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "credentials", Keyless(None))
    store = AudioStore(project, Storage(), lambda: NOW)
    with pytest.raises(Refused, match="cannot sign URLs"):
        upload(store)
    assert list(store.objects(most=10)) == []


def test_without_a_key_the_account_signs_for_itself(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def sign(**how: Any) -> str:
        asked.update(how)
        return "https://signed.example"

    credentials = Keyless("w@demo.example")
    monkeypatch.setattr(project, "credentials", credentials)
    monkeypatch.setattr("narrator_daemon.firebase.audio_urls.generate_signed_url_v4", sign)
    store = AudioStore(project, Storage(), lambda: NOW)
    url, expires_at = store.sign("narrations/b/x y.wav")
    assert (url, credentials.refreshed) == ("https://signed.example", 1)
    assert asked["service_account_email"] == "w@demo.example"
    assert asked["access_token"] == "an access token"
    assert asked["resource"] == f"/{project.bucket_name}/narrations/b/x%20y.wav"
    assert expires_at == int((NOW - 2) // 1 + 12 * HOUR) * 1000


# Brought back.


def test_what_is_in_the_bucket_is_brought(store: AudioStore, project: Project) -> None:
    path = upload(store).path
    out = io.BytesIO()
    assert fetch(project, path, out) and out.getvalue() == AUDIO
    for missing in (path + "x", "", "a\nb"):
        assert not fetch(project, missing, out)
    packed = project.bucket.blob("narrations/packed")
    packed.content_encoding = "gzip"
    packed.upload_from_string(gzip.compress(b"RIFF" * 1000))
    raw = io.BytesIO()
    # As it is kept: what it would become may be of any size.
    assert fetch(project, packed.name, raw) and raw.getvalue()[:2] == b"\x1f\x8b"
    project.bucket.blob("narrations/empty").upload_from_string(b"")
    assert not fetch(project, "narrations/empty", out)
    assert out.getvalue() == AUDIO


def test_what_is_larger_than_a_wav_can_be_is_not_brought(
    store: AudioStore, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = upload(store).path
    monkeypatch.setattr("narrator_daemon.firebase.fetching._MOST_BYTES", len(AUDIO))
    assert fetch(project, path, io.BytesIO())
    monkeypatch.setattr("narrator_daemon.firebase.fetching._MOST_BYTES", len(AUDIO) - 1)
    assert not fetch(project, path, io.BytesIO())


def test_a_storage_that_is_down_is_told(project: Project, firebase: LocalFirebase) -> None:
    firebase.faults.add(Fault("status", "storage", status=403))
    with pytest.raises(Unavailable, match="403"):
        fetch(project, "narrations/a", io.BytesIO())


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("a", True),
        ("x" * 1024, True),
        ("x" * 1025, False),
        ("é" * 512, True),
        ("é" * 513, False),
        ("", False),
        (".", False),
        ("..", False),
        ("...", True),
        ("a\rb", False),
        ("a\nb", False),
        ("a\0b", False),
        ("\ud800", False),
    ],
)
def test_what_an_object_can_be_called(name: str, good: bool) -> None:
    assert is_name(name) is good
