"""Where a sentence that is too long for one breath is best divided."""

from __future__ import annotations

import re

#: What may follow the space at which a sentence is cut, from the best to the worst, and how much
#: further from the middle a better place may be: a difference of 1 is worth half a part's length.
_PLACES = (
    (re.compile(r"[;:][\"']? "), 0.0),
    (
        re.compile(r"[,][\"']? (?=(?:and|but|or|nor|so|yet|for|because|though|although|while)\b)"),
        0.25,
    ),
    (re.compile(r"[,][\"']? "), 0.35),
    (
        re.compile(
            r" (?=(?:and|but|or|nor|because|although|though|while|when|where|which|who|whom"
            r"|whose|that"
            r"|if|unless|until|since|as|than|after|before|whereas)\b)"
        ),
        0.5,
    ),
    (
        re.compile(
            r" (?=(?:with|without|in|on|at|by|from|into|upon|over|under|through|about|between|among"
            r"|against|during|like|to|for)\b)"
        ),
        0.8,
    ),
    (re.compile(r" "), 1.2),
)
#: A part is never left on one of these: "to the | house".
_CLINGING = re.compile(
    r"\b(?:the|an?|of|to|in|on|at|by|my|his|her|its|our|your|their|this|that|mister|doctor|missus"
    r"|hundred|thousand|point|very|and|or|but)\Z",
    re.IGNORECASE,
)
_CLINGS = 0.6
#: No part is shorter than this many characters, where there is a choice.
_LEAST = 20


def cuts(text: str, room: int) -> list[int]:
    """Where to cut ``text`` into parts of at most ``room`` characters and of similar length.

    Returns:
        The places in ascending order, each after a space unless a word is longer than ``room``.
    """
    found: list[int] = []
    start = 0
    while len(text) - start > room:
        left = len(text) - start
        target = start + left // -(-left // room)
        low = start + max(room // 3, min(_LEAST, room // 2))
        high = min(start + room, len(text) - 1)
        cut = _best(text, low, high, target, room)
        # Where long words leave no place near the middle, the last before it.
        found.append(cut if cut else text.rfind(" ", start, high) + 1 or target)
        start = found[-1]
    return found


def _best(text: str, low: int, high: int, target: int, room: int) -> int:
    """The best place to cut between ``low`` and ``high``, 0 if there is none."""
    best, least = 0, float("inf")
    for place, penalty in _PLACES:
        if penalty >= least:
            break
        for match in place.finditer(text, low - 1, min(high + 1, len(text))):
            cut = match.end()
            if not low <= cut <= high:
                continue
            cost = penalty + (2 * (cut - target) / room) ** 2 * 2
            if penalty > 0.35 and _CLINGING.search(text, max(0, cut - 12), cut - 1):
                cost += _CLINGS
            if cost < least:
                best, least = cut, cost
    return best
