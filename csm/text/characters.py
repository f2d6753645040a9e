"""Any Unicode string to the small alphabet that the later text rules know.

What comes out is letters of any script, ASCII digits, superscript 2 and 3, ASCII punctuation, a few
symbols that have a spoken form, the em and en dash, the bullet, spaces and newlines. Everything
else (control characters, bidirectional overrides, zero-width characters, emoji, private use, lone
surrogates) is gone.
"""

from __future__ import annotations

import re
import unicodedata

#: Characters that pass unchanged besides letters, digits and newlines: later rules speak or drop
#: each of them.
_KEPT = frozenset(" \n.,;:!?'\"()[]{}<>-–—•&@#+=%°§¶©×÷±≠≤≥√∞$£€¥¢₹/\\_*~^|²³")

_MAPPED = {
    **dict.fromkeys("‘’‚‛′ʼ`´＇", "'"),
    **dict.fromkeys("“”„‟″«»‹›「」『』〝〞〟＂", '"'),
    **dict.fromkeys("‐‑−﹣", "-"),
    **dict.fromkeys("―⸺⸻﹘", "—"),
    "‒": "–",
    **dict.fromkeys("‣◦▪▸●■⁃", "•"),
    "\t": " ",
    "\x0b": "\n",
    "\x0c": "\n\n",
    "\x85": "\n",
    "\u2028": "\n",
    "\u2029": "\n\n",
    "…": "...",
    "‥": "...",
    "⋯": "...",
    **dict.fromkeys("。．।॥۔", ". "),
    **dict.fromkeys("、，،", ", "),
    **dict.fromkeys("；؛", "; "),
    **dict.fromkeys("：", ": "),
    **dict.fromkeys("？؟", "? "),
    "！": "! ",
    "‽": "?!",
    "⁄": "/",
    "∕": "/",
    "·": " ",
    "℃": "°C",
    "℉": "°F",
    "№": "No. ",
    "⟨": "<",
    "⟩": ">",
    "⋅": "×",
    "≈": "~",
    # A mark of ownership or of a footnote is not read aloud.
    **dict.fromkeys("®™℠†‡¹⁰⁴⁵⁶⁷⁸⁹ªº¿¡", ""),
}

# Marks that a Latin, Greek or Cyrillic letter could not be composed with, and variation selectors:
# the letter under them is what is read.
_LOOSE_MARKS = (
    range(0x0300, 0x0370),
    range(0x0483, 0x048A),
    range(0x1AB0, 0x1B00),
    range(0x1DC0, 0x1E00),
    range(0x20D0, 0x2100),
    range(0xFE00, 0xFE30),
    range(0xE0100, 0xE01F0),
)

_NEWLINE = re.compile(r"\r\n?")


def _letter(character: str) -> str:
    """A letter or letter-like number in its plain form (``ﬁ`` to fi, ``Ⅳ`` to IV, ``Ａ`` to A)."""
    plain = unicodedata.normalize("NFKC", character)
    if plain == character:
        return character
    return "".join(part if part.isalpha() else _substitute(part) for part in plain)


def _number(character: str) -> str:
    """Subscripts, circled and vulgar-fraction numbers by their compatibility form."""
    plain = unicodedata.normalize("NFKC", character).replace("⁄", "/")
    if not plain.isascii():
        return " "
    return f" {plain}" if "/" in plain else plain


def _substitute(character: str) -> str:
    """What one character becomes, in at most a few characters."""
    if character in _KEPT:
        return character
    if character in _MAPPED:
        return _MAPPED[character]
    category = unicodedata.category(character)
    if category in ("Nl",) or category[0] == "L":
        return _letter(character)
    if category == "Nd":
        return str(unicodedata.digit(character))
    if category == "No":
        return _number(character)
    if category[0] == "M":
        return "" if any(ord(character) in marks for marks in _LOOSE_MARKS) else character
    if category[0] == "C":
        return ""
    return " "


class _Table(dict[int, str]):
    """For ``str.translate``: works a character out once and remembers those of the first plane."""

    def __missing__(self, code: int) -> str:
        result = _substitute(chr(code))
        # The rest of Unicode is rare in real text and must not grow this for ever in hostile text.
        if code < 0x10000:
            self[code] = result
        return result


_TABLE = _Table()


def clean(text: str) -> str:
    """Map ``text`` to the alphabet above, composed (NFC); never raises."""
    text = _NEWLINE.sub("\n", text)
    if text.isascii():
        return text.translate(_TABLE)
    composed = unicodedata.normalize("NFC", text).translate(_TABLE)
    # Dropping a zero-width character can bring a letter and its mark together.
    return unicodedata.normalize("NFC", composed)


def latin_share(text: str) -> float:
    """The share of Latin letters among all letters of ``text``, 0..1; 1.0 when it has none.

    The speech model knows English: text with a low share comes out as noise and deserves a warning.
    """
    latin = letters = 0
    for character in text:
        if character.isalpha():
            letters += 1
            if character.isascii() or unicodedata.name(character, "").startswith("LATIN"):
                latin += 1
    return latin / letters if letters else 1.0
