"""Everything written with digits in words: money, units, years, ranges and the rest."""

from __future__ import annotations

import re

from csm.text.date_rules import DATE_RULES
from csm.text.rules import EDGE, END, TO, Rule, apply, closing_dot
from csm.text.spoken_numbers import cardinal, decimal, digits, ordinal, plural, whole, year

_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,5}|[0-9]{1,18})(?:\.[0-9]{1,18})?"

_UNITS = {
    "km/h": "kilometre per hour/kilometres per hour",
    "kph": "kilometre per hour/kilometres per hour",
    "mph": "mile per hour/miles per hour",
    "m/s": "metre per second/metres per second",
    "km²": "square kilometre/square kilometres",
    "m²": "square metre/square metres",
    "m³": "cubic metre/cubic metres",
    "cm³": "cubic centimetre/cubic centimetres",
    "sq ft": "square foot/square feet",
    "km": "kilometre/kilometres",
    "cm": "centimetre/centimetres",
    "mm": "millimetre/millimetres",
    "nm": "nanometre/nanometres",
    "m": "metre/metres",
    "kg": "kilogram/kilograms",
    "mg": "milligram/milligrams",
    "g": "gram/grams",
    "ml": "millilitre/millilitres",
    "mL": "millilitre/millilitres",
    "lbs": "pound/pounds",
    "lb": "pound/pounds",
    "oz": "ounce/ounces",
    "ft": "foot/feet",
    "in.": "inch/inches",
    "yd": "yard/yards",
    "mi": "mile/miles",
    "hrs": "hour/hours",
    "hr": "hour/hours",
    "min": "minute/minutes",
    "sec": "second/seconds",
    "ms": "millisecond/milliseconds",
    "kHz": "kilohertz/kilohertz",
    "MHz": "megahertz/megahertz",
    "GHz": "gigahertz/gigahertz",
    "Hz": "hertz/hertz",
    "kW": "kilowatt/kilowatts",
    "MW": "megawatt/megawatts",
    "W": "watt/watts",
    "V": "volt/volts",
    "dB": "decibel/decibels",
    "kB": "kilobyte/kilobytes",
    "KB": "kilobyte/kilobytes",
    "MB": "megabyte/megabytes",
    "GB": "gigabyte/gigabytes",
    "TB": "terabyte/terabytes",
    "°C": "degree Celsius/degrees Celsius",
    "°F": "degree Fahrenheit/degrees Fahrenheit",
    "°": "degree/degrees",
    "%": "percent/percent",
    "hp": "horsepower/horsepower",
    "rpm": "revolution per minute/revolutions per minute",
}
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))

_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "¢": ("cent", "cents", "", ""),
}
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion"}
_SCALE = (
    r"(?: ?(?P<scale>thousand|million|billion|trillion)\b|(?P<short>[kKmM]|[bB]n|mn|[bB])(?!\w))?"
)
_DIGIT = re.compile(r"[0-9]")
_FRACTIONS = {2: "half", 4: "quarter"}
_SIDE_BY_SIDE = {("24", "7"), ("9", "11"), ("20", "20"), ("50", "50")}


def _ratio(match: re.Match[str]) -> str:
    return f"{whole(match[1])} to {whole(match[2])}"


def _describes(match: re.Match[str]) -> bool:
    """Whether the amount describes a noun, as in "a $5 million house", and so stays singular."""
    text = match.string
    return (
        text[max(0, match.start() - 2) : match.start()].lower() == "a "
        and text[match.end() : match.end() + 1] == " "
        and text[match.end() + 1 : match.end() + 2].isalpha()
    )


def _money(match: re.Match[str]) -> str:
    country = " ".join(match["country"]) + " " if match.groupdict().get("country") else ""
    one, many, one_small, many_small = _CURRENCIES[match["sign"]]
    amount, upto = match["amount"], match["upto"]
    scale = match["scale"] or _SCALES.get((match["short"] or "").lower())
    unit, _, small = amount.partition(".")
    if not scale and not upto and len(small) == 2 and many_small:
        large = whole(unit)
        one, many = country + one, country + many
        cents = f"{cardinal(int(small))} {one_small if int(small) == 1 else many_small}"
        if not int(small):
            return f"{large} {one if large == 'one' else many}"
        if not int(unit.replace(",", "")):
            return cents
        return f"{large} {one if large == 'one' else many} and {cents}"
    spoken = decimal(amount)
    if upto:
        spoken += f" to {decimal(upto)}"
    if scale:
        spoken += f" {scale}"
    return f"{spoken} {country}{one if spoken == 'one' or _describes(match) else many}"


def _old_money(match: re.Match[str]) -> str:
    parts = [f"{whole(match[1])} {'pound' if match[1] == '1' else 'pounds'}"]
    parts.append(f"{whole(match[2])} {'shilling' if match[2] == '1' else 'shillings'}")
    if match[3]:
        parts.append(f"and {whole(match[3])} {'penny' if match[3] == '1' else 'pence'}")
    return " ".join(parts) + closing_dot(match)


def _quantity(match: re.Match[str]) -> str:
    minus = "minus " if match["minus"] else ""
    spoken = minus + decimal(match["amount"])
    if match["upto"]:
        spoken += f" to {decimal(match['upto'])}"
    one, many = _UNITS[match["unit"]].split("/")
    singular = spoken == "one" or match["gap"] == "-" or _describes(match)
    dot = "" if match["unit"] == "in." else closing_dot(match)
    return f"{spoken} {one if singular else many}{dot}"


def _feet_and_inches(match: re.Match[str]) -> str:
    feet = f"{whole(match['feet'])} {'foot' if match['feet'] == '1' else 'feet'}"
    unit = "inch" if match["inches"] == "1" else "inches"
    return f"{feet} {whole(match['inches'])} {unit}{closing_dot(match)}"


def _decade(match: re.Match[str]) -> str:
    value = int(match["value"])
    return plural(year(value) if value >= 100 else cardinal(value))


def _range(match: re.Match[str]) -> str:
    first, last = match[1], match[2]
    if len(first) == 4 and first[0] in "12" and len(last) in (2, 4):
        end = year(int(last)) if len(last) == 4 else _two_digit_year(last)
        return f"{year(int(first))} to {end}"
    return f"{decimal(first)} to {decimal(last)}"


def _ordinal(match: re.Match[str]) -> str:
    return ordinal(int(match[1].replace(",", "")))


def _two_digit_year(written: str) -> str:
    return f"oh {cardinal(int(written))}" if written[0] == "0" else cardinal(int(written))


def _fraction(match: re.Match[str]) -> str:
    number, top, bottom = match["whole"], match["top"], match["bottom"]
    if not number and (top, bottom) in _SIDE_BY_SIDE:
        return f"{cardinal(int(top))} {cardinal(int(bottom))}"
    above, below = int(top), int(bottom)
    if not 0 < above < below:
        words = f"{whole(top)} over {whole(bottom)}"
        return f"{whole(number)} {words}" if number else words
    name = _FRACTIONS.get(below) or ordinal(below)
    if above > 1:
        name = "halves" if below == 2 else f"{name}s"
    if not number:
        return f"{cardinal(above)} {name}"
    return f"{whole(number)} and {'a' if above == 1 else cardinal(above)} {name}"


def _phone(match: re.Match[str]) -> str:
    groups = re.findall(r"[0-9]+", match.group())
    spoken = ", ".join(digits(group) for group in groups)
    return f"plus {spoken}" if match.group().startswith("+") else spoken


def _era(match: re.Match[str]) -> str:
    letters = " ".join(match["era"].replace(".", "").replace(" ", ""))
    number = match["value"].replace(",", "")
    spoken = year(int(number)) if len(number) == 4 else whole(number)
    return f"{spoken} {letters}{closing_dot(match)}"


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


def _aircraft(match: re.Match[str]) -> str:
    maker, letter, hundreds, rest = match.groups()
    spoken = "hundred" if rest == "00" else _two_digit_year(rest)
    return " ".join(filter(None, (maker, letter, whole(hundreds), spoken)))


_PHONES = tuple(
    Rule(re.compile(pattern), spoken, needs)
    for pattern, spoken, needs in (
        # +44 20 7946 0958, 1-800-555-1234, (212) 555-1234, 555-1234
        (r"(?<!\w)\+[0-9]{1,3}(?:[ -][0-9]{2,5}){2,5}(?![\w-])", _phone, ("+",)),
        (
            r"(?<![\w-])(?:1[ -])?(?:\([0-9]{3}\) ?|[0-9]{3}[ -.])?[0-9]{3}-[0-9]{4}(?![\w-])",
            _phone,
            ("-",),
        ),
    )
)

_AMOUNTS = tuple(
    Rule(re.compile(pattern), spoken, needs)
    for pattern, spoken, needs in (
        (rf"{EDGE}([0-9]{{1,4}}):([0-9]{{1,4}}){END}", _ratio, (":",)),
        (r"£([0-9]{1,6}),? ([0-9]{1,2})s\.?(?:,? (1?[0-9])d\b\.?)?(?!\w)", _old_money, ("£",)),
        (
            rf"(?:\b(?P<country>US|CA|AU|NZ|HK|C|A))?(?P<sign>[$£€¥₹]) ?"
            rf"(?P<amount>{_NUMBER})(?:{TO}(?P=sign)?(?P<upto>{_NUMBER}))?{_SCALE}",
            _money,
            tuple(_CURRENCIES),
        ),
        (
            rf"{EDGE}(?P<amount>{_NUMBER})(?P<upto>)(?P<scale>)(?P<short>) ?(?P<sign>[¢€£])",
            _money,
            ("¢", "€", "£"),
        ),
        (rf"{EDGE}(?P<feet>[0-9]{{1,3}})' ?(?P<inches>1?[0-9])(?:\"|'')", _feet_and_inches, ("'",)),
        (
            rf"{EDGE}(?P<feet>[0-9]{{1,3}}) ?ft\.? (?P<inches>1?[0-9]) ?in\b\.?",
            _feet_and_inches,
            ("ft",),
        ),
        (
            rf"(?<![\w.,/])(?P<minus>-)?(?<![\w.,/])(?P<amount>{_NUMBER})(?:{TO}(?P<upto>{_NUMBER}))?"
            rf"(?P<gap> ?|-)(?P<unit>{_UNIT})(?!\w)\.?",
            _quantity,
            (),
        ),
        (rf"{EDGE}'?(?P<value>(?:[12][0-9])?[0-9]0)'?s\b", _decade, ("0s", "0's")),
        (
            rf"{EDGE}(?P<value>[0-9]{{1,3}}(?:,[0-9]{{3}})?|[0-9]{{4,5}})"
            r" ?(?P<era>B\. ?C\. ?E\.|B\. ?C\.|A\. ?D\.|C\. ?E\.|BCE|BC|AD|CE)(?!\w)",
            _era,
            ("B", "A", "CE", "C."),
        ),
        (
            rf"{EDGE}({_NUMBER})(?: ?[–—] ?|-| - )({_NUMBER})(?![\w-]|[.,][0-9])",
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
            r"/(?P<bottom>[0-9]{1,4})(?![\w/])",
            _fraction,
            ("/",),
        ),
        (r"(?<!\w)'([0-9]{2})(?![\w'])", lambda match: _two_digit_year(match[1]), ("'",)),
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
        (r"~ ?(?=[0-9])", lambda match: "about ", ("~",)),
        (r"(?<![^ (])-(?=\.?[0-9])", lambda match: "minus ", ("-",)),
        (r"(?:No\. ?|#)(?=[0-9])", lambda match: "number ", ("No", "#")),
        (r"(?<=[A-Za-z])-(?=[0-9])", lambda match: " ", ("-",)),
        (r"(?<=[0-9])(?: ?[xX] ?|×)(?=[0-9])", lambda match: " by ", ("x", "X", "×")),
        (
            r"(?<![0-9])[0-9]{1,3}(?:,[0-9]{3}){1,5}(?:\.[0-9]{1,18})?(?![0-9]|,[0-9])",
            _plain,
            (",",),
        ),
        (r"[0-9]{1,18}(?:\.[0-9]{1,18}){1,6}|(?<![0-9])\.[0-9]{1,18}|[0-9]{1,4096}", _plain, ()),
    )
)


_NAMES = tuple(
    Rule(re.compile(pattern), spoken, needs)
    for pattern, spoken, needs in (
        # Numbers to be dialled, and aircraft: digit by digit, and as people call them.
        (
            r"(?i:\b(?:dial(?:s|led|ed|ling|ing)?|call(?:s|ed|ing)?|rings?|rang|phoned?) )"
            rf"(?:[149]11|112|999|000){END}",
            lambda match: f"{match.group()[:-3]}{digits(match.group()[-3:])}",
            ("11", "999", "000"),
        ),
        (
            rf"\b(Boeing|Airbus)(?: (A))?[ -]?([2-9])([0-9]{{2}}){END}",
            _aircraft,
            ("Boeing", "Airbus"),
        ),
    )
)

_RULES = (*_NAMES, *_PHONES, *DATE_RULES, *_AMOUNTS)


def speak_numbers(text: str) -> str:
    """Replace everything written with digits in one paragraph; no digit is left."""
    if not _DIGIT.search(text):
        return text
    return apply(_RULES, text)
