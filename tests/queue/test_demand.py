"""What is counted for an autoscaler while no worker runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from narrator_daemon import config
from narrator_daemon.cli import app
from narrator_daemon.commands.demand_server import DemandServer
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.errors import Unavailable, WrongUse
from narrator_daemon.firebase.project import Project
from narrator_daemon.queue import demand, reasons, requesters
from narrator_daemon.queue.demand import Demand

NOW = 1_750_000_000_000
CLAIM = {
    "owner": "w",
    "attempt": 1,
    "giveBacks": 0,
    "inputHash": "a" * 64,
    "take": 1,
    "requestedAt": 5,
    "at": 6,
}


def asked(**fields: Any) -> dict[str, Any]:
    named = {f"narrativeAudio{name}": value for name, value in fields.items()}
    return {"narrative": "Text.", "narrativeAudioStatus": "requested", **named}


def counted(books: dict[str, Any], grants: dict[str, Any] | None = None, limit: int = 2) -> Any:
    return demand.count(reasons.of_records(books, (grants or {}).get, limit=limit, now_ms=NOW))


def test_what_waits_for_its_requesters_limit_or_its_retry_is_not_claimable() -> None:
    by_ada = {f"b{n}": asked(RequestedAt=n, RequestedBy="ada") for n in range(5)}
    assert counted(by_ada) == (2, 3)
    assert counted(by_ada, limit=0) == (5, 0)
    assert counted(by_ada, {"ada": {"1e": NOW - 1, "2e": NOW - 2}}) == (0, 5)
    assert counted(by_ada, {"ada": {"1e": NOW - 70_000}}) == (2, 3)
    name = requesters.grant_name("b0", 0, None)
    assert counted(by_ada, {"ada": {name: NOW - 1, "2e": NOW - 2}}) == (1, 4)
    retried = asked(RequestedAt=5, RequestedBy="ada", Claim={**CLAIM, "notBefore": NOW + 5_000})
    assert counted({"b": retried}) == (0, 1)
    due = asked(RequestedAt=5, RequestedBy="ada", Claim={**CLAIM, "notBefore": NOW - 1})
    assert counted({"b": due}, {"ada": {"1e": NOW, "2e": NOW}}) == (1, 0)
    anew = asked(RequestedAt=9, Claim={**CLAIM, "notBefore": NOW + 5_000})
    assert counted({"b": anew}) == (1, 0)
    assert counted({f"b{n}": asked() for n in range(7)}) == (7, 0)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        JUNK
        | st.fixed_dictionaries(
            {},
            optional={
                "narrativeAudioRequestedBy": JUNK,
                "narrativeAudioRequestedAt": JUNK,
                "narrativeAudioClaim": JUNK,
                "narrativeAudioPath": JUNK,
            },
        ),
        max_size=4,
    ),
    JUNK,
    st.integers(0, 3),
)
def test_every_book_is_counted_once_whatever_it_holds(
    books: dict[str, Any], granted: Any, limit: int
) -> None:
    waits = reasons.of_records(books, lambda uid: granted, limit=limit, now_ms=NOW)
    assert waits.keys() == books.keys()
    claimable, later = demand.count(waits)
    assert claimable >= 0 and later >= 0 and claimable + later == len(books)


@pytest.fixture(scope="module")
def firebase() -> Iterator[LocalFirebase]:
    with LocalFirebase() as running:
        yield running


def test_a_large_catalogue_is_not_read(firebase: LocalFirebase) -> None:
    shelf: dict[str, Any] = {f"r{n}": {"narrativeAudioStatus": "ready"} for n in range(500)}
    shelf |= {f"w{n}": asked(RequestedAt=n) for n in range(150)}
    shelf |= {f"p{n}": {"narrativeAudioStatus": "processing"} for n in range(3)}
    firebase.load("/books", shelf)
    with mock.patch.dict(os.environ, firebase.environment()):
        project = Project(config.load(None))
        found = demand.read(project, limit=10, clock=lambda: NOW)
        project.close()
    assert found == Demand(claimable=100, later=0, in_work=3, more=True) and found.work == 103


def test_the_command_prints_the_counts(firebase: LocalFirebase) -> None:
    firebase.load("/books", {"a": asked(), "b": {"narrativeAudioStatus": "processing"}})
    with mock.patch.dict(os.environ, firebase.environment()):
        result = CliRunner().invoke(app, ["queue"])
    assert result.exit_code == 0
    printed = {"work": 2, "claimable": 1, "later": 0, "inWork": 1, "more": False}
    assert json.loads(result.stdout.splitlines()[-1]) == printed


def test_it_serves_until_it_is_told_to_stop(firebase: LocalFirebase) -> None:
    firebase.load("/books", {"a": asked()})
    command = [sys.executable, "-m", "narrator_daemon", "queue", "--serve", "0"]
    with subprocess.Popen(
        command, env=os.environ | firebase.environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "serving" in line)
        with urlopen(f"http://127.0.0.1:{json.loads(said)['port']}/queue") as answer:
            assert json.load(answer)["work"] == 1
        process.terminate()
        assert process.wait(20) == 0


@contextmanager
def serving(read: Any, clock: Any = lambda: 0.0) -> Iterator[str]:
    server = DemandServer(read, "127.0.0.1", 0, clock)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()
        thread.join(60)
        assert not thread.is_alive()


def test_one_count_answers_all_who_ask_within_seconds() -> None:
    now, counts = [0.0], iter([Demand(1, 0, 0, False), Demand(2, 0, 0, False)])
    with serving(lambda: next(counts), lambda: now[0]) as url:
        work = []
        for second in (0.0, 4.9, 5.1):
            now[0] = second
            with urlopen(f"{url}/queue?x=1") as answer:
                work.append(json.load(answer)["work"])
    assert work == [1, 1, 2]


def test_a_database_that_does_not_answer_is_no_empty_queue() -> None:
    def read() -> Demand:
        raise Unavailable("database", "secret words of the database")

    with serving(read) as url:
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{url}/queue")
        assert refused.value.code == 503 and b"secret" not in refused.value.read()
        with urlopen(f"{url}/healthz") as answer:
            assert answer.status == 200


@pytest.mark.parametrize("path", ["/", "/queue/x", "/metrics", "/..%2fqueue"])
def test_other_paths_are_not_there(path: str) -> None:
    with serving(lambda: Demand(0, 0, 0, False)) as url, pytest.raises(HTTPError) as refused:
        urlopen(url + path)
    assert refused.value.code == 404


def test_a_port_that_is_taken_is_said() -> None:
    with serving(lambda: Demand(0, 0, 0, False)) as url, pytest.raises(WrongUse, match="listen"):
        DemandServer(lambda: Demand(0, 0, 0, False), "127.0.0.1", int(url.rpartition(":")[2]))
