"""Who is alive: leases judged by what this process itself has seen.

Each claim has a lease under ``/narrationLeases/{bookId}/{token}`` whose beat its owner changes
every few seconds. An observer needs no clock but its own: a lease whose beat it has seen stand
still for a whole TTL is dead. Wall clocks, and those of other machines, play no part.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass
class _Seen:
    beat: object
    since: float
    ttl: float


class LeaseWatch:
    """Judges leases from successive readings.

    A claim with no lease at all is given as a reading with beat None: its owner died before it
    could write one, and a TTL from first sight it is dead like the others.

    Args:
        ttl: seconds for which a beat must have stood still, where its owner does not say.
        longest_gap: seconds between two readings past which nothing can be said about the time
            between: this process slept or the database was down, and then the owners could not
            beat either. All leases get a whole TTL anew. Of a shorter one no more than two thirds
            of this count: several short outages in a row are no reason either.
    """

    def __init__(self, ttl: float, longest_gap: float) -> None:
        self._ttl = ttl
        self._longest_gap = longest_gap
        self._seen: dict[Hashable, _Seen] = {}
        self._read_at: float | None = None

    def observe(
        self,
        beats: Mapping[Hashable, object],
        now: float,
        ttls: Mapping[Hashable, float] = MappingProxyType({}),
    ) -> None:
        """Take in one reading of all leases.

        Args:
            beats: the beat of each lease that exists; those left out are forgotten.
            now: when it was read, by a monotonic clock, seconds.
            ttls: the lifetimes that owners promise to beat within, seconds. Replicas may be
                configured in different ways, and an owner keeps to its own.
        """
        gap_seconds = 0.0 if self._read_at is None else now - self._read_at
        gap = gap_seconds > self._longest_gap
        untold = max(0.0, gap_seconds - 2 / 3 * self._longest_gap)
        seen: dict[Hashable, _Seen] = {}
        for name, beat in beats.items():
            old = self._seen.get(name)
            unchanged = old is not None and old.beat == beat and not gap
            since = old.since + untold if unchanged and old is not None else now
            seen[name] = _Seen(beat, since, ttls.get(name, self._ttl))
        self._seen = seen
        self._read_at = now

    def dead(self, name: Hashable) -> bool:
        """Whether the last reading showed this lease to have stood still for a TTL."""
        seen = self._seen.get(name)
        return (
            seen is not None
            and self._read_at is not None
            and self._read_at - seen.since >= seen.ttl
        )
