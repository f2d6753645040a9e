"""An engine whose takes are judged, and drawn again where they are not fit to be heard."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Generator, Mapping, Sequence
from types import MappingProxyType
from typing import cast

import numpy as np
from numpy.typing import NDArray

from csm import CsmError
from csm.takes import drawing, recognise
from csm.takes.judging import Judge
from csm.takes.notes import Note
from csm.takes.recognise import Recogniser
from csm.takes.thresholds import Thresholds
from csm.text.lexicon import Lexicon
from narrator_daemon import logs
from narrator_daemon.settings import Takes
from narrator_daemon.speech import (
    Amended,
    HasSlots,
    HasThresholds,
    HasVoices,
    Slots,
    SpeechEngine,
    SpeechError,
    Spoken,
    TakesPhonemes,
)

_log = logs.get("speech")


class JudgedSpeech:
    """A ``SpeechEngine`` that gives each segment's best take; ``Spoken.note`` says how it is.

    Args:
        engine: what speaks; its ``pace`` is not None.
        settings: thresholds, draws, and whether a recogniser listens.
        like: one whose recogniser listens to this one too.
    """

    def __init__(
        self, engine: SpeechEngine, settings: Takes, like: JudgedSpeech | None = None
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._like = like
        self._recogniser: Recogniser | None = None
        self._looked = False

    @property
    def name(self) -> str:
        """The engine's."""
        return self._engine.name

    @property
    def device(self) -> str:
        """The engine's."""
        return self._engine.device

    @property
    def pace(self) -> float | None:
        """The engine's."""
        return self._engine.pace

    @property
    def settings_fingerprint(self) -> str:
        """The engine's, and what decides which takes are kept."""
        return f"{self._engine.settings_fingerprint} {_fingerprint(self._settings)}"

    def load(self) -> None:
        """Load the recogniser, if one is to listen, and the engine.

        Raises:
            SpeechError: one of them cannot be loaded; the message says what to do.
        """
        # Before the engine, which takes what memory a GPU has left.
        self._listener()
        self._engine.load()

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Mapping[int, Note] = MappingProxyType({}),
        example: drawing.Example | None = None,
    ) -> Generator[Spoken | Amended, None, None]:
        """Speak segments; see ``SpeechEngine``."""
        pace = self._engine.pace
        if pace is None:
            raise ValueError(f"the takes of {self.name} cannot be judged: it says no words")
        listener = self._listener()
        listen = None if listener is None else self._hear

        def draw(
            segments: Sequence[str],
            seed: int,
            skip: Collection[int],
            like: drawing.Example | None,
        ) -> drawing.Stream:
            notes = dict.fromkeys(skip, _NO_NOTE)
            spoken = self._engine.speak(segments, seed=seed, skip=notes, example=like or example)
            # An engine that does not judge amends nothing.
            return cast(drawing.Stream, spoken)

        for kept in drawing.well_spoken(
            draw,
            segments,
            seed=seed,
            judge=Judge(pace, _thresholds(self._settings, self._engine), listen),
            most_draws=self._settings.most_draws,
            skip=skip,
            at_once=drawing.AT_ONCE if listener is None else listener.at_once,
        ):
            known, take = kept.known, kept.take
            if known.draws > 1 and not (take is None and known.verdict.passed):
                faults = {fault.value: size for fault, size in known.verdict.faults.items()}
                _log.info(
                    "drawn_again",
                    segment=kept.index,
                    draws=known.draws,
                    drawn=known.drawn,
                    faults=faults,
                )
            if take is None:
                yield Amended(kept.index, known.note)
            else:
                words = cast(Spoken, take).word_seconds
                yield Spoken(
                    kept.index, take.samples, known.note, take.codes, take.ended, word_seconds=words
                )

    @property
    def voices(self) -> Collection[str]:
        """The engine's (``HasVoices``); none where it has one voice only."""
        return self._engine.voices if isinstance(self._engine, HasVoices) else ()

    def saying(self, lexicon: Lexicon) -> SpeechEngine | None:
        """The same with names said by their IPA (``TakesPhonemes``)."""
        said = self._engine.saying(lexicon) if isinstance(self._engine, TakesPhonemes) else None
        return None if said is None else judged(said, self._settings, self)

    def in_voice(self, name: str) -> SpeechEngine:
        """The same in another voice (``HasVoices``).

        Raises:
            KeyError: the engine has no such voice.
        """
        if not isinstance(self._engine, HasVoices):
            raise KeyError(name)
        return judged(self._engine.in_voice(name), self._settings, self)

    def words_in(self, samples: NDArray[np.float32], text: str) -> tuple[float, ...] | None:
        """Where the recogniser finds the words; None where none listens (``HearsWords``)."""
        listener = self._listener()
        try:
            return None if listener is None else listener.align(samples, text.split())
        except Exception as error:
            # Without them the words' places are estimated; of its message only the kind is told.
            _log.warning("words_not_aligned", why=type(error).__name__)
            return None

    def _listener(self) -> Recogniser | None:
        """What listens, loaded where it was not; None where nothing is to, or nothing is there.

        Raises:
            SpeechError: it is asked for and cannot listen.
        """
        if self._like is not None:
            return self._like._listener()
        asked = self._settings.recognise
        if self._looked or asked is False:
            return self._recogniser
        if asked == "auto" and self._settings.recogniser is None and not recognise.installed():
            _log.info(
                "words_not_judged",
                note="pip install 'narrator-daemon[recognise]' lets a recogniser hear whether each "
                "take says its words",
            )
        else:
            try:
                self._recogniser = _loaded(self._settings, self._engine.device)
            except CsmError as error:
                raise SpeechError(
                    "engine_error",
                    f"{error}; the settings are takes.recognise (with the extra recognise, pip "
                    "install 'narrator-daemon[recognise]') and takes.recogniser",
                ) from error
        self._looked = True
        return self._recogniser

    def _hear(self, samples: NDArray[np.float32]) -> str:
        try:
            return cast(Recogniser, self._listener()).hear(samples)
        except Exception as error:
            # Only the kind: what a recogniser says of its failure could hold what it heard.
            raise SpeechError(
                "engine_error",
                f"the recogniser failed on a take ({type(error).__name__}); if it goes on failing, "
                "take another model for takes.recogniser or set takes.recognise = false",
            ) from error

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


_NO_NOTE: Note = MappingProxyType({})


class JudgedSlots(JudgedSpeech):
    """The same over an engine that says how full it is."""

    @property
    def slots(self) -> Slots:
        """The engine's."""
        return cast(HasSlots, self._engine).slots


def judged(engine: SpeechEngine, settings: Takes, like: JudgedSpeech | None = None) -> SpeechEngine:
    """The engine with its takes judged; itself where it says no words that could be judged."""
    if engine.pace is None:
        return engine
    # Of the class, as an engine that is not loaded need not know its slots yet.
    wrapper = JudgedSlots if hasattr(type(engine), "slots") else JudgedSpeech
    return wrapper(engine, settings, like)


def _loaded(settings: Takes, device: str) -> Recogniser:
    """A recogniser on the engine's GPU, or on the CPU where it cannot be there.

    Raises:
        CsmError: it cannot be anywhere.
    """
    if device.startswith("cuda"):
        beside = Recogniser(settings.recogniser, device=device)
        try:
            beside.load()
        except CsmError as error:
            _log.warning("recogniser_on_cpu", device=device, why=str(error))
        else:
            return beside
    recogniser = Recogniser(settings.recogniser)
    recogniser.load()
    return recogniser


def _thresholds(settings: Takes, engine: SpeechEngine) -> Thresholds:
    given = settings.model_dump(include=set(Thresholds.__dataclass_fields__))
    own = engine.thresholds if isinstance(engine, HasThresholds) else {}
    return Thresholds(**{**given, **own})


def _fingerprint(settings: Takes) -> str:
    """Short, and another one whenever a setting differs."""
    written = settings.model_dump_json().encode()
    return f"takes {hashlib.blake2b(written, digest_size=5).hexdigest()}"
