"""What the process that writes compressed files does with the job that it is given."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from narrator_daemon.narration import encode
from tests.narration.test_companions import png

RATE = 24_000
SAMPLES = 36_000


def asked(file: Any, **more: Any) -> dict[str, Any]:
    made = {"container": "matroska", "codec": "pcm_s16le", "bits": 0, "options": {}, "coder": {}}
    return {"descriptor": file.fileno(), "cover": False, **made, **more}


def job(*files: dict[str, Any], **more: Any) -> dict[str, Any]:
    wanted = {
        "rate": RATE,
        "samples": SAMPLES,
        "tags": {"title": "A tale"},
        "chapters": [["One", 0], ["Two", 700]],
        "cover": None,
        "files": files,
    }
    return wanted | more


def source(wanted: dict[str, Any], samples: bytes) -> io.BytesIO:
    return io.BytesIO(json.dumps(wanted).encode() + b"\n" + samples)


SOUND = (10_000 * np.sin(np.arange(SAMPLES) / 20)).astype(np.int16)
M4A = {"container": "mp4", "codec": "aac", "bits": 64_000, "cover": True}
COVER = {
    "kind": "png",
    "width": 8,
    "height": 8,
    "data": base64.b64encode(png()).decode("ascii"),
}


def test_every_sample_and_each_chapter_is_where_it_belongs(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w+b") as one, (tmp_path / "b").open("w+b") as other:
        encode.encode(source(job(asked(one), asked(other)), SOUND.tobytes()))
    for name in ("a", "b"):
        with av.open(str(tmp_path / name)) as opened:
            assert opened.metadata["title"] == "A tale"
            chapters = [
                (
                    chapter["metadata"]["title"],
                    float(chapter["start"] * chapter["time_base"]),
                    float(chapter["end"] * chapter["time_base"]),
                )
                for chapter in opened.chapters()
            ]
            assert chapters == [("One", 0, pytest.approx(0.7)), ("Two", pytest.approx(0.7), 1.5)]
            frames = list(opened.decode(opened.streams.audio[0]))
        heard = np.concatenate([frame.to_ndarray()[0] for frame in frames])
        assert np.array_equal(heard, SOUND)
        times = [frame.time for frame in frames]
        counts = [frame.samples for frame in frames]
        starts = np.cumsum([0, *counts[:-1]]) / RATE
        assert times == pytest.approx(list(starts), abs=0.001)


@pytest.mark.parametrize(
    ("cover", "takes", "shown"),
    [(COVER, True, True), (COVER, False, False), (None, True, False), (None, False, False)],
)
def test_a_cover_is_where_there_is_one_and_a_place_for_it(
    tmp_path: Path, cover: Any, takes: bool, shown: bool
) -> None:
    with (tmp_path / "m4a").open("w+b") as file:
        files = asked(file, **{**M4A, "cover": takes})
        encode.encode(source(job(files, cover=cover), SOUND.tobytes()))
    with av.open(str(tmp_path / "m4a")) as opened:
        pictures = list(opened.streams.video)
        assert bool(pictures) is shown
        if pictures:
            assert pictures[0].disposition is av.stream.Disposition.attached_pic
            (packet, *_) = opened.demux(pictures[0])
            assert bytes(packet) == png()
            assert packet.is_keyframe


@pytest.mark.parametrize("count", [0, 100, SAMPLES - 1, SAMPLES + 1])
def test_another_number_of_samples_is_an_error(tmp_path: Path, count: int) -> None:
    samples = np.resize(SOUND, count).tobytes()
    with (
        (tmp_path / "a").open("w+b") as file,
        pytest.raises(EOFError, match=f"{count} samples came of {SAMPLES}"),
    ):
        encode.encode(source(job(asked(file)), samples))


def run(monkeypatch: pytest.MonkeyPatch, given: io.BytesIO) -> int:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=given))
    return encode.main()


def test_it_ends_with_0_where_all_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "a").open("w+b") as file:
        assert run(monkeypatch, source(job(asked(file)), SOUND.tobytes())) == 0
        assert file.seek(0, 2) > 2 * SAMPLES
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("wrong", "samples", "told"),
    [
        ({}, b"", {"errno": None, "what": f"0 samples came of {SAMPLES}"}),
        ({"container": "no such"}, SOUND.tobytes(), None),
        ({"codec": "no such"}, SOUND.tobytes(), None),
        ({"descriptor": 10**6}, SOUND.tobytes(), {"errno": 2, "what": "No such file or directory"}),
    ],
)
def test_what_goes_wrong_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: dict[str, Any],
    samples: bytes,
    told: dict[str, Any] | None,
) -> None:
    with (tmp_path / "a").open("w+b") as file:
        assert run(monkeypatch, source(job(asked(file, **wrong)), samples)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert said == told or (told is None and set(said) == {"errno", "what"} and said["what"])
