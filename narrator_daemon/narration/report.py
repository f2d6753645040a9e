"""A narration as one HTML page, for who asks why it sounds odd: see and hear each segment.

The page holds everything, audio included, and does nothing by itself, whatever the text of a book
may try; see ``pages``.
"""

from __future__ import annotations

import base64
import io
import itertools
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import soundfile
from numpy.typing import NDArray

from narrator_daemon import pages
from narrator_daemon.narration.measures import (
    COLUMNS,
    InspectedPart,
    Inspection,
    inspect,
    outline_of,
)
from narrator_daemon.narration.narrated import Narration

_PART_COLUMNS = 300
_HEIGHT = 100

Rows: TypeAlias = list[tuple[str, str]]


@dataclass(frozen=True)
class _Box:
    """A segment in the waveform of the whole."""

    number: str
    text: str
    odd: bool
    left: str
    width: str


@dataclass(frozen=True)
class _Whole:
    """The waveform of the whole, as SVG."""

    path: str
    boxes: list[_Box]
    width: int = COLUMNS
    height: int = _HEIGHT


@dataclass(frozen=True)
class _Sound:
    """A segment's waveform, and its audio as a ``data:`` URL."""

    path: str
    url: str
    width: int = _PART_COLUMNS


@dataclass(frozen=True)
class _Part:
    """A segment as the page shows it."""

    number: str
    span: str
    text: str
    oddities: str
    sound: _Sound | None
    facts: Rows
    note: Rows
    retake: str


def write_report(
    page: Path, wav: Path, narration: Narration, made_from: dict[str, str], book_id: str
) -> None:
    """Write the page.

    Args:
        page: where to.
        wav: the file that ``narrate`` wrote.
        narration: what it said of it.
        made_from: what is to be known of how it was made, by name: book, engine, settings.
        book_id: of the book in the catalogue, for the command that reads a segment anew.

    Raises:
        OSError: a file cannot be read or written.
    """
    inspection = inspect(wav, narration)
    numbered = list(zip(_numbers(inspection), inspection.parts, strict=True))
    with page.open("w", encoding="utf-8") as out, soundfile.SoundFile(os.fsencode(wav)) as file:
        out.writelines(
            pages.render(
                "narration/report.html.jinja",
                title=wav.name,
                facts=[*made_from.items(), *_facts(narration, inspection)],
                whole=_whole(narration.duration_seconds, numbered, inspection),
                oddities=[
                    (number, ", ".join(part.oddities)) for number, part in numbered if part.oddities
                ],
                # One after the other: with its audio, a page can be larger than memory.
                parts=(_part(number, part, file, book_id) for number, part in numbered),
            )
        )


def _facts(narration: Narration, inspection: Inspection) -> Rows:
    facts = narration.facts
    score = facts["watermarkScore"]
    return [
        ("Length", _time(narration.duration_seconds)),
        ("Text", f"{facts['characters']:,} characters, {facts['words']:,} words"),
        ("Segments", f"{facts['segments']:,}"),
        ("Loudness", _figure(inspection.loudness_lufs, "LUFS")),
        ("True peak", _figure(inspection.true_peak_dbtp, "dBTP")),
        ("Loudest pause", _figure(inspection.floor_dbfs, "dBFS")),
        ("Before the first sound", f"{inspection.head_seconds:.2f} s"),
        ("After the last sound", f"{inspection.tail_seconds:.2f} s"),
        ("Watermark score", "not checked" if score is None else f"{score:.1f}"),
        *_takes(facts.get("takes")),
    ]


def _takes(report: object) -> Iterator[tuple[str, str]]:
    if isinstance(report, dict) and report.get("judged"):
        yield (
            "Takes",
            f"{report['passed']} of {report['judged']} passed, {report['redrawn']} drawn again",
        )
        if steady := report.get("consistency"):
            drifts = ", ".join(steady["drifts"])
            yield (
                "Consistency, first fifth to last",
                f"{steady['score']:.2f} of 1" + (f"; drifts in {drifts}" if drifts else ""),
            )


def _numbers(inspection: Inspection) -> list[str]:
    """The numbers of a book's segments, from 1, by which they are asked for; n1, … for a notice."""
    book, told = itertools.count(1), itertools.count(1)
    return [f"n{next(told)}" if one.part.is_notice else str(next(book)) for one in inspection.parts]


def _whole(
    duration: float, numbered: Sequence[tuple[str, InspectedPart]], inspection: Inspection
) -> _Whole:
    boxes = []
    for number, inspected in numbered:
        part = inspected.part
        left = COLUMNS * part.start_seconds / duration
        width = COLUMNS * (part.end_seconds - part.start_seconds) / duration
        odd = bool(inspected.oddities)
        boxes.append(_Box(number, _short(part.text), odd, f"{left:.2f}", f"{width:.2f}"))
    return _Whole(_path(inspection.outline), boxes)


def _part(number: str, inspected: InspectedPart, file: soundfile.SoundFile, book_id: str) -> _Part:
    part = inspected.part
    samples = _samples(file, inspected)
    sound = None
    if len(samples):
        path = _path(outline_of(samples, _PART_COLUMNS))
        sound = _Sound(path, _data_url(samples, file.samplerate))
    return _Part(
        number,
        f"{_time(part.start_seconds)} – {_time(part.end_seconds)}",
        part.text,
        ", ".join(inspected.oddities),
        sound,
        [
            ("Length", f"{part.end_seconds - part.start_seconds:.2f} s"),
            ("Pace", f"{1000 * inspected.seconds_a_character:.0f} ms a character"),
            ("Loudness", _figure(inspected.loudness_lufs, "LUFS")),
            ("True peak", _figure(inspected.true_peak_dbtp, "dBTP")),
        ],
        list(_flat(part.note)),
        ""
        if part.is_notice
        else f"narrator-daemon retake {shlex.quote(book_id)} --segment {number}",
    )


def _flat(note: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in note.items():
        shown = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict):
            yield from _flat(value, f"{shown}: ")
        else:
            yield shown, str(value)


def _samples(file: soundfile.SoundFile, inspected: InspectedPart) -> NDArray[np.float32]:
    start, end = (
        round(seconds * file.samplerate)
        for seconds in (inspected.part.start_seconds, inspected.part.end_seconds)
    )
    file.seek(start)
    samples: NDArray[np.float32] = file.read(end - start, dtype="float32")
    return samples


def _data_url(samples: NDArray[np.float32], rate: int) -> str:
    """The sound as MP3, which every browser plays, where libsndfile writes it, else as WAV."""
    sound = io.BytesIO()
    if "MP3" in soundfile.available_formats():
        kind = "audio/mpeg"
        soundfile.write(sound, samples, rate, format="MP3", subtype="MPEG_LAYER_III")
    else:
        kind = "audio/wav"
        soundfile.write(sound, samples, rate, format="WAV", subtype="PCM_16")
    return f"data:{kind};base64,{base64.b64encode(sound.getvalue()).decode('ascii')}"


def _path(outline: NDArray[np.float32]) -> str:
    middle = _HEIGHT / 2
    top = [f"{x},{middle * (1 - high):.1f}" for x, (_, high) in enumerate(outline)]
    bottom = [f"{x},{middle * (1 - low):.1f}" for x, (low, _) in enumerate(outline)]
    return f"M{' '.join([*top, *reversed(bottom)])}z"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def _figure(value: float, unit: str) -> str:
    return f"{value:.1f} {unit}".replace("-inf", "−∞").replace("-", "−")


def _time(seconds: float) -> str:
    whole = timedelta(seconds=int(seconds))
    return f"{str(whole).removeprefix('0:')}.{int(seconds * 10) % 10}"
