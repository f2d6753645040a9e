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

from csm.takes.drawing import Example
from csm.takes.notes import Note
from narrator_daemon.errors import NarratorError
from narrator_daemon.libraries import importing
from narrator_daemon.settings import Settings

if TYPE_CHECKING:
    # The programs of voices import this package, and text takes a second of their start.
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


def create(settings: Settings) -> SpeechEngine:
    """The engine that the settings choose, not yet loaded.

    Only the chosen engine's libraries are imported.

    Raises:
        NotInstalled: one of these cannot be.
    """
    with importing("speech.engine"):
        from narrator_daemon.speech.judged import judged

        engine = judged(unjudged(settings), settings.takes)
        if settings.speech.engine != "csm" or settings.voice.pace == 1:
            return engine
        from narrator_daemon.speech.stretched import stretched

        return stretched(engine, settings.voice.pace)


def unjudged(settings: Settings) -> SpeechEngine:
    """The same, whose takes are kept as they come, before those of csm are made longer or shorter.

    Raises:
        ImportError: a library of it is not installed.
    """
    tempo = settings.voice.pace
    if settings.speech.engine == "tone":
        from narrator_daemon.speech.tone import ToneSpeech

        return ToneSpeech(voices=settings.voices.by_name, tempo=tempo)
    if settings.speech.engine == "kokoro":
        return _kokoro(settings)
    if settings.speech.engine == "piper":
        from narrator_daemon.speech.piper import PiperSpeech

        files = {name: one.piper for name, one in settings.voices.by_name.items()}
        first = settings.voice.default
        return PiperSpeech(model=files[first] if first else None, voices=files, tempo=tempo)
    return _csm(settings)


def _kokoro(settings: Settings) -> SpeechEngine:
    from narrator_daemon.speech.kokoro.engine import KokoroSpeech

    kokoro = settings.kokoro
    named = {name: one.kokoro or kokoro.voice for name, one in settings.voices.by_name.items()}
    default = settings.voice.default
    return KokoroSpeech(
        model=kokoro.model,
        revision=kokoro.revision,
        voice=named.get(default, default) if default else kokoro.voice,
        speed=kokoro.speed * settings.voice.pace,
        named=named,
    )


def _csm(settings: Settings) -> SpeechEngine:
    from csm.engine.sampling import Sampling
    from narrator_daemon.speech.csm import CsmSpeech, VoiceSource

    speech = settings.speech
    named = settings.voices.by_name
    default = named[settings.voice.default] if settings.voice.default else settings.voice
    return CsmSpeech(
        model=speech.model,
        revision=speech.revision,
        device=speech.device,
        slots=speech.slots,
        kernels=speech.kernels,
        int8_depth=speech.int8_depth,
        sampling=Sampling(
            guard_end=speech.guard_end,
            end_zeros=speech.end_zeros,
            first_end=speech.first_end,
            seconds_per_character=speech.seconds_per_character,
            cap_factor=speech.cap_factor,
            cap_seconds=speech.cap_seconds,
            most_held=speech.most_held,
        ),
        voice_reference=default.reference,
        voice_transcript=default.transcript,
        voice_prompt=default.prompt,
        voices={
            name: VoiceSource(one.reference, one.transcript or "", one.prompt)
            for name, one in named.items()
        },
        # Of what is heard, once it is made longer or shorter.
        max_segment_seconds=settings.limits.max_segment_seconds * settings.voice.pace,
    )
