"""What is kept of books, and when it goes, over a database in memory."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase import books
from narrator_daemon.housekeeping import forgetting
from narrator_daemon.housekeeping.forgetting import LEAST_AGE_MS, Forgetter
from narrator_daemon.housekeeping.sweep import Sweeper
from narrator_daemon.settings import Registry
from tests.memory import SERVER_NOW, MemoryProject, MemoryStore, refusal

DAY_MS = 86_400_000


def world(**settings: Any) -> tuple[MemoryProject, Forgetter]:
    project = MemoryProject()
    shelf: Any = project
    return project, Forgetter(shelf, Registry(**settings), now_ms=lambda: SERVER_NOW)


def entry(book_id: str = "b", age: int = LEAST_AGE_MS + 1, **more: Any) -> Any:
    path = f"narrations/{book_id}/t.wav"
    return {"book": book_id, "path": path, "enteredAt": SERVER_NOW - age, **more}


def published(book_id: str = "b", age: int = 0) -> Any:
    return entry(book_id, publishedAt=SERVER_NOW - age)


class TestHistories:
    def test_those_of_deleted_books_go(self) -> None:
        project, forgetter = world()
        project.tree["narrationJobs"] = {"gone": {"t": {"x": 1}}, "here": {"t": {"x": 1}}}
        project.shelf["here"] = {"title": "T"}
        forgetter.round()
        assert project.tree["narrationJobs"] == {"here": {"t": {"x": 1}}}

    def test_a_round_looks_at_some_and_the_next_at_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(forgetting, "MOST_LOOKED_AT", 3)
        project, forgetter = world()
        # As the database sorts: numbers first, as numbers.
        names = ["2", "007", "10", "a", "b", "c", "d"]
        project.tree["narrationJobs"] = {name: {"t": {"x": 1}} for name in names}
        project.shelf.update({name: {"title": "T"} for name in names})
        for _ in range(4):
            forgetter.round()
        assert all(project.count(f"get /books/{name}(/|$)") for name in names)
        for name in names:
            del project.shelf[name]
        for _ in range(4):
            forgetter.round()
        assert "narrationJobs" not in project.tree

    @pytest.mark.parametrize(
        ("status", "token", "lease", "stays"),
        [
            # Cancelled while it waited for its retry, and all who knew of that have died.
            (None, None, None, False),
            # Claimed by one that slept until its lease was gone, and died; then cancelled.
            (None, "t1", None, False),
            # Cancelled while somebody works on it, who will see that, or is found by the lease.
            (None, "t1", {"beat": 3}, True),
            ("requested", None, None, True),
            ("requested", "t1", None, True),
            ("ready", None, None, True),
        ],
    )
    def test_a_claim_on_what_nobody_asks_for_goes_where_nobody_works_under_it(
        self, status: str | None, token: str | None, lease: Any, stays: bool
    ) -> None:
        project, forgetter = world()
        claim = {"owner": "w1", "attempt": 1, "inputHash": "h", "take": 1, "token": token}
        book = {"title": "T", "narrativeAudioStatus": status, "narrativeAudioClaim": claim}
        project.shelf["b"] = {name: value for name, value in book.items() if value is not None}
        project.tree["narrationJobs"] = {"b": {"t0": {"outcome": "retried"}}}
        if lease is not None:
            project.tree["narrationLeases"] = {"b": {token: lease}}
        forgetter.round()
        assert ("narrativeAudioClaim" in project.shelf["b"]) is stays
        assert project.shelf["b"]["title"] == "T"

    def test_one_that_is_asked_for_again_meanwhile_keeps_what_its_claim_remembers(self) -> None:
        project, forgetter = world()
        claim = {"owner": "w1", "attempt": 1, "inputHash": "h", "take": 1}
        project.shelf["b"] = {"title": "T", "narrativeAudioClaim": claim}
        project.tree["narrationJobs"] = {"b": {"t0": {"outcome": "retried"}}}

        def asked() -> None:
            project.shelf["b"]["narrativeAudioStatus"] = "requested"

        project.at_each("get /books/b/narrativeAudioClaim", asked)
        forgetter.round()
        assert project.shelf["b"]["narrativeAudioClaim"] == claim

    def test_one_that_is_refused_holds_no_other_up(self) -> None:
        project, forgetter = world()
        project.tree["narrationJobs"] = {name: {"t": {"x": 1}} for name in "abc"}
        project.fail("delete /narrationJobs/a", refusal(401, "Permission denied"))
        with structlog.testing.capture_logs() as logged:
            forgetter.round()
        assert list(project.tree["narrationJobs"]) == ["a"]
        assert [line["book"] for line in logged if line["event"] == "item_refused"] == ["a"]

    def test_an_outage_ends_the_round(self) -> None:
        project, forgetter = world()
        project.tree["narrationJobs"] = {name: {"t": {"x": 1}} for name in "abc"}
        project.fail("get /books/", refusal(503))
        with pytest.raises(Unavailable):
            forgetter.round()

    def test_the_sweep_tells_of_deleted_books(self) -> None:
        project, store = MemoryProject(), MemoryStore()
        gone: list[str] = []
        shelf: Any = project
        bucket: Any = store
        for number, book_id in enumerate(("gone", "here")):
            path = store.path(book_id, f"{number:032x}")
            store.objects_by_path[path] = b"RIFF"
            store.owners[path] = book_id
            store.created_at[path] = SERVER_NOW / 1000 - 7200
        project.shelf["here"] = {"title": "T"}
        sweeper = Sweeper(shelf, bucket, clock=lambda: SERVER_NOW / 1000, on_gone=gone.append)
        assert sweeper.round() == 2
        assert gone == ["gone"]


class TestRegister:
    def test_entries_stay_without_their_book(self) -> None:
        project, forgetter = world()
        project.tree["narrationRegister"] = {"t": published("gone")}
        project.tree["narrationJobs"] = {"gone": {"t": {"x": 1}}}
        forgetter.round()
        assert list(project.tree["narrationRegister"]) == ["t"]

    def test_or_go_with_it(self) -> None:
        project, forgetter = world(remove_with_book=True)
        project.shelf["here"] = {"title": "T"}
        project.tree["narrationRegister"] = {
            "t1": published("gone"),
            "t2": published("gone"),
            "t3": published("here"),
            "odd": {"book": 5, "publishedAt": SERVER_NOW},
        }
        forgetter.round()
        assert sorted(project.tree["narrationRegister"]) == ["odd", "t3"]

    def test_or_after_so_many_days(self) -> None:
        project, forgetter = world(keep_days=10)
        ages = {"old": 10 * DAY_MS + 1, "young": 10 * DAY_MS - 1}
        project.tree["narrationRegister"] = {
            name: published(name, age) for name, age in ages.items()
        }
        forgetter.round()
        assert list(project.tree["narrationRegister"]) == ["young"]

    def test_0_days_keep_them_for_ever(self) -> None:
        project, forgetter = world(keep_days=0)
        project.tree["narrationRegister"] = {"t": published(age=400_000 * DAY_MS // 1000)}
        forgetter.round()
        assert list(project.tree["narrationRegister"]) == ["t"]

    @pytest.mark.parametrize(
        ("book", "left"),
        [
            ({"narrativeAudioPath": "narrations/b/t.wav"}, "confirmed"),
            ({"narrativeAudioPath": "narrations/b/another.wav"}, None),
            ({"title": "T"}, None),
            (None, None),
            (
                {
                    "narrativeAudioClaim": {
                        "token": "t",
                        "owner": "w",
                        "attempt": 1,
                        "inputHash": "h",
                        "take": 1,
                    }
                },
                "pending",
            ),
        ],
    )
    def test_what_a_worker_left_unconfirmed_is_settled_by_its_book(
        self, book: Any, left: str | None
    ) -> None:
        project, forgetter = world()
        if book is not None:
            project.shelf["b"] = book
        project.tree["narrationRegister"] = {"t": entry(state="pending")}
        forgetter.round()
        found = project.tree.get("narrationRegister", {}).get("t")
        if left is None:
            assert found is None
        elif left == "pending":
            assert found["state"] == "pending"
        else:
            assert "state" not in found
            assert found["publishedAt"] == SERVER_NOW

    def test_what_may_be_settled_just_now_is_left(self) -> None:
        project, forgetter = world()
        project.tree["narrationRegister"] = {"t": entry(state="pending", age=LEAST_AGE_MS - 1)}
        forgetter.round()
        assert "t" in project.tree["narrationRegister"]

    @pytest.mark.parametrize("odd", [{"state": "pending"}, {"state": "pending", "book": "a/b"}])
    def test_what_is_no_entry_goes(self, odd: Any) -> None:
        project, forgetter = world()
        project.tree["narrationRegister"] = {"t": odd}
        forgetter.round()
        assert "narrationRegister" not in project.tree

    def test_a_register_that_is_refused_costs_the_histories_nothing(self) -> None:
        project, forgetter = world()
        project.tree["narrationJobs"] = {"gone": {"t": {"x": 1}}}
        project.fail("narrationRegister", refusal(400, "Index not defined"))
        with structlog.testing.capture_logs() as logged:
            forgetter.round()
        assert "narrationJobs" not in project.tree
        assert "register_refused" in [line["event"] for line in logged]


def test_a_page_begins_behind_the_last() -> None:
    project: Any = MemoryProject()
    project.tree["narrationJobs"] = dict.fromkeys("abcd", 1)
    assert list(books.page(project, "narrationJobs", "", 2)) == ["a", "b"]
    assert list(books.page(project, "narrationJobs", "b", 2)) == ["c", "d"]


def test_a_page_is_in_the_order_of_the_database() -> None:
    project: Any = MemoryProject()
    keys = [str(-(2**31)), "-5", "0", "-0", "7", "007", "8", "00000000009", str(2**31 - 1)]
    # What is no number of 32 bits is text.
    keys += sorted([str(2**31), str(-(2**31) - 1), "12345678901", "7a", "a", "-", "٧"])
    project.tree["narrationJobs"] = dict.fromkeys(reversed(keys), 1)
    assert list(books.page(project, "narrationJobs", "", 20)) == keys
    seen, after = list[str](), ""
    while found := list(books.page(project, "narrationJobs", after, 2)):
        seen, after = seen + found, found[-1]
    assert seen == keys
