"""A book's place in the queue: its level, and since when it waits.

Both come from fields that a frontend may set beside a request, and that most do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from narrator_daemon.catalogue import PRIORITY, REQUESTED_AT, is_number
from narrator_daemon.claims.book import wanted_from


class Level(IntEnum):
    """What goes first; ``narrativeAudioPriority`` holds the name in small letters."""

    NOW = 0
    NORMAL = 1
    BULK = 2


_NAMES = {level.name.lower(): level for level in Level}


def level_of(book: Mapping[str, Any]) -> Level:
    """The level of a book; the usual one where it names none that is known."""
    named = book.get(PRIORITY)
    return _NAMES.get(named, Level.NORMAL) if isinstance(named, str) else Level.NORMAL


def waits_since(book: Mapping[str, Any], seen: float) -> float:
    """Since when a book waits, epoch milliseconds.

    One that is not wanted before some time counts as asked for then: at that time it goes behind
    those that have waited until then.

    Args:
        book: as read.
        seen: epoch milliseconds that count where the request has no time.
    """
    requested_at = book.get(REQUESTED_AT)
    asked = float(requested_at) if is_number(requested_at) else seen
    return max(asked, float(wanted_from(book) or 0))
