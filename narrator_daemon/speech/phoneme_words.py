"""Where each word of a text begins among the phonemes that a voice made of all of it.

A phonemiser runs small words into their neighbours ("of a" is one group of phonemes) and takes
others apart. Each word by itself is phonemised too, and what comes of that is laid beside what was
said: Needleman and Wunsch, "A general method applicable to the search for similarities", 1970.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from csm.said import Said

_WORD = re.compile(r"\S+")
#: What is no sound of its own: stress, length, ties and combining marks, spaces, punctuation.
_SILENT = frozenset(" ˈˌːˑ.,;:!?-—'\"()ʲ\u0329\u0361\u032f\u0303")
_VOWELS = frozenset("aeiouyɑɐɒæəɚɛɜɝɪɨɔʊʌʉøœᵻ")

#: Of one sound left out or put in, and of one said as another of its kind, or of the other kind.
_GAP, _OTHER, _OTHER_KIND = 0.7, 0.5, 1.2


def word_places(words: Sequence[str], said: Sequence[str]) -> list[int]:
    """The place in ``said`` at which each word begins.

    Args:
        words: the phonemes of each word by itself; may be empty.
        said: the phonemes of the whole text, one symbol each, stress and spaces among them.

    Returns:
        As many places as there are words, never descending, each from 0 to ``len(said)``.
    """
    wanted = [(symbol, number) for number, word in enumerate(words) for symbol in sounds(word)]
    heard = [(symbol, place) for place, symbol in enumerate(said) if symbol not in _SILENT]
    pairs = _aligned([symbol for symbol, _ in wanted], [symbol for symbol, _ in heard])
    places: list[int | None] = [None] * len(words)
    for one, two in pairs:
        number = wanted[one][1]
        if places[number] is None:
            places[number] = _with_stress(said, heard[two][1])
    # A word of which nothing was heard begins where the next one does.
    following = len(said)
    found: list[int] = []
    for place in reversed(places):
        following = following if place is None else place
        found.append(following)
    return found[::-1]


def words_alone(
    text: str, said: Sequence[Said], phonemes: Callable[[Sequence[str]], Sequence[str]]
) -> list[str]:
    """The phonemes of each word of a text by itself, words being what spaces part.

    Args:
        text: what is said.
        said: what of it is said by its IPA.
        phonemes: of words, all others at once.
    """
    # The same as ``csm.text.words``, which takes a second to import.
    spans = [match.span() for match in _WORD.finditer(text)]
    own: dict[int, str] = {}
    for one in said:
        inside = [
            number
            for number, (start, end) in enumerate(spans)
            if start < one.end and one.start < end
        ]
        pieces = one.ipa.split()
        if len(pieces) != len(inside):
            pieces = [one.ipa, *[""] * (len(inside) - 1)]
        for number, piece in zip(inside, pieces, strict=True):
            own.setdefault(number, piece)
    others = [number for number in range(len(spans)) if number not in own]
    found = phonemes([text[slice(*spans[number])] for number in others]) if others else ()
    own.update(zip(others, found, strict=True))
    return [own[number] for number in range(len(spans))]


def sounds(phonemes: str) -> list[str]:
    """The symbols of ``phonemes`` that are sounds of their own."""
    return [symbol for symbol in phonemes if symbol not in _SILENT]


def _with_stress(said: Sequence[str], place: int) -> int:
    """The place of the stress mark before a sound, if it has one: the voice spends time on it."""
    return place - 1 if place and said[place - 1] in ("ˈ", "ˌ") else place


def _aligned(one: Sequence[str], two: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of places that belong together, ascending in both."""
    rows, columns = len(one), len(two)
    cost = [[column * _GAP for column in range(columns + 1)]]
    for row in range(1, rows + 1):
        symbol, above = one[row - 1], cost[-1]
        line = [row * _GAP]
        for column in range(1, columns + 1):
            line.append(
                min(
                    above[column - 1] + _difference(symbol, two[column - 1]),
                    above[column] + _GAP,
                    line[-1] + _GAP,
                )
            )
        cost.append(line)
    pairs: list[tuple[int, int]] = []
    row, column = rows, columns
    while row and column:
        both = cost[row - 1][column - 1] + _difference(one[row - 1], two[column - 1])
        if cost[row][column] == both:
            row, column = row - 1, column - 1
            pairs.append((row, column))
        elif cost[row][column] == cost[row - 1][column] + _GAP:
            row -= 1
        else:
            column -= 1
    return pairs[::-1]


def _difference(one: str, two: str) -> float:
    if one == two:
        return 0.0
    return _OTHER if (one in _VOWELS) == (two in _VOWELS) else _OTHER_KIND
