"""An engine whose takes are judged, and drawn again where they are not fit to be heard."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Generator, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from csm import CsmError
from csm.takes import drawing
from csm.takes.recognise import Recogniser
from narrator_daemon import logs
from narrator_daemon.settings import Takes
from narrator_daemon.speech import (
    HasSlots,
    Slots,
    SpeechEngine,
    SpeechError,
    Spoken,
    SpokenStream,
)

_log = logs.get(__name__)


class JudgedSpeech:
    """A ``SpeechEngine`` that gives each segment's best take; ``Spoken.note`` says how it is.

    Args:
        engine: what speaks; its ``pace`` is not None.
        settings: thresholds, draws, and whether a recogniser listens.
    """

    def __init__(self, engine: SpeechEngine, settings: Takes) -> None:
        self._engine = engine
        self._settings = settings
        self._recogniser = Recogniser(settings.recogniser) if settings.recognise else None

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
        """Load the recogniser, if one listens, and the engine.

        Raises:
            SpeechError: one of them cannot be loaded; the message says what to do.
        """
        if self._recogniser is not None:
            try:
                self._recogniser.load()
            except CsmError as error:
                raise SpeechError("engine_error", str(error)) from error
        self._engine.load()

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Collection[int] = (),
        example: drawing.Example | None = None,
    ) -> Generator[Spoken, None, None]:
        """Speak segments; see ``SpeechEngine``."""
        pace = self._engine.pace
        if pace is None:
            raise ValueError(f"the takes of {self.name} cannot be judged: it says no words")
        listen = self._hear if self._recogniser else None
        judge = drawing.Judge(pace, _thresholds(self._settings), listen)

        def draw(
            segments: Sequence[str],
            seed: int,
            skip: Collection[int],
            like: drawing.Example | None,
        ) -> SpokenStream:
            return self._engine.speak(segments, seed=seed, skip=skip, example=like or example)

        for kept in drawing.well_spoken(
            draw,
            segments,
            seed=seed,
            judge=judge,
            most_draws=self._settings.most_draws,
            skip=skip,
        ):
            note = drawing.note(kept)
            if kept.draws > 1:
                _log.info("drawn_again", segment=kept.take.index, **note)
            take = kept.take
            yield Spoken(take.index, take.samples, note, take.codes, take.ended)

    def _hear(self, samples: NDArray[np.float32]) -> str:
        try:
            return cast(Recogniser, self._recogniser).hear(samples)
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


class JudgedSlots(JudgedSpeech):
    """The same over an engine that says how full it is."""

    @property
    def slots(self) -> Slots:
        """The engine's."""
        return cast(HasSlots, self._engine).slots


def judged(engine: SpeechEngine, settings: Takes) -> SpeechEngine:
    """The engine with its takes judged; itself where it says no words that could be judged."""
    if engine.pace is None:
        return engine
    # Of the class, as an engine that is not loaded need not know its slots yet.
    wrapper = JudgedSlots if hasattr(type(engine), "slots") else JudgedSpeech
    return wrapper(engine, settings)


def _thresholds(settings: Takes) -> drawing.Thresholds:
    names = drawing.Thresholds.__dataclass_fields__
    return drawing.Thresholds(**{name: getattr(settings, name) for name in names})


def _fingerprint(settings: Takes) -> str:
    """Short, and another one whenever a setting differs."""
    written = settings.model_dump_json().encode()
    return f"takes {hashlib.blake2b(written, digest_size=5).hexdigest()}"
