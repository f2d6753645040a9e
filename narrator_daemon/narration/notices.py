"""Where in a narration the spoken notice comes.

It is spoken once, as the last of the segments, in the voice that the book has by then, and heard
wherever it is wanted. Between segments only: never inside a sentence, at the end of a paragraph
where one ends within a minute, and not within the last minute of the book.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from csm.text import NothingToSpeak, Segment, segment
from csm.text.segments import Break
from narrator_daemon.notice import Notice

#: Seconds that the end of a paragraph is waited for.
_PATIENCE = 60.0
#: Seconds before the end in which no notice comes.
_LAST = 60.0


@dataclass(frozen=True)
class Placed:
    """A segment in its place.

    Attributes:
        segment: with what follows it there.
        index: of its sound among the spoken segments.
        is_notice: whether it is none of the book's.
    """

    segment: Segment
    index: int
    is_notice: bool = False


def notice_segments(notice: Notice | None) -> list[Segment]:
    """What is spoken for a notice; nothing where there is none."""
    if notice is None:
        return []
    try:
        return segment(notice.text)
    except NothingToSpeak:
        return []


def placed(
    book: Sequence[Segment],
    told: Sequence[Segment],
    seconds: Sequence[float],
    notice: Notice | None,
) -> list[Placed]:
    """The segments in the order in which they are heard.

    Args:
        book: of the text.
        told: of the notice, spoken behind them.
        seconds: of sound in each segment of the book.
        notice: where it is wanted.
    """
    if notice is None or not told:
        return [Placed(each, index) for index, each in enumerate(book)]
    order = _notice(book, told, Break.HEADING) if notice.at_start else []
    every = notice.every_minutes * 60
    left, since = sum(seconds), 0.0
    for index, (each, lasts) in enumerate(zip(book, seconds, strict=True)):
        since += lasts
        left -= lasts
        if every and left > _LAST and _may_break(each, since - every):
            order.append(Placed(_followed(each, Break.HEADING), index))
            order += _notice(book, told, max(each.follows, Break.HEADING))
            since = 0.0
        elif index == len(book) - 1 and notice.at_end:
            order.append(Placed(_followed(each, Break.HEADING), index))
            order += _notice(book, told, Break.END)
        else:
            order.append(Placed(each, index))
    return order


def _may_break(before: Segment, overdue: float) -> bool:
    least = Break.PARAGRAPH if overdue < _PATIENCE else Break.SENTENCE
    return overdue >= 0 and before.follows >= least


def _notice(book: Sequence[Segment], told: Sequence[Segment], follows: Break) -> list[Placed]:
    *first, last = told
    parts = [*first, _followed(last, follows)]
    return [Placed(each, len(book) + n, is_notice=True) for n, each in enumerate(parts)]


def _followed(before: Segment, follows: Break) -> Segment:
    *first, last = before.sentences
    return Segment((*first, replace(last, follows=follows)))
