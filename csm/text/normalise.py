"""Written English to spoken English: the order in which the rules meet a text."""

from __future__ import annotations

import re
from dataclasses import replace

from csm.text.abbreviation_rules import speak_abbreviations
from csm.text.address_rules import speak_addresses
from csm.text.capitals import quieted
from csm.text.characters import clean
from csm.text.editorial import whole_words, without_brackets, without_notes, without_smileys
from csm.text.html_marks import entities, read_html
from csm.text.layout import Block, Kind, blocks
from csm.text.lexicon import EMPTY, Lexicon
from csm.text.markdown_marks import read_markdown
from csm.text.number_rules import speak_numbers
from csm.text.punctuation import tidy
from csm.text.roman_numerals import speak_roman_numerals
from csm.text.scripture_rules import speak_scripture
from csm.text.symbol_rules import speak_symbols
from csm.text.traced import Traced

#: Longer words are nonsense or an attack; they are split so that the voice does not run away.
LONGEST_WORD = 45
_PIECE = 30
#: Rounds of the rules over a paragraph; two are enough for nearly all.
_MOST_ROUNDS = 6

_DASHES = re.compile(r"-{2,}")
_RULERS = re.compile(r"([=+*#~_^%&@<>/\\|])\1{2,}")
_TEX_QUOTES = re.compile(r"``|''(?=[\s.,;:!?]|$)")
_LONG_WORD = re.compile(rf"[^\W\d_]{{{LONGEST_WORD + 1},}}")


def normalise(text: str) -> str:
    """``text`` as a reader says it: words and plain punctuation, paragraphs parted by blank lines.

    Numbers, dates, times, money, units, abbreviations, Roman numerals, addresses and symbols are in
    words; control characters, emoji, markup and footnote marks are gone; quotes are straight.
    Takes any string and raises nothing; normalising again changes nothing.
    """
    return "\n\n".join(block.text.text for block in spoken_blocks(text) if block.text.text)


def spoken_blocks(text: str | Traced, lexicon: Lexicon = EMPTY) -> list[Block]:
    """The paragraphs, headings and items of ``text`` as a reader says them.

    Their texts know where they stood in ``text``. Breaks between scenes are among them, empty.

    Args:
        text: any; one that was rewritten before gives places in its original.
        lexicon: what is read in the place of names and rare words; what it gives is then read as
            any other text.
    """
    cleaned = clean(entities(text if isinstance(text, Traced) else Traced(text)))
    cleaned = read_markdown(read_html(cleaned))
    cleaned = cleaned.sub(_DASHES, "—").sub(_RULERS, " ")
    if "`" in cleaned.text:
        cleaned = cleaned.sub(_TEX_QUOTES, '"').translated({ord("`"): "'"})
    return [
        replace(
            block,
            text=_spoken(lexicon.applied(block.text)),
            title=block.text.text if block.kind is Kind.HEADING else "",
        )
        for block in blocks(cleaned)
    ]


def _spoken(text: Traced) -> Traced:
    """Apply the rules until nothing changes: words of one can bring another's marks together.

    A paragraph without anything to say differently, which is most of prose, takes one round.
    """
    if not text.text:
        return text
    for _ in range(_MOST_ROUNDS):
        before, text = text.text, _one_round(text)
        if text.text == before:
            break
    return text


def _one_round(text: Traced) -> Traced:
    text = whole_words(without_smileys(text))
    text = without_brackets(without_notes(text))
    text = quieted(text)
    text = speak_addresses(text)
    text = speak_scripture(text)
    text = speak_abbreviations(text)
    text = speak_roman_numerals(text)
    text = speak_numbers(text)
    text = speak_symbols(text)
    text = tidy(text)
    if not _has_long_word(text.text):
        return text
    return text.sub(_LONG_WORD, lambda match: _in_pieces(match.group()))


def _has_long_word(text: str) -> bool:
    return max(map(len, text.split(" "))) > LONGEST_WORD


def _in_pieces(word: str) -> str:
    return " ".join(word[start : start + _PIECE] for start in range(0, len(word), _PIECE))
