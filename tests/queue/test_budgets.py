"""Hours of audio a day: never over by more than one book, whatever replicas do and when."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.ending import Ending
from narrator_daemon.errors import Unavailable
from narrator_daemon.queue.budgets import DAY_MS, Budgets, Day, settle, take
from narrator_daemon.queue.reasons import Reason, of_candidates, of_records
from narrator_daemon.queue.requesters import grant_name
from narrator_daemon.settings import Limits
from tests.memory import SERVER_NOW, MemoryProject, refusal
from tests.queue.test_picking import Desk, desk  # noqa: F401

MIDNIGHT = 20_000 * DAY_MS
NOON = MIDNIGHT + DAY_MS // 2
HOUR = 3600.0
PACE = 0.07


def taken(stored: Any, name: str, seconds: float = 1800.0, now_ms: int = NOON) -> Any:
    record, until = take(stored, name=name, seconds=seconds, now_ms=now_ms, most_seconds=HOUR)
    return until if until is not None else record


def test_a_day_goes_over_by_one_book_and_no_more() -> None:
    stored = taken(None, "a", 3000)
    stored = taken(stored, "b", 3000)
    assert stored["granted"] == {"a": 3000, "b": 3000}
    assert taken(stored, "c", 1) == MIDNIGHT + DAY_MS


def test_a_book_that_is_longer_than_a_day_goes_on_a_day_of_its_own() -> None:
    stored = taken(None, "long", 9 * HOUR)
    assert taken(stored, "next") == MIDNIGHT + DAY_MS
    assert taken(stored, "next", now_ms=NOON + DAY_MS)["granted"] == {"next": 1800}


def test_a_grant_whose_answer_was_lost_is_not_counted_twice() -> None:
    stored = taken(None, "a", 3600)
    assert take(stored, name="a", seconds=3600, now_ms=NOON, most_seconds=HOUR) == (None, None)


def test_what_was_made_takes_the_place_of_what_was_reckoned() -> None:
    stored = taken(taken(None, "a", 3000), "b", 3000)
    stored = settle(stored, name="a", seconds=100, now_ms=NOON)
    assert stored is not None
    assert (stored["seconds"], stored["granted"]) == (100, {"b": 3000})
    assert settle(stored, name="a", seconds=100, now_ms=NOON) is None
    stored = settle(stored, name="b", seconds=0, now_ms=NOON)
    assert Day.of(stored, NOON).total == 100


def test_tenths_of_seconds_are_stored() -> None:
    stored = Day(20_000, 1.26, {"a": 0.44, "b": 7}).as_record()
    assert stored == {"day": 20_000, "seconds": 1.3, "granted": {"a": 0.4, "b": 7}}


def test_what_ends_after_midnight_belongs_to_the_day_it_was_granted_on() -> None:
    stored = taken(None, "a", 3000)
    assert settle(stored, name="a", seconds=3000, now_ms=NOON + DAY_MS) is None
    assert Day.of(stored, NOON + DAY_MS).total == 0


def test_a_replica_whose_clock_is_behind_at_midnight_does_not_begin_the_day_anew() -> None:
    stored = taken(None, "a", 3600, now_ms=MIDNIGHT + 5)
    assert taken(stored, "b", now_ms=MIDNIGHT - 5) == MIDNIGHT + DAY_MS


@pytest.mark.parametrize(
    "stored",
    [
        "x",
        7,
        [1],
        {"day": "today"},
        {"day": 10**9, "seconds": 10**9},
        {"day": 20_000, "seconds": "many", "granted": [1, None]},
        {"day": 20_000, "seconds": -5, "granted": {"z": -1, "y": "x", "v": None}},
    ],
)
def test_what_others_left_there_is_in_nobodys_way(stored: Any) -> None:
    assert taken(stored, "a")["day"] == 20_000


_NAMES = [f"r{n}" for n in range(12)]


class OneDayOverReplicas(RuleBasedStateMachine):
    """Requests of some length are granted, made, given back, lost; days pass."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: Any = None
        self.now = MIDNIGHT
        self.granted_on: dict[str, tuple[int, float]] = {}
        self.over: set[str] = set()
        self.made: dict[int, list[float]] = {}

    @rule(name=st.sampled_from(_NAMES), seconds=st.floats(0, 2 * HOUR))
    def ask(self, name: str, seconds: float) -> None:
        if name in self.over:
            return
        record, until = take(
            self.stored, name=name, seconds=seconds, now_ms=self.now, most_seconds=HOUR
        )
        if record is not None:
            assert name not in self._held()
            self.granted_on[name] = self.now // DAY_MS, seconds
            self.stored = record
        elif until is not None:
            assert until > self.now and until % DAY_MS == 0
            assert self._total() >= HOUR - 1
        else:
            assert name in self._held()

    @precondition(lambda self: self.granted_on)
    @rule(data=st.data(), share=st.floats(0, 1))
    def end(self, data: Any, share: float) -> None:
        name = data.draw(st.sampled_from(sorted(self.granted_on)))
        day, seconds = self.granted_on.pop(name)
        self.over.add(name)
        made = share * seconds
        record = settle(self.stored, name=name, seconds=made, now_ms=self.now)
        assert (record is None) is (day != self.now // DAY_MS)
        if record is not None:
            self.stored = record
            self.made.setdefault(day, []).append(made)

    @rule(hours=st.floats(0, 14))
    def pass_time(self, hours: float) -> None:
        self.now += int(hours * 3_600_000)

    def _held(self) -> dict[str, float]:
        today = self.now // DAY_MS
        return {name: s for name, (day, s) in self.granted_on.items() if day == today}

    def _total(self) -> float:
        return sum(self._held().values()) + sum(self.made.get(self.now // DAY_MS, []))

    @invariant()
    def the_sum_is_what_was_granted_and_made(self) -> None:
        assert Day.of(self.stored, self.now).total == pytest.approx(self._total(), abs=2)

    @invariant()
    def no_day_is_over_by_more_than_a_book(self) -> None:
        parts = [*self._held().values(), *self.made.get(self.now // DAY_MS, [])]
        # Without the longest of them it would not be over.
        assert sum(parts) - max(parts, default=0) < HOUR + 1


TestOneDayOverReplicas = OneDayOverReplicas.TestCase


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_no_shape_is_an_error(value: Any) -> None:
    node = {"day": 20_000, "seconds": value, "granted": {"a": value}}
    for stored in (value, node):
        assert Day.of(stored, NOON).total >= 0
        assert settle(stored, name="b", seconds=1, now_ms=NOON) is None


# With a database.


def budgets(project: MemoryProject, **limits: Any) -> Budgets:
    given: Any = project
    return Budgets(given, lambda: Limits(**limits), PACE)


def ending(outcome: str, **more: Any) -> Ending:
    claim = Claim("t", "w", 1, 0, "h", 1, 7, 0)
    facts = {"audioSeconds": 50.0}
    return Ending(
        "b", outcome, claim, facts=facts, book={"narrativeAudioRequestedBy": "ada"}, **more
    )


def day_of(project: MemoryProject, who: str) -> Day:
    return Day.of(project.tree["narrationBudgets"][who], SERVER_NOW)


ADA = hashlib.sha256(b"ada").hexdigest()
BOTH = {"audio_hours_per_day": 0.1, "requester_audio_hours_per_day": 0.05}


def test_a_request_counts_towards_the_requesters_and_the_catalogues() -> None:
    project = MemoryProject()
    one = budgets(project, **BOTH)
    assert one.ask("ada", "r1", "x" * 2000) is None
    assert day_of(project, ADA).granted == {"r1": 140}
    assert day_of(project, "catalogue").granted == {"r1": 140}
    assert one.ask("ada", "r2", "x" * 2000) is None
    whose, until = one.ask("ada", "r3", "x") or ("", 0)
    assert whose == "ada" and until == one.used_up("ada")
    # Another's, and nobody's, go on until the catalogue's is used up too.
    assert one.ask("bea", "r4", "x" * 2000) is None
    assert one.ask(None, "r5", "x") == (None, until)
    assert (one.used_up("bea"), one.used_up(None)) == (until, until)


def test_a_text_that_will_be_refused_counts_as_the_longest() -> None:
    project = MemoryProject()
    one = budgets(project, audio_hours_per_day=1, max_characters=100)
    one.ask(None, "r", "x" * 10**6)
    one.ask(None, "s", {"x": 1})
    assert day_of(project, "catalogue").granted == pytest.approx({"r": 7, "s": 0})


def test_without_a_budget_nothing_is_asked() -> None:
    project = MemoryProject()
    one = budgets(project)
    assert not one.concern("ada") and one.ask("ada", "r", "x") is None
    assert one.used_up("ada") is None
    one.end(ending("published"))
    assert project.calls == []


@pytest.mark.parametrize(
    ("outcome", "seconds", "left"),
    [
        ("published", 50, 0),
        ("failed", 0, 0),
        ("cancelled", 0, 0),
        ("superseded", 0, 0),
        ("discarded", 0, 0),
        ("gone", 0, 0),
        ("given_back", 0, 1),
        ("retried", 0, 1),
        ("fenced", 0, 1),
    ],
)
def test_an_ending_is_settled_unless_the_request_goes_on(
    outcome: str, seconds: float, left: int
) -> None:
    project = MemoryProject()
    one = budgets(project, **BOTH)
    one.ask("ada", grant_name("b", 7, None), "x" * 2000)
    one.end(ending(outcome))
    for who in (ADA, "catalogue"):
        assert (day_of(project, who).seconds, len(day_of(project, who).granted)) == (seconds, left)


@pytest.mark.parametrize("uid", ["", 5, True, None, {"uid": "x"}])
def test_what_nobody_asked_for_is_settled_with_the_catalogue_alone(uid: Any) -> None:
    project = MemoryProject()
    one = budgets(project, **BOTH)
    one.ask(None, grant_name("b", 7, "p"), "x" * 2000)
    asked = {"narrativeAudioRequestedBy": uid, "narrativeAudioPath": "p"}
    one.end(replace(ending("published"), book=asked))
    assert list(project.tree["narrationBudgets"]) == ["catalogue"]
    assert day_of(project, "catalogue") == Day(SERVER_NOW // DAY_MS, 50, {})


def test_rules_without_the_node_hold_nobody_up_who_only_reads() -> None:
    project = MemoryProject()
    project.fail("get /narrationBudgets", refusal(401))
    assert budgets(project, **BOTH).used_up("ada") is None
    project.fail("get /narrationBudgets", refusal(503))
    with pytest.raises(Unavailable):
        budgets(project, **BOTH).used_up("ada")


# In the queue.


@pytest.fixture
def budgeted(desk: Desk) -> Desk:  # noqa: F811
    project: Any = desk.project
    limits = Limits(audio_hours_per_day=10 / 3600, requester_audio_hours_per_day=5 / 3600)
    desk.picker._budgets = Budgets(project, lambda: limits, PACE)
    desk.picker._random_unit = lambda: 0.5
    return desk


def long_book(desk: Desk, book_id: str, uid: str | None = None, **fields: Any) -> None:  # noqa: F811
    by: dict[str, Any] = {} if uid is None else {"narrativeAudioRequestedBy": uid}
    desk.add(book_id, narrative="x" * 100, **by, **fields)


def reasons(desk: Desk) -> dict[str, int]:  # noqa: F811
    waits = of_candidates(
        desk.waiting.candidates,
        desk.now,
        SERVER_NOW,
        limited=desk.waiting.limited(desk.now),
        limit=2,
        over_budget=desk.waiting.over_budget(desk.now),
    )
    return {str(reason): count for reason, count in waits.counts.items() if count}


def test_what_is_over_waits_and_holds_nobody_else_up(budgeted: Desk) -> None:
    long_book(budgeted, "a1", "ada", narrativeAudioRequestedAt=1)
    long_book(budgeted, "a2", "ada", narrativeAudioRequestedAt=2)
    long_book(budgeted, "b1", "bea", narrativeAudioRequestedAt=3)
    assert budgeted.pick() == ("a1", "claimed")
    attempted = budgeted.picker.claim_next()
    assert attempted is not None and attempted.verdict.value == "later"
    until = (SERVER_NOW // DAY_MS + 1) * DAY_MS
    assert attempted.wait_seconds == (until - SERVER_NOW) / 1000
    assert budgeted.pick() == ("b1", "claimed")
    assert budgeted.pick() is None
    assert reasons(budgeted) == {"budget": 1}
    waits = of_records(
        budgeted.project.shelf | {"b1": {}},
        lambda _uid: None,
        limit=2,
        now_ms=SERVER_NOW,
        used_up=budgeted.picker._budgets.used_up,  # type: ignore[union-attr]
    )
    assert (waits["a2"].reason, waits["a2"].until) == (Reason.BUDGET, until)


def test_the_catalogues_budget_holds_for_those_who_give_no_name(budgeted: Desk) -> None:
    for number in range(3):
        long_book(budgeted, f"n{number}", narrativeAudioRequestedAt=number + 1)
    assert [budgeted.pick(), budgeted.pick()] == [("n0", "claimed"), ("n1", "claimed")]
    assert budgeted.pick() == ("n2", "later")
    assert budgeted.pick() is None and reasons(budgeted) == {"budget": 1}
    budgeted.now += 60.1
    asked = budgeted.project.count("read /narrationBudgets")
    assert budgeted.pick() == ("n2", "later")
    assert budgeted.project.count("read /narrationBudgets") == asked + 1


def test_a_retry_was_granted_before(budgeted: Desk) -> None:
    long_book(budgeted, "b", "ada", narrativeAudioRequestedAt=1)
    assert budgeted.pick() == ("b", "claimed")
    long_book(budgeted, "other", "ada", narrativeAudioRequestedAt=2)
    assert budgeted.pick() == ("other", "later")
    book = budgeted.project.shelf["b"]
    book["narrativeAudioStatus"] = "requested"
    del book["narrativeAudioClaim"]["token"]
    budgeted.waiting.offer("b", book, SERVER_NOW)
    assert budgeted.pick() == ("b", "claimed")
    assert book["narrativeAudioClaim"].get("token") is None
    assert budgeted.project.shelf["b"]["narrativeAudioClaim"]["attempt"] == 2
