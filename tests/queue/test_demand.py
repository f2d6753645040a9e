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
from narrator_daemon.commands import demand_server
from narrator_daemon.commands.demand_server import DemandServer
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.errors import Unavailable, WrongUse
from narrator_daemon.firebase.project import Project
from narrator_daemon.queue import demand, reasons, requesters
from narrator_daemon.queue.demand import Demand
from tests.memory import MemoryProject

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


def shelf_of(**counts: int) -> dict[str, Any]:
    """So many books of each status; those that wait have texts of 1,000 characters."""
    return {
        f"{status}{number}": {"narrative": "x" * 1_000, "narrativeAudioStatus": status}
        for status, count in counts.items()
        for number in range(count)
    }


def read_demand(firebase: LocalFirebase, shelf: dict[str, Any]) -> tuple[Demand, int, int]:
    """What is counted, in how many queries, and the bytes that were sent for them."""
    firebase.load("/books", shelf)
    with mock.patch.dict(os.environ, firebase.environment()), Project(config.load(None)) as project:
        firebase.traffic.reset()
        found = demand.read(project, limit=10, clock=lambda: NOW)
    only = {"service": "database", "method": "GET", "kind": "query"}
    requests = firebase.traffic.total("requests", **only)
    return found, requests, firebase.traffic.total("bytes_sent", **only)


def test_two_thousand_that_wait_are_counted(firebase: LocalFirebase) -> None:
    shelf = shelf_of(ready=500, requested=2_000, processing=150)
    found, requests, sent = read_demand(firebase, shelf)
    assert found == Demand(claimable=2_000, later=0, in_work=150, more=False)
    assert found.work == 2_150
    assert requests == 4
    assert sent == pytest.approx(found.bytes_read, rel=0.1)
    assert found.seconds_between == pytest.approx(sent / 250_000, rel=0.1)


@pytest.mark.parametrize("used_up", [False, True])
def test_of_many_requesters_only_the_first_are_asked_about(used_up: bool) -> None:
    project: Any = MemoryProject(
        {f"b{n:03}": asked(RequestedAt=n, RequestedBy=f"uid{n}") for n in range(300)}
    )
    whose: list[str | None] = []

    def until(uid: str | None) -> int | None:
        whose.append(uid)
        return NOW + 1 if used_up else None

    found = demand.read(project, limit=10, clock=lambda: NOW, used_up=until)
    assert (found.claimable, found.later) == ((0, 300) if used_up else (300, 0))
    assert whose == [*(f"uid{n}" for n in range(100)), None]
    assert project.count("get /narrationLimits") == (0 if used_up else 100)


def test_a_count_costs_no_more_than_it_may(
    firebase: LocalFirebase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demand, "MOST_BYTES", 500_000)
    found, _, sent = read_demand(firebase, shelf_of(ready=500, requested=2_000, processing=3))
    assert found.more and 400 <= found.claimable <= 500 and found.in_work == 3
    assert sent < 700_000
    monkeypatch.setattr(demand, "MOST_BYTES", 50_000)
    found, requests, _ = read_demand(firebase, shelf_of(requested=101))
    assert found == Demand(claimable=100, later=0, in_work=0, more=True) and requests == 2


@given(
    st.lists(
        st.builds(Demand, *([st.integers(0, 3)] * 3), st.booleans(), st.integers(0, 9)), min_size=1
    )
)
def test_of_several_databases_all_is_added_up(each: list[Demand]) -> None:
    added = demand.together(each)
    assert added.work == sum(one.work for one in each)
    assert added.claimable == sum(one.claimable for one in each)
    assert added.later == sum(one.later for one in each)
    assert added.more == any(one.more for one in each)
    assert added.seconds_between == pytest.approx(sum(one.seconds_between for one in each))
    alone = demand.together(each[:1])
    assert (alone, alone.bytes_read) == (each[0], each[0].bytes_read)


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


def test_what_costs_much_is_counted_less_often() -> None:
    now, counts = [0.0], iter([Demand(1, 0, 0, False, 5_000_000), Demand(2, 0, 0, False)])
    with serving(lambda: next(counts), lambda: now[0]) as url:
        work = []
        for second in (0.0, 19.9, 20.1):
            now[0] = second
            with urlopen(f"{url}/queue") as answer:
                work.append(json.load(answer)["work"])
    assert work == [1, 1, 2]


def test_a_count_that_takes_long_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demand_server, "_COUNT_SECONDS", 0.05)
    now, counted, may_end = [0.0], [0], threading.Event()

    def read() -> Demand:
        counted[0] += 1
        if counted[0] > 1:
            assert may_end.wait(60)
        return Demand(counted[0], 0, 0, False)

    def work(url: str) -> int:
        with urlopen(f"{url}/queue") as answer:
            return int(json.load(answer)["work"])

    with serving(read, lambda: now[0]) as url:
        assert work(url) == 1
        now[0] = 30.0
        assert [work(url), work(url)] == [1, 1]
        # Now the last one is so old that it says nothing any more.
        now[0] = 400.0
        threading.Timer(0.2, may_end.set).start()
        assert work(url) == 2
    assert counted[0] == 2


def test_what_goes_wrong_in_a_count_is_no_end_of_it() -> None:
    counts = iter([ZeroDivisionError(), Demand(1, 0, 0, False)])
    now = [0.0]

    def read() -> Demand:
        found = next(counts)
        if isinstance(found, Exception):
            raise found
        return found

    with serving(read, lambda: now[0]) as url:
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{url}/queue")
        assert refused.value.code == 500
        now[0] = 6.0
        with urlopen(f"{url}/queue") as answer:
            assert json.load(answer)["work"] == 1


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
