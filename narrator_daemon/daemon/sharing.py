"""How several databases share what one worker can read at once.

Each has as many books in work as the others, as far as it has any to read; one that has none leaves
its room to the others.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from narrator_daemon.daemon.in_work import InWork


class Sharing:
    """The room of one worker. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shares: list[Share] = []
        self._claims = itertools.count(1)

    def join(self, in_work: InWork, wants: Callable[[], bool], wake: Callable[[], object]) -> Share:
        """One database more.

        Args:
            in_work: what of it is worked on.
            wants: whether a book of it could be claimed now, were there room; quick to tell.
            wake: called when there may be room again for one that was kept waiting.
        """
        share = Share(self, in_work, wants, wake)
        self._shares.append(share)
        return share

    @property
    def most(self) -> int:
        """Most books at once, of all databases together."""
        return max(share.in_work.capacity for share in self._shares)

    @property
    def in_work(self) -> int:
        """Books that are worked on."""
        return sum(len(share.in_work) for share in self._shares)

    @property
    def stuck(self) -> int:
        """How many of these do not get on."""
        return sum(share.in_work.stuck for share in self._shares)

    def wake(self) -> None:
        """Say to all that there is room again."""
        for share in self._shares:
            share.wake()

    def take(self, share: Share) -> bool:
        """As ``Share.take``."""
        with self._lock:
            others = [one for one in self._shares if one is not share]
            if share.in_work.is_full or self._taken >= self.most:
                return False
            share.is_kept_waiting = any(one.burden < share.burden and one.wants() for one in others)
            if share.is_kept_waiting:
                return False
            share.claiming, share.claimed_at = 1, next(self._claims)
            return True

    @property
    def _taken(self) -> int:
        return sum(len(one.in_work) + one.claiming for one in self._shares)

    def give_back(self, share: Share) -> None:
        """As ``Share.give_back``."""
        with self._lock:
            share.claiming = 0
            kept_waiting = [one for one in self._shares if one.is_kept_waiting]
            for one in kept_waiting:
                one.is_kept_waiting = False
        for one in kept_waiting:
            one.wake()

    def left(self, share: Share) -> int:
        """As ``Share.at_once``."""
        others = self.in_work - len(share.in_work)
        return max(1, min(share.in_work.capacity, self.most - others))


class Share:
    """What one database has of it.

    Attributes:
        in_work: what of it is worked on.
        wants: whether a book of it could be claimed now.
        wake: called when there may be room again.
        claiming: how many books of it are being claimed.
        claimed_at: which claim of all was its last.
        is_kept_waiting: whether another database comes first.
    """

    def __init__(
        self,
        sharing: Sharing,
        in_work: InWork,
        wants: Callable[[], bool],
        wake: Callable[[], object],
    ) -> None:
        self._sharing = sharing
        self.in_work = in_work
        self.wants = wants
        self.wake = wake
        self.claiming = self.claimed_at = 0
        self.is_kept_waiting = False

    @property
    def burden(self) -> tuple[int, int]:
        """What of two databases tells which comes first: the lesser does."""
        return len(self.in_work) + self.claiming, self.claimed_at

    @property
    def at_once(self) -> int:
        """Most books of it at once, beside those of the others that are in work now."""
        return self._sharing.left(self)

    def take(self) -> bool:
        """Take room for one claim, where there is some and no other database comes first."""
        return self._sharing.take(self)

    def give_back(self) -> None:
        """Give it back: the claim was made, and its book is in work, or it was not."""
        self._sharing.give_back(self)
