"""Kokoro's files: a folder, or a repository of the hub that is kept on this disk."""

from __future__ import annotations

from pathlib import Path

from csm.errors import CsmError
from narrator_daemon.speech import SpeechError

#: The English voices of the hub's repository.
VOICES = tuple(
    f"{kind}_{name}"
    for kind, names in {
        "af": "alloy aoede bella heart jessica kore nicole nova river sarah sky",
        "am": "adam echo eric fenrir liam michael onyx puck santa",
        "bf": "alice emma isabella lily",
        "bm": "daniel fable george lewis",
    }.items()
    for name in names.split()
)

#: Where the model lies; a folder may have any of them, and the hub's repository has the first.
MODELS = ("onnx/model_quantized.onnx", "model_quantized.onnx", "model.onnx")


def model_file(model: str, revision: str | None) -> Path:
    """The model, downloaded once where it is a repository of the hub.

    Args:
        model: hub id or folder.
        revision: a commit, branch or tag of the repository; None for the newest that was brought.

    Raises:
        SpeechError: it is nowhere; the message says what to do.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return _file(model, MODELS[0], revision)
    for name in MODELS:
        if (folder / name).is_file():
            return folder / name
    raise SpeechError(
        "engine_error",
        f"the folder {model} holds no {MODELS[0]}: give the folder of a Kokoro model for "
        "onnxruntime as kokoro.model, or leave it out for the hub's",
    )


def voice_file(model: str, revision: str | None, voice: str) -> Path:
    """The file of one voice, likewise.

    Raises:
        SpeechError: there is no such voice, or it cannot be had.
    """
    try:
        return _file(model, f"voices/{voice}.bin", revision)
    except SpeechError as error:
        raise SpeechError(
            error.code, f"{error}; kokoro.voice may be {', '.join(voices(model))}"
        ) from error


def voices(model: str) -> tuple[str, ...]:
    """The voices that there are: those in the folder, or all of the hub's."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return VOICES
    return tuple(sorted(file.stem for file in folder.glob("voices/[ab][fm]_*.bin")))


def are_here(model: str, revision: str | None, voice: str) -> bool:
    """Whether model and voice are on this disk, so that nothing need be downloaded."""
    if Path(model).expanduser().is_dir():
        return True
    from csm.checkpoint import hub

    names = (MODELS[0], f"voices/{voice}.bin")
    return all(hub.cached_file(model, name, revision) is not None for name in names)


def _file(model: str, name: str, revision: str | None) -> Path:
    # With the extra alone; its lack is told by whoever loads the engine.
    from csm.checkpoint import hub

    try:
        return hub.local_file(model, name, None, revision)
    except CsmError as error:
        raise SpeechError("engine_error", f"{error}; see [kokoro] in the configuration") from error
