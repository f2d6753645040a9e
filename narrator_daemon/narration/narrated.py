"""A finished narration, as far as it is not in its file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from csm.text import Segment
from narrator_daemon.narration.companions import Chapter
from narrator_daemon.narration.timing import TimedBy


@dataclass(frozen=True)
class NarratedPart:
    """A segment in a finished narration.

    Attributes:
        text: as it was given to the engine.
        start_seconds: where its sound begins in the file.
        end_seconds: where it ends; the same as the start where it was silent.
        note: what the engine says of how it was made, as JSON values.
        segment: its sentences, with their places in the book's text and what follows each.
        sentence_seconds: where in the file each of its sentences begins.
        words: where in the file each of its words begins and ends, words being what spaces part in
            its text; empty where that was not asked for.
        timed_by: how the words' places are known.
        is_notice: whether it is the spoken notice and none of the book's; its places are those in
            the notice's own text.
    """

    text: str
    start_seconds: float
    end_seconds: float
    note: dict[str, Any]
    segment: Segment
    sentence_seconds: tuple[float, ...]
    words: tuple[tuple[float, float], ...] = ()
    timed_by: TimedBy = TimedBy.LENGTH
    is_notice: bool = False


@dataclass(frozen=True)
class Narration:
    """A finished narration, beside its file.

    Attributes:
        size: bytes of the WAV.
        duration_seconds: from its samples.
        parts: what was spoken, in order.
        facts: what it took, as JSON values: characters, words, segments, notices (how often the
            spoken notice is heard; left out where it is not), segmentsKept (how many of
            them an earlier attempt had spoken), takes (``csm.takes.notes.report``),
            secondsByStep, latinShare (0..1 of the letters; the voices know no other script),
            watermarkScore and watermarkWeak, whether it is too low, or the file too short, for a
            recompressed copy to be told (both None where it was not checked).
        chapters: where each begins, in order.
        sound: its fingerprint (``watermark.marking.fingerprint``).
    """

    size: int
    duration_seconds: float
    parts: tuple[NarratedPart, ...]
    facts: dict[str, Any]
    chapters: tuple[Chapter, ...] = ()
    sound: bytes = field(default=b"", repr=False)

    @property
    def book_parts(self) -> tuple[NarratedPart, ...]:
        """The parts that are the book's, without the spoken notice."""
        return tuple(part for part in self.parts if not part.is_notice)
