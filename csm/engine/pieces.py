"""A text that is too long for the model in pieces that are not."""

from __future__ import annotations

import re
from collections.abc import Callable

#: Where a text may be cut, best first: after sentences, clauses and words.
_BREAKS = (re.compile(r"[.!?]['\"]*\s+"), re.compile(r"[,;:]['\"]*\s+"), re.compile(r"\s+"))
#: Characters that are not cut further.
SHORTEST = 8


def pieces(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Halve a text until each piece fits.

    Nothing but white space at the cuts is lost. A cut is made at the break nearest to the middle,
    of the best kind that there is in the text's middle half; inside a word only where a word alone
    does not fit.

    Returns:
        The pieces in order. Some of at most ``SHORTEST`` characters may not fit.
    """
    if fits(text) or len(text) <= SHORTEST:
        return [text]
    cut = _middle(text)
    halves = text[:cut].strip(), text[cut:].strip()
    return [piece for half in halves if half for piece in pieces(half, fits)]


def _middle(text: str) -> int:
    quarter, middle = len(text) // 4, len(text) // 2
    for kind in _BREAKS:
        cuts = [match.end() for match in kind.finditer(text, quarter, len(text) - quarter)]
        if cuts:
            return min(cuts, key=lambda cut: abs(cut - middle))
    return middle
