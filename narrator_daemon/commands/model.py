"""``narrator-daemon model``: the speech model brought before the daemon starts."""

from __future__ import annotations

from pathlib import Path

from csm.checkpoint import hub, hub_voices
from narrator_daemon.errors import WrongUse
from narrator_daemon.settings import Settings
from narrator_daemon.speech.csm import as_speech_errors


def fetch(settings: Settings) -> Path:
    """Bring what the settings ask for onto this disk, and see that it is whole.

    Args:
        settings: ``speech.model``, ``speech.revision`` and ``voice.prompt`` are what counts.

    Returns:
        The folder it is in; for a hub's model its name is the commit.

    Raises:
        SpeechError: it cannot be had, or is damaged.
        WrongUse: the chosen engine has no model of the hub.
    """
    speech = settings.speech
    if speech.engine != "csm":
        raise WrongUse(f"the engine {speech.engine} has no model to fetch", where="[speech] engine")
    with as_speech_errors():
        folder = hub.local_folder(speech.model, None, speech.revision)
        hub.weight_files(folder, speech.model, hub.read_config(folder, speech.model))
        if settings.voice.prompt is not None:
            hub_voices.recording(settings.voice.prompt, speech.model, revision=speech.revision)
    return folder
