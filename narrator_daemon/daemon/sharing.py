"""How several databases share what one worker can read at once.

Each has as many books in work as the others, as far as it has any to read; one that has none leaves
its room to the others. So does one whose claim hangs, or came to nothing: the others do not wait.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

from narrator_daemon.daemon.in_work import InWork

#: Seconds after which a claim that is being made hangs.
_HANGS_SECONDS = 2.0


class Sharing:
    """The room of one worker. Safe to use from several threads.

    Args:
        most: asked for the most books at once by the settings.
        clock: monotonic seconds.
    """

    def __init__(
        self, most: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self.clock = clock
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
        """Most books at once, of all databases together.

        An operator may tell each of them more or fewer than the settings say.
        """
        told = [share.in_work.capacity for share in self._shares]
        return min(max(self._most(), *told), sum(told))

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
            if share.in_work.is_full:
                return False
            if self._taken >= self.most:
                share.is_kept_waiting = any(one.claiming for one in others)
                return False
            share.is_kept_waiting = any(one.comes_before(share) for one in others)
            if share.is_kept_waiting:
                return False
            share.began_at, share.claimed_at = self.clock(), next(self._claims)
            for one in others:
                one.was_in_vain = False
            return True

    @property
    def _taken(self) -> int:
        return sum(len(one.in_work) + one.claiming for one in self._shares)

    def give_back(self, share: Share, *, made: bool) -> None:
        """As ``Share.give_back``."""
        with self._lock:
            share.began_at, share.was_in_vain = None, not made
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
        began_at: when the claim was begun that is being made, seconds of ``Sharing.clock``; None
            for none.
        claimed_at: which claim of all was its last.
        was_in_vain: whether that came to nothing, and no other has been made since.
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
        self.began_at: float | None = None
        self.claimed_at = 0
        self.was_in_vain = self.is_kept_waiting = False

    @property
    def claiming(self) -> int:
        """How many books of it are being claimed, those left out whose claim hangs."""
        return int(self.began_at is not None and not self._hangs)

    @property
    def _hangs(self) -> bool:
        began_at = self.began_at
        return began_at is not None and self._sharing.clock() - began_at >= _HANGS_SECONDS

    def comes_before(self, other: Share) -> bool:
        """Whether this database is to claim before another that has something to claim."""
        idle = self.was_in_vain or self._hangs
        return not idle and self.burden < other.burden and self.wants()

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

    def give_back(self, *, made: bool) -> None:
        """Give it back.

        Args:
            made: whether the claim was, and its book is in work.
        """
        self._sharing.give_back(self, made=made)
