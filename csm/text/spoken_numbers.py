"""Numbers as an English reader says them; every function takes values, none reads text.

Cardinals and ordinals come from num2words; years, digits and Roman numerals are ours.
"""

from __future__ import annotations

import re
from functools import lru_cache

from num2words import num2words

#: Longer numbers are read digit by digit: nobody can follow "quintillion".
LONGEST_CARDINAL = 15

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_FRACTIONS = {2: "half", 4: "quarter"}
_ROMAN = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


@lru_cache(maxsize=65536)
def cardinal(value: int) -> str:
    """``1234`` to "one thousand two hundred and thirty-four"."""
    return str(num2words(value)).replace(",", "")


@lru_cache(maxsize=65536)
def ordinal(value: int) -> str:
    """``23`` to "twenty-third"."""
    return str(num2words(value, to="ordinal")).replace(",", "")


def digits(written: str) -> str:
    """``"555"`` to "five five five"; anything but the ASCII digits is skipped."""
    return " ".join(_DIGITS[ord(digit) - 48] for digit in written if "0" <= digit <= "9")


def whole(written: str) -> str:
    """A written whole number, with or without thousands separators, as its cardinal.

    Leading zeros (007) and numbers too long to follow are read digit by digit.
    """
    plain = written.replace(",", "")
    if len(plain) > LONGEST_CARDINAL or (len(plain) > 1 and plain[0] == "0"):
        return digits(plain)
    return cardinal(int(plain))


def decimal(written: str) -> str:
    """``"3.14"`` to "three point one four", ``".5"`` to "point five", ``"7"`` to "seven"."""
    before, dot, after = written.partition(".")
    spoken = whole(before) if before.strip(",") else ""
    if not dot:
        return spoken
    return f"{spoken} point {digits(after)}".strip()


def year(value: int) -> str:
    """A year 0..9999: 1905 is "nineteen oh five", 2007 "two thousand and seven"."""
    century, rest = divmod(value, 100)
    if value < 1000 or (century % 10 == 0 and rest < 10):
        return cardinal(value)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    if rest < 10:
        return f"{cardinal(century)} oh {cardinal(rest)}"
    return f"{cardinal(century)} {cardinal(rest)}"


def short_year(written: str) -> str:
    """A year's two last figures: ``"76"`` to "seventy-six", ``"05"`` to "oh five"."""
    return f"oh {cardinal(int(written))}" if written[0] == "0" else cardinal(int(written))


def month(written: str) -> str:
    """The month whose name or abbreviation is ``written``: "Sept." to "September"."""
    return next(name for name in MONTHS if name.startswith(written[:3]))


def fraction(number: str | None, top: str, bottom: str) -> str:
    """``(None, "3", "4")`` to "three quarters", ``("2", "1", "2")`` to "two and a half"."""
    above, below = int(top), int(bottom)
    if not 0 < above < below:
        words = f"{whole(top)} over {whole(bottom)}"
        return f"{whole(number)} {words}" if number else words
    name = _FRACTIONS.get(below) or ordinal(below)
    if above > 1:
        name = "halves" if below == 2 else f"{name}s"
    if not number:
        return f"{cardinal(above)} {name}"
    return f"{whole(number)} and {'a' if above == 1 else cardinal(above)} {name}"


def plural(words: str) -> str:
    """The plural of a spoken number: "nineties", "hundreds", "sixes"."""
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith("x") else "s")


def roman(written: str) -> int | None:
    """The value of a well-formed Roman numeral below 4000 in capitals, else None."""
    if not written or len(written) > 15 or not _ROMAN.fullmatch(written):
        return None
    total = previous = 0
    for value in map(_ROMAN_VALUES.__getitem__, reversed(written)):
        total += value if value >= previous else -value
        previous = max(previous, value)
    return total
