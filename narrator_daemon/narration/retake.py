"""Some segments of a narration read anew, beside all others as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from csm.takes.drawing import Example
from narrator_daemon.claims.failure import ErrorCode, Failure
from narrator_daemon.narration.segment_store import KeptSegments, SegmentFile
from narrator_daemon.speech import SpeechEngine, Spoken

#: In a segment's note: the seed of the take in which the narration's voice was found. Where the
#: settings leave the voice open, what is read anew must be in that voice.
_VOICE_SEED = "voiceSeed"

#: Numbers that are named in a message.
_MOST_NAMED = 5

_ALL_ANEW = "Ask for the whole narration anew."


class CannotRetake(Exception):
    """Segments cannot be read anew, now or later.

    Attributes:
        failure: why, for an admin.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(code, message)


@dataclass(frozen=True)
class Retake:
    """What is read anew.

    Attributes:
        numbers: of the segments, from 1; none where the wish could not be read.
        base: under which name the segments of the published take are kept; None where that take was
            of another text.
        base_seed: of that take.
    """

    numbers: frozenset[int]
    base: str | None
    base_seed: int

    def check(self, count: int) -> None:
        """See that a text of so many segments has them.

        Raises:
            CannotRetake: it has not.
        """
        beyond = sorted(number for number in self.numbers if number > count)
        if not self.numbers or beyond:
            named = ", ".join(map(str, beyond[:_MOST_NAMED]))
            what = f"there is no segment {named}" if beyond else "no segment is named"
            raise CannotRetake(
                ErrorCode.NO_SUCH_SEGMENT,
                f"The text has {count:,} segments, numbered from 1; {what}.",
            )

    def take_over(self, kept: KeptSegments, spoken: SegmentFile, texts: Sequence[str]) -> None:
        """Copy what stays from the published take.

        Args:
            kept: where the published take's segments are.
            spoken: of the new take; what is there already, of an attempt before, stays.
            texts: of all segments, as they were opened by.

        Raises:
            CannotRetake: not all of it is kept, or it is of another text or voice.
        """
        missing = [
            index
            for index in range(len(texts))
            if index + 1 not in self.numbers and index not in spoken
        ]
        if missing:
            self._copy(kept, spoken, texts, missing)

    def voice_seed(self, spoken: SegmentFile) -> int:
        """The seed in which the voice was found of what was taken over."""
        seeds = [
            seed
            for index in spoken.indices
            if isinstance(seed := spoken.note(index).get(_VOICE_SEED), int)
        ]
        return seeds[0] if seeds else self.base_seed

    def _copy(
        self, kept: KeptSegments, spoken: SegmentFile, texts: Sequence[str], wanted: Sequence[int]
    ) -> None:
        if self.base is None:
            raise CannotRetake(
                ErrorCode.SEGMENTS_NOT_KEPT,
                f"The text has changed since it was read. {_ALL_ANEW}",
            )
        base = kept.reading(self.base, texts)
        if base is None:
            raise _not_kept()
        with base:
            if not all(index in base for index in wanted):
                raise _not_kept()
            for index in wanted:
                note = {_VOICE_SEED: self.base_seed, **base.note(index)}
                spoken.add(index, base.samples(index), note)


def _not_kept() -> CannotRetake:
    return CannotRetake(
        ErrorCode.SEGMENTS_NOT_KEPT,
        "The other segments are not kept any more, or not where this narrator works, or the voice "
        f"is another now. {_ALL_ANEW}",
    )


def noted(note: Mapping[str, Any], voice_seed: int) -> dict[str, Any]:
    """A segment's note with the seed in which its voice was found."""
    return {**note, _VOICE_SEED: voice_seed}


def told(note: Mapping[str, Any]) -> dict[str, Any]:
    """A segment's note without it."""
    return {name: value for name, value in note.items() if name != _VOICE_SEED}


def example_of(engine: SpeechEngine, texts: Sequence[str], voice_seed: int) -> Example | None:
    """A segment as it was spoken when the voice was found; None where voices are not found.

    Args:
        engine: loaded.
        texts: of all segments.
        voice_seed: of the take in which the voice was found.

    Raises:
        SpeechError: the engine's.
    """
    skip: dict[int, dict[str, Any]] = {index: {} for index in range(1, len(texts))}
    with closing(engine.speak(texts, seed=voice_seed, skip=skip)) as speech:
        for one in speech:
            if isinstance(one, Spoken):
                return None if one.codes is None else Example(texts[one.index], one)
    return None
