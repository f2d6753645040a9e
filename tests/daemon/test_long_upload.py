"""Audio that goes up in several chunks, past what can go wrong on the way."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest

from narrator_daemon import config
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.harness.faults import Fault
from narrator_daemon.emulator.storage import json_api
from narrator_daemon.emulator.storage.uploads import Upload, add_chunk
from narrator_daemon.errors import NodeRefused, Unavailable
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore

# Two chunks and a half.
AUDIO = np.random.default_rng(1).bytes(20 << 20)


@pytest.fixture(scope="module")
def firebase() -> Iterator[LocalFirebase]:
    with LocalFirebase() as running:
        yield running


@pytest.fixture(scope="module")
def project(firebase: LocalFirebase) -> Iterator[Project]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in firebase.environment().items():
            patch.setenv(name, value)
        project = Project(config.load(None))
        yield project
        project.close()


@pytest.fixture
def store(project: Project, firebase: LocalFirebase) -> Iterator[AudioStore]:
    yield AudioStore(project, config.Settings().storage)
    firebase.faults.clear()


class Counted(io.BytesIO):
    """A file that counts what is read of it, and how much at a time."""

    total = most = 0

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        self.total += len(part)
        self.most = max(self.most, len(part))
        return part


def uploaded(store: AudioStore, project: Project, token: str) -> Counted:
    file = Counted(AUDIO)
    path = store.path("b", token)
    stored = store.upload(path, file, len(AUDIO), book_id="b")
    assert stored.path == path
    assert project.bucket.blob(path).download_as_bytes() == AUDIO
    return file


def test_chunks_are_read_one_at_a_time(store: AudioStore, project: Project) -> None:
    file = uploaded(store, project, "0" * 32)
    assert file.total == len(AUDIO)
    assert file.most <= 8 << 20


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", "storage", method="PUT", count=2),
        Fault("reset_upload", "storage", method="PUT", count=2, after_bytes=1 << 20),
        Fault("drop_answer", "storage", method="POST", count=1),
    ],
    ids=lambda fault: f"{fault.method} {fault.kind}",
)
def test_what_passes_costs_a_chunk_and_not_the_upload(
    store: AudioStore, project: Project, firebase: LocalFirebase, fault: Fault
) -> None:
    number = firebase.faults.add(fault)
    file = uploaded(store, project, f"{number:032x}")
    assert firebase.faults.hits(number) == fault.count
    assert file.total < 2 * len(AUDIO)


def test_a_chunk_whose_answer_is_lost_is_not_stored_twice(
    store: AudioStore, project: Project, firebase: LocalFirebase
) -> None:
    number = firebase.faults.add(Fault("drop_answer", "storage", method="PUT", fraction=0.5))
    uploaded(store, project, "9" * 32)
    assert firebase.faults.hits(number) > 0


def spoil_chunks(monkeypatch: pytest.MonkeyPatch, count: int) -> list[int]:
    """Have the storage store a byte wrong in so many chunks; gives what is still to spoil."""
    left = [count]

    def add(upload: Upload, content_range: str | None, chunk: bytes) -> bool:
        if chunk and left[0]:
            left[0] -= 1
            chunk = chunk[:-1] + bytes([chunk[-1] ^ 1])
        return add_chunk(upload, content_range, chunk)

    monkeypatch.setattr(json_api, "add_chunk", add)
    return left


def test_what_arrived_wrong_is_noticed_and_sent_again(
    store: AudioStore, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = spoil_chunks(monkeypatch, 1)
    file = uploaded(store, project, "d" * 32)
    assert left == [0]
    assert file.total == 2 * len(AUDIO)

    spoil_chunks(monkeypatch, 1000)
    path = store.path("b", "c" * 32)
    with pytest.raises(Unavailable, match="other bytes than were sent"):
        store.upload(path, io.BytesIO(AUDIO), len(AUDIO), book_id="b")
    assert not store.exists(path)


def test_another_object_of_that_name_is_never_overwritten(
    store: AudioStore, project: Project
) -> None:
    path = store.path("b", "e" * 32)
    project.bucket.blob(path).upload_from_string(b"another's")
    with pytest.raises(NodeRefused, match="exists with other contents"):
        store.upload(path, io.BytesIO(AUDIO), len(AUDIO), book_id="b")
    assert project.bucket.blob(path).download_as_bytes() == b"another's"


def test_an_upload_that_is_not_wanted_any_more_leaves_nothing(
    store: AudioStore, project: Project
) -> None:
    reads = 0

    def stop() -> None:
        nonlocal reads
        reads += 1
        if reads == 2:
            raise InterruptedError

    path = store.path("b", "f" * 32)
    with pytest.raises(InterruptedError):
        store.upload(path, io.BytesIO(AUDIO), len(AUDIO), book_id="b", on_read=stop)
    assert not store.exists(path)


@pytest.mark.parametrize("kind", ["drop_answer", "reset_upload"])
def test_a_short_one_whose_connection_breaks_is_sent_again(
    store: AudioStore, project: Project, firebase: LocalFirebase, kind: str
) -> None:
    number = firebase.faults.add(
        Fault(kind, "storage", method="POST|PUT", count=1, after_bytes=10_000)
    )
    audio = AUDIO[:100_000]
    path = store.path("b", f"{len(kind):032x}")
    store.upload(path, io.BytesIO(audio), len(audio), book_id="b")
    assert firebase.faults.hits(number) == 1
    assert project.bucket.blob(path).download_as_bytes() == audio
