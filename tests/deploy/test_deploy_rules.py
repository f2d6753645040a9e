from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from firebase_admin.exceptions import FirebaseError

from narrator_daemon import config
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.database import rules as engine
from narrator_daemon.emulator.database.rules import Rules
from narrator_daemon.errors import ConfigError
from narrator_daemon.firebase.project import Project
from tests.deploy.recording import ROOT, RULES, record
from tests.deploy.rules_table import ADMIN, DAEMON, DATABASE, NOBODY, READER, Request, table


@pytest.fixture(scope="module")
def rules() -> Rules:
    return Rules(RULES.read_text())


def test_both_files_are_what_their_source_makes() -> None:
    check = [sys.executable, ROOT / "tools/make_rules.py", "--check"]
    assert subprocess.run(check, capture_output=True, text=True).stderr == ""


def test_the_table_holds(rules: Rules) -> None:
    rows = table()
    assert [row.name for row in rows if row.passes(rules) != row.allowed] == []
    assert not [name for name, count in Counter(row.name for row in rows).items() if count > 1]
    assert sum(row.allowed for row in rows) > 40 and sum(not row.allowed for row in rows) > 200


def _conditions(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, item in tree.items():
        if isinstance(item, dict):
            yield from _conditions(item, (*path, key))
        elif key in (".read", ".write", ".validate") and item is not True:
            yield (*path, key)


def _by_what_refuses(
    monkeypatch: pytest.MonkeyPatch, text: str, rows: list[Request]
) -> dict[str, list[Request]]:
    """For the text of each condition, the rows for which it did not hold."""
    compile_rule, no = engine.compile_rule, set()

    def watched(source: str, *args: Any, **more: Any) -> Any:
        compiled = compile_rule(source, *args, **more)

        def holds(scope: Any) -> Any:
            found = None
            try:
                found = compiled(scope)
            finally:
                if found is not True:
                    no.add(source)
            return found

        return holds

    with monkeypatch.context() as patch:
        patch.setattr(engine, "compile_rule", watched)
        rules = Rules(text)
    refused: dict[str, list[Request]] = {}
    for row in rows:
        no.clear()
        assert not row.passes(rules)
        for source in no:
            refused.setdefault(source, []).append(row)
    return refused


def test_each_condition_is_needed_by_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """With any one of them always true, something passes that must not."""
    # All but one of the conditions are what they were the time before.
    monkeypatch.setattr(engine, "compile_rule", cache(engine.compile_rule))
    bare = "\n".join(x for x in RULES.read_text().splitlines() if not x.startswith("//"))
    # One that never holds is an expression, too, so that it is seen to refuse.
    text = bare.replace(": false", ': "false"')
    refused = [row for row in table() if not row.allowed]
    refused_by = _by_what_refuses(monkeypatch, text, refused)
    unneeded = []
    for place in _conditions(json.loads(text)):
        tree = json.loads(text)
        room = tree
        for key in place[:-1]:
            room = room[key]
        # What others refuse, too, is refused all the same.
        source, room[place[-1]] = room[place[-1]], True
        loose = Rules(json.dumps(tree))
        if not any(row.passes(loose) for row in refused_by.get(source, [])):
            unneeded.append("/".join(place))
    assert not unneeded, "\n".join(unneeded)


def _with_the_public_catalogue() -> Rules:
    """The rules with the block that README.md beside them shows."""
    told = (RULES.parent / "README.md").read_text()
    (block,) = re.findall(r"```json\n(.*?)```", told, re.DOTALL)
    text = "\n".join(x for x in RULES.read_text().splitlines() if not x.startswith("//"))
    tree = json.loads(text)
    tree["rules"] |= json.loads("{" + block + "}")
    return Rules(json.dumps(tree))


@pytest.mark.parametrize(
    ("who", "path", "value", "allowed"),
    [
        (NOBODY, "catalogue", None, True),
        (NOBODY, "books", None, False),
        (NOBODY, "books/ready/narrativeAudioUrl", None, False),
        (NOBODY, "catalogue/ready/title", "x", False),
        (READER, "catalogue/ready/title", "x", False),
        (ADMIN, "catalogue/ready/title", "x", True),
        (ADMIN, "catalogue/ready", {"title": "x", "authors": {"a": True}}, True),
        (ADMIN, "catalogue/ready", {"title": "x", "narrative": "all of it"}, False),
        (ADMIN, "catalogue/ready/narrativeAudioUrl", "https://example.org/a.wav", False),
        (DAEMON, "catalogue/ready/title", "x", False),
    ],
)
def test_a_public_catalogue_shows_neither_texts_nor_urls(
    who: dict[str, Any] | None, path: str, value: Any, allowed: bool
) -> None:
    writes = None if value is None else {path: value}
    database = {**DATABASE, "catalogue": {"ready": {"title": "Emma"}}}
    asked = Request(path, who, database, allowed, writes=writes, read=path)
    assert asked.passes(_with_the_public_catalogue()) is allowed


def test_the_local_default_is_open_where_the_deployable_rules_are_closed(rules: Rules) -> None:
    reads = Request("reads", NOBODY, DATABASE, True, read="books")
    writes = Request("writes", NOBODY, DATABASE, True, writes={"books/plain/title": "x"})
    default = Rules((ROOT / "narrator_daemon/emulator/database/default.rules.json").read_text())
    for request in (reads, writes):
        assert request.passes(default) and not request.passes(rules)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Request]:
    return record(tmp_path_factory.mktemp("recorded"))


def test_a_daemon_with_least_privilege_does_all_its_work(recorded: list[Request]) -> None:
    assert [request.name for request in recorded if not request.allowed] == []
    assert {request.auth and request.auth["uid"] for request in recorded} == {"narrator-daemon"}
    written = {path.split("/")[0] for request in recorded for path in request.writes or ()}
    assert written == {
        "books",
        "narrationLeases",
        "narrationWorkers",
        "narrationJobs",
        "narrationMarks",
        "narrationMarksNext",
        "narrationLimits",
        "narrationRenewal",
        "narrationLookouts",
        "narrationRegister",
        "narrationFingerprints",
    }
    books = [
        value
        for request in recorded
        for path, value in (request.writes or {}).items()
        if path.startswith("books/") and isinstance(value, dict)
    ]
    for field in ("narrativeAudioFiles", "narrativeAudioPreview", "narrativeAudioRetake"):
        assert [book for book in books if field in book], field
    entries = [
        (path, value)
        for request in recorded
        for path, value in (request.writes or {}).items()
        if path.startswith("narrationRegister/")
    ]
    # Written, confirmed, and removed.
    assert {value and value.get("state", "published") for _, value in entries} == {
        "pending",
        "published",
        None,
    }
    assert any(
        value is None and path.startswith("narrationJobs/")
        for request in recorded
        for path, value in (request.writes or {}).items()
    )
    statuses = {
        value.get("narrativeAudioStatus")
        for request in recorded
        for path, value in (request.writes or {}).items()
        if path.startswith("books/") and isinstance(value, dict)
    }
    assert statuses == {"requested", "processing", "ready", "failed", None}


def test_a_fenced_daemon_is_kept_out_of_the_rest() -> None:
    with LocalFirebase(rules=RULES) as firebase:
        firebase.load("/books/emma", {"title": "Emma", "narrative": "Emma Woodhouse"})
        variables = firebase.environment() | {
            "NARRATOR_FIREBASE__DATABASE_AUTH_UID": "narrator-daemon"
        }
        with mock.patch.dict(os.environ, variables):
            project = Project(config.load(None))
            for keys, value in (
                (("books", "emma", "title"), "Other"),
                (("books", "emma"), None),
                (("books", "ghost"), {"narrativeAudioProgress": 1}),
                (("users", "ada"), {"admin": True}),
            ):
                node = project.reference(*keys)
                with pytest.raises(FirebaseError) as refused:
                    node.delete() if value is None else node.set(value)
                assert refused.value.http_response.status_code == 401
            assert project.reference("books", "emma", "title").get() == "Emma"
            project.close()


@pytest.mark.parametrize("uid", ["a b", 'x","admin":true,"y":"', "", "x" * 101])
def test_a_uid_that_cannot_be_one_is_refused(uid: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[firebase]\ndatabase_auth_uid = {json.dumps(uid)}\n")
    with pytest.raises(ConfigError, match="database_auth_uid"):
        config.load(file, {})
