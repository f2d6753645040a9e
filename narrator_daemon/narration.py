"""One book's text in; finished WAV, duration and facts out."""

from __future__ import annotations

import hashlib
import io
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import watermark
from csm import SAMPLE_RATE
from csm.mastering import master, pcm16
from csm.text import NothingToSpeak, latin_share, segment
from narrator_daemon.failure import ErrorCode, Failure
from narrator_daemon.settings import Limits
from narrator_daemon.speech import SpeechEngine


class Unnarratable(Exception):
    """The text cannot be narrated, now or later."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Stopped(Exception):
    """The narration was not wanted any more."""


@dataclass(frozen=True)
class Mark:
    """How a narration is watermarked.

    Attributes:
        key: the secret key; never shown.
        index: the book's index, 32 bits.
        strength_db: gain change a cell, in dB.
        self_check: whether the finished audio is searched for its own mark.
    """

    key: bytes = field(repr=False)
    index: int
    strength_db: float
    self_check: bool


@dataclass(frozen=True)
class Narration:
    """A finished narration.

    Attributes:
        wav: a RIFF file, PCM 16-bit mono at 24 kHz.
        duration_seconds: from its samples.
        facts: what it took, as JSON values: characters, words, segments, secondsByStep,
            latinShare (0..1 of the letters; the voices know no other script), watermarkScore (None
            where it was not checked).
    """

    wav: bytes
    duration_seconds: float
    facts: dict[str, Any]


def check_text(text: object, limits: Limits) -> str:
    """The text to read, if there is one within the limits.

    Args:
        text: what the book holds, of any JSON type.
        limits: most characters (Unicode code points) and words (between white space).

    Raises:
        Unnarratable: it is not text, holds nothing, or too much; the message is for an admin.
    """
    if text is None:
        raise _fault(ErrorCode.NO_TEXT, "The book has no text to read.")
    if not isinstance(text, str):
        kind = {bool: "a yes/no value", int: "a number", float: "a number", list: "a list"}.get(
            type(text), "a group of fields"
        )
        raise _fault(ErrorCode.TEXT_NOT_STRING, f"The book's text is {kind}, not text.")
    if not text.strip():
        raise _fault(ErrorCode.NO_TEXT, "The book's text is empty.")
    if len(text) > limits.max_characters:
        raise _fault(
            ErrorCode.TEXT_TOO_LONG,
            f"The text has {len(text):,} characters; at most {limits.max_characters:,} can be "
            "read. Shorten it and ask again.",
        )
    words = len(text.split())
    if words > limits.max_words:
        raise _fault(
            ErrorCode.TOO_MANY_WORDS,
            f"The text has {words:,} words; at most {limits.max_words:,} can be read. "
            "Shorten it and ask again.",
        )
    return text


def _fault(code: ErrorCode, message: str) -> Unnarratable:
    return Unnarratable(Failure(code, message))


def seed_of(input_hash: str, take: int) -> int:
    """The seed of one take: the same for its retries, another for the next press of the button."""
    digest = hashlib.sha256(f"{input_hash}:{take}".encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def narrate(
    text: object,
    *,
    engine: SpeechEngine,
    limits: Limits,
    seed: int,
    mark: Mark,
    on_progress: Callable[[float], None] = lambda fraction: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Narration:
    """Read a text aloud: segments, speech, joins and level, watermark, WAV.

    Args:
        text: what the book holds, of any JSON type.
        engine: loaded.
        limits: what is accepted.
        seed: decides the take (``seed_of``).
        mark: the watermark.
        on_progress: told the share that is spoken, 0..1, after each segment.
        stopped: asked at every segment boundary.

    Raises:
        Unnarratable: the text's own fault.
        SpeechError: the engine's.
        Stopped: ``stopped`` said so.
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "text"):
        readable = check_text(text, limits)
        try:
            segments = segment(readable)
        except NothingToSpeak:
            raise _fault(
                ErrorCode.NOTHING_SPEAKABLE, "The text holds no letters or digits that can be read."
            ) from None
    with _timed(seconds, "speech"):
        spoken = _speak([part.text for part in segments], engine, seed, on_progress, stopped)
    with _timed(seconds, "mastering"):
        pauses = [part.pause_seconds for part in segments]
        mastered = master(list(zip(spoken, pauses, strict=True)))
    with _timed(seconds, "watermark"):
        marked = watermark.embed(
            mastered, SAMPLE_RATE, mark.key, mark.index, strength_db=mark.strength_db
        )
    samples = pcm16(marked)
    score = None
    if mark.self_check and not stopped():
        with _timed(seconds, "self_check"):
            heard = samples.astype(np.float32) / 32768
            score = watermark.self_check(heard, SAMPLE_RATE, mark.key, mark.index)
    return Narration(
        wav=wav_bytes(samples),
        duration_seconds=round(len(samples) / SAMPLE_RATE, 3),
        facts={
            "characters": len(readable),
            "words": len(readable.split()),
            "segments": len(segments),
            "latinShare": round(latin_share(readable), 2),
            "secondsByStep": {step: round(value, 3) for step, value in seconds.items()},
            "watermarkScore": None if score is None else round(float(score), 2),
        },
    )


def _speak(
    segments: list[str],
    engine: SpeechEngine,
    seed: int,
    on_progress: Callable[[float], None],
    stopped: Callable[[], bool],
) -> list[NDArray[np.float32]]:
    """The audio of every segment, in their order."""
    heard: dict[int, NDArray[np.float32]] = {}
    total = sum(map(len, segments))
    done = 0
    if stopped():
        raise Stopped
    with closing(engine.speak(segments, seed=seed)) as speech:
        for spoken in speech:
            heard[spoken.index] = spoken.samples
            done += len(segments[spoken.index])
            if stopped():
                raise Stopped
            on_progress(done / total)
    return [heard[index] for index in range(len(segments))]


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[step] = time.monotonic() - started


def wav_bytes(samples: NDArray[np.int16]) -> bytes:
    """A RIFF file of PCM 16-bit mono samples at 24 kHz, shape ``[n]``."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        out.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()
