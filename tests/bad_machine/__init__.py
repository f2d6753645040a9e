"""A machine whose wall clock is wrong or whose disk is full, for one process.

What is wrong is said by files, which may change at any time; ``sitecustomize`` beside this reads
them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def in_a_fresh_interpreter(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, in which Python sees its bad machine, where it has one."""
    if "BAD_MACHINE_CLOCK" not in environment:
        return dict(environment)
    paths = [environment.get("PYTHONPATH"), str(Path(__file__).parent)]
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


class BadMachine:
    """What a process sees of its machine.

    Args:
        folder: where the files are; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._clock = folder / "clock"
        self._full = folder / "full"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that have a daemon of a test see it."""
        return {"BAD_MACHINE_CLOCK": str(self._clock), "BAD_MACHINE_FULL": str(self._full)}

    def set_clock(self, ahead: float) -> None:
        """Put the wall clock so many seconds ahead of the right time."""
        new = self._clock.with_suffix(".new")
        new.write_text(str(ahead))
        new.replace(self._clock)

    def fill(self) -> None:
        """Leave no room on any disk."""
        self._full.touch()

    def empty(self) -> None:
        """Give the room back."""
        self._full.unlink(missing_ok=True)
