"""Firebase's API of Cloud Storage, as the SDKs of clients ask it, and the rules that it asks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from narrator_daemon.emulator import EmulatorError, LocalFirebase, client_token
from narrator_daemon.emulator.database.caller import Caller
from narrator_daemon.emulator.storage.objects import Metadata, StoredObject
from narrator_daemon.emulator.storage.rules import Proposed, StorageRules, default_rules
from narrator_daemon.emulator.storage.rules_language import StorageRulesError

ME = {"Authorization": f"Firebase {client_token('me')}"}
OWNER = {"Authorization": "Bearer owner"}
RULES = """
rules_version = '2';
service firebase.storage {
  match /b/{bucket}/o {
    match /public/{name=**} { allow read, write; }
    match /users/{uid}/{name=**} {
      allow get, list: if request.auth != null;
      allow create: if request.auth.uid == uid && request.resource.size < 10
                    && request.resource.contentType.matches('audio/.*');
      allow update: if request.auth.uid == uid && resource.metadata.locked != 'yes';
      allow delete: if false;
    }
  }
}
"""


@pytest.fixture(scope="module")
def running() -> Iterator[LocalFirebase]:
    with LocalFirebase(storage_rules=RULES) as firebase:
        yield firebase


class Files:
    """Requests of a client about the files of one bucket."""

    def __init__(self, firebase: LocalFirebase) -> None:
        self.root = firebase.endpoints["storage_url"]
        self.base = f"{self.root}/v0/b/{firebase.endpoints['bucket']}/o"

    def __call__(self, method: str, name: str = "", **options: Any) -> requests.Response:
        url = f"{self.base}/{quote(name, safe='')}" if name else self.base
        return requests.request(method, url, timeout=60, **options)

    def upload(self, name: str, content: bytes = b"x", **headers: str) -> requests.Response:
        return self("POST", params={"name": name}, data=content, headers=headers)


@pytest.fixture
def files(running: LocalFirebase) -> Files:
    files = Files(running)
    requests.post(f"{files.root}/internal/reset", timeout=60).raise_for_status()
    return files


def test_a_file_its_url_and_its_list(files: Files) -> None:
    about = files.upload("public/ü b.wav", b"sound", **{"Content-Type": "audio/wav"}).json()
    assert (about["name"], about["size"], about["contentType"]) == (
        "public/ü b.wav",
        "5",
        "audio/wav",
    )
    token = about["downloadTokens"]
    url = f"{files.base}/{quote('public/ü b.wav', safe='')}?alt=media&token={token}"
    got = requests.get(url, headers={"Range": "bytes=1-2"}, timeout=60)
    assert (got.status_code, got.content) == (206, b"ou")
    assert got.headers["Content-Disposition"] == "inline; filename*=utf-8''%C3%BC%20b.wav"
    files.upload("public/d/x")
    files.upload("public//empty")
    listed = files("GET", params={"prefix": "public/", "delimiter": "/"}).json()
    assert [item["name"] for item in listed["items"]] == ["public/ü b.wav"]
    assert listed["prefixes"] == ["public/d/"]
    assert files("GET", params={"prefix": "public"}).status_code == 400


def test_metadata_of_a_client_leaves_the_tokens_alone(files: Files) -> None:
    token = files.upload("public/a").json()["downloadTokens"]
    body = {"metadata": {"k": "v", "gone": None}, "cacheControl": "no-store"}
    changed = files("PATCH", "public/a", json=body).json()
    assert (changed["metadata"], changed["cacheControl"]) == ({"k": "v"}, "no-store")
    assert (changed["downloadTokens"], changed["metageneration"]) == (token, "2")
    override = {"X-HTTP-Method-Override": "PATCH"}
    assert (
        "metadata"
        not in files("POST", "public/a", json={"metadata": None}, headers=override).json()
    )
    assert files("DELETE", "public/a").status_code == 204
    assert files("DELETE", "public/a").status_code == 404
    assert files("PATCH", "public/a", json={}).status_code == 404


def test_who_may_do_what_is_up_to_the_rules(files: Files) -> None:
    name, audio = "users/me/a.wav", {"Content-Type": "audio/wav"}
    assert files.upload(name, **audio).status_code == 403
    assert files.upload(name, b"x" * 11, **audio, **ME).status_code == 403
    assert files.upload(name, **{"Content-Type": "text/plain"}, **ME).status_code == 403
    assert files.upload("users/you/a.wav", **audio, **ME).status_code == 403
    assert files.upload(name, **audio, **ME).status_code == 200
    assert files("GET", name).status_code == 403
    assert files("GET", name, headers=ME).status_code == 200
    assert files("GET", params={"prefix": "users/me/"}).status_code == 403
    assert files("GET", params={"prefix": "users/me/"}, headers=ME).status_code == 200
    assert files("DELETE", name, headers=ME).status_code == 403
    lock = {"metadata": {"locked": "yes"}}
    # Nobody has said yet whether it is locked, and what is not there is an error.
    assert files("PATCH", name, json=lock, headers=ME).status_code == 403
    assert files("PATCH", name, json=lock, headers=OWNER).status_code == 200
    assert files("PATCH", name, json={}, headers=ME).status_code == 403
    assert files("DELETE", name, headers=OWNER).status_code == 204


def test_credentials_that_are_none(files: Files) -> None:
    for wrong in ("Firebase garbage", f"Firebase {client_token('u', expires=1)}"):
        assert files("GET", "public/a", headers={"Authorization": wrong}).status_code == 401
    for nobody in ("Bearer somebody", "Basic x"):
        header = {"Authorization": nobody}
        assert files("GET", "users/me/a", headers=header).status_code == 403


def test_tokens_are_the_owners(files: Files) -> None:
    first = files.upload("public/a").json()["downloadTokens"]
    assert files("POST", "public/a", params={"create_token": "true"}).status_code == 403
    both = files("POST", "public/a", params={"create_token": "true"}, headers=OWNER).json()
    assert len(both["downloadTokens"].split(",")) == 2
    one = files("POST", "public/a", params={"delete_token": first}, headers=OWNER).json()
    assert first not in one["downloadTokens"]
    last = {"delete_token": one["downloadTokens"]}
    fresh = files("POST", "public/a", params=last, headers=OWNER).json()["downloadTokens"]
    assert fresh not in ("", one["downloadTokens"])
    answer = files("POST", "public/none", params={"create_token": "true"}, headers=OWNER)
    assert answer.status_code == 404


def begin(files: Files, name: str, **headers: str) -> tuple[str, requests.Response]:
    start = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start", **headers}
    answer = files("POST", params={"name": name}, headers=start, json={"contentType": "audio/wav"})
    return answer.headers.get("X-Goog-Upload-URL", ""), answer


def command(url: str, what: str, data: bytes = b"", **headers: str) -> tuple[int, str]:
    answer = requests.post(
        url, data=data, headers={"X-Goog-Upload-Command": what, **headers}, timeout=60
    )
    return answer.status_code, answer.headers.get("X-Goog-Upload-Status", "")


def test_an_upload_in_chunks(files: Files) -> None:
    url, _ = begin(files, "public/a")
    assert command(url, "upload", b"abc", **{"X-Goog-Upload-Offset": "0"}) == (200, "active")
    query = requests.post(url, headers={"X-Goog-Upload-Command": "query"}, timeout=60)
    assert query.headers["X-Goog-Upload-Size-Received"] == "3"
    assert command(url, "upload", b"f", **{"X-Goog-Upload-Offset": "9"})[0] == 400
    last = {"X-Goog-Upload-Offset": "2"}
    assert command(url, "upload, finalize", b"cde", **last) == (200, "final")
    assert command(url, "finalize") == (200, "final")
    assert command(url, "cancel")[0] == command(url, "upload", b"x")[0] == 400
    got = files("GET", "public/a", params={"alt": "media"})
    assert (got.content, got.headers["Content-Type"]) == (b"abcde", "audio/wav")


def test_an_upload_in_chunks_that_the_rules_refuse(files: Files) -> None:
    # The rules are asked when all is there, as who began: later requests carry no credential.
    url, _ = begin(files, "users/me/a", **ME)
    assert command(url, "upload, finalize", b"abc") == (200, "final")
    url, _ = begin(files, "users/me/b")
    assert command(url, "upload, finalize", b"abc") == (403, "final")
    assert command(url, "finalize") == (403, "final")


def test_an_upload_in_chunks_that_is_called_off(files: Files) -> None:
    url, _ = begin(files, "public/a")
    assert command(url, "cancel") == command(url, "cancel") == (200, "cancelled")
    assert command(url, "query") == (200, "cancelled")
    assert command(url, "finalize")[0] == command(url, "dance")[0] == 400
    assert command(url.replace("upload_id=", "upload_id=x"), "query")[0] == 404
    assert begin(files, "")[1].status_code == 400


def test_rules_may_be_set_while_it_runs() -> None:
    with LocalFirebase(storage_rules=RULES) as firebase:
        files = Files(firebase)
        closed = RULES.replace("allow read, write;", "allow read, write: if false;")

        def change(text: object) -> requests.Response:
            body = {"rules": {"files": [{"name": "storage.rules", "content": text}]}}
            return requests.put(f"{files.root}/internal/setRules", json=body, timeout=60)

        assert files.upload("public/a").status_code == 200
        assert change(closed).status_code == 200
        assert files.upload("public/a").status_code == 403
        refused = change("banana")
        assert (refused.status_code, "Line 1" in refused.json()["message"]) == (400, True)
        assert (
            requests.put(f"{files.root}/internal/setRules", json={}, timeout=60).status_code == 400
        )


def test_a_rules_file_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "bad.rules").write_text("service cloud.firestore {}")
    for file in ("bad.rules", "none.rules"):
        with pytest.raises(EmulatorError, match=file):
            LocalFirebase(storage_rules=tmp_path / file)


OBJECT = StoredObject(
    "b", "a", Metadata({"contentType": "audio/wav"}, {"k": "v"}), 5, "m", "c", 7, 2, 0.0, 1.0
)
WRITE = Proposed(Metadata({"contentType": "image/png"}, {"n": "1"}), 100, "m", "c")


def judged(condition: str, functions: str = "", auth: Any = None, **more: Any) -> bool:
    source = (
        "rules_version = '2'; service firebase.storage { match /b/{bucket}/o { "
        f"{functions} match /d/{{name}} {{ allow create: if {condition}; }} }} }}"
    )
    caller = Caller(auth=auth)
    about = {"stored": OBJECT, "proposed": WRITE, "now": 86_400.0, **more}
    return StorageRules(source).allows("create", caller, "bkt", "d/x.wav", **about)


HOLDING = [
    "true", "!false && (false || true)", "1 + 2 * 3 == 7 && 7 / 2 == 3 && -7 % 3 == -1",
    "1.5 > 1 && 2.0 == 2 && 7.0 / 2 == 3.5", "'a' + 'b' == 'ab' && 'a' < 'b'",
    "name == 'x.wav' && bucket == 'bkt'", "name.matches('.*\\\\.wav')", "!name.matches('wav')",
    "name.size() == 5 && name.upper() == 'X.WAV' && name.split('[.]')[1] == 'wav'",
    "name.replace('[.]', '-') == 'x-wav' && ' a '.trim() == 'a'",
    "request.auth == null && request.method == 'create'",
    "request.resource.size == 100 && request.resource.contentType == 'image/png'",
    "request.resource.metadata.n == '1' && request.resource.name == 'd/x.wav'",
    "resource.metadata['k'] == 'v' && resource.generation == 7 && resource.size < 6",
    "'k' in resource.metadata && !('z' in resource.metadata)",
    "resource.contentType in ['audio/wav', 'audio/mpeg']",
    "resource.metadata.keys().hasOnly(['k']) && resource.metadata.get('z', 3) == 3",
    "[1, 2].hasAll([1]) && [1, 2].hasAny([2, 5]) && [1, 2].hasOnly([1, 2, 3])",
    "[1, 2].concat([3]).size() == 3 && ['a', 'b'].join('-') == 'a-b'",
    "[1, 2].toSet() == [2, 1].toSet() && [1].toSet().union([2].toSet()).size() == 2",
    "request.time.year() == 1970 && request.time == timestamp.date(1970, 1, 2)",
    "request.time < resource.timeCreated + duration.value(2, 'd')",
    "request.time - resource.updated > duration.value(1, 'h')",
    "'1' is string && 1 is int && 1.5 is float && 1 is number && !(null is map)",
    "[1] is list && {'a': 1} is map && {'a': 1}.a == 1 && true is bool && request.path is path",
    "int('5') == 5 && float('1.5') == 1.5 && string(5) == '5' && math.abs(-3) == 3",
    "false ? false : true", "request.auth.uid == 'x' || true",
    "!(request.auth.uid == 'x' && false)",
    "string(request.path) == '/b/bkt/o/d/x.wav' && request.path[3] == 'd'",
    "debug(1) == 1 // and a remark\n && /* another */ true",
]  # fmt: skip


@pytest.mark.parametrize("condition", HOLDING)
def test_conditions_that_hold(condition: str) -> None:
    assert judged(condition)


NOT_HOLDING = [
    "false", "1", "'true'", "null", "request.auth.uid == 'x'", "!request.auth", "1 < 'a'",
    "1 / 0 == 1",
    "resource.nothing == null", "resource.metadata.z == '1'", "[1][5] == 1", "name[9] == 'a'",
    "'a' + 1 == 'a1'", "name.matches('(')", "name.matches('(?=x)x.*')", "1 in 5", "-'a' == 1",
    "[1].size(2) == 1", "int('x') == 1", "request.auth.uid == 'x' && true", "(1 / 0 == 1) || false",
    "duration.value(1, 'parsec') == request.time", "timestamp.date(1, 99, 1) == request.time",
    "{'a': 1}.b == 1", "true ? 1 : true", "[true].hasAll(5)",
]  # fmt: skip


@pytest.mark.parametrize("condition", NOT_HOLDING)
def test_conditions_that_do_not(condition: str) -> None:
    assert not judged(condition)


def test_functions() -> None:
    functions = """
      function mine(uid) {
        let known = request.auth != null;
        return known && request.auth.uid == uid;
      }
      function big() { return request.resource.size > limit(50); }
      function limit(n) { return n + 10; }
      function again(n) { return again(n); }
    """
    assert judged("mine('me') && big()", functions, auth={"uid": "me"})
    assert not judged("mine('you')", functions, auth={"uid": "me"})
    assert not judged("again(1)", functions)
    assert not judged("mine()", functions)


def test_which_match_is_asked() -> None:
    def may(body: str, name: str, method: str = "get", version: str = "2") -> bool:
        source = f"rules_version='{version}'; service firebase.storage {{ {body} }}"
        return StorageRules(source).allows(method, Caller(), "bkt", name, None, None, 0.0)

    assert may("match /b/{x}/o { match /{p=**} { allow read; } }", "a/b/c")
    assert may("match /b/{x}/o/a/{p=**} { allow get; }", "a", version="2")
    assert not may("match /b/{x}/o/a/{p=**} { allow get; }", "a", version="1")
    assert not may("match /b/{x}/o { match /{p} { allow read; } }", "a/b")
    assert not may("match /b/other/o { match /{p=**} { allow read; } }", "a")
    assert not may("match /b/{x}/o { match /a { allow write; } }", "a")
    assert may("match /b/{x}/o { match /a { allow write; } match /{p} { allow get; } }", "a")
    assert may("match /b/{x}/o { match /{p=**} { allow list; } }", "a/", "list")
    assert StorageRules(default_rules()).allows("get", Caller(admin=True), "b", "x", None, None, 0)
    for method, name in itertools.product(("get", "list", "create"), ("narrations/a", "other")):
        assert not StorageRules(default_rules()).allows(
            method, Caller(auth={"uid": "me"}), "b", name, None, None, 0.0
        )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "expected 'service'"),
        ("service cloud.firestore {}", "expected 'firebase'"),
        ("rules_version = '3'; service firebase.storage {}", "rules_version"),
        ("service firebase.storage {", "unexpected"),
        ("service firebase.storage { match {} }", "a match has a path"),
        ("service firebase.storage { match /{a=**}/b {} }", "only the last part"),
        ("service firebase.storage { match /a { allow fly; } }", "no method 'fly'"),
        ("service firebase.storage { match /a { allow get: true; } }", "expected 'if'"),
        ("service firebase.storage { match /a { allow get: if } }", "expected"),
        ("service firebase.storage { match /a { allow get: if nobody; } }", "'nobody'"),
        ("service firebase.storage { match /a { allow get: if f(); } }", "function 'f'"),
        ("service firebase.storage { match /a { allow get: if 'a'.fly(); } }", "method 'fly'"),
        ("service firebase.storage { match /a { allow get: if 1 is bird; } }", "type 'bird'"),
        (
            "service firebase.storage { match /a {\n allow get: if firestore.get(/x) != null; } }",
            "Line 2",
        ),
        ("service firebase.storage { match /a { allow get: if @; } }", "unexpected '@'"),
        ("service firebase.storage { match /a { allow get: if " + "(" * 5000, "nested too deeply"),
        ("service firebase.storage {} more", "unexpected 'more'"),
    ],
)
def test_rules_that_are_refused(source: str, said: str) -> None:
    with pytest.raises(StorageRulesError, match=said.replace("(", r"\(")):
        StorageRules(source)


def test_the_default_rules_are_those_to_deploy() -> None:
    deployed = Path(__file__).parents[2] / "deploy/firebase/storage.rules"
    assert default_rules() == deployed.read_text()


def test_time_is_the_servers() -> None:
    now = datetime(2030, 1, 2, tzinfo=UTC).timestamp()
    assert judged("request.time.year() == 2030 && request.time.day() == 2", now=now)
