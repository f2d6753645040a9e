"""The product's voice: Sesame's CSM, from a checkpoint on the hub or in a folder."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch

import csm
from csm.audio import PACE
from csm.checkpoint import hub_voices
from csm.checkpoint.loading import load_checkpoint, resolve_device
from csm.engine.engine import Engine, Speech
from csm.engine.operands.sampling import Sampling
from csm.engine.sizing import choose_slots, free_memory
from csm.engine.voice import Voice, fingerprint
from csm.errors import ran_out_of_memory
from csm.takes.drawing import Example
from narrator_daemon import logs
from narrator_daemon.speech import Slots, SpeechEngine, SpeechError, Spoken, SpokenStream

_log = logs.get(__name__)


@dataclass(frozen=True)
class VoiceSource:
    """What a voice is made from; with neither recording nor prompt each narration gets its own.

    Attributes:
        reference: recording of the voice, 1 to 31 s.
        transcript: the words said in the recording.
        prompt: one of the model's own voices instead.
    """

    reference: Path | None = None
    transcript: str = ""
    prompt: str | None = None

    @property
    def fingerprint(self) -> str:
        """Another one for another voice.

        Raises:
            SpeechError: the recording cannot be read.
        """
        if self.reference is None:
            return self.prompt or "own"
        with as_speech_errors():
            return fingerprint(self.reference, self.transcript)

    @property
    def name(self) -> str:
        """For the log."""
        own = "one of its own for each narration"
        return self.prompt or ("reference" if self.reference else own)


class CsmSpeech:
    """A ``SpeechEngine`` over ``csm.Engine``.

    Args:
        model: hub id or folder of the checkpoint.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        voice_reference: recording of the voice, 1 to 31 s.
        voice_transcript: the words said in the recording.
        voice_prompt: one of the model's own voices instead; with neither, each narration gets a
            voice of its own.
        voices: other voices, by name.
        max_segment_seconds: no segment's audio is longer.
        slots: segments that are spoken at once; 0 chooses by the memory that is free.
        kernels: see ``csm.Engine``.
        int8_depth: see ``csm.Engine``.
        sampling: how codes are drawn and a segment ends.
        revision: the model's commit on the hub; None for its newest.
        token: for a gated model; None takes ``HF_TOKEN`` or the hub's stored login.
    """

    name = "csm"

    def __init__(
        self,
        *,
        model: str,
        device: str = "auto",
        voice_reference: Path | None = None,
        voice_transcript: str | None = None,
        voice_prompt: str | None = None,
        voices: Mapping[str, VoiceSource] = MappingProxyType({}),
        max_segment_seconds: float = 60.0,
        slots: int = 0,
        kernels: Literal["auto", "off"] = "auto",
        int8_depth: bool = False,
        sampling: Sampling | None = None,
        revision: str | None = None,
        token: str | None = None,
    ) -> None:
        self._model = model
        self._revision = revision
        self._asked_device = device
        self._source = VoiceSource(voice_reference, voice_transcript or "", voice_prompt)
        self._named = dict(voices)
        self._max_seconds = max_segment_seconds
        self._token = token
        self._asked_slots = slots
        self._kernels: Literal["auto", "off"] = kernels
        self._int8_depth = int8_depth
        self._sampling = sampling or Sampling()
        self._engine: Engine | None = None
        self._voice: Voice | None = None
        self._voices: dict[str, Voice | None] = {}

    @property
    def device(self) -> str:
        """Where it computes."""
        with as_speech_errors():
            return str(self._engine.device if self._engine else resolve_device(self._asked_device))

    @property
    def pace(self) -> float:
        """That of the voice's recording; without one, what is usual in narration."""
        return self._voice.pace if self._voice else PACE

    @property
    def slots(self) -> Slots:
        """How full it is; no slots before it is loaded."""
        engine = self._engine
        if engine is None:
            return Slots(0, 0)
        now = engine.occupancy
        return Slots(now.occupied, now.slots)

    @property
    def settings_fingerprint(self) -> str:
        """Model, voice, sampling and cap. Replicas may differ in device, kernels and slots."""
        return self._fingerprint(self._source)

    def _fingerprint(self, source: VoiceSource) -> str:
        weights = ":int8" if self._int8_depth else ""
        model = f"{self._model}@{self._revision}" if self._revision else self._model
        return f"csm:{model}:{source.fingerprint}:{self._sampling}:{self._max_seconds:g}s{weights}"

    def load(self) -> None:
        """Load weights, make the voice and speak a few frames. Does nothing if it is loaded.

        Raises:
            SpeechError: it cannot; the message says what to do.
        """
        if self._engine is not None:
            return
        started = time.monotonic()
        _log.info("speech_loading", engine=self.name, model=self._model, device=self.device)
        with as_speech_errors():
            free = free_memory(resolve_device(self._asked_device))
            checkpoint = load_checkpoint(
                self._model,
                device=self._asked_device,
                token=self._token,
                revision=self._revision,
            )
            slots = self._asked_slots or choose_slots(
                checkpoint.config, checkpoint.dtype, checkpoint.device, free
            )
            dtype = str(checkpoint.dtype).removeprefix("torch.")
            engine = Engine(
                checkpoint,
                self._sampling,
                slots,
                kernels=self._kernels,
                int8_depth=self._int8_depth,
            )
            del checkpoint
            try:
                _log.info("speech_warming_up", engine=self.name, dtype=dtype, slots=slots)
                engine.warm_up(_log_warm_up)
                self._voice = self._make_voice(engine, self._source)
                self._voices = {
                    name: self._make_voice(engine, source) for name, source in self._named.items()
                }
            except BaseException:
                engine.close()
                raise
        self._engine = engine
        _log.info(
            "speech_loaded",
            engine=self.name,
            model=self._model,
            device=self.device,
            slots=engine.occupancy.slots,
            kernels=engine.kernels,
            decoder=engine.decoder,
            voice=self._source.name,
            voices=sorted(self._voices),
            seconds=round(time.monotonic() - started, 1),
        )

    def _make_voice(self, engine: Engine, source: VoiceSource) -> Voice | None:
        if source.prompt is not None:
            recording = hub_voices.recording(
                source.prompt, self._model, token=self._token, revision=self._revision
            )
            return engine.make_voice(recording, hub_voices.TRANSCRIPTS[source.prompt])
        if source.reference is not None:
            return engine.make_voice(source.reference, source.transcript)
        return None

    @property
    def voices(self) -> tuple[str, ...]:
        """The names of its voices (``HasVoices``)."""
        return tuple(sorted(self._named))

    def in_voice(self, name: str) -> SpeechEngine:
        """The same in another voice (``HasVoices``).

        Raises:
            KeyError: there is none of this name.
        """
        return _InVoice(self, name, self._named[name])

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Collection[int] = (),
        example: Example | None = None,
    ) -> SpokenStream:
        """Speak segments; see ``SpeechEngine``.

        Raises:
            SpeechError: a segment could not be spoken, or ``load`` was not called.
        """
        return self._speak(self._voice, segments, seed, skip, example)

    def _speak(
        self,
        voice: Voice | None,
        segments: Sequence[str],
        seed: int,
        skip: Collection[int],
        example: Example | None,
    ) -> SpokenStream:
        if self._engine is None:
            raise SpeechError("engine_error", "the speech engine csm is not loaded")
        with as_speech_errors():
            return _Spoken(
                self._engine.speak(
                    segments,
                    seed=seed,
                    voice=voice or _voice_of(example),
                    max_seconds=self._max_seconds,
                    skip=skip,
                )
            )

    def close(self) -> None:
        """Free the model. Safe to call twice."""
        if self._engine is not None:
            self._engine.close()
            self._engine = self._voice = None
            self._voices = {}


class _InVoice:
    """The engine in another of its voices."""

    name = "csm"

    def __init__(self, speech: CsmSpeech, voice: str, source: VoiceSource) -> None:
        self._speech = speech
        self._voice = voice
        self._source = source

    @property
    def device(self) -> str:
        return self._speech.device

    @property
    def pace(self) -> float:
        voice = self._speech._voices.get(self._voice)
        return voice.pace if voice else PACE

    @property
    def settings_fingerprint(self) -> str:
        return self._speech._fingerprint(self._source)

    def load(self) -> None:
        self._speech.load()

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Collection[int] = (),
        example: Example | None = None,
    ) -> SpokenStream:
        voice = self._speech._voices.get(self._voice)
        return self._speech._speak(voice, segments, seed, skip, example)

    def close(self) -> None:
        """The engine is closed, and with it this."""


class _Spoken(SpokenStream):
    """Takes as the daemon knows them. ``close`` may be called from any thread."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech

    def __next__(self) -> Spoken:
        with as_speech_errors():
            take = next(self._speech)
        return Spoken(take.index, take.samples, codes=np.asarray(take.codes), ended=take.ended)

    def close(self) -> None:
        self._speech.close()


def _log_warm_up(step: int, steps: int) -> None:
    _log.info("speech_warming_up", step=step, steps=steps)


def _voice_of(example: Example | None) -> Voice | None:
    if example is None:
        return None
    return Voice(example.text, torch.as_tensor(np.asarray(example.take.codes)))


@contextmanager
def as_speech_errors() -> Iterator[None]:
    """Turn what ``csm`` raises into what the daemon knows."""
    try:
        yield
    except csm.OutOfMemory as error:
        raise SpeechError(
            "out_of_memory", f"{error}; the settings are speech.slots and speech.device"
        ) from error
    except RuntimeError as error:
        # As torch says it where a GPU is asked before there is an engine.
        if ran_out_of_memory(error):
            raise SpeechError(
                "out_of_memory",
                "the memory of the GPU is taken: free some, or set speech.device",
            ) from error
        raise SpeechError(
            "engine_error",
            f"the GPU cannot be used ({type(error).__name__}): see whether nvidia-smi lists it and "
            "its driver fits the installed torch, or set speech.device",
        ) from error
    except (csm.CsmError, ValueError) as error:
        raise SpeechError("engine_error", str(error)) from error
