"""Any number of databases: each of its own, under the same rules until it is given others."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from narrator_daemon.emulator import EmulatorError, LocalFirebase
from narrator_daemon.emulator.database import databases as module
from narrator_daemon.emulator.database.databases import Databases, UnknownDatabaseError, is_name
from narrator_daemon.emulator.database.rules import Rules
from narrator_daemon.emulator.serving import ExportFile, serve
from tests.emulator.conftest import OWNER, Rest
from tests.emulator.sdk_client import connect

OPEN = {"rules": {".read": True, ".write": True}}
CLOSED = {"rules": {".read": False, ".write": False}}


def test_each_name_is_a_database_of_its_own(rest: Any) -> None:
    rest("PUT", "/a", "here")
    rest("PUT", "/a", "there", ns="other")
    assert rest.get("/a") == rest.get("/a", ns="demo-books") == "here"
    # A host name has no case, and what an SDK adds to a project's name means the default.
    assert rest.get("/a", ns="OTHER") == "there"
    assert rest.get("/a", ns="demo-books-default-rtdb") == "here"
    assert rest.get("/a", ns="never-seen") is None


def test_a_listener_hears_its_own_database_alone(firebase: LocalFirebase, rest: Any) -> None:
    async def run() -> None:
        async with connect(firebase, ns="one") as one, connect(firebase, ns="two") as two:
            for client in (one, two):
                assert (await client.ask("q", p="/x", h=""))[0] == "ok"
            assert (await two.ask("p", p="/x", d="second"))[0] == "ok"
            assert (await one.ask("p", p="/x", d="first"))[0] == "ok"
            assert [push[1]["d"] for push in one.pushes] == ["first"]
            assert [push[1]["d"] for push in two.pushes] == ["second"]

    asyncio.run(run())


def test_rules_are_shared_until_a_database_is_given_its_own(rest: Any) -> None:
    rest("PUT", "/a", 1, ns="follower")
    rest("PUT", "/.settings/rules", OPEN, headers=OWNER, ns="leader").raise_for_status()
    rest("PUT", "/.settings/rules", CLOSED, headers=OWNER).raise_for_status()
    assert rest("GET", "/a", ns="follower").status_code == 401
    assert rest("GET", "/a", ns="made-afterwards").status_code == 401
    assert rest("GET", "/a", ns="leader").status_code == 200
    rest("PUT", "/.settings/rules", CLOSED, headers=OWNER, ns="leader").raise_for_status()
    assert rest("GET", "/a", ns="leader").status_code == 401


def test_rules_of_one_database_end_no_listener_of_another(rest: Any, listen: Any) -> None:
    here, there = listen("/x"), listen("/x", ns="elsewhere")
    assert here.next() == there.next() == ("put", {"path": "/", "data": None})
    rest("PUT", "/.settings/rules", CLOSED, headers=OWNER, ns="elsewhere").raise_for_status()
    assert there.next() == ("cancel", None)
    rest.put("/x", 1)
    assert here.next() == ("put", {"path": "/", "data": 1})


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b", "-a", "a-", "ü", "x" * 101, "\x00"])
def test_names_that_no_database_can_have(rest: Any, name: str) -> None:
    answer = rest("GET", "/a", ns=name)
    assert (answer.status_code, "can be called" in answer.json()["error"]) == (404, True)
    assert not is_name(name)


def test_there_are_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DATABASES", 2)
    databases = Databases("first", Rules(json.dumps(OPEN)), None, lambda _: None)
    databases.named("second")
    with pytest.raises(UnknownDatabaseError, match="no more"):
        databases.named("third")
    assert list(databases) == ["first", "second"]


def test_every_database_is_kept_between_runs(tmp_path: Path) -> None:
    for run in (1, 2):
        with LocalFirebase(storage=False, rules=OPEN, data=tmp_path) as firebase:
            rest = Rest(firebase.endpoints["database_host"])
            for name in ("demo-books", "other"):
                if run == 1:
                    rest("PUT", "/a", name, ns=name)
                assert rest.get("/a", ns=name) == name
            # Asked, but not written to.
            assert rest.get("/a", ns="empty") is None
    assert json.loads((tmp_path / "databases/other/database.json").read_text()) == {"a": "other"}
    assert not (tmp_path / "databases/empty").exists()


def test_loading_and_exporting_say_which(tmp_path: Path) -> None:
    with LocalFirebase(storage=False, rules=OPEN) as firebase:
        firebase.load("/a", 1)
        firebase.load("/a", 2, "other")
        firebase.export(tmp_path / "other.json", "other")
        with pytest.raises(UnknownDatabaseError):
            firebase.load("/a", 1, "no name")
    firebase.export(tmp_path / "default.json")
    assert json.loads((tmp_path / "other.json").read_text()) == {"a": 2}
    assert json.loads((tmp_path / "default.json").read_text()) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "namespace", "file"),
    [
        ("a.json", None, "a.json"),
        ("other=a.json", "other", "a.json"),
        ("./x=y.json", None, "./x=y.json"),
        ("UP=a.json", None, "UP=a.json"),
        ("other=/b/c=d.json", "other", "/b/c=d.json"),
    ],
)
def test_how_the_command_line_names_an_export(text: str, namespace: str | None, file: str) -> None:
    assert ExportFile.parse(text) == ExportFile(namespace, Path(file))


def test_an_export_that_cannot_be_written_is_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    with pytest.raises(EmulatorError, match="not a file in a folder that exists"):
        serve(export_to=[f"other={tmp_path}/none/x.json"])
