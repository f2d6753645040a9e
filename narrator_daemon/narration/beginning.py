"""The beginning of a narration, to be heard while the rest is in work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from narrator_daemon.narration.companions import Companion
from narrator_daemon.narration.segment_store import SegmentFile


@dataclass(frozen=True)
class Beginning:
    """The beginning of a narration, wanted while the rest is in work.

    Attributes:
        seconds: as long as that, or a little longer: it ends with a segment.
        companion: where it goes.
        show: told once it is there, with its length in seconds.
    """

    seconds: float
    companion: Companion
    show: Callable[[float], None]


class Opening:
    """Sees when the beginning of a narration is spoken, whatever is spoken first.

    Args:
        wanted: the beginning, if one is.
        spoken: what is spoken.
        ready: told once, how many segments it has.
    """

    def __init__(
        self,
        wanted: Beginning | None,
        spoken: SegmentFile,
        ready: Callable[[Beginning, int], None],
    ) -> None:
        self._wanted = wanted
        self._spoken = spoken
        self._ready = ready
        self._count = 0
        self._seconds = 0.0

    def look(self) -> None:
        """Take in what is spoken by now."""
        if self._wanted is None:
            return
        while self._count in self._spoken and self._seconds < self._wanted.seconds:
            self._seconds += self._spoken.seconds(self._count)
            self._count += 1
        if self._seconds >= self._wanted.seconds:
            wanted, self._wanted = self._wanted, None
            self._ready(wanted, self._count)
