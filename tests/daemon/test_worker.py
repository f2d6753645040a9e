"""The life of the process, with parts that do nothing by themselves."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from narrator_daemon.daemon import worker as life
from narrator_daemon.daemon.loading import Loading
from narrator_daemon.daemon.sharing import Sharing
from narrator_daemon.daemon.worker import Parts, Worker
from narrator_daemon.errors import ConfigError, Unavailable
from narrator_daemon.firebase.subscription import StreamState
from narrator_daemon.health.ask import ask
from narrator_daemon.health.condition import Condition
from narrator_daemon.settings import Settings
from narrator_daemon.speech import SpeechError
from narrator_daemon.speech.tone import ToneSpeech
from tests.actors import wait_until


class Loop:
    def __init__(self, name: str, house: House) -> None:
        self.name = name
        self.alive = False
        self._house = house

    def start(self) -> None:
        self.alive = True
        self._house.did.append(f"start {self.name}")

    def stop(self, timeout: float) -> None:
        self.alive = False
        self._house.did.append(f"stop {self.name}")


class Job:
    """A job that ends when it is asked at a boundary, or only when its book is taken from it."""

    stuck = False

    def __init__(self, house: House, *, hears: bool = True) -> None:
        self._house = house
        self._hears = hears

    def give_back_at_boundary(self) -> None:
        self._house.did.append("boundary")
        if self._hears:
            self._house.at_work.remove(self)

    def give_back_now(self) -> None:
        self._house.did.append("now")
        self._house.at_work.remove(self)


class Settling(Job):
    """A job whose own thread has come to its outcome: there is nothing to give back."""

    def __init__(self, house: House) -> None:
        super().__init__(house, hears=False)

    def give_back_now(self) -> None:
        self._house.did.append("now")
        threading.Timer(0.2, self._tell).start()

    def _tell(self) -> None:
        self._house.did.append("told")
        self._house.at_work.remove(self)


class Engine(ToneSpeech):
    def __init__(self, house: House) -> None:
        super().__init__()
        self.fault: Exception | None = None
        self._house = house

    def load(self) -> None:
        if self.fault is not None:
            raise self.fault

    def close(self) -> None:
        self._house.did.append("close engine")


class House:
    """Parts that write down what is done with them; in itself leases, in_work, presence, …."""

    capacity = 2
    engine_is_broken = False
    broken = False

    def __init__(self, folder: Path, **daemon: Any) -> None:
        self.did: list[str] = []
        self.at_work: list[Any] = []
        self.let_go_at: list[float] = []
        self.told: list[Condition] = []
        self.farewell: Exception | None = None
        self.settings = Settings.model_validate(
            {"daemon": {"state_dir": folder / "state", "worker_id": "w", **daemon}}
        )
        self.loops = [Loop("claimer", self), Loop("heart", self)]
        self.engine = Engine(self)
        self.loading = Loading(self.engine)
        self.stopping = threading.Event()
        me: Any = self
        loops: Any = self.loops
        desk: Any = SimpleNamespace(
            name="",
            subscription=me,
            loops=loops,
            claimer=loops[0],
            in_work=me,
            leases=me,
            presence=me,
            gauges=me,
        )
        sharing = Sharing(lambda: self.capacity)
        sharing.join(me, lambda: False, lambda: None)
        self.parts = Parts(
            self.engine,
            self.loading,
            [desk],
            sharing,
            me,
            [self.service()],
            self.stopping,
            {"engine": "tone"},
            me,
            lambda: self.did.append("reload"),
        )
        self.worker = Worker(self.settings, self.parts, me)
        self.status: int | None = None

    # The subscription.

    def start(self) -> None:
        self.did.append("start stream")

    def stop(self) -> None:
        self.did.append("stop stream")

    # What is in work.

    @property
    def jobs(self) -> list[Any]:
        return list(self.at_work)

    @property
    def stuck(self) -> int:
        return sum(job.stuck for job in self.at_work)

    def __len__(self) -> int:
        return len(self.at_work)

    # Leases, presence, gauges, and the service manager.

    def let_go(self, now: float) -> None:
        self.let_go_at.append(now)

    def leave(self) -> None:
        self.did.append("leave")
        if self.farewell is not None:
            raise self.farewell

    def read(self, phase: Any) -> Condition:
        return Condition(
            phase=phase,
            worker="w",
            engine="tone",
            device="cpu",
            loaded=self.loading.loaded,
            down={},
            stream=StreamState("live"),
            since_event=0.0,
            late={},
            stuck=self.stuck,
            in_work=len(self),
            leases=0,
            since_beat=None,
            since_reconcile=0.0,
            queue_depth=0,
            oldest_request=None,
        )

    def tell(self, condition: Condition) -> None:
        self.told.append(condition)

    @contextmanager
    def service(self) -> Iterator[object]:
        self.did.append("open service")
        yield
        self.did.append("close service")

    # A life.

    def live(self) -> threading.Thread:
        def run() -> None:
            self.status = self.worker.work()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def wait_open(self) -> None:
        wait_until(lambda: "start heart" in self.did, "the loops to start")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that looks about itself more often than once a second."""
    monkeypatch.setattr(life, "_STATE_SECONDS", 0.02)
    monkeypatch.setattr(life, "_FAREWELL_SECONDS", 0.3)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def ended(thread: threading.Thread) -> None:
    thread.join(60)
    assert not thread.is_alive()


def test_a_life_from_start_to_stop(house: House, tmp_path: Path) -> None:
    thread = house.live()
    house.wait_open()
    wait_until(lambda: house.told[-1].phase == "running", "the state of one that runs")
    assert ask(tmp_path / "state").report["status"] == "healthy"
    wait_until(lambda: len(house.let_go_at) > 1, "looks at the leases")
    house.worker.stop()
    ended(thread)
    assert house.status == 0
    assert house.did == [
        "open service",
        "start stream",
        "start claimer",
        "start heart",
        "stop stream",
        "stop claimer",
        "leave",
        "stop claimer",
        "stop heart",
        "close service",
        "close engine",
    ]
    phases = [condition.phase for condition in house.told]
    assert phases[0] == "starting" and phases[-1] == "stopping"
    assert ask(tmp_path / "state").report["status"] == "not running"


def test_signals_stop_it_and_have_settings_read_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)

    def run() -> None:
        house.status = house.worker.run()

    thread = threading.Thread(target=run)
    thread.start()
    house.wait_open()
    for times in (1, 2):
        handlers[signal.SIGHUP](signal.SIGHUP, None)
        wait_until(lambda times=times: house.did.count("reload") == times, "the settings")
    told = len(house.told)
    wait_until(lambda: len(house.told) > told + 3, "some looks about itself")
    assert house.did.count("reload") == 2
    assert set(handlers) == {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    ended(thread)
    assert house.status == 0


def test_one_that_still_loads_is_not_broken(house: House) -> None:
    go_on = threading.Event()
    house.engine.load = lambda: go_on.wait(90)  # type: ignore[method-assign]
    thread = house.live()
    wait_until(lambda: len(house.told) > 3, "some looks about itself")
    assert thread.is_alive() and not house.worker._is_broken()
    go_on.set()
    house.wait_open()
    house.worker.stop()
    ended(thread)
    assert house.status == 0


def test_one_that_is_stopped_while_it_loads_opens_nothing(house: House) -> None:
    house.worker.stop()
    ended(house.live())
    assert house.status == 0
    assert not [what for what in house.did if what.startswith("start")]


def test_an_engine_that_cannot_be_loaded_ends_it(house: House) -> None:
    house.engine.fault = SpeechError("engine_error", "no weights")
    ended(house.live())
    assert house.status == 1
    assert "leave" not in house.did
    assert "close engine" in house.did


def test_a_loop_that_died_ends_it(house: House) -> None:
    thread = house.live()
    house.wait_open()
    with structlog.testing.capture_logs() as logged:
        house.loops[1].alive = False
        ended(thread)
    assert house.status == 1
    (died,) = [event for event in logged if event["event"] == "loop_died"]
    assert died["loops"] == ["heart"]


def test_an_engine_that_is_broken_ends_it(house: House) -> None:
    thread = house.live()
    house.wait_open()
    house.engine_is_broken = True
    ended(thread)
    assert house.status == 1


def test_one_that_cannot_narrate_a_sentence_of_its_own_ends_it(house: House) -> None:
    thread = house.live()
    house.wait_open()
    house.broken = True
    ended(thread)
    assert house.status == 1


def test_an_engine_that_hangs_on_all_books_ends_it_with_no_grace(house: House) -> None:
    first, second = Job(house, hears=False), Job(house, hears=False)
    house.at_work += [first, second]
    first.stuck = True
    thread = house.live()
    house.wait_open()
    wait_until(lambda: house.told[-1].stuck == 1, "the state with one that hangs")
    assert thread.is_alive()
    second.stuck = True
    ended(thread)
    assert house.status == 1
    assert house.did.count("now") == 2


class TestStopping:
    def test_what_can_be_finished_in_time_is(self, house: House) -> None:
        house.at_work.append(Job(house))
        thread = house.live()
        house.wait_open()
        before = len(house.let_go_at)
        house.worker.stop()
        wait_until(lambda: house.told[-1].phase == "stopping", "it to stop")
        wait_until(lambda: len(house.let_go_at) > before + 1, "looks at the leases")
        assert "boundary" not in house.did
        house.at_work.clear()
        ended(thread)
        assert house.status == 0
        assert "boundary" not in house.did and "now" not in house.did

    def test_what_cannot_is_given_back_at_its_boundary(self, tmp_path: Path) -> None:
        house = House(tmp_path, grace_seconds=0.1)
        house.at_work += [Job(house), Job(house)]
        thread = house.live()
        house.wait_open()
        house.worker.stop()
        ended(thread)
        assert house.did.count("boundary") == 2
        assert "now" not in house.did
        assert house.did.index("boundary") < house.did.index("leave")

    def test_and_from_outside_where_it_has_none(self, tmp_path: Path) -> None:
        house = House(tmp_path, grace_seconds=0)
        house.at_work += [Job(house), Job(house, hears=False)]
        thread = house.live()
        house.wait_open()
        house.worker.stop()
        ended(thread)
        assert house.did.count("boundary") == 2
        assert house.did.count("now") == 1

    def test_one_that_is_settling_just_then_is_waited_for(self, tmp_path: Path) -> None:
        house = House(tmp_path, grace_seconds=0)
        settling = Settling(house)
        house.at_work.append(settling)
        thread = house.live()
        house.wait_open()
        house.worker.stop()
        ended(thread)
        assert house.did.index("now") < house.did.index("told") < house.did.index("stop heart")

    def test_asked_twice_it_does_not_wait(self, house: House) -> None:
        house.at_work.append(Job(house))
        thread = house.live()
        house.wait_open()
        house.worker.stop()
        wait_until(lambda: house.told[-1].phase == "stopping", "it to stop")
        assert thread.is_alive()
        house.worker.stop()
        ended(thread)
        assert "boundary" in house.did

    def test_a_farewell_that_is_not_taken_is_no_failure(self, house: House) -> None:
        house.farewell = Unavailable("database", "503")
        thread = house.live()
        house.wait_open()
        with structlog.testing.capture_logs() as logged:
            house.worker.stop()
            ended(thread)
        assert house.status == 0
        assert "farewell_failed" in [event["event"] for event in logged]

    def test_an_engine_that_does_not_come_back_from_closing_keeps_nobody(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        release = threading.Event()
        monkeypatch.setattr(house.engine, "close", lambda: release.wait(90))
        thread = house.live()
        house.wait_open()
        house.worker.stop()
        ended(thread)
        release.set()


def test_two_cannot_have_one_state_folder(tmp_path: Path) -> None:
    first, second = House(tmp_path), House(tmp_path)
    thread = first.live()
    first.wait_open()
    with pytest.raises(ConfigError, match="another daemon runs in"):
        second.worker.work()
    assert second.did == []
    first.worker.stop()
    ended(thread)


def test_a_service_that_cannot_be_opened_ends_it_before_anything_begins(
    house: House, tmp_path: Path
) -> None:
    @contextmanager
    def taken() -> Iterator[object]:
        raise ConfigError("is taken", where="[metrics] port")
        yield

    services: Any = house.parts.services
    services.append(taken())
    with pytest.raises(ConfigError, match="is taken"):
        house.worker.work()
    assert house.did == ["open service", "close engine"]
    assert ask(tmp_path / "state").report["status"] == "not running"


def test_farewells_are_made_at_once_and_waited_for_until_there_is_no_time() -> None:
    done: list[str] = []
    met, go_on = threading.Barrier(2), threading.Event()

    def last(name: str) -> Callable[[], None]:
        def farewell() -> None:
            met.wait(90)  # neither waits for the other to end
            time.sleep(0.05)
            done.append(name)

        return farewell

    life._within(20, [last("a"), last("b")])
    assert sorted(done) == ["a", "b"]
    life._within(0.01, [lambda: go_on.wait(90)])  # one that hangs is left behind
    go_on.set()
