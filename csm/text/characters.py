"""Any Unicode string to the small alphabet that the later text rules know.

What comes out is letters of any script, ASCII digits, superscript digits and signs, ASCII
punctuation, the symbols that have a spoken form, the em and en dash, the minus, the bullet, spaces
and newlines. Everything else (control characters, bidirectional overrides, zero-width characters,
emoji, private use, lone surrogates) is gone.
"""

from __future__ import annotations

import re
import unicodedata

from csm.text.traced import Traced

#: Superscripts, which are powers after a number and footnotes after a word.
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"
#: Signs of currencies that have a name in ``money_rules``.
CURRENCY_SIGNS = "$£€¥¢₹₩₽₺₪₿₦₱₫₴₡฿₵₸₾"

#: Characters that pass unchanged besides letters, digits and newlines: later rules speak or drop
#: each of them.
_KEPT = frozenset(
    " \n.,;:!?'\"()[]{}<>-–—−•&@#+=%‰°§¶©×÷±≠≤≥√∞/\\_*~^|`" + CURRENCY_SIGNS + SUPERSCRIPTS
)

_MAPPED = {
    **dict.fromkeys("‘’‚‛′ʼ´＇", "'"),
    **dict.fromkeys("“”„‟″«»‹›「」『』〝〞〟＂", '"'),
    **dict.fromkeys("‐‑﹣", "-"),
    **dict.fromkeys("―⸺⸻﹘", "—"),
    "‒": "–",
    **dict.fromkeys("‣◦▪▸●■⁃∙✓✔✗✘☐☑☒➢➤►", "•"),
    # Ornaments, which stand between scenes.
    **dict.fromkeys("⁂⁎⁕∗✱❦❧☙✦✧✶★☆❖◆◇□○✻✽✿❀※✥✢✣✤※", "*"),
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
    "₨": "Rs ",
    "⟨": "<",
    "⟩": ">",
    "⋅": "×",
    "≈": "~",
    "♯": "#",
    # A mark of ownership or of a footnote is not read aloud.
    **dict.fromkeys("®™℠†‡ªº¿¡", ""),
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
#: A hyphen that shows only where its line ends, at the end of a line.
_SOFT_LINE_END = re.compile(r"[\u00ad¬] *\r?\n *(?=\w)")
#: "Nº 5" and "n° 5" are numbers, and a raised n behind a single letter or a number is a power.
_NUMBER_SIGN = re.compile(r"(?<!\w)[Nn][º°]\.? ?(?=[0-9])")
_TO_THE_N = re.compile(r"(?<=[A-Za-z0-9])ⁿ(?!\w)")
#: A dot between two numbers or two letters of a formula; stars of a hotel; B♭ and F♯.
_TIMES_DOT = re.compile(r"(?<=[0-9])·(?=[0-9])|(?<=\b[a-z])·(?=[a-z]\b)")
_STARS = re.compile(r"(?<=[0-9]) ?★")
_FLAT = re.compile(r"(?<=\b[A-G])♭")
_DEGREES = re.compile(r"º(?= ?[CF]\b)")
_WORD = re.compile(r"\S+")
_UNPLAIN = re.compile(r"[^ -~\n]")
_LETTER_NAME = re.compile(
    r"(?:LATIN LETTER SMALL CAPITAL|NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL LETTER) ([A-Z])"
)


def _letter(character: str) -> str:
    """A letter or letter-like number in its plain form (``ﬁ`` to fi, ``Ⅳ`` to IV, ``Ａ`` to A)."""
    plain = unicodedata.normalize("NFKC", character)
    if plain == character:
        small = _LETTER_NAME.fullmatch(unicodedata.name(character, ""))
        return small[1].lower() if small else character
    return "".join(part if part.isalpha() else _substitute(part) for part in plain)


def _number(character: str) -> str:
    """Subscripts, circled and vulgar-fraction numbers by their compatibility form."""
    plain = unicodedata.normalize("NFKC", character).replace("⁄", "/")
    if not plain.isascii():
        return " "
    return f" {plain}" if "/" in plain else plain


def _symbol(character: str) -> str:
    """Letters in a circle or a square, and units in one character; of other symbols nothing."""
    plain = unicodedata.normalize("NFKC", character)
    if plain != character and plain.isascii() and plain.isalnum():
        return plain
    enclosed = _LETTER_NAME.fullmatch(unicodedata.name(character, ""))
    return enclosed[1] if enclosed else " "


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
    if category == "So":
        return _symbol(character)
    if category[0] == "M":
        return "" if any(ord(character) in marks for marks in _LOOSE_MARKS) else character
    if category[0] == "C":
        return ""
    return " "


class _Table(dict[int, str]):
    """Works a character out once and remembers those of the first plane."""

    def __missing__(self, code: int) -> str:
        result = _substitute(chr(code))
        # The rest of Unicode is rare in real text and must not grow this for ever in hostile text.
        if code < 0x10000:
            self[code] = result
        return result


class _EvenTable(_Table):
    """For ``str.translate``: only what one character takes the place of."""

    def __missing__(self, code: int) -> str:
        result = _TABLE[code]
        even = result if len(result) == 1 else chr(code)
        if code < 0x10000:
            self[code] = even
        return even


_TABLE = _Table()
_EVEN_TABLE = _EvenTable()


def clean(text: Traced) -> Traced:
    """Map ``text`` to the alphabet above, composed (NFC); never raises."""
    if "\u00ad" in text.text or "¬" in text.text:
        text = text.sub(_SOFT_LINE_END, "")
    if "\r" in text.text:
        text = text.sub(_NEWLINE, "\n")
    if not text.text.isascii():
        text = _composed(text)
        if "º" in text.text:
            text = text.sub(_DEGREES, "°")
        if "·" in text.text:
            text = text.sub(_TIMES_DOT, "×")
        if "★" in text.text:
            text = text.sub(_STARS, " star")
        if "♭" in text.text:
            text = text.sub(_FLAT, " flat")
        if "º" in text.text or "°" in text.text:
            text = text.sub(_NUMBER_SIGN, "No. ")
        if "ⁿ" in text.text:
            text = text.sub(_TO_THE_N, "^n")
    text = text.translated(_EVEN_TABLE)
    text = text.sub(_UNPLAIN, lambda match: _TABLE[ord(match.group())])
    # Dropping a zero-width character can bring a letter and its mark together.
    return text if text.text.isascii() else _composed(text)


def _composed(text: Traced) -> Traced:
    if unicodedata.is_normalized("NFC", text.text):
        return text
    return text.sub(_WORD, lambda match: unicodedata.normalize("NFC", match.group()))


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
