"""The files beside the WAV, read back by others than those who wrote them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import watermark
from csm import SAMPLE_RATE
from csm.text import segment
from narrator_daemon.cover import cover_of
from narrator_daemon.marks.companions import score
from narrator_daemon.narration import companions
from narrator_daemon.narration.companions import (
    FORMS,
    About,
    Chapter,
    Companion,
    Encoder,
    EncodingFailed,
    chapters_of,
    line,
)

KEY = bytes(range(16))
SECONDS = 20
CHAPTERS = (Chapter("Ein Stück", 0.5), Chapter("Two, too", 7.25), Chapter("Three", 12.0))


def png(width: int = 8, height: int = 8) -> bytes:
    """A picture."""
    rows = b"".join(b"\0" + bytes([200, 30, 60]) * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def sound(seconds: float = SECONDS, mark: bool = True) -> NDArray[np.int16]:
    """Bursts of noise like syllables."""
    random = np.random.default_rng(5)
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.convolve(random.standard_normal(len(times)), np.ones(6) / 6, "same")
    loud = 0.2 * noise * (np.sin(2 * np.pi * 3 * times) > -0.3)
    if mark:
        embedder = watermark.Embedder(SAMPLE_RATE, KEY, 77, strength_db=1.5)
        loud = np.concatenate([embedder.feed(loud.astype(np.float32)), embedder.finish()])
    return np.round(32767 * np.clip(loud, -1, 1)).astype(np.int16)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[dict[str, Companion]]:
    with ExitStack() as opened:
        yield {
            form.name: Companion(form, 48, opened.enter_context((tmp_path / form.name).open("w+b")))
            for form in FORMS.values()
        }


def encode(files: dict[str, Companion], samples: NDArray[np.int16], **about: Any) -> None:
    chapters = about.pop("chapters", CHAPTERS)
    with Encoder(list(files.values()), About(**about), chapters, len(samples)) as encoder:
        for start in range(0, len(samples), 10_007):
            encoder.feed(samples[start : start + 10_007])
        encoder.finish()


def _children() -> set[int]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return set(map(int, listed.split()))


@pytest.fixture
def children() -> Callable[[], set[int]]:
    """Gives the processes that were started since; other tests may have left some running."""
    before = _children()
    return lambda: _children() - before


def test_each_is_read_back_as_it_was_written(
    files: dict[str, Companion], tmp_path: Path, children: Callable[[], set[int]]
) -> None:
    samples = sound()
    encode(files, samples, title="Über Büche\u0301r", author="J. A.", cover=cover_of(png()))
    assert not children()
    for name, companion in files.items():
        assert companion.size == (tmp_path / name).stat().st_size
        with av.open(str(tmp_path / name)) as opened:
            stream = opened.streams.audio[0]
            tags = {**stream.metadata, **opened.metadata}
            assert (tags["title"], tags["artist"]) == ("Über Büche\u0301r", "J. A.")
            found = [
                (one["metadata"]["title"], round(float(one["start"] * one["time_base"]), 3))
                for one in opened.chapters()
            ]
            # What is before the first heading belongs to it.
            assert found == [("Ein Stück", 0.0), ("Two, too", 7.25), ("Three", 12.0)]
            assert bool(opened.streams.video) == FORMS[name].takes_cover
            heard = np.concatenate([f.to_ndarray()[0] for f in opened.decode(stream)])
        assert len(heard) == pytest.approx(
            len(samples) * stream.rate / SAMPLE_RATE, abs=0.11 * stream.rate
        )
        assert score(companion.file, KEY, 77) > watermark.WEAK_SCORE
        assert score(companion.file, KEY, 78) < watermark.WEAK_SCORE


def test_the_index_of_an_m4a_is_before_its_samples(
    files: dict[str, Companion], tmp_path: Path
) -> None:
    encode(files, sound(2, mark=False))
    data, place, boxes = (tmp_path / "m4a").read_bytes(), 0, []
    while place < len(data):
        size, name = struct.unpack_from(">I4s", data, place)
        boxes.append(name)
        place += size
    assert boxes.index(b"moov") < boxes.index(b"mdat")
    assert data[8:12] == b"M4A "


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="needs ffprobe")
def test_another_program_finds_the_same(files: dict[str, Companion], tmp_path: Path) -> None:
    encode(files, sound(mark=False), title="Emma", cover=cover_of(png()))
    for name in files:
        command = ["ffprobe", "-v", "error", "-show_chapters", "-show_streams", "-of", "json"]
        told = subprocess.run([*command, tmp_path / name], capture_output=True, check=True)
        assert not told.stderr
        found = json.loads(told.stdout)
        assert [one["tags"]["title"] for one in found["chapters"]] == [
            chapter.title for chapter in CHAPTERS
        ]
        pictures = [one["disposition"]["attached_pic"] for one in found["streams"]]
        assert pictures.count(1) == FORMS[name].takes_cover


@pytest.mark.parametrize(
    ("chapters", "found"),
    [
        ((), []),
        ((Chapter("Late", 5.0),), [("Beginning", 0.0), ("Late", 5.0)]),
        ((Chapter("A" * 250, 0.2), Chapter("B", 0.3)), [("A" * 250, 0.0), ("B", 0.3)]),
    ],
)
def test_chapters_begin_with_the_file(
    files: dict[str, Companion],
    tmp_path: Path,
    chapters: tuple[Chapter, ...],
    found: list[tuple[str, float]],
) -> None:
    encode(files, sound(6, mark=False), chapters=chapters)
    for name in files:
        with av.open(str(tmp_path / name)) as opened:
            assert found == [
                (one["metadata"]["title"], float(one["start"] * one["time_base"]))
                for one in opened.chapters()
            ]


@pytest.mark.parametrize("name", FORMS)
def test_a_full_disk_is_told_as_one(name: str, children: Callable[[], set[int]]) -> None:
    # Whether by what is written meanwhile or in the end.
    with Path("/dev/full").open("r+b", buffering=0) as full:
        asked = {"x": Companion(FORMS[name], 48, full)}
        with pytest.raises(OSError, match="No space left") as raised:
            encode(asked, sound(60, mark=False))
    assert raised.value.errno == errno.ENOSPC
    assert not children()


def test_samples_that_do_not_come_are_no_whole_file(
    files: dict[str, Companion], children: Callable[[], set[int]]
) -> None:
    with Encoder(list(files.values()), About(), (), 2 * SAMPLE_RATE) as encoder:
        encoder.feed(np.zeros(SAMPLE_RATE, np.int16))
        with pytest.raises(EncodingFailed, match="24000 samples came of 48000"):
            encoder.finish()
    assert not children()


def test_one_that_is_left_leaves_no_process(
    files: dict[str, Companion], children: Callable[[], set[int]]
) -> None:
    with suppress(KeyError), Encoder(list(files.values()), About(), (), SAMPLE_RATE) as encoder:
        encoder.feed(np.zeros(10, np.int16))
        raise KeyError
    assert not children()


def test_an_encoder_that_dies_is_told(
    files: dict[str, Companion], children: Callable[[], set[int]]
) -> None:
    with Encoder(list(files.values()), About(), (), 10**9) as encoder:
        (process,) = children()
        os.kill(process, 9)
        with pytest.raises(EncodingFailed, match="ended with -9"):
            _feed_without_end(encoder)


def _feed_without_end(encoder: Encoder) -> None:
    while True:
        encoder.feed(np.zeros(SAMPLE_RATE, np.int16))


def test_one_that_does_not_end_is_given_up(
    files: dict[str, Companion],
    children: Callable[[], set[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(companions, "_LAST_SECONDS", 0.0)
    with (
        Encoder(list(files.values()), About(), (), 10) as encoder,
        pytest.raises(EncodingFailed, match="did not end"),
    ):
        encoder.finish()
    assert not children()


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("No heading at all.", []),
        ("# One\n\nText.\n\n## Two\n\nText.\n\n### Not\n\nText.", ["One", "Two"]),
        ("### Alone\n\nText.\n\n#### Deeper\n\nText.\n\n### Again\n\nText.", ["Alone", "Again"]),
        ("CHAPTER I\n\nText.\n\nCHAPTER II\n\nText.", ["CHAPTER I", "CHAPTER II"]),
    ],
)
def test_headings_open_chapters(text: str, titles: list[str]) -> None:
    segments = segment(text)
    starts = [
        [(100 * number + place) * SAMPLE_RATE for place in range(len(one.sentences))]
        for number, one in enumerate(segments)
    ]
    found = chapters_of(segments, starts)
    assert [one.title for one in found] == titles
    seconds = [one.start_seconds for one in found]
    assert seconds == sorted(seconds) and len(set(seconds)) == len(seconds)


@pytest.mark.parametrize(("samples", "titles"), [(23, ["One"]), (24, ["One", "Two"])])
def test_chapters_are_a_millisecond_apart(samples: int, titles: list[str]) -> None:
    segments = segment("# One\n\n# Two")
    sentences = [one for each in segments for one in each.sentences]
    assert len(sentences) == 2
    places = iter([0, samples])
    found = chapters_of(segments, [[next(places) for _ in each.sentences] for each in segments])
    assert [one.title for one in found] == titles


@given(st.text() | st.none() | st.integers() | st.lists(st.text()))
def test_a_line_is_short_and_one(text: object) -> None:
    made = line(text)
    assert len(made.encode("utf-8")) <= 250
    assert made == made.strip() and made.isprintable()
    assert isinstance(text, str) or made == ""


def test_a_line_keeps_its_letters() -> None:
    assert line("  Les\nMisérables\x00 \u202e(1862) ") == "Les Misérables (1862)"
    assert line("é" * 300) == "é" * 125


def test_the_mark_is_searched_in_files_without_a_name() -> None:
    with tempfile.TemporaryFile() as file:
        encode({"m4a": Companion(FORMS["m4a"], 48, file)}, sound())
        assert score(file, KEY, 77) > watermark.WEAK_SCORE


def test_the_log_is_never_switched_off_for_it(
    files: dict[str, Companion], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other threads write to standard error meanwhile, and search files of their own."""

    def switch(*_: object) -> None:
        raise AssertionError("a descriptor that the whole process writes to was changed")

    encode(files, sound())
    with monkeypatch.context() as patch:
        patch.setattr(os, "dup2", switch)
        for companion in files.values():
            assert score(companion.file, KEY, 77) > watermark.WEAK_SCORE
