"""Whose turn it is to renew URLs: one replica looks through the catalogue for all.

``/narrationRenewal`` holds ``{owner, until, through}``: who renews, until when others leave it to
that one, and up to which expiry all that can be renewed has been. Nothing depends on it but cost:
two that renew at once do what one would do, twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from narrator_daemon.catalogue import Record, children, moment
from narrator_daemon.claims.signed_url import LONGEST_LIFE_MS, TOLERANCE_MS

#: Milliseconds for which a turn is taken: the longest round, and then some.
HOLD_MS = 120_000


@dataclass(frozen=True)
class Turn:
    """What a replica that would renew is to do.

    Attributes:
        mine: whether it is its turn.
        record: what to store; None where nothing changes.
        wait_ms: milliseconds in which another has its turn.
        through: up to which expiry all has been renewed, epoch milliseconds, where it is known.
    """

    mine: bool
    record: Record | None = None
    wait_ms: int = 0
    through: int | None = None


def take(seen: object, *, owner: str, now_ms: int, needed: int) -> Turn:
    """Take a turn, where there is something to do and no other has it.

    Args:
        seen: what is stored, of whatever shape.
        owner: this replica.
        now_ms: epoch milliseconds, by the services' clock.
        needed: the expiry up to which all must have been renewed.
    """
    stored = children(seen)
    through, until = moment(stored.get("through")), moment(stored.get("until"))
    if through is not None and through > now_ms + LONGEST_LIFE_MS // 3 + TOLERANCE_MS:
        through = None  # no round reaches so far
    held = until is not None and now_ms < until <= now_ms + 2 * HOLD_MS
    if held and until is not None and stored.get("owner") != owner:
        return Turn(False, wait_ms=until - now_ms, through=through)
    if through is not None and through >= needed and not held:
        return Turn(False, through=through)
    record = {"owner": owner, "until": now_ms + HOLD_MS, "through": through}
    return Turn(True, record, through=through)


def end(seen: object, *, owner: str, through: int | None) -> Record | None:
    """End a turn; gives what to store, or None where another has it by now.

    Args:
        seen: what is stored.
        owner: this replica.
        through: up to which expiry all has been renewed; None where something went wrong, so that
            others try.
    """
    stored = children(seen)
    if stored.get("owner") != owner:
        return None
    return {"owner": owner, "through": through}
