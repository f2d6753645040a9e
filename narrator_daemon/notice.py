"""The spoken notice: words in a narration that say that a machine reads it, and who asks for them.

Pure functions of the settings and the book. Where in a narration they come is the business of
``narration.notices``.
"""

from __future__ import annotations

from dataclasses import dataclass

from narrator_daemon.catalogue import NOTICE, Record
from narrator_daemon.settings import Credentials


@dataclass(frozen=True)
class Notice:
    """What is said, and where.

    Attributes:
        text: the words.
        at_start: before the book.
        at_end: after it.
        every_minutes: and in between, so often; 0 for never.
    """

    text: str
    at_start: bool
    at_end: bool
    every_minutes: float

    @property
    def fingerprint(self) -> str:
        """All of it, for the input hash of a narration that has it."""
        places = f"{self.at_start:d}{self.at_end:d} {self.every_minutes:g}"
        return f" notice {places} {self.text!r}"


def notice_for(settings: Credentials, book: Record) -> Notice | None:
    """The notice in a book's narration; None where it has none.

    Args:
        settings: what is said, and whether a book may ask for it or out of it.
        book: as read; a choice that is neither true nor false is none.
    """
    if not settings.spoken_notice:
        return None
    asked = book.get(NOTICE)
    wanted = {
        "all": True,
        "unless-declined": asked is not False,
        "asked": asked is True,
    }[settings.spoken_notice_books]
    if not wanted:
        return None
    return Notice(
        settings.spoken_notice,
        "start" in settings.spoken_notice_at,
        "end" in settings.spoken_notice_at,
        settings.spoken_notice_minutes,
    )


def fingerprint_of(settings: Credentials, book: Record) -> str:
    """What the notice adds to a narration's input hash; empty where there is none."""
    notice = notice_for(settings, book)
    return "" if notice is None else notice.fingerprint
