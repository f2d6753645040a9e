"""Where in a file a mark is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from watermark.detection.acquisition import Change
from watermark.detection.evidence import Evidence, Trail, gather
from watermark.pattern import BLOCK_CELLS, CELL_SECONDS, Pattern

#: A run whose data score less for a book is not the book's.
_BOOKS_OWN = 3.0
#: Runs this close, in the file and in the narration, are one.
_CLOSE_SECONDS = 0.5
#: What is measured closer to 1 than this is 1: a line may wander by so much.
_PACE_STEP = 0.003


@dataclass(frozen=True)
class Span:
    """A stretch of the file that holds the book's mark.

    Attributes:
        begin: seconds into the file; at a cut, right to about 3 s.
        end: seconds into the file, likewise.
        offset_seconds: which second of the book's narration its begin is.
        speed: how much faster it plays, pitch and all.
        tempo: how much faster it runs at the same pitch.
        pitch: how much higher it sounds at the same tempo.
    """

    begin: float
    end: float
    offset_seconds: float
    speed: float
    tempo: float
    pitch: float


@dataclass(frozen=True)
class Run:
    """An unbroken part of a trail, without its cells.

    Attributes:
        begin: seconds into the file.
        end: seconds into the file.
        place: of its first cell in the key's cycle.
        change: what was done to the sound.
        pace: as measured.
        evidence: of its data.
    """

    begin: float
    end: float
    place: int
    change: Change
    pace: float
    evidence: Evidence


def runs_of(pattern: Pattern, trail: Trail, begin: float) -> list[Run]:
    """A trail's runs; ``begin`` is where in the file its chunk begins, in seconds."""
    if not len(trail.seconds):
        return []
    breaks = np.flatnonzero(np.diff(trail.seconds) > 2 * trail.line.cell_seconds) + 1
    half = trail.line.cell_seconds / 2
    runs = []
    for rows in np.split(np.arange(len(trail.seconds)), breaks):
        chosen = np.zeros(len(trail.seconds), np.bool_)
        chosen[rows] = True
        part = trail.part(chosen)
        first, last = float(part.seconds[0]), float(part.seconds[-1])
        change = trail.line.change
        pace = change.pace
        if len(rows) > 2 * BLOCK_CELLS:
            pace = CELL_SECONDS * (len(rows) - 1) / (last - first)
        runs.append(
            Run(
                begin=max(begin + first - half, 0.0),
                end=begin + last + half,
                place=int(part.places[0]),
                change=change,
                pace=1.0 if abs(pace - 1) < _PACE_STEP else pace,
                evidence=gather(pattern, [part]),
            )
        )
    return runs


def spans_of(pattern: Pattern, book_index: int, runs: Sequence[Run]) -> tuple[Span, ...]:
    """The runs that hold a book's mark, by time, joined where they go on from one another."""
    codeword = pattern.codeword(book_index)
    spans: list[Span] = []
    for run in sorted(runs, key=lambda run: run.begin):
        score = float(codeword @ run.evidence.bits) / np.sqrt(run.evidence.energy + 1e-6)
        if score < _BOOKS_OWN:
            continue
        span = _span(run, pattern.seconds_into(book_index, run.place))
        if spans and _goes_on(spans[-1], span):
            spans[-1] = replace(spans[-1], end=max(spans[-1].end, span.end))
        else:
            spans.append(span)
    return tuple(spans)


def _goes_on(one: Span, other: Span) -> bool:
    pace = one.speed * one.tempo
    expected = one.offset_seconds + (other.begin - one.begin) * pace
    return (
        other.begin - one.end < _CLOSE_SECONDS
        and abs(other.offset_seconds - expected) < _CLOSE_SECONDS
    )


def _span(run: Run, offset: float) -> Span:
    played = run.change.pace == run.change.pitch
    return Span(
        begin=round(run.begin, 3),
        end=round(run.end, 3),
        offset_seconds=round(offset, 3),
        speed=round(run.pace, 4) if played else 1.0,
        tempo=1.0 if played else round(run.pace, 4),
        pitch=1.0 if played else round(run.change.pitch, 4),
    )
