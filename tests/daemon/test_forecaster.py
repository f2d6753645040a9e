"""One replica writes when waiting books will be ready; others, and old rules, cost nothing."""

from __future__ import annotations

from typing import Any

import pytest

from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.leases import Leases
from narrator_daemon.daemon.forecaster import Forecaster, places
from narrator_daemon.errors import Unavailable
from narrator_daemon.queue.forecast import Pace
from narrator_daemon.queue.waiting import Waiting
from narrator_daemon.settings import Settings
from tests.memory import SERVER_NOW, MemoryProject, refusal

TOOK = {"books": 1, "characters": 1000, "seconds": 100.0, "squares": 1e6, "products": 1e5}
LATELY = {"seconds": 3600, "books": 10, "took": TOOK}


def entry(**more: Any) -> dict[str, Any]:
    return {"at": SERVER_NOW, "atOnce": 1, "inWork": 0, "lately": LATELY, **more}


class Desk:
    def __init__(self) -> None:
        self.project = MemoryProject()
        self.project.tree["narrationWorkers"] = {"w": entry()}
        self.waiting = Waiting(lambda: self.now)
        self.now, self.leads, self.limit = 100.0, True, 0
        project: Any = self.project
        claims = Claims(project, Settings(), "voice", lambda *_: False, Leases(project, "w", 45.0))
        self.forecaster = Forecaster(
            project,
            claims,
            self.waiting,
            lambda: self.leads,
            lease_ttl=45.0,
            limit=lambda: self.limit,
            clock=lambda: self.now,
        )

    def ask(self, book_id: str, order: int, characters: int = 100, **more: Any) -> None:
        named = {f"narrativeAudio{name}": value for name, value in more.items()}
        self.project.shelf[book_id] = {
            "narrative": "x" * characters,
            "narrativeAudioStatus": "requested",
            "narrativeAudioRequestedAt": order,
            **named,
        }
        self.waiting.offer(book_id, self.project.shelf[book_id], SERVER_NOW)

    def step(self) -> dict[str, Any]:
        """Seconds until each book that has a time will be ready."""
        self.forecaster.step()
        return {
            book_id: (book["narrativeAudioReadyBy"] - SERVER_NOW) / 1000
            for book_id, book in self.project.shelf.items()
            if "narrativeAudioReadyBy" in book
        }

    @property
    def writes(self) -> int:
        return self.project.count("write /books")


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_books_that_wait_say_when_they_will_be_ready(desk: Desk) -> None:
    desk.ask("b", 2)
    desk.ask("a", 1)
    assert desk.step() == {"a": 10, "b": 20}
    desk.step()
    assert desk.writes == 2


def test_only_what_is_news_is_written_anew(desk: Desk) -> None:
    desk.ask("a", 1)
    desk.ask("b", 2, 5000)
    assert desk.step() == {"a": 10, "b": 510}
    desk.project.tree["narrationWorkers"]["w"] = entry(inWork=1, left=[30])
    assert desk.step() == {"a": 40, "b": 510}
    desk.project.tree["narrationWorkers"]["w"] = entry(inWork=1, left=[300])
    assert desk.step() == {"a": 310, "b": 810}


def test_a_book_that_is_claimed_during_the_look_counts_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.ask("a", 1, 3000)
    desk.ask("b", 2)
    node = desk.project.node

    def claimed_meanwhile(*path: str) -> Any:
        if path == ("narrationWorkers",):
            assert desk.waiting.take(desk.now) is not None
            desk.project.tree["narrationWorkers"]["w"] = entry(inWork=1, left=[300])
        return node(*path)

    monkeypatch.setattr(desk.project, "node", claimed_meanwhile)
    assert desk.step() == {"b": 310}


def test_who_does_not_lead_writes_nothing(desk: Desk) -> None:
    desk.leads = False
    desk.ask("a", 1)
    assert desk.step() == {} and desk.project.calls == []


def test_nothing_is_said_while_nobody_knows_and_what_was_said_goes(desk: Desk) -> None:
    desk.ask("a", 1, ReadyBy=SERVER_NOW + 9_000)
    desk.project.tree["narrationWorkers"]["w"] = entry(lately={"seconds": 5})
    assert desk.step() == {}
    desk.project.tree["narrationWorkers"]["w"] = entry()
    assert desk.step() == {"a": 10}
    desk.project.tree["narrationControl"] = {"fleet": {"state": "paused"}}
    assert desk.step() == {}
    del desk.project.tree["narrationControl"]
    desk.project.tree["narrationWorkers"]["w"] = entry(at=SERVER_NOW - 46_000)
    assert desk.step() == {}


def test_limits_and_times_put_books_off(desk: Desk) -> None:
    desk.limit = 1
    desk.ask("a", 1, RequestedBy="ada")
    desk.ask("b", 2, RequestedBy="ada")
    desk.ask("c", 3, RequestedBy="bea")
    desk.ask("d", 4, NotBefore=SERVER_NOW + 3_600_000)
    assert desk.step() == {"a": 10, "c": 20, "b": 70, "d": 3610}
    desk.waiting.pass_over_budget("bea", 200.0, 100.0)
    assert "c" not in desk.step()


def test_what_cannot_be_claimed_is_left_out_and_what_is_behind_it_is_not(desk: Desk) -> None:
    claim = Claim("t", "x", 1, 0, "hash", 1, 1, SERVER_NOW).as_record()
    desk.ask("a", 1, Claim=claim)
    desk.project.shelf["b"] = {"narrativeAudioStatus": "requested", "narrativeAudioRequestedAt": 2}
    desk.waiting.offer("b", desk.project.shelf["b"], SERVER_NOW)
    desk.ask("c", 3, RequestedBy="ada")
    desk.ask("d", 4)
    desk.waiting.pass_over_budget("ada", 200.0, 100.0)
    assert desk.step() == {"d": 10}


def test_one_book_that_is_refused_holds_no_other_up(desk: Desk) -> None:
    desk.ask("a", 1)
    desk.ask("b", 2)
    # Others keep writing this one.
    desk.project.at_each("write /books/a$", lambda: desk.project.shelf["a"].update(x=desk.writes))
    assert desk.step() == {"b": 20}


def test_a_request_that_is_over_or_another_is_left_alone(desk: Desk) -> None:
    desk.ask("a", 1)
    desk.ask("b", 2)
    desk.ask("c", 3)
    desk.project.shelf["a"]["narrativeAudioRequestedAt"] = 9
    desk.project.shelf["b"]["narrativeAudioStatus"] = "processing"
    del desk.project.shelf["c"]
    assert desk.step() == {}
    assert set(desk.project.shelf) == {"a", "b"}


def test_what_is_asked_for_anew_is_foretold_anew(desk: Desk) -> None:
    desk.ask("a", 1)
    assert desk.step() == {"a": 10}
    desk.ask("a", 2)
    assert desk.step() == {"a": 10}


def test_rules_without_the_field_are_not_asked_again_and_again(desk: Desk) -> None:
    desk.ask("a", 1)
    desk.ask("b", 2)
    desk.project.fail("write /books", refusal(401))
    assert desk.step() == {} and desk.writes == 2  # it makes sure
    desk.step()
    assert desk.writes == 2
    desk.now += 601
    desk.project.mend()
    assert len(desk.step()) == 2


def test_an_outage_is_told(desk: Desk) -> None:
    desk.ask("a", 1)
    desk.project.fail("read /books", refusal(503))
    with pytest.raises(Unavailable):
        desk.step()


def test_writes_are_held_to_what_they_cost_a_fleet(desk: Desk) -> None:
    desk.project.tree["narrationWorkers"] = {f"w{n}": entry() for n in range(1000)}
    for number in range(50):
        desk.ask(f"b{number:02}", number, 5000)
    # 3.75 MB a round; each write sends 5 kB to each of a thousand.
    assert len(desk.step()) == 1


def test_places_are_those_of_workers_that_claim() -> None:
    entries = {
        "a": entry(atOnce=3, inWork=2, left=[40]),
        "b": entry(atOnce=2, lately={}),
        "c": entry(atOnce=9),
        "odd": {"atOnce": "many", "left": "x", "lately": [1], "inWork": -1},
    }
    control = {"workers": {"c": {"state": "paused"}}}
    found = places(entries, control)
    assert sorted(place.free_in for place in found) == [0, 0, 0, 40, 50]
    assert {place.pace for place in found} == {Pace(0, 0.1)}


@pytest.mark.parametrize("lately", [None, [], {"took": "x"}, {"took": {"books": 5}}])
def test_without_a_pace_there_is_no_place(lately: Any) -> None:
    assert places({"a": entry(lately=lately)}, None) == []


def test_what_was_said_of_a_cancelled_request_goes(desk: Desk) -> None:
    desk.ask("a", 1, Priority="bulk")
    desk.ask("b", 2)
    assert desk.step() == {"a": 10, "b": 20} or desk.step() == {"b": 10, "a": 20}
    del desk.project.shelf["a"]["narrativeAudioStatus"]
    desk.project.shelf["b"]["narrativeAudioStatus"] = "processing"
    desk.waiting.forget(["a", "b"])
    assert set(desk.step()) == {"b"}
    assert "narrativeAudioPriority" not in desk.project.shelf["a"]
    reads = desk.project.count("get /books")
    desk.step()
    assert desk.project.count("get /books") == reads


def test_a_round_ends_however_many_were_cancelled(desk: Desk) -> None:
    names = [f"b{n:02}" for n in range(60)]
    for order, name in enumerate(names):
        desk.ask(name, order)
    assert desk.step().keys() == set(names)
    for name in names:
        del desk.project.shelf[name]["narrativeAudioStatus"]
    desk.waiting.forget(names)

    def slowly() -> None:
        desk.now += 0.5

    desk.project.at_each("get /books", slowly)
    left = len(names)
    while left:
        began = desk.now
        said = desk.step()
        assert desk.now - began <= 11 and len(said) < left
        left = len(said)
