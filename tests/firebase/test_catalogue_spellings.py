"""A catalogue is one and the same in whatever spelling its address is written, for each use of it.

Audio was uploaded under one spelling; a daemon that is started with another still owns it.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import pytest
import requests

from narrator_daemon import config
from narrator_daemon.commands.explain import explain
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.housekeeping.renewal import Renewer
from narrator_daemon.housekeeping.sweep import Sweeper
from tests.actors import Frontend

TEXT = "A text of a few words."


def spelled(firebase: LocalFirebase, spelling: str) -> dict[str, str]:
    """The environment with the database's address and the books' path in another spelling."""
    port = firebase.endpoints["database_host"].rpartition(":")[2]
    return {
        "127.0.0.1": {"FIREBASE_DATABASE_EMULATOR_HOST": f"127.0.0.1:{port}"},
        "capitals": {"FIREBASE_DATABASE_EMULATOR_HOST": f"LOCALHOST:{port}"},
        "slashes": {"NARRATOR_BOOKS__PATH": "//books//"},
    }[spelling]


@pytest.fixture(params=["127.0.0.1", "capitals", "slashes"])
def project(
    request: pytest.FixtureRequest, firebase: LocalFirebase, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    environment = firebase.environment() | spelled(firebase, request.param)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with Project(config.load(None)) as made:
        yield made


#: As daemons have written it into the metadata of their audio, with what stands before the port.
WRITTEN = [
    "http://127.0.0.1:{port}?ns=demo-books/books",
    "http://LocalHost:{port}/?ns=demo-books/books",
    "http://0.0.0.0:{port}?ns=demo-books/books/",
]


@pytest.mark.parametrize("written", WRITTEN)
def test_it_is_owned_renewed_explained_and_swept(
    firebase: LocalFirebase, frontend: Frontend, project: Project, written: str
) -> None:
    store = AudioStore(project, config.load(None).storage)
    port = firebase.endpoints["database_host"].rpartition(":")[2]
    own = project.catalogue
    project.catalogue = written.format(port=port)
    shown, orphan = (store.path(name, f"{n:032x}") for n, name in enumerate(("b", "gone")))
    for path, book_id in ((shown, "b"), (orphan, "gone")):
        store.upload(path, io.BytesIO(b"RIFF"), 4, book_id=book_id)
    project.catalogue = own
    audio = {"narrativeAudioPath": shown, "narrativeAudioUrl": "old"}
    frontend.add("b", TEXT, narrativeAudioStatus="ready", narrativeAudioUrlExpiresAt=5, **audio)

    assert store.belongs_to(shown, "b")
    renewer = Renewer(project, store)
    assert renewer.round() == 1
    frontend.node("books", "b", "narrativeAudioUrlExpiresAt").set(int(time.time() * 1000) + 10**9)
    assert renewer.round(everything=True) == 1
    url = frontend.book("b")["narrativeAudioUrl"]
    assert requests.get(url, timeout=60).content == b"RIFF"
    assert not any(
        "not" in told and "own" in told for told in explain(config.load(None), "b").problems
    )
    assert Sweeper(project, store, clock=lambda: time.time() + 4000).round() == 1
    assert [stored.path for stored in store.objects(most=9)] == [shown]


@pytest.mark.parametrize(
    "written",
    [
        "http://127.0.0.1:{port}?ns=other/books",
        "http://127.0.0.1:{port}?ns=demo-books/drafts",
        "http://127.0.0.1:1?ns=demo-books/books",
        "http://example.com:{port}?ns=demo-books/books",
        "https://127.0.0.1:{port}?ns=demo-books/books",
        "",
    ],
)
@pytest.mark.parametrize("project", ["127.0.0.1"], indirect=True)
def test_what_is_another_s_stays_so(
    firebase: LocalFirebase, frontend: Frontend, project: Project, written: str
) -> None:
    store = AudioStore(project, config.load(None).storage)
    port = firebase.endpoints["database_host"].rpartition(":")[2]
    own = project.catalogue
    project.catalogue = written.format(port=port)
    path = store.path("b", "0" * 32)
    store.upload(path, io.BytesIO(b"RIFF"), 4, book_id="b")
    project.catalogue = own
    frontend.add("b", TEXT, narrativeAudioPath=path, narrativeAudioUrlExpiresAt=5)
    assert not store.belongs_to(path, "b")
    assert Renewer(project, store).round(everything=True) == 0
    frontend.delete("b")
    assert Sweeper(project, store, clock=lambda: time.time() + 4000).round() == 0
