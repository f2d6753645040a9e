"""Measures: numbers with units, and the units that are made of units."""

from __future__ import annotations

import re

from csm.text.rules import EDGE, NUMBER, TO, Rule, closing_dot, describes
from csm.text.spoken_numbers import decimal, fraction, whole
from csm.text.vocabulary import words

#: One and many, parted by a slash; the same word where there is no slash.
_UNITS = {
    # lengths
    "km": "kilometre/kilometres",
    "cm": "centimetre/centimetres",
    "dm": "decimetre/decimetres",
    "mm": "millimetre/millimetres",
    "μm": "micrometre/micrometres",
    "nm": "nanometre/nanometres",
    "m": "metre/metres",
    "ft": "foot/feet",
    "in.": "inch/inches",
    "yd": "yard/yards",
    "yds": "yard/yards",
    "mi": "mile/miles",
    "nmi": "nautical mile/nautical miles",
    # masses
    "kg": "kilogram/kilograms",
    "mg": "milligram/milligrams",
    "μg": "microgram/micrograms",
    "mcg": "microgram/micrograms",
    "g": "gram/grams",
    "t": "tonne/tonnes",
    "lbs": "pound/pounds",
    "lb": "pound/pounds",
    "oz": "ounce/ounces",
    "cwt": "hundredweight",
    # volumes
    "fl oz": "fluid ounce/fluid ounces",
    "fl. oz.": "fluid ounce/fluid ounces",
    "ml": "millilitre/millilitres",
    "mL": "millilitre/millilitres",
    "cl": "centilitre/centilitres",
    "dl": "decilitre/decilitres",
    "dL": "decilitre/decilitres",
    "μl": "microlitre/microlitres",
    "μL": "microlitre/microlitres",
    "l": "litre/litres",
    "L": "litre/litres",
    "gal": "gallon/gallons",
    "gals": "gallon/gallons",
    "qt": "quart/quarts",
    "qts": "quart/quarts",
    "tsp": "teaspoon/teaspoons",
    "tsps": "teaspoon/teaspoons",
    "tbsp": "tablespoon/tablespoons",
    "tbsps": "tablespoon/tablespoons",
    "Tbsp": "tablespoon/tablespoons",
    "cc": "cubic centimetre/cubic centimetres",
    # areas
    "ha": "hectare/hectares",
    "sq ft": "square foot/square feet",
    "sq. ft.": "square foot/square feet",
    "sq in": "square inch/square inches",
    "sq. in.": "square inch/square inches",
    "sq yd": "square yard/square yards",
    "sq. yds.": "square yard/square yards",
    "sq m": "square metre/square metres",
    "sq km": "square kilometre/square kilometres",
    "sq mi": "square mile/square miles",
    "sq. mi.": "square mile/square miles",
    "cu ft": "cubic foot/cubic feet",
    "cu. ft.": "cubic foot/cubic feet",
    "cu in": "cubic inch/cubic inches",
    "cu. in.": "cubic inch/cubic inches",
    # times
    "ms": "millisecond/milliseconds",
    "μs": "microsecond/microseconds",
    "ns": "nanosecond/nanoseconds",
    "s": "second/seconds",
    "sec": "second/seconds",
    "secs": "second/seconds",
    "min": "minute/minutes",
    "mins": "minute/minutes",
    "h": "hour/hours",
    "hr": "hour/hours",
    "hrs": "hour/hours",
    "wk": "week/weeks",
    "wks": "week/weeks",
    "mo": "month/months",
    "mos": "month/months",
    "yr": "year/years",
    "yrs": "year/years",
    # speeds
    "kph": "kilometre per hour/kilometres per hour",
    "kmh": "kilometre per hour/kilometres per hour",
    "m.p.h": "mile per hour/miles per hour",
    "k.p.h": "kilometre per hour/kilometres per hour",
    "r.p.m": "revolution per minute/revolutions per minute",
    "m.p.g": "mile per gallon/miles per gallon",
    "h.p": "horsepower",
    "c.c": "cubic centimetre/cubic centimetres",
    "mph": "mile per hour/miles per hour",
    "kn": "knot/knots",
    "kt": "knot/knots",
    "kts": "knot/knots",
    "rpm": "revolution per minute/revolutions per minute",
    "bpm": "beat per minute/beats per minute",
    "fps": "frame per second/frames per second",
    "mpg": "mile per gallon/miles per gallon",
    # electricity, energy, force
    "Hz": "hertz",
    "kHz": "kilohertz",
    "MHz": "megahertz",
    "GHz": "gigahertz",
    "THz": "terahertz",
    "W": "watt/watts",
    "mW": "milliwatt/milliwatts",
    "kW": "kilowatt/kilowatts",
    "MW": "megawatt/megawatts",
    "GW": "gigawatt/gigawatts",
    "Wh": "watt hour/watt hours",
    "kWh": "kilowatt hour/kilowatt hours",
    "MWh": "megawatt hour/megawatt hours",
    "V": "volt/volts",
    "mV": "millivolt/millivolts",
    "kV": "kilovolt/kilovolts",
    "A": "amp/amps",
    "mA": "milliamp/milliamps",
    "μA": "microamp/microamps",
    "Ah": "amp hour/amp hours",
    "mAh": "milliamp hour/milliamp hours",
    "Ω": "ohm/ohms",
    "kΩ": "kilohm/kilohms",
    "MΩ": "megohm/megohms",
    "pF": "picofarad/picofarads",
    "nF": "nanofarad/nanofarads",
    "μF": "microfarad/microfarads",
    "mH": "millihenry/millihenries",
    "J": "joule/joules",
    "kJ": "kilojoule/kilojoules",
    "MJ": "megajoule/megajoules",
    "cal": "calorie/calories",
    "kcal": "kilocalorie/kilocalories",
    "eV": "electronvolt/electronvolts",
    "keV": "kiloelectronvolt/kiloelectronvolts",
    "MeV": "megaelectronvolt/megaelectronvolts",
    "GeV": "gigaelectronvolt/gigaelectronvolts",
    "N": "newton/newtons",
    "kN": "kilonewton/kilonewtons",
    "Nm": "newton metre/newton metres",
    "Pa": "pascal/pascals",
    "hPa": "hectopascal/hectopascals",
    "kPa": "kilopascal/kilopascals",
    "MPa": "megapascal/megapascals",
    "mbar": "millibar/millibars",
    "atm": "atmosphere/atmospheres",
    "psi": "P S I",
    "mmHg": "millimetre of mercury/millimetres of mercury",
    "hp": "horsepower",
    "bhp": "brake horsepower",
    "dB": "decibel/decibels",
    "dBA": "decibel/decibels",
    "lm": "lumen/lumens",
    "K": "kelvin",
    "mol": "mole/moles",
    "mmol": "millimole/millimoles",
    "ppm": "part per million/parts per million",
    "ppb": "part per billion/parts per billion",
    "dpi": "dot per inch/dots per inch",
    "px": "pixel/pixels",
    "MP": "megapixel/megapixels",
    # data
    "kB": "kilobyte/kilobytes",
    "KB": "kilobyte/kilobytes",
    "MB": "megabyte/megabytes",
    "GB": "gigabyte/gigabytes",
    "TB": "terabyte/terabytes",
    "PB": "petabyte/petabytes",
    "KiB": "kibibyte/kibibytes",
    "MiB": "mebibyte/mebibytes",
    "GiB": "gibibyte/gibibytes",
    "TiB": "tebibyte/tebibytes",
    "kbit": "kilobit/kilobits",
    "Mbit": "megabit/megabits",
    "Gbit": "gigabit/gigabits",
    "kbps": "kilobit per second/kilobits per second",
    "Mbps": "megabit per second/megabits per second",
    "Gbps": "gigabit per second/gigabits per second",
    # degrees and shares
    "°C": "degree Celsius/degrees Celsius",
    "° C": "degree Celsius/degrees Celsius",
    "°F": "degree Fahrenheit/degrees Fahrenheit",
    "° F": "degree Fahrenheit/degrees Fahrenheit",
    "°": "degree/degrees",
    "cyl": "cylinder/cylinders",
    "doz": "dozen",
    "gross": "gross",
    "%": "percent",
    "‰": "per mille",
}
_SQUARED = ("km", "cm", "mm", "m", "ft", "in", "yd", "mi", "dm", "μm", "nm")
_INCHES = {"in": "inch/inches"}
for _name in _SQUARED:
    _one, _many = (_UNITS | _INCHES)[_name].split("/")
    for _signs, _word in ((("²", "2", "^2"), "square"), (("³", "3", "^3"), "cubic")):
        _UNITS |= {f"{_name}{_sign}": f"{_word} {_one}/{_word} {_many}" for _sign in _signs}
#: After "per".
_DIVISORS = {
    **_UNITS,
    "s²": "second squared/",
    "s2": "second squared/",
    "s^2": "second squared/",
    "d": "day/",
    "day": "day/",
    "hour": "hour/",
    "min": "minute/",
    "week": "week/",
    "month": "month/",
    "year": "year/",
    "person": "person/",
}
#: Read as a unit only where nothing follows that would make it another word.
_DOUBTFUL = words("A N J K W V L h t MP g mo")
_FOLLOWS_UNIT = re.compile(
    r"\.?(?:[)\],;:!?\"'/]|$| ?[–—-]| (?:and|or|of|at|in|to|is|was|for|per|per|from|with|on|by|fuse"
    r"|current|battery|charger|bottle|bag|bulb|each|long|wide|high|deep|tall|a|an|the|supply|socket"
    r"|motor|lamp|AC|DC|alternating|direct|mains|pipe|tube|rope|pole|wall)| [a-z]+ed\b"
    r"| [a-z]+s\b)|\. "
)


_NEEDS_CURRENT = re.compile(r" (?:fuse|charger|current|supply|battery|circuit|adapter|socket)")


def _either(names: dict[str, str]) -> str:
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True))


UNIT = rf"(?P<unit>{_either(_UNITS)})(?: ?(?:/|per) ?(?P<per>{_either(_DIVISORS)}))?"


def unit_of(match: re.Match[str], *, one: bool) -> str:
    """The unit that a match of ``UNIT`` holds, in words."""
    singular, _, plural = _UNITS[match["unit"]].partition("/")
    words = singular if one or not plural else plural
    if match["per"]:
        words += f" per {_DIVISORS[match['per']].partition('/')[0]}"
    return words


def _quantity(match: re.Match[str]) -> str:
    unit = match["unit"]
    if unit in _DOUBTFUL and not match["per"] and not _is_unit(match):
        return match.group()
    if unit == "s" and not match["gap"] and "." not in match["amount"]:
        return match.group()
    minus = "minus " if match["minus"] else ""
    spoken = minus + decimal(match["amount"])
    if match["upto"]:
        spoken += f" to {decimal(match['upto'])}"
    singular = spoken == "one" or match["gap"] == "-" or describes(match)
    return f"{spoken} {unit_of(match, one=singular)}{closing_dot(match)}"


def _is_unit(match: re.Match[str]) -> bool:
    if match["unit"] == "g" and match["gap"] == " ":
        return True
    if match["unit"] in "AK" and not match["gap"] and "." not in match["amount"]:
        return _NEEDS_CURRENT.match(match.string, match.end()) is not None
    # The unit may have swallowed its stop.
    return _FOLLOWS_UNIT.match(match.string, match.end() - match.group().endswith(".")) is not None


def _part_of_unit(match: re.Match[str]) -> str:
    """Three quarters of a unit are singular: "½ tsp", "1½ hrs"."""
    spoken = fraction(match["whole"], match["top"], match["bottom"])
    return f"{spoken} {unit_of(match, one=not match['whole'])}{closing_dot(match)}"


def _inches(match: re.Match[str]) -> str:
    return f"{decimal(match['amount'])} {'inch' if match['gap'] else 'inches'}"


def _feet_and_inches(match: re.Match[str]) -> str:
    feet = f"{whole(match['feet'])} {'foot' if match['feet'] == '1' else 'feet'}"
    unit = "inch" if match["inches"] == "1" else "inches"
    return f"{feet} {whole(match['inches'])} {unit}{closing_dot(match)}"


_WINDS = {"N": "north", "S": "south", "E": "east", "W": "west"}


def _position(match: re.Match[str]) -> str:
    spoken = f"{decimal(match['degrees'])} degrees"
    if match["minutes"]:
        spoken += f" {decimal(match['minutes'])} minutes"
    if match["seconds"]:
        spoken += f" {decimal(match['seconds'])} seconds"
    wind = f" {_WINDS[match['wind']]}" if match["wind"] else ""
    return spoken + wind + (" " if match.group().endswith(" ") else "")


def _hours_and_minutes(match: re.Match[str]) -> str:
    hours, minutes = match["hours"], match["minutes"]
    return (
        f"{whole(hours)} {'hour' if hours == '1' else 'hours'} "
        f"{whole(minutes.lstrip('0') or '0')} {'minute' if minutes in ('1', '01') else 'minutes'}"
    )


#: Things that are sold by their size in inches, so that the sign after the number is no quote.
_BY_INCHES = (
    "records?|vinyls?|singles?|pipes?|screens?|televisions?|TVs?|guns?|dis[ck]s?|pizzas?|nails?"
    "|wheels?|monitors?|telescopes?|blades?|pans?|plates?|tiles?|boards?|bolts?|display"
)
#: What an amount of them, of money or of people, is counted by.
_PER = (
    "km²|km2|m²|m2|m³|m3|cm³|mi²|ha|kg|lb|oz|gal|hr|hour|day|week|month|year|yr|person|mile|km|kWh"
    "|min|litre"
)


def _per(match: re.Match[str]) -> str:
    return f" per {_DIVISORS.get(match[1], match[1]).partition('/')[0]}"


UNIT_RULES = tuple(
    Rule(re.compile(pattern), spoken, needs)
    for pattern, spoken, needs in (
        # 200 people/km², one dollar/lb
        (
            r"(?:(?<=[a-z]s)|(?<=people)|(?<=dollar)|(?<=euro)|(?<=pound)|"
            rf"(?<=percent)) ?/ ?({_PER})(?![\w/])",
            _per,
            ("/",),
        ),
        # 10 st 4 lb
        (r"(?<=[0-9]) ?st\.?(?= [0-9]{1,2} ?lbs?\b)", lambda match: " stone", ("st",)),
        (
            rf"{EDGE}(?P<amount>{NUMBER})\"(?= (?:{_BY_INCHES})\b)",
            lambda match: f"{decimal(match['amount'])} inch",
            ('"',),
        ),
        (
            rf"{EDGE}(?P<degrees>{NUMBER})° ?(?:(?P<minutes>{NUMBER})' ?)?(?:"
            rf"(?P<seconds>{NUMBER})\" ?)?"
            r"(?:(?P<wind>[NSEW])(?!\w)|(?<=['\"])|(?<=['\"] ))",
            _position,
            ("°",),
        ),
        (rf"{EDGE}(?P<feet>[0-9]{{1,3}})' ?(?P<inches>1?[0-9])(?:\"|'')", _feet_and_inches, ("'",)),
        (
            rf"{EDGE}(?P<feet>[0-9]{{1,3}}) ?ft\.? (?P<inches>1?[0-9]) ?in\b\.?",
            _feet_and_inches,
            ("ft",),
        ),
        (
            rf"{EDGE}(?P<hours>[0-9]{{1,3}}) ?h ?(?P<minutes>[0-9]{{1,2}}) ?(?:m|min)?(?![\w])",
            _hours_and_minutes,
            ("h",),
        ),
        (
            rf"{EDGE}(?:(?P<whole>[0-9]{{1,4}}) )?(?P<top>[0-9]{{1,2}})/"
            rf"(?P<bottom>[0-9]{{1,2}})[ -]?"
            rf"{UNIT}(?!\w)\.?",
            _part_of_unit,
            ("/",),
        ),
        (
            rf"(?<![\w.,/])(?P<minus>[-−–])?(?<![\w.,/])(?P<amount>{NUMBER})"
            rf"(?:(?: ?(?:{_either(_UNITS)}))?{TO}(?P<upto>{NUMBER}))?(?P<gap> ?|-){UNIT}"
            r"(?!\w|\.[a-z])\.?",
            _quantity,
            (),
        ),
        (rf"{EDGE}(?P<amount>{NUMBER})(?P<gap>-?)in(?![\w-])", _inches, ("in",)),
    )
)
