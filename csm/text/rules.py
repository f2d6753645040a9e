"""What the rules of text normalisation share: how they are applied, and sentence context.

A rule is a compiled pattern and a function from its match to the spoken words. Patterns meet text
that wants to hurt: every repetition in them is bounded or starts at a boundary, so that a rule
takes time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial

from csm.text.traced import Traced, joined
from csm.text.vocabulary import words

#: Before a pattern: not in the middle of a number or a word. After it: neither.
EDGE = r"(?<![\w.,/])"
END = r"(?![\w/]|[.,:][0-9])"
#: Between the two ends of a range.
TO = r" ?[-–—] ?"
#: A number with or without commas between its thousands.
NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,5}|[0-9]{1,18})(?:\.[0-9]{1,18})?"

#: Whose stop ends no sentence where a number follows: "Rs. 500", "1 Cor. 13". Words without a vowel
#: are taken for abbreviations as well.
_BEFORE_NUMBERS = words(
    """
    no nos vol vols p pp fig figs ch chap sec art c ca cf vs v op eq ex ed eds pt pts par para
    app bk bks bd cap col cols def fol ibid int lib lit loc max min misc ms mss n nn est
    approx abt tel ext apt ste rm fl suppl tab tit trans ver approx rs re pl prop prob jan feb
    mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri gen exod lev
    num deut josh judg sam kgs chr chron neh esth ps prov eccl isa jer lam ezek dan hos ob mic
    nah hab zeph hag zech mal matt mk lk jn rom cor gal eph phil col thess tim tit philem heb
    jas pet rev macc mr mrs ms dr st ave blvd rd hwy rt
    """
)
_WORD_BEFORE = re.compile(r"([^\W\d_]{1,12})\.\Z")
_VOWEL = re.compile(r"[aeiouyAEIOUY]")

# What follows a full stop that belongs to an abbreviation and still ends the sentence.
_SENTENCE_FOLLOWS = re.compile(r"['\")\]]{0,3}(?:\s*$|\s+['\"(]{0,2}[A-Z]|[A-Z][a-z])")
# Capitals that are more likely to go on with the sentence than to start one.
_SENTENCE_GOES_ON = re.compile(
    r"\s(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|January|February|March|April|June|July"
    r"|August|September|October|November|December|[ECMP][SD]?T|GMT|UTC|I)\b"
)
_OPENER_FOLLOWS = re.compile(
    r"['\")\]]{0,3}(?:\s*$|\s+['\"(]{0,2}(?:He|She|It|They|We|You|The|A|An|But|And|In|On|At|When|Then"
    r"|There|This|That|These|His|Her|Its|Their|My|Our|If|After|For|So|No|Yes|What|Who|Why|How|As)\b)"
)


DIGITS = re.compile(r"[0-9]+")
#: Patterns that start with a digit, in or out of groups, which no digit goes before.
_AT_A_NUMBER = re.compile(
    r"(?:\(\?<!\[\\w[^\]]*\]\)|\(\?<!\[0-9[^\]]*\]\))(?:\((?:\?P<\w+>|\?:)?)*+(?:\[(?:0-9|1-9|12|01|0-3)\]|1\?\[0-9\])"
)


@dataclass(frozen=True)
class Rule:
    """One way of writing and its spoken form.

    Attributes:
        pattern: the way of writing.
        spoken: from its match to the words.
        needs: one of these is in all that the pattern matches, and most text has none of them:
            looking for them takes a hundredth of the pattern's time. Empty: always tried.
    """

    pattern: re.Pattern[str]
    spoken: Callable[[re.Match[str]], str]
    needs: tuple[str, ...] = ()

    @cached_property
    def starts(self) -> re.Pattern[str] | None:
        """``DIGITS`` where a match always starts with a number: there it is looked for at once."""
        return DIGITS if _AT_A_NUMBER.match(self.pattern.pattern) else None

    @cached_property
    def first(self) -> frozenset[str]:
        """The first characters of what it needs."""
        return frozenset(need[0] for need in self.needs)


def apply(rules: Iterable[Rule], text: Traced) -> Traced:
    """Apply each rule over the whole of ``text`` in turn.

    The words get a capital where they open a sentence, so that the sentence is found later.
    """
    written, there = text.text, frozenset(text.text)
    for rule in rules:
        if rule.needs:
            if rule.first.isdisjoint(there):
                continue
            for need in rule.needs:
                if need in written:
                    break
            else:
                continue
        text = text.sub(rule.pattern, partial(_in_place, rule.spoken), rule.starts)
        if text.text is not written:
            written, there = text.text, frozenset(text.text)
    return text


#: Nothing that a rule for numbers matches or looks at is further from a digit than this.
_REACH = 60


def apply_near_digits(rules: Iterable[Rule], text: Traced) -> Traced:
    """``apply``, but only around the digits of ``text``, of which most prose has few."""
    stretches: list[tuple[int, int]] = []
    for digits in DIGITS.finditer(text.text):
        start, end = max(0, digits.start() - _REACH), min(len(text), digits.end() + _REACH)
        if stretches and start <= stretches[-1][1]:
            start = stretches.pop()[0]
        stretches.append((start, end))
    if not stretches:
        return text
    rules = tuple(rules)
    parts: list[Traced] = []
    done = 0
    for start, end in stretches:
        parts += (text.part(done, start), apply(rules, text.part(start, end)))
        done = end
    parts.append(text.part(done, len(text)))
    return joined([part for part in parts if part.text], "")


def _in_place(spoken: Callable[[re.Match[str]], str], match: re.Match[str]) -> str:
    words = spoken(match)
    if words and words[0].islower() and words != match.group() and opens_sentence(match):
        return words[0].upper() + words[1:]
    return words


def opens_sentence(match: re.Match[str]) -> bool:
    """Whether the match stands at the start of its paragraph or after a full stop."""
    before = match.string[max(0, match.start() - 4) : match.start()].rstrip(" \"'(")
    if not before:
        return match.start() <= 4
    if before[-1] not in ".!?" or match.string[match.start() - 1] not in " \"'(":
        return False
    return before[-1] != "." or not _abbreviated(match)


def _abbreviated(match: re.Match[str]) -> bool:
    """Whether the stop before the match is an abbreviation's."""
    start = match.start()
    before = match.string[max(0, start - 16) : start].rstrip(" \"'(")
    word = _WORD_BEFORE.search(before)
    if word is None:
        return False
    return word[1].lower() in _BEFORE_NUMBERS or (
        len(word[1]) < 5 and not _VOWEL.search(word[1]) and not word[1].isupper()
    )


def closing_dot(match: re.Match[str]) -> str:
    """The full stop that an abbreviation's own stop stands for as well: ``"."`` or ``""``.

    "He came at 5 p.m. Then he left." ends a sentence there; "5 p.m. on Friday" does not.
    """
    if not match.group().endswith("."):
        return ""
    after = match.string[match.end() : match.end() + 16]
    if _SENTENCE_FOLLOWS.match(after) and not _SENTENCE_GOES_ON.match(after):
        return "."
    return ""


def closing_dot_before_opener(match: re.Match[str]) -> str:
    """As ``closing_dot``, for abbreviations that a name often follows: "U.S. Army", "J. Smith".

    Only the end of the paragraph and a usual first word of a sentence count here.
    """
    if not match.group().endswith("."):
        return ""
    return "." if _OPENER_FOLLOWS.match(match.string[match.end() : match.end() + 16]) else ""


_ARTICLE = re.compile(r"(?:\A|[\s\"'(])([Aa]n?|[Aa]nother|[Ee]very|[Oo]ne)(?: [a-z]{2,12})? \Z")
_DETERMINER = re.compile(
    r"(?:\A|[\s\"'(])(?:[Tt]he|[Tt]h[ai][ts]|[Hh]is|[Hh]er|[Ii]ts|[Tt]heir|[MmOo][yu]r?|[Yy]our)"
    r"(?: [a-z]{2,12})? \Z"
)
_NEXT_WORD = re.compile(r" ([A-Za-z]{2,20})(?![\w'])(?: ([a-z]{2,20})(?![\w']))?")
#: "a $2 million, 12-room house"
_ANOTHER_ADJECTIVE = re.compile(r", [0-9a-z]{1,12}-[a-z]{2,20}(?:-[a-z]{2,20})? [a-z]{3,20}")
#: What goes on after an amount that stands for itself.
_NO_NOUN = words(
    """
    of in on to and or for from at by with an per each is was were are he she it they we you
    that this than more less as but if when while because until after before every apiece off
    over under worth back not so too only will would had has have went came cost extra ago now
    then today richer poorer short left total here there who which into out up down between
    about around through plus minus nor yet instead could can should might may must does did
    do away long high wide tall deep thick old later earlier north south east west above below
    across apart square or in
    """
)
#: Nouns that an amount describes even after "the" or nothing.
_DESCRIBED = words(
    """
    bill note coin question fee fine prize ticket house loan budget deal project reward
    contract check cheque investment bet grant plan bonus fraud lawsuit settlement fund gift
    menu meal stamp debt estate mansion home car programme program mark turn angle film lens
    bag bottle box race walk run swim chance discount increase rise drop cut raise share stake
    suit dress watch coat shirt hat ring painting phone bike bicycle sofa dinner lunch salary
    pension wage job fare bailout film movie ship yacht plane jet bridge stadium factory plant
    headquarters campaign lottery jackpot scheme industry company business venture acquisition
    merger takeover bond mortgage rent subsidy package portfolio windfall necklace piano violin
    camera laptop computer telescope machine engine relay hurdles sprint dash freestyle
    """
)
_PAIRS = words("shoes boots gloves jeans trousers glasses earrings sandals trainers sunglasses")
#: The same in the plural: "two $20 bills".
_DESCRIBED_MANY = frozenset(
    f"{noun}s"
    for noun in _DESCRIBED
    - words("cut raise drop rise increase share stake run walk turn mark swim race plant film ship")
)


def describes(match: re.Match[str]) -> bool:
    """Whether an amount describes a noun and stays singular: "a $5 million house", "a 90° turn"."""
    if _ANOTHER_ADJECTIVE.match(match.string, match.end()):
        before = match.string[max(0, match.start() - 24) : match.start()]
        return _ARTICLE.search(before) is not None
    following = _NEXT_WORD.match(match.string, match.end())
    if following is None or following[1].lower() in _NO_NOUN:
        return False
    noun = following[1].lower()
    before = match.string[max(0, match.start() - 24) : match.start()]
    if _ARTICLE.search(before):
        return True
    if noun in _DESCRIBED_MANY or noun in _PAIRS:
        return True
    if following[2] in _DESCRIBED and _DETERMINER.search(before):
        # The $700 billion rescue plan.
        return True
    return noun in _DESCRIBED and (_DETERMINER.search(before) is not None or noun != "cut")
