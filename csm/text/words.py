"""Words: as they are said, with their places in the original, and as they stand on the page.

"1815" is one word on the page and two in the ear; "Mr." is one in both; what markup or an entity
lies inside a word belongs to it.
"""

from __future__ import annotations

import html
import itertools
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from csm.text.traced import Traced

_WORD = re.compile(r"\S+")
_ENTITY = re.compile(r"&#?\w{1,32};")
_LONGEST_ENTITY = 35
#: What a stretch of the original is made of: tags, entities, characters.
_PIECE = re.compile(r"<[^<>]{0,500}>|&#?\w{1,32};|.", re.DOTALL)
#: What is left outside a word at its ends; signs that are read stay: "£5", "5%", "C#".
_OUTSIDE = frozenset(" \t\n\r\f\v\"'“”‘’«»()[]{}<>.,;:!?…—–*_~`|\\/-\u00a0\u00ad")


class Word(NamedTuple):
    """A word as it is said: what spaces part in a segment's text.

    Attributes:
        start: where in the original begins what it stands for, in code points.
        end: where that ends; the same as the start for a word that stands for nothing.
    """

    start: int
    end: int


@dataclass(frozen=True)
class PageWord:
    """A word as it stands in the original.

    Attributes:
        start: its first code point there, punctuation and markup around it left out.
        end: the one after its last.
        outer: where what belongs to it begins and ends, punctuation included.
        first: the number of the first word that is said for it.
        count: how many are said for it, at least 1.
    """

    start: int
    end: int
    outer: tuple[int, int]
    first: int
    count: int


def words_of(spoken: str, text: Traced, offset: int, limit: int) -> tuple[Word, ...]:
    """The words of ``spoken``, which is what stands at ``offset`` in ``text``, up to ``limit``."""
    spans = [(match.start() + offset, match.end() + offset) for match in _WORD.finditer(spoken)]
    place = len(spans)
    while place and spans[place - 1][1] > limit:
        place -= 1
        spans[place] = (min(spans[place][0], limit), limit)
    return tuple(itertools.starmap(Word, text.covers(spans)))


def word_starts(text: str) -> list[int]:
    """Where each word begins in ``text``."""
    return [match.start() for match in _WORD.finditer(text)]


def words_of_part(
    part: str, at: int, starts: Sequence[int], words: Sequence[Word]
) -> tuple[Word, ...]:
    """Those of ``words`` that are in a part of their text, some of which may be cut in two.

    Args:
        part: some of the text.
        at: where it begins there.
        starts: where each of ``words`` begins there (``word_starts``).
        words: all of the text's.
    """
    last = min(len(starts), len(words)) - 1
    return tuple(
        words[min(max(bisect_right(starts, at + place) - 1, 0), last)]
        for place in word_starts(part)
        if last >= 0
    )


def page_words(words: Iterable[Word], original: str) -> list[PageWord]:
    """The words of the page that ``words`` are said for, in order, none overlapping another.

    Args:
        words: those of a segment or of a whole text, as they are said.
        original: the text as it was written.
    """
    groups: list[list[int]] = []
    for number, word in enumerate(words):
        begin, finish = _with_entities(original, word.start, word.end)
        start = max(begin, groups[-1][1]) if groups else begin
        if groups and (finish <= start or begin < groups[-1][1]):
            groups[-1][1] = max(groups[-1][1], finish)
            groups[-1][3] += 1
        else:
            groups.append([start, finish, number, 1])
    return [
        PageWord(*_inside(original, start, end), (start, end), first, count)
        for start, end, first, count in groups
    ]


def _with_entities(original: str, start: int, end: int) -> tuple[int, int]:
    """A stretch of the original with all of the entity that it begins in."""
    opened = original.rfind("&", max(0, start - _LONGEST_ENTITY), start)
    entity = _ENTITY.match(original, opened) if opened >= 0 else None
    if entity is None or entity.end() <= start:
        return start, end
    return opened, max(end, entity.end())


def _inside(original: str, start: int, end: int) -> tuple[int, int]:
    """A stretch of the original without what is around its words; all of it if nothing else is."""
    inside = [
        piece.span()
        for piece in _PIECE.finditer(original, start, end)
        if not _is_outside(piece.group())
    ]
    return (inside[0][0], inside[-1][1]) if inside else (start, end)


def _is_outside(piece: str) -> bool:
    if len(piece) == 1:
        return piece in _OUTSIDE
    return piece[0] == "<" or set(html.unescape(piece)) <= _OUTSIDE


def spoken_words(text: str) -> list[str]:
    """The words that are said in ``text``: what spaces part."""
    return _WORD.findall(text)
