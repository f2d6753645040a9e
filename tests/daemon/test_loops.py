"""The threads that go round, and those that are told of news."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from narrator_daemon.daemon.announcements import Announcements
from narrator_daemon.daemon.loading import Loading
from narrator_daemon.daemon.loops import Loop, every
from narrator_daemon.errors import Contended, NodeRefused, Unavailable
from narrator_daemon.rounds import Round
from narrator_daemon.speech import SpeechError
from narrator_daemon.speech.tone import ToneSpeech
from tests.actors import wait_until

Start = Callable[..., Loop]


@pytest.fixture
def reported() -> list[Unavailable]:
    return []


@pytest.fixture
def start(reported: list[Unavailable]) -> Iterator[Start]:
    started: list[Loop] = []

    def begin(step: Callable[[], float], **pauses: float) -> Loop:
        loop = Loop("looper", step, reported.append, **pauses)
        started.append(loop)
        loop.start()
        return loop

    yield begin
    for loop in started:
        loop.stop(60)


REFUSED = NodeRefused("database", "/narrationWorkers/w cannot be written")


class TestFailures:
    @pytest.mark.parametrize("error", [ValueError("malformed"), REFUSED], ids=["fault", "refused"])
    def test_rounds_that_go_wrong_one_after_the_other_are_counted(
        self, start: Start, reported: list[Unavailable], error: Exception
    ) -> None:
        looked = threading.Event()

        def fail_once_it_was_looked() -> float:
            assert looked.wait(90)
            raise error

        steps = Steps(error, error, error, fail_once_it_was_looked, 0.0, 60.0)
        with structlog.testing.capture_logs():
            loop = start(steps, after_failure=0.01)
            steps.wait_for(4)
            assert (loop.failures, loop.why) == (3, str(error))
            looked.set()
            steps.wait_for(6)
            assert (loop.failures, loop.failed_rounds) == (0, 4)
        assert reported == []

    def test_an_outage_is_no_failure_of_the_loop(
        self, start: Start, reported: list[Unavailable]
    ) -> None:
        down = Unavailable("database", "down")
        steps = Steps(down, down, down, down, 60.0)
        loop = start(steps, after_failure=0.01)
        steps.wait_for(5)
        assert loop.failures == 0 and len(reported) == 4


class Steps:
    """Counts rounds; each gives the next of what was asked for, the last for ever."""

    def __init__(self, *results: float | Exception | Callable[[], float]) -> None:
        self.rounds = 0
        self._results = results

    def __call__(self) -> float:
        self.rounds += 1
        result = self._results[min(self.rounds, len(self._results)) - 1]
        if isinstance(result, Exception):
            raise result
        return result() if callable(result) else result

    def wait_for(self, rounds: int) -> None:
        wait_until(lambda: self.rounds >= rounds, f"round {rounds}")


def test_a_wake_cuts_the_pause_short(start: Start) -> None:
    steps = Steps(3600.0)
    loop = start(steps)
    steps.wait_for(1)
    time.sleep(0.05)
    assert steps.rounds == 1
    loop.wake()
    steps.wait_for(2)


def test_a_wake_in_a_round_brings_another(start: Start) -> None:
    entered, leave = threading.Event(), threading.Event()
    rounds: list[int] = []

    def step() -> float:
        rounds.append(1)
        entered.set()
        leave.wait(60)
        return 3600.0

    loop = start(step)
    assert entered.wait(60)
    loop.wake()
    leave.set()
    wait_until(lambda: len(rounds) == 2, "another round")


def test_an_error_ends_a_round_and_not_the_loop(start: Start, reported: list[Any]) -> None:
    down = Unavailable("storage", "503")
    steps = Steps(down, RuntimeError("a bug"), 3600.0)
    with structlog.testing.capture_logs() as logged:
        loop = start(steps, after_failure=0.01)
        steps.wait_for(3)
    assert loop.alive
    assert reported == [down]
    (failed,) = [event for event in logged if event["event"] == "loop_failed"]
    assert failed["loop"] == "looper"


def test_the_pause_after_an_error_is_its_own(start: Start) -> None:
    steps = Steps(RuntimeError("a bug"), 3600.0)
    start(steps, after_failure=3600.0)
    steps.wait_for(1)
    time.sleep(0.05)
    assert steps.rounds == 1


def test_the_first_round_can_be_put_off(start: Start) -> None:
    steps = Steps(3600.0)
    loop = start(steps, first_after=3600.0)
    time.sleep(0.05)
    assert steps.rounds == 0
    assert loop.overdue_seconds == 0
    loop.wake()
    steps.wait_for(1)


def test_a_round_that_goes_on_is_late(start: Start) -> None:
    entered, leave = threading.Event(), threading.Event()

    def step() -> float:
        entered.set()
        leave.wait(60)
        return 3600.0

    loop = start(step)
    assert entered.wait(60)
    time.sleep(0.1)
    assert loop.overdue_seconds >= 0.1
    leave.set()
    wait_until(lambda: loop.overdue_seconds == 0, "the round to end")


def test_it_ends_after_its_round(start: Start) -> None:
    steps = Steps(3600.0)
    loop = start(steps)
    steps.wait_for(1)
    loop.stop(60)
    assert not loop.alive
    assert steps.rounds == 1


def test_one_that_was_not_started_can_be_stopped() -> None:
    loop = Loop("looper", Steps(1.0), print)
    loop.stop(60)
    assert not loop.alive


def test_every_waits_the_same_whatever_a_call_gives() -> None:
    calls: list[int] = []
    step = every(7.0, lambda: calls.append(1))
    assert [step(), step()] == [7.0, 7.0]
    assert calls == [1, 1]


def test_a_listener_that_fails_costs_no_other_its_news() -> None:
    reported: list[Unavailable] = []
    heard: list[str] = []
    down = Unavailable("database", "503")

    def fail(_news: str) -> None:
        raise down

    def break_down(_news: str) -> None:
        raise RuntimeError("a bug")

    news = Announcements[str](reported.append)
    for listener in (fail, break_down, heard.append):
        news.listen(listener)
    with structlog.testing.capture_logs() as logged:
        news.announce("published")
    assert heard == ["published"]
    assert reported == [down]
    assert [event["event"] for event in logged] == ["listener_failed"]


class TestRound:
    def test_each_item_fails_alone(self) -> None:
        items = Round("look")
        done: list[int] = []
        with structlog.testing.capture_logs() as logged:
            for number in range(5):
                with items.item(book=number):
                    if number == 1:
                        raise ValueError("malformed")
                    if number == 3:
                        raise Contended("database", "busy")
                    done.append(number)
        assert done == [0, 2, 4]
        assert (items.failed, items.put_off) == (1, 1)
        (failed,) = logged
        assert (failed["event"], failed["round"], failed["book"]) == ("item_failed", "look", 1)

    def test_an_outage_ends_it(self) -> None:
        items = Round("look")
        with pytest.raises(Unavailable), items.item(book=1):
            raise Unavailable("database", "503")
        assert (items.failed, items.put_off) == (0, 0)


class TestLoading:
    def test_what_comes_then_comes_once_it_is_ready(self) -> None:
        seen: list[bool] = []
        loading = Loading(ToneSpeech())
        assert not loading.over and not loading.failed
        loading.start(lambda: seen.append(loading.loaded))
        wait_until(lambda: loading.over, "it to load")
        assert seen == [True]
        assert loading.loaded and not loading.failed

    def test_how_long_it_goes_on_is_told_and_after_two_minutes_what_can_be_done(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now, go_on, entered = [1000.0], threading.Event(), threading.Event()
        clock = SimpleNamespace(monotonic=lambda: now[0])
        monkeypatch.setattr("narrator_daemon.daemon.loading.time", clock)

        class Slow(ToneSpeech):
            def load(self) -> None:
                entered.set()
                assert go_on.wait(90)

        loading = Loading(Slow())
        assert loading.state is None
        with structlog.testing.capture_logs() as logged:
            loading.start(lambda: None)
            assert entered.wait(90)
            now[0] = 1119.4
            assert loading.state == "for 119 s"
            now[0] = 1120.0
            assert loading.state is not None
            assert loading.state.startswith("for 120 s; ") and "model fetch" in loading.state
            now[0] = 1120.26
            go_on.set()
            wait_until(lambda: loading.over, "it to load", 20)
        assert loading.state is None
        assert [event["seconds"] for event in logged] == [120.3]

    def test_an_engine_that_cannot_be_loaded_is_told(self) -> None:
        class Broken(ToneSpeech):
            def load(self) -> None:
                raise SpeechError("engine_error", "no weights")

        seen: list[bool] = []
        loading = Loading(Broken())
        with structlog.testing.capture_logs() as logged:
            loading.start(lambda: seen.append(True))
            wait_until(lambda: loading.over, "it to fail")
        assert loading.failed and not loading.loaded
        assert seen == []
        assert [event["why"] for event in logged] == ["no weights"]

    @pytest.mark.parametrize(
        ("fault", "told"),
        [
            (ValueError("a bug"), None),
            (ImportError("cannot import name x"), "a library cannot be loaded"),
        ],
    )
    def test_one_that_breaks_is_logged_with_its_traceback_unless_the_way_out_is_known(
        self, fault: Exception, told: str | None
    ) -> None:
        class Broken(ToneSpeech):
            def load(self) -> None:
                raise fault

        loading = Loading(Broken())
        with structlog.testing.capture_logs() as logged:
            loading.start(lambda: None)
            wait_until(lambda: loading.over, "it to fail")
        (event,) = logged
        assert event["event"] == "engine_failed" and loading.failed
        assert ("why" in event, bool(event.get("exc_info"))) == (told is not None, told is None)
        assert told is None or told in event["why"]
