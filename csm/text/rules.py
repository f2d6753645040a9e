"""What the rules of text normalisation share: how they are applied, and sentence context.

A rule is a compiled pattern and a function from its match to the spoken words. Patterns meet text
that wants to hurt: every repetition in them is bounded or starts at a boundary, so that a rule
takes time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

#: Before a pattern: not in the middle of a number or a word. After it: neither.
EDGE = r"(?<![\w.,/])"
END = r"(?![\w/]|[.,:][0-9])"
#: Between the two ends of a range.
TO = r" ?[-–—] ?"

# What follows a full stop that belongs to an abbreviation and still ends the sentence.
_SENTENCE_FOLLOWS = re.compile(r"['\")\]]{0,3}(?:\s*$|\s+['\"(]{0,2}[A-Z])")
# Capitals that are more likely to go on with the sentence than to start one.
_SENTENCE_GOES_ON = re.compile(
    r"\s(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|January|February|March|April|June|July"
    r"|August|September|October|November|December|[ECMP][SD]?T|GMT|UTC|I)\b"
)
_OPENER_FOLLOWS = re.compile(
    r"['\")\]]{0,3}(?:\s*$|\s+['\"(]{0,2}(?:He|She|It|They|We|You|The|A|An|But|And|In|On|At|When|Then"
    r"|There|This|That|These|His|Her|Its|Their|My|Our|If|After|For|So|No|Yes|What|Who|Why|How|As)\b)"
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


def apply(rules: Iterable[Rule], text: str) -> str:
    """Apply each rule over the whole of ``text`` in turn.

    The words get a capital where they open a sentence, so that the sentence is found later.
    """
    for rule in rules:
        if not rule.needs or any(need in text for need in rule.needs):
            text = rule.pattern.sub(partial(_in_place, rule.spoken), text)
    return text


def _in_place(spoken: Callable[[re.Match[str]], str], match: re.Match[str]) -> str:
    words = spoken(match)
    if words and words[0].islower() and opens_sentence(match):
        return words[0].upper() + words[1:]
    return words


def opens_sentence(match: re.Match[str]) -> bool:
    """Whether the match stands at the start of its paragraph or after a full stop."""
    before = match.string[max(0, match.start() - 4) : match.start()].rstrip(" \"'(")
    if before:
        return before[-1] in ".!?" and match.string[match.start() - 1] in " \"'("
    return match.start() <= 4


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
