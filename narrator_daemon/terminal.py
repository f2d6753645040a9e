"""Foreign text on a terminal or a page: titles, ids and errors may hold anything."""

from __future__ import annotations

import unicodedata

from rich.text import Text

#: Unicode categories of characters that show nothing and do something, or that nobody has defined.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def visible(text: object, *, keep: str = "") -> str:
    """A text without characters that control anything.

    Control characters, which could move a cursor or are forbidden in a file, those that turn the
    direction of reading, halves of surrogate pairs and what is no character become U+FFFD.

    Args:
        text: anything; ``str`` of it is taken.
        keep: such characters that stay.
    """
    given = str(text)
    if given.isprintable():  # most are, and this is quick for long ones
        return given
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(character) in _UNSEEN and character not in keep
        else character
        for character in given
    )


def plain(text: object, style: str = "") -> Text:
    """A text for a rich table or console that shows what is there and does nothing.

    Markup is shown as it is written, line breaks are kept, and the rest is ``visible``.

    Args:
        text: anything; ``str`` of it is shown.
        style: rich's style for all of it.
    """
    return Text(visible(text, keep="\n"), style=style)
