"""The speech engines behind one protocol: segments in, audio out as it is finished.

``csm`` is the product, ``kokoro`` the voice for machines without a GPU, ``piper`` the preview
voice, ``tone`` an instant signal for drills and load tests. Which one runs is said in config and in
the log, never guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narrator_daemon.errors import NarratorError

if TYPE_CHECKING:
    # Worker processes import this package, and start sooner without what judges takes.
    from csm.takes.drawing import Example
    from csm.takes.notes import Note
    from csm.text.lexicon import Lexicon


class SpeechError(NarratorError):
    """An engine could not do its work; ``code`` is one of the book error codes.

    Args:
        code: ``engine_error`` or ``out_of_memory``.
        message: what went wrong and what to do, fit for an operator, free of book text.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Spoken:
    """The audio of one segment.

    Attributes:
        index: the segment's place in the list that was submitted, from 0.
        samples: float32 mono at ``csm.SAMPLE_RATE``, within -1..1, shape ``[n]``, n > 0.
        note: what is known of how it was made, as JSON values: kept with it and shown beside it.
        codes: what the samples were decoded from, int64, ``[frames, codebooks]``, where the engine
            has such.
        ended: whether the engine ended it by itself; otherwise it was cut at its cap.
        word_seconds: where each word of the segment begins, words being what spaces part; None
            where the engine does not know.
    """

    index: int
    samples: NDArray[np.float32]
    note: dict[str, Any] = field(default_factory=dict)
    codes: ArrayLike | None = None
    ended: bool = True
    word_seconds: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Amended:
    """More is known of a segment that was spoken or skipped; its sound stays.

    Attributes:
        index: the segment's place.
        note: in place of the one that was given with it.
    """

    index: int
    note: dict[str, Any]


class SpokenStream(Iterator[Spoken | Amended], Protocol):
    """Segments as they are finished; a generator is one."""

    def close(self) -> None:
        """Cancel what is not yet spoken."""


class SpeechEngine(Protocol):
    """What the daemon asks of an engine. Safe to call from several threads at once."""

    @property
    def name(self) -> str:
        """The engine's name in config: ``csm``, ``kokoro``, ``piper`` or ``tone``."""

    @property
    def device(self) -> str:
        """Where it computes: ``cpu``, ``cuda:0``, …, for the log and for health."""

    @property
    def pace(self) -> float | None:
        """Seconds that a character takes in this voice, spaces and pauses included.

        None where no words are said, so that takes cannot be judged.
        """

    @property
    def settings_fingerprint(self) -> str:
        """All that shapes the audio besides text and seed: model, voice, sampling.

        A short printable string. Part of a narration's input hash.
        """

    def load(self) -> None:
        """Make the engine ready to speak: load weights, start processes, warm up.

        Raises:
            SpeechError: it cannot; the message says what to do.
        """

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Mapping[int, Note] = MappingProxyType({}),
        example: Example | None = None,
    ) -> SpokenStream:
        """Speak each segment, giving each one's audio as soon as it is finished, in any order.

        After all of them some may be given anew, better, or amended: that takes the place of what
        was given or skipped.

        The same segments, seed, engine and settings give the same words and, per engine, the same
        samples. Closing the stream cancels what is not yet spoken; the engine
        is free again at the next segment boundary at the latest.

        Args:
            segments: speakable text, each at most a few hundred characters.
            seed: any non-negative integer below 2**63.
            skip: places of segments that need not be spoken, each with its note; the others sound
                as if they were.
            example: a segment that this engine has spoken, in whose voice to go on where the
                settings leave the voice open.

        Raises:
            SpeechError: a segment could not be spoken.
        """

    def close(self) -> None:
        """Free what the engine holds. Safe to call twice."""


@runtime_checkable
class HasThresholds(Protocol):
    """An engine whose sound differs from a person's in a way that judges of takes must know."""

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Fields of ``csm.takes.thresholds.Thresholds`` that hold for it, in place of the usual."""


@dataclass(frozen=True)
class Slots:
    """How full an engine is.

    Attributes:
        occupied: segments that it is speaking.
        total: segments that it can speak at once.
    """

    occupied: int
    total: int


@runtime_checkable
class HearsWords(Protocol):
    """An engine that can find words in what it has spoken."""

    def words_in(self, samples: NDArray[np.float32], text: str) -> tuple[float, ...] | None:
        """Where each word of ``text`` begins in ``samples``, in seconds; None where it cannot say.

        Args:
            samples: of one segment, float32 mono at ``csm.SAMPLE_RATE``, ``[n]``.
            text: what is said in them.
        """


@runtime_checkable
class HasVoices(Protocol):
    """An engine that reads in several voices."""

    @property
    def voices(self) -> Collection[str]:
        """The names that ``in_voice`` takes."""

    def in_voice(self, name: str) -> SpeechEngine:
        """This engine reading in a voice of the settings, or of its own; closed with it.

        Raises:
            KeyError: there is no such voice.
        """


@runtime_checkable
class TakesPhonemes(Protocol):
    """An engine that says names by their IPA, or one around such an engine."""

    def saying(self, lexicon: Lexicon) -> SpeechEngine | None:
        """This engine saying what has IPA in a lexicon by that; None where it takes no phonemes.

        What it says so is no part of its ``settings_fingerprint``.
        """


@runtime_checkable
class HasSlots(Protocol):
    """An engine that speaks several segments at once and says how many."""

    @property
    def slots(self) -> Slots:
        """How full it is now. Answers at once, from any thread, once it is loaded."""
