"""A short drill, and that the one who judges it sees what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import firebase_admin
import pytest
from firebase_admin import db

from narrator_daemon.claims.book import text_hash
from narrator_daemon.emulator import LocalFirebase
from tests.actors import Frontend, wait_until
from tests.drills import drill
from tests.drills.observer import Observer
from tests.drills.plan import MACHINE_KINDS, NETWORK_KINDS, PROCESS_KINDS, make_plan

CLAIM = {"token": "t1", "owner": "w", "attempt": 1, "inputHash": "h", "take": 1}
IN_WORK = {
    "narrative": "new",
    "narrativeAudioStatus": "processing",
    "narrativeAudioClaim": CLAIM,
}


def test_a_short_drill(tmp_path: Path) -> None:
    plan = make_plan(4, books=25, daemons=3, faults=12, seconds=8)
    result = drill.run(plan, tmp_path, patience=60)
    assert not result.violations, str(result)
    assert result.counts["published"] >= 10


class TestPlan:
    def test_a_seed_decides_all_of_it(self) -> None:
        plans = [make_plan(seed, books=9, daemons=2, faults=9, seconds=9) for seed in (5, 5, 6)]
        assert plans[0] == plans[1] != plans[2]

    def test_no_kind_of_fault_is_left_out(self) -> None:
        plan = make_plan(0, books=1, daemons=4, faults=25, seconds=60)
        done = {action.verb if action.verb != "fault" else action.target for action in plan.actions}
        assert done >= {*PROCESS_KINDS, *NETWORK_KINDS, "set_clock", "fill", "empty"}
        assert len({*PROCESS_KINDS, *NETWORK_KINDS, *MACHINE_KINDS}) < 25

    def test_a_process_is_not_hit_while_it_is_down(self) -> None:
        plan = make_plan(1, books=1, daemons=2, faults=200, seconds=60)
        up = {"start": True, "thaw": True, "kill": False, "terminate": False, "freeze": False}
        running: dict[str, bool] = {"0": True, "1": True}
        for action in plan.actions:
            if action.doer == "process" and action.verb in up:
                assert running[action.target] is not up[action.verb]
                running[action.target] = up[action.verb]
        assert all(running.values())


class TestObserver:
    """A daemon that breaks one rule at a time, acted by hand."""

    @pytest.fixture
    def stage(self) -> Iterator[tuple[Observer, Frontend, Any]]:
        with LocalFirebase(keep_alive_seconds=1.0, storage=False) as firebase:
            options = {"databaseURL": firebase.endpoints["database_url"]}
            app = firebase_admin.initialize_app(options=options, name="a bad daemon")
            with (
                Observer(firebase.endpoints["database_host"], 5) as observer,
                Frontend(firebase.endpoints) as frontend,
            ):
                for text in ("old", "new"):
                    book = {"narrative": text, "narrativeAudioStatus": "requested"}
                    frontend.node().update({"books/b": book})
                yield observer, frontend, lambda path: db.reference(path, app=app)
            firebase_admin.delete_app(app)

    def published(self, text: str = "new", take: int = 1) -> dict[str, Any]:
        return {
            "narrative": "new",
            "narrativeAudioStatus": "ready",
            "narrativeAudioPath": "narrations/b/t1.wav",
            "narrativeAudioFiles": {"m4a": {"path": "narrations/b/t1.m4a"}},
            "narrativeAudioTextHash": text_hash(text),
            "narrativeAudioTake": take,
            "narrativeUpdatedAt": {".sv": "timestamp"},
        }

    def test_a_good_one_passes(self, stage: tuple[Observer, Frontend, Any]) -> None:
        observer, _, node = stage
        node("/books/b").set(IN_WORK)
        node("/books/b").set(self.published())
        wait_until(lambda: not observer.owed(), "the outcome to be seen")
        assert observer.violations == []
        assert [(claim.token, claim.how) for claim in observer.claims] == [("t1", "published")]

    def test_a_publication_with_another_takes_file(
        self, stage: tuple[Observer, Frontend, Any]
    ) -> None:
        observer, _, node = stage
        node("/books/b").set(IN_WORK)
        files = {"m4a": {"path": "narrations/b/t0.m4a"}}
        node("/books/b").set({**self.published(), "narrativeAudioFiles": files})
        self.expect(observer, "other files than of its take")

    def test_a_publication_of_an_older_text(self, stage: tuple[Observer, Frontend, Any]) -> None:
        observer, _, node = stage
        node("/books/b").set(IN_WORK)
        node("/books/b").set(self.published("old"))
        self.expect(observer, "stale")

    def test_a_second_publication(self, stage: tuple[Observer, Frontend, Any]) -> None:
        observer, frontend, node = stage
        node("/books/b").set(IN_WORK)
        node("/books/b").set(self.published())
        frontend.node().update({"books/b/narrativeAudioStatus": "requested"})
        node("/books/b").set(self.published(take=2))
        self.expect(observer, "duplicate")

    def test_a_child_write_that_brings_a_book_back(
        self, stage: tuple[Observer, Frontend, Any]
    ) -> None:
        observer, frontend, node = stage
        frontend.node().update({"books/b": None})
        node("/books/b/narrativeAudioProgress").set(0.5)
        self.expect(observer, "ghost")

    def test_a_cancelled_book_that_is_published(
        self, stage: tuple[Observer, Frontend, Any]
    ) -> None:
        observer, frontend, node = stage
        node("/books/b").set(IN_WORK)
        frontend.node().update({"books/b/narrativeAudioStatus": None})
        node("/books/b").set(self.published())
        self.expect(observer, "transition")

    def test_a_request_that_is_dropped(self, stage: tuple[Observer, Frontend, Any]) -> None:
        observer, _, node = stage
        node("/books/b").set({"narrative": "new"})
        self.expect(observer, "transition")
        assert observer.owed() == ["b"]

    def test_a_failure_without_a_reason(self, stage: tuple[Observer, Frontend, Any]) -> None:
        observer, _, node = stage
        node("/books/b").set(IN_WORK)
        error = {"code": "worker_lost", "message": "Lost.", "attempts": 1}
        failed = {"narrative": "new", "narrativeAudioStatus": "failed"}
        node("/books/b").set({**failed, "narrativeAudioError": error})
        self.expect(observer, "failed for no reason of the plan's")

    def expect(self, observer: Observer, kind: str) -> None:
        wait_until(lambda: observer.violations, f"the observer to see: {kind}")
        kinds = {violation.partition(":")[0] for violation in observer.violations}
        assert kind in kinds
