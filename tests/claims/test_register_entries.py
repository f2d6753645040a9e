"""What is entered of a publication, and what becomes of the entry."""

from __future__ import annotations

import time
from typing import Any

import pytest

from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.register import FileDigest, Register
from narrator_daemon.claims.work import Work
from narrator_daemon.credentials.wav import Finished
from narrator_daemon.firebase import register as node
from narrator_daemon.settings import Settings
from tests.memory import SERVER_NOW, MemoryProject
from watermark.marking.fingerprint import FORM

CLAIM = Claim("t", "w", 1, 0, "input", 3, 7, 1000, text_hash="text")
FILE = Finished(44, "whole", "samples")
SOUND = b"\x01\x02\x03"


def entered(
    settings: Settings, *, sound: bytes = SOUND, claim: Claim = CLAIM, **more: Any
) -> MemoryProject:
    project: Any = MemoryProject()
    register = Register(project, settings, "shape", "key")
    work = Work("b", {}, claim, time.monotonic())
    register.enter(work, "narrations/b/t.wav", FILE, 2.5, 77, sound, **more)
    found: MemoryProject = project
    return found


def entry(settings: Settings, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = entered(settings, **more).tree["narrationRegister"]["t"]
    return found


def test_an_entry_says_what_was_published_and_what_it_was_made_of() -> None:
    found = entry(Settings.model_validate({"speech": {"engine": "tone"}}))
    assert found.pop("version")
    assert found == {
        "book": "b",
        "take": 3,
        "path": "narrations/b/t.wav",
        "bytes": 44,
        "seconds": 2.5,
        "fileSha256": "whole",
        "samplesSha256": "samples",
        "watermarkIndex": 77,
        "inputHash": "input",
        "textHash": "text",
        "requestedAt": 7,
        "claimedAt": 1000,
        "engine": "tone",
        "settings": "shape",
        "watermarkKey": "key",
        "state": "pending",
        "enteredAt": SERVER_NOW,
    }


def test_files_beside_it_are_entered_with_their_digests() -> None:
    files = {"m4a": FileDigest(9, "abc")}
    assert entry(Settings(), files=files)["files"] == {"m4a": {"bytes": 9, "sha256": "abc"}}
    assert "files" not in entry(Settings())


def test_a_model_is_entered_where_it_reads() -> None:
    csm = entry(Settings.model_validate({"speech": {"engine": "csm", "revision": "0" * 40}}))
    assert csm["model"] and csm["revision"] == "0" * 40
    other = entry(Settings.model_validate({"speech": {"engine": "tone", "revision": "0" * 40}}))
    assert not {"model", "revision"} & other.keys()


@pytest.mark.parametrize(
    ("settings", "asked", "voice"),
    [
        ({}, "", None),
        ({}, "Zoe", "Zoe"),
        ({"voice": {"default": "max"}, "voices": {"max": {"prompt": "read_speech_a"}}}, "", "max"),
        ({"voice": {"prompt": "read_speech_a"}}, "", "read_speech_a"),
        ({"voice": {"prompt": "read_speech_a"}}, "Zoe", "Zoe"),
        ({"speech": {"engine": "kokoro"}, "kokoro": {"voice": "af_heart"}}, "", "af_heart"),
    ],
)
def test_a_voice_is_entered_as_far_as_it_has_a_name(
    settings: dict[str, Any], asked: str, voice: str | None
) -> None:
    chosen = Settings.model_validate({"speech": {"engine": "tone"}, **settings})
    assert entry(chosen, voice=asked).get("voice") == voice


def test_an_entry_is_confirmed_once() -> None:
    project = entered(Settings())
    register = Register(project, Settings(), "shape", "key")  # type: ignore[arg-type]
    work = Work("b", {}, CLAIM, time.monotonic())
    register.confirm(work)
    found = project.tree["narrationRegister"]["t"]
    assert "state" not in found and found["publishedAt"] == SERVER_NOW
    found["publishedAt"] = 5
    register.confirm(work)
    assert project.tree["narrationRegister"]["t"]["publishedAt"] == 5
    project.tree["narrationRegister"]["t"] = "odd"
    register.confirm(work)
    register.remove(work)
    assert not {"narrationRegister", "narrationFingerprints"} & project.tree.keys()
    register.confirm(work)
    assert "narrationRegister" not in project.tree


def test_a_fingerprint_is_kept_apart_and_told_by_its_form() -> None:
    project: Any = entered(Settings())
    assert node.fingerprint_of(project, "t", FORM) == SOUND
    assert node.fingerprint_of(project, "t", FORM + 1) is None
    assert node.fingerprint_of(project, "u", FORM) is None
    for odd in ("x", {"form": FORM}, {"form": FORM, "bits": "&"}, {"form": FORM, "bits": 5}):
        project.tree["narrationFingerprints"]["t"] = odd
        assert node.fingerprint_of(project, "t", FORM) is None
    assert "narrationFingerprints" not in entered(Settings(), sound=b"").tree


def test_entries_are_found_by_state_time_and_book() -> None:
    project: Any = MemoryProject()
    project.tree["narrationRegister"] = {
        "p1": {"state": "pending", "book": "a", "enteredAt": 5},
        "p2": {"state": "pending", "book": "b", "enteredAt": 6},
        "d1": {"publishedAt": 10, "book": "a"},
        "d2": {"publishedAt": 20, "book": "b"},
        "d3": {"publishedAt": 30, "book": "b"},
    }
    assert set(node.pending(project, 5)) == {"p1", "p2"}
    assert len(node.pending(project, 1)) == 1
    assert list(node.published_before(project, 20, 5)) == ["d1", "d2"]
    assert list(node.published_before(project, 30, 2)) == ["d1", "d2"]
    assert set(node.of_book(project, "b")) == {"p2", "d2", "d3"}
    assert set(node.of_book(project, "c")) == set()


@pytest.mark.parametrize(
    ("value", "before"),
    [
        ({"at": 5}, True),
        ({"at": 10}, False),
        ({"at": 11}, False),
        ({}, False),
        ({"at": "5"}, False),
        (None, False),
    ],
)
def test_whether_a_time_is_before_another(value: Any, before: bool) -> None:
    assert node.is_before(value, "at", 10) is before
