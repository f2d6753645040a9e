"""``narrator-daemon voices``: what a book can be read in."""

from __future__ import annotations

from narrator_daemon.narration.manner import Manners
from narrator_daemon.settings import NamedVoice, Settings
from narrator_daemon.speech import choosing


def listed(settings: Settings) -> dict[str, str]:
    """The names of all voices, each with what it is made from.

    Nothing is loaded or downloaded.

    Args:
        settings: engine and voices.

    Raises:
        ConfigError: the settings name a voice that there is not.
        NotInstalled: a library of the engine is not.
    """
    engine = choosing.create(settings)
    try:
        named = settings.voices.by_name
        return {
            name: _made_from(settings, named[name]) if name in named else f"{engine.name}'s own"
            for name in Manners(settings, engine).names
        }
    finally:
        engine.close()


def _made_from(settings: Settings, voice: NamedVoice) -> str:
    if settings.speech.engine == "kokoro":
        return f"kokoro's {voice.kokoro or settings.kokoro.voice}"
    if settings.speech.engine == "piper":
        return str(voice.piper or "the packaged voice")
    if settings.speech.engine == "tone":
        return "noise of its own"
    return str(voice.prompt or voice.reference or "found for each narration")
