"""A suspect file explained, as a picture with words: ``narrator-daemon watermark report``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from markupsafe import Markup

import watermark
from narrator_daemon import pages
from narrator_daemon.marks.audio_files import open_audio
from narrator_daemon.marks.detect import Finding, Search, Source, at_most_two
from narrator_daemon.marks.keys import NamedKey
from narrator_daemon.marks.ledger import Tables
from narrator_daemon.marks.originals import Originals
from narrator_daemon.marks.recording import told_of
from narrator_daemon.terminal import visible
from watermark import Span, Trace

#: Without a mark for longer than this is worth a line, seconds.
_GAP_SECONDS = 3.0
#: A step in the narration of more than this is a cut, seconds.
_CUT_SECONDS = 0.5
#: Books drawn at most.
MOST_BOOKS = 8


def write_picture(
    path: Path,
    keys: Sequence[NamedKey],
    tables: Tables,
    out: Path,
    originals: Originals,
) -> tuple[Finding, list[str]]:
    """Search a file, draw what was found along it, and say it in lines.

    Args:
        path: the file.
        keys: to try.
        tables: index → books.
        out: written over; an HTML page if it ends in ``.html``, else an SVG picture.
        originals: the narrations that the file is held against.

    Raises:
        Unreadable: the file cannot be read.
        OSError: the picture cannot be written.
    """
    finding = Search(keys, tables).examine(path)
    traces = traces_of(path, keys, finding.sources[:MOST_BOOKS])
    title = f"{path.name}: {verdict(finding)}"
    compared = originals.all_compared(finding)
    lines = [*explained(finding), *told_of(finding.sources, compared)]
    if out.suffix.lower() == ".html":
        document = "".join(
            pages.render(
                "marks/report.html.jinja",
                title=title,
                picture=Markup(_harmless(watermark.picture(traces))),  # noqa: S704 — escaped
                lines=lines,
            )
        )
    else:
        document = _harmless(watermark.picture(traces, title, lines))
    out.write_text(document, encoding="utf-8")
    return finding, lines


def _harmless(picture: str) -> str:
    # A name that comes from a stranger may hold what neither a file nor an SVG can.
    return visible(picture, keep="\n")


def verdict(finding: Finding) -> str:
    """In a few words, whose the file is."""
    if not finding.sources:
        return f"no mark found ({finding.note})" if finding.note else "no mark found"
    names = " and ".join(source.name for source in finding.sources)
    return f"{names}; chance of error {finding.sources[0].chance_of_error}"


def traces_of(path: Path, keys: Sequence[NamedKey], sources: Sequence[Source]) -> dict[str, Trace]:
    """Each source's trace by its name; of a file without any, the first key's pilot.

    Raises:
        Unreadable: the file cannot be read.
    """
    by_key: dict[int, list[Source]] = {}
    for source in sources:
        by_key.setdefault(source.sighting.key_index, []).append(source)
    with open_audio(path) as audio:
        tracers = {
            number: watermark.Tracer(
                audio.rate,
                keys[number].key,
                [source.sighting.book_index for source in by_key.get(number, [])] or [0],
            )
            for number in by_key or [0]
        }
        for block in audio.blocks():
            for tracer in tracers.values():
                tracer.feed(at_most_two(block))
    if not by_key:
        trace = tracers[0].finish()[0]
        nowhere = np.full_like(trace.place, np.nan)
        return {"pilot of the key": replace(trace, score=trace.pilot, place=nowhere)}
    several = len(by_key) > 1
    return {
        f"{source.name} (key {source.key_name})" if several else source.name: trace
        for number, tracer in tracers.items()
        for source, trace in zip(by_key[number], tracer.finish(), strict=True)
    }


def explained(finding: Finding) -> Iterator[str]:
    """Lines that say which book is where in a file, and where there is none."""
    spans = sorted(
        ((span, source) for source in finding.sources for span in source.sighting.spans),
        key=lambda item: (item[0].begin, item[0].end),
    )
    heard = 0.0
    for span, source in spans:
        if span.begin - heard > _GAP_SECONDS:
            yield f"{clock(heard)} to {clock(span.begin)}: no mark"
        heard = max(heard, span.end)
        yield (
            f"{clock(span.begin)} to {clock(span.end)}: {source.name}, from "
            f"{clock(span.offset_seconds)} of its narration{_changed(span)} "
            f"(key {source.key_name})"
        )
    if finding.detection.seconds - heard > _GAP_SECONDS and spans:
        yield f"{clock(heard)} to {clock(finding.detection.seconds)}: no mark"
    for source in finding.sources:
        for one, other in pairwise(source.sighting.spans):
            step = _step(one, other)
            if abs(step) > _CUT_SECONDS:
                what = f"{step:.1f} s left out" if step > 0 else f"goes back by {-step:.1f} s"
                yield f"cut before {clock(other.begin)}: {source.name}, {what}"
    if finding.note:
        yield finding.note


def _step(one: Span, other: Span) -> float:
    """By how much the narration jumps between two stretches, beyond the time between them."""
    pace = one.speed * one.tempo
    return other.offset_seconds - one.offset_seconds - (other.begin - one.begin) * pace


def _changed(span: Span) -> str:
    changes = [
        f"{name} {value - 1:+.1%}"
        for name, value in (("speed", span.speed), ("tempo", span.tempo), ("pitch", span.pitch))
        if value != 1
    ]
    return f", {', '.join(changes)}" if changes else ""


def clock(seconds: float) -> str:
    """A time as ``h:mm:ss.t`` or ``m:ss.t``."""
    minutes, rest = divmod(round(max(seconds, 0.0), 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
