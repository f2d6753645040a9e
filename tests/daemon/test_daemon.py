"""The daemon as a real process, through the public SDKs, against the local Firebase."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import wave
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import requests

import watermark
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.harness.faults import Fault
from narrator_daemon.marks.keys import DEMO_KEY
from tests.actors import Daemon, Frontend, Inside, wait_until
from tests.csm import tiny_checkpoint

TEXT = "It was a bright cold day in April, and the clocks were striking thirteen. " * 2
Start = Callable[..., Daemon]
StartInside = Callable[..., Inside]


def wav_of(url: str) -> tuple[wave._wave_params, np.ndarray, requests.Response]:
    answer = requests.get(url, timeout=60)
    answer.raise_for_status()
    with wave.open(io.BytesIO(answer.content)) as file:
        frames = file.readframes(file.getnframes())
        return file.getparams(), np.frombuffer(frames, dtype="<i2"), answer


def test_a_requested_book_becomes_a_marked_narration(
    firebase: LocalFirebase, frontend: Frontend, start_daemon: Start
) -> None:
    daemon = start_daemon(fresh=True).wait_ready()
    frontend.add_requested("moby-dick", TEXT, uid="admin-1")
    book = frontend.wait_for("moby-dick", "ready")

    parameters, samples, answer = wav_of(book["narrativeAudioUrl"])
    assert (parameters.nchannels, parameters.sampwidth, parameters.framerate) == (1, 2, 24_000)
    assert answer.headers["Content-Type"] == "audio/wav"
    assert "public" in answer.headers["Cache-Control"]
    assert book["narrativeAudioDuration"] == pytest.approx(len(samples) / 24_000, abs=0.001)
    index = frontend.node("narrationMarks", "moby-dick").get()
    heard = watermark.detect(samples / np.float32(32768), 24_000, DEMO_KEY, [index, index + 1])
    assert (heard.found, heard.book_index) == (True, index)

    assert book["narrativeAudioTextHash"] == sha256(TEXT.encode()).hexdigest()
    assert book["narrativeAudioTake"] == 1
    path = book["narrativeAudioPath"]
    assert path.startswith("narrations/moby-dick/")
    assert path.endswith(".wav")
    expires = book["narrativeAudioUrlExpiresAt"] / 1000 - book["narrativeUpdatedAt"] / 1000
    assert expires == pytest.approx(168 * 3600, abs=60)
    assert parse_qs(urlsplit(book["narrativeAudioUrl"]).query)["X-Goog-Expires"] == ["604800"]
    for gone in ("narrativeAudioClaim", "narrativeAudioProgress", "narrativeAudioError"):
        assert gone not in book
    assert book["title"] == "moby-dick"
    frontend.wait_for_no_lease()

    (entry,) = frontend.wait_for_history("moby-dick")
    assert entry["outcome"] == "published"
    assert entry["attempt"] == 1
    assert entry["watermarkScore"] > 8
    assert entry["latinShare"] == 1
    assert set(entry["secondsByStep"]) >= {"text", "speech", "mastering", "watermark", "upload"}
    assert daemon.stop() == 0


def test_books_that_waited_before_the_daemon_came_are_narrated(
    frontend: Frontend, start_inside: StartInside
) -> None:
    for number in range(5):
        frontend.add_requested(f"book-{number}", TEXT)
    frontend.add("silent", TEXT)
    start_inside()
    for number in range(5):
        frontend.wait_for(f"book-{number}", "ready")
    assert frontend.status("silent") is None


def test_asked_for_again_on_ready_gives_a_fresh_take(
    frontend: Frontend, start_inside: StartInside
) -> None:
    start_inside().wait_ready()
    frontend.add_requested("b", TEXT)
    first = frontend.wait_for("b", "ready")
    frontend.request("b")
    wait_until(lambda: frontend.book("b").get("narrativeAudioTake") == 2, "the second take")
    second = frontend.wait_for("b", "ready")
    assert second["narrativeAudioPath"] != first["narrativeAudioPath"]
    assert second["narrativeAudioInputHash"] == first["narrativeAudioInputHash"]
    old, new = (wav_of(book["narrativeAudioUrl"])[1] for book in (first, second))
    assert not np.array_equal(old, new)
    index = frontend.node("narrationMarks", "b").get()
    assert watermark.detect(new / np.float32(32768), 24_000, DEMO_KEY, [index]).found


def test_the_url_modes(
    firebase: LocalFirebase, frontend: Frontend, start_inside: StartInside
) -> None:
    start_inside(STORAGE__URL="download-token").wait_ready()
    frontend.add_requested("b", TEXT)
    book = frontend.wait_for("b", "ready")
    url = book["narrativeAudioUrl"]
    assert "/v0/b/demo-books.appspot.com/o/narrations%2Fb%2F" in url
    assert "narrativeAudioUrlExpiresAt" not in book
    assert wav_of(url)[1].size
    refused = requests.get(url.rsplit("token=")[0] + "token=wrong", timeout=60)
    assert refused.status_code in (401, 403)


def test_a_cancelled_book_stops_and_leaves_nothing(
    firebase: LocalFirebase, frontend: Frontend, start_daemon: Start
) -> None:
    daemon = start_daemon().wait_ready()
    with_its_audio_uploaded(firebase, frontend)
    frontend.cancel("b")
    wait_until(lambda: "narrativeAudioClaim" not in frontend.book("b"), "the claim to go")
    book = frontend.book("b")
    assert not [
        name for name in book if name.startswith("narrativeAudio") and "Requested" not in name
    ]
    wait_until(lambda: not objects(firebase), "the audio to be deleted")
    assert "Exception ignored" not in daemon.log


def test_a_deleted_book_does_not_come_back(
    firebase: LocalFirebase, frontend: Frontend, start_inside: StartInside
) -> None:
    daemon = start_inside().wait_ready()
    with_its_audio_uploaded(firebase, frontend)
    frontend.delete("b")
    wait_until(lambda: daemon.logged("gone"), "the work to stop")
    assert frontend.book("b") is None
    frontend.wait_for_no_lease()
    wait_until(lambda: not objects(firebase), "the audio to be deleted")


def test_asked_for_with_another_text_while_in_work(
    firebase: LocalFirebase, frontend: Frontend, start_inside: StartInside
) -> None:
    start_inside().wait_ready()
    (first,) = with_its_audio_uploaded(firebase, frontend)
    other = "A quite different text, which is the one that counts from now on."
    frontend.node("books", "b").update({"narrative": other})
    frontend.request("b")
    book = frontend.wait_for("b", "ready")
    assert book["narrativeAudioTextHash"] == sha256(other.encode()).hexdigest()
    assert book["narrativeAudioPath"] != first
    stem = book["narrativeAudioPath"].removesuffix("wav")
    wait_until(
        lambda: all(name.startswith(stem) for name in objects(firebase)),
        "the first audio to be deleted",
    )


def with_its_audio_uploaded(firebase: LocalFirebase, frontend: Frontend) -> list[str]:
    """A book in work whose audio is in the bucket, which its worker is told two seconds later."""
    fault = firebase.faults.add(
        Fault("slow_answer", service="storage", method="POST|PUT", seconds=2, count=1)
    )
    frontend.add_requested("b", TEXT)
    there: list[str] = wait_until(lambda: objects(firebase), "the audio in the bucket")
    assert firebase.faults.hits(fault) == 1
    assert frontend.status("b") == "processing"
    return there


def objects(firebase: LocalFirebase) -> list[str]:
    bucket = firebase.endpoints["bucket"]
    listed = requests.get(
        f"{firebase.endpoints['storage_url']}/storage/v1/b/{bucket}/o", timeout=60
    )
    return [item["name"] for item in listed.json().get("items", [])]


def test_sigterm_finishes_what_can_be_finished(
    firebase: LocalFirebase, frontend: Frontend, start_daemon: Start
) -> None:
    daemon = start_daemon().wait_ready()
    firebase.faults.add(Fault("slow", service="storage", method="POST|PUT", seconds=2, count=1))
    frontend.add_requested("b", TEXT)
    frontend.wait_for("b", "processing")
    assert daemon.stop() == 0
    assert frontend.status("b") == "ready"


def test_sigterm_gives_back_what_cannot_and_another_daemon_goes_on(
    firebase: LocalFirebase, frontend: Frontend, start_daemon: Start
) -> None:
    daemon = start_daemon(DAEMON__GRACE_SECONDS=0).wait_ready()
    slow = firebase.faults.add(Fault("slow", service="storage", method="POST|PUT", seconds=30))
    frontend.add_requested("b", TEXT)
    frontend.wait_for("b", "processing")
    assert daemon.stop() == 0
    book = frontend.book("b")
    assert book["narrativeAudioStatus"] == "requested"
    claim = book["narrativeAudioClaim"]
    assert "token" not in claim
    assert (claim["attempt"], claim["giveBacks"]) == (0, 1)
    assert frontend.node("narrationLeases").get() is None
    assert frontend.node("narrationWorkers").get() is None
    firebase.faults.clear(slow)
    start_daemon()
    frontend.wait_for("b", "ready")


def test_a_killed_daemon_s_book_is_taken_up_by_another(
    firebase: LocalFirebase, frontend: Frontend, start_daemon: Start
) -> None:
    claims = {"CLAIMS__LEASE_TTL_SECONDS": 3, "CLAIMS__BEAT_SECONDS": 0.5}
    first = start_daemon(**claims).wait_ready()
    slow = firebase.faults.add(Fault("slow", service="storage", method="POST|PUT", seconds=60))
    frontend.add_requested("b", TEXT)
    frontend.wait_for("b", "processing")
    first.kill()
    firebase.faults.clear(slow)
    start_daemon(**claims)
    book = frontend.wait_for("b", "ready", seconds=30)
    assert book["narrativeAudioTake"] == 1
    entries = frontend.wait_for_history("b", entries=2)
    assert sorted(entry["outcome"] for entry in entries) == ["published", "worker_lost"]


def test_health_tells_the_truth(frontend: Frontend, start_daemon: Start) -> None:
    daemon = start_daemon()
    daemon.wait_ready()
    wait_until(lambda: daemon.health()[0] == 0, "the daemon to be healthy")
    _, report = daemon.health()
    assert report["status"] == "healthy"
    assert report["models_loaded"] is True
    assert isinstance(report["gpu_available"], bool)
    assert report["version"]
    daemon.stop()
    assert daemon.health()[0] == 2


def test_a_stopped_loop_is_not_healthy(start_daemon: Start) -> None:
    daemon = start_daemon().wait_ready()
    state = daemon.folder / "state" / "state.json"
    daemon.process.send_signal(signal.SIGSTOP)
    written = json.loads(state.read_text())
    state.write_text(json.dumps({**written, "writtenAt": written["writtenAt"] - 60}))
    code, report = daemon.health()
    assert (code, report["status"]) == (1, "hanging")


def test_two_daemons_cannot_share_a_state_folder(start_daemon: Start, tmp_path: Path) -> None:
    first = start_daemon(DAEMON__STATE_DIR=tmp_path / "shared").wait_until_locked()
    second = start_daemon(DAEMON__STATE_DIR=tmp_path / "shared")
    assert second.process.wait(90) == 2
    assert "another daemon runs in" in second.log
    assert first.process.poll() is None


def test_the_tone_engine_imports_no_torch(firebase: LocalFirebase, tmp_path: Path) -> None:
    program = (
        "import sys; from narrator_daemon import config;"
        "from narrator_daemon.speech import choosing;"
        "from narrator_daemon.daemon import worker;"
        "from narrator_daemon.firebase.project import Project;"
        "settings = config.load(None); engine = choosing.create(settings); engine.load();"
        "list(engine.speak(['Hello there.'], seed=1)); Project(settings);"
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, **firebase.environment(), "NARRATOR_SPEECH__ENGINE": "tone"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path)
    assert done.returncode == 0


def test_nothing_secret_and_no_text_is_logged(
    firebase: LocalFirebase, frontend: Frontend, start_daemon: Start
) -> None:
    daemon = start_daemon(LOGGING__LEVEL="debug").wait_ready()
    frontend.add_requested("b", TEXT)
    book: dict[str, Any] = frontend.wait_for("b", "ready")
    frontend.add_requested("bad", 17)
    frontend.wait_for("bad", "failed")
    daemon.stop()
    signature = parse_qs(urlsplit(book["narrativeAudioUrl"]).query)["X-Goog-Signature"][0]
    for secret in (signature, signature[:40], "clocks were striking", DEMO_KEY.hex()):
        assert secret not in daemon.log
    published = [event for event in daemon.events if event["event"] == "published"]
    assert published[0]["book"] == "b"
    assert published[0]["attempt"] == 1


class TestEngines:
    def test_csm_from_a_checkpoint_in_the_hub_s_layout(
        self, frontend: Frontend, start_inside: StartInside, tmp_path: Path
    ) -> None:
        tiny_checkpoint.make(tmp_path / "tiny-csm")
        daemon = start_inside(
            SPEECH__ENGINE="csm",
            SPEECH__MODEL=tmp_path / "tiny-csm",
            SPEECH__DEVICE="cpu",
            LIMITS__MAX_SEGMENT_SECONDS=2,
        ).wait_ready(90)
        frontend.add_requested("b", "Hello there. <|end_of_text|> And <|AUDIO|> goodbye.")
        book = frontend.wait_for("b", "ready", 90)
        _, samples, _ = wav_of(book["narrativeAudioUrl"])
        assert len(samples) > 24_000
        (ready,) = daemon.logged("ready")
        assert (ready["engine"], ready["device"]) == ("csm", "cpu")

    def test_csm_without_weights_says_what_to_do(
        self, start_inside: StartInside, tmp_path: Path
    ) -> None:
        daemon = start_inside(SPEECH__ENGINE="csm", SPEECH__MODEL=tmp_path / "nowhere")
        assert daemon.wait(90) == 1
        (failed,) = daemon.logged("engine_failed")
        assert f"there is no folder {tmp_path / 'nowhere'}" in failed["why"]
        assert "sesame/csm-1b" in failed["why"]

    def test_the_preview_voice(self, frontend: Frontend, start_daemon: Start) -> None:
        start_daemon(SPEECH__ENGINE="piper").wait_ready(90)
        frontend.add_requested("b", "These are words that a person can understand.")
        book = frontend.wait_for("b", "ready", 90)
        assert 3 < book["narrativeAudioDuration"] < 8
