"""``narrator-daemon model``: the speech model brought before the daemon starts."""

from __future__ import annotations

from pathlib import Path

from narrator_daemon.errors import WrongUse
from narrator_daemon.settings import Settings


def fetch(settings: Settings) -> Path:
    """Bring what the settings ask for onto this disk, and see that it is whole.

    Args:
        settings: ``speech.engine``, its model, revision and voice are what counts.

    Returns:
        The folder it is in; for a hub's model its name is the commit.

    Raises:
        SpeechError: it cannot be had, or is damaged.
        WrongUse: the chosen engine has no model of the hub.
    """
    if settings.speech.engine == "kokoro":
        return _kokoro(settings)
    if settings.speech.engine == "csm":
        return _csm(settings)
    raise WrongUse(
        f"the engine {settings.speech.engine} has no model to fetch", where="[speech] engine"
    )


def _csm(settings: Settings) -> Path:
    from csm.checkpoint import hub, hub_voices
    from narrator_daemon.speech.csm import as_speech_errors

    speech = settings.speech
    with as_speech_errors():
        folder = hub.local_folder(speech.model, None, speech.revision)
        hub.weight_files(folder, speech.model, hub.read_config(folder, speech.model))
        if settings.voice.prompt is not None:
            hub_voices.recording(settings.voice.prompt, speech.model, revision=speech.revision)
    return folder


def _kokoro(settings: Settings) -> Path:
    from narrator_daemon.speech.kokoro import files
    from narrator_daemon.speech.kokoro.model import Model, read_voice

    kokoro = settings.kokoro
    Model(files.model_file(kokoro.model, kokoro.revision))
    # All of them, 14 MB: books may ask for any.
    for name in files.voices(kokoro.model):
        read_voice(files.voice_file(kokoro.model, kokoro.revision, name))
    return files.voice_file(kokoro.model, kokoro.revision, kokoro.voice).parents[1]
