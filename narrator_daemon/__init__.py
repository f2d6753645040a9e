"""narrator-daemon: narrates the books of a Firebase catalogue.

The frontend sets ``/books/{id}/narrativeAudioStatus`` to ``requested``; the daemon claims the book,
reads its text aloud, watermarks the audio, uploads a WAV and writes URL, duration and status back.
"""

import os

# onnxruntime's wheels report to their maker from version 1.29 on, unless this is set before they are
# imported: a number for this machine, the models' names and how long each took.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> str:
    # Looked up when it is asked for: that takes longer than a whole health probe.
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("narrator-daemon")
