"""How many books keep an engine busy."""

from __future__ import annotations

from narrator_daemon.settings import Settings
from narrator_daemon.speech import HasSlots, SpeechEngine

#: At least so many: while one is spoken, another is mastered, marked and uploaded.
LEAST_BOOKS = 2
#: A book of 5,000 characters has some 44 segments, of which the last run out one by one. With one
#: for so many slots, and one more, the slots stay filled.
SLOTS_A_BOOK = 16
#: Slots at most where they are chosen by memory, as ``csm.engine.sizing`` does; importing that
#: takes seconds.
MOST_SLOTS = 128


def books_at_once(asked: int, engine: SpeechEngine) -> int:
    """Books to work on at once.

    Args:
        asked: by the settings; 0 follows the engine's slots, which may become fewer.
        engine: what speaks; before it is loaded, and without slots, it is two.
    """
    return asked or _for_slots(engine.slots.total if isinstance(engine, HasSlots) else 0)


def most_books_at_once(settings: Settings) -> int:
    """The most that ``books_at_once`` comes to with these settings, whatever the machine."""
    if settings.daemon.books_at_once:
        return settings.daemon.books_at_once
    if settings.speech.engine != "csm":
        return LEAST_BOOKS
    return _for_slots(settings.speech.slots or MOST_SLOTS)


def _for_slots(slots: int) -> int:
    return max(LEAST_BOOKS, 1 + slots // SLOTS_A_BOOK)
