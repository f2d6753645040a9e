"""Everything written with digits in words: the order of its rules, and what is left for the end.

Codes come before dates, dates before money, money before measures and formulas; then years,
ranges, ordinals and fractions, and at last the plain number.
"""

from __future__ import annotations

import re

from csm.text.abbreviation_rules import LABEL_RULES
from csm.text.code_rules import CODE_RULES
from csm.text.date_rules import DATE_RULES
from csm.text.math_rules import FORMULA_RULES, POWER_RULES
from csm.text.money_rules import GROUPING_RULES, MONEY_RULES
from csm.text.rules import EDGE, END, NUMBER, TO, Rule, apply, apply_near_digits, closing_dot
from csm.text.spoken_numbers import (
    cardinal,
    decimal,
    fraction,
    ordinal,
    plural,
    short_year,
    whole,
    year,
)
from csm.text.traced import Traced
from csm.text.unit_rules import UNIT_RULES

_DIGIT = re.compile(r"[0-9]")
_SIDE_BY_SIDE = {("24", "7"), ("9", "11"), ("20", "20"), ("50", "50")}
_SCALES = {"k": "thousand", "m": "million", "bn": "billion", "b": "billion", "tn": "trillion"}


def _ratio(match: re.Match[str]) -> str:
    return f"{whole(match[1])} to {whole(match[2])}"


def _scaled(match: re.Match[str]) -> str:
    spoken = decimal(match["amount"])
    if match["upto"]:
        spoken += f" to {decimal(match['upto'])}"
    return f"{spoken} {_SCALES[match['scale'].lower()]}"


def _decade(match: re.Match[str]) -> str:
    value = int(match["value"])
    return plural(year(value) if value >= 100 else cardinal(value))


def _range(match: re.Match[str]) -> str:
    first, last = match[1], match[2]
    if len(first) == 4 and first[0] == "1" and len(last) == 1 and last > first[3]:
        # 1861-5
        return f"{year(int(first))} to {short_year(first[2] + last)}"
    if len(first) == 4 and first[0] in "12" and len(last) in (2, 4):
        end = year(int(last)) if len(last) == 4 else short_year(last)
        return f"{year(int(first))} to {end}"
    return f"{decimal(first)} to {decimal(last)}"


def _season(match: re.Match[str]) -> str:
    first, last = match[1], match[2]
    if int(last) <= int(first[2:]) and first[2:] != "99":
        return match.group()
    return f"{year(int(first))} to {short_year(last)}"


def _row(match: re.Match[str]) -> str:
    """Numbers side by side: 4-4-2."""
    return " ".join(whole(part) for part in match.group().split("-"))


def _ordinal(match: re.Match[str]) -> str:
    return ordinal(int(match[1].replace(",", "")))


def _fraction(match: re.Match[str]) -> str:
    number, top, bottom = match["whole"], match["top"], match["bottom"]
    if not number and (top, bottom) in _SIDE_BY_SIDE:
        return f"{cardinal(int(top))} {cardinal(int(bottom))}"
    return fraction(number, top, bottom)


def _era(match: re.Match[str]) -> str:
    letters = " ".join(match["era"].replace(".", "").replace(" ", ""))
    spoken = " to ".join(_year_or_whole(one) for one in re.findall(r"[0-9,]+", match["value"]))
    return f"{spoken} {letters}{closing_dot(match)}"


def _year_or_whole(written: str) -> str:
    number = written.replace(",", "")
    return year(int(number)) if len(number) == 4 else whole(number)


def _spaced(match: re.Match[str]) -> str:
    return decimal(match.group().replace(" ", ""))


def _plain(match: re.Match[str]) -> str:
    """What no other rule took; kept apart from letters that touch it."""
    written = match.group()
    text, start, end = match.string, match.start(), match.end()
    if written.count(".") > 1:
        spoken = " point ".join(whole(part) for part in written.split("."))
    else:
        spoken = decimal(written)
    if start and text[start - 1].isalpha():
        spoken = f" {spoken}"
    if end < len(text) and text[end].isalpha():
        spoken = f"{spoken} "
    return spoken


#: 4x4, 8.5 x 11 in.: before a unit takes the second number.
_SIZES = (
    Rule(re.compile(r"(?<=[0-9])(?: ?[xX] ?|×)(?=[0-9])"), lambda match: " by ", ("x", "X", "×")),
)
_ABOUT = (Rule(re.compile(r"~ ?(?=[-−$£€]?[0-9])"), lambda match: "about ", ("~",)),)
_AMOUNTS = tuple(
    Rule(re.compile(pattern), spoken, needs)
    for pattern, spoken, needs in (
        (rf"{EDGE}([0-9]{{1,4}}):([0-9]{{1,4}}){END}", _ratio, (":",)),
        (r"(?<![\w.,])401 ?\(?k\)?(?!\w)", lambda match: "four oh one K", ("401",)),
        (
            rf"{EDGE}(?P<amount>{NUMBER})(?:{TO}(?P<upto>{NUMBER}))?(?P<scale>[kK]|M|[bB]n|[tT]n)"
            r"(?! (?:run|race|walk|TV|video|display|screen|monitor|resolution))(?!\w)",
            _scaled,
            ("k", "K", "M", "bn", "Bn", "tn", "Tn"),
        ),
        (r"(?<=0s)[-–](?='?[0-9]0s)", lambda match: " to ", ("0s",)),
        (rf"(?:{EDGE}|(?<=\w-))'?(?P<value>(?:[12][0-9])?[0-9]0)'?s\b", _decade, ("0s", "0's")),
        (
            rf"{EDGE}(?P<value>(?:[0-9]{{1,3}}(?:,[0-9]{{3}})?|[0-9]{{4,5}})(?:{TO}[0-9]{{1,4}})?)"
            r" ?(?P<era>B\. ?C\. ?E\.|B\. ?C\.|A\. ?D\.|C\. ?E\.|BCE|BC|AD|CE)(?!\w)",
            _era,
            ("B", "A", "CE", "C."),
        ),
        (r"(?<![\w.,/-])[0-9]{1,2}(?:-[0-9]{1,2}){2,4}(?![\w/-])", _row, ("-",)),
        # 1914/18, the 2019/20 season; 5th–6th
        (r"(?<![\w.,/])(1[0-9]{3}|20[0-9]{2})/([0-9]{2})(?![\w/]|[.,][0-9])", _season, ("/",)),
        (
            r"(?:(?<=[0-9]st)|(?<=[0-9]nd)|(?<=[0-9]rd)|(?<=[0-9]th)) ?[-–] ?(?=[0-9]{1,3}"
            r"(?:st|nd|rd|th)\b)",
            lambda match: " to ",
            ("-", "–"),
        ),
        (r"(?<![\w.,/-])50[-–]50(?![\w-])", lambda match: "fifty-fifty", ("50",)),
        # Counted years below 1100 are rare; this one everybody knows.
        (rf"{EDGE}1066(?![\w/–-]|[.,:][0-9])", lambda match: year(1066), ("1066",)),
        (
            rf"{EDGE}({NUMBER})(?: ?[–—] ?|-| - )({NUMBER})(?!\w|-(?![a-z])|[.,][0-9])",
            _range,
            ("-", "–", "—"),
        ),
        (
            r"(?<![0-9.,])([0-9]{1,3}(?:,[0-9]{3}){1,5}|[0-9]{1,15})(?:st|nd|rd|th)\b",
            _ordinal,
            ("st", "nd", "rd", "th"),
        ),
        (
            rf"{EDGE}(?:(?P<whole>[0-9]{{1,4}}) )?(?P<top>[0-9]{{1,4}})"
            r"/(?P<bottom>[0-9]{1,4})(?:ths?|rds?|nds?)?(?![\w/])",
            _fraction,
            ("/",),
        ),
        (r"(?<!\w)'([0-9]{2})(?![\w'])", lambda match: short_year(match[1]), ("'",)),
        (
            r"(?i:\b(chapter|part|book|section|page|volume|act|scene|lesson|verse|psalm) )0+"
            r"([0-9]{1,4})\b",
            lambda match: f"{match[1]} {whole(match[2].lstrip('0') or '0')}",
            ("0",),
        ),
        (
            r"(?<![\w.,])[1-9][0-9]{0,2}(?:(?: 000){1,4}|(?: [0-9]{3}){2,4})(?![\w,]|\.[0-9])",
            _spaced,
            (" ",),
        ),
        (
            r"(?<![\w.,/'])(?:1[1-9]|20)[0-9]{2}(?:(?![\w/]|[.,][0-9])|(?=-[a-z]))",
            lambda match: year(int(match.group())),
            (),
        ),
        (
            r"(?i:\b(?:in|since|year|by|until|from|around|circa|before|after|anno) )10[1-9][0-9]"
            + END,
            lambda match: f"{match.group()[:-4]}{year(int(match.group()[-4:]))}",
            ("10",),
        ),
        (r"(?<= [AP] M) ?[–—-] ?(?=[a-z])", lambda match: " to ", (" A M", " P M")),
        (r"(?<![^ (])[-–−](?=\.?[0-9])", lambda match: "minus ", ("-", "–", "−")),
        (
            r"(?:\bNo\. ?|\bno\.|(?:(?<=, )|(?<=\()|(?<= in )|(?<= at )|(?<= of )|"
            r"(?<= the ))no\. |#)"
            r"(?=[0-9])",
            lambda match: "number ",
            ("o.", "#"),
        ),
        (r"(?<=[A-Za-z])-(?=[0-9])|(?<=[0-9])-(?=[A-Z])", lambda match: " ", ("-",)),
        (r"(?<=[0-9])[x×](?=[ -][a-z]|$|[.,;])", lambda match: " times", ("x", "×")),
        (
            r"(?<![0-9])[0-9]{1,3}(?:,[0-9]{3}){1,5}(?:\.[0-9]{1,18})?(?![0-9]|,[0-9])",
            _plain,
            (",",),
        ),
        (r"[0-9]{1,18}(?:\.[0-9]{1,18}){1,6}|(?<![0-9])\.[0-9]{1,18}|[0-9]{1,4096}", _plain, ()),
    )
)
_LETTERS_FROM_TO = (
    Rule(
        re.compile(r"(?<![\w-])([A-Z])[-–—]([A-Z])(?![\w-])"),
        lambda match: f"{match[1]} to {match[2]}",
        ("-", "–", "—"),
    ),
)
_RULES = (
    *LABEL_RULES,
    *GROUPING_RULES,
    *CODE_RULES,
    *_ABOUT,
    *DATE_RULES,
    *MONEY_RULES,
    *FORMULA_RULES,
    *_SIZES,
    *UNIT_RULES,
    *POWER_RULES,
    *_AMOUNTS,
)
_RULES_WITHOUT_DIGITS = (*DATE_RULES, *FORMULA_RULES, *POWER_RULES)
#: Formulas, months and letters that need no digit.
_SIGNS_OF_FORMULAS = re.compile(r"[+=−×÷≤≥^]")
_BEFORE_MONTHS = re.compile(r"[-–—][JFMASONDTW]")


def speak_numbers(text: Traced) -> Traced:
    """Replace everything written with digits in one paragraph; no digit is left."""
    if _DIGIT.search(text.text):
        text = apply_near_digits(_RULES, text)
    elif (
        " - " in text.text
        or _SIGNS_OF_FORMULAS.search(text.text)
        or _BEFORE_MONTHS.search(text.text)
    ):
        text = apply(_RULES_WITHOUT_DIGITS, text)
    return apply(_LETTERS_FROM_TO, text)
