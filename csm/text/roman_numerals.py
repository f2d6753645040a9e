"""Roman numerals where they are numbers: chapters, kings, world wars, headings.

The pronoun I and words made of the same letters (MIX, CD) are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from csm.text.rules import Rule, apply
from csm.text.spoken_numbers import cardinal, ordinal, roman

_KINGS = frozenset(
    (
        *("Louis", "Henry", "George", "Charles", "Edward", "Richard", "William", "James", "Paul"),
        *("Elizabeth", "Philip", "Francis", "Frederick", "Napoleon", "Nicholas", "Alexander"),
        *("Catherine", "Peter", "Ivan", "Pius", "Leo", "Benedict", "Gregory", "Innocent", "Urban"),
        *("Clement", "Ferdinand", "Christian", "Gustav", "Olaf", "Wilhelm", "Franz", "Leopold"),
        *("Ramses", "Ptolemy", "Edgar", "Alfonso", "Umberto", "Victor", "Haakon", "Margrethe"),
        *("Mary", "Robert", "David", "Julius", "Sixtus", "Boniface", "Constantine", "Otto"),
        *("Theodosius", "Justinian", "Selim", "Murad", "Mehmed", "Mahmud", "Rudolf", "Conrad"),
    )
)
_ROYAL = frozenset(
    ("king", "queen", "emperor", "empress", "pope", "tsar", "czar", "kaiser", "sultan", "prince")
)
_PARTS = frozenset(
    (
        *("chapter", "book", "part", "volume", "vol", "canto", "act", "scene", "section", "psalm"),
        *("appendix", "letter", "stave", "phase", "figure", "table", "article", "amendment", "fit"),
        *("episode", "season", "war", "page", "plate"),
    )
)
#: After these with a capital, a lone I is a number whatever follows ("Chapter I tells of …").
_PARTS_BEFORE_I = frozenset(("chapter", "volume", "canto", "stave"))
_SMALL_PARTS = frozenset(("chapter", "volume", "vol", "canto", "act", "scene", "page", "psalm"))

_NUMERAL = re.compile(
    r"(?<![\w'.-])(?:([IVX]{1,7})(?:st|nd|rd|th)|[IVXLCDM]{1,15}|[ivxl]{2,7})(?![\w-]|'(?!s\b))"
)
#: Medicine's own IV, in the veins.
_DRIP = re.compile(r" (?:drips?|lines?|bags?|fluids?|poles?|needles?|therapy|access|antibiotics)\b")
_INITIAL_FOLLOWS = re.compile(r"\. ['\"]?(?![A-Z]\.)")


def speak_roman_numerals(text: str) -> str:
    """Put the Roman numerals of one paragraph in words."""
    return apply(_RULES, text)


def _numeral(match: re.Match[str]) -> str:
    written = match.group()
    if match[1]:
        return _of(ordinal, match[1]) or written
    if written.islower():
        return _small_numeral(match)
    previous, before_that = _words_before(match)
    part, capital = previous.lower().rstrip("."), previous[:1].isupper()
    after = match.string[match.end() : match.end() + 8]
    goes_on = after[:1] == " " and after[1:2].islower()
    small = set(written) <= set("IVX")

    if written == "IV" and _DRIP.match(match.string, match.end()):
        return written
    if part in _PARTS and (len(written) > 1 or written in "VX"):
        number = _cardinal(written)
    elif written == "I" and part in _PARTS and capital:
        known = part in _PARTS_BEFORE_I or before_that.lower() == "world" or previous.isupper()
        number = "One" if known or not goes_on else None
    elif small and previous.capitalize() in _KINGS and written != "I":
        number = _ordinal(written)
    elif written == "I" and previous in _KINGS:
        ruler = before_that.lower() in _ROYAL or after.startswith(" of ")
        number = "the First" if ruler else None
    elif previous == "of" and written != "I" and roman(before_that):
        # Volume III of V.
        number = _cardinal(written)
    elif _is_heading(match) or (small and len(written) > 1):
        number = _cardinal(written)
    else:
        number = None
    return written if number is None else number


def _small_numeral(match: re.Match[str]) -> str:
    if _words_before(match)[0].lower().rstrip(".") not in _SMALL_PARTS:
        return match.group()
    return _cardinal(match.group().upper()) or match.group()


def _words_before(match: re.Match[str]) -> tuple[str, str]:
    """The word before the match and the one before that, "" where there is none."""
    before = match.string[max(0, match.start() - 32) : match.start()]
    words = before.split(" ")
    if len(words) < 2 or words[-1]:
        return "", ""
    return words[-2].lstrip("\"'("), words[-3].lstrip("\"'(") if len(words) > 2 else ""


def _is_heading(match: re.Match[str]) -> bool:
    """Whether the numeral is its paragraph, or opens it as in "IV. The Adventure"."""
    text = match.string
    if match.start() > 4 or text[: match.start()].strip(" \"'("):
        return False
    rest = text[match.end() : match.end() + 8]
    return not rest.strip(" .:)\"'") or (
        match.group() not in "CDLM" and _INITIAL_FOLLOWS.match(rest) is not None
    )


def _of(words: Callable[[int], str], written: str) -> str | None:
    value = roman(written)
    return None if value is None else words(value)


def _cardinal(written: str) -> str | None:
    words = _of(cardinal, written)
    return words and words.capitalize()


def _ordinal(written: str) -> str | None:
    words = _of(ordinal, written)
    return words and f"the {words.capitalize()}"


_RULES = (Rule(_NUMERAL, _numeral),)
