"""What is wrong with this set-up: every check, its result, and what to do.

Each check has a limit of its own and fails by itself, so one never hides the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from narrator_daemon import config
from narrator_daemon.commands.doctor import firebase, machine
from narrator_daemon.commands.doctor.check import Check
from narrator_daemon.errors import ConfigError
from narrator_daemon.health.condition import of_database

__all__ = ["Check", "examine"]


def examine(
    config_file: Path | None,
    database: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Iterator[Check]:
    """Look at everything; gives each check as it is done.

    Args:
        config_file: as for ``config.load``.
        database: as for ``config.load``.
        clock: the wall clock, epoch seconds.
    """
    try:
        settings = config.load(config_file, database=database)
    except ConfigError as error:
        yield Check("configuration", "fail", str(error))
        return
    yield Check("configuration", "pass", "every setting can be used")
    yield from machine.examine(settings)
    for name, one in settings.by_database.items():
        for check in firebase.examine(one, clock):
            yield replace(check, name=of_database(check.name, name))
