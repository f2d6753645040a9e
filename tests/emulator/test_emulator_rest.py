from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import pytest
import requests

from narrator_daemon.emulator import client_token

OWNER = {"Authorization": "Bearer owner"}
ETAG = {"X-Firebase-ETag": "true"}


def test_put_get_patch_post_delete(rest: Any) -> None:
    put = rest("PUT", "/books/a", {"n": 1, "gone": None, "list": ["x", "y"]})
    assert (put.status_code, put.json()) == (200, {"n": 1, "list": ["x", "y"]})
    assert put.headers["Content-Type"] == "application/json; charset=utf-8"
    assert rest.get("/books/a/list/1") == "y"
    patch = rest("PATCH", "/books", {"a/n": 2, "a/list": None, "b": {"n": 3}})
    assert patch.json() == {"a/n": 2, "a/list": None, "b": {"n": 3}}
    assert rest.get("/books") == {"a": {"n": 2}, "b": {"n": 3}}
    first, second = (
        rest("POST", "/queue", 1).json()["name"],
        rest("POST", "/queue", 2).json()["name"],
    )
    assert len(first) == 20
    assert rest.get("/queue") == {first: 1, second: 2}
    deleted = rest("DELETE", "/books/a")
    assert (deleted.status_code, deleted.json()) == (200, None)
    assert rest.get("/books") == {"b": {"n": 3}}


def test_push_ids_sort_by_time(rest: Any) -> None:
    names = []
    for _ in range(3):
        names.append(rest("POST", "/queue", 1).json()["name"])
        time.sleep(0.002)
    assert names == sorted(names)


def test_method_override(rest: Any) -> None:
    headers = {"X-HTTP-Method-Override": "PATCH"}
    rest.put("/a", {"x": 1})
    assert rest("POST", "/a", {"y": 2}, headers=headers).status_code == 200
    assert rest.get("/a") == {"x": 1, "y": 2}


def test_print_styles(rest: Any) -> None:
    silent = rest("PUT", "/a", {"x": 1}, print="silent")
    assert (silent.status_code, silent.content) == (204, b"")
    assert "\n" in rest("GET", "/a", print="pretty").text


def test_shallow(rest: Any) -> None:
    rest.put("/a", {"x": {"deep": 1}, "y": 2})
    assert rest.get("/a", shallow="true") == {"x": True, "y": True}
    assert rest.get("/a/y", shallow="true") == 2
    assert rest("GET", "/a", shallow="true", orderBy='"$key"').status_code == 400


def test_entity_tags(rest: Any) -> None:
    tag = rest("GET", "/a", headers=ETAG).headers["ETag"]
    assert tag == "null_etag"
    put = rest("PUT", "/a", {"x": 1}, headers={"if-match": tag, **ETAG})
    assert put.status_code == 200
    lost = rest("PUT", "/a", {"x": 2}, headers={"if-match": "null_etag"})
    assert (lost.status_code, lost.json(), lost.headers["ETag"]) == (
        412,
        {"x": 1},
        put.headers["ETag"],
    )
    unchanged = rest("GET", "/a", headers={"if-none-match": put.headers["ETag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    rest.put("/a/x", 5)
    assert rest("GET", "/a", headers={"if-none-match": put.headers["ETag"]}).json() == {"x": 5}
    rest.put("/a/x", 1)
    assert rest("GET", "/a", headers=ETAG).headers["ETag"] == put.headers["ETag"]
    assert rest("DELETE", "/a", headers={"if-match": "null_etag"}).status_code == 412
    assert rest("DELETE", "/a", headers={"if-match": put.headers["ETag"]}).status_code == 200
    assert "ETag" not in rest("GET", "/a").headers
    assert rest("PATCH", "/a", {"x": 1}, headers={"if-match": "null_etag"}).status_code == 400


def test_queries_and_their_index(rest: Any) -> None:
    rest.put("/books", {"a": {"narrativeAudioStatus": "requested"}, "b": {"meta": {"rank": 2}}})
    assert rest.get("/books", orderBy='"narrativeAudioStatus"', equalTo='"requested"') == {
        "a": {"narrativeAudioStatus": "requested"}
    }
    assert rest.get("/books", orderBy='"meta/rank"', startAt="1") == {"b": {"meta": {"rank": 2}}}
    assert rest.get("/books", orderBy='"narrativeAudioStatus"', equalTo='"no"') == {}
    missing = rest("GET", "/books", orderBy='"title"', equalTo='"x"')
    assert missing.status_code == 400
    assert missing.json() == {
        "error": 'Index not defined, add ".indexOn": "title", for path "/books", to the rules'
    }
    by_value = rest("GET", "/books", orderBy='"$value"')
    assert '".indexOn": ".value"' in by_value.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "raw", "status", "error"),
    [
        ("PUT", "/a", b"", 400, "Error: No data supplied."),
        ("PUT", "/a", b"{", 400, "Invalid data; couldn't parse JSON object, array, or value."),
        ("PUT", "/a", b"NaN", 400, "Invalid data; couldn't parse JSON object, array, or value."),
        ("PUT", "/a", b"\xff", 400, "Invalid data; couldn't parse JSON object, array, or value."),
        ("PUT", "/a", b"[" * 100_000, 400, "Invalid data; couldn't parse JSON object, array, or"),
        (
            "PUT",
            "/a",
            b'{"ok": 1,\n "b.c": 2}',
            400,
            "Invalid data; couldn't parse key beginning at 2:2. "
            "Key value can't be empty or contain $ # [ ] / or .",
        ),
        ("PUT", "/a", b'{"a": {"": 1}}', 400, "Invalid data; couldn't parse key beginning at 1:8."),
        ("PATCH", "/a", b"[1]", 400, "Invalid data; couldn't parse JSON object. Are you sending"),
        ("PATCH", "/a", b'{"b.c": 1}', 400, "Invalid data; couldn't parse JSON object. Are you"),
        ("PATCH", "/a", b'{"b": 1, "b/c": 1}', 400, "Invalid data; path '/a/b' is an ancestor of"),
        ("GET", "/a$b", None, 400, "Invalid path: Invalid token in path"),
        ("GET", "/a%00", None, 400, "Invalid path: Invalid token in path"),
        ("GET", "/%ff", None, 400, "Invalid path: Invalid token in path"),
        ("GET", "/" + "k" * 769, None, 400, "Invalid path: Invalid token in path"),
        ("PUT", "/k" * 33, b"1", 400, "Invalid path: path exceeds the maximum depth"),
        ("TRACE", "/a", None, 405, "Method not allowed."),
    ],
)
def test_malformed_requests(
    rest: Any, method: str, path: str, raw: bytes | None, status: int, error: str
) -> None:
    answer = rest(method, path, raw=raw)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"].startswith(error)


def test_a_path_without_json(rest: Any) -> None:
    answer = requests.put(f"{rest.base}/books/a", data="1", timeout=60)
    assert answer.status_code == 404
    assert "append .json" in answer.json()["error"]


@pytest.mark.parametrize(
    "key", ["a b", "100%", "50%25", "é✓", "a+b", "k" * 700, "..".replace(".", "-")]
)
def test_odd_keys_travel(rest: Any, key: str) -> None:
    rest("PUT", "/books/" + quote(key, safe=""), {"n": key}).raise_for_status()
    assert rest.get("/books") == {key: {"n": key}}


def test_numbers_and_server_values(rest: Any) -> None:
    rest("PUT", "/n", 5)
    assert rest("PUT", "/n", {".sv": {"increment": 2.5}}).json() == 7.5
    before = time.time() * 1000 - 5
    at = rest("PUT", "/at", {".sv": "timestamp"}).json()
    assert before <= at <= time.time() * 1000 + 5
    assert rest.get("/at") == at
    assert rest("PATCH", "/", {"n": {".sv": {"increment": 1}}}).json() == {"n": 8.5}


def test_priorities(rest: Any) -> None:
    rest.put("/p", {"a": {".value": 1, ".priority": 2}, "b": {".value": 2, ".priority": 1}})
    assert rest.get("/p") == {"a": 1, "b": 2}
    assert rest.get("/p", orderBy='"$priority"', limitToFirst="1") == {"b": 2}
    assert rest.get("/p", format="export")["a"] == {".value": 1, ".priority": 2}
    rest.put("/p/a/.priority", 0)
    assert rest.get("/p", orderBy='"$priority"', limitToFirst="1") == {"a": 1}
    rest("DELETE", "/p/a/.priority")
    assert rest.get("/p/a", format="export") == 1


@pytest.mark.parametrize(
    ("headers", "params", "error"),
    [
        ({"Authorization": "Bearer nobody"}, {}, "Unauthorized request."),
        ({"Authorization": "Basic owner"}, {}, "Unauthorized request."),
        ({}, {"access_token": "nobody"}, "Unauthorized request."),
        ({}, {"auth": "garbage"}, "Could not parse auth token."),
        ({}, {"auth": "a.b.c"}, "Could not parse auth token."),
        ({}, {"auth": client_token("u", expires=1)}, "Auth token is expired"),
    ],
)
def test_bad_credentials(
    rest: Any, headers: dict[str, str], params: dict[str, str], error: str
) -> None:
    answer = rest("GET", "/a", headers=headers, **params)
    assert (answer.status_code, answer.json()) == (401, {"error": error})


def test_browsers_of_other_origins_may_ask(rest: Any) -> None:
    preflight = requests.options(f"{rest.base}/a.json", headers={"Origin": "http://x"}, timeout=60)
    assert preflight.status_code == 200
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    assert rest("GET", "/a").headers["Access-Control-Allow-Origin"] == "*"
