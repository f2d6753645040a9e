"""A text that knows, through every rewriting, where each part of it stood in the original."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence


class Traced:
    """A text and, at the places where it was rewritten, the positions in the original.

    Between two such places the text is the original's, character for character. Positions are
    counted in code points.

    Attributes:
        text: as it is now.
    """

    __slots__ = ("_at", "_origin", "text")

    def __init__(
        self, text: str, at: list[int] | None = None, origin: list[int] | None = None
    ) -> None:
        self.text = text
        self._at = [0, len(text)] if at is None else at
        self._origin = [0, len(text)] if origin is None else origin

    def __len__(self) -> int:
        return len(self.text)

    def start(self, position: int) -> int:
        """Where in the original the text from ``position`` on begins."""
        last = len(self._at) - 1
        return self._place(min(bisect_right(self._at, position), last), position)

    def end(self, position: int) -> int:
        """Where in the original the text before ``position`` ends."""
        return self._place(max(bisect_left(self._at, position), 1), position)

    def cover(self, start: int, end: int) -> tuple[int, int]:
        """What of the original the text from ``start`` to before ``end`` stands for.

        Of what was rewritten as a whole, all: of "eighteen fifteen" each word stands for "1815".
        """
        if start >= end:
            place = self.start(start)
            return place, place
        last = len(self._at) - 1
        index = min(bisect_right(self._at, start), last)
        begin = self._origin[index - 1]
        if self._at[index] - self._at[index - 1] == self._origin[index] - begin:
            begin += start - self._at[index - 1]
        index = max(bisect_left(self._at, end), 1)
        finish = self._origin[index]
        if self._at[index] - self._at[index - 1] == finish - self._origin[index - 1]:
            finish -= self._at[index] - end
        return begin, max(begin, finish)

    def covers(self, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """``cover`` of each of ``spans``; fast where they stand close together."""
        last = len(self._at) - 1
        low = high = moved = 0
        for start, end in spans:
            if low <= start < end <= high:
                yield start + moved, end + moved
                continue
            yield self.cover(start, end)
            index = min(bisect_right(self._at, start), last)
            low, high = self._at[index - 1], self._at[index]
            moved = self._origin[index - 1] - low
            if high - low != self._origin[index] - self._origin[index - 1]:
                high = low

    def _place(self, index: int, position: int) -> int:
        """Where a position between the places ``index - 1`` and ``index`` was in the original.

        What was rewritten between them is not divided: the position is at its nearer end.
        """
        first, last = self._at[index - 1], self._at[index]
        begin, finish = self._origin[index - 1], self._origin[index]
        if last - first == finish - begin:
            return begin + position - first
        return begin if position - first < last - position else finish

    def translated(self, table: dict[int, str]) -> Traced:
        """With its characters replaced one by one; each by exactly one."""
        return Traced(self.text.translate(table), self._at, self._origin)

    def sub(
        self,
        pattern: re.Pattern[str],
        words: Callable[[re.Match[str]], str] | str,
        starts: re.Pattern[str] | None = None,
    ) -> Traced:
        """With each match of ``pattern`` replaced, as ``re.sub`` does.

        With ``starts``, a pattern that is found faster, only matches that start where one of its
        own does.

        The longest group, if the replacement holds it as it was, keeps its place in the original.
        """
        text = self.text
        replaced = (lambda match: words) if isinstance(words, str) else words
        edits: list[tuple[int, int, int]] = []
        pieces: list[str] = []
        done = 0
        found = pattern.finditer(text) if starts is None else _matches(pattern, text, starts)
        for match in found:
            new = replaced(match)
            start, end = match.span()
            if new == match.group():
                continue
            pieces += (text[done:start], new)
            done = end
            changed = _edits(match, new)
            # What takes the place of as many characters moves nothing.
            if any(last - first != length for first, last, length in changed):
                edits += changed
        if not pieces:
            return self
        pieces.append(text[done:])
        return self._edited("".join(pieces), edits)

    def replaced(self, edits: Sequence[tuple[int, int, str]]) -> Traced:
        """With stretches replaced: start, end and the new text of each, ascending."""
        pieces: list[str] = []
        done = 0
        for start, end, new in edits:
            pieces += (self.text[done:start], new)
            done = end
        pieces.append(self.text[done:])
        return self._edited("".join(pieces), [(start, end, len(new)) for start, end, new in edits])

    def _edited(self, text: str, edits: list[tuple[int, int, int]]) -> Traced:
        if not edits:
            return Traced(text, self._at, self._origin)
        old_at, old_origin = self._at, self._origin
        at: list[int] = []
        origin: list[int] = []
        place = shift = 0
        count = len(old_at)
        for start, end, length in edits:
            while place < count and old_at[place] <= start:
                at.append(old_at[place] + shift)
                origin.append(old_origin[place])
                place += 1
            at.append(start + shift)
            origin.append(self._place(min(place, count - 1), start))
            while place < count - 1 and old_at[place] < end:
                place += 1
            at.append(start + shift + length)
            origin.append(self._place(min(place, count - 1), end))
            shift += length - (end - start)
        while place < count:
            at.append(old_at[place] + shift)
            origin.append(old_origin[place])
            place += 1
        return Traced(text, at, origin)

    def part(self, start: int, end: int) -> Traced:
        """The text from ``start`` to before ``end``."""
        first = bisect_right(self._at, start)
        last = bisect_left(self._at, end)
        at = [0, *(place - start for place in self._at[first:last]), end - start]
        origin = [self.start(start), *self._origin[first:last], self.end(end)]
        origin[-1] = max(origin[-1], origin[-2])
        return Traced(self.text[start:end], at, origin)

    def stripped(self, characters: str = " ") -> Traced:
        """Without any of ``characters`` at its ends."""
        text = self.text
        start = len(text) - len(text.lstrip(characters))
        end = max(start, len(text.rstrip(characters)))
        return self if end - start == len(text) else self.part(start, end)


def _matches(
    pattern: re.Pattern[str], text: str, starts: re.Pattern[str]
) -> Iterator[re.Match[str]]:
    done = 0
    for start in starts.finditer(text):
        if start.start() >= done and (match := pattern.match(text, start.start())):
            done = match.end()
            yield match


def _edits(match: re.Match[str], new: str) -> list[tuple[int, int, int]]:
    """Start, end and new length of what a replacement changed: its longest group may be left."""
    start, end = match.span()
    stayed = max(
        range(match.re.groups + 1), key=lambda group: len(match[group] or "") * bool(group)
    )
    if stayed and (place := new.find(match[stayed])) >= 0:
        first, last = match.span(stayed)
        length = last - first

        def moved(place: int) -> int:
            # By how much it is farther from the start, or from the end, than it was.
            return min(abs(place - (first - start)), abs(len(new) - place - length - (end - last)))

        other = place
        while (other := new.find(match[stayed], other + 1)) >= 0:
            place = min(place, other, key=moved)
        # A letter that is found elsewhere may be another one.
        if length > 1 or not moved(place):
            return [(start, first, place), (last, end, len(new) - place - length)]
    return [(start, end, len(new))]


def joined(parts: Sequence[Traced], glue: str) -> Traced:
    """The parts, which follow each other in the original, with ``glue`` between them."""
    if len(parts) == 1:
        return parts[0]
    at: list[int] = []
    origin: list[int] = []
    position = 0
    for part in parts:
        at += [place + position for place in part._at]
        origin += part._origin
        position += len(part) + len(glue)
    return Traced(glue.join(part.text for part in parts), at, origin)
