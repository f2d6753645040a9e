"""Many books asked for together: what becomes of each, and how they are taken back."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from narrator_daemon import cli
from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.ending import Ending
from narrator_daemon.commands import batch as commands
from narrator_daemon.errors import Unavailable
from narrator_daemon.queue.batches import Batches, BookState, counts, is_id, settle, waiting_of
from tests.memory import SERVER_NOW, MemoryProject, refusal

ASKED = {
    "narrative": "A",
    "narrativeAudioStatus": "requested",
    "narrativeAudioRequestedAt": 7,
    "narrativeAudioBatch": "one",
}


def batch(**books: str) -> dict[str, Any]:
    return {"requestedAt": 7, "open": True, "books": books or {"a": "requested", "b": "requested"}}


class Desk:
    def __init__(self) -> None:
        self.project = MemoryProject({"a": dict(ASKED), "b": dict(ASKED)})
        self.project.tree["narrationBatches"] = {"one": batch()}
        self.leads, self.now = True, 0.0
        project: Any = self.project
        self.batches = Batches(project, lambda: self.leads, lambda: self.now)

    @property
    def one(self) -> Any:
        return self.project.tree["narrationBatches"]["one"]

    def end(self, book: str, outcome: str, **of: Any) -> None:
        claim = Claim("t", "w", 1, 0, "h", 1, 7, 0)
        facts = {"audioSeconds": 1.0}
        self.batches.end(Ending(book, outcome, claim, facts=facts, book={**ASKED, **of}))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_book_that_cannot_be_taken_back_stays_and_holds_no_other_up(desk: Desk) -> None:
    desk.one["cancel"] = True
    desk.project.fail("write /books/a$", refusal(401, "Permission denied"))
    desk.batches.step()
    assert desk.one["books"] == {"a": "requested", "b": "cancelled"}
    desk.project.mend()
    desk.batches.step()
    assert desk.one["books"] == {"a": "cancelled", "b": "cancelled"}


def test_each_end_is_written_and_the_last_closes_the_batch(desk: Desk) -> None:
    desk.end("a", "published")
    assert desk.one["books"] == {"a": "ready", "b": "requested"} and desk.one["open"]
    assert desk.one["counts"] == {
        "total": 2,
        "requested": 1,
        "ready": 1,
        "failed": 0,
        "cancelled": 0,
    }
    desk.end("b", "failed")
    assert desk.one["books"] == {"a": "ready", "b": "failed"}
    assert "open" not in desk.one and desk.one["finishedAt"] == SERVER_NOW


@pytest.mark.parametrize("outcome", ["retried", "given_back", "fenced", "superseded", "discarded"])
def test_what_is_not_over_is_not_written(desk: Desk, outcome: str) -> None:
    desk.end("a", outcome)
    assert desk.one == batch()


@pytest.mark.parametrize("name", [None, 7, "", "a/b", "x" * 101, ["one"], "none"])
def test_books_of_no_batch_change_none(desk: Desk, name: Any) -> None:
    before = json.dumps(desk.project.tree["narrationBatches"])
    desk.end("a", "published", narrativeAudioBatch=name)
    desk.end("other", "published")
    assert json.dumps(desk.project.tree["narrationBatches"]) == before


def test_a_deleted_batch_does_not_come_back(desk: Desk) -> None:
    desk.project.tree.pop("narrationBatches")
    desk.end("a", "published")
    assert "narrationBatches" not in desk.project.tree


def test_what_was_missed_is_found(desk: Desk) -> None:
    desk.project.shelf["a"]["narrativeAudioStatus"] = "ready"
    desk.batches.step()
    assert desk.one["books"] == {"a": "ready", "b": "requested"}
    del desk.project.shelf["b"]
    desk.batches.step()
    assert desk.one["books"]["b"] == "cancelled" and "open" not in desk.one
    asked = desk.project.count("get /books")
    desk.batches.step()
    assert desk.project.count("get /books") == asked


def test_of_a_large_batch_some_are_asked_for_at_a_time(desk: Desk) -> None:
    names = [f"b{n:03}" for n in range(50)]
    desk.project.shelf.update({name: {**ASKED, "narrativeAudioStatus": "ready"} for name in names})
    desk.project.tree["narrationBatches"]["one"] = batch(**dict.fromkeys(names, "requested"))
    found = []
    for _ in range(3):
        desk.batches.step()
        found.append(desk.one["counts"]["ready"])
    assert found == [20, 40, 50] and "open" not in desk.one


def test_a_batch_is_taken_back(desk: Desk) -> None:
    in_work = Claim("t", "w", 1, 0, "h", 1, 7, 0).as_record()
    desk.project.shelf["b"] = {
        **ASKED,
        "narrativeAudioStatus": "processing",
        "narrativeAudioClaim": in_work,
    }
    desk.project.shelf["c"] = {**ASKED, "narrativeAudioStatus": "ready"}
    desk.project.shelf["d"] = {**ASKED, "narrativeAudioBatch": "another"}
    desk.one["books"] |= {"c": "requested", "d": "requested"}
    desk.one["cancel"] = True
    desk.batches.step()
    assert desk.project.shelf["a"] == {"narrative": "A", "narrativeAudioRequestedAt": 7}
    # Whoever works on it sees its status gone, and settles it.
    assert desk.project.shelf["b"]["narrativeAudioClaim"] == in_work
    assert "narrativeAudioStatus" not in desk.project.shelf["b"]
    assert desk.project.shelf["c"]["narrativeAudioStatus"] == "ready"
    assert desk.project.shelf["d"]["narrativeAudioStatus"] == "requested"
    assert desk.one["books"] == {
        "a": "cancelled",
        "b": "cancelled",
        "c": "ready",
        "d": "requested",
    }


def test_all_of_a_large_batch_that_is_taken_back_is_told_at_once(desk: Desk) -> None:
    names = [f"b{n:03}" for n in range(50)]
    desk.project.shelf.update({name: dict(ASKED) for name in names})
    desk.project.shelf["b049"]["narrativeAudioStatus"] = "failed"
    desk.project.tree["narrationBatches"]["one"] = batch(**dict.fromkeys(names, "requested"))
    desk.one["cancel"] = True
    desk.batches.step()
    assert (desk.one["counts"]["cancelled"], desk.one["counts"]["failed"]) == (49, 1)
    assert "open" not in desk.one


def test_a_look_ends_however_many_are_taken_back(desk: Desk) -> None:
    """A round that goes on for minutes counts as hanging, and its daemon as one to restart."""
    names = [f"b{n:03}" for n in range(100)]
    desk.project.shelf.update({name: dict(ASKED) for name in names})
    desk.project.tree["narrationBatches"] = {
        one: {**batch(**dict.fromkeys(names[half : half + 50], "requested")), "cancel": True}
        for one, half in (("one", 0), ("two", 50))
    }
    for name in names[50:]:
        desk.project.shelf[name]["narrativeAudioBatch"] = "two"

    # Each takes two seconds, and those of the first batch cannot be had.
    def pass_() -> None:
        desk.now += 2.0

    desk.project.at_each("read /books", pass_)
    desk.project.fail("write /books/b0[0-4]", refusal(401))
    rounds = 0
    while "open" in desk.project.tree["narrationBatches"]["two"]:
        began = desk.now
        desk.batches.step()
        assert desk.now - began < 70
        rounds += 1
        assert rounds < 9
    desk.project.mend()
    desk.batches.step()
    assert "open" not in desk.one


def test_only_who_leads_looks_and_old_rules_are_not_asked_again(desk: Desk) -> None:
    desk.leads = False
    desk.batches.step()
    assert desk.project.calls == []
    desk.leads = True
    # As with rules that have no such index.
    wrong = refusal(400, "Index not defined, add .indexOn")
    desk.project.fail("query /narrationBatches", wrong, times=2)
    desk.batches.step()
    asked = desk.project.count("query /narrationBatches")
    desk.batches.step()
    assert desk.project.count("query /narrationBatches") == asked
    desk.now = 601.0
    # Once is not enough: everything may have been refused just then.
    desk.project.fail("query /narrationBatches", refusal(401), times=1)
    desk.batches.step()
    assert desk.project.count("query /narrationBatches") == asked + 2
    desk.project.fail("query /narrationBatches", refusal(503), times=1)
    with pytest.raises(Unavailable):
        desk.batches.step()


_STATES = st.sampled_from([*BookState, "odd", 7, None])


@given(
    st.dictionaries(st.sampled_from("abcdef"), _STATES),
    st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from(list(BookState)[1:])),
    st.booleans(),
)
def test_a_state_is_final_and_the_counts_are_right(
    books: dict[str, Any], news: dict[str, BookState], is_open: bool
) -> None:
    before = {"books": books, **({"open": True} if is_open else {})}
    after = settle(before, news)
    if after is None:
        return
    assert after["books"].keys() == books.keys()
    for book, state in books.items():
        if state in ("ready", "failed", "cancelled"):
            assert after["books"][book] == state
        else:
            assert after["books"][book] == news.get(book, state)
    told = counts(after)
    assert told["total"] == sum(told[name] for name in told if name != "total")
    assert ("open" in after) is (is_open and bool(waiting_of(after)))
    assert settle(after, news) is None


@pytest.mark.parametrize(
    "value", [None, "x", [], [None, "requested"], {"books": "x"}, {"books": []}]
)
def test_no_shape_is_an_error(value: Any) -> None:
    assert settle(value, {"a": BookState.READY}) is None
    assert counts(value)["failed"] == 0
    assert is_id(value) is (value == "x")


# By commands.


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> MemoryProject:
    made = MemoryProject(
        {
            "new": {"narrative": "A"},
            "ready": {"narrative": "B", "narrativeAudioStatus": "ready"},
            "asked": {"narrative": "C", "narrativeAudioStatus": "requested"},
        }
    )
    monkeypatch.setattr(commands, "Project", lambda _settings: nullcontext(made))
    monkeypatch.setenv("FIREBASE_DATABASE_EMULATOR_HOST", "127.0.0.1:1")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:2")
    return made


def say(*words: str, given: str = "") -> Result:
    return CliRunner().invoke(cli.app, ["batch", *words], input=given)


def test_books_are_asked_for_shown_and_taken_back(shop: MemoryProject) -> None:
    done = say(
        "request", "-", "--id", "s1", "--title", "A series", given="new\nready\n\nasked\nno\n"
    )
    assert done.exit_code == 1 and "There is no book 'no'" in done.stderr
    assert "s1 (A series): open; 0 ready, 0 failed, 0 cancelled, 3 to come, of 3" in done.output
    new = shop.shelf["new"]
    assert (new["narrativeAudioStatus"], new["narrativeAudioBatch"]) == ("requested", "s1")
    assert new["narrativeAudioPriority"] == "bulk"
    assert shop.shelf["ready"]["narrativeAudioStatus"] == "requested"
    assert "narrativeAudioBatch" not in shop.shelf["asked"]
    assert "no" not in shop.shelf
    (shown,) = map(json.loads, say("show", "s1", "--json").output.splitlines())
    assert shown["counts"]["total"] == 3 and shown["open"]
    assert "open, cancelled" in say("cancel", "s1").output
    assert shop.tree["narrationBatches"]["s1"]["cancel"] is True
    assert say("show").output.startswith("s1")


def test_a_batch_for_later_is_wanted_then(shop: MemoryProject) -> None:
    at = "2026-05-31T22:00"
    assert say("request", "new", "--priority", "normal", "--not-before", at).exit_code == 0
    assert shop.shelf["new"]["narrativeAudioNotBefore"] == 1_780_264_800_000
    assert shop.shelf["new"]["narrativeAudioPriority"] == "normal"


def test_that_there_is_none_is_told(shop: MemoryProject) -> None:
    shown = say("show")
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert "There is no batch." in shown.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["request", "new", "--id", "a/b"],
        ["request", "nobody"],
        ["request", "new", "--not-before", "2h"],
        ["request", "new", "--id", "taken"],
        ["show", "none"],
        ["cancel", "a/b"],
    ],
)
def test_what_cannot_be_done_is_told(shop: MemoryProject, words: list[str]) -> None:
    shop.tree["narrationBatches"] = {"taken": batch()}
    said = say(*words)
    assert said.exit_code == 2 and said.stderr
    assert shop.tree["narrationBatches"] == {"taken": batch()}
