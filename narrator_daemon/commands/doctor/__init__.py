"""What is wrong with this set-up: every check, its result, and what to do.

Each check has a limit of its own and fails by itself, so one never hides the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from narrator_daemon import config
from narrator_daemon.commands.doctor import firebase, machine
from narrator_daemon.commands.doctor.check import Check
from narrator_daemon.errors import ConfigError

__all__ = ["Check", "examine"]


def examine(config_file: Path | None, clock: Callable[[], float] = time.time) -> Iterator[Check]:
    """Look at everything; gives each check as it is done.

    Args:
        config_file: as for ``config.load``.
        clock: the wall clock, epoch seconds.
    """
    try:
        settings = config.load(config_file)
    except ConfigError as error:
        yield Check("configuration", "fail", str(error))
        return
    yield Check("configuration", "pass", "every setting can be used")
    yield from machine.examine(settings)
    yield from firebase.examine(settings, clock)
