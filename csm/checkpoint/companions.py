"""Libraries that transformers imports where it finds them, though none of them is needed here.

torchaudio and torchvision carry native code for one build of torch: beside another (the registry's
torchaudio, made for CUDA, beside a torch for the CPU) their import fails, and takes transformers'
models down with it. transformers does without them where they are not installed, so one that cannot
be imported is made to look like that.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec

#: What transformers looks for, and imports beside its audio and image models.
COMPANIONS = ("torchaudio", "torchvision")


def hide_unfit() -> list[str]:
    """Hide those that are installed and cannot be imported, from this process and for good.

    Returns:
        The hidden ones.
    """
    hidden = []
    for name in COMPANIONS:
        if name in sys.modules or find_spec(name) is None:
            continue
        try:
            importlib.import_module(name)
        except (
            Exception
        ):  # a missing library of the system, an operator that torch does not know, …
            for loaded in [one for one in sys.modules if one.partition(".")[0] == name]:
                del sys.modules[loaded]
            # By the import system's rule: imports fail, and nothing is found under this name.
            sys.modules[name] = None  # type: ignore[assignment]
            hidden.append(name)
    return hidden
