from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from narrator_daemon.emulator import LocalFirebase, client_token

OWNER = {"Authorization": "Bearer owner"}
REQUESTED = {"orderBy": '"narrativeAudioStatus"', "equalTo": '"requested"'}


def put(path: str, data: object) -> tuple[str, object]:
    return ("put", {"path": path, "data": data})


def test_events_of_a_path(rest: Any, listen: Callable[..., Any]) -> None:
    rest.put("/books/a", {"n": 1})
    stream = listen("/books")
    assert stream.response.headers["Content-Type"].startswith("text/event-stream")
    assert stream.next() == put("/", {"a": {"n": 1}})
    rest.put("/books/a/n", 2)
    assert stream.next() == put("/a/n", 2)
    rest("PATCH", "/books", {"a/n": 3, "b": {"n": 1}})
    assert stream.next() == ("patch", {"path": "/", "data": {"a/n": 3, "b": {"n": 1}}})
    rest("PATCH", "/books/a", {"n": 4, "m": None})
    assert stream.next() == ("patch", {"path": "/a", "data": {"n": 4}})
    rest("PATCH", "/", {"books/b": None, "other": 1})
    assert stream.next() == ("patch", {"path": "/", "data": {"b": None}})
    rest.put("/elsewhere", 1)
    rest("DELETE", "/books")
    assert stream.next() == put("/", None)


def test_events_of_a_filtered_query(rest: Any, listen: Callable[..., Any]) -> None:
    a = {"narrative": "text", "narrativeAudioStatus": "requested"}
    rest.put("/books", {"a": a, "b": {"narrative": "text"}})
    stream = listen("/books", **REQUESTED)
    assert stream.next() == put("/", {"a": a})
    rest.put("/books/b/narrative", "other text")
    rest("PATCH", "/books/b", {"narrativeAudioStatus": "requested"})
    assert stream.next() == put(
        "/b", {"narrative": "other text", "narrativeAudioStatus": "requested"}
    )
    rest.put("/books/a", {**a, "narrativeAudioStatus": "processing"})
    assert stream.next() == put("/a", None)
    rest("PATCH", "/books/b", {"narrativeAudioProgress": 0.5})
    assert stream.next() == ("patch", {"path": "/b", "data": {"narrativeAudioProgress": 0.5}})
    rest("DELETE", "/books/b")
    assert stream.next() == put("/b", None)


def test_a_query_that_finds_nothing_starts_with_null(listen: Callable[..., Any]) -> None:
    assert listen("/books", **REQUESTED).next() == put("/", None)


def test_a_stream_of_a_query_without_index_is_refused(rest: Any) -> None:
    answer = rest("GET", "/books", headers={"Accept": "text/event-stream"}, orderBy='"title"')
    assert answer.status_code == 400
    assert "Index not defined" in answer.json()["error"]


def test_keep_alive() -> None:
    with LocalFirebase(storage=False, keep_alive_seconds=0.05) as firebase:
        url = f"http://{firebase.endpoints['database_host']}/books.json"
        with requests.get(
            url, headers={"Accept": "text/event-stream"}, stream=True, timeout=60
        ) as response:
            lines = response.iter_lines(chunk_size=None)
            seen = [next(lines) for _ in range(6)]
    assert seen[3:5] == [b"event: keep-alive", b"data: null"]


def test_new_rules_cancel_whom_they_shut_out(rest: Any, listen: Callable[..., Any]) -> None:
    client, admin = listen("/books"), listen("/books", headers=OWNER)
    assert client.next() == admin.next() == put("/", None)
    rest("PUT", "/.settings/rules", {"rules": {".read": False}}, headers=OWNER)
    assert client.next() == ("cancel", None)
    assert client.next() is None
    rest.put("/books/a", 1)
    assert admin.next() == put("/a", 1)


def test_data_that_shuts_a_listener_out_cancels_it(rest: Any, listen: Callable[..., Any]) -> None:
    rules = {"rules": {"books": {".read": "root.child('open').val() === true"}}}
    rest("PUT", "/.settings/rules", rules, headers=OWNER)
    rest.put("/open", True)
    client = listen("/books")
    assert client.next() == put("/", None)
    rest.put("/open", False)
    rest.put("/books/a", 1)
    assert client.next() == ("cancel", None)


def test_a_token_that_ends_is_revoked(listen: Callable[..., Any]) -> None:
    token = client_token("u", expires=time.time() + 0.3)
    client = listen("/books", auth=token)
    assert client.next() == put("/", None)
    name, _ = client.next()
    assert name == "auth_revoked"
    assert client.next() is None


def test_streams_end_when_the_server_stops() -> None:
    with LocalFirebase(storage=False) as firebase:
        url = f"http://{firebase.endpoints['database_host']}/books.json"
        response = requests.get(
            url, headers={"Accept": "text/event-stream"}, stream=True, timeout=60
        )
        lines = response.iter_lines(chunk_size=None)
        assert next(lines) == b"event: put"
    assert b"event: put" not in list(lines)


@pytest.mark.parametrize("path", ["/books", "/books/a/narrative"])
def test_nothing_is_sent_for_a_write_that_changes_nothing(
    rest: Any, listen: Callable[..., Any], path: str
) -> None:
    rest.put("/books/a", {"narrative": "text"})
    stream = listen(path)
    stream.next()
    rest.put("/books/a", {"narrative": "text"})
    rest("PATCH", "/books/a", {"narrative": "text"})
    assert stream.quiet(0.2)
