"""A trace as a picture, so that a cut or mixed file explains itself."""

from __future__ import annotations

from html import escape

import numpy as np

from watermark.checking import Trace
from watermark.search import PIECE_SECONDS

_WIDTH, _HEIGHT = 960, 420
_LEFT, _RIGHT, _TOP = 70, 20, 40
_SCORES, _GAP, _PLACES = 190, 50, 90
#: Pieces that score more hold the mark; by chance one in a thousand does.
_MARKED = 3.0


def picture(trace: Trace, title: str) -> str:
    """Draw a book's score along a file, and below it which second of the narration is heard.

    A whole copy is one rising line; a cut is a jump in it, foreign sound a gap.

    Args:
        trace: from :func:`watermark.score_along`.
        title: set above; any text.

    Returns:
        An SVG document.
    """
    total = len(trace.seconds) * PIECE_SECONDS
    highest = max(10.0, float(trace.score.max(initial=0)))
    known = trace.place[np.isfinite(trace.place)]
    longest = max(float(known.max(initial=0)), 1.0)
    base = _TOP + _SCORES
    floor = base + _GAP + _PLACES

    def across(second: float) -> float:
        return _LEFT + second / total * (_WIDTH - _LEFT - _RIGHT)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="24" font-size="16">{escape(title)}</text>',
    ]
    piece = across(PIECE_SECONDS) - _LEFT
    for second, score in zip(trace.seconds, trace.score, strict=True):
        tall = max(float(score), 0.0) / highest * _SCORES
        colour = "#2c7a4b" if score > _MARKED else "#b9bec4"
        parts.append(
            f'<rect x="{across(second) - piece / 2:.1f}" y="{base - tall:.1f}" '
            f'width="{piece * 0.9:.1f}" height="{tall:.1f}" fill="{colour}"/>'
        )
    level = base - _MARKED / highest * _SCORES
    parts += [
        f'<line x1="{_LEFT}" y1="{level:.1f}" x2="{_WIDTH - _RIGHT}" y2="{level:.1f}" '
        'stroke="#c0392b" stroke-dasharray="4 4"/>',
        f'<text x="{_LEFT - 8}" y="{level + 4:.1f}" text-anchor="end">{_MARKED:g}</text>',
        f'<text x="{_LEFT - 8}" y="{_TOP + 4}" text-anchor="end">{highest:.0f}</text>',
        f'<text x="{_LEFT - 8}" y="{base + 4}" text-anchor="end">0</text>',
        f'<text x="{_LEFT}" y="{base + _GAP - 16}">second of the narration, up to '
        f"{longest:.0f}</text>",
    ]
    for second, place in zip(trace.seconds, trace.place, strict=True):
        if np.isfinite(place):
            high = floor - place / longest * _PLACES
            parts.append(
                f'<circle cx="{across(second):.1f}" cy="{high:.1f}" r="3" fill="#2c7a4b"/>'
            )
    for share in np.linspace(0, 1, 7):
        x = across(share * total)
        parts.append(
            f'<text x="{x:.1f}" y="{floor + 24}" text-anchor="middle">{share * total:.0f} s</text>'
        )
    return "\n".join([*parts, "</svg>\n"])
