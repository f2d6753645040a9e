"""What operators do, and what the daemon does for them by itself."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from typer.testing import CliRunner, Result

from narrator_daemon import cli, config
from narrator_daemon.claims.book import Verdict, renew
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.harness.faults import Fault
from narrator_daemon.errors import ConfigError
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.health.state_folder import StateFolder
from narrator_daemon.housekeeping.sweep import Sweeper
from narrator_daemon.marks import ledger
from narrator_daemon.settings import Storage
from narrator_daemon.terminal import plain
from narrator_daemon.wav import WavWriter
from tests import processes
from tests.actors import Frontend, Inside, wait_until

StartInside = Callable[..., Inside]
TEXT = "A text of a few words, to be read aloud."


def command(*words: str) -> Result:
    """One of the program's commands, in this process."""
    return CliRunner().invoke(cli.app, words)


@pytest.fixture
def environment(firebase: LocalFirebase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The local Firebase is that of this process."""
    monkeypatch.chdir(tmp_path)
    for name, value in firebase.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def sweeper(firebase: LocalFirebase) -> Iterator[tuple[Sweeper, AudioStore]]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in firebase.environment().items():
            patch.setenv(name, value)
        settings = config.load(None)
        project = Project(settings)
        store = AudioStore(project, settings.storage)
        # An hour from now, so that what is uploaded now is old enough.
        yield Sweeper(project, store, clock=lambda: time.time() + 4000), store
        project.close()


def paths(store: AudioStore) -> set[str]:
    return {stored.path for stored in store.objects(most=1000)}


class TestSweep:
    def test_what_is_named_or_claimed_stays_and_the_rest_goes(
        self, frontend: Frontend, sweeper: tuple[Sweeper, AudioStore]
    ) -> None:
        sweep, store = sweeper
        ids = {
            name: store.path(name, f"{number:032x}")
            for number, name in enumerate(["ready", "old take", "claimed", "deleted", "50%25?"])
        }
        for book_id, path in ids.items():
            store.upload(path, io.BytesIO(b"RIFF"), 4, book_id=book_id)
        frontend.add("ready", TEXT, narrativeAudioPath=ids["ready"])
        frontend.add("old take", TEXT, narrativeAudioPath="narrations/another.wav")
        frontend.add("50%25?", TEXT, narrativeAudioPath=ids["50%25?"])
        claim = {"token": f"{2:032x}", "owner": "w", "attempt": 1, "inputHash": "h", "take": 1}
        frontend.add("claimed", TEXT, narrativeAudioStatus="processing", narrativeAudioClaim=claim)
        assert sweep.round() == 2
        assert paths(store) == {ids["ready"], ids["claimed"], ids["50%25?"]}
        assert sweep.round() == 0

    def test_what_is_young_stays(self, sweeper: tuple[Sweeper, AudioStore]) -> None:
        sweep, store = sweeper
        path = store.path("deleted", "0" * 32)
        store.upload(path, io.BytesIO(b"RIFF"), 4, book_id="deleted")
        young = Sweeper(sweep._project, store)
        assert young.round() == 0
        assert paths(store) == {path}

    def test_what_is_not_ours_stays(self, sweeper: tuple[Sweeper, AudioStore]) -> None:
        sweep, store = sweeper
        bucket = sweep._project.bucket
        bucket.blob("narrations/foreign.wav").upload_from_string(b"x", content_type="audio/wav")
        odd = bucket.blob("narrations/b/not-a-token.wav")
        odd.metadata = {"watermarked": "true", "bookId": "b"}
        odd.upload_from_string(b"x")
        other = bucket.blob(store.path("another-book", "1" * 32))
        other.metadata = {"watermarked": "true", "bookId": "b"}
        other.upload_from_string(b"x")
        before = paths(store)
        assert sweep.round() == 0
        assert paths(store) == before

    def test_another_catalogue_in_the_same_bucket_is_left_alone(
        self, sweeper: tuple[Sweeper, AudioStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, store = sweeper
        path = store.path("b", "0" * 32)
        store.upload(path, io.BytesIO(b"RIFF"), 4, book_id="b")
        monkeypatch.setenv("NARRATOR_BOOKS__PATH", "drafts")
        other = Project(config.load(None))
        drafts = Sweeper(
            other,
            AudioStore(other, Storage()),
            clock=lambda: time.time() + 4000,
        )
        assert drafts.round() == 0
        assert paths(store) == {path}
        other.close()


@pytest.mark.usefixtures("environment")
class TestRetry:
    def test_a_named_book(self, frontend: Frontend) -> None:
        for book_id in ("b", "other"):
            frontend.add(book_id, TEXT, narrativeAudioStatus="failed")
        done = command("retry", "b")
        assert (done.exit_code, done.stdout) == (0, "b: requested\n")
        assert frontend.status("other") == "failed"
        # With a time of its own, so that its attempts begin anew.
        assert frontend.book("b")["narrativeAudioRequestedAt"] > 1_750_000_000_000

    def test_all_that_failed_and_nothing_else(self, frontend: Frontend) -> None:
        for book_id in ("one", "two"):
            frontend.add(book_id, TEXT, narrativeAudioStatus="failed")
        frontend.add("three", TEXT, narrativeAudioStatus="ready")
        done = command("retry", "--failed")
        assert done.exit_code == 0
        assert done.stdout.splitlines() == ["one: requested", "two: requested"]
        assert frontend.status("three") == "ready"

    def test_what_cannot_be_retried_is_said(self, frontend: Frontend) -> None:
        frontend.add("b", TEXT, narrativeAudioStatus="ready")
        done = command("retry", "b", "none")
        assert done.exit_code == 1
        assert done.stdout.splitlines() == ["b: has not failed", "none: no such book"]
        assert command("retry").exit_code == 2
        for odd in ("a.b", "", "a/b"):
            done = command("retry", odd)
            assert (done.exit_code, done.stderr) == (1, "")
            assert done.stdout.endswith("no such book\n")


class TestRenewal:
    def test_a_url_in_the_database_always_plays(
        self, frontend: Frontend, start_inside: StartInside
    ) -> None:
        # Nine seconds of life, of which three are left when it is renewed.
        start_inside(STORAGE__URL_LIFETIME_HOURS=9 / 3600).wait_ready()
        frontend.add_requested("b", TEXT)
        book = frontend.wait_for("b", "ready")
        first, seen = book["narrativeAudioUrl"], set()
        frontend.cancel("b")  # whatever the status
        ends_at = time.monotonic() + 60
        while len(seen) < 3:
            url = frontend.book("b")["narrativeAudioUrl"]
            assert requests.get(url, timeout=60).status_code == 200
            seen.add(url)
            assert time.monotonic() < ends_at
            time.sleep(0.2)
        assert requests.get(first, timeout=60).status_code == 400

    @pytest.mark.usefixtures("environment")
    def test_all_are_renewed_on_demand_and_what_is_not_a_book_s_own_is_not_signed(
        self, frontend: Frontend, sweeper: tuple[Sweeper, AudioStore]
    ) -> None:
        _, store = sweeper
        expires = {"narrativeAudioUrl": "old", "narrativeAudioUrlExpiresAt": 1_000}
        for number in range(3):
            path = store.path(f"b{number}", f"{number:032x}")
            store.upload(path, io.BytesIO(b"RIFF"), 4, book_id=f"b{number}")
            frontend.add(f"b{number}", TEXT, narrativeAudioPath=path, **expires)
        frontend.add("thief", TEXT, narrativeAudioPath=store.path("b0", "0" * 32), **expires)
        frontend.add("lost", TEXT, narrativeAudioPath=store.path("lost", "1" * 32), **expires)
        frontend.add("odd", TEXT, narrativeAudioPath=["x"], **expires)
        done = command("refresh-urls")
        assert (done.exit_code, done.stdout) == (0, "3 URLs renewed\n"), done.stderr
        for number in range(3):
            url = frontend.book(f"b{number}")["narrativeAudioUrl"]
            assert requests.get(url, timeout=60).content == b"RIFF"
        for book_id in ("thief", "lost", "odd"):
            assert frontend.book(book_id)["narrativeAudioUrl"] == "old"

    @pytest.mark.usefixtures("environment")
    def test_one_that_cannot_be_is_said(
        self,
        firebase: LocalFirebase,
        frontend: Frontend,
        sweeper: tuple[Sweeper, AudioStore],
    ) -> None:
        _, store = sweeper
        for name in ("a", "b", "c"):
            path = store.path(name, "0" * 32)
            store.upload(path, io.BytesIO(b"RIFF"), 4, book_id=name)
            frontend.add(
                name,
                TEXT,
                narrativeAudioPath=path,
                narrativeAudioUrl="old",
                narrativeAudioUrlExpiresAt=1_000,
            )
        firebase.faults.add(Fault("status", method="PUT", path="^/books/b$", status=401))
        done = command("refresh-urls")
        assert (done.exit_code, done.stdout) == (1, "2 URLs renewed\n")
        assert "1 could not be" in done.stderr
        assert [frontend.book(name)["narrativeAudioUrl"] == "old" for name in "abc"] == [
            False,
            True,
            False,
        ]


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, Verdict.APPLIED),
        ({"narrativeAudioPath": "another"}, Verdict.UNCHANGED),
        ({"narrativeAudioUrlExpiresAt": 2_000}, Verdict.UNCHANGED),
        ({"narrativeAudioUrlExpiresAt": "soon"}, Verdict.UNCHANGED),
    ],
)
def test_only_the_narration_that_was_signed_gets_the_url(change: dict, verdict: Verdict) -> None:
    book = {"title": "t", "narrativeAudioPath": "p", "narrativeAudioUrlExpiresAt": 1_000, **change}
    seen = renew(book, path="p", url="new", expires_at=2_000, files={}, now_ms=500)
    assert seen.verdict is verdict
    if seen.book is not None:
        assert seen.book == {
            **book,
            "narrativeAudioUrl": "new",
            "narrativeAudioUrlExpiresAt": 2_000,
        }
    assert (
        renew(None, path="p", url="new", expires_at=2_000, files={}, now_ms=500).verdict
        is Verdict.GONE
    )


def test_a_requester_s_limit_makes_wait_and_holds_nobody_else_up(
    frontend: Frontend, start_inside: StartInside
) -> None:
    start_inside(LIMITS__REQUESTS_PER_MINUTE=3).wait_ready()
    for number in range(6):
        frontend.add_requested(f"many-{number}", TEXT, uid="eager")
    frontend.add_requested("one", TEXT, uid="patient")
    frontend.add_requested("anonymous", TEXT)
    for book_id in ("one", "anonymous"):
        frontend.wait_for(book_id, "ready")
    statuses = [frontend.status(f"many-{number}") for number in range(6)]
    assert statuses.count("requested") == 3
    wait_until(
        lambda: [frontend.status(f"many-{n}") for n in range(6)].count("ready") == 3, "the first 3"
    )


def test_a_hundred_that_must_wait_do_not_hide_those_behind_them(
    firebase: LocalFirebase, frontend: Frontend, start_inside: StartInside
) -> None:
    requested = {"narrative": TEXT, "narrativeAudioStatus": "requested"}
    shelf = {
        f"a-{number:03}": {**requested, "narrativeAudioRequestedBy": "eager"}
        for number in range(250)
    }
    firebase.load("/books", {**shelf, "z": requested})
    start_inside(LIMITS__REQUESTS_PER_MINUTE=1, CLAIMS__RECONCILE_SECONDS=3)
    frontend.wait_for("z", "ready", 60)
    statuses = [book["narrativeAudioStatus"] for book in frontend.node("books").get().values()]
    assert statuses.count("requested") >= 248


def test_narrate_and_detect_without_a_firebase(tmp_path: Path) -> None:
    (tmp_path / "tale.txt").write_text(TEXT * 5)
    environment = {**os.environ, "NARRATOR_SPEECH__ENGINE": "tone"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return processes.run("-m", "narrator_daemon", *words, env=environment, cwd=tmp_path)

    for book_id in ("first", "second"):
        also = ["--also", "m4a"] if book_id == "second" else []
        done = run("narrate", "tale.txt", "--out", f"{book_id}.wav", "--book-id", book_id, *also)
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "first.m4a").exists()
    found = run("watermark", "detect", "--json", "first.wav", "second.wav", "second.m4a")
    assert found.returncode == 0, found.stderr
    findings = json.loads(found.stdout)
    assert [finding["book"] for finding in findings] == ["first", "second", "second"]
    assert all(finding["falsePositiveProbability"] < 1e-6 for finding in findings)

    (tmp_path / "noise.wav").write_bytes(b"not audio")
    unreadable = run("watermark", "detect", "noise.wav")
    assert unreadable.returncode == 2
    assert "noise.wav" in unreadable.stderr
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00")
    refused = run("narrate", "bad.txt", "--out", "x.wav")
    assert refused.returncode == 2
    assert "not UTF-8" in refused.stderr
    assert run("narrate", "none.txt", "--out", "x.wav").returncode == 2


def test_detect_says_that_the_database_is_down_and_not_that_there_is_no_mark(
    tmp_path: Path,
) -> None:
    write_wav(tmp_path / "x.wav")
    environment = {
        **os.environ,
        "FIREBASE_DATABASE_EMULATOR_HOST": "127.0.0.1:1",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1",
    }
    words = ["-m", "narrator_daemon", "watermark", "detect", "x.wav"]
    done = processes.run(*words, env=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert "database" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", ['{"books": {"t": -5}}', '{"books": {"a": 1, "b": 1}}', "[]"])
def test_a_marks_file_that_cannot_be_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / ledger.MARKS_FILE).write_text(content)
    with pytest.raises(ConfigError, match=r"marks\.json"):
        ledger.read_marks(tmp_path)


def write_wav(path: Path) -> None:
    with path.open("wb") as file, WavWriter(file, 24_000) as wav:
        wav.write(np.zeros(24_000, dtype=np.int16))


def test_foreign_text_is_shown_and_does_nothing() -> None:
    shown = plain("[red]evil\x1b[31m\u202e ok").plain
    assert shown == "[red]evil\ufffd[31m\ufffd ok"


def test_a_state_folder_that_others_could_have_made_is_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    for folder in (open_to_all, link):
        with pytest.raises(ConfigError, match="belongs to this user"):
            StateFolder(folder)


def test_the_emulator_command_refuses_rules_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_bytes(b"\xff")
    words = ["emulator", "--database-port", "0", "--storage-port", "0", "--rules"]
    done = command(*words, str(tmp_path / "rules.json"))
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr


def test_the_emulator_command_says_where_it_is_and_stops_on_sigterm(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "narrator_daemon", "emulator"]
    ports = ["--database-port", "0", "--storage-port", "0"]
    with subprocess.Popen([*program, *ports], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        endpoints = json.loads(process.stdout.readline())
        assert set(endpoints) == {
            "database_host",
            "database_url",
            "storage_url",
            "namespace",
            "bucket",
        }
        with Frontend(endpoints) as frontend:
            frontend.add("b", TEXT)
            assert frontend.book("b")["narrative"] == TEXT
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
