"""The chapters of a narration: the headings of its text, and when each is read."""

from __future__ import annotations

from dataclasses import dataclass

from narrator_daemon.narration.narrate import Narration


@dataclass(frozen=True)
class Chapter:
    """A heading that is read.

    Attributes:
        title: as it was written, in one line, without markup.
        level: 1 or 2 opens a chapter; up to 6.
        start_seconds: where in the file it begins.
        start: where in the text it begins, in code points.
        segment: the number of the segment that it begins in, from 0.
    """

    title: str
    level: int
    start_seconds: float
    start: int
    segment: int


def headings_of(narration: Narration) -> list[Chapter]:
    """All headings, in order."""
    found: list[Chapter] = []
    last = None
    for number, part in enumerate(narration.parts):
        for sentence, seconds in zip(part.segment.sentences, part.sentence_seconds, strict=True):
            heading = sentence.heading
            if heading is not None and heading is not last:
                title = " ".join(heading.title.split())
                found.append(Chapter(title, heading.level, seconds, sentence.start, number))
            last = heading
    return found


def chapters_of(narration: Narration) -> list[Chapter]:
    """The headings that open chapters; all of them where none does.

    For a list of chapters that begins with the file, as players expect, the first may be said to
    start at 0.
    """
    found = headings_of(narration)
    return [heading for heading in found if heading.level <= 2] or found
