"""The Admin SDK for Python: everything that its database and its storage do.

make conformance
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import firebase_admin
import pytest
from firebase_admin import db, exceptions
from google.api_core.exceptions import PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from narrator_daemon.emulator import LocalFirebase

# A listener that is closed leaves its thread by an exception of its own.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

RULES = {
    "rules": {
        ".read": "auth != null",
        ".write": "auth != null",
        "dinosaurs": {".indexOn": ["height", "ratings/pos", ".value"]},
        "mine": {".read": "auth.uid === 'me'", ".write": "auth.uid === 'me'"},
    }
}
DINOSAURS = {
    "bruhathkayosaurus": {"height": 25, "ratings": {"pos": 1}},
    "lambeosaurus": {"height": 2.1, "ratings": {"pos": 35}},
    "linhenykus": {"height": 0.6, "ratings": {"pos": 41}},
    "pterodactyl": {"height": 0.6, "ratings": {"pos": 93}},
    "stegosaurus": {"height": 4, "ratings": {"pos": 5}},
}


@pytest.fixture(scope="module")
def firebase() -> Iterator[LocalFirebase]:
    patch = pytest.MonkeyPatch()
    with LocalFirebase(rules=RULES, keep_alive_seconds=1) as running:
        for name, value in running.environment().items():
            patch.setenv(name, value)
        yield running
    patch.undo()


@pytest.fixture
def app(firebase: LocalFirebase) -> Iterator[Any]:
    firebase.load("/", None)
    app = firebase_admin.initialize_app(
        options={
            "databaseURL": firebase.endpoints["database_url"],
            "storageBucket": firebase.endpoints["bucket"],
            "projectId": "demo-books",
        }
    )
    yield app
    firebase_admin.delete_app(app)


def test_rules_are_json_for_the_sdk(app: Any) -> None:
    client = db.reference(app=app)._client
    url = "/.settings/rules.json"
    assert client.body("get", url, params="format=strict") == RULES
    commented = '{"rules": {/* all */ ".read": true, ".write": "true // yes"}}'
    client.request("put", url, data=commented)
    try:
        found = client.body("get", url, params="format=strict")
        assert found == {"rules": {".read": True, ".write": "true // yes"}}
    finally:
        client.request("put", url, json=RULES)


def test_values(app: Any) -> None:
    ref = db.reference("a", app=app)
    for value in ({"x": [1, 2, {"y": True}]}, "text", 1.5, -3, True, ["a", "b"]):
        ref.set(value)
        assert ref.get() == value
    ref.delete()
    ref.update({"x/y": 1, "z": 2})
    assert ref.get() == {"x": {"y": 1}, "z": 2}
    assert ref.get(shallow=True) == {"x": True, "z": True}
    pushed = ref.push({"k": "v"})
    assert ref.child(pushed.key).get() == {"k": "v"}
    ref.delete()
    assert ref.get() is None


def test_tags(app: Any) -> None:
    ref = db.reference("a", app=app)
    ref.set(1)
    value, tag = ref.get(etag=True)
    assert (value, ref.get_if_changed(tag)[0]) == (1, False)
    assert ref.set_if_unchanged(tag, 2)[0] is True
    assert ref.set_if_unchanged(tag, 3)[:2] == (False, 2)
    assert ref.get_if_changed(tag)[:2] == (True, 2)


def test_transactions(app: Any) -> None:
    ref = db.reference("counter", app=app)
    assert ref.transaction(lambda count: (count or 0) + 1) == 1
    tries = []

    def disturbed(count: int) -> int:
        if not tries:
            db.reference("counter", app=app).set(10)
        tries.append(count)
        return count + 1

    assert ref.transaction(disturbed) == 11
    assert tries == [1, 10]


@pytest.mark.parametrize(
    ("narrow", "found"),
    [
        (lambda ref: ref.order_by_child("height").limit_to_first(2), ["linhenykus", "pterodactyl"]),
        (lambda ref: ref.order_by_child("height").limit_to_last(1), ["bruhathkayosaurus"]),
        (
            lambda ref: ref.order_by_child("height").start_at(3),
            ["stegosaurus", "bruhathkayosaurus"],
        ),
        (lambda ref: ref.order_by_child("height").end_at(0.6), ["linhenykus", "pterodactyl"]),
        (lambda ref: ref.order_by_child("height").equal_to(4), ["stegosaurus"]),
        (lambda ref: ref.order_by_child("ratings/pos").start_at(40).end_at(50), ["linhenykus"]),
        (lambda ref: ref.order_by_key().start_at("p"), ["pterodactyl", "stegosaurus"]),
    ],
)
def test_queries(app: Any, narrow: Any, found: list[str]) -> None:
    ref = db.reference("dinosaurs", app=app)
    ref.set(DINOSAURS)
    assert list(narrow(ref).get()) == found


def test_listening(app: Any) -> None:
    ref = db.reference("a", app=app)
    events: queue.Queue[tuple[str, str, Any]] = queue.Queue()
    heard = ref.listen(lambda event: events.put((event.event_type, event.path, event.data)))
    try:
        assert events.get(timeout=60) == ("put", "/", None)
        ref.set({"x": 1})
        assert events.get(timeout=60) == ("put", "/", {"x": 1})
        ref.update({"x": None, "y/z": 2, "w": 3})
        assert events.get(timeout=60) == ("patch", "/", {"x": None, "y/z": 2, "w": 3})
        ref.child("y/z").set(5)
        assert events.get(timeout=60) == ("put", "/y/z", 5)
    finally:
        heard._sse.close()


def test_another_database_by_its_url(firebase: LocalFirebase, app: Any) -> None:
    url = f"http://{firebase.endpoints['database_host']}?ns=second"
    db.reference("a", app=app, url=url).set("there")
    assert db.reference("a", app=app).get() is None
    assert db.reference("a", app=app, url=url).get() == "there"


@pytest.mark.parametrize(
    ("override", "allowed", "refused"),
    [({"uid": "me"}, "mine", None), ({"uid": "you"}, "open", "mine"), (None, None, "open")],
)
def test_overrides(
    firebase: LocalFirebase, override: Any, allowed: str | None, refused: str | None
) -> None:
    rules = {"rules": {**RULES["rules"], ".read": False, ".write": False, "open": OPEN_TO_USERS}}
    options = {
        "databaseURL": f"http://{firebase.endpoints['database_host']}?ns=overrides",
        "databaseAuthVariableOverride": override,
    }
    owner = firebase_admin.initialize_app(options={"databaseURL": options["databaseURL"]}, name="o")
    app = firebase_admin.initialize_app(options=options, name="limited")
    try:
        db.reference(app=owner)._client.request("put", "/.settings/rules.json", json=rules)
        if allowed is not None:
            db.reference(allowed, app=app).set(1)
            assert db.reference(allowed, app=app).get() == 1
        if refused is not None:
            with pytest.raises(exceptions.UnauthenticatedError, match="Permission denied"):
                db.reference(refused, app=app).get()
    finally:
        firebase_admin.delete_app(app)
        firebase_admin.delete_app(owner)


OPEN_TO_USERS = {".read": "auth != null", ".write": "auth != null"}


def test_files(firebase: LocalFirebase) -> None:
    # With a credential of its own the SDK would ask Google for a token.
    client = storage.Client(project="demo-books", credentials=AnonymousCredentials())
    bucket = client.bucket(firebase.endpoints["bucket"])
    blob = bucket.blob("d/ü b.wav", chunk_size=256 * 1024)
    blob.metadata = {"k": "v"}
    blob.upload_from_string(b"sound" * 100_000, content_type="audio/wav", checksum="crc32c")
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string(b"x", if_generation_match=0)
    found = bucket.get_blob("d/ü b.wav")
    assert (found.metadata, found.content_type) == ({"k": "v"}, "audio/wav")
    assert found.download_as_bytes(checksum="md5") == b"sound" * 100_000
    copied = bucket.copy_blob(found, bucket, "copied")
    composed = bucket.blob("composed")
    composed.compose([found, copied], if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        composed.compose([found, copied], if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("copied").rewrite(found, if_generation_match=0)
    names = [one.name for one in client.list_blobs(bucket, match_glob="co*")]
    assert names == ["composed", "copied"]
    bucket.delete_blobs(list(client.list_blobs(bucket)))
    assert not bucket.blob("copied").exists()
    assert not client.bucket("none-there").exists()
