"""The ``kokoro`` engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from csm.audio import SAMPLE_RATE
from csm.said import Said
from csm.takes.drawing import Example
from csm.text.lexicon import EMPTY, Lexicon
from csm.text.pronounced import pronounced, said
from narrator_daemon import logs
from narrator_daemon.speech import SpeechEngine, SpeechError, Spoken, parallel
from narrator_daemon.speech.child import Child
from narrator_daemon.speech.kokoro import files, symbols
from narrator_daemon.speech.kokoro.model import Model, Sound, joined, read_voice
from narrator_daemon.speech.phoneme_words import word_places, words_alone

#: Seconds that a character takes at speed 1, by measurement over the voices.
PACE = 0.062
#: How far the speeds of takes lie apart, by their seeds: nobody hears it.
SPREAD = 0.02
#: Segments at once, at most: beyond these the memory for them is better used by another daemon.
MOST_AT_ONCE = 16
#: Seconds in which a segment's phonemes come.
_PHONEMES_LIMIT = 30.0
#: By its file, as it needs nothing of this package: importing that would take seconds of a start.
_WORKER = ("-P", str(Path(__file__).parent / "kokoro" / "espeak_worker.py"))
#: What must be installed, all of it by the extra.
_LIBRARIES = ("espeakng-loader", "huggingface-hub", "onnxruntime")
_MISSING = "the engine kokoro is not installed: pip install 'narrator-daemon[kokoro]'"

_log = logs.get("speech")


class KokoroSpeech:
    """A ``SpeechEngine`` over Kokoro-82M on the CPU.

    The same text, voice, speed and seed give the same samples on the same machine.

    Args:
        model: hub id or folder.
        voice: one of the model's, such as ``af_heart``.
        speed: 1 is the voice's own.
        revision: the model's commit on the hub; None for the newest that was brought.
        at_once: segments spoken at once, each on a core; by default as many as there are cores.
        named: other names, each with the voice of the model that it stands for.
    """

    name = "kokoro"
    device = "cpu"
    #: Its stops open at once: 192 clean segments in its voices score 8 to 40 where people's stay
    #: below 27 (docs/design/judges.md).
    thresholds: Mapping[str, float] = MappingProxyType({"sharpest_click": 50.0})

    def __init__(
        self,
        *,
        model: str,
        voice: str,
        speed: float = 1.0,
        revision: str | None = None,
        at_once: int = 0,
        named: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._name_of_model, self._revision = model, revision
        self._voice, self._speed = voice, speed
        self._named = dict(named)
        self._parallel = parallel.Parallel(at_once or min(MOST_AT_ONCE, parallel.cores()), "kokoro")
        self._espeak = Child(_WORKER, "eSpeak NG")
        self._espeak_turn = threading.Lock()
        self._model: Model | None = None
        self._styles: dict[str, NDArray[np.float32]] = {}

    @property
    def pace(self) -> float:
        """That of the voice at its speed."""
        return PACE / self._speed

    @property
    def settings_fingerprint(self) -> str:
        """Model, voice and speed."""
        return self._fingerprint(self._voice)

    def _fingerprint(self, voice: str) -> str:
        model = self._name_of_model
        if self._revision:
            model = f"{model}@{self._revision}"
        return f"kokoro:{model}:{voice}:{self._speed:g}"

    @property
    def voices(self) -> tuple[str, ...]:
        """The names that were given, and all voices of the model (``HasVoices``)."""
        return tuple(sorted({*self._named, *files.voices(self._name_of_model)}))

    def in_voice(self, name: str) -> SpeechEngine:
        """The same in another voice (``HasVoices``), which is loaded when it first speaks.

        Raises:
            KeyError: there is none of this name.
        """
        if name not in self.voices:
            raise KeyError(name)
        return _View(self, self._named.get(name, name), EMPTY)

    def saying(self, lexicon: Lexicon) -> SpeechEngine:
        """The same, with names said by their IPA (``TakesPhonemes``)."""
        return _View(self, self._voice, pronounced(lexicon))

    def load(self) -> None:
        """Load the model and the voice, and speak a word.

        Raises:
            SpeechError: it cannot; the message says what to do.
        """
        if self._model is not None:
            return
        try:
            for library in _LIBRARIES:
                metadata.version(library)
        except metadata.PackageNotFoundError:
            raise SpeechError("engine_error", _MISSING) from None
        started = time.monotonic()
        _log.info("speech_loading", engine=self.name, model=self._name_of_model)
        model = Model(files.model_file(self._name_of_model, self._revision))
        for voice in {self._voice, *self._named.values()}:
            self._style(voice)
        self._model = model
        for _ in self.speak(["Ready."], seed=0):
            pass
        _log.info(
            "speech_loaded",
            engine=self.name,
            model=self._name_of_model,
            voice=self._voice,
            at_once=self._parallel.size,
            seconds=round(time.monotonic() - started, 1),
        )

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Collection[int] = (),
        example: Example | None = None,
    ) -> Generator[Spoken, None, None]:
        """Speak segments; see ``SpeechEngine``.

        Raises:
            SpeechError: a segment could not be spoken, or ``load`` was not called.
        """
        yield from self._speak(self._voice, EMPTY, segments, seed, skip)

    def _speak(
        self,
        voice: str,
        lexicon: Lexicon,
        segments: Sequence[str],
        seed: int,
        skip: Collection[int],
    ) -> Generator[Spoken, None, None]:
        if self._model is None:
            raise SpeechError("engine_error", "the speech engine kokoro is not loaded")
        speak_one = partial(self._speak_one, self._model, voice, lexicon, seed)
        yield from self._parallel.speak(speak_one, segments, skip)

    def _style(self, voice: str) -> NDArray[np.float32]:
        """A voice, read once."""
        if voice not in self._styles:
            file = files.voice_file(self._name_of_model, self._revision, voice)
            self._styles[voice] = read_voice(file)
        return self._styles[voice]

    def close(self) -> None:
        """Free the model and end the process. A segment in work fails."""
        threads, model = self._parallel.forget(), self._model
        if model is not None:
            model.stop()
        self._espeak.kill()
        parallel.end(threads)
        self._model = None
        self._styles = {}

    def _speak_one(
        self, model: Model, voice: str, lexicon: Lexicon, seed: int, index: int, text: str
    ) -> Spoken:
        british = _is_british(voice)
        phonemise = partial(self._phonemise, british)
        given = said(text, lexicon)
        heard = symbols.phonemes(text, phonemise, british=british, said=given)
        if not heard:
            raise SpeechError("engine_error", "Kokoro finds nothing to say in a segment")
        own_seed = _segment_seed(text, seed)
        # Without a draw of its own, a take that is not fit would be made again as it was.
        speed = self._speed * (1 + SPREAD * (own_seed / 2**31 - 0.5))
        style = self._style(voice)
        sound = joined(
            [model.speak(part, style, speed=speed, seed=own_seed) for part in symbols.cut(heard)]
        )
        samples = np.clip(sound.samples, -1.0, 1.0)
        return Spoken(index, samples, word_seconds=self._word_seconds(text, given, voice, sound))

    def _phonemise(self, british: bool, texts: Sequence[str]) -> list[str]:
        if not texts:
            return []
        accent = "en" if british else "en-us"
        with self._espeak_turn:
            answer = self._espeak.ask({"accent": accent, "texts": list(texts)}, _PHONEMES_LIMIT)
        phonemes: list[str] = answer["phonemes"]
        return phonemes

    def _word_seconds(
        self, text: str, given: Sequence[Said], voice: str, sound: Sound
    ) -> tuple[float, ...] | None:
        """Where each word begins, words being what spaces part."""
        if sound.starts is None or not len(sound.starts):
            return None
        british = _is_british(voice)

        def adapted(words: Sequence[str]) -> list[str]:
            return [symbols.adapted(one, british) for one in self._phonemise(british, words)]

        own = [replace(one, ipa=symbols.from_ipa(one.ipa, british)) for one in given]
        places = word_places(words_alone(text, own, adapted), sound.symbols)
        last = len(sound.starts) - 1
        return tuple(float(sound.starts[min(place, last)]) / SAMPLE_RATE for place in places)


class _View:
    """The engine in one of its voices, with names said by a lexicon."""

    name = KokoroSpeech.name
    device = KokoroSpeech.device
    thresholds = KokoroSpeech.thresholds

    def __init__(self, speech: KokoroSpeech, voice: str, lexicon: Lexicon) -> None:
        self._speech = speech
        self._voice = voice
        self._lexicon = lexicon

    @property
    def pace(self) -> float:
        return self._speech.pace

    @property
    def settings_fingerprint(self) -> str:
        return self._speech._fingerprint(self._voice)

    def saying(self, lexicon: Lexicon) -> SpeechEngine:
        return _View(self._speech, self._voice, pronounced(lexicon))

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
        yield from self._speech._speak(self._voice, self._lexicon, segments, seed, skip)

    def close(self) -> None:
        """The engine is closed, and with it this."""


def _is_british(voice: str) -> bool:
    return voice.startswith("b")


def _segment_seed(text: str, seed: int) -> int:
    """A seed of 31 bits, which is what the runtime takes."""
    key = f"{seed}\n{text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(key, digest_size=4).digest(), "big") >> 1
