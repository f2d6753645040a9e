"""Dates and times of day in words."""

from __future__ import annotations

import re

from csm.text.rules import EDGE, END, TO, Rule, closing_dot
from csm.text.spoken_numbers import (
    MONTHS,
    cardinal,
    digits,
    month,
    ordinal,
    short_year,
    whole,
    year,
)

_MONTH_NAME = (
    r"(?:Jan(?:uary|\.)?|Feb(?:ruary|\.)?|Mar(?:ch|\.)?|Apr(?:il|\.)?|May|June?\.?|July?\.?"
    r"|Aug(?:ust|\.)?|Sept?(?:ember|\.)?|Oct(?:ober|\.)?|Nov(?:ember|\.)?|Dec(?:ember|\.)?)"
)
_MONTH = rf"(?P<month>{_MONTH_NAME})"
_MONTH_STARTS = tuple(name[:3] for name in MONTHS)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEKDAY = r"(?:Mon|Tue|Tues|Wed|Thu|Thur|Thurs|Fri|Sat|Sun)"
_DAY = r"(?P<day>[12]?[0-9]|3[01])(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>[12][0-9]{3}|'[0-9]{2})"
_HALF_DAY = r"(?P<half>[aApP])(?:\.? ?[mM]\.|[mM]\b)"
#: After a day and a month: "44 BC" is another number.
_NO_ERA = r"(?! ?(?:BC|AD|B\.|A\.))"


def _month_first(match: re.Match[str]) -> str:
    name, day = month(match["month"]), ordinal(int(match["day"]))
    return f"{name} {day}{_of_year(match, ',')}"


def _day_first(match: re.Match[str]) -> str:
    article = match["the"] or "the "
    spoken = f"{article}{ordinal(int(match['day']))} of {month(match['month'])}"
    return f"{spoken}{_of_year(match, ',')}"


def _days_of_month(match: re.Match[str]) -> str:
    """5–7 May; May 5–7."""
    first, last = ordinal(int(match["day"])), ordinal(int(match["last"]))
    name = month(match["month"])
    if match.group()[0].isdigit():
        return f"the {first} to the {last} of {name}{_of_year(match, ',')}"
    return f"{name} {first} to {last}{_of_year(match, ',')}"


def _month_and_year(match: re.Match[str]) -> str:
    return f"{month(match['month'])}{_of_year(match, match['comma'])}"


def _months(match: re.Match[str]) -> str:
    return f"{month(match['month'])} to {month(match['last'])}"


def _weekdays(match: re.Match[str]) -> str:
    return f"{_weekday(match[1])} to {_weekday(match[2])}"


def _weekday(written: str) -> str:
    return next(name for name in _WEEKDAYS if name.startswith(written[:3]))


def _of_year(match: re.Match[str], comma: str) -> str:
    written = match["year"]
    if not written:
        return ""
    if written[0] == "'":
        return f" {short_year(written[1:])}"
    return f"{comma} {year(int(written))}"


def _numeric_date(match: re.Match[str]) -> str:
    """By month, day and year as Americans order them, unless that can be no date."""
    number, day = int(match["m"]), int(match["d"])
    if number > 12:
        number, day = day, number
    if not (1 <= number <= 12 and 1 <= day <= 31):
        return " ".join(whole(part) for part in re.split(r"[-/.]", match.group()))
    written = match["year"]
    spoken = year(int(written)) if len(written) == 4 else short_year(written)
    return f"{MONTHS[number - 1]} {ordinal(day)}, {spoken}{closing_dot(match)}"


def _stamp(match: re.Match[str]) -> str:
    return f"{_numeric_date(match)}, "


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match["hour"]), match["minute"]
    half = match.groupdict().get("half")
    parts = [cardinal(hour)]
    if minute and int(minute):
        parts.append(("oh " if minute[0] == "0" else "") + cardinal(int(minute)))
    elif minute and not half:
        parts.append("o'clock" if 1 <= hour <= 12 else "hundred")
    if match.groupdict().get("second") and int(match["second"]):
        parts.append(f"and {cardinal(int(match['second']))} seconds")
    if half:
        parts.append(f"{half.upper()} M{closing_dot(match)}")
    return " ".join(parts)


def _hours(match: re.Match[str]) -> str:
    """5-6pm, 8 to 9:30 a.m.: the first without its half of the day."""
    minute = match["from_minute"]
    first = cardinal(int(match["from"]))
    if minute and int(minute):
        first += f" {'oh ' if minute[0] == '0' else ''}{cardinal(int(minute))}"
    return f"{first} to {_time(match)}"


def _clock_range(match: re.Match[str]) -> str:
    return " to "


def _first_to(match: re.Match[str]) -> str:
    return f"{match[1]} to "


def _military(match: re.Match[str]) -> str:
    """0600 hours, 1830 hrs."""
    hour, minute = match[1], int(match[2])
    spoken = digits(hour) if hour[0] == "0" else cardinal(int(hour))
    if minute:
        spoken += f" {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    else:
        spoken += " hundred"
    return f"{spoken} hours{closing_dot(match)}"


def _century(match: re.Match[str]) -> str:
    return f"{ordinal(int(match[1]))} century{closing_dot(match)}"


DATE_RULES = tuple(
    Rule(re.compile(pattern), spoken, needs)
    for pattern, spoken, needs in (
        # 2024-10-01T12:30:00Z; 1776-07-04, 2024/10/01, 7/4/1776, 7/4/76, 04.07.1776, 1-10-2024
        (
            rf"{EDGE}(?P<year>[12][0-9]{{3}})-(?P<m>[01][0-9])-(?P<d>[0-3][0-9])"
            r"T(?=[0-2][0-9]:[0-5][0-9])",
            _stamp,
            ("T",),
        ),
        (
            r"(?<=[0-9]:[0-9]{2})(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:?00)(?!\w)",
            lambda match: "",
            (":",),
        ),
        (
            rf"{EDGE}(?P<year>[12][0-9]{{3}})([-/.])(?P<m>[01]?[0-9])\2(?P<d>[0-3]?[0-9])(?![\w/-])\.?",
            _numeric_date,
            ("-", "/", "."),
        ),
        (
            rf"{EDGE}(?P<m>[0-3]?[0-9])/(?P<d>[0-3]?[0-9])/(?P<year>[12][0-9]{{3}}|[0-9]{{2}})(?![\w/])",
            _numeric_date,
            ("/",),
        ),
        (
            rf"{EDGE}(?P<d>[0-3]?[0-9])([.-])(?P<m>[01]?[0-9])\2(?P<year>[12][0-9]{{3}})(?![\w/-])",
            _numeric_date,
            (".", "-"),
        ),
        # May 1 – June 5; 1 May 1914 – 5 June 1915; May 1914 – June 1915; FY2020; Sat, 24 Dec
        (
            rf"\b({_MONTH_NAME} [0-3]?[0-9](?:st|nd|rd|th)?(?:,? [12][0-9]{{3}})?) ?[-–—] ?"
            rf"(?={_MONTH_NAME} [0-3]?[0-9](?![0-9]))",
            _first_to,
            _MONTH_STARTS,
        ),
        (
            rf"(?<![\w.,/–-])([0-3]?[0-9](?:st|nd|rd|th)? {_MONTH_NAME}"
            rf"(?:,? [12][0-9]{{3}})?) ?[-–—] ?"
            rf"(?=[0-3]?[0-9](?:st|nd|rd|th)? {_MONTH_NAME}(?!\w))",
            _first_to,
            _MONTH_STARTS,
        ),
        (
            rf"\b({_MONTH_NAME},? [12][0-9]{{3}}) ?[-–—] ?(?={_MONTH_NAME},? [12][0-9]{{3}})",
            _first_to,
            _MONTH_STARTS,
        ),
        (r"(?<!\w)([FC])Y ?(?=(?:20|19)[0-9]{2}(?![0-9]))", lambda match: f"{match[1]} Y ", ("Y",)),
        (
            rf"\b({_WEEKDAY}),? (?=[0-3]?[0-9](?:st|nd|rd|th)? {_MONTH_NAME}(?!\w)"
            rf"|{_MONTH_NAME} [0-9])",
            lambda match: f"{_weekday(match[1])}, ",
            tuple(name[:3] for name in _WEEKDAYS),
        ),
        # at 0600 hours
        (
            r"(?<![\w.,/-])(0[0-9]|(?:(?<=\bat )|(?<=\bby )|(?<=\btill )|(?<=\bfrom )|(?<=\buntil )"
            r"|(?<=\bsince )|(?<=\bto )|(?<=\babout )|(?<=\bbefore )|(?<=\bafter ))(?:1[0-9]"
            r"|2[0-4]))"
            r"([0-5][0-9]) ?(hours|hrs\b\.?|h(?!\w))",
            _military,
            ("hours", "hrs", "h"),
        ),
        # May 5–7, 1990; 5–7 May 1990; June–August; Mon–Fri
        (
            rf"\b{_MONTH} {_DAY}{TO}(?P<last>[12]?[0-9]|3[01])(?:st|nd|rd|th)?(?:,? {_YEAR})?{END}",
            _days_of_month,
            _MONTH_STARTS,
        ),
        (
            rf"(?<![\w.,/–-]){_DAY}(?:{TO}|/)(?P<last>[12]?[0-9]|3[01])(?:st|nd|rd|th)? {_MONTH}"
            rf"(?:,? {_YEAR}{END})?(?!\w)",
            _days_of_month,
            _MONTH_STARTS,
        ),
        (rf"\b{_MONTH}[-–—](?P<last>{_MONTH_NAME})(?!\w)", _months, _MONTH_STARTS),
        (
            rf"\b({_WEEKDAY}(?:days?|nesday|urday|sday|rsday)?)[-–—]({_WEEKDAY}(?:days?|nesday|urday|sday|rsday)?)\b",
            _weekdays,
            tuple(name[:3] for name in _WEEKDAYS),
        ),
        # July 4, 1776; 4 July 1776; 1-Oct-2024; the 4th of July; July 1776
        (
            rf"\b{_MONTH} {_DAY}(?:,? {_YEAR}{_NO_ERA})?{END}(?!{TO}[0-9])",
            _month_first,
            _MONTH_STARTS,
        ),
        (
            rf"(?P<the>\b[Tt]he )?(?<![\w.,/–-]){_DAY}(?: of |[ -]){_MONTH}"
            rf"(?:(?:,? |-){_YEAR}{END})?(?!\w)",
            _day_first,
            _MONTH_STARTS,
        ),
        (rf"\b{_MONTH}(?P<comma>,?) {_YEAR}{END}(?!{TO}[0-9])", _month_and_year, _MONTH_STARTS),
        (rf"{EDGE}([12]?[0-9])(?:st|nd|rd|th) ?c\.", _century, (" c.", "c.")),
        # 5-6pm, 5:30 p.m., 5 pm, 17:45, 17:45:10
        (
            rf"{EDGE}(?P<from>1?[0-9])(?:[:.](?P<from_minute>[0-5][0-9]))?(?: ?[-–—] ?| to )"
            rf"(?P<hour>1?[0-9])(?:[:.](?P<minute>[0-5][0-9]))? ?{_HALF_DAY}",
            _hours,
            ("m", "M"),
        ),
        (
            rf"{EDGE}(?P<hour>[01]?[0-9]|2[0-3])(?:[:.](?P<minute>[0-5][0-9]))? ?{_HALF_DAY}",
            _time,
            ("m", "M"),
        ),
        (r"(?<=[0-9]:[0-9]{2}) ?[-–—] ?(?=[0-2]?[0-9]:[0-5][0-9](?![0-9]))", _clock_range, (":",)),
        (
            rf"{EDGE}(?P<hour>[01]?[0-9]|2[0-4]):(?P<minute>[0-5][0-9])"
            rf"(?::(?P<second>[0-5][0-9]))?{END}",
            _time,
            (":",),
        ),
    )
)
