"""An operator's word, from the command line to the fleet."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from narrator_daemon import cli
from narrator_daemon.commands import control, status
from narrator_daemon.commands.explain import _wait
from narrator_daemon.queue import demand
from narrator_daemon.settings import Settings
from tests.memory import SERVER_NOW, MemoryProject, refusal

WORKERS = {name: {"at": SERVER_NOW, "inWork": 1, "atOnce": 2} for name in ("w1", "w2")}
ASKED = {"narrative": "A", "narrativeAudioStatus": "requested"}


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> MemoryProject:
    made = MemoryProject({"b": ASKED})
    made.tree["narrationWorkers"] = {name: dict(entry) for name, entry in WORKERS.items()}
    monkeypatch.setattr(control, "Project", lambda _settings: nullcontext(made))
    for name in (
        "FIREBASE_DATABASE_EMULATOR_HOST=127.0.0.1:1",
        "STORAGE_EMULATOR_HOST=http://127.0.0.1:2",
    ):
        monkeypatch.setenv(*name.split("="))
    return made


def say(*words: str) -> Result:
    return CliRunner().invoke(cli.app, ["control", *words])


def node(project: MemoryProject) -> Any:
    return project.tree.get("narrationControl")


def test_pause_and_resume_of_the_fleet(project: MemoryProject) -> None:
    done = say("pause", "--why", "a new\nGPU")
    assert done.exit_code == 0, done.output
    assert done.output == "the fleet: paused by an operator, with the whole fleet: a new GPU\n"
    assert node(project) == {"fleet": {"state": "paused", "why": "a new GPU", "at": SERVER_NOW}}
    assert say("resume").output == "the fleet: claims books\n"
    assert node(project) is None


def test_one_worker_drains_and_the_others_do_not(project: MemoryProject) -> None:
    assert say("drain", "--worker", "w1").exit_code == 0
    assert node(project) == {"workers": {"w1": {"state": "draining", "at": SERVER_NOW}}}
    shown = json.loads(say("show", "--json").output)
    assert shown["fleet"]["state"] == "running"
    assert shown["workers"]["w1"]["state"] == "draining"
    assert "w1: draining by an operator" in say("show").output


def test_books_at_once_and_back(project: MemoryProject) -> None:
    assert "3 books at once" in say("books", "3").output
    assert say("books", "1", "--worker", "w2").exit_code == 0
    assert node(project) == {"fleet": {"booksAtOnce": 3}, "workers": {"w2": {"booksAtOnce": 1}}}
    say("books", "0")
    say("books", "0", "--worker", "w2")
    assert node(project) is None
    assert say("books", "65").exit_code == 2


def test_a_worker_that_nobody_has_seen_is_not_told(project: MemoryProject) -> None:
    said = say("pause", "--worker", "w3")
    assert said.exit_code == 2 and "w1, w2" in said.stderr.replace("\n", " ")
    assert node(project) is None


def test_a_worker_of_a_paused_fleet_does_not_resume_alone(project: MemoryProject) -> None:
    say("pause")
    said = say("resume", "--worker", "w1")
    assert said.exit_code == 1 and "the whole fleet is paused" in said.stderr


def test_what_is_ignored_is_said(project: MemoryProject) -> None:
    project.tree["narrationControl"] = {"fleet": {"state": "off"}}
    said = say("show")
    assert "the fleet: claims books" in said.output
    assert "narrationControl/fleet/state" in said.stderr


def read(project: MemoryProject, **told: Any) -> status.Fleet:
    project.tree["narrationControl"] = told
    given: Any = project
    return status.read(given, 45.0, 0)


def test_status_says_what_holds_books_up(project: MemoryProject) -> None:
    fleet = read(project, fleet={"state": "paused", "why": "night"})
    assert fleet.queue.reasons == {"operator": 1}
    assert fleet.control.told() == "paused by an operator, with the whole fleet: night"
    json.dumps(fleet.as_record())
    one = {"w1": {"state": "paused"}}
    assert read(project, workers=one).queue.reasons == {"no_room": 1}
    both = {**one, "w2": {"state": "draining"}}
    assert read(project, workers=both).queue.reasons == {"operator": 1}


def test_explain_says_it_of_a_book(project: MemoryProject) -> None:
    project.tree["narrationControl"] = {"fleet": {"state": "paused"}}
    given: Any = project
    waits = _wait(Settings(), given, "b", ASKED)
    assert waits is not None and waits.reason == "operator"


def test_a_paused_fleet_has_no_work_for_an_autoscaler(project: MemoryProject) -> None:
    given: Any = project
    assert demand.read(given, limit=0).work == 1
    project.tree["narrationControl"] = {"fleet": {"state": "paused"}}
    assert (demand.read(given, limit=0).work, demand.read(given, limit=0).later) == (0, 1)


def test_rules_without_the_node_hold_nobody_up(project: MemoryProject) -> None:
    given: Any = project
    project.fail("get /narrationControl", refusal(401))
    assert demand.read(given, limit=0).work == 1
