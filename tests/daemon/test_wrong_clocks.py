"""Daemons on machines whose clocks are wrong: nothing that others see goes by them."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from narrator_daemon import config
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.housekeeping.renewal import Renewer
from tests.actors import Daemon, Frontend, wait_until
from tests.bad_machine import BadMachine

TEXT = "A text of a few words."
DAY = 86_400.0


@pytest.fixture
def started(firebase: LocalFirebase, tmp_path: Path) -> Iterator[list[Daemon]]:
    running: list[Daemon] = []
    yield running
    for daemon in running:
        daemon.kill()


def start(
    firebase: LocalFirebase, folder: Path, started: list[Daemon], ahead: float, **settings: object
) -> Daemon:
    """A daemon whose clock is so many seconds ahead."""
    number = len(started)
    machine = BadMachine(folder / f"machine-{number}")
    machine.set_clock(ahead)
    environment = firebase.environment() | machine.environment
    settings = {"WATERMARK__SELF_CHECK": "false", "DAEMON__WORKER_ID": f"w{number}", **settings}
    started.append(Daemon(environment, folder / f"daemon-{number}", settings))
    return started[-1]


@pytest.fixture
def project(firebase: LocalFirebase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    for name, value in firebase.environment().items():
        monkeypatch.setenv(name, value)
    with Project(config.load(None, dict(os.environ))) as made:
        yield made


def signed_at(url: str) -> float:
    date = parse_qs(urlsplit(url).query)["X-Goog-Date"][0]
    return datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def narrated(frontend: Frontend, store: AudioStore, book_id: str, number: int) -> None:
    """A narration with a URL by this store's clock."""
    path = store.path(book_id, f"{number:032x}")
    stored = store.upload(path, io.BytesIO(b"RIFF"), 4, book_id=book_id)
    frontend.add(
        book_id,
        TEXT,
        narrativeAudioStatus="ready",
        narrativeAudioPath=path,
        narrativeAudioUrl=stored.url,
        narrativeAudioUrlExpiresAt=stored.url_expires_at,
    )


def test_one_five_days_ahead_signs_for_now_and_mends_what_was_signed_for_later(
    firebase: LocalFirebase,
    frontend: Frontend,
    project: Project,
    started: list[Daemon],
    tmp_path: Path,
) -> None:
    later = AudioStore(project, config.load(None).storage, lambda: time.time() + 5 * DAY)
    narrated(frontend, later, "later", 1)
    frontend.add_requested("now", TEXT)
    daemon = start(firebase, tmp_path, started, 5 * DAY, CLAIMS__BEAT_SECONDS=1)
    book = frontend.wait_for("now", "ready", 40)
    assert abs(signed_at(book["narrativeAudioUrl"]) - time.time()) < 60
    assert abs(book["narrativeAudioUrlExpiresAt"] / 1000 - 7 * DAY - time.time()) < 60

    def mended() -> bool:
        return signed_at(frontend.book("later")["narrativeAudioUrl"]) < time.time() + 60

    wait_until(mended, "the URL that was signed for later")
    assert frontend.book("later")["narrativeAudioUrlExpiresAt"] / 1000 < time.time() + 7 * DAY + 60
    wait_until(
        lambda: any(event["event"] == "clock_off" for event in daemon.events), "it to be said"
    )


def test_all_are_mended_on_demand(frontend: Frontend, project: Project) -> None:
    storage = config.load(None).storage
    narrated(frontend, AudioStore(project, storage, lambda: time.time() + 5 * DAY), "later", 1)
    narrated(frontend, AudioStore(project, storage, lambda: time.time() - 5 * DAY), "before", 2)
    assert Renewer(project, AudioStore(project, storage)).round(everything=True) == 2
    for book_id in ("later", "before"):
        assert abs(signed_at(frontend.book(book_id)["narrativeAudioUrl"]) - time.time()) < 60


def test_two_that_are_two_minutes_apart_grant_no_more_than_the_limit(
    firebase: LocalFirebase, frontend: Frontend, started: list[Daemon], tmp_path: Path
) -> None:
    for ahead in (0.0, 120.0):
        start(firebase, tmp_path, started, ahead, LIMITS__REQUESTS_PER_MINUTE=10)
    for daemon in started:
        daemon.wait_ready(60)
    began = time.monotonic()
    for number in range(40):
        frontend.add_requested(f"b{number:02}", TEXT, "ada")

    def of(status: str) -> int:
        books = frontend.node("books").get() or {}
        return sum(book["narrativeAudioStatus"] == status for book in books.values())

    wait_until(lambda: of("ready") >= 10, "ten to be read", 30)

    def told_to_wait() -> bool:
        return all(daemon.health()[1]["waiting"].get("limit", 0) >= 20 for daemon in started)

    wait_until(told_to_wait, "both to hold the others back", 20)
    granted = of("ready")
    minutes = 1 + int((time.monotonic() - began) // 60)
    assert 10 <= granted <= 10 * minutes and granted + of("requested") >= 40 - 10 * minutes
