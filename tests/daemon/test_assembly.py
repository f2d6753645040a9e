"""How the parts of a worker are wired: each by what it brings about."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.failure import ErrorCode, Failure
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.outcome import GiveBack, Retry
from narrator_daemon.daemon import assembly, desk
from narrator_daemon.daemon.loops import Loop
from narrator_daemon.daemon.worker import Parts, Worker
from narrator_daemon.firebase.audio_urls import KEYLESS_LIFETIME
from narrator_daemon.firebase.subscription import Hint
from narrator_daemon.settings import Settings
from narrator_daemon.speech.tone import ToneSpeech
from tests.actors import wait_until
from tests.memory import SERVER_NOW, MemoryProject, refusal

#: With a text that is none, so that whoever claims it is done with it at once.
REQUESTED = {"narrative": 17, "narrativeAudioStatus": "requested"}


class House:
    """The parts of a worker over a database in memory; its loops are started by name."""

    def __init__(self, folder: Path) -> None:
        self.project = MemoryProject()
        self.settings = Settings.model_validate(
            {
                "storage_emulator": "http://127.0.0.1:1",
                "speech": {"engine": "tone"},
                "kept": {"folder": folder},
                "daemon": {"worker_id": "w", "books_at_once": 2},
                "claims": {
                    "reconcile_seconds": 3600,
                    "beat_seconds": 0.1,
                    "lease_ttl_seconds": 0.3 * 4,
                },
            }
        )
        self.parts: Parts = self.made()
        (self.desk,) = self.parts.desks
        self._started: list[Loop] = []

    def made(self, *, drain: bool = False, **settings: Any) -> Parts:
        """The parts, with other settings of a section each where any are given."""
        project: Any = self.project
        engine = ToneSpeech()
        engine.load()
        changed = self.settings.model_copy(update=settings)
        return assembly.parts(changed, engine, [project], drain=drain)

    def start(self, *names: str) -> None:
        for loop in self.parts.loops:
            if loop.name in names:
                loop.start()
                self._started.append(loop)

    def stop(self) -> None:
        self.parts.stopping.set()
        for loop in self._started:
            loop.stop(60)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.project.mend()
    made.stop()


def reconciled(house: House) -> int:
    return house.project.count("query /books by narrativeAudioStatus")


def test_once_a_dependency_is_back_all_that_waits_is_read_again(house: House) -> None:
    house.start("reconciler")
    wait_until(lambda: reconciled(house) == 1, "the first reading")
    house.project.fail("get /narrationLeases", refusal(503), times=1)
    house.start("reaper")
    wait_until(lambda: house.desk.gauges.read("running").down, "the database to be down")
    house.start("prober")
    # One query is the probe's own, and one the reaper's, of what is in work.
    wait_until(lambda: reconciled(house) == 1 + 1 + 1 + 1, "another reading")
    assert not house.desk.gauges.read("running").down


def test_a_reading_that_is_done_wakes_the_claimer(house: House) -> None:
    house.start("control", "claimer")
    wait_until(lambda: house.desk.claimer.overdue_seconds == 0, "the claimer to rest")
    house.project.shelf["b"] = REQUESTED
    house.start("reconciler")
    # The claimer, which knew of nothing, would have looked again after ten seconds.
    wait_until(lambda: house.project.count("write /books/b$"), "the claim")


def test_what_the_stream_brings_is_claimed(house: House) -> None:
    house.start("control", "claimer")
    house.project.shelf["b"] = REQUESTED
    house.desk.subscription._on_hint(Hint({"b": REQUESTED}))
    wait_until(lambda: house.project.count("write /books/b$"), "the claim")


@pytest.fixture
def woken(house: House, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each time the claimer is woken."""
    found: list[str] = []
    monkeypatch.setattr(house.desk.claimer, "wake", lambda: found.append("claimer"))
    return found


def test_a_hint_wakes_the_claimer(house: House, woken: list[str]) -> None:
    house.desk.subscription._on_hint(Hint({"b": REQUESTED}))
    assert woken == ["claimer"]


def test_the_end_of_a_job_wakes_the_claimer(house: House, woken: list[str]) -> None:
    house.project.shelf["b"] = REQUESTED
    house.desk.subscription._on_hint(Hint({"b": REQUESTED}))
    house.start("control")
    wait_until(lambda: len(woken) == 2, "the first look at what an operator tells")
    house.start("claimer")
    wait_until(lambda: len(woken) == 3, "the end of the job")
    assert not house.desk.in_work


def test_everything_that_is_depended_on_is_probed(house: House) -> None:
    names = house.desk.gauges._dependencies.names
    assert set(names) == {"database", "storage", "credentials", "leases", "disk", "narration"}


def test_nothing_is_claimed_until_it_is_known_what_an_operator_tells(house: House) -> None:
    house.project.tree["narrationControl"] = {"fleet": {"state": "paused", "booksAtOnce": 7}}
    house.project.shelf["b"] = REQUESTED
    house.start("reconciler", "claimer")
    wait_until(lambda: len(house.desk.gauges._waiting), "the book to be known")
    house.start("control")
    wait_until(lambda: house.desk.gauges.read("running").control.holds, "the pause")
    assert house.desk.in_work.capacity == 7
    seen = house.desk.gauges.read("running")
    assert (seen.waiting["operator"], seen.waiting["no_room"], seen.claimable_age) == (1, 0, None)
    assert not house.project.count("write /books/b$")


def test_a_drain_is_a_loop_of_its_own(house: House) -> None:
    assert "drain" not in {loop.name for loop in house.parts.loops}
    assert "drain" in {loop.name for loop in house.made(drain=True).loops}


def test_replicas_that_start_together_do_not_sweep_together(house: House) -> None:
    hour = desk._SWEEP_SECONDS
    made = [house.parts, house.made()]
    firsts = [loop._first_after for one in made for loop in one.loops if loop.name == "sweeper"]
    assert len(set(firsts)) == 2
    assert all(0.1 * hour <= first <= hour for first in firsts)


def test_the_public_key_is_warned_of(house: House, tmp_path: Path) -> None:
    key = tmp_path / "watermark.key"
    key.write_text("0123456789abcdef" * 4)
    key.chmod(0o600)
    own = house.settings.watermark.model_copy(update={"key_file": key})
    for settings, warned in (({}, True), ({"watermark": own}, False)):
        with structlog.testing.capture_logs() as logged:
            house.made(**settings)
        assert ("demonstration_key" in {event["event"] for event in logged}) is warned


def test_the_folder_that_fills_is_where_segments_are_kept_or_made(house: House) -> None:
    class Kept:
        def __init__(self, folder: Path | None) -> None:
            self.folder = folder

    for folder, name, there in (
        (Path("/kept"), "kept", Path("/kept")),
        (None, "scratch", Path(tempfile.gettempdir())),
    ):
        kept: Any = Kept(folder)
        found = assembly._folders(house.settings, kept)
        assert set(found) == {"state", name} and found[name][0] == there
        assert found["state"][0] == house.settings.daemon.state_dir


def test_a_worker_is_made_of_these_parts(house: House) -> None:
    project: Any = house.project
    worker = assembly.worker(house.settings, ToneSpeech(), [project])
    assert isinstance(worker, Worker)
    # It goes on where nothing is left to do, unless it was told otherwise.
    assert "drain" not in {loop.name for loop in worker._parts.loops}
    worker = assembly.worker(house.settings, ToneSpeech(), [project], drain=True)
    assert "drain" in {loop.name for loop in worker._parts.loops}


def test_each_ending_is_counted_and_written_down(house: House) -> None:
    house.project.shelf["b"] = REQUESTED
    house.start("reconciler", "control", "claimer")
    wait_until(lambda: "narrationJobs" in house.project.tree, "the history", 10)
    (entry,) = house.project.tree["narrationJobs"]["b"].values()
    assert (entry["outcome"], entry["owner"], entry["attempt"]) == ("failed", "w", 1)
    assert entry["error"]["code"] == "text_not_string"
    assert house.parts.tally.as_record()["failed"] == 1
    wait_until(lambda: not house.desk.in_work, "the job to be over")


@pytest.mark.parametrize(
    "outcome",
    [
        Retry(Failure(ErrorCode.ENGINE_ERROR, ""), SERVER_NOW + 30_000, 5),
        GiveBack(SERVER_NOW + 30_000),
    ],
    ids=["retried", "given back"],
)
def test_what_waits_again_is_known_to_though_nobody_tells(
    house: House, monkeypatch: pytest.MonkeyPatch, outcome: Retry | GiveBack
) -> None:
    """As where more wait than the stream brings."""
    monkeypatch.setattr(desk.Job, "_make", lambda _job: outcome)
    house.project.shelf["b"] = REQUESTED
    house.desk.subscription._on_hint(Hint({"b": REQUESTED}))
    house.start("control", "claimer")
    wait_until(lambda: house.project.count("write /books/b$") == 2, "the claim and its end")
    wait_until(lambda: not house.desk.in_work, "the job to be over")
    (known,) = house.desk.gauges._waiting.candidates
    assert known.known and known.waits_for_retry


def test_each_ending_is_told_to_its_batch(house: House) -> None:
    house.project.shelf["b"] = {**REQUESTED, "narrativeAudioBatch": "one"}
    batch = {"requestedAt": 7, "open": True, "books": {"b": "requested"}}
    house.project.tree["narrationBatches"] = {"one": batch}
    house.start("reconciler", "control", "claimer")
    found: Any = house.project.tree["narrationBatches"]
    wait_until(lambda: found["one"]["books"]["b"] == "failed", "the batch to know")
    assert "open" not in found["one"] or not found["one"]["open"]


def test_where_no_thread_can_be_had_the_book_goes_back_and_it_is_an_outage(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_job: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(desk.Job, "start", no_thread)
    house.project.shelf["b"] = REQUESTED
    house.start("reconciler", "control", "claimer")
    wait_until(lambda: house.desk.gauges.read("running").down, "the outage")
    assert "no work can be begun" in house.desk.gauges.read("running").down["narration"]
    wait_until(lambda: not house.desk.in_work, "the book to be let go of")
    assert house.project.shelf["b"]["narrativeAudioStatus"] == "requested"


def test_settings_that_are_read_again_hold_for_what_is_claimed(house: House) -> None:
    with structlog.testing.capture_logs() as logged:
        house.parts.reload()
    assert [event["event"] for event in logged if event["event"] == "reloaded"] == ["reloaded"]


def test_metrics_are_served_where_there_is_a_port(house: House) -> None:
    made = house.made(metrics=house.settings.metrics.model_copy(update={"port": 9999}))
    assert [type(one).__name__ for one in made.services] == ["closing", "Metrics"]
    assert [type(one).__name__ for one in house.parts.services] == ["closing"]


def test_the_heart_shows_that_the_worker_is_there_and_a_farewell_takes_it_back(
    house: House,
) -> None:
    house.start("heart")
    wait_until(lambda: "narrationWorkers" in house.project.tree, "its entry")
    entry = house.project.tree["narrationWorkers"]["w"]
    assert (entry["engine"], entry["inWork"], entry["atOnce"]) == ("tone", 0, 2)
    house.stop()
    house.desk.presence.leave()
    assert "narrationWorkers" not in house.project.tree


def test_what_a_dead_worker_left_is_taken_up(house: House) -> None:
    other: Any = house.project
    settings = house.settings.model_copy(
        update={"daemon": house.settings.daemon.model_copy(update={"worker_id": "dead"})}
    )
    house.project.shelf["b"] = REQUESTED
    dead = Claims(other, settings, "voice", lambda *_: False, Leases(other, "dead", 1.0))
    assert dead.claim("b").work is not None
    house.start("reaper", "control", "claimer")
    wait_until(lambda: house.project.count("write /books/b$") >= 3, "its claim by another", 10)
    outcomes = [entry["outcome"] for entry in house.project.tree["narrationJobs"]["b"].values()]
    assert "worker_lost" in outcomes


def test_the_condition_has_it_all(house: House) -> None:
    seen = house.desk.gauges.read("starting")
    assert (seen.worker, seen.engine, seen.loaded, seen.device) == ("w", "tone", False, None)
    assert (seen.queue_depth, seen.oldest_request, seen.since_reconcile) == (0, None, None)
    assert seen.late == {} and seen.emulated
    house.project.shelf["b"] = {**REQUESTED, "narrativeAudioRequestedAt": 1_740_000_000_000}
    house.start("reconciler")
    wait_until(lambda: house.desk.gauges.read("running").queue_depth == 1, "the queue")
    seen = house.desk.gauges.read("running")
    assert seen.since_reconcile is not None and seen.oldest_request is not None
    assert seen.oldest_request > 1e6
    assert list(seen.late) == ["reconciler"]


def test_the_condition_says_how_safe_urls_are_and_what_could_not_be_renewed(house: House) -> None:
    seen = house.desk.gauges.read("running")
    assert (seen.renewal_failures, seen.url_expiry) == (0, None)
    house.start("renewer")
    wait_until(lambda: house.desk.gauges.read("running").url_expiry is not None, "a round")
    seen = house.desk.gauges.read("running")
    # Nothing is due, so that all that can be renewed plays for a third of a life.
    assert seen.renewal_failures == 0
    assert seen.url_expiry == KEYLESS_LIFETIME.total_seconds() / 3
