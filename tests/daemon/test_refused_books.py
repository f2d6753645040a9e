"""Books that the database does not take, beside books that it does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.harness.faults import Fault
from tests.actors import Frontend, Inside, wait_until

TEXT = "A text of a few words, to be read aloud."


@pytest.fixture
def refuse(firebase: LocalFirebase) -> Iterator[Callable[..., None]]:
    """Lets the database refuse whatever is written at a path: what a catalogue's own rule does."""

    def start(path: str, status: int = 401) -> None:
        firebase.faults.add(Fault("status", method="PUT", path=path, status=status))

    yield start
    firebase.faults.clear()


@pytest.mark.parametrize("status", [400, 401, 403])
def test_books_that_cannot_be_claimed_hold_nobody_up_and_are_named(
    firebase: LocalFirebase,
    frontend: Frontend,
    start_inside: Callable[..., Inside],
    refuse: Callable[..., None],
    status: int,
) -> None:
    for number in range(10):
        frontend.add_requested(f"bad-{number}", TEXT)
    refuse("^/books/bad-", status)
    inside = start_inside(WATERMARK__SELF_CHECK="false").wait_ready()
    seen = set()

    def all_refused() -> bool:
        seen.add(inside.condition.status)
        return len(inside.condition.refused) == 10

    wait_until(all_refused, "all ten to be refused")
    for number in range(5):
        frontend.add_requested(f"good-{number}", TEXT)
    for number in range(5):
        frontend.wait_for(f"good-{number}", "ready", 10)
        seen.add(inside.condition.status)
    assert seen == {"healthy"} and inside.condition.down == {}
    record = inside.condition.as_record()
    assert record["refused_books"] == 10
    assert any("/books/bad-3 " in line for line in record["attention"])
    assert "service account" not in json.dumps(record)
    assert inside.logged("dependency_down") == []


def test_a_dead_worker_s_book_that_is_refused_stops_no_reaping_of_others(
    firebase: LocalFirebase,
    frontend: Frontend,
    start_inside: Callable[..., Inside],
    refuse: Callable[..., None],
) -> None:
    dead = {
        "token": "dead0",
        "owner": "dead",
        "attempt": 1,
        "giveBacks": 0,
        "inputHash": "0" * 64,
        "take": 1,
        "at": 1,
    }
    for name in ("a-refused", "b", "c", "d"):
        frontend.add(name, TEXT, narrativeAudioStatus="processing", narrativeAudioClaim=dead)
        frontend.node("narrationLeases", name, "dead0").set({"owner": "dead", "beat": 1, "ttl": 1})
    refuse("^/books/a-refused")
    start_inside(
        CLAIMS__LEASE_TTL_SECONDS=1.5,
        CLAIMS__BEAT_SECONDS=0.5,
        WATERMARK__SELF_CHECK="false",
    ).wait_ready()
    for name in ("b", "c", "d"):
        frontend.wait_for(name, "ready", 15)
    assert frontend.status("a-refused") == "processing"


def test_an_outcome_that_is_refused_leaves_its_slot(
    firebase: LocalFirebase,
    frontend: Frontend,
    start_inside: Callable[..., Inside],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("narrator_daemon.daemon.tries._REFUSED_SECONDS", 0.5)
    inside = start_inside(WATERMARK__SELF_CHECK="false", DAEMON__BOOKS_AT_ONCE=2).wait_ready()
    in_work = set()
    for name in ("bad-1", "bad-2"):
        frontend.add_requested(name, TEXT * 20)
        wait_until(lambda name=name: frontend.status(name) == "processing", f"{name} in work")
        firebase.faults.add(Fault("status", method="PUT", path=f"^/books/{name}$", status=401))
        in_work.add(name)
    frontend.add_requested("good", TEXT)
    frontend.wait_for("good", "ready", 30)
    wait_until(lambda: len(inside.parts.jobs) == 0, "both slots to be free")
    assert inside.condition.down == {}
    assert set(inside.condition.refused) == in_work
