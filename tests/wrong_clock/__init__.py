"""A machine whose wall clock is wrong, for one process: see ``sitecustomize`` beside this."""

from __future__ import annotations

import os
from pathlib import Path


def wrong_clock(file: Path, seconds: float = 0.0) -> dict[str, str]:
    """The variables that give a process such a clock.

    Args:
        file: holds by how many seconds it is ahead, and may be written again at any time.
        seconds: what it holds at first.
    """
    file.write_text(str(seconds))
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "WRONG_CLOCK": str(file)}
