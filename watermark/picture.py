"""Traces as a picture, so that a cut or mixed file explains itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from watermark.checking import MARKED_SCORE, Trace
from watermark.detection.search import PIECE_SECONDS

_WIDTH = 960
_LEFT, _RIGHT, _TOP = 70, 20, 60
_SCORES, _GAP, _PLACES, _AXIS = 190, 50, 90, 50
_LINE = 18
#: Of the books in their order, the last for all that follow; told apart by the colour-blind too.
_COLOURS = ("#2c7a4b", "#1f5fa8", "#c77c11", "#8e44ad", "#5d6d7e")
_NO_MARK = "#b9bec4"


def picture(traces: Mapping[str, Trace], title: str, notes: Sequence[str] = ()) -> str:
    """Draw books' scores along a file, and below them which second of a narration is heard.

    A whole copy is one rising line; a cut is a jump in it, foreign sound a gap.

    Args:
        traces: of one file, from ``watermark.Tracer``, by the books' names; at least one.
        title: set above.
        notes: lines set below.

    Returns:
        An SVG document. All text is escaped.
    """
    first = next(iter(traces.values()))
    total = len(first.seconds) * PIECE_SECONDS
    highest = max(10.0, *(float(trace.score.max(initial=0)) for trace in traces.values()))
    places = np.concatenate([trace.place for trace in traces.values()])
    longest = max(float(places[np.isfinite(places)].max(initial=0)), 1.0)
    base = _TOP + _SCORES
    floor = base + _GAP + _PLACES
    height = floor + _AXIS + _LINE * len(notes)

    def across(second: float) -> float:
        return _LEFT + second / total * (_WIDTH - _LEFT - _RIGHT)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="24" font-size="16">{escape(title)}</text>',
    ]
    colours = [_COLOURS[min(number, len(_COLOURS) - 1)] for number in range(len(traces))]
    at = _LEFT
    for name, colour in zip(traces, colours, strict=True):
        parts.append(f'<text x="{at}" y="46" fill="{colour}">{escape(name)}</text>')
        at += 30 + 8 * len(name)
    piece = across(PIECE_SECONDS) - _LEFT
    scores = np.stack([trace.score for trace in traces.values()])
    for second, column in zip(first.seconds, scores.T, strict=True):
        best = int(column.argmax())
        tall = max(float(column[best]), 0.0) / highest * _SCORES
        colour = colours[best] if column[best] > MARKED_SCORE else _NO_MARK
        parts.append(
            f'<rect x="{across(second) - piece / 2:.1f}" y="{base - tall:.1f}" '
            f'width="{piece * 0.9:.1f}" height="{tall:.1f}" fill="{colour}"/>'
        )
    level = base - MARKED_SCORE / highest * _SCORES
    parts += [
        f'<line x1="{_LEFT}" y1="{level:.1f}" x2="{_WIDTH - _RIGHT}" y2="{level:.1f}" '
        'stroke="#c0392b" stroke-dasharray="4 4"/>',
        f'<text x="{_LEFT - 8}" y="{level + 4:.1f}" text-anchor="end">{MARKED_SCORE:g}</text>',
        f'<text x="{_LEFT - 8}" y="{_TOP + 4}" text-anchor="end">{highest:.0f}</text>',
        f'<text x="{_LEFT - 8}" y="{base + 4}" text-anchor="end">0</text>',
        f'<text x="{_LEFT}" y="{base + 18}">score of each {PIECE_SECONDS:.1f} s</text>',
        f'<text x="{_LEFT}" y="{base + _GAP - 8}">second of the narration, up to '
        f"{longest:.0f}</text>",
    ]
    for trace, colour in zip(traces.values(), colours, strict=True):
        for second, place in zip(trace.seconds, trace.place, strict=True):
            if np.isfinite(place):
                high = floor - place / longest * _PLACES
                parts.append(
                    f'<circle cx="{across(second):.1f}" cy="{high:.1f}" r="3" fill="{colour}"/>'
                )
    for share in np.linspace(0, 1, 7):
        x = across(share * total)
        parts.append(
            f'<text x="{x:.1f}" y="{floor + 24}" text-anchor="middle">{share * total:.0f} s</text>'
        )
    for row, note in enumerate(notes):
        y = floor + _AXIS + _LINE * row
        parts.append(f'<text x="{_LEFT}" y="{y}">{escape(note)}</text>')
    return "\n".join([*parts, "</svg>\n"])
