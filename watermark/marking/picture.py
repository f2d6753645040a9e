"""Traces as a picture, so that a cut or mixed file explains itself."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from watermark.detection.search import PIECE_SECONDS
from watermark.marking.checking import MARKED_SCORE, Trace

#: Narrow, so that its letters stay large on a telephone and in a column of print.
_WIDTH = 720
_LEFT, _RIGHT = 62, 14
_SCORES, _PLACES = 180, 120
#: Between the two fields, and below them: names of axes and times.
_AXIS, _LINE = 70, 20
_FONT, _LETTERS = 15, 84
#: Columns at most: more could not be told apart.
_COLUMNS = 320
#: Of the books in their order, the last for all that follow; told apart by the colour-blind too.
_COLOURS = ("#2c7a4b", "#1f5fa8", "#c77c11", "#8e44ad", "#5d6d7e")
_NO_MARK = "#b9bec4"
_INK, _GRID = "#333", "#d5d8dc"
#: Seconds, or units, between the lines of an axis.
_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400)


def picture(traces: Mapping[str, Trace], title: str = "", notes: Sequence[str] = ()) -> str:
    """Draw books' scores along a file, and below them which second of a narration is heard.

    A whole copy is one rising line; a cut is a jump in it, foreign sound a gap.

    Args:
        traces: of one file, from ``watermark.Tracer``, by the books' names; at least one.
        title: set above; empty where a page has it already.
        notes: lines set below.

    Returns:
        An SVG document. All text is escaped.
    """
    chart = _Chart(traces)
    parts, y = [], 0
    for line in textwrap.wrap(title, _LETTERS * _FONT // 20):
        y += _LINE + 4
        parts.append(_text(_LEFT, y, line, size=18))
    for name, colour in zip(traces, chart.colours, strict=True):
        y += _LINE
        parts.append(f'<rect x="{_LEFT}" y="{y - 11}" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(_LEFT + 20, y, textwrap.shorten(name, _LETTERS, placeholder="…")))
    parts += chart.scores(y + 34)
    parts += chart.places(y + 34 + _SCORES + _AXIS)
    y += 34 + _SCORES + _AXIS + _PLACES + _AXIS
    for note in notes:
        for line in textwrap.wrap(note, _LETTERS):
            parts.append(_text(_LEFT, y, line))
            y += _LINE
    label = escape(title or "Scores along the file", quote=True)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 6}" '
        f'viewBox="0 0 {_WIDTH} {y + 6}" role="img" aria-label="{label}" '
        f'font-family="sans-serif" font-size="{_FONT}" fill="{_INK}">'
    )
    ground = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([head, ground, *parts, "</svg>\n"])


class _Chart:
    """Two fields over the seconds of a file."""

    def __init__(self, traces: Mapping[str, Trace]) -> None:
        self._traces = list(traces.values())
        self.colours = [_COLOURS[min(n, len(_COLOURS) - 1)] for n in range(len(traces))]
        seconds = self._traces[0].seconds
        self._total = len(seconds) * PIECE_SECONDS
        # Pieces of hours are drawn together.
        each = -(-len(seconds) // _COLUMNS)
        self._columns = [slice(n, n + each) for n in range(0, len(seconds), each)]
        self._piece = each * PIECE_SECONDS

    def scores(self, top: float) -> Iterator[str]:
        """A bar for each piece, in the colour of the book that scores most."""
        best = np.stack([trace.score for trace in self._traces])
        highest = max(10.0, float(best.max(initial=0)))
        base = top + _SCORES

        def up(score: float) -> float:
            return base - max(score, 0.0) / highest * _SCORES

        yield _text(_LEFT - 54, top - 10, "Score, in standard deviations")
        for tick in _ticks(highest, 5):
            yield from _level(up(tick), f"{tick:g}")
        width = max(self._across(self._piece) - _LEFT - 1, 0.5)
        for column in self._columns:
            scores = best[:, column].max(axis=1)
            book = int(scores.argmax())
            score = float(scores[book])
            colour = self.colours[book] if score > MARKED_SCORE else _NO_MARK
            left = self._across(column.start * PIECE_SECONDS)
            yield (
                f'<rect x="{left:.1f}" y="{up(score):.1f}" width="{width:.1f}" '
                f'height="{base - up(score):.1f}" fill="{colour}"/>'
            )
        level = up(MARKED_SCORE)
        yield (
            f'<line x1="{_LEFT}" y1="{level:.1f}" x2="{_WIDTH - _RIGHT}" y2="{level:.1f}" '
            'stroke="#c0392b" stroke-dasharray="5 4"/>'
        )
        told = f"dashed line: above {MARKED_SCORE:g} it is marked"
        yield _text(_WIDTH - _RIGHT, top - 10, told, anchor="end", colour="#c0392b")
        yield from self._times(top, base)

    def places(self, top: float) -> Iterator[str]:
        """A dot for each marked piece, at the second of the narration that is heard in it."""
        found = np.concatenate([trace.place for trace in self._traces])
        longest = max(float(found[np.isfinite(found)].max(initial=0)), 1.0)
        base = top + _PLACES

        def up(second: float) -> float:
            return base - second / longest * _PLACES

        yield _text(_LEFT - 54, top - 10, "Time in the narration that is heard")
        for tick in _ticks(longest, 4):
            yield from _level(up(tick), _clock(tick))
        for trace, colour in zip(self._traces, self.colours, strict=True):
            for column in self._columns:
                heard = _middle(trace.place[column])
                if heard is not None:
                    across = self._across(column.start * PIECE_SECONDS + self._piece / 2)
                    yield (
                        f'<circle cx="{across:.1f}" cy="{up(heard):.1f}" r="3" fill="{colour}"/>'
                    )
        yield from self._times(top, base)

    def _across(self, second: float) -> float:
        return _LEFT + min(second / self._total, 1.0) * (_WIDTH - _LEFT - _RIGHT)

    def _times(self, top: float, base: float) -> Iterator[str]:
        yield (
            f'<path d="M{_LEFT} {top:.1f}V{base:.1f}H{_WIDTH - _RIGHT}" fill="none" '
            f'stroke="{_INK}"/>'
        )
        for tick in _ticks(self._total, 7):
            x = self._across(tick)
            yield (
                f'<line x1="{x:.1f}" y1="{base:.1f}" x2="{x:.1f}" y2="{base + 5:.1f}" '
                f'stroke="{_INK}"/>'
            )
            # The last would stand over the edge.
            anchor = "end" if x > _WIDTH - _RIGHT - 24 else "middle"
            yield _text(x, base + 20, _clock(tick), anchor=anchor)
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        yield _text(middle, base + 38, "Time in the file", anchor="middle")


def _middle(places: NDArray[np.float64]) -> float | None:
    known = places[np.isfinite(places)]
    return float(known[len(known) // 2]) if len(known) else None


def _ticks(most: float, lines: int) -> list[float]:
    """Round numbers from 0 to the most, so many at most, and one more."""
    step = next((each for each in _STEPS if most / each <= lines), most / lines)
    return [number * step for number in range(int(most / step) + 1)]


def _level(y: float, told: str) -> Iterator[str]:
    yield (
        f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="{_GRID}"/>'
    )
    yield _text(_LEFT - 6, y + 5, told, anchor="end")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = _FONT, colour: str = _INK
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{colour}">{escape(words)}</text>'
    )
