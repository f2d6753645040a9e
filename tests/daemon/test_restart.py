"""A narration that is interrupted goes on where it stopped, and sounds as if it had not been."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from pathlib import Path

import requests

from narrator_daemon.marks.keys import DEMO_KEY
from narrator_daemon.narration.marking import Mark
from narrator_daemon.narration.narrate import narrate, seed_of
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Kept, Limits
from narrator_daemon.speech.tone import ToneSpeech
from tests.actors import Daemon, Frontend, wait_until
from tests.slow_speech import program

TEXT = "\n\n".join(
    f"In year {number} of the voyage the ship had seen neither land nor sail, and the men had "
    "left off speaking of home, as one leaves off speaking of the dead."
    for number in range(12)
)


def indices(asked: Path) -> list[int]:
    return [int(line) for line in asked.read_text().split()] if asked.exists() else []


def frames(wav: bytes) -> bytes:
    """The samples, without what the file says of itself."""
    with wave.open(io.BytesIO(wav)) as opened:
        return opened.readframes(-1)


def test_a_daemon_killed_in_the_middle_goes_on_after_the_finished_segments(
    frontend: Frontend, start_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    kept = tmp_path / "kept"

    def start(asked: Path, seconds: float) -> Daemon:
        return start_daemon(
            program=program(asked, seconds),
            KEPT__FOLDER=kept,
            KEPT__DAYS=0,
            CLAIMS__LEASE_TTL_SECONDS=4,
            CLAIMS__BEAT_SECONDS=0.3,
            CLAIMS__RECONCILE_SECONDS=0.5,
        ).wait_ready()

    first = start(tmp_path / "first", 0.3)
    frontend.add_requested("b", TEXT)
    wait_until(lambda: len(indices(tmp_path / "first")) >= 5, "some segments")
    first.kill()
    before = indices(tmp_path / "first")
    assert 5 <= len(before) < 12
    assert frontend.status("b") == "processing"

    start(tmp_path / "second", 0.0)
    book = frontend.wait_for("b", "ready", 60)
    asked = indices(tmp_path / "second")
    # The last one may have been lost on its way to the disk.
    assert asked in (list(range(len(before), 12)), list(range(len(before) - 1, 12)))
    history = frontend.wait_for_history("b", 2)
    (entry,) = [entry for entry in history if entry["outcome"] == "published"]
    assert entry["attempt"] == 2
    assert entry["segmentsKept"] == 12 - len(asked)
    wait_until(lambda: not list((kept / "segments").iterdir()), "the segments to be removed")

    engine = ToneSpeech()
    engine.load()
    index = frontend.node("narrationMarks", "b").get()
    at_once = io.BytesIO()
    narrate(
        TEXT,
        at_once,
        engine=engine,
        limits=Limits(),
        seed=seed_of(book["narrativeAudioInputHash"], book["narrativeAudioTake"]),
        mark=Mark(DEMO_KEY, index, 1.5, self_check=False, public=True),
        kept=KeptSegments(Kept(folder=tmp_path, max_gigabytes=0)),
    )
    published = requests.get(book["narrativeAudioUrl"], timeout=20).content
    assert frames(published) == frames(at_once.getvalue())
