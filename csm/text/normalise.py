"""Written English to spoken English: the order in which the rules meet a text."""

from __future__ import annotations

import html
import re

from csm.text.characters import clean
from csm.text.number_rules import speak_numbers
from csm.text.paragraphs import paragraphs
from csm.text.punctuation import tidy
from csm.text.roman_numerals import speak_roman_numerals
from csm.text.word_rules import speak_abbreviations, speak_addresses, speak_symbols

#: Longer words are nonsense or an attack; they are split so that the voice does not run away.
LONGEST_WORD = 45
_PIECE = 30
#: Rounds of the rules over a paragraph; two are enough for nearly all.
_MOST_ROUNDS = 6

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,8});")
_TAG = re.compile(
    r"</?(?:p|br|b|i|em|strong|u|span|div|h[1-6]|ul|ol|li|a|sup|sub)\b[^<>\n]{0,200}>"
)
_FOOTNOTE = re.compile(r"\[(?:[0-9]{1,3}|[ivx]{1,5}|\*|citation needed)\]|(?<=\w)\*{1,3}(?!\w)")
_EDITED_LETTERS = re.compile(r"\[([^\W\d_]{1,3})\](?=[^\W\d_])|(?<=[^\W\d_])\[([^\W\d_]{1,4})\]")
_DASHES = re.compile(r"-{2,}")
_RULERS = re.compile(r"([=+*#~_^%&@<>/\\|])\1{2,}")
_LONG_WORD = re.compile(rf"[^\W\d_]{{{LONGEST_WORD + 1},}}")
_SHOUTED = re.compile(r"\b[A-Z]{2,}(?:'S)?(?: [A-Z]+(?:'S)?)+(?![\w'])|\b[A-Z]{5,}\b")
_CAPITALS = re.compile(r"[A-Z]{4}")
_ACRONYMS = frozenset(("NASA", "NATO", "UNESCO", "UNICEF", "USSR", "OPEC", "AIDS", "RADAR"))


def normalise(text: str) -> str:
    """``text`` as a reader says it: words and plain punctuation, paragraphs parted by blank lines.

    Numbers, dates, times, money, units, abbreviations, Roman numerals, addresses and symbols are in
    words; control characters, emoji, markup and footnote marks are gone; quotes are straight.
    Takes any string and raises nothing; normalising again changes nothing.
    """
    text = _RULERS.sub(" ", _DASHES.sub("—", clean(_unmarked(text))))
    spoken = (_paragraph(paragraph) for paragraph in paragraphs(text))
    return "\n\n".join(paragraph for paragraph in spoken if paragraph)


def _unmarked(text: str) -> str:
    """Without HTML, which catalogues often hold by mistake."""
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match.group()), text)
    return _TAG.sub(" ", text) if "<" in text else text


def _paragraph(text: str) -> str:
    """Apply the rules until nothing changes: words of one can bring another's marks together.

    A paragraph without anything to say differently, which is most of prose, takes one round.
    """
    for _ in range(_MOST_ROUNDS):
        before, text = text, _one_round(text)
        if text == before:
            break
    return text


def _one_round(text: str) -> str:
    if "[" in text or "*" in text:
        text = _EDITED_LETTERS.sub(lambda match: match[1] or match[2], _FOOTNOTE.sub("", text))
    text = speak_addresses(text)
    text = speak_abbreviations(text)
    text = speak_roman_numerals(text)
    text = speak_numbers(text)
    text = speak_symbols(text)
    if _CAPITALS.search(text):
        text = _SHOUTED.sub(_unshouted, text)
    text = tidy(text)
    return _LONG_WORD.sub(_in_pieces, text) if _has_long_word(text) else text


def _unshouted(match: re.Match[str]) -> str:
    """Headings and shouts in capitals, which voices tend to spell: "CHAPTER ONE"."""
    words = match.group().split(" ")
    if not any(len(word) >= 4 and word not in _ACRONYMS for word in words):
        return match.group()
    return " ".join(word if word in _ACRONYMS else word.capitalize() for word in words)


def _has_long_word(text: str) -> bool:
    return max(map(len, text.split(" "))) > LONGEST_WORD


def _in_pieces(match: re.Match[str]) -> str:
    word = match.group()
    return " ".join(word[start : start + _PIECE] for start in range(0, len(word), _PIECE))
