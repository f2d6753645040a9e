"""Where the words of each segment are in a narration: told, heard, or by their lengths.

What an engine tells or a recogniser finds is kept in a segment's note, so that an attempt that goes
on from kept segments need not listen again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, TypeAlias

from csm import SAMPLE_RATE
from csm.mastering.mastering import Mastering
from csm.takes.word_times import estimated, with_ends
from csm.text.words import spoken_words
from narrator_daemon.narration.segment_store import SegmentFile
from narrator_daemon.speech import HearsWords, SpeechEngine, Spoken

_WORDS = "words"


class TimedBy(Enum):
    """How the places of words are known, from the most exact."""

    ENGINE = "engine"
    RECOGNISER = "recogniser"
    LENGTH = "length"


#: Of each word its start and end in the narration, in seconds, and how they are known.
WordTimes: TypeAlias = tuple[tuple[tuple[float, float], ...], TimedBy]


def noted(spoken: Spoken, text: str, engine: SpeechEngine) -> dict[str, Any]:
    """A segment's note with where its words begin, where the engine or a recogniser knows.

    Args:
        spoken: as the engine gave it.
        text: what was said.
        engine: that gave it.
    """
    starts, by = spoken.word_seconds, TimedBy.ENGINE
    if starts is None and isinstance(engine, HearsWords):
        starts, by = engine.words_in(spoken.samples, text), TimedBy.RECOGNISER
    if starts is None:
        return spoken.note
    found = {"by": by.value, "starts": [round(start, 3) for start in starts]}
    return {**spoken.note, _WORDS: found}


def with_words_of(old: Mapping[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """A note in another's place on the same sound: where its words are stays known."""
    return {**new, _WORDS: old[_WORDS]} if _WORDS in old else new


def without_words(note: Mapping[str, Any]) -> dict[str, Any]:
    """What else is in a note."""
    return {name: value for name, value in note.items() if name != _WORDS}


def word_times(
    number: int, index: int, text: str, spoken: SegmentFile, mastering: Mastering
) -> WordTimes:
    """Where each word of a segment is in the narration.

    Args:
        number: the segment's place in the narration.
        index: of its sound among the spoken segments.
        text: what was said.
        spoken: its sound and its note.
        mastering: where the sound was put.
    """
    words, samples = spoken_words(text), spoken.samples(index)
    kept, by = _kept(spoken.note(index), len(words))
    starts = estimated(samples, words) if kept is None else kept

    def place(seconds: float) -> float:
        return mastering.place(number, round(seconds * SAMPLE_RATE)) / SAMPLE_RATE

    return tuple((place(start), place(end)) for start, end in with_ends(samples, starts)), by


def _kept(note: Mapping[str, Any], count: int) -> tuple[Sequence[float] | None, TimedBy]:
    """What a note tells of so many words; nothing where it is of another version of this."""
    try:
        starts = [float(start) for start in note[_WORDS]["starts"]]
        by = TimedBy(note[_WORDS]["by"])
    except (KeyError, TypeError, ValueError):
        return None, TimedBy.LENGTH
    return (starts, by) if len(starts) == count else (None, TimedBy.LENGTH)
