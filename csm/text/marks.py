"""Marks of structure inside a cleaned text, which holds no control characters of its own.

The rooms for HTML and Markdown leave them; ``layout`` reads and removes them.
"""

from __future__ import annotations

#: Before a heading of level 1 to 6, before an item of a list or a row of a table, and for a
#: division that has no words: each at the start of a line.
HEADINGS = ("\x11", "\x12", "\x13", "\x14", "\x15", "\x16")
ITEM = "\x17"
SCENE = "\x18"
#: Between two cells of a row.
CELL = "\x19"

ALL = "".join(HEADINGS) + ITEM + SCENE + CELL
