"""Which book is tried next, and what becomes of one that is not won."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.errors import NodeUnavailable, Unavailable
from narrator_daemon.firebase.subscription import Hint
from narrator_daemon.queue import picking
from narrator_daemon.queue.picking import Picker
from narrator_daemon.queue.waiting import Waiting
from narrator_daemon.settings import Settings
from tests.memory import SERVER_NOW, MemoryProject, refusal

REQUESTED = {"narrative": "A", "narrativeAudioStatus": "requested"}
OF_ANOTHER = {
    "narrativeAudioStatus": "processing",
    "narrativeAudioClaim": {
        "token": "theirs",
        "owner": "another",
        "attempt": 1,
        "inputHash": "0" * 64,
        "take": 1,
    },
}


def now_ms() -> int:
    return SERVER_NOW


class Desk:
    def __init__(self, limit: int = 2) -> None:
        self.settings = Settings.model_validate({"limits": {"requests_per_minute": limit}})
        self.project = MemoryProject()
        self.waiting = Waiting(lambda: self.now)
        self.dead = False
        self.now = 100.0
        project: Any = self.project
        claims = Claims(
            project, self.settings, "voice", lambda *_: self.dead, Leases(project, "w", 45.0)
        )
        self.refusals = Refusals(lambda: self.now)
        self.picker = Picker(project, self.settings, claims, self.waiting, self.refusals)

    def add(self, book_id: str, *, known: bool = True, **fields: Any) -> None:
        self.project.shelf[book_id] = {**REQUESTED, **fields}
        self.waiting.offer(book_id, self.project.shelf[book_id] if known else None, now_ms())

    def pick(self) -> tuple[str, str] | None:
        """The book that was tried next, and what was found."""
        attempted = self.picker.claim_next()
        return None if attempted is None else (attempted.book_id, attempted.verdict.value)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk()
    monkeypatch.setattr(picking.time, "monotonic", lambda: made.now)
    return made


def limited_requests(desk: Desk) -> int:
    return desk.project.count("read /narrationLimits")


def test_the_oldest_request_is_tried_first(desk: Desk) -> None:
    desk.add("late", narrativeAudioRequestedAt=2000)
    desk.add("early", narrativeAudioRequestedAt=1000)
    assert [desk.pick(), desk.pick(), desk.pick()] == [
        ("early", "claimed"),
        ("late", "claimed"),
        None,
    ]


def test_one_that_is_not_waiting_any_more_is_forgotten(desk: Desk) -> None:
    desk.add("b")
    desk.project.shelf["b"]["narrativeAudioStatus"] = "ready"
    assert desk.pick() == ("b", "lost")
    assert len(desk.waiting) == 0


def waits(desk: Desk, seconds: float) -> None:
    """Nothing may be tried until so many seconds have passed, and then it may."""
    started = desk.now
    desk.now = started + seconds - 0.01
    assert desk.pick() is None
    assert len(desk.waiting) == 1
    desk.now = started + seconds
    assert desk.pick() is not None


def waits_for_its_retry(desk: Desk) -> dict[str, Any]:
    """A book ``b`` that was tried once, and is wanted again in a minute."""
    desk.add("b")
    assert desk.pick() == ("b", "claimed")
    book = desk.project.shelf["b"]
    book["narrativeAudioStatus"] = "requested"
    del book["narrativeAudioClaim"]["token"]
    book["narrativeAudioClaim"]["notBefore"] = now_ms() + 60_000
    return book


def test_a_retry_waits_until_its_time(desk: Desk) -> None:
    book = waits_for_its_retry(desk)
    desk.waiting.offer("b", book, now_ms())
    attempted = desk.picker.claim_next()
    assert attempted is not None and attempted.verdict.value == "later"
    assert 30 < attempted.wait_seconds <= 60
    waits(desk, attempted.wait_seconds)


def test_a_book_under_another_s_lease_waits_a_beat(desk: Desk) -> None:
    desk.add("b")
    assert desk.pick() == ("b", "claimed")
    book = desk.project.shelf["b"]
    book["narrativeAudioStatus"] = "requested"
    desk.waiting.offer("b", book, now_ms())
    assert desk.pick() == ("b", "leased")
    waits(desk, 10)


def test_a_book_that_was_read_too_often_has_failed(desk: Desk) -> None:
    claim = {"owner": "w", "attempt": 5, "take": 1, "requestedAt": None}
    desk.add("b")
    digest = desk.picker._claims.digest(desk.project.shelf["b"])
    desk.project.shelf["b"]["narrativeAudioClaim"] = {**claim, "inputHash": digest}
    assert desk.pick() == ("b", "exhausted")
    assert desk.project.shelf["b"]["narrativeAudioStatus"] == "failed"
    assert len(desk.waiting) == 0


@pytest.mark.parametrize(
    ("break_it", "pause"),
    [
        (lambda desk: desk.project.fail("write /books/b$", refusal(400)), 10.0),
        (
            lambda desk: desk.project.at_each(
                "write /books/b$", lambda: desk.project.shelf["b"].update(t=now_ms_counter())
            ),
            1.0,
        ),
    ],
    ids=["refused", "contended"],
)
def test_one_that_cannot_be_written_is_left_alone_for_a_while(
    desk: Desk, break_it: Callable[[Desk], None], pause: float
) -> None:
    desk.add("b")
    break_it(desk)
    assert desk.pick() == ("b", "later")
    assert list(desk.refusals.books) == (["b"] if pause == 10.0 else [])
    desk.project.mend()
    waits(desk, pause)


def test_a_refused_book_waits_longer_each_time_and_is_named(desk: Desk) -> None:
    desk.add("b", narrativeAudioRequestedAt=1)
    desk.project.fail("write /books/b$", refusal(401, "Permission denied"))
    pauses = []
    for _ in range(9):
        attempted = desk.picker.claim_next()
        assert attempted is not None
        pauses.append(attempted.wait_seconds)
        desk.now += attempted.wait_seconds
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600, 600]
    (why,) = desk.refusals.books.values()
    assert "/books/b " in why and "Permission denied" in why and "service account" not in why


def test_what_is_refused_holds_nobody_else_up(desk: Desk) -> None:
    for number in range(10):
        desk.add(f"bad-{number}", narrativeAudioRequestedAt=number)
    for number in range(5):
        desk.add(f"good-{number}", narrativeAudioRequestedAt=100 + number)
    desk.project.fail("write /books/bad-", refusal(400))
    seen = [desk.pick() for _ in range(15)]
    assert seen[10:] == [(f"good-{number}", "claimed") for number in range(5)]
    desk.project.mend()
    desk.now += 10
    assert desk.pick() == ("bad-0", "claimed")
    assert "bad-0" not in desk.refusals.books


@pytest.mark.parametrize("answer", [refusal(401), refusal(503)])
def test_where_nothing_answers_it_is_the_database_s_fault(desk: Desk, answer: Exception) -> None:
    desk.add("b")
    desk.project.fail(".*", answer)
    with pytest.raises(Unavailable) as met:
        desk.pick()
    assert not isinstance(met.value, NodeUnavailable)
    assert desk.refusals.books == {}
    desk.project.mend()
    waits(desk, 10.0)


_counter = iter(range(10**6))


def now_ms_counter() -> int:
    return next(_counter)


class TestLimit:
    def test_so_many_a_minute_and_nobody_else_waits(self, desk: Desk) -> None:
        for number in range(4):
            desk.add(f"eager-{number}", narrativeAudioRequestedBy="eager")
        desk.add("one", narrativeAudioRequestedBy="patient")
        desk.add("nobody")
        assert [desk.pick() for _ in range(7)] == [
            ("eager-0", "claimed"),
            ("eager-1", "claimed"),
            ("eager-2", "later"),
            # eager-3 is passed over with it
            ("nobody", "claimed"),
            ("one", "claimed"),
            None,
            None,
        ]

    def test_one_answer_is_enough_for_all_of_a_requester(self, desk: Desk) -> None:
        for number in range(20):
            desk.add(f"b{number:02}", narrativeAudioRequestedBy="eager")
        for _ in range(20):
            desk.pick()
        assert limited_requests(desk) == 3
        assert len(desk.waiting) == 18
        desk.now += 30
        assert desk.pick() is None

    def test_pressing_again_on_books_in_work_uses_up_nothing(self, desk: Desk) -> None:
        for book_id in ("b0", "b1"):
            desk.add(book_id)
            assert desk.pick() == (book_id, "claimed")
        for book_id in ("b0", "b1"):
            desk.project.shelf[book_id] |= {
                "narrativeAudioStatus": "requested",
                "narrativeAudioRequestedAt": 5,
                "narrativeAudioRequestedBy": "eager",
            }
            desk.waiting.offer(book_id, desk.project.shelf[book_id], now_ms())
        for _ in range(3):
            assert [desk.pick(), desk.pick()] == [("b0", "leased"), ("b1", "leased")]
            desk.now += 60
        assert limited_requests(desk) == 0
        # Once nobody reads it any more, it is a new request like others.
        desk.dead = True
        assert desk.pick() == ("b0", "claimed")
        assert limited_requests(desk) == 1

    def test_one_whose_reader_is_found_dead_just_then_is_not_claimed_without_a_grant(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        desk.add("b")
        assert desk.pick() == ("b", "claimed")
        book = desk.project.shelf["b"]
        book |= {**REQUESTED, "narrativeAudioRequestedAt": 5, "narrativeAudioRequestedBy": "eager"}
        desk.waiting.offer("b", book, now_ms())
        dead = itertools.chain([False], itertools.repeat(True))
        monkeypatch.setattr(desk.picker._claims, "_lease_dead", lambda *_: next(dead))
        assert desk.pick() == ("b", "leased")
        assert limited_requests(desk) == 0
        waits(desk, 10)
        assert limited_requests(desk) == 1

    def test_a_thousand_that_wait_cost_no_more_than_one(self, desk: Desk) -> None:
        for number in range(1_000):
            desk.add(f"b{number:04}", narrativeAudioRequestedBy="eager")
        desk.add("z", narrativeAudioRequestedAt=1, narrativeAudioRequestedBy="patient")
        tries = []
        while (picked := desk.pick()) is not None:
            tries.append(picked)
        assert tries[0] == ("z", "claimed") and len(tries) == 4
        assert len(desk.waiting) == 998

    def test_it_goes_on_after_the_minute(self, desk: Desk) -> None:
        for number in range(3):
            desk.add(f"b{number}", narrativeAudioRequestedBy="eager")
        assert [desk.pick() for _ in range(3)][-1] == ("b2", "later")
        desk.now += 60
        desk.project.wall = lambda: now_ms() / 1000 + 60
        assert desk.pick() == ("b2", "claimed")

    def test_a_retry_is_no_new_request(self, desk: Desk) -> None:
        claim = {"owner": "w", "attempt": 1, "inputHash": "h", "take": 1, "requestedAt": 7}
        desk.add(
            "b",
            narrativeAudioRequestedAt=7,
            narrativeAudioRequestedBy="eager",
            narrativeAudioClaim=claim,
        )
        assert desk.pick() == ("b", "claimed")
        assert limited_requests(desk) == 0

    def test_a_book_known_by_its_id_is_read_first(self, desk: Desk) -> None:
        for number in range(3):
            desk.add(f"b{number}", known=False, narrativeAudioRequestedBy="eager")
        assert [desk.pick() for _ in range(3)] == [
            ("b0", "claimed"),
            ("b1", "claimed"),
            ("b2", "later"),
        ]

    @pytest.mark.parametrize("record", [None, "text", {"narrativeAudioStatus": "ready"}])
    def test_one_that_turns_out_to_be_none_asks_for_no_grant(self, desk: Desk, record: Any) -> None:
        desk.waiting.offer("b", None, now_ms())
        if record is not None:
            desk.project.shelf["b"] = record
        picked = desk.pick()
        assert picked is not None and picked[1] in {"gone", "lost"}
        assert limited_requests(desk) == 0

    def test_none_is_no_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        desk = Desk(limit=0)
        for number in range(20):
            desk.add(f"b{number:02}", narrativeAudioRequestedBy="eager")
        assert [desk.pick() for _ in range(20)] == [(f"b{n:02}", "claimed") for n in range(20)]
        assert limited_requests(desk) == 0


def test_where_others_are_faster_it_looks_further(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    among: list[int] = []
    take = desk.waiting.take

    def watched(now: float, of: int = 1) -> Any:
        among.append(of)
        return take(now, of)

    monkeypatch.setattr(desk.waiting, "take", watched)
    for number in range(8):
        desk.add(f"b{number}")
        if number < 6:
            desk.project.shelf[f"b{number}"] |= OF_ANOTHER
    found: list[str] = []
    monkeypatch.setattr("narrator_daemon.queue.waiting.random.choice", lambda oldest: oldest[0])
    while (picked := desk.pick()) is not None:
        found.append(picked[1])
    assert found == ["lost"] * 6 + ["claimed"] * 2
    assert among == [1, 2, 4, 8, 16, 32, 32, 31, 30]


@pytest.mark.parametrize("known", [True, False])
def test_what_waits_on_a_book_is_known_though_it_is_named_again_while_it_is_tried(
    known: bool, desk: Desk
) -> None:
    book = waits_for_its_retry(desk)
    desk.waiting.offer("b", book if known else None, now_ms())
    # The stream says that something of it was edited, and no more.
    desk.project.at_each("^read /books/b$", lambda: desk.waiting.offer("b", None, now_ms()))
    assert desk.pick() == ("b", "later")
    del book["narrativeAudioStatus"]
    desk.waiting.take_in(Hint({}, gone=frozenset({"b"})), now_ms())
    desk.project.mend()
    assert desk.pick() == ("b", "cancelled")
    assert "narrativeAudioClaim" not in desk.project.shelf["b"]


@pytest.mark.parametrize(
    "became",
    [
        pytest.param({}, id="in work here"),
        pytest.param({"narrativeAudioStatus": "ready", "narrativeAudioClaim": None}, id="read"),
        pytest.param({"narrativeAudioStatus": "failed", "narrativeAudioClaim": None}, id="failed"),
        pytest.param({"narrativeAudioStatus": None, "narrativeAudioClaim": None}, id="cancelled"),
        pytest.param({"narrativeAudioStatus": None}, id="cancelled in work here"),
        pytest.param({"narrativeAudioClaim": "scribbled"}, id="scribbled"),
    ],
)
def test_late_news_of_a_book_says_nothing_of_others(
    became: dict[str, Any], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.add("b0")
    waited = dict(desk.project.shelf["b0"])
    assert desk.pick() == ("b0", "claimed")
    book = desk.project.shelf["b0"] | became
    desk.project.shelf["b0"] = {name: value for name, value in book.items() if value is not None}
    # The stream says once more that it waits, when it does no longer.
    desk.waiting.offer("b0", waited, now_ms())
    assert desk.pick() == ("b0", "lost")
    for number in range(1, 9):
        desk.add(f"b{number}")
    monkeypatch.setattr("narrator_daemon.queue.waiting.random.choice", lambda oldest: oldest[-1])
    assert [desk.pick() for _ in range(8)] == [(f"b{number}", "claimed") for number in range(1, 9)]


def test_one_that_was_only_looked_at_again_says_nothing_of_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It waited for its retry and left what waits: perhaps cancelled, perhaps claimed by this one.
    desk.add("b0", known=False, narrativeAudioStatus="ready")
    assert desk.pick() == ("b0", "lost")
    for number in range(1, 9):
        desk.add(f"b{number}")
    monkeypatch.setattr("narrator_daemon.queue.waiting.random.choice", lambda oldest: oldest[-1])
    assert [desk.pick() for _ in range(8)] == [(f"b{number}", "claimed") for number in range(1, 9)]


class TestHints:
    def books(self, count: int) -> dict[str, Any]:
        return {f"b{number:03}": dict(REQUESTED) for number in range(count)}

    @pytest.mark.parametrize(("count", "others"), [(99, 0), (100, 1)])
    def test_a_whole_window_says_nothing_of_the_books_behind_it(
        self, count: int, others: int
    ) -> None:
        waiting = Waiting()
        waiting.offer("z", REQUESTED, 0)
        waiting.take_in(Hint(self.books(count), resync=True), 0)
        assert len(waiting) == count + others

    def test_what_changes_is_added_and_what_leaves_is_forgotten(self) -> None:
        waiting = Waiting()
        waiting.take_in(Hint({"a": REQUESTED, "b": REQUESTED}), 0)
        waiting.take_in(Hint({"c": None}, frozenset({"a", "never seen"})), 0)
        assert len(waiting) == 2


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("by", ["ada", None])
def test_one_that_is_not_wanted_yet_waits_and_costs_no_grant(
    desk: Desk, known: bool, by: str | None
) -> None:
    asked = {"narrativeAudioNotBefore": SERVER_NOW + 60_000, "narrativeAudioRequestedBy": by}
    desk.add("b", known=known, **{name: value for name, value in asked.items() if value})
    assert desk.pick() == (None if known else ("b", "later"))
    waits_and_is_wanted(desk)
    assert limited_requests(desk) == (1 if by else 0)


def waits_and_is_wanted(desk: Desk) -> None:
    desk.now += 59.9
    assert desk.pick() is None and limited_requests(desk) == 0
    desk.project.wall = lambda: SERVER_NOW / 1000 + 60
    desk.now += 0.1
    assert desk.pick() == ("b", "claimed")


def test_a_press_goes_before_a_bulk_request(desk: Desk) -> None:
    for number in range(3):
        desk.add(
            f"bulk{number}", narrativeAudioPriority="bulk", narrativeAudioRequestedAt=number + 1
        )
    desk.add("pressed", narrativeAudioRequestedAt=100)
    desk.add("waited-for", narrativeAudioPriority="now", narrativeAudioRequestedAt=101)
    tried = [desk.pick() for _ in range(5)]
    names = ["waited-for", "pressed", "bulk0", "bulk1", "bulk2"]
    assert tried == [(name, "claimed") for name in names]
