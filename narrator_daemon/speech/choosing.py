"""Makes the engine that the settings choose."""

from __future__ import annotations

from narrator_daemon.libraries import importing
from narrator_daemon.settings import Settings
from narrator_daemon.speech import SpeechEngine


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
    from narrator_daemon.speech.kokoro_engine import KokoroSpeech

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
    from csm.engine.operands.sampling import Sampling
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
