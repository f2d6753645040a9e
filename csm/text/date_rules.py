"""Dates and times of day in words."""

from __future__ import annotations

import re

from csm.text.rules import EDGE, END, TO, Rule, closing_dot
from csm.text.spoken_numbers import MONTHS, cardinal, month, ordinal, whole, year

_MONTH = (
    r"(?P<month>Jan(?:uary|\.)?|Feb(?:ruary|\.)?|Mar(?:ch|\.)?|Apr(?:il|\.)?|May|June?\.?|July?\.?"
    r"|Aug(?:ust|\.)?|Sept?(?:ember|\.)?|Oct(?:ober|\.)?|Nov(?:ember|\.)?|Dec(?:ember|\.)?)"
)
_MONTH_STARTS = tuple(name[:3] for name in MONTHS)
_DAY = r"(?P<day>[12]?[0-9]|3[01])(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>[12][0-9]{3})"
_HALF_DAY = r"(?P<half>[aApP])(?:\.? ?[mM]\.|[mM]\b)"


def _month_first(match: re.Match[str]) -> str:
    name, day = month(match["month"]), ordinal(int(match["day"]))
    return f"{name} {day}{_of_year(match, ',')}"


def _day_first(match: re.Match[str]) -> str:
    article = match["the"] or "the "
    spoken = f"{article}{ordinal(int(match['day']))} of {month(match['month'])}"
    return f"{spoken}{_of_year(match, ',')}"


def _month_and_year(match: re.Match[str]) -> str:
    return f"{month(match['month'])}{_of_year(match, match['comma'])}"


def _of_year(match: re.Match[str], comma: str) -> str:
    return f"{comma} {year(int(match['year']))}" if match["year"] else ""


def _numeric_date(match: re.Match[str]) -> str:
    number, day = int(match["m"]), int(match["d"])
    if number > 12:
        number, day = day, number
    if not (1 <= number <= 12 and 1 <= day <= 31):
        return " ".join(whole(part) for part in re.split(r"[-/]", match.group()))
    return f"{MONTHS[number - 1]} {ordinal(day)}, {year(int(match['year']))}"


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match["hour"]), match["minute"]
    half = match.groupdict().get("half")
    parts = [cardinal(hour)]
    if minute and int(minute):
        parts.append(("oh " if minute[0] == "0" else "") + cardinal(int(minute)))
    elif minute and not half:
        parts.append("o'clock" if 1 <= hour <= 12 else "hundred")
    if match.groupdict().get("second"):
        parts.append(f"and {cardinal(int(match['second']))} seconds")
    if half:
        parts.append(f"{half.upper()} M{closing_dot(match)}")
    return " ".join(parts)


DATE_RULES = tuple(
    Rule(re.compile(pattern), spoken, needs)
    for pattern, spoken, needs in (
        # 1776-07-04, 7/4/1776
        (rf"{EDGE}{_YEAR}-(?P<m>[01][0-9])-(?P<d>[0-3][0-9])(?![\w-])", _numeric_date, ("-",)),
        (rf"{EDGE}(?P<m>[0-3]?[0-9])/(?P<d>[0-3]?[0-9])/{_YEAR}(?![\w/])", _numeric_date, ("/",)),
        # July 4, 1776; 4 July 1776; the 4th of July; July 1776
        (rf"\b{_MONTH} {_DAY}(?:,? {_YEAR})?{END}(?!{TO}[0-9])", _month_first, _MONTH_STARTS),
        (
            rf"(?P<the>\b[Tt]he )?(?<![\w.,/–-]){_DAY}(?: of)? {_MONTH}"
            rf"(?:,? {_YEAR}{END})?(?!\w)",
            _day_first,
            _MONTH_STARTS,
        ),
        (rf"\b{_MONTH}(?P<comma>,?) {_YEAR}{END}(?!{TO}[0-9])", _month_and_year, _MONTH_STARTS),
        # 5:30 p.m., 5 pm, 17:45, 17:45:10
        (
            rf"{EDGE}(?P<hour>[01]?[0-9]|2[0-3])(?:[:.](?P<minute>[0-5][0-9]))? ?{_HALF_DAY}",
            _time,
            ("m", "M"),
        ),
        (
            rf"{EDGE}(?P<hour>[01]?[0-9]|2[0-4]):(?P<minute>[0-5][0-9])"
            rf"(?::(?P<second>[0-5][0-9]))?{END}",
            _time,
            (":",),
        ),
    )
)
