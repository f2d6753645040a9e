"""What people and machines see of a fleet at work: health, status, explain and metrics."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from narrator_daemon import config
from narrator_daemon.commands.status import Fleet, readings
from narrator_daemon.emulator import LocalFirebase
from tests import processes
from tests.actors import Daemon, Frontend, wait_until
from tests.balky import PROGRAM

TEXT = "It was a bright cold day in April, and the clocks were striking thirteen. " * 2


@dataclass
class Scene:
    """A daemon that has narrated a book, failed another, hangs on a third, and knows a fourth."""

    firebase: LocalFirebase
    frontend: Frontend
    daemon: Daemon
    port: int

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["-m", "narrator_daemon", *words]
        return processes.run(*command, env=self.daemon.environment, cwd=self.daemon.folder)

    def scrape(self) -> dict[str, float]:
        """Every sample by its name and labels, as they are written."""
        answer = requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=60)
        return {
            sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with (
        LocalFirebase(keep_alive_seconds=1.0) as firebase,
        Frontend(firebase.endpoints) as frontend,
    ):
        port = free_port()
        settings = {
            "METRICS__PORT": port,
            "CLAIMS__BEAT_SECONDS": 0.5,
            "CLAIMS__LEASE_TTL_SECONDS": 5,
            "DAEMON__WORKER_ID": "reader-1",
            "DAEMON__BOOKS_AT_ONCE": 1,
        }
        folder = tmp_path_factory.mktemp("watching") / "daemon"
        daemon = Daemon(firebase.environment(), folder, settings, ("-c", PROGRAM))
        try:
            (folder / "load").touch()
            daemon.wait_ready()
            frontend.add_requested("told", TEXT, uid="admin")
            frontend.wait_for("told", "ready")
            frontend.add_requested("number", 17)
            frontend.wait_for("number", "failed")
            (folder / "hang").touch()
            frontend.add_requested("held", TEXT)
            frontend.wait_for("held", "processing")
            frontend.add_requested("later", TEXT)
            frontend.wait_for_history("told")
            wait_until(lambda: daemon.health()[1]["queue_depth"] == 1, "the daemon's state")
            yield Scene(firebase, frontend, daemon, port)
        finally:
            daemon.kill()


@pytest.fixture
def fleet(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    for name, value in scene.firebase.environment().items():
        monkeypatch.setenv(name, value)
    (found,) = readings(config.load(None), None)
    (seen,) = found.values()
    assert isinstance(seen, Fleet)
    return seen


class TestMetrics:
    def test_what_has_happened_is_counted(self, scene: Scene) -> None:
        seen = scene.scrape()
        assert seen['narrator_books_total{"outcome": "published"}'] == 1
        assert seen['narrator_books_total{"outcome": "failed"}'] == 1
        assert seen['narrator_failures_total{"code": "text_not_string"}'] == 1
        assert seen['narrator_failures_total{"code": "engine_error"}'] == 0
        duration = scene.frontend.book("told")["narrativeAudioDuration"]
        assert seen["narrator_audio_seconds_total{}"] == pytest.approx(duration)
        sound = 44 + 48_000 * duration
        # What the file says of itself stands behind the samples; files beside it are smaller.
        assert sound < seen["narrator_upload_bytes_total{}"] < 1.5 * sound
        assert seen["narrator_claim_latency_seconds_count{}"] == 3
        assert seen["narrator_request_to_ready_seconds_count{}"] == 1
        assert 0 < seen["narrator_request_to_ready_seconds_sum{}"] < 20
        for step in ("text", "speech", "mastering", "watermark", "upload"):
            assert seen[f'narrator_step_seconds_count{{"step": "{step}"}}'] == 1

    def test_what_is_is_read(self, scene: Scene) -> None:
        seen = scene.scrape()
        assert seen["narrator_books_in_work{}"] == 1
        assert seen["narrator_leases_held{}"] == 1
        assert seen["narrator_queue_depth{}"] == 1
        assert 0 < seen["narrator_oldest_request_age_seconds{}"] < 120
        assert seen["narrator_stream_up{}"] == seen["narrator_ready{}"] == 1
        assert seen["process_resident_memory_bytes{}"] > 1e7
        assert seen['narrator_build_info{"engine": "tone", "version": "0.1.0"}'] == 1

    def test_no_series_names_a_book_or_a_person(self, scene: Scene) -> None:
        labels = "".join(scene.scrape())
        assert not re.search('"(told|held|later|number|admin|reader-1)"', labels)

    def test_a_port_in_use_is_said(self, scene: Scene, tmp_path: Path) -> None:
        settings = {"METRICS__PORT": scene.port}
        second = Daemon(scene.firebase.environment(), tmp_path / "second", settings)
        try:
            assert second.process.wait(90) == 2
            assert f"[metrics] port: {scene.port} on 127.0.0.1" in second.log
            assert "Traceback" not in second.log
        finally:
            second.kill()


class TestStatus:
    def test_it_shows_the_whole_fleet(self, fleet: Fleet) -> None:
        assert (fleet.queue.depth, fleet.queue.more) == (1, False)
        assert fleet.queue.oldest_seconds is not None
        (held,) = fleet.in_work
        assert (held.book_id, held.owner, held.attempt) == ("held", "reader-1", 1)
        (worker,) = fleet.workers
        assert (worker.worker_id, worker.alive, worker.engine) == ("reader-1", True, "tone")
        assert (worker.in_work, worker.at_once) == (1, 1)
        assert worker.books_per_hour > 0
        assert worker.audio_rate > 0
        (failure,) = fleet.failures
        assert (failure.book_id, failure.code) == ("number", "text_not_string")

    def test_the_command_prints_tables_and_json(self, scene: Scene) -> None:
        told = scene.run("status")
        assert told.returncode == 0, told.stderr
        for part in ("1 waiting", "reader-1", "text_not_string", "held"):
            assert part in told.stdout
        record = json.loads(scene.run("status", "--json").stdout)
        assert record["queue"]["depth"] == 1
        assert record["workers"][0]["worker_id"] == "reader-1"


class TestExplain:
    def test_the_story_of_a_book(self, scene: Scene) -> None:
        told = scene.run("explain", "told")
        assert told.returncode == 0, told.stderr
        (token,) = scene.frontend.node("narrationJobs", "told").get()
        lines = told.stdout.splitlines()
        happened = [line.partition("  ")[2] for line in lines if re.match(r"\d{4}-", line)]
        assert happened[0] == "requested by admin"
        assert happened[1] == "claimed by reader-1 (attempt 1, take 1)"
        assert happened[2].startswith("published, ")
        assert f"book=told token={token}" in told.stdout
        assert "X-Goog-Signature" not in told.stdout

    def test_as_json_with_the_names_of_the_log(self, scene: Scene) -> None:
        story = json.loads(scene.run("explain", "told", "--json").stdout)
        published = story["timeline"][-1]
        logged = [event for event in scene.daemon.events if event["event"] == "published"]
        for name in ("book", "attempt", "token"):
            assert published[name] == logged[0][name]
        assert published["outcome"] == "published"

    def test_one_in_work_and_one_that_is_not_there(self, scene: Scene) -> None:
        assert "in work" in scene.run("explain", "held").stdout
        assert scene.run("explain", "none").returncode == 2


def test_health_tells_all_that_a_probe_asks(scene: Scene) -> None:
    code, report = scene.daemon.health()
    assert code == 0
    assert report["status"] == "healthy"
    assert report["models_loaded"] is True
    assert report["leases"]["held"] == report["in_work"] == report["queue_depth"] == 1
    assert report["leases"]["seconds_since_beat"] < 5
    assert report["stream"]["state"] == "live"
    assert report["stream"]["seconds_since_event"] < 10
    assert report["seconds_since_reconcile"] >= 0
