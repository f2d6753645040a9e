"""Dependencies that refuse, fail or say nothing: no attempt is burnt, and work goes on after."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest
import requests

from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.harness.faults import Fault
from narrator_daemon.firebase import project
from narrator_daemon.speech import Spoken
from narrator_daemon.speech.tone import ToneSpeech
from tests.actors import Daemon, Frontend, Inside, wait_until

Start = Callable[..., Inside]
TEXT = "The quick brown fox jumps over the lazy dog, as it always has. " * 2


def unhealthy_about(daemon: Inside, word: str) -> Any:
    return wait_until(
        lambda: word in " ".join(daemon.condition.problems), f"health to name {word}", 30
    )


def test_the_database_answers_503_for_a_while(
    firebase: LocalFirebase, frontend: Frontend, start_inside: Start
) -> None:
    daemon = start_inside().wait_ready()
    frontend.add("b", TEXT)
    fault = firebase.faults.add(Fault("status", status=503, path="^/(books|narration)"))
    firebase.faults.end_streams()
    unhealthy_about(daemon, "503")
    firebase.faults.clear(fault)
    frontend.request("b")
    assert frontend.wait_for("b", "ready", 60)
    wait_until(lambda: daemon.condition.status == "healthy", "health to be well again", 60)


def test_the_database_says_nothing(
    firebase: LocalFirebase,
    frontend: Frontend,
    start_inside: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(project, "DATABASE_TIMEOUT_SECONDS", 1.0)
    fault = firebase.faults.add(Fault("hang", path="^/books"))
    daemon = start_inside()
    unhealthy_about(daemon, "does not answer")
    firebase.faults.clear(fault)
    frontend.add_requested("b", TEXT)
    assert frontend.wait_for("b", "ready", 60)


def test_the_database_refuses_the_key(
    firebase: LocalFirebase, frontend: Frontend, start_inside: Start
) -> None:
    fault = firebase.faults.add(Fault("status", status=401, path="^/(books|narration)"))
    daemon = start_inside()
    unhealthy_about(daemon, "Firebase Realtime Database Admin")
    firebase.faults.clear(fault)
    frontend.add_requested("b", TEXT)
    assert frontend.wait_for("b", "ready", 60)


def test_a_missing_index_is_named_with_the_rule_to_add(
    firebase: LocalFirebase, frontend: Frontend, start_inside: Start
) -> None:
    rules_url = f"http://{firebase.endpoints['database_host']}/.settings/rules.json?ns=demo-books"
    owner = {"Authorization": "Bearer owner"}
    rules = requests.get(rules_url, headers=owner, timeout=60).text
    bare = {"rules": {".read": False, ".write": False}}
    requests.put(rules_url, json=bare, headers=owner, timeout=60).raise_for_status()
    daemon = start_inside()
    unhealthy_about(daemon, '".indexOn": ["narrativeAudioStatus"')
    frontend.add_requested("b", TEXT)
    requests.put(rules_url, data=rules.encode(), headers=owner, timeout=60).raise_for_status()
    assert frontend.wait_for("b", "ready", 60)["narrativeAudioTake"] == 1


def test_storage_fails_for_a_while_and_no_attempt_is_burnt(
    firebase: LocalFirebase, frontend: Frontend, start_inside: Start
) -> None:
    daemon = start_inside().wait_ready()
    fault = firebase.faults.add(Fault("status", service="storage", status=403))
    frontend.add_requested("b", TEXT)
    unhealthy_about(daemon, "Storage Object Admin")
    waiting = frontend.wait_for("b", "requested")
    assert waiting["narrativeAudioClaim"]["attempt"] == 0
    frontend.add_requested("c", TEXT)
    firebase.faults.clear(fault)
    for book_id in ("b", "c"):
        frontend.wait_for(book_id, "ready", 60)
    published = wait_until(
        lambda: [e for e in frontend.wait_for_history("b") if e["outcome"] == "published"],
        "its history",
    )
    assert [entry["attempt"] for entry in published] == [1]


def test_a_bucket_that_can_be_read_and_not_written_pauses_claiming(
    firebase: LocalFirebase, frontend: Frontend, start_inside: Start
) -> None:
    daemon = start_inside().wait_ready()
    fault = firebase.faults.add(
        Fault("status", service="storage", method="POST|PUT", status=403, path="upload")
    )
    frontend.add_requested("b", TEXT)
    unhealthy_about(daemon, "Storage Object Admin")
    # Probed with growing pauses, and not by claiming the book again and again.
    wait_until(lambda: firebase.faults.hits(fault) >= 3, "probes", 30)
    assert len(daemon.logged("claimed")) == 1
    firebase.faults.clear(fault)
    assert frontend.wait_for("b", "ready", 60)


def test_a_book_that_cannot_be_written_holds_nobody_up(
    firebase: LocalFirebase, frontend: Frontend, start_inside: Start
) -> None:
    firebase.faults.add(Fault("status", status=400, method="PUT", path="^/books/bad$"))
    frontend.add_requested("other", TEXT)
    frontend.node("books").update(
        {
            "bad": {
                "narrative": TEXT,
                "narrativeAudioStatus": "requested",
                "narrativeAudioRequestedAt": 1,
            }
        }
    )
    start_inside().wait_ready()
    frontend.wait_for("other", "ready", 30)
    assert frontend.status("bad") == "requested"


def test_sigterm_with_a_database_that_says_nothing_ends_in_time(
    firebase: LocalFirebase, start_daemon: Callable[..., Daemon]
) -> None:
    daemon = start_daemon(DAEMON__GRACE_SECONDS=1).wait_ready()
    firebase.faults.add(Fault("hang"))
    firebase.faults.end_streams()
    assert daemon.stop(seconds=1 + 20) == 0


def test_a_state_folder_that_goes_away_costs_no_book(
    frontend: Frontend, start_inside: Start
) -> None:
    daemon = start_inside().wait_ready()
    shutil.rmtree(daemon.settings.daemon.state_dir)
    frontend.add_requested("b", TEXT)
    frontend.wait_for("b", "ready")
    wait_until(lambda: daemon.logged("state_not_written"), "it to be logged")
    assert daemon.stop() == 0


def test_a_missing_bucket_is_named(
    firebase: LocalFirebase, frontend: Frontend, start_inside: Start
) -> None:
    daemon = start_inside(FIREBASE__STORAGE_BUCKET="no-such-bucket").wait_ready()
    frontend.add_requested("b", TEXT)
    unhealthy_about(daemon, "no bucket 'no-such-bucket'")
    assert frontend.wait_for("b", "requested")["narrativeAudioClaim"]["attempt"] == 0


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_answers_of_book_writes_that_are_lost_after_the_commit(
    firebase: LocalFirebase, frontend: Frontend, start_inside: Start, count: int
) -> None:
    claims = {"CLAIMS__LEASE_TTL_SECONDS": 1, "CLAIMS__BEAT_SECONDS": 0.2}
    start_inside(**claims, CLAIMS__RECONCILE_SECONDS=1).wait_ready()
    frontend.add("b", TEXT)
    firebase.faults.add(Fault("drop_answer", method="PUT", path="^/books/b$", count=count))
    frontend.request("b")
    book = frontend.wait_for("b", "ready", 60)
    assert book["narrativeAudioTake"] == 1
    assert "narrativeAudioClaim" not in book


class Hanging(ToneSpeech):
    """An engine that hangs until it is let go of."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()

    def speak(self, segments: Any, **settings: Any) -> Generator[Spoken, None, None]:
        self.free.wait()
        yield from super().speak(segments, **settings)


def test_a_daemon_whose_engine_hangs_gives_up_its_books_and_ends(
    frontend: Frontend, start_inside: Start
) -> None:
    settings = {
        "CLAIMS__LEASE_TTL_SECONDS": 2,
        "CLAIMS__BEAT_SECONDS": 0.2,
        "CLAIMS__MAX_ATTEMPTS": 2,
    }
    engine = Hanging()
    daemon = start_inside(engine, DAEMON__STUCK_SECONDS=1, **settings).wait_ready()
    frontend.add_requested("b", TEXT)
    # Taken from the first attempt, the second hangs too, and then there is no room for a third.
    assert daemon.wait(60) == 1
    assert [event["books"] for event in daemon.logged("engine_stuck")] == [2]
    engine.free.set()
    start_inside(**settings)
    error = frontend.wait_for("b", "failed", 60)["narrativeAudioError"]
    # Whether the daemon itself or the reaper said so first.
    assert error["code"] in {"stuck", "worker_lost"}
    assert error["attempts"] == 2
    frontend.request("b")
    assert "narrativeAudioError" not in frontend.wait_for("b", "ready", 60)
    frontend.wait_for_no_lease()


class TestStream:
    @pytest.mark.parametrize("action", ["end_streams", "cancel_streams", "revoke_streams"])
    def test_it_is_opened_again(
        self, firebase: LocalFirebase, frontend: Frontend, start_inside: Start, action: str
    ) -> None:
        start_inside(CLAIMS__RECONCILE_SECONDS=3600).wait_ready()
        getattr(firebase.faults, action)()
        frontend.add_requested("b", TEXT)
        frontend.wait_for("b", "ready", 30)

    def test_reconciling_finds_what_a_silent_stream_missed(
        self, firebase: LocalFirebase, frontend: Frontend, start_inside: Start
    ) -> None:
        start_inside(CLAIMS__RECONCILE_SECONDS=2).wait_ready()
        firebase.faults.add(Fault("silence"))
        frontend.add_requested("b", TEXT)
        frontend.wait_for("b", "ready", 30)

    def test_a_redirect_is_followed_with_its_credentials(
        self, firebase: LocalFirebase, frontend: Frontend, start_inside: Start
    ) -> None:
        here = "http://localhost:" + firebase.endpoints["database_host"].rsplit(":", 1)[1]
        firebase.faults.add(Fault("redirect", method="STREAM", to=here, count=1))
        daemon = start_inside(CLAIMS__RECONCILE_SECONDS=3600).wait_ready()
        frontend.add_requested("b", TEXT)
        frontend.wait_for("b", "ready", 30)
        assert not daemon.logged("stream_lost")
