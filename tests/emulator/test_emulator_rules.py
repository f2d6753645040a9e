from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from narrator_daemon.emulator import InvalidRulesError, LocalFirebase, client_token
from narrator_daemon.emulator.database.caller import Caller
from narrator_daemon.emulator.database.rules import Rules

OWNER = {"Authorization": "Bearer owner"}
NOBODY = Caller()


def holds(expression: str, root: Any = None, auth: Any = None, now: int = 1000) -> bool:
    """Whether a rule on /books/$id lets book ``b`` be read."""
    rules = Rules(json.dumps({"rules": {"books": {"$id": {".read": expression}}}}))
    return rules.may_read(Caller(auth=auth), root, ("books", "b"), now)


ROOT = {"books": {"b": {"s": "text", "n": 5, "t": True, "o": {"x": 1}}}, "flag": True}


@pytest.mark.parametrize(
    "expression",
    [
        "true",
        "!false",
        "data.exists() && data.child('s').isString() && data.child('n').isNumber()",
        "data.child('t').isBoolean() && data.child('t').val() == true",
        "data.hasChild('o/x') && data.hasChildren() && data.hasChildren(['s', 'n'])",
        "!data.hasChildren(['s', 'missing'])",
        "!data.child('missing').exists() && data.child('missing').val() === null",
        "data.parent().child('b').child('n').val() == 5",
        "root.child('flag').val() === true",
        "$id == 'b' && $id.length === 1",
        "now === 1000 && now + 1 > 1000 && now - 1 >= 999 && -now < 0",
        "data.child('n').val() * 2 / 5 % 2 === 0",
        "data.child('n').val() > 3 ? true : false",
        "auth === null && auth.uid === null",
        "'abc'.contains('b') && 'abc'.beginsWith('a') && 'abc'.endsWith('c')",
        "'aXa'.replace('X', 'b').toUpperCase().toLowerCase() == 'aba'",
        "'a' + 1 === 'a1'",
        "'2026-11-22'.matches(/^\\d{4}-[0-9]+-(\\d\\d)$/) && !'x\\n'.matches(/^x$/)",
        "'ABC'.matches(/b/i) && '/a/'.matches(/^\\/a\\/$/)",
        "false || true && true",
        "'it\\'s' == \"it's\"",
        "query.orderByKey === true",
        "data.child('o').val() !== null && data.getPriority() === null",
    ],
)
def test_what_is_true(expression: str) -> None:
    assert holds(expression, ROOT)


@pytest.mark.parametrize(
    "expression",
    [
        "data.child('missing').val() < 5",
        "data.child('s').val() > 3",
        "data.child('n').val() === '5'",
        "data.child('t').val() === 1",
        "data.child('n').val().length > 0",
        "data.child('n').val() / 0 > 1",
        "auth.uid === $id",
        "root.parent().exists()",
        "auth == null && auth.x > 1",
    ],
)
def test_what_is_false_or_fails(expression: str) -> None:
    assert not holds(expression, ROOT)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("nobody.uid", "Unknown variable 'nobody'"),
        ("data.foo()", "No such method/property 'foo'"),
        ("data.child()", "'child' takes 1 argument(s), but got 0"),
        ("1 +", "Unexpected 'end of the rule'"),
        ("(true", "Unexpected"),
        ("true true", "Unexpected 'true' at character 6"),
        ("'a'.matches('a')", "must be a regular expression"),
        ("'a'.matches(/(/)", "Invalid regular expression"),
        ("a = 1", "Unexpected"),
        ("true @", "Unexpected '@'"),
    ],
)
def test_rules_that_cannot_be_used(expression: str, message: str) -> None:
    with pytest.raises(InvalidRulesError, match=r"^/books/\$id: '.read': ") as caught:
        holds(expression)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "[]",
        '{"rules": 1}',
        '{"rules": {".red": true}}',
        '{"rules": {".read": 1}}',
        '{"rules": {".indexOn": 1}}',
        '{"rules": {"$a": {}, "$b": {}}}',
        '{"rules": {"$a": {"$a": {}}}}',
    ],
)
def test_files_that_are_no_rules(source: str) -> None:
    with pytest.raises(InvalidRulesError):
        Rules(source)


def test_comments_are_allowed() -> None:
    rules = Rules('{ // open\n"rules": {/* "x" */ ".read": "\'//\' == \'//\'"}}')
    assert rules.may_read(NOBODY, None, (), 0)


def test_read_and_write_cascade_and_validate_does_not() -> None:
    rules = Rules(
        """{"rules": {
          "open": {".read": true, ".write": true, "shut": {".read": false, ".write": false}},
          "checked": {".write": true,
            "a": {".validate": "newData.isNumber()", "deep": {".validate": false}},
            "$other": {".validate": "newData.hasChildren(['x'])",
              "z": {"bad": {".validate": false}}}}
        }}"""
    )
    assert rules.may_read(NOBODY, None, ("open", "shut"), 0)
    assert not rules.may_read(NOBODY, None, (), 0)

    def may(path: str, value: Any, root: Any = None) -> bool:
        return rules.may_write(NOBODY, root, [(tuple(path.split("/")), value)], 0)

    assert may("open/shut", 1)
    assert not may("elsewhere", 1)
    assert may("checked/a", 1)
    assert not may("checked/a", "text")
    assert not may("checked", {"a": "text"})
    assert may("checked", {"a": 1, "b": {"x": 1}})
    assert not may("checked", {"a": 1, "b": {"y": 1}})
    assert not may("checked/b/y", 1)
    assert not may("checked", {"b": {"x": 1, "z": {"bad": 1}}})
    assert may("checked", {"b": {"x": 1, "z": {"good": 1}}})
    assert may("checked/b/y", 1, {"checked": {"b": {"x": 1}}})
    assert not may("checked/b/x", None, {"checked": {"b": {"x": 1, "y": 1}}})
    assert may("checked/b", None, {"checked": {"b": {"x": 1}}})
    assert may("checked/a", None, {"checked": {"a": 1}})


def test_an_update_is_judged_as_a_whole() -> None:
    rules = Rules(
        """{"rules": {"a": {".write": true, ".validate":
             "newData.val() === newData.parent().child('b').val()"}, "b": {".write": true}}}"""
    )
    assert rules.may_write(NOBODY, None, [(("a",), 1), (("b",), 1)], 0)
    assert not rules.may_write(NOBODY, None, [(("a",), 1), (("b",), 2)], 0)
    assert not rules.may_write(NOBODY, None, [(("b",), 1), (("c",), 1)], 0)


def test_a_rule_can_ask_for_a_filter(rest: Any) -> None:
    rules = {
        "rules": {
            "books": {
                ".read": "query.orderByChild == 'by' && query.equalTo == auth.uid",
                ".indexOn": "by",
            }
        }
    }
    rest("PUT", "/.settings/rules", rules, headers=OWNER).raise_for_status()
    token = client_token("me")
    assert rest("GET", "/books", auth=token).status_code == 401
    assert rest("GET", "/books", auth=token, orderBy='"by"', equalTo='"you"').status_code == 401
    assert rest("GET", "/books", auth=token, orderBy='"by"', equalTo='"me"').status_code == 200


def test_rules_over_rest(rest: Any) -> None:
    url = f"{rest.base}/.settings/rules.json"
    assert requests.get(url, timeout=60).status_code == 401
    source = '{"rules": {".read": "auth.uid === \'me\'"}} // ours'
    put = requests.put(url, data=source, headers=OWNER, timeout=60)
    assert put.json() == {"status": "ok"}
    assert requests.get(url, headers=OWNER, timeout=60).text == source
    bad = requests.put(url, data='{"rules": {".read": "x"}}', headers=OWNER, timeout=60)
    assert bad.status_code == 400
    assert "Unknown variable 'x'" in bad.json()["error"]
    assert requests.get(url, headers=OWNER, timeout=60).text == source
    denied = rest("GET", "/a")
    assert (denied.status_code, denied.json()) == (401, {"error": "Permission denied"})
    assert rest("PUT", "/a", 1, auth=client_token("me")).json() == {"error": "Permission denied"}
    assert rest("GET", "/a", auth=client_token("me")).status_code == 200
    override = '{"uid": "me"}'
    assert rest("GET", "/a", headers=OWNER, auth_variable_override=override).status_code == 200
    assert rest("GET", "/a", headers=OWNER, auth_variable_override="null").status_code == 401


BOOK = {
    "narrative": "text",
    "narrativeAudioStatus": "processing",
    "narrativeAudioRequestedAt": 5,
    "narrativeAudioUrl": "http://x",
    "narrativeAudioClaim": {"token": "t", "attempt": 1, "lastError": {"code": "c"}},
    "narrativeAudioError": {"code": "c", "message": "m"},
}


@pytest.fixture(scope="module")
def contract_firebase() -> Iterator[LocalFirebase]:
    with LocalFirebase(storage=False) as firebase:
        yield firebase


@pytest.fixture
def client(contract_firebase: LocalFirebase) -> Any:
    """Sends a client's request under the default rules, on a book in work; gives the status."""
    contract_firebase.load("/", {"books": {"b": BOOK}, "narrationLeases": {"b": 1}})
    base = f"http://{contract_firebase.endpoints['database_host']}"

    def ask(method: str, path: str, body: Any = None) -> int:
        url = f"{base}{path}.json?auth={client_token('me')}"
        return requests.request(method, url, json=body, timeout=60).status_code

    return ask


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/books", None),
        ("PUT", "/books/b/narrativeAudioStatus", "requested"),
        ("DELETE", "/books/b/narrativeAudioStatus", None),
        ("PUT", "/books/b/narrative", "edited"),
        (
            "PATCH",
            "/books/b",
            {
                "narrativeAudioStatus": "requested",
                "narrativeAudioRequestedAt": {".sv": "timestamp"},
                "narrativeAudioRequestedBy": "me",
            },
        ),
        ("PUT", "/books/b", {**BOOK, "title": "T"}),
        ("DELETE", "/books/b", None),
        ("PUT", "/books/new", {"narrative": "text", "narrativeAudioStatus": "requested"}),
    ],
)
def test_what_the_contract_lets_a_browser_do(
    client: Any, method: str, path: str, body: Any
) -> None:
    assert client(method, path, body) == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/books/b/narrativeAudioStatus", "ready"),
        ("PUT", "/books/b/narrativeAudioStatus", {"x": 1}),
        ("PATCH", "/books/b", {"narrativeAudioRequestedAt": 6}),
        ("PATCH", "/books/b", {"narrativeAudioRequestedBy": "you"}),
        ("PUT", "/books/b/narrativeAudioUrl", "http://evil"),
        ("PUT", "/books/b/narrativeAudioUrl", {"x": 1}),
        ("DELETE", "/books/b/narrativeAudioUrl", None),
        ("PUT", "/books/b/narrativeAudioDuration", 1),
        ("PUT", "/books/b/narrativeAudioClaim/token", "mine"),
        ("DELETE", "/books/b/narrativeAudioClaim", None),
        ("DELETE", "/books/b/narrativeAudioClaim/attempt", None),
        ("PUT", "/books/b/narrativeAudioClaim/extra", 1),
        ("PUT", "/books/b/narrativeAudioClaim/lastError/code", "x"),
        ("DELETE", "/books/b/narrativeAudioError", None),
        ("PUT", "/books/b/narrativeAudioError/message", "x"),
        ("PUT", "/books/b/narrativeAudioFree", 1),
        ("PUT", "/books/b", {"narrative": "text"}),
        ("PUT", "/books/new", {"narrativeAudioClaim": {"token": "mine"}}),
        ("PUT", "/books/new", {"narrativeAudioClaim": "mine"}),
        ("PUT", "/books/new", {"narrativeAudioStatus": "ready"}),
        ("DELETE", "/books", None),
        ("GET", "/", None),
        ("GET", "/narrationLeases", None),
        ("PUT", "/narrationLeases/b", 2),
        ("PUT", "/narrationJobs/b", 2),
    ],
)
def test_what_the_contract_keeps_from_a_browser(
    client: Any, method: str, path: str, body: Any
) -> None:
    assert client(method, path, body) == 401


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"rules": {".read": 7}}')
    with pytest.raises(InvalidRulesError, match=r"mine\.json: /: '\.read' must be a boolean"):
        LocalFirebase(rules=tmp_path / "mine.json")
