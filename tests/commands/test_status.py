"""The fleet's status: read in bounded time and space, from whatever the database holds."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from narrator_daemon import config
from narrator_daemon.commands import status
from narrator_daemon.commands.status import Fleet
from narrator_daemon.commands.status_table import render, span
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.firebase.project import Project

NOW = 1_750_000_000_000
TEXT = "word " * 200


@pytest.fixture(scope="module")
def firebase() -> Iterator[LocalFirebase]:
    with LocalFirebase() as running:
        yield running


@pytest.fixture
def project(firebase: LocalFirebase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    for name, value in firebase.environment().items():
        monkeypatch.setenv(name, value)
    made = Project(config.load(None))
    yield made
    made.close()
    firebase.load("/", {})


def book(status: str, **fields: Any) -> dict[str, Any]:
    names = {f"narrativeAudio{name}": value for name, value in fields.items()}
    return {"narrative": TEXT, "narrativeAudioStatus": status, **names}


def shown(fleet: Fleet) -> str:
    out = io.StringIO()
    Console(file=out, width=160, force_terminal=False).print(render(fleet))
    return out.getvalue()


def test_a_large_catalogue_is_not_read(firebase: LocalFirebase, project: Project) -> None:
    shelf = {f"ready-{number}": book("ready") for number in range(3_000)}
    shelf |= {
        f"waiting-{number}": book("requested", RequestedAt=NOW - 1000 * number)
        for number in range(300)
    }
    shelf |= {f"failed-{number}": book("failed") for number in range(200)}
    firebase.load("/books", shelf)
    firebase.traffic.reset()
    fleet = status.read(project, 45.0, 0, lambda: NOW)
    sent = sum(int(row["bytes_sent"]) for row in firebase.traffic.rows())
    assert (fleet.queue.depth, fleet.queue.more) == (100, True)
    assert len(fleet.failures) == 10
    assert fleet.more_failures
    # A hundred waiting and fifty failed, of a kilobyte each, where there are 3,500.
    assert 100_000 < sent < 250_000
    assert "100 or more waiting" in shown(fleet)
    assert "among those looked at" in shown(fleet)


def test_the_latest_failures_come_first(firebase: LocalFirebase, project: Project) -> None:
    failed = {
        name: book("failed", Error={"code": "stuck", "attempts": 5, "at": NOW - ago})
        for name, ago in {"old": 90_000, "new": 1_000, "older": 100_000}.items()
    }
    firebase.load("/books", failed)
    fleet = status.read(project, 45.0, 0, lambda: NOW)
    assert [one.book_id for one in fleet.failures] == ["new", "old", "older"]
    assert fleet.failures[0].seconds == 1.0


def test_rates_and_liveness_are_by_each_worker_s_own_word(
    firebase: LocalFirebase, project: Project
) -> None:
    lately = {"seconds": 1800, "books": 30, "failed": 1, "audioSeconds": 3600}
    entry = {"version": "1", "engine": "csm", "device": "cuda:0", "inWork": 1, "atOnce": 2}
    workers = {
        "alive": {**entry, "lately": lately, "at": NOW - 5_000},
        "dead": {**entry, "lately": lately, "at": NOW - 60_000},
    }
    firebase.load("/narrationWorkers", workers)
    fleet = status.read(project, 45.0, 0, lambda: NOW)
    alive, dead = fleet.workers
    assert (alive.alive, alive.books_per_hour, alive.failed_per_hour) == (True, 60, 2)
    assert alive.audio_rate == 2.0
    assert (dead.alive, dead.beat_seconds) == (False, 60)
    assert (fleet.books_per_hour, fleet.audio_rate) == (60, 2)


def test_it_says_why_books_wait(firebase: LocalFirebase, project: Project) -> None:
    claim = {"owner": "w", "attempt": 1, "inputHash": "a", "take": 1, "requestedAt": 5, "at": 6}
    shelf = {f"b{n:03}": book("requested", RequestedAt=n, RequestedBy="ada") for n in range(50)}
    shelf["later"] = book(
        "requested", RequestedAt=5, Claim={**claim, "notBefore": NOW + 9_000}, RequestedBy="bea"
    )
    shelf["held"] = book("requested", RequestedAt=5, Claim={**claim, "token": "t"})
    firebase.load("/books", shelf)
    fleet = status.read(project, 45.0, 10, lambda: NOW)
    assert fleet.queue.reasons == {"no_room": 10, "limit": 40, "retry": 1, "claimed": 1}
    table = shown(fleet)
    assert "emulated" in table
    assert "10 as no worker runs" in table
    assert "40 for the limit of its requester" in table


def test_a_worker_that_claims_nothing_says_why(firebase: LocalFirebase, project: Project) -> None:
    entry = {"version": "1", "engine": "csm", "device": "cuda:0", "at": NOW - 5_000}
    workers = {"w": {**entry, "down": {"disk": "no room [red]"}}, "dead": {**entry, "at": 5}}
    firebase.load("/narrationWorkers", workers)
    firebase.load("/books", {"b": book("requested")})
    fleet = status.read(project, 45.0, 10, lambda: NOW)
    assert fleet.queue.reasons == {"dependency": 1}
    assert "w claims nothing: disk: no room [red]" in shown(fleet)


def test_it_says_which_books_are_refused_and_why(firebase: LocalFirebase, project: Project) -> None:
    entry = {"version": "1", "engine": "csm", "device": "cuda:0", "at": NOW - 5_000}
    why = "/books/odd cannot be written: the database answers 401"
    workers = {
        "w": {**entry, "refused": {"odd": why, "done": why}},
        "dead": {**entry, "at": 5, "refused": {"b": "long ago"}},
        "junk": {**entry, "refused": [None, {"x": 1}]},
    }
    firebase.load("/narrationWorkers", workers)
    firebase.load("/books", {name: book("requested") for name in ("b", "odd")})
    fleet = status.read(project, 45.0, 10, lambda: NOW)
    assert fleet.queue.reasons == {"refused": 1, "no_room": 1}
    assert fleet.as_record()["workers"][2]["refused"] == {"odd": why, "done": why}
    table = shown(fleet)
    assert f"w cannot change odd: {why}" in table
    assert "1 as the database does not take its claim" in table
    assert "long ago" not in table


def test_odd_and_hostile_entries_are_shown_and_do_nothing(
    firebase: LocalFirebase, project: Project
) -> None:
    firebase.load(
        "/books",
        {
            "evil\u202e": book("processing", Progress="half", Claim={"token": [1]}),
            "b": book("requested", RequestedAt="yesterday"),
            "c": book("failed", Error="it broke"),
            "d": book("failed", Error={"code": 7, "message": "[red]\x1b[31mred", "at": True}),
        },
    )
    workers = {"w1": {"lately": "never", "at": "now", "inWork": "x", "down": 5}, "w2": 5}
    firebase.load("/narrationWorkers", workers)
    fleet = status.read(project, 45.0, 0, lambda: NOW)
    assert [worker.worker_id for worker in fleet.workers] == ["w1"]
    assert json.loads(json.dumps(fleet.as_record()))["queue"]["oldest_seconds"] is None
    table = shown(fleet)
    assert "evil\ufffd" in table
    assert "nobody" in table
    assert "[red]\ufffd[31mred" in table
    assert "\x1b" not in table


def test_an_empty_project(project: Project) -> None:
    table = shown(status.read(project, 45.0, 0, lambda: NOW))
    for part in ("Nothing waits", "No book is in work", "No worker has been seen", "has failed"):
        assert part in table


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "?"),
        (0.4, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7_300, "2 h 1 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_lengths_of_time(seconds: float | None, words: str) -> None:
    assert span(seconds) == words
