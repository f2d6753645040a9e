"""A narration as one HTML page, for who asks why it sounds odd: see and hear each segment.

The page holds everything, audio included, runs no script and asks no network for anything; its
policy forbids both, whatever the text of a book may try.
"""

from __future__ import annotations

import base64
import html
import io
import os
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from narrator_daemon.narration.measures import (
    COLUMNS,
    InspectedPart,
    Inspection,
    inspect,
    outline_of,
)
from narrator_daemon.narration.narrate import Narration

_PART_COLUMNS = 300
_HEIGHT = 100

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 76rem; margin: 0 auto; padding: 1rem; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .1rem 1rem .1rem 0; vertical-align: top; font-weight: normal; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
svg { display: block; width: 100%; color: #2563a8; }
svg.whole { height: 9rem; } svg.part { height: 3rem; max-width: 30rem; }
svg path { fill: currentColor; }
svg rect { fill: transparent; stroke: #888; vector-effect: non-scaling-stroke; }
svg a.odd rect { fill: #e8a33d55; }
svg a:hover rect, svg a:focus rect { fill: #2563a833; stroke: #2563a8; }
section { border-top: 1px solid #8886; padding: .5rem 0; scroll-margin-top: 1rem; }
@media (min-width: 60rem) {
  section { display: grid; grid-template-columns: minmax(0, 1fr) 22rem; column-gap: 2rem; }
}
section:target { background: #2563a81a; }
section h3 { margin: .3rem 0; font-size: 1rem; }
p.text { margin: .3rem 0; max-width: 50rem; overflow-wrap: anywhere; }
strong.odd { background: #e8a33d55; padding: 0 .3rem; }
audio { width: 100%; max-width: 30rem; height: 2.5rem; }
"""


def write_report(page: Path, wav: Path, narration: Narration, made_from: dict[str, str]) -> None:
    """Write the page.

    Args:
        page: where to.
        wav: the file that ``narrate`` wrote.
        narration: what it said of it.
        made_from: what is to be known of how it was made, by name: book, engine, settings.

    Raises:
        OSError: a file cannot be read or written.
    """
    inspection = inspect(wav, narration)
    with page.open("w", encoding="utf-8") as out:
        out.writelines(_head(wav, narration, made_from, inspection))
        with soundfile.SoundFile(os.fsencode(wav)) as file:
            for number, part in enumerate(inspection.parts, 1):
                out.writelines(_part(number, part, _samples(file, part), file.samplerate))
        out.write("</main>\n</body>\n</html>\n")


def _head(
    wav: Path, narration: Narration, made_from: dict[str, str], inspection: Inspection
) -> Iterator[str]:
    title = _safe(wav.name)
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; media-src data:; base-uri 'none'; form-action 'none'\">\n"
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{title}</h1>\n"
    )
    facts = narration.facts
    score = facts["watermarkScore"]
    yield _table(
        [
            *made_from.items(),
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
    )
    yield from _whole(narration.duration_seconds, inspection)
    odd = [(number, part) for number, part in enumerate(inspection.parts, 1) if part.oddities]
    yield "<h2>Worth a listen</h2>\n"
    if not odd:
        yield "<p>No segment is unlike the others.</p>\n"
    else:
        yield "<ul>\n"
        for number, part in odd:
            why = _safe(", ".join(part.oddities))
            yield f'<li><a href="#s{number}">Segment {number}</a>: {why}</li>\n'
        yield "</ul>\n"
    yield "<h2>Segments</h2>\n"


def _takes(report: object) -> Iterator[tuple[str, str]]:
    if isinstance(report, dict) and report.get("judged"):
        yield (
            "Takes",
            f"{report['passed']} of {report['judged']} passed, {report['redrawn']} drawn again",
        )


def _whole(duration: float, inspection: Inspection) -> Iterator[str]:
    yield (
        f'<svg class="whole" viewBox="0 0 {COLUMNS} {_HEIGHT}" preserveAspectRatio="none" '
        'role="group" aria-label="Waveform with the segments">\n'
    )
    yield _path(inspection.outline)
    for number, inspected in enumerate(inspection.parts, 1):
        part = inspected.part
        left = COLUMNS * part.start_seconds / duration
        width = COLUMNS * (part.end_seconds - part.start_seconds) / duration
        odd = ' class="odd"' if inspected.oddities else ""
        yield (
            f'<a href="#s{number}"{odd}><title>{number}: {_safe(_short(part.text))}</title>'
            f'<rect x="{left:.2f}" y="0" width="{width:.2f}" height="{_HEIGHT}"/></a>\n'
        )
    yield "</svg>\n"


def _part(
    number: int, inspected: InspectedPart, samples: NDArray[np.float32], rate: int
) -> Iterator[str]:
    part = inspected.part
    span = f"{_time(part.start_seconds)} – {_time(part.end_seconds)}"
    yield f'<section id="s{number}" aria-labelledby="h{number}">\n<div>\n'
    yield f'<h3 id="h{number}">{number} · {span}</h3>\n'
    yield f'<p class="text" dir="auto">{_safe(part.text)}</p>\n'
    if inspected.oddities:
        yield f'<p><strong class="odd">{_safe(", ".join(inspected.oddities))}</strong></p>\n'
    if len(samples):
        yield (
            f'<svg class="part" viewBox="0 0 {_PART_COLUMNS} {_HEIGHT}" '
            f'preserveAspectRatio="none" aria-hidden="true">\n'
            f"{_path(outline_of(samples, _PART_COLUMNS))}</svg>\n"
        )
        kind, sound = _encoded(samples, rate)
        yield (
            f'<audio controls preload="none" aria-labelledby="h{number}" src="data:{kind};base64,'
        )
        yield base64.b64encode(sound).decode("ascii")
        yield '"></audio>\n'
    yield "</div>\n<div>\n"
    yield _table(
        [
            ("Length", f"{part.end_seconds - part.start_seconds:.2f} s"),
            ("Pace", f"{1000 * inspected.seconds_a_character:.0f} ms a character"),
            ("Loudness", _figure(inspected.loudness_lufs, "LUFS")),
            ("True peak", _figure(inspected.true_peak_dbtp, "dBTP")),
        ]
    )
    if part.note:
        yield "<details>\n<summary>Takes and scores</summary>\n"
        yield _table(_flat(part.note))
        yield "</details>\n"
    yield "</div>\n</section>\n"


def _flat(note: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in note.items():
        shown = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict):
            yield from _flat(value, f"{shown}: ")
        else:
            yield shown, str(value)


def _samples(file: Any, inspected: InspectedPart) -> NDArray[np.float32]:
    start, end = (
        round(seconds * file.samplerate)
        for seconds in (inspected.part.start_seconds, inspected.part.end_seconds)
    )
    file.seek(start)
    samples: NDArray[np.float32] = file.read(end - start, dtype="float32")
    return samples


def _encoded(samples: NDArray[np.float32], rate: int) -> tuple[str, bytes]:
    """A media type and bytes of it: MP3, which every browser plays, where libsndfile writes it."""
    sound = io.BytesIO()
    if "MP3" in soundfile.available_formats():
        soundfile.write(sound, samples, rate, format="MP3", subtype="MPEG_LAYER_III")
        return "audio/mpeg", sound.getvalue()
    soundfile.write(sound, samples, rate, format="WAV", subtype="PCM_16")
    return "audio/wav", sound.getvalue()


def _path(outline: NDArray[np.float32]) -> str:
    middle = _HEIGHT / 2
    top = [f"{x},{middle * (1 - high):.1f}" for x, (_, high) in enumerate(outline)]
    bottom = [f"{x},{middle * (1 - low):.1f}" for x, (low, _) in enumerate(outline)]
    return f'<path d="M{" ".join([*top, *reversed(bottom)])}z"/>\n'


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = (
        f'<tr><th scope="row">{_safe(name)}</th><td>{_safe(value)}</td></tr>\n'
        for name, value in rows
    )
    return f"<table>\n{''.join(cells)}</table>\n"


def _safe(text: object) -> str:
    """Text as it stands, without characters that control anything."""
    shown = "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn"}
        else character
        for character in str(text)
    )
    return html.escape(shown)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def _figure(value: float, unit: str) -> str:
    return f"{value:.1f} {unit}".replace("-inf", "−∞").replace("-", "−")


def _time(seconds: float) -> str:
    whole = timedelta(seconds=int(seconds))
    return f"{str(whole).removeprefix('0:')}.{int(seconds * 10) % 10}"
