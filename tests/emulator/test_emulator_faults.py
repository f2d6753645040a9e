from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from narrator_daemon.emulator import Fault, InvalidFaultError, LocalFirebase

OWNER = {"Authorization": "Bearer owner"}


def test_a_status_for_so_many_requests(firebase: LocalFirebase, rest: Any) -> None:
    number = firebase.faults.add(
        Fault("status", method="PUT", path="^/books/", count=2, status=503)
    )
    assert rest("GET", "/books/a").status_code == 200
    answers = [rest("PUT", "/books/a", 1) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].json() == {"error": "Service unavailable."}
    assert firebase.faults.list() == []
    assert firebase.faults.hits(number) == 2


def test_a_fraction(firebase: LocalFirebase, rest: Any) -> None:
    firebase.faults.add(Fault("status", status=401, fraction=0.5))
    codes = [rest("GET", "/a").status_code for _ in range(40)]
    assert 5 < codes.count(401) < 35


def test_a_duration(firebase: LocalFirebase, rest: Any) -> None:
    firebase.faults.add(Fault("status", for_seconds=2))
    assert rest("GET", "/a").status_code == 503
    deadline = time.monotonic() + 60
    while rest("GET", "/a").status_code == 503:
        assert time.monotonic() < deadline


def test_a_redirect_keeps_path_and_query(firebase: LocalFirebase, rest: Any) -> None:
    firebase.faults.add(Fault("redirect", to="http://127.0.0.1:9"))
    answer = rest("GET", "/books/a%20b", shallow="true")
    assert answer.status_code == 307
    assert answer.headers["Location"] == "http://127.0.0.1:9/books/a%20b.json?shallow=true"


def test_an_answer_that_is_lost_after_the_commit(firebase: LocalFirebase, rest: Any) -> None:
    firebase.faults.add(Fault("drop_answer", method="PUT", count=1))
    with pytest.raises(requests.ConnectionError):
        rest("PUT", "/a", 7)
    assert rest.get("/a") == 7


def test_a_connection_that_is_refused_does_nothing(firebase: LocalFirebase, rest: Any) -> None:
    firebase.faults.add(Fault("refuse", method="PUT", count=1))
    with pytest.raises(requests.ConnectionError):
        rest("PUT", "/a", 7)
    assert rest.get("/a") is None


#: Long enough for what is asked meanwhile on a busy machine, seconds.
SLOW = 3


def test_slow_requests_and_slow_answers(firebase: LocalFirebase, rest: Any) -> None:
    firebase.faults.add(Fault("slow", method="PUT", count=1, seconds=SLOW))
    thread = threading.Thread(target=lambda: rest("PUT", "/a", 1))
    started = time.monotonic()
    thread.start()
    assert requests.get(f"{rest.base}/a.json", timeout=60).json() is None
    thread.join()
    assert time.monotonic() - started >= SLOW
    firebase.faults.add(Fault("slow_answer", method="PUT", count=1, seconds=SLOW))
    thread = threading.Thread(target=lambda: rest("PUT", "/a", 2))
    thread.start()
    deadline = time.monotonic() + 60
    while requests.get(f"{rest.base}/a.json", timeout=60).json() != 2:
        assert time.monotonic() < deadline
    assert thread.is_alive()
    thread.join()


def test_a_hang_lasts_until_it_is_cleared(firebase: LocalFirebase, rest: Any) -> None:
    number = firebase.faults.add(Fault("hang", method="PUT", count=1))
    with pytest.raises(requests.Timeout):
        requests.put(f"{rest.base}/a.json", data="1", timeout=0.2)
    firebase.faults.clear(number)
    assert rest("PUT", "/a", 1).status_code == 200


def test_streams_are_ended_cancelled_and_revoked(
    firebase: LocalFirebase, rest: Any, listen: Callable[..., Any]
) -> None:
    for act, last in (
        (firebase.faults.end_streams, None),
        (firebase.faults.cancel_streams, ("cancel", None)),
        (firebase.faults.revoke_streams, ("auth_revoked", "credential is no longer valid")),
    ):
        hit, spared = listen("/shelf"), listen("/other")
        hit.next(), spared.next()
        assert act("^/shelf$") == 1
        assert hit.next() == last
        rest.put("/other", str(last))
        assert spared.next() == ("put", {"path": "/", "data": str(last)})
        spared.close()


def test_a_refused_stream(firebase: LocalFirebase, rest: Any) -> None:
    firebase.faults.add(Fault("status", method="STREAM", status=500, count=1))
    assert rest("GET", "/books").status_code == 200
    headers = {"Accept": "text/event-stream"}
    assert rest("GET", "/books", headers=headers).status_code == 500


def test_a_silent_stream(firebase: LocalFirebase, rest: Any, listen: Callable[..., Any]) -> None:
    stream = listen("/books")
    stream.next()
    number = firebase.faults.add(Fault("silence", path="^/books"))
    rest.put("/books/a", 1)
    assert stream.quiet(0.3)
    firebase.faults.clear(number)
    rest.put("/books/b", 2)
    assert stream.next() == ("put", {"path": "/b", "data": 2})


def test_faults_over_http(rest: Any) -> None:
    url = f"{rest.base}/.emulator/faults"
    assert requests.get(url, timeout=60).status_code == 401
    fault = {"kind": "status", "status": 500, "path": "^/books", "count": 9}
    number = requests.post(url, json=fault, headers=OWNER, timeout=60).json()["id"]
    assert rest("GET", "/books").status_code == 500
    (listed,) = requests.get(url, headers=OWNER, timeout=60).json()
    assert (listed["id"], listed["hits"], listed["count"]) == (number, 1, 9)
    requests.delete(url, params={"id": number}, headers=OWNER, timeout=60)
    assert rest("GET", "/books").status_code == 200
    action = {"kind": "end_streams", "path": "^/books$"}
    assert requests.post(url, json=action, headers=OWNER, timeout=60).json() == {"streams": 0}


@pytest.mark.parametrize(
    "raw",
    [
        {"kind": "earthquake"},
        {"kind": "status", "colour": 1},
        {"kind": "status", "count": "two"},
        {"kind": "status", "path": "("},
        {"kind": "redirect"},
        {"kind": "end_streams", "count": 1},
        {"kind": "end_streams", "path": "("},
        [],
    ],
)
def test_faults_that_make_no_sense(rest: Any, raw: object) -> None:
    answer = requests.post(f"{rest.base}/.emulator/faults", json=raw, headers=OWNER, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_fault_checks_its_fields() -> None:
    with pytest.raises(InvalidFaultError, match="earthquake"):
        Fault("earthquake")


def test_traffic_is_counted(firebase: LocalFirebase, rest: Any, listen: Callable[..., Any]) -> None:
    firebase.traffic.reset()
    rest.put("/books/a", "x" * 1000)
    listen("/books").next()
    rest.get("/books/a")
    total = firebase.traffic.total
    assert total("requests", kind="write", place="/books/*", method="PUT") == 1
    assert total("bytes_received", kind="write") == 1002
    assert total("bytes_sent", kind="value") == 1002
    assert total("requests", kind="stream", place="/books") == 1
    assert total("bytes_sent", kind="stream") > 1000
    rows = requests.get(f"{rest.base}/.emulator/traffic", headers=OWNER, timeout=60).json()
    assert rows == firebase.traffic.rows()
