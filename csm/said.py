"""What is said for a stretch of a text: light to import, for programs of their own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """What is said for a stretch of a text.

    Attributes:
        start: its first code point.
        end: the one after its last.
        ipa: how it is said, with spaces between words where it has some; composed (NFC).
    """

    start: int
    end: int
    ipa: str
