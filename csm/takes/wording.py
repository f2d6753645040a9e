"""How far what was heard is from what should have been said, in words.

A recogniser misspells names and hears old words as new ones that sound alike. So words are compared
by their consonants, by what kind of sound they are, before anything is said to be missing or made
up: "hypos" heard as "high posts" is neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from csm.text.normalise import normalise

_WORD = re.compile(r"[^\W_]+")

#: Stretches of words that differ are one where fewer equal words than this part them.
_BRIDGE_WORDS = 2
#: A differing stretch was said and heard otherwise where it sounds this alike, 0..1. Stretches of
#: other sentences seldom reach 0.45.
_SOUNDS_ALIKE = 0.5
#: Words that are said twice at once, at most.
_MOST_DOUBLED = 4

#: Words alone in one of the texts count from so many letters on: small words are lost in hearing.
_LEAST_LETTERS = 4
#: Recognisers write numbers in digits, which are read in more ways than one (835, 8:35): these
#: words may be in one of them alone.
_GLUE = {"and", "point", "oh", "hundred", "thousand", "percent", "dollars", "dollar", "pounds"}
#: And of two numbers nothing is said.
_NUMBERS = _GLUE | set(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
    million first second third fourth fifth""".split()  # noqa: SIM905
)

#: English spelling to kinds of sound: lips, tongue and throat, stops, hisses and nasals apart.
_SPELLED = (
    (re.compile(r"[^a-z]+"), ""),
    (re.compile(r"tch|[cst]h(?=[aeiouy])|ti(?=on)|[gj]|dg"), "J"),
    (re.compile(r"ph|gh(?=$)|[fv]"), "F"),
    (re.compile(r"igh|gh"), "A"),
    (re.compile(r"ck|ch|[kqc](?![eiy])|x"), "K"),
    (re.compile(r"c|[sz]"), "S"),
    (re.compile(r"th|[td]"), "T"),
    (re.compile(r"[pb]"), "P"),
    (re.compile(r"[mn]|ng"), "N"),
    (re.compile(r"[lr]"), "L"),
    (re.compile(r"wh|w|h"), "W"),
    (re.compile(r"[aeiouy]+"), "A"),
    (re.compile(r"(.)\1+"), r"\1"),
)
#: What an edit costs: a vowel and a breath are heard wrong more easily than a consonant.
_WEAK = frozenset("AW")


@dataclass(frozen=True)
class Words:
    """What differs between a text and what was heard.

    Attributes:
        error_rate: substitutions, deletions and insertions a word of the text.
        longest: longest run of words, of either, that have no equal in the other.
        lost: most words in a row that were not heard, nor anything that sounds like them.
        made_up: most words in a row that were heard and are not in the text.
        doubled: words that were heard twice and are once in the text.
        skipped: most words in a row that are missing between words that were heard.
        inserted: most words in a row that were heard between words of the text.
        apart: the most that a stretch of the text differs in sound from what was heard of it, in
            consonants.
    """

    error_rate: float
    longest: int
    lost: int
    made_up: int
    doubled: int
    skipped: int
    inserted: int
    apart: float


def compare(text: str, heard: str) -> Words:
    """Align two texts by words, both read as ``csm.text.normalise`` reads them.

    Args:
        text: what should have been said.
        heard: what a recogniser wrote down; it may write numbers in digits.
    """
    said, written = _words(text), _words(heard)
    errors, pairs = _align(said, written)
    lost = made_up = doubled = longest = skipped = inserted = 0
    apart = 0.0
    for one, two in _differing(pairs, len(said), len(written), 1):
        missing, more = said[one], written[two]
        longest = max(longest, len(missing), len(more))
        if _counts(more) and _is_doubled(written, one, two):
            doubled = max(doubled, len(more))
        if not _is_a_number_read_otherwise(missing, more):
            apart = max(apart, _distance(_sounds(missing), _sounds(more)))
        if not more and _counts(missing):
            skipped = max(skipped, len(missing))
        if not missing and _counts(more):
            inserted = max(inserted, len(more))
    for one, two in _differing(pairs, len(said), len(written), _BRIDGE_WORDS):
        missing, more = said[one], written[two]
        if _is_a_number_read_otherwise(missing, more):
            continue
        if _likeness(_sounds(missing), _sounds(more)) >= _SOUNDS_ALIKE:
            continue
        lost = max(lost, len(missing))
        made_up = max(made_up, len(more))
    return Words(
        errors / max(1, len(said)), longest, lost, made_up, doubled, skipped, inserted, apart
    )


def divergence(text: str, heard: str) -> tuple[float, int]:
    """The word error rate and the longest differing run; see ``Words``."""
    words = compare(text, heard)
    return words.error_rate, words.longest


def _words(text: str) -> list[str]:
    """Lower case, no apostrophes, hyphens as spaces."""
    return _WORD.findall(normalise(text).casefold().replace("'", ""))


def _differing(
    pairs: list[tuple[int, int]], said: int, written: int, bridge: int
) -> Iterator[tuple[slice, slice]]:
    """Stretches of both texts between runs of at least ``bridge`` equal words."""
    kept: list[tuple[int, int]] = []
    run: list[tuple[int, int]] = []
    for pair in [*pairs, (said + bridge, written + bridge)]:
        if run and pair != (run[-1][0] + 1, run[-1][1] + 1):
            if len(run) >= bridge or run[0] == (0, 0) or run[-1] == (said - 1, written - 1):
                kept += run
            run = []
        run.append(pair)
    row = column = 0
    for one, two in [*kept, (said, written)]:
        if one > row or two > column:
            yield slice(row, one), slice(column, two)
        row, column = one + 1, two + 1


def _is_doubled(written: list[str], one: slice, two: slice) -> bool:
    """Whether words were heard that are not in the text and are those before or after them."""
    size = two.stop - two.start
    if one.start != one.stop or not 1 <= size <= _MOST_DOUBLED:
        return False
    again = written[two]
    before, after = written[max(0, two.start - size) : two.start], written[two.stop :][:size]
    return again in (before, after)


def _is_a_number_read_otherwise(missing: list[str], more: list[str]) -> bool:
    if not missing or not more:
        return _GLUE.issuperset(missing + more)
    return _NUMBERS.issuperset(missing + more)


def _counts(words: list[str]) -> bool:
    """Whether words that are in one text alone are more than a slip of the recogniser."""
    return sum(map(len, words)) >= _LEAST_LETTERS and not _GLUE.issuperset(words)


def _sounds(words: list[str]) -> str:
    """Kinds of consonants in their order, and where vowels are."""
    sounds = "".join(words)
    for pattern, kind in _SPELLED:
        sounds = pattern.sub(kind, sounds)
    return sounds


def _likeness(one: str, other: str) -> float:
    """1 for equal strings of sounds, 0 where nothing is alike."""
    whole = max(sum(map(_cost, one)), sum(map(_cost, other)))
    return 1 - _distance(one, other) / whole if one and other else 0.0


def _distance(one: str, other: str) -> float:
    """The least cost of edits from one string of sounds to another."""
    line = [0.0]
    for sound in other:
        line.append(line[-1] + _cost(sound))
    for sound in one:
        above, line = line, [line[0] + _cost(sound)]
        for column, heard in enumerate(other, 1):
            change = 0.0 if sound == heard else max(_cost(sound), _cost(heard))
            left_out, put_in = above[column] + _cost(sound), line[-1] + _cost(heard)
            line.append(min(left_out, put_in, above[column - 1] + change))
    return line[-1]


def _cost(sound: str) -> float:
    return 0.5 if sound in _WEAK else 1.0


def _align(said: list[str], written: list[str]) -> tuple[int, list[tuple[int, int]]]:
    """The fewest edits between two lists, and the pairs of places that are equal in both."""
    table = [list(range(len(written) + 1))]
    for row, word in enumerate(said, 1):
        above, line = table[-1], [row]
        for column, other in enumerate(written, 1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (word != other)))
        table.append(line)
    pairs: list[tuple[int, int]] = []
    row, column = len(said), len(written)
    while row and column:
        cost = table[row][column]
        equal = said[row - 1] == written[column - 1]
        if equal and cost == table[row - 1][column - 1]:
            row, column = row - 1, column - 1
            pairs.append((row, column))
        elif cost == table[row - 1][column - 1] + 1 and not equal:
            row, column = row - 1, column - 1
        elif cost == table[row - 1][column] + 1:
            row -= 1
        else:
            column -= 1
    pairs.reverse()
    return table[-1][-1], pairs
