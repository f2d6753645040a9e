"""What is done for books in work: beats while they get on, looks at what became of them."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import structlog

from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.work import Work
from narrator_daemon.daemon.heart import Heart
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.daemon.minder import Minder
from narrator_daemon.daemon.presence import Presence
from narrator_daemon.daemon.tally import Tally
from narrator_daemon.errors import Unavailable
from narrator_daemon.settings import Settings
from narrator_daemon.speech.tone import ToneSpeech
from tests.memory import SERVER_NOW, MemoryProject, refusal

REQUESTED = {"narrative": "A", "narrativeAudioStatus": "requested"}


class Job:
    """A job as far as beats and looks concern it."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.stuck = False
        self.hangs = False
        self.seconds_left = None
        self.watched: list[tuple[float, float, float]] = []

    def watch(self, now: float, patience: float, *, awake_since: float) -> None:
        self.watched.append((now, patience, awake_since))
        self.stuck = self.hangs


class World:
    def __init__(self) -> None:
        self.project = MemoryProject({"a": REQUESTED, "b": REQUESTED})
        project: Any = self.project
        self.leases = Leases(project, "w", 45.0)
        self.claims = Claims(project, Settings(), "voice", lambda *_: False, self.leases)
        self.in_work = InWork(lambda: 4)
        self.now = 50.0
        self.presence = Presence(project, "w", ToneSpeech(), self.in_work, Tally())
        self.heart = Heart(
            self.leases,
            self.in_work,
            self.presence,
            beat_seconds=10.0,
            stuck_seconds=300.0,
            clock=lambda: self.now,
        )

    def job(self, book_id: str) -> Job:
        self.project.shelf.setdefault(book_id, dict(REQUESTED))
        work = self.claims.claim(book_id).work
        assert work is not None
        self.leases.hold(work)
        job = Job(work)
        held: Any = job
        self.in_work.add(held)
        return job

    def beat(self, job: Job) -> Any:
        return self.project.tree["narrationLeases"][job.work.book_id][job.work.token]["beat"]


@pytest.fixture
def world() -> World:
    return World()


def test_a_beat_changes_the_leases_of_all_that_get_on(world: World) -> None:
    well, hung = world.job("a"), world.job("b")
    hung.hangs = True
    before = world.beat(well), world.beat(hung)
    assert world.heart.beat() == 10
    assert world.beat(well) != before[0]
    assert world.in_work.stuck == 1
    assert world.beat(hung) == before[1]
    assert well.watched == [(50.0, 300.0, 50.0)]
    hung.hangs = False
    world.heart.beat()
    assert world.beat(hung) != before[1]


def test_the_time_in_which_the_process_slept_makes_no_job_stuck(world: World) -> None:
    job = world.job("a")
    for _ in range(3):
        world.heart.beat()
        world.now += 30.0
    world.now += 0.1
    world.heart.beat()
    world.now += 10.0
    world.heart.beat()
    assert [since for _, _, since in job.watched] == [50.0, 50.0, 50.0, 140.1, 140.1]


def test_each_beat_shows_the_worker(world: World) -> None:
    world.job("a")
    world.heart.beat()
    entry = world.project.tree["narrationWorkers"]["w"]
    assert (entry["inWork"], entry["atOnce"], entry["at"]) == (1, 4, SERVER_NOW)
    assert entry["lately"]["books"] == 0


class TestPresence:
    why = "no room; token=secret"

    def show(self, world: World, *, wall_ms: int = SERVER_NOW, times: int = 2) -> Presence:
        project: Any = world.project
        presence = Presence(
            project,
            "w",
            ToneSpeech(),
            world.in_work,
            Tally(),
            lambda: {"disk": self.why},
            refused=lambda: {f"b{n:02}": "401; token=secret" for n in range(12)},
            wall_ms=lambda: wall_ms,
            clock=lambda: world.now,
        )
        for _ in range(times):
            presence.show()
        return presence

    def test_says_what_keeps_it_from_claiming(self, world: World) -> None:
        self.show(world)
        entry = world.project.tree["narrationWorkers"]["w"]
        assert entry["down"] == {"disk": "no room; token=…"}
        assert entry["emulated"] is False

    def test_says_no_more_than_a_few_words(self, world: World) -> None:
        self.why = "x" * 1000
        self.show(world)
        assert world.project.tree["narrationWorkers"]["w"]["down"] == {"disk": "x" * 300}

    def test_names_some_of_the_books_that_are_refused(self, world: World) -> None:
        self.show(world)
        entry = world.project.tree["narrationWorkers"]["w"]
        assert entry["refused"] == {f"b{n:02}": "401; token=…" for n in range(10)}

    @pytest.mark.parametrize(
        ("ahead", "events"),
        [
            (0.2, []),
            (4.9, []),
            (5.0, [("clock_off", "warning")]),
            (59.9, [("clock_off", "warning")]),
            (60.0, [("clock_off", "error")]),
            (-3600.0, [("clock_off", "error")]),
        ],
    )
    def test_learns_how_far_the_clock_is_off(
        self, world: World, ahead: float, events: list[tuple[str, str]]
    ) -> None:
        with structlog.testing.capture_logs() as logged:
            presence = self.show(world, wall_ms=SERVER_NOW + int(1000 * ahead), times=4)
        assert presence.clock_offset == ahead
        assert [(event["event"], event["log_level"]) for event in logged] == events

    def test_looks_at_its_entry_soon_and_then_now_and_then(self, world: World) -> None:
        self.show(world, times=1)
        assert world.project.count("get /narrationWorkers") == 0
        self.show(world, times=2)
        assert world.project.count("get /narrationWorkers") == 1
        self.show(world, times=13)
        assert world.project.count("get /narrationWorkers") == 1 + 2

    def test_finds_another_that_has_its_id(self, world: World) -> None:
        mine, other = self.show(world), self.show(world, times=1)
        assert not mine.is_double
        with structlog.testing.capture_logs() as logged:
            for _ in range(12):
                mine.show()
                other.show()
        assert mine.is_double and other.is_double
        assert [event["event"] for event in logged] == ["worker_id_taken"] * 2
        world.now += 59
        assert mine.is_double
        world.now += 1
        assert not mine.is_double

    def test_takes_the_entry_of_a_dead_one_for_what_it_is(self, world: World) -> None:
        self.show(world)
        assert not self.show(world).is_double

    def test_forgets_what_it_wrote_where_no_answer_came(self, world: World) -> None:
        presence = self.show(world)
        world.project.fail("set /narrationWorkers", refusal(503), times=1)
        with pytest.raises(Unavailable):
            presence.show()
        reads = world.project.count("get /narrationWorkers")
        presence.show()
        assert world.project.count("get /narrationWorkers") == reads


def test_a_beat_that_is_not_taken_is_told(world: World) -> None:
    world.job("a")
    world.project.fail("update /narrationLeases", refusal(503))
    with pytest.raises(Unavailable):
        world.heart.beat()


class TestLooks:
    def test_the_next_is_a_second_after_this_began(self, world: World) -> None:
        times = iter([100.0, 100.25, 200.0, 205.0])
        minder = Minder(world.claims, world.in_work, clock=lambda: next(times))
        assert [minder.look(), minder.look()] == [0.75, 0]

    def look(self, world: World) -> None:
        minder = Minder(world.claims, world.in_work)
        assert minder.look() <= 1

    def test_nothing_new_stops_nothing_and_is_asked_of_two_leaves(self, world: World) -> None:
        job = world.job("a")
        for _ in range(3):
            self.look(world)
        assert job.work.stopped is None
        assert world.project.count("get /books/a$") == 0
        assert world.project.count("get /books/a/") == 6

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"narrativeAudioStatus": None}, Verdict.CANCELLED),
            ({"narrative": "B", "narrativeAudioStatus": "requested"}, Verdict.SUPERSEDED),
            ({"narrativeAudioStatus": "ready"}, Verdict.DISCARDED),
            ({"narrativeAudioClaim": None}, Verdict.FENCED),
        ],
    )
    def test_what_the_frontend_did_stops_the_work(
        self, world: World, change: dict[str, Any], why: Verdict
    ) -> None:
        job = world.job("a")
        self.look(world)
        book = world.project.shelf["a"]
        book.update(change)
        self.look(world)
        assert job.work.stopped is why

    def test_a_deleted_book_stops_it_too(self, world: World) -> None:
        job = world.job("a")
        del world.project.shelf["a"]
        self.look(world)
        assert job.work.stopped is Verdict.GONE

    def test_asked_again_with_the_same_text_goes_on_until_it_is_edited(self, world: World) -> None:
        job = world.job("a")
        book = world.project.shelf["a"]
        book["narrativeAudioStatus"] = "requested"
        self.look(world)
        assert job.work.stopped is None
        book["narrative"] = "B"
        self.look(world)
        assert job.work.stopped is Verdict.SUPERSEDED

    def test_several_are_looked_at_at_a_time(self, world: World) -> None:
        for number in range(64):
            world.job(f"b{number}")
        at_once = threading.Barrier(10)

        def meet() -> None:
            at_once.wait(60)

        world.project.at_each("get /books/b[0-9]/narrativeAudioStatus", meet)
        self.look(world)
        assert world.project.count("get /books/") == 128
        del world.project.shelf["b63"]
        world.project.mend()
        self.look(world)
        stopped = [job.work.book_id for job in world.in_work.jobs if job.work.stopped]
        assert stopped == ["b63"]

    def test_an_outage_is_told(self, world: World) -> None:
        for number in range(20):
            world.job(f"b{number}")
        world.project.fail("get /books/b7/", refusal(503))
        with pytest.raises(Unavailable):
            self.look(world)

    def test_one_that_stops_already_is_not_asked_after(self, world: World) -> None:
        job = world.job("a")
        job.work.stop(Verdict.FENCED)
        self.look(world)
        assert world.project.count("get /books/a") == 0

    def test_a_fault_with_one_book_does_not_keep_the_others_from_being_looked_at(
        self, world: World
    ) -> None:
        world.job("a")
        other = world.job("b")
        del world.project.shelf["b"]
        world.project.fail("get /books/a/", ValueError("malformed"))
        with structlog.testing.capture_logs() as logged:
            self.look(world)
        assert other.work.stopped is Verdict.GONE
        assert [event["book"] for event in logged if event["event"] == "item_failed"] == ["a"]
