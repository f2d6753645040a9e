"""How long each step of a narration takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Steps:
    """Seconds by step.

    Args:
        on_step: told of every turn of a step when it began and ended, monotonic seconds, and
            whether by an exception.

    Attributes:
        seconds: of all turns that ended well, by step.
    """

    def __init__(self, on_step: Callable[[str, float, float, bool], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._on_step = on_step

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Around one turn of a step."""
        started = time.monotonic()
        try:
            yield
        except BaseException:
            self._on_step(name, started, time.monotonic(), True)
            raise
        ended = time.monotonic()
        self.seconds[name] = self.seconds.get(name, 0.0) + ended - started
        self._on_step(name, started, ended, False)
