"""What people would think of a voice, as DistillMOS guesses it from the sound: 1 to 5.

Needs `pip install --no-deps distillmos xls-r-sqa`, which bring their weights. They import
torchaudio for reading files and for features that are not used here; it need not be there.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What it hears, in samples a second.
RATE = 16_000


class Opinion:
    """The model, on one thread."""

    def __init__(self) -> None:
        for name in ("torchaudio", "torchaudio.transforms"):
            stand_in: Any = ModuleType(name)
            stand_in.MFCC = None
            sys.modules.setdefault(name, stand_in)
        torch: Any = importlib.import_module("torch")
        torch.set_num_threads(1)
        with contextlib.redirect_stdout(io.StringIO()):  # it says where its weights are
            self._model: Any = importlib.import_module("distillmos").ConvTransformerSQAModel()
        self._model.eval()
        self._torch = torch

    def of(self, samples: NDArray[np.float32]) -> float:
        """Of a segment, float32 mono at ``RATE``, ``[n]``."""
        with self._torch.no_grad():
            return float(self._model(self._torch.from_numpy(samples)[None]))
