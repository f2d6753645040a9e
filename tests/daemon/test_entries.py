"""Each published narration has its entry in the register, and nothing else has."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
import soundfile
import structlog

from narrator_daemon.housekeeping.forgetting import Forgetter
from narrator_daemon.settings import Registry
from tests.desk import TEXT, Desk
from tests.memory import SERVER_NOW, refusal
from watermark.marking.fingerprint import FORM, fingerprint_of


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def register(desk: Desk) -> dict[str, Any]:
    found: dict[str, Any] = desk.project.tree.get("narrationRegister", {})
    return found


def test_what_is_published_is_entered(desk: Desk) -> None:
    desk.run()
    ((token, entry),) = register(desk).items()
    ((path, wav),) = desk.store.objects_by_path.items()
    assert token in path
    assert entry["fileSha256"] == hashlib.sha256(wav).hexdigest()
    samples = wav[44 : 44 + round(entry["seconds"] * 24_000) * 2]
    assert entry["samplesSha256"] == hashlib.sha256(samples).hexdigest()
    assert entry["bytes"] == len(wav)
    told = {name: entry[name] for name in ("book", "take", "path", "watermarkIndex", "requestedAt")}
    assert told == {"book": "b", "take": 1, "path": path, "watermarkIndex": 1, "requestedAt": 7}
    assert entry["textHash"] == hashlib.sha256(TEXT.encode()).hexdigest()
    assert entry["publishedAt"] == entry["enteredAt"] == SERVER_NOW
    assert "state" not in entry
    assert (entry["watermarkKey"], entry["settings"]) == ("key", "voice")
    assert TEXT not in repr(entry)
    kept = desk.project.tree["narrationFingerprints"][token]
    with io.BytesIO(wav) as file:
        heard = fingerprint_of(soundfile.read(file, dtype="int16")[0], 24_000)
    assert (kept["form"], base64.b64decode(kept["bits"])) == (FORM, heard)
    assert len(kept["bits"]) <= 2_000 * entry["seconds"] / 60


@pytest.mark.parametrize("change", [{"narrativeAudioStatus": None}, {"narrative": "Another."}])
def test_what_is_not_wanted_any_more_has_no_entry(desk: Desk, change: dict[str, Any]) -> None:
    def before_the_outcome() -> None:
        if change.get("narrative"):
            desk.edit(**change, narrativeAudioStatus="requested")
        else:
            desk.edit(**change)

    desk.project.at_each("set /narrationRegister", before_the_outcome)
    desk.run()
    assert register(desk) == {}
    assert not desk.project.tree.get("narrationFingerprints")
    assert desk.store.objects_by_path == {}
    assert desk.project.count("set /narrationRegister") == 1


def test_an_outage_holds_the_publication_up_and_loses_nothing(desk: Desk) -> None:
    desk.project.fail("set /narrationRegister", refusal(503), times=2)
    desk.project.fail("set /narrationFingerprints", refusal(503), times=2)
    ending = desk.run()
    assert ending.published
    assert desk.project.count("set /narrationRegister") == 5
    assert len(register(desk)) == 1
    assert len(desk.project.tree["narrationFingerprints"]) == 1
    assert [error.dependency for error in desk.reported] == 4 * ["database"]


@pytest.mark.parametrize("node", ["narrationRegister", "narrationFingerprints"])
def test_rules_that_know_no_register_cost_listeners_nothing(desk: Desk, node: str) -> None:
    desk.project.fail(f"set /{node}", refusal(401, "Permission denied"))
    with structlog.testing.capture_logs() as logged:
        ending = desk.run()
    assert ending.published
    assert "register_refused" in [line["event"] for line in logged]


@pytest.mark.parametrize("shown", [True, False])
def test_what_a_lost_worker_left_is_settled_by_the_sweep(desk: Desk, shown: bool) -> None:
    desk.project.fail("read /narrationRegister", refusal(503))
    desk.run()
    ((_, entry),) = register(desk).items()
    assert entry["state"] == "pending"
    desk.project.mend()
    if not shown:
        desk.edit(narrativeAudioPath="another")
    project: Any = desk.project
    Forgetter(project, Registry(), now_ms=lambda: SERVER_NOW + 7_200_000).round()
    if not shown:
        assert register(desk) == {}
        assert not desk.project.tree.get("narrationFingerprints")
        return
    ((_, entry),) = register(desk).items()
    assert entry["publishedAt"] == SERVER_NOW
    assert "state" not in entry
