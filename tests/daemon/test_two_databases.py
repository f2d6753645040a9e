"""One daemon on two databases: both are served fairly, and what goes wrong with one stays there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.speech.tone import ToneSpeech
from tests.actors import Frontend, Inside, wait_until

TWO = '[[firebase]]\nname = "fiction"\n\n[[firebase]]\nname = "children"\n'


@pytest.fixture
def frontends(firebase: LocalFirebase) -> Iterator[dict[str, Frontend]]:
    """Of each database."""
    base = firebase.endpoints["database_url"].split("?")[0]
    names = ("fiction", "children")
    made = {name: Frontend({"database_url": f"{base}?ns={name}"}) for name in names}
    yield made
    for one in made.values():
        with one:
            pass


def test_books_of_both_are_read_and_each_knows_of_the_worker(
    start_inside: Callable[..., Inside], frontends: dict[str, Frontend]
) -> None:
    inside = start_inside(file=TWO, daemon__books_at_once=2).wait_ready()
    for name, frontend in frontends.items():
        frontend.add_requested("same-id", f"A book of {name}.")
    books = {name: one.wait_for("same-id", "ready") for name, one in frontends.items()}
    assert books["fiction"]["narrativeAudioPath"] != books["children"]["narrativeAudioPath"]
    for frontend in frontends.values():
        (entry,) = frontend.wait_for_history("same-id")
        assert (entry["outcome"], entry["attempt"]) == ("published", 1)
        (worker,) = wait_until(lambda one=frontend: one.node("narrationWorkers").get(), "a worker")
        assert worker == inside.settings.daemon.worker_id
    claimed = inside.logged("claimed")
    assert {one["database"] for one in claimed} == {"fiction", "children"}
    (started,) = inside.logged("starting")
    assert started["databases"] == ["fiction", "children"]
    assert inside.stop() == 0
    assert all(one.node("narrationWorkers").get() is None for one in frontends.values())


class Held(ToneSpeech):
    """Begins once it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def speak(self, segments: Any, **settings: Any) -> Any:
        assert self.go_on.wait(90)
        yield from super().speak(segments, **settings)


def test_a_few_books_do_not_wait_for_the_many_of_the_other(
    start_inside: Callable[..., Inside], frontends: dict[str, Frontend]
) -> None:
    for number in range(12):
        frontends["fiction"].add_requested(f"many{number}", "One of many books.")
    for number in range(3):
        frontends["children"].add_requested(f"few{number}", "One of a few books.")
    engine = Held()
    inside = start_inside(engine, file=TWO, daemon__books_at_once=1).wait_ready()
    wait_until(lambda: inside.condition.queue_depth == 14, "all but the first to be known")
    (_, few) = inside.parts.desks
    step = few.claimer._step
    # Were it for who looks first, it would come last.
    few.claimer._step = lambda: time.sleep(0.2) or step()
    engine.go_on.set()
    for number in range(3):
        frontends["children"].wait_for(f"few{number}", "ready")
    for number in range(12):
        frontends["fiction"].wait_for(f"many{number}", "ready")
    order = [one["database"] for one in inside.logged("claimed")]
    # They take turns, whichever was first.
    assert order[:7].count("children") == 3


def test_one_database_that_is_down_holds_up_its_own_books_alone(
    start_inside: Callable[..., Inside], frontends: dict[str, Frontend]
) -> None:
    inside = start_inside(file=TWO, daemon__books_at_once=1, claims__beat_seconds=0.3).wait_ready()

    def refuse(*_: object, **__: object) -> None:
        raise requests.ConnectionError("refused")

    with pytest.MonkeyPatch.context() as broken:
        (down, _) = inside.projects
        broken.setattr(down.reference()._client.session, "request", refuse)
        wait_until(lambda: "database of fiction" in inside.condition.down, "one to be down")
        frontends["children"].add_requested("b", "A book of the other.")
        frontends["children"].wait_for("b", "ready")
        seen = inside.condition
        assert seen.status == "unhealthy" and "database of children" not in seen.down
        record = seen.as_record()["databases"]
        assert record["fiction"]["status"] == "unhealthy"
        assert record["children"]["status"] == "healthy"
    wait_until(lambda: not inside.condition.down, "both to be up")
    frontends["fiction"].add_requested("b", "A book of the one that was down.")
    frontends["fiction"].wait_for("b", "ready")


def test_one_database_that_hangs_holds_up_its_own_books_alone(
    start_inside: Callable[..., Inside], frontends: dict[str, Frontend]
) -> None:
    inside = start_inside(file=TWO, daemon__books_at_once=1, claims__beat_seconds=0.3).wait_ready()
    wait_until(lambda: inside.condition.since_reconcile is not None, "the first reading")
    asked, go_on = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> None:
        asked.set()
        go_on.wait()
        raise requests.ConnectionError("no answer")

    with pytest.MonkeyPatch.context() as broken:
        (hung, _) = inside.projects
        broken.setattr(hung.reference()._client.session, "request", hang)
        frontends["fiction"].add_requested("b", "A book of the one that hangs.")
        assert asked.wait(90)
        try:
            for number in range(3):
                frontends["children"].add_requested(f"b{number}", "A book of the other.")
            for number in range(3):
                frontends["children"].wait_for(f"b{number}", "ready")
        finally:
            go_on.set()
    frontends["fiction"].wait_for("b", "ready")


def test_one_that_was_told_to_drain_at_the_start_keeps_none_from_ending(
    start_inside: Callable[..., Inside], frontends: dict[str, Frontend]
) -> None:
    frontends["fiction"].node("narrationControl", "fleet").set({"state": "draining"})
    inside = start_inside(file=TWO, claims__beat_seconds=0.3).wait_ready()
    wait_until(lambda: inside.logged("control"), "what is told")
    frontends["children"].add_requested("b", "A book.")
    frontends["children"].wait_for("b", "ready")
    assert inside.status is None
    frontends["children"].node("narrationControl", "fleet").set({"state": "draining"})
    assert inside.wait() == 0


def test_what_an_operator_tells_holds_for_one_database(
    start_inside: Callable[..., Inside], frontends: dict[str, Frontend]
) -> None:
    frontends["fiction"].node("narrationControl", "fleet").set({"state": "paused"})
    inside = start_inside(file=TWO, claims__beat_seconds=0.3).wait_ready()
    for frontend in frontends.values():
        frontend.add_requested("b", "A book.")
    frontends["children"].wait_for("b", "ready")
    wait_until(lambda: inside.condition.waiting.get("operator"), "the reason")
    assert frontends["fiction"].status("b") == "requested"
    # Who has drained one goes on with the other, and ends once both are.
    frontends["children"].node("narrationControl", "fleet").set({"state": "draining"})
    wait_until(lambda: inside.logged("drained"), "the drain of one")
    frontends["fiction"].node("narrationControl", "fleet").delete()
    frontends["fiction"].wait_for("b", "ready")
    assert inside.status is None
    frontends["fiction"].node("narrationControl", "fleet").set({"state": "draining"})
    assert inside.wait() == 0


def test_who_works_off_the_queues_ends_once_both_are_empty(
    start_inside: Callable[..., Inside], frontends: dict[str, Frontend]
) -> None:
    for frontend in frontends.values():
        frontend.add_requested("b", "A book.")
    inside = start_inside(drain=True, file=TWO)
    assert inside.wait() == 0
    assert {one.status("b") for one in frontends.values()} == {"ready"}


class Failing(ToneSpeech):
    """Fails with every text but its own sentence."""

    def speak(self, segments: Any, **settings: Any) -> Any:
        raise MemoryError


def test_a_broken_engine_costs_no_database_an_attempt(
    start_inside: Callable[..., Inside], frontends: dict[str, Frontend]
) -> None:
    for frontend in frontends.values():
        frontend.add_requested("b", "A book.")
    inside = start_inside(Failing(), file=TWO)
    wait_until(lambda: any("narration" in name for name in inside.condition.down), "the fault")
    for frontend in frontends.values():
        wait_until(
            lambda one=frontend: (
                (one.book("b").get("narrativeAudioClaim") or {"attempt": 0})["attempt"] == 0
                and one.status("b") == "requested"
            ),
            "the book to wait at no cost",
        )
