"""The documented parameters of the REST API, with right values and with wrong ones."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from narrator_daemon.emulator import LocalFirebase
from tests.emulator.conftest import OWNER

WRONG = [
    ("print", "ugly"),
    ("print", ""),
    ("shallow", "yes"),
    ("format", "strict"),
    ("format", "xml"),
    ("writeSizeLimit", "huge"),
    ("writeSizeLimit", ""),
    ("timeout", "0s"),
    ("timeout", "16min"),
    ("timeout", "3"),
    ("timeout", "3h"),
    ("timeout", "-1s"),
    ("timeout", "1.5s"),
    ("callback", "alert(1)//"),
    ("callback", ""),
    ("callback", "a b"),
    ("download", ""),
    ("limitToFirst", "1_0"),
    ("limitToFirst", "+1"),
    ("limitToFirst", "0"),
    ("limitToFirst", "x"),
    ("startAt", "NaN"),
    ("startAt", "[" * 2000),
    ("endAt", "Infinity"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_values_are_refused(rest: Any, name: str, value: str) -> None:
    order = {"orderBy": '"$value"'} if name[:5] in ("limit", "start", "endAt") else {}
    answer = rest("GET", "/scores", **order, **{name: value})
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


def test_the_order_of_queries_may_not_be_nested_for_ever(rest: Any) -> None:
    assert rest("GET", "/a", orderBy="[" * 2000).status_code == 400


@pytest.mark.parametrize("value", ["tiny", "small", "medium", "large", "unlimited"])
def test_sizes_of_writes(rest: Any, value: str) -> None:
    assert rest("PUT", "/a", 1, writeSizeLimit=value).json() == 1


@pytest.mark.parametrize("value", ["3ms", "3s", "15min"])
def test_timeouts_of_reads(rest: Any, value: str) -> None:
    rest.put("/a", 1)
    assert rest.get("/a", timeout=value) == 1


def test_a_read_that_takes_longer_than_it_may(firebase: LocalFirebase, rest: Any) -> None:
    firebase.load("/big", {f"k{i}": {"v": i, "w": "x" * 10} for i in range(30_000)})
    answer = rest("GET", "/big", timeout="1ms")
    assert (answer.status_code, "timeout" in answer.json()["error"]) == (400, True)


def test_a_callback_wraps_the_answer_as_a_script(rest: Any) -> None:
    rest.put("/a", {"x": "\u2028</script>"})
    answer = rest("GET", "/a", callback="got.it[0]")
    assert answer.headers["Content-Type"].startswith("application/javascript")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.text == '/**/got.it[0]({"x":"\\u2028</script>"});'
    # Only reads are called back.
    assert rest("PUT", "/a", 1, callback="f").json() == 1


def test_a_download_is_saved_under_its_name(rest: Any) -> None:
    answer = rest("GET", "/a", download='no/ü"\r\nx.json')
    assert answer.headers["Content-Disposition"] == (
        "attachment; filename=\"no_____x.json\"; filename*=UTF-8''no_%C3%BC%22%0D%0Ax.json"
    )


def test_pretty_and_silent(rest: Any) -> None:
    rest.put("/a", {"x": 1})
    assert rest("GET", "/a", print="pretty").text == '{\n  "x" : 1\n}'
    silent = rest("PATCH", "/a", {"y": 2}, print="silent")
    assert (silent.status_code, silent.text) == (204, "")


def test_rules_as_strict_json(rest: Any) -> None:
    text = '{ // open\n "rules": {".read": "true // yes\n && true", ".write": true}}'
    rest("PUT", "/.settings/rules", raw=text.encode(), headers=OWNER).raise_for_status()
    assert rest("GET", "/.settings/rules", headers=OWNER).text == text
    strict = rest("GET", "/.settings/rules", headers=OWNER, format="strict").json()
    assert strict == {"rules": {".read": "true // yes\n && true", ".write": True}}
    for wrong in ("export", "loose"):
        answer = rest("GET", "/.settings/rules", headers=OWNER, format=wrong)
        assert answer.status_code == 400


def test_rules_that_are_only_tried(rest: Any) -> None:
    before = rest("GET", "/.settings/rules", headers=OWNER).text
    closed = {"rules": {}}
    tried = rest("PUT", "/.settings/rules", closed, headers=OWNER, dryRun="true")
    assert (tried.status_code, tried.json()) == (200, {"status": "ok"})
    assert rest("GET", "/.settings/rules", headers=OWNER).text == before
    bad = {"rules": {".read": "7"}}
    assert rest("PUT", "/.settings/rules", bad, headers=OWNER, dryRun="true").status_code == 400


def test_settings_of_the_command_line(rest: Any) -> None:
    where = "/.settings/defaultWriteSizeLimit"
    assert rest("GET", where, headers=OWNER).json() is None
    assert rest("PUT", where, "medium", headers=OWNER).json() == "medium"
    assert rest("GET", where, headers=OWNER).json() == "medium"
    assert rest("PUT", where, "huge", headers=OWNER).status_code == 400
    assert rest("PUT", where, {"a": 1}, headers=OWNER).status_code == 400
    assert rest("GET", where).status_code == 401
    assert rest("GET", "/.settings/nothing", headers=OWNER).status_code == 400
    assert rest("POST", where, "medium", headers=OWNER).status_code == 405


def speak(firebase: LocalFirebase, line: bytes) -> bytes:
    """What the database answers to a request line, whatever it is."""
    host, _, port = firebase.endpoints["database_host"].partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(line + b"\r\nHost: h\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := connection.recv(4096):
            answer += part
    return answer


@pytest.mark.parametrize("path", [b"/us%ZZ.json", b"/a%.json", b"/%G0/b.json", b"/a.json?x=%"])
def test_paths_with_broken_escapes(firebase: LocalFirebase, path: bytes) -> None:
    answer = speak(firebase, b"GET " + path + b" HTTP/1.1")
    assert answer.split(b"\r\n")[0].endswith(b"400 Bad Request")
    assert answer.endswith(b'{"error": "Invalid path: Invalid token in path"}')


@pytest.mark.parametrize(
    "priority", [{".sv": "timestamp"}, {".sv": {"increment": 2}}, 3, "x", None]
)
def test_priorities_may_come_from_the_server(rest: Any, priority: object) -> None:
    rest.put("/p", {".value": 1, ".priority": 5})
    answer = rest("PUT", "/p", {".value": 1, ".priority": priority})
    assert answer.status_code == 200
    found = rest.get("/p", format="export")
    kept = found[".priority"] if isinstance(found, dict) else None
    if isinstance(priority, dict):
        assert kept == 7 if priority[".sv"] != "timestamp" else kept > 1.7e12
    else:
        assert kept == priority


@pytest.mark.parametrize(
    "body",
    [
        {".sv": "timestamp", ".priority": {".sv": "timestamp"}},
        {".value": {".sv": "timestamp"}, ".priority": 1},
        {"x": {".value": 1, ".priority": {".sv": "timestamp"}}},
    ],
)
def test_server_values_with_priorities(rest: Any, body: object) -> None:
    assert rest("PUT", "/p", body).status_code == 200
    assert "timestamp" not in json.dumps(rest.get("/p", format="export"))


@pytest.mark.parametrize("bad", [{".sv": "now"}, {".sv": "timestamp", "x": 1}, True, {"a": 1}])
def test_priorities_that_are_none(rest: Any, bad: object) -> None:
    assert rest("PUT", "/p", {".value": 1, ".priority": bad}).status_code == 400


LINES = [
    b"GET ../../x HTTP/1.1",
    b"GET * HTTP/1.1",
    b"GET ?x HTTP/1.1",
    b"GET http://[::1/x.json HTTP/1.1",
    b"GET /\xff.json HTTP/1.1",
    b"GET http://h:99999/x HTTP/1.1",
    b"FOO /a.json HTTP/1.1",
]


@pytest.mark.parametrize("line", LINES)
def test_request_lines_that_are_none_leave_no_traceback(
    firebase: LocalFirebase, capfd: pytest.CaptureFixture[str], line: bytes
) -> None:
    assert b" 400 " in speak(firebase, line).split(b"\r\n")[0]
    assert "Traceback" not in capfd.readouterr().err


def test_a_request_line_may_name_the_host(firebase: LocalFirebase, rest: Any) -> None:
    rest.put("/a", "found")
    assert speak(firebase, b"GET http://h/a.json HTTP/1.1").endswith(b'"found"')
