"""The list of failed books, and asking for some of them again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from narrator_daemon import cli
from narrator_daemon.commands import failures, retry
from narrator_daemon.commands.failures import Failed, Filter, now_of, time_of
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.errors import WrongUse
from tests.actors import Frontend
from tests.memory import MemoryProject, refusal

NOW = 1_780_000_000_000
HOUR = 3_600_000


def book(code: Any = "stuck", at: Any = NOW, by: Any = "ada", **others: Any) -> dict[str, Any]:
    error = {"code": code, "message": f"It is {code}.", "attempts": 5, "at": at}
    return {
        "narrative": "A text.",
        "narrativeAudioStatus": "failed",
        "narrativeAudioRequestedBy": by,
        "narrativeAudioError": error,
        **others,
    }


SHELF = {
    "old": book(at=NOW - 3 * HOUR),
    "new": book(at=NOW),
    "bea": book("no_text", NOW - HOUR, "bea"),
    "odd": {"narrativeAudioStatus": "failed", "narrativeAudioError": ["x"]},
    "flat": {"narrativeAudioStatus": "failed", "narrativeAudioError": {"code": 7, "at": "then"}},
    "ready": book(narrativeAudioStatus="ready"),
}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), ["new", "bea", "old", "flat", "odd"]),
        (Filter(codes={"stuck"}), ["new", "old"]),
        (Filter(codes={"stuck", "no_text"}, requested_by="bea"), ["bea"]),
        (Filter(since=NOW - HOUR), ["new", "bea"]),
        (Filter(until=NOW - HOUR), ["old"]),
        (Filter(since=NOW - 2 * HOUR, until=NOW), ["bea"]),
        (Filter(requested_by="nobody"), []),
    ],
)
def test_a_filter_takes_what_fits_all_that_is_said(wanted: Filter, found: list[str]) -> None:
    project: Any = MemoryProject(SHELF)
    listing = failures.find(project, wanted)
    assert [one.book_id for one in listing.failed] == found
    assert not listing.more


def test_that_not_all_were_looked_at_is_said() -> None:
    project: Any = MemoryProject(SHELF)
    assert failures.find(project, Filter(), most=2).more


def test_a_book_of_another_shape_is_shown_as_far_as_it_can_be_read() -> None:
    assert Failed.of("b", "text") == Failed("b", "", "", None, None, None)
    assert Failed.of("b", SHELF["flat"]) == Failed("b", "", "", None, None, None)


@pytest.mark.parametrize(
    ("told", "time"),
    [
        ("30m", NOW - HOUR // 2),
        ("2h", NOW - 2 * HOUR),
        ("7d", NOW - 7 * 24 * HOUR),
        ("2026-05-31", 1_780_185_600_000),
        ("2026-05-31T02:00+02:00", 1_780_185_600_000),
        ("2026-05-31 00:00", 1_780_185_600_000),
    ],
)
def test_times_as_people_say_them(told: str, time: int) -> None:
    assert time_of(told, NOW) == time


@pytest.mark.parametrize("told", ["", "yesterday", "2", "-2h", "2w", "2026-13-01", "٣h"])
def test_what_is_no_time_is_told_with_what_to_say(told: str) -> None:
    with pytest.raises(WrongUse, match="is no time: say 30m, 2h"):
        time_of(told, NOW)


class TestCommands:
    @pytest.fixture
    def shelf(
        self, firebase: LocalFirebase, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> LocalFirebase:
        monkeypatch.chdir(tmp_path)
        for name, value in firebase.environment().items():
            monkeypatch.setenv(name, value)
        firebase.load("/books", SHELF)
        return firebase

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(cli.app, words)

    @pytest.mark.usefixtures("shelf")
    def test_failed_books_are_listed(self) -> None:
        done = self.run("failed", "--code", "stuck", "--by", "ada", "--json")
        assert done.exit_code == 0
        listed = [json.loads(line) for line in done.stdout.splitlines()]
        assert [one["book"] for one in listed] == ["new", "old"]
        assert listed[0] == {
            "book": "new",
            "code": "stuck",
            "message": "It is stuck.",
            "attempts": 5,
            "at": NOW,
            "requestedBy": "ada",
        }
        table = self.run("failed", "--since", "2000-01-01").stdout
        assert "3 failed: 2 stuck, 1 no_text" in table
        assert "bea" in table and "no_text" in table and "flat" not in table
        assert "No book has failed that fits" in self.run("failed", "--by", "x").stdout

    @pytest.mark.usefixtures("shelf")
    def test_those_of_one_code_are_asked_for_again(self, frontend: Frontend) -> None:
        done = self.run("retry", "--code", "stuck")
        assert done.exit_code == 0
        assert done.stdout.splitlines() == ["new: requested", "old: requested"]
        books = frontend.node("books").get()
        asked = {name for name, one in books.items() if one["narrativeAudioStatus"] == "requested"}
        assert asked == {"new", "old"}
        # Many at once go behind presses of a button, and one that is named does not.
        assert books["new"]["narrativeAudioPriority"] == "bulk"
        assert self.run("retry", "bea").exit_code == 0
        assert "narrativeAudioPriority" not in frontend.book("bea")

    def test_behind_many_that_do_not_fit(self, shelf: LocalFirebase) -> None:
        many = {f"a{number:03}": book("no_text") for number in range(250)}
        shelf.load("/books", many)
        none = self.run("retry", "--code", "stuck", "--by", "ada")
        assert (none.exit_code, none.stdout) == (0, "")
        assert "No book has failed that fits." in none.stderr
        shelf.load("/books", {**many, "z": book()})
        assert self.run("retry", "--code", "stuck", "--by", "ada").stdout == "z: requested\n"

    @pytest.mark.usefixtures("shelf")
    @pytest.mark.parametrize(
        "words",
        [
            ("retry",),
            ("retry", "new", "--code", "stuck"),
            ("retry", "new", "--failed"),
            ("retry", "--code", "nonsense"),
            ("retry", "--since", "yesterday"),
            ("failed", "--until", "soon"),
        ],
    )
    def test_wrong_use_changes_nothing(self, frontend: Frontend, words: tuple[str, ...]) -> None:
        assert self.run(*words).exit_code == 2
        assert frontend.node("books").get() == SHELF


def test_one_that_failed_anew_by_another_cause_is_left() -> None:
    memory = MemoryProject({"b": book()})
    memory.at_each("read /books/b", lambda: memory.shelf.update(b=book("no_text")))
    project: Any = memory
    asked = retry.request_failed(project, Filter(codes={"stuck"}))
    assert asked == {"b": "has not failed"}
    assert memory.shelf["b"] == book("no_text")


@pytest.mark.parametrize("status", [400, 401])
def test_one_that_the_database_refuses_costs_the_others_nothing(status: int) -> None:
    memory = MemoryProject({name: book() for name in "abc"})
    memory.fail("write /books/b", refusal(status, "a rule says no"))
    project: Any = memory
    for asked in (
        retry.request_named(project, ["b", "a"]),
        retry.request_failed(project, Filter()),
    ):
        assert "a rule says no" in asked.pop("b")
        assert set(asked.values()) == {retry.ASKED}
    states = {name: one["narrativeAudioStatus"] for name, one in memory.shelf.items()}
    assert states == {"a": "requested", "b": "failed", "c": "requested"}


def test_so_long_ago_is_by_the_clock_that_dates_failures() -> None:
    """Whatever the machine's own says."""
    memory = MemoryProject()
    memory.wall = lambda: NOW / 1000
    project: Any = memory
    assert time_of("2h", now_of(project)) == NOW - 2 * HOUR
    assert memory.count("query") > 0  # whose answers tell the time
