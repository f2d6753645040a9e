"""Marks that are out stay detectable: files and vectors made by embedders of earlier days."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from watermark import PAYLOAD_VERSION, detect
from watermark.pattern import pattern_of
from watermark.payload import index_of, payload_of

FOLDER = Path(__file__).parent.parent / "data" / "mark_versions"
RECORDS = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("version-*.json"))]
VECTORS = [vector for record in RECORDS for vector in record["vectors"]]


def test_every_version_has_its_record() -> None:
    names = [path.stem for path in sorted(FOLDER.glob("version-*.json"))]
    assert names == [f"version-{number}" for number in range(PAYLOAD_VERSION + 1)]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["file"])
@pytest.mark.parametrize("known", [True, False], ids=["among books", "blind"])
def test_an_old_file_is_found(record: dict[str, Any], known: bool) -> None:
    samples, rate = soundfile.read(FOLDER / record["file"], dtype="float32")
    books = range(4000, 5000) if known else None
    found = detect(samples, rate, bytes.fromhex(record["key"]), books)
    assert found.book_index == record["index"]
    assert found.offset_seconds == pytest.approx(0.0, abs=0.3)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['key'][:4]}-{v['index']}")
def test_keys_and_indices_give_what_they_gave(vector: dict[str, Any]) -> None:
    key, index = bytes.fromhex(vector["key"]), vector["index"]
    pattern = pattern_of(key)
    assert payload_of(key, index) == vector["payload"]
    assert index_of(key, vector["payload"]) == index
    assert pattern.start(index) == vector["start"]
    codeword = pattern.codeword(index).astype(np.int8).tobytes()
    assert hashlib.sha256(codeword).hexdigest() == vector["codeword"]
    if "signs" in vector:
        assert hashlib.sha256(pattern.signs.tobytes()).hexdigest() == vector["signs"]
        homes = pattern.coded_bit.astype("<i8").tobytes()
        assert hashlib.sha256(homes).hexdigest() == vector["interleaver"]


def test_a_payload_of_another_version_is_no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    key = bytes(range(32))
    monkeypatch.setattr("watermark.payload.PAYLOAD_VERSION", PAYLOAD_VERSION + 1)
    later = payload_of(key, 4711)
    assert index_of(key, later) == 4711
    monkeypatch.undo()
    assert index_of(key, later) is None
