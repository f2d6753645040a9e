"""Two catalogues in one database share nothing but the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from narrator_daemon import config
from narrator_daemon.catalogue import CATALOGUES, OWN_NODES
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.leases import Leases
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.errors import ConfigError
from narrator_daemon.firebase.project import Project, beside
from narrator_daemon.marks import allotment, ledger
from narrator_daemon.queue import requesters
from tests.actors import Frontend, Inside, wait_until

TEXT = "A text of a few words."
OTHER = "library/titles"
NODE = "library%2Ftitles"


@pytest.fixture
def firebase() -> Iterator[LocalFirebase]:
    """With the index of both."""
    index = {".indexOn": ["narrativeAudioStatus", "narrativeAudioUrlExpiresAt"]}
    rules = {"rules": {".read": True, ".write": True, "books": index, "library": {"titles": index}}}
    with LocalFirebase(rules=rules, keep_alive_seconds=1.0) as running:
        yield running


@pytest.fixture
def projects(firebase: LocalFirebase) -> Iterator[tuple[Project, Project]]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in firebase.environment().items():
            patch.setenv(name, value)
        with Project(config.load(None)) as one:
            patch.setenv("NARRATOR_BOOKS__PATH", OTHER)
            with Project(config.load(None)) as other:
                yield one, other


@pytest.mark.parametrize(
    ("path", "node"),
    [
        ("books", ()),
        ("library/titles", (CATALOGUES, NODE)),
        ("library%2Ftitles", (CATALOGUES, "library%252Ftitles")),
        ("books/old", (CATALOGUES, "books%2Fold")),
        ("Books", (CATALOGUES, "Books")),
    ],
)
def test_each_has_a_node_of_its_own(path: str, node: tuple[str, ...]) -> None:
    assert beside(path) == node


@pytest.mark.parametrize("path", ["/library//titles/", "library/titles", "//library/titles"])
def test_a_path_has_one_spelling(path: str) -> None:
    assert config.load(None, {"NARRATOR_BOOKS__PATH": path}).books.path == OTHER


@pytest.mark.parametrize("path", [*sorted(OWN_NODES), f"{CATALOGUES}/x", "é/" * 200])
def test_no_catalogue_lies_among_the_daemon_s_own_nodes_or_has_too_long_a_path(path: str) -> None:
    with pytest.raises(ConfigError, match="BOOKS__PATH"):
        config.load(None, {"NARRATOR_BOOKS__PATH": path})


def test_books_of_one_id_have_marks_of_their_own(projects: tuple[Project, Project]) -> None:
    one, other = projects
    indices = {project: allotment.allot(project, "1") for project in projects}
    assert len(set(indices.values())) == 2
    assert {project: allotment.allot(project, "1") for project in projects} == indices
    for project in projects:
        assert allotment.read_all(project) == {indices[project]: "1"}
    assert one.reference("narrationMarks", "1").get() == indices[one]
    assert one.reference(CATALOGUES, NODE, "narrationMarks", "1").get() == indices[other]


def test_an_index_is_given_out_once_though_the_counter_was_lost(
    projects: tuple[Project, Project],
) -> None:
    one, _ = projects
    known = {allotment.allot(project, name) for project in projects for name in "ab"}
    for project in projects:
        one.reference("narrationMarksNext").delete()
        drawn = allotment.allot(project, "c")
        assert drawn not in known
        known.add(drawn)
    assert len(known) == 6


def test_the_limit_of_one_is_not_the_other_s(projects: tuple[Project, Project]) -> None:
    one, other = projects
    assert [requesters.grant(one, "ada", name, limit=2) for name in "ab"] == [0, 0]
    assert requesters.grant(one, "ada", "c", limit=2) > 0
    assert [requesters.grant(other, "ada", name, limit=2) for name in "ab"] == [0, 0]


def test_a_mark_is_looked_up_in_its_own_catalogue(
    projects: tuple[Project, Project], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = projects
    index = allotment.allot(other, "1")
    monkeypatch.setenv("FIREBASE_DATABASE_EMULATOR_HOST", _host(one))
    monkeypatch.setenv("NARRATOR_BOOKS__PATH", OTHER)
    (entry,) = ledger.known_marks(config.load(None), tmp_path).known[index]
    assert (entry.book_id, entry.table) == (
        "1",
        f"the database's /{CATALOGUES}/{NODE}/narrationMarks",
    )
    monkeypatch.setenv("NARRATOR_BOOKS__PATH", "books")
    assert ledger.known_marks(config.load(None), tmp_path).known == {}


def _host(project: Project) -> str:
    return str(project.app.options.get("databaseURL")).split("//")[1].split("?")[0]


def test_leases_of_one_are_not_judged_by_the_other(projects: tuple[Project, Project]) -> None:
    for project in projects:
        project.book("1").set({"narrative": TEXT, "narrativeAudioStatus": "requested"})
    claims = [
        Claims(project, config.Settings(), "voice", lambda *_: False, Leases(project, "w", 45.0))
        for project in projects
    ]
    works = [each.claim("1").work for each in claims]
    for project, work in zip(projects, works, strict=True):
        assert work is not None
        assert list(Leases(project, "w", 45.0).read().beats) == [("1", work.token)]


def test_two_daemons_read_two_books_of_one_id(
    frontend: Frontend, start_inside: Any, firebase: LocalFirebase
) -> None:
    first: Inside = start_inside()
    second: Inside = start_inside(BOOKS__PATH=OTHER)
    for inside in (first, second):
        inside.wait_ready()
    frontend.add_requested("1", TEXT)
    frontend.node("library", "titles", "1").set(
        {"narrative": "Another text.", "narrativeAudioStatus": "requested"}
    )
    frontend.wait_for("1", "ready")
    wait_until(
        lambda: frontend.node("library", "titles", "1", "narrativeAudioStatus").get() == "ready",
        "the other",
    )

    def kept(*keys: str) -> list[Any]:
        return [frontend.node(*above, *keys).get() for above in ((), (CATALOGUES, NODE))]

    wait_until(
        lambda: [len(one or ()) for one in kept("narrationJobs", "1")] == [1, 1], "histories"
    )
    mark, other_mark = kept("narrationMarks", "1")
    assert mark != other_mark and None not in (mark, other_mark)
    assert [len(workers) for workers in kept("narrationWorkers")] == [1, 1]


def test_what_the_catalogue_at_books_kept_before_is_found(
    frontend: Frontend, start_inside: Any
) -> None:
    frontend.node("narrationMarks", "1").set(77)
    frontend.node("narrationJobs", "1", "t0").set({"outcome": "published", "claimedAt": 5})
    start_inside().wait_ready()
    frontend.add_requested("1", TEXT)
    frontend.wait_for("1", "ready")
    assert "t0" in frontend.node("narrationJobs", "1").get()
    assert frontend.node("narrationMarks", "1").get() == 77
