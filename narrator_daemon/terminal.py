"""Foreign text on a terminal: titles, ids and errors may hold anything."""

from __future__ import annotations

import unicodedata

from rich.text import Text


def plain(text: object, style: str = "") -> Text:
    """A text for a rich table or console that shows what is there and does nothing.

    Markup is shown as it is written; control characters, which could move the cursor or change
    colours, and those that turn the direction of reading, are replaced by U+FFFD.

    Args:
        text: anything; ``str`` of it is shown.
        style: rich's style for all of it.
    """
    shown = "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(character) in {"Cc", "Cf", "Cs"} and character != "\n"
        else character
        for character in str(text)
    )
    return Text(shown, style=style)
