"""Same mark and same recording, by what the register and the bucket keep."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.marks import keys
from tests.marks.test_detect import SPEECH, folder, run
from tests.watermark.speechlike import RATE, speechlike
from watermark import embed
from watermark.marking.fingerprint import FORM, fingerprint_of

__all__ = ["folder"]

MARKED = embed(SPEECH, RATE, keys.DEMO_KEY, 1)
ANOTHER_TAKE = embed(speechlike(14, seed=10), RATE, keys.DEMO_KEY, 1)
FORGED = embed(speechlike(14, seed=9), RATE, keys.DEMO_KEY, 1)
ENTRY = {"book": "b", "path": "narrations/b/t2.wav", "watermarkIndex": 1, "state": None}


def kept(samples: Any) -> dict[str, Any]:
    return {"form": FORM, "bits": base64.b64encode(fingerprint_of(samples, RATE)).decode()}


@pytest.fixture
def database(firebase: LocalFirebase, folder: Path) -> Iterator[LocalFirebase]:
    """Book b has two takes in the register, and the second is current."""
    firebase.load("/narrationMarks", {"b": 1})
    firebase.load("/books/b", {"narrativeAudioPath": ENTRY["path"]})
    firebase.load(
        "/narrationRegister",
        {
            "t1": {**ENTRY, "take": 1, "path": "narrations/b/t1.wav", "publishedAt": 1e12},
            "t2": {**ENTRY, "take": 2, "publishedAt": 1.7e12},
        },
    )
    for name, samples in (("copy", MARKED), ("forged", FORGED), ("old", ANOTHER_TAKE)):
        soundfile.write(f"{name}.wav", samples, RATE)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in firebase.environment().items():
            patch.setenv(name, value)
        yield firebase


def upload(firebase: LocalFirebase, name: str, content: bytes) -> None:
    from narrator_daemon import config
    from narrator_daemon.firebase.project import Project

    with Project(config.load(None)) as project:
        project.bucket.blob(name).upload_from_string(content, "audio/wav")


def test_a_forged_copy_is_told_by_the_register(database: LocalFirebase) -> None:
    database.load("/narrationFingerprints", {"t1": kept(ANOTHER_TAKE), "t2": kept(MARKED)})
    same = run("watermark", "verify", "b", "copy.wav")
    assert (same.exit_code, "same recording as b, take 2" in same.output) == (0, True)
    # Every take of a book bears the same mark, and each is a recording of its own.
    old = run("watermark", "verify", "b", "old.wav")
    assert (old.exit_code, "same recording as b, take 1" in old.output) == (0, True)
    forged = run("watermark", "verify", "b", "forged.wav")
    assert (forged.exit_code, "not the recording of b" in forged.output) == (1, True)
    drawn = run("watermark", "report", "forged.wav")
    assert "not the recording of b" in drawn.output
    seen = run("inspect", "--json", "forged.wav", "copy.wav")
    one, other = json.loads(seen.stdout)
    assert (one["verdict"], one["recordings"][0]["same"]) == ("contradict", False)
    assert (other["verdict"], other["recordings"][0]["same"]) == ("stripped", True)


def test_without_a_fingerprint_the_bucket_is_asked(database: LocalFirebase) -> None:
    upload(database, str(ENTRY["path"]), Path("copy.wav").read_bytes())
    same = run("watermark", "verify", "b", "copy.wav")
    assert (same.exit_code, "b, its audio in the bucket" in same.output) == (0, True)
    forged = run("watermark", "verify", "b", "forged.wav")
    assert forged.exit_code == 1


@pytest.mark.parametrize(
    "junk",
    [
        None,
        "x",
        {"form": FORM, "bits": "no base64!"},
        {"form": FORM, "bits": 5},
        {"form": FORM + 1, "bits": "AAAA"},
        {"form": FORM},
        {"form": FORM, "bits": ""},
    ],
)
def test_what_cannot_be_compared_leaves_the_mark(database: LocalFirebase, junk: Any) -> None:
    database.load("/narrationFingerprints", {"t1": junk, "t2": junk})
    upload(database, str(ENTRY["path"]), b"no audio")
    alone = run("watermark", "verify", "b", "copy.wav")
    assert (alone.exit_code, "excludes chance, not a forger" in alone.output) == (0, True)


@pytest.mark.parametrize("path", [5, "", "a\nb", "nowhere.wav", "x" * 2000])
def test_a_book_may_name_anything(database: LocalFirebase, path: object) -> None:
    database.load("/books/b", {"narrativeAudioPath": path})
    alone = run("watermark", "verify", "b", "copy.wav")
    assert (alone.exit_code, "neither the register nor the bucket" in alone.output) == (0, True)


def test_a_fingerprint_shorter_than_the_file_is_no_verdict(database: LocalFirebase) -> None:
    # Of the narration no more is known than three seconds: too little to call it anything.
    database.load("/narrationFingerprints", {"t2": kept(MARKED[: 3 * RATE])})
    told = run("watermark", "verify", "b", "copy.wav")
    assert (told.exit_code, "too little to compare" in told.output) == (0, True)
    assert np.isfinite(MARKED).all()
