"""An engine that cannot read at another pace, its takes made longer or shorter once they are good.

WSOLA by FFmpeg's filter ``atempo``: pitch and formants stay. It runs in a process of its own, as
everything of PyAV's does (``stretch_worker``).
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from types import MappingProxyType
from typing import cast

import numpy as np
from numpy.typing import NDArray

from csm.audio import SAMPLE_RATE
from csm.takes.drawing import Example
from csm.takes.notes import Note
from narrator_daemon.speech import (
    Amended,
    HasSlots,
    HasVoices,
    HearsWords,
    Slots,
    SpeechEngine,
    Spoken,
)
from narrator_daemon.speech.child import Child

#: Seconds that a segment may take; one of a minute takes a twentieth of a second.
_LIMIT = 60.0
WORKER = ("-m", "narrator_daemon.speech.stretch_worker")


class Stretcher:
    """The process, started when it is needed. Safe to use from several threads."""

    def __init__(self) -> None:
        self._child = Child(WORKER, "time stretching")
        self._turn = threading.Lock()

    def stretch(self, samples: NDArray[np.float32], tempo: float) -> NDArray[np.float32]:
        """Samples at another tempo, in the same pitch.

        Args:
            samples: float32 mono at ``csm.SAMPLE_RATE``, ``[n]``.
            tempo: above 1 for faster.

        Returns:
            Float32, ``[round(n / tempo)]``, within -1..1.

        Raises:
            SpeechError: the process could not start, died or hung.
        """
        length = round(len(samples) / tempo)
        with self._turn:
            head = self._child.ask(
                {"samples": len(samples), "rate": SAMPLE_RATE, "tempo": tempo},
                _LIMIT,
                samples.astype("<f4").tobytes(),
            )
            body = self._child.read(4 * int(head["samples"]), _LIMIT)
        made = np.frombuffer(body, dtype="<f4")[:length]
        # The filter ends with whole windows.
        whole = np.zeros(length, np.float32)
        np.clip(made, -1.0, 1.0, out=whole[: len(made)])
        return whole

    def close(self) -> None:
        """End the process; it is started again when it is needed."""
        self._child.kill()


class StretchedSpeech:
    """A ``SpeechEngine`` at another pace.

    Args:
        engine: what speaks.
        tempo: above 1 for faster.
        stretcher: that of another voice of the same engine; None for one of its own.
    """

    def __init__(
        self, engine: SpeechEngine, tempo: float, stretcher: Stretcher | None = None
    ) -> None:
        self._engine = engine
        self._tempo = tempo
        self._stretcher = stretcher or Stretcher()

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
        """The engine's, at its tempo."""
        return None if self._engine.pace is None else self._engine.pace / self._tempo

    @property
    def settings_fingerprint(self) -> str:
        """The engine's, and the tempo."""
        return f"{self._engine.settings_fingerprint} tempo {self._tempo:g}"

    def load(self) -> None:
        """Load the engine and start the process.

        Raises:
            SpeechError: one of them cannot be.
        """
        self._stretcher.stretch(np.zeros(SAMPLE_RATE, np.float32), self._tempo)
        self._engine.load()

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Mapping[int, Note] = MappingProxyType({}),
        example: Example | None = None,
    ) -> Generator[Spoken | Amended, None, None]:
        """Speak segments; see ``SpeechEngine``."""
        stream = self._engine.speak(segments, seed=seed, skip=skip, example=example)
        with closing(stream):
            for one in stream:
                yield one if isinstance(one, Amended) else self._stretched(one)

    def _stretched(self, one: Spoken) -> Spoken:
        words = one.word_seconds
        return replace(
            one,
            samples=self._stretcher.stretch(one.samples, self._tempo),
            word_seconds=None if words is None else tuple(at / self._tempo for at in words),
        )

    @property
    def voices(self) -> Collection[str]:
        """The engine's (``HasVoices``); none where it has one voice only."""
        return self._engine.voices if isinstance(self._engine, HasVoices) else ()

    def in_voice(self, name: str) -> SpeechEngine:
        """The same in another voice (``HasVoices``).

        Raises:
            KeyError: the engine has no such voice.
        """
        if not isinstance(self._engine, HasVoices):
            raise KeyError(name)
        return stretched(self._engine.in_voice(name), self._tempo, self._stretcher)

    def words_in(self, samples: NDArray[np.float32], text: str) -> tuple[float, ...] | None:
        """Where the engine finds the words; None where it does not listen (``HearsWords``)."""
        engine = self._engine
        return engine.words_in(samples, text) if isinstance(engine, HearsWords) else None

    def close(self) -> None:
        """Close the engine and end the process."""
        self._engine.close()
        self._stretcher.close()


class StretchedSlots(StretchedSpeech):
    """The same over an engine that says how full it is."""

    @property
    def slots(self) -> Slots:
        """The engine's."""
        return cast(HasSlots, self._engine).slots


def stretched(
    engine: SpeechEngine, tempo: float, stretcher: Stretcher | None = None
) -> SpeechEngine:
    """The engine at another pace."""
    wrapper = StretchedSlots if hasattr(type(engine), "slots") else StretchedSpeech
    return wrapper(engine, tempo, stretcher)
