"""The page about a narration: what it measures, shows and must not do."""

from __future__ import annotations

import base64
import io
import itertools
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from csm import SAMPLE_RATE
from csm.mastering.loudness import integrated_loudness, true_peak_decibels
from csm.mastering.mastering import pcm16
from csm.text.segments import Segment, Sentence
from narrator_daemon.commands.narrate import read_file
from narrator_daemon.errors import CannotRead
from narrator_daemon.narration.measures import Inspection, inspect, outline_of
from narrator_daemon.narration.narrated import NarratedPart, Narration
from narrator_daemon.narration.report import write_report
from narrator_daemon.settings import Kept, Settings, Speech
from narrator_daemon.wav import WavWriter

HOSTILE = '</p><script>alert(1)</script><img src=x onerror=alert(2)> "&amp;\x1b[31m\u202eevil'
LONG = "A sentence that is long enough to have a pace that can be compared. "


def noise(seconds: float, level: float, seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return (level * random.standard_normal(round(seconds * SAMPLE_RATE))).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Narration, NDArray[np.float32]]:
    """A file of six segments: two alike, one loud, one slow, one silent, one hostile."""
    texts = [LONG, LONG, LONG, LONG, "Nothing.", HOSTILE]
    sounds = [
        noise(4, 0.05, 1),
        noise(4, 0.05, 2),
        noise(4, 0.2, 3),
        noise(8, 0.05, 4),
        noise(0, 0, 5),
        noise(4, 0.05, 6),
    ]
    note: dict[str, Any] = {
        "scores": {"<b>pace</b>": 1.25},
        "faults": {"long_silence": 1.5},
        "draws": 3,
    }
    pieces, parts, position = [noise(0.5, 3e-4, 7)], [], 0.5
    for text, sound in zip(texts, sounds, strict=True):
        end = position + len(sound) / SAMPLE_RATE
        segment = Segment((Sentence(text, 0, len(text)),))
        noted = note if text == HOSTILE else {}
        parts.append(NarratedPart(text, position, end, noted, segment, (position,)))
        pieces += [sound, noise(0.4, 3e-4, 8)]
        position = end + 0.4
    samples = np.concatenate([*pieces, noise(0.6, 3e-4, 9)])
    path = tmp_path_factory.mktemp("report") / "a.wav"
    with path.open("wb") as file, WavWriter(file, len(samples)) as wav:
        wav.write(pcm16(samples))
    facts = {"characters": 300, "words": 60, "segments": 6, "watermarkScore": 81.5, "takes": None}
    size = path.stat().st_size
    return path, Narration(size, len(samples) / SAMPLE_RATE, tuple(parts), facts), samples


@pytest.fixture(scope="module")
def inspection(made: tuple[Path, Narration, NDArray[np.float32]]) -> Inspection:
    return inspect(made[0], made[1])


def test_the_whole_is_measured_as_by_one_who_has_it_in_memory(
    made: tuple[Path, Narration, NDArray[np.float32]], inspection: Inspection
) -> None:
    _, _, samples = made
    loudness = integrated_loudness(samples, SAMPLE_RATE)
    assert inspection.loudness_lufs == pytest.approx(loudness, abs=0.02)
    assert inspection.true_peak_dbtp == pytest.approx(true_peak_decibels(samples), abs=0.02)
    assert inspection.floor_dbfs == pytest.approx(20 * np.log10(3e-4), abs=0.5)
    assert (inspection.head_seconds, inspection.tail_seconds) == pytest.approx((0.5, 1.0))
    # Loud in the middle, where the third segment is.
    spread = inspection.outline[:, 1] - inspection.outline[:, 0]
    place = (9.3 + 2) / (len(samples) / SAMPLE_RATE) * len(spread)
    assert spread[round(place)] > 2 * np.median(spread)


def test_what_is_unlike_the_others_is_named(inspection: Inspection) -> None:
    odd = [part.oddities for part in inspection.parts]
    assert odd[0] == odd[1] == ()
    assert odd[2] == ("+12 LU beside the others",)
    assert odd[3] == ("2.0 times the others' seconds a character",)
    assert odd[4] == ("silent",)
    assert odd[5] == ("long silence",)


def test_a_silent_segment_is_no_measure_for_the_others(tmp_path: Path) -> None:
    # Eight LU apart, each within six of the middle.
    sounds = [noise(4, 0.04, 1), noise(5, 0.1, 2), noise(1, 0, 3)]
    ends = np.cumsum([len(sound) / SAMPLE_RATE for sound in sounds]).tolist()
    segment = Segment((Sentence(LONG, 0, len(LONG)),))
    parts = tuple(
        NarratedPart(LONG, start, end, {}, segment, (start,))
        for start, end in itertools.pairwise([0.0, *ends])
    )
    path = tmp_path / "a.wav"
    soundfile.write(path, np.concatenate(sounds), SAMPLE_RATE, subtype="PCM_16")
    found = inspect(path, Narration(path.stat().st_size, ends[-1], parts, {})).parts
    assert [part.oddities for part in found] == [(), (), ("silent",)]
    assert [part.seconds_a_character * len(LONG) for part in found] == pytest.approx([4, 5, 1])
    loudness = [integrated_loudness(sound, SAMPLE_RATE) for sound in sounds]
    assert [part.loudness_lufs for part in found] == pytest.approx(loudness, abs=0.02)


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(made: tuple[Path, Narration, NDArray[np.float32]]) -> Page:
    path = made[0].with_suffix(".html")
    write_report(path, made[0], made[1], {"Book": HOSTILE, "Engine": "tone"}, "a; rm -r /")
    return Page(path.read_text(encoding="utf-8"))


def test_a_text_can_do_nothing_to_the_page(page: Page) -> None:
    assert {tag for tag, _ in page.elements} <= {
        *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "div"),
        *("table", "tr", "th", "td", "svg", "path", "a", "rect", "ul", "li", "section", "strong"),
        *("audio", "details", "summary", "code", "br"),
    }
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
    shown = HOSTILE.replace("\x1b", "\N{REPLACEMENT CHARACTER}")
    shown = shown.replace("\u202e", "\N{REPLACEMENT CHARACTER}")
    # As the book, as the segment's text and, shortened, in the waveform.
    assert page.text.count(shown) == 2
    assert "<b>pace</b>" in page.text


def test_each_segment_says_how_it_is_read_anew(page: Page) -> None:
    sections = [section["id"].removeprefix("s") for section in page.all("section")]
    assert sections == [str(number) for number in range(1, len(sections) + 1)]
    for number in sections:
        assert f"narrator-daemon retake 'a; rm -r /' --segment {number}\n" in page.text


def test_each_segment_says_when_it_is_heard(
    made: tuple[Path, Narration, NDArray[np.float32]], tmp_path: Path
) -> None:
    path = tmp_path / "a.html"
    write_report(path, made[0], made[1], {}, "b")
    text = Page(path.read_text(encoding="utf-8")).text
    assert "00:00.5 – 00:04.5" in text
    assert "00:09.3 – 00:13.3" in text


def test_a_notice_is_numbered_apart_and_cannot_be_read_anew(
    made: tuple[Path, Narration, NDArray[np.float32]], tmp_path: Path
) -> None:
    parts = [replace(part, is_notice=number in (0, 3)) for number, part in enumerate(made[1].parts)]
    path = tmp_path / "a.html"
    write_report(path, made[0], replace(made[1], parts=tuple(parts)), {}, "b")
    found = Page(path.read_text(encoding="utf-8"))
    assert [section["id"] for section in found.all("section")] == [
        *("sn1", "s1", "s2", "sn2", "s3", "s4")
    ]
    assert found.text.count("narrator-daemon retake b") == 4


def test_a_segment_without_a_text_has_a_pace(
    made: tuple[Path, Narration, NDArray[np.float32]],
) -> None:
    parts = tuple(replace(part, text="") for part in made[1].parts)
    found = inspect(made[0], replace(made[1], parts=parts))
    assert found.parts[0].seconds_a_character == pytest.approx(4.0)


def test_it_asks_for_nothing_from_elsewhere(page: Page) -> None:
    assert all(link["href"].startswith("#") for link in page.all("a"))
    assert all(audio["src"].startswith("data:audio/") for audio in page.all("audio"))
    policy = page.all("meta")[1]["content"]
    assert "default-src 'none'" in policy
    assert "script" not in policy


def test_every_link_leads_to_a_segment(page: Page) -> None:
    sections = {section["id"] for section in page.all("section")}
    assert sections == {f"s{number}" for number in range(1, 7)}
    links = [link["href"].removeprefix("#") for link in page.all("a")]
    assert set(links) == sections
    # Once in the waveform, and once more where it is worth a listen.
    assert sorted(links) == sorted([*sections, "s3", "s4", "s5", "s6"])


def test_each_segment_can_be_heard_but_the_silent_one(
    page: Page, made: tuple[Path, Narration, NDArray[np.float32]]
) -> None:
    sounding = [part for part in made[1].parts if part.end_seconds > part.start_seconds]
    players = page.all("audio")
    assert len(players) == len(sounding) == 5
    for player, part in zip(players, sounding, strict=True):
        assert "controls" in player
        sound = base64.b64decode(player["src"].partition(",")[2])
        samples, rate = soundfile.read(io.BytesIO(sound))
        assert len(samples) / rate == pytest.approx(part.end_seconds - part.start_seconds, abs=0.2)


@pytest.mark.parametrize(("formats", "kind"), [({"MP3": ""}, "mpeg"), ({}, "wav")])
def test_sound_is_mp3_where_that_can_be_written(
    made: tuple[Path, Narration, NDArray[np.float32]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    formats: dict[str, str],
    kind: str,
) -> None:
    monkeypatch.setattr(soundfile, "available_formats", lambda: formats)
    path = tmp_path / "a.html"
    write_report(path, made[0], made[1], {}, "b")
    players = Page(path.read_text(encoding="utf-8")).all("audio")
    assert {one["src"].partition(";")[0] for one in players} == {f"data:audio/{kind}"}
    sound = base64.b64decode(players[0]["src"].partition(",")[2])
    assert soundfile.info(io.BytesIO(sound)).format == kind.replace("mpeg", "mp3").upper()


def test_waves_stay_within_their_pictures_and_fill_them(page: Page) -> None:
    for path in page.all("path"):
        points = [point.split(",") for point in path["d"].strip("Mz").split()]
        across, down = [[float(place) for place in axis] for axis in zip(*points, strict=True)]
        half = len(points) // 2
        assert across == [*range(half), *reversed(range(half))]
        assert min(down) >= 0 and max(down) <= 100
        # Above the middle, and below it on the way back.
        assert all(up <= 50 for up in down[:half])
        assert all(low >= 50 for low in down[half:])
        assert max(down) - min(down) > 5


@pytest.mark.parametrize("count", [0, 1, 5, 7, 8, 300])
def test_an_outline_is_the_least_and_the_most_of_each_stretch(count: int) -> None:
    samples = noise(1, 0.5, 3)[:count]
    found = outline_of(samples, 7)
    expected = np.zeros((7, 2), dtype=np.float32)
    for place, sample in enumerate(samples):
        column = place * 7 // count
        expected[column] = min(expected[column][0], sample), max(expected[column][1], sample)
    assert np.array_equal(found, expected)


def test_takes_and_scores_are_shown_where_there_are_some(page: Page) -> None:
    assert len(page.all("details")) == 1
    assert "faults: long silence" in page.text
    assert "draws" in page.text


def test_narrate_writes_file_and_page_and_leaves_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "tale.txt").write_text("Call me Ishmael. Some years ago, never mind how long.")
    settings = Settings(speech=Speech(engine="tone"), kept=Kept(folder=tmp_path / "kept"))
    out, report = tmp_path / "tale.wav", tmp_path / "tale.html"
    read_file(settings, tmp_path / "tale.txt", out, "tale", report)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("tale.txt", "tale.wav", "tale.html", "kept", "marks.json", "marks.json.lock")
    }
    assert not list((tmp_path / "kept" / "segments").iterdir())
    assert "Call me Ishmael." in Page(report.read_text()).text
    with pytest.raises(CannotRead, match="there is no folder"):
        read_file(settings, tmp_path / "tale.txt", out, "tale", tmp_path / "no" / "a.html")
