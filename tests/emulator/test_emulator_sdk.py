"""The local Firebase through the unmodified firebase-admin SDK."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import firebase_admin
import pytest
from firebase_admin import db, exceptions

from narrator_daemon.emulator import Fault, LocalFirebase


@pytest.fixture
def app(firebase: LocalFirebase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in firebase.environment().items():
        monkeypatch.setenv(name, value)
    options = {"databaseURL": firebase.endpoints["database_url"], "projectId": "demo-books"}
    app = firebase_admin.initialize_app(options=options, name="test")
    yield app
    firebase_admin.delete_app(app)


def test_reading_and_writing(app: Any) -> None:
    books = db.reference("/books", app)
    books.set({"a": {"n": 1}, "b": {"n": 2}})
    books.child("a").update({"n": 3, "m": None})
    books.update({"b/n": 4, "c/n": 5})
    assert books.get() == {"a": {"n": 3}, "b": {"n": 4}, "c": {"n": 5}}
    assert books.get(shallow=True) == {"a": True, "b": True, "c": True}
    pushed = books.push({"n": 6})
    assert pushed.get() == {"n": 6}
    books.child("a").delete()
    assert books.child("a").get() is None
    key = "50% of é b"
    books.child(key).set(1)
    assert books.child(key).get() == 1


def test_queries(app: Any) -> None:
    books = db.reference("/books", app)
    books.set({k: {"narrativeAudioUrlExpiresAt": n} for k, n in zip("cab", (3, 1, 2), strict=True)})
    books.child("none").set({"narrative": "x"})
    field = "narrativeAudioUrlExpiresAt"
    assert list(books.order_by_child(field).start_at(1).limit_to_first(2).get()) == ["a", "b"]
    assert list(books.order_by_child(field).end_at(1).get()) == ["none", "a"]
    assert list(books.order_by_key().limit_to_last(2).get()) == ["c", "none"]
    with pytest.raises(exceptions.InvalidArgumentError, match="Index not defined"):
        books.order_by_child("title").get()


def test_conditional_writes(app: Any) -> None:
    ref = db.reference("/books/a", app)
    ref.set({"n": 1})
    value, tag = ref.get(etag=True)
    assert ref.get_if_changed(tag) == (False, None, None)
    assert ref.set_if_unchanged("stale", {"n": 2})[0] is False
    assert ref.set_if_unchanged(tag, {"n": 2})[0] is True
    changed, value, _ = ref.get_if_changed(tag)
    assert (changed, value) == (True, {"n": 2})


def test_transactions_lose_no_update(app: Any) -> None:
    ref = db.reference("/counter", app)

    def count() -> None:
        for _ in range(10):
            ref.transaction(lambda n: (n or 0) + 1)

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ref.get() == 30


def test_a_transaction_sees_its_own_lost_commit(app: Any, firebase: LocalFirebase) -> None:
    ref = db.reference("/books/a", app)
    firebase.faults.add(Fault("drop_answer", method="PUT", path="^/books/a$", count=1))
    seen = []

    def claim(book: Any) -> Any:
        seen.append(book)
        return {"token": "mine"}

    assert ref.transaction(claim) == {"token": "mine"}
    assert seen[0] is None
    assert seen[-1] == {"token": "mine"}


# The SDK's own reader trips over the connection that its close() has closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_listener_hears(app: Any) -> None:
    ref = db.reference("/books", app)
    events: list[tuple[str, str, Any]] = []
    more = threading.Event()

    def hear(event: Any) -> None:
        events.append((event.event_type, event.path, event.data))
        more.set()

    registration = ref.listen(hear)
    wanted = [("put", "/", None), ("put", "/a", {"n": 1}), ("patch", "/a", {"n": 2})]
    ref.child("a").set({"n": 1})
    ref.child("a").update({"n": 2})
    deadline = time.monotonic() + 60
    while events != wanted:
        more.wait(0.05)
        more.clear()
        assert time.monotonic() < deadline, events
    # close() waits for the next byte.
    threading.Timer(0.1, lambda: ref.child("end").set(1)).start()
    registration.close()


def test_a_redirect_is_followed(app: Any, firebase: LocalFirebase) -> None:
    with LocalFirebase(storage=False, rules={"rules": {".read": True, ".write": True}}) as other:
        target = f"http://{other.endpoints['database_host']}"
        firebase.faults.add(Fault("redirect", to=target, path="^/moved"))
        other.load("/moved", "here")
        assert db.reference("/moved", app).get() == "here"
        db.reference("/moved", app).set("and there")
        assert db.reference("/moved", app).get() == "and there"
    firebase.faults.clear()
    assert db.reference("/moved", app).get() is None


def test_an_overridden_user_is_held_by_the_rules(
    firebase: LocalFirebase, app: Any, rest: Any
) -> None:
    rules = {"rules": {"books": {".write": "auth.uid === 'daemon'", ".read": True}}}
    rest("PUT", "/.settings/rules", rules, headers={"Authorization": "Bearer owner"})
    options = {
        "databaseURL": firebase.endpoints["database_url"],
        "projectId": "demo-books",
        "databaseAuthVariableOverride": {"uid": "daemon"},
    }
    daemon = firebase_admin.initialize_app(options=options, name="daemon")
    try:
        db.reference("/books/a", daemon).set(1)
        with pytest.raises(exceptions.UnauthenticatedError, match="Permission denied"):
            db.reference("/other", daemon).set(1)
    finally:
        firebase_admin.delete_app(daemon)
    db.reference("/other", app).set(1)
