"""CSM: text to segments, segments to speech, speech to a mastered narration.

    import csm
    engine = csm.Engine(csm.load_checkpoint("sesame/csm-1b", device="auto"))
    voice = engine.make_voice(Path("voice.wav"), "What is said in voice.wav.")
    for take in engine.speak(["Call me Ishmael.", "Some years ago."], seed=7, voice=voice):
        soundfile.write(f"{take.index}.wav", take.samples, csm.SAMPLE_RATE)

The names that need torch are imported when they are first used, so that text handling and tools
without a model start at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from csm.audio import SAMPLE_RATE
from csm.errors import CsmError, OutOfMemory

if TYPE_CHECKING:
    from csm.checkpoint.loading import Checkpoint, load_checkpoint
    from csm.engine.engine import Engine, Speech, Take
    from csm.engine.operands.sampling import Sampling
    from csm.engine.voice import Voice

_HOMES = {
    "Checkpoint": "csm.checkpoint.loading",
    "load_checkpoint": "csm.checkpoint.loading",
    "Engine": "csm.engine.engine",
    "Speech": "csm.engine.engine",
    "Take": "csm.engine.engine",
    "Sampling": "csm.engine.operands.sampling",
    "Voice": "csm.engine.voice",
}

__all__ = [
    "SAMPLE_RATE",
    "Checkpoint",
    "CsmError",
    "Engine",
    "OutOfMemory",
    "Sampling",
    "Speech",
    "Take",
    "Voice",
    "load_checkpoint",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
