"""Amounts of money, with the sign on either side, in words."""

from __future__ import annotations

import re
from typing import NamedTuple

from csm.text.characters import CURRENCY_SIGNS
from csm.text.rules import EDGE, NUMBER, TO, Rule, closing_dot, describes
from csm.text.spoken_numbers import cardinal, decimal, whole


class _Currency(NamedTuple):
    one: str
    many: str
    one_small: str = ""
    many_small: str = ""


def _dollars(of: str = "") -> _Currency:
    return _Currency(f"{of}dollar", f"{of}dollars", "cent", "cents")


def _crowns(of: str, plural: str = "kroner", one: str = "krone") -> _Currency:
    return _Currency(f"{of}{one}", f"{of}{plural}", "øre", "øre")


_EURO = _Currency("euro", "euros", "cent", "cents")
_POUND = _Currency("pound", "pounds", "penny", "pence")
_RUPEE = _Currency("rupee", "rupees", "paisa", "paise")
_YUAN = _Currency("yuan", "yuan", "fen", "fen")
_REAL = _Currency("real", "reais", "centavo", "centavos")

#: Before or after the amount.
_SIGNS = {
    "$": _dollars(),
    "£": _POUND,
    "€": _EURO,
    "¥": _Currency("yen", "yen", "sen", "sen"),
    "₹": _RUPEE,
    "¢": _Currency("cent", "cents"),
    "₩": _Currency("won", "won"),
    "₽": _Currency("rouble", "roubles", "kopeck", "kopecks"),
    "₺": _Currency("lira", "lira", "kuruş", "kuruş"),
    "₪": _Currency("shekel", "shekels", "agora", "agorot"),
    "₿": _Currency("bitcoin", "bitcoin"),
    "₦": _Currency("naira", "naira", "kobo", "kobo"),
    "₱": _Currency("peso", "pesos", "centavo", "centavos"),
    "₫": _Currency("dong", "dong"),
    "₴": _Currency("hryvnia", "hryvnias", "kopiyka", "kopiykas"),
    "₡": _Currency("colón", "colones"),
    "฿": _Currency("baht", "baht", "satang", "satang"),
    "₵": _Currency("cedi", "cedis"),
    "₸": _Currency("tenge", "tenge"),
    "₾": _Currency("lari", "lari"),
}
#: Dollars and others with the letters of their country before the sign.
_COUNTRIES = {
    "US$": _dollars("U S "),
    "A$": _dollars("Australian "),
    "AU$": _dollars("Australian "),
    "C$": _dollars("Canadian "),
    "CA$": _dollars("Canadian "),
    "CAN$": _dollars("Canadian "),
    "NZ$": _dollars("New Zealand "),
    "HK$": _dollars("Hong Kong "),
    "NT$": _dollars("Taiwan "),
    "S$": _dollars("Singapore "),
    "SG$": _dollars("Singapore "),
    "J$": _dollars("Jamaican "),
    "R$": _REAL,
    "MX$": _Currency("Mexican peso", "Mexican pesos", "centavo", "centavos"),
    "CN¥": _YUAN,
    "JP¥": _SIGNS["¥"],
    "E£": _Currency("Egyptian pound", "Egyptian pounds", "piastre", "piastres"),
    "Z$": _dollars("Zimbabwe "),
}
#: Codes and abbreviations of three letters or so.
_CODES = {
    "USD": _dollars("U S "),
    "AUD": _dollars("Australian "),
    "CAD": _dollars("Canadian "),
    "NZD": _dollars("New Zealand "),
    "HKD": _dollars("Hong Kong "),
    "SGD": _dollars("Singapore "),
    "TWD": _dollars("Taiwan "),
    "EUR": _EURO,
    "GBP": _Currency("British pound", "British pounds", "penny", "pence"),
    "JPY": _SIGNS["¥"],
    "CNY": _YUAN,
    "RMB": _YUAN,
    "CHF": _Currency("Swiss franc", "Swiss francs", "centime", "centimes"),
    "INR": _Currency("Indian rupee", "Indian rupees", "paisa", "paise"),
    "BRL": _REAL,
    "KRW": _SIGNS["₩"],
    "RUB": _SIGNS["₽"],
    "TRY": _SIGNS["₺"],
    "ILS": _SIGNS["₪"],
    "MXN": _COUNTRIES["MX$"],
    "ZAR": _Currency("rand", "rand", "cent", "cents"),
    "SEK": _crowns("Swedish ", "kronor", "krona"),
    "NOK": _crowns("Norwegian "),
    "DKK": _crowns("Danish "),
    "PLN": _Currency("zloty", "zloty", "grosz", "groszy"),
    "CZK": _Currency("Czech crown", "Czech crowns"),
    "HUF": _Currency("forint", "forints"),
    "THB": _SIGNS["฿"],
    "PHP": _SIGNS["₱"],
    "NGN": _SIGNS["₦"],
    "UAH": _SIGNS["₴"],
    "BTC": _SIGNS["₿"],
    "AED": _Currency("dirham", "dirhams", "fils", "fils"),
    "SAR": _Currency("riyal", "riyals"),
    "MYR": _Currency("ringgit", "ringgit", "sen", "sen"),
    "RM": _Currency("ringgit", "ringgit", "sen", "sen"),
    "IDR": _Currency("rupiah", "rupiah"),
    "Rp": _Currency("rupiah", "rupiah"),
    "Rs.": _RUPEE,
    "Rs": _RUPEE,
    "Re.": _RUPEE,
    "Fr.": _Currency("franc", "francs", "centime", "centimes"),
    "kr": _crowns(""),
    "kr.": _crowns(""),
    "DM": _Currency("mark", "marks", "pfennig", "pfennigs"),
}
#: Only after the amount.
_AFTER = {
    "zł": _CODES["PLN"],
    "Kč": _CODES["CZK"],
    "Ft": _CODES["HUF"],
    "zl": _CODES["PLN"],
}
_ALL = {**_SIGNS, **_COUNTRIES, **_CODES, **_AFTER}


def _either(*tables: dict[str, _Currency]) -> str:
    names = [name for table in tables for name in table]
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True))


_SCALES = {"k": "thousand", "m": "million", "mn": "million", "mm": "million", "b": "billion"}
_SCALES |= {"bn": "billion", "t": "trillion", "tn": "trillion", "mio": "million", "mil": "million"}
_SCALE = (
    r"(?:[ -]?(?P<scale>hundred|thousand|million|billion|trillion|lakh|crore)s?\b"
    r"|(?P<short>[kKmM]|[bB]n|mn|[bB]|[tT]n?|MM|mil)(?!\w))?"
)
#: With a comma before its two decimals, as on the Continent and in Brazil.
_WITH_COMMA = r"[0-9]{1,3}(?:[. ][0-9]{3}){0,4},[0-9]{2}(?![0-9])"
_AMOUNT = rf"(?:(?P<comma>{_WITH_COMMA})|(?P<amount>{NUMBER}|\.[0-9]{{1,2}}(?![0-9])))"
_MINUS = r"(?P<minus>(?<![\w.,)–-])[-−–])?"


def _money(match: re.Match[str]) -> str:
    groups = match.groupdict()
    # "$15 USD": the code behind it says which dollars.
    currency = _ALL[groups.get("code") or groups["sign"].replace(" ", "")]
    amount = groups["amount"] or groups["comma"].replace(".", "").replace(" ", "").replace(",", ".")
    if amount[0] == ".":
        amount = f"0{amount}"
    scale = groups.get("scale") or _SCALES.get((groups.get("short") or "").lower())
    upto = groups.get("upto")
    minus = "minus " if groups.get("minus") or groups.get("inner") else ""
    dot = closing_dot(match) if groups["sign"] in ("kr.",) else ""
    unit, _, small = amount.partition(".")
    if not scale and not upto and len(small) == 2 and currency.many_small:
        return minus + _with_change(unit, int(small), currency) + dot
    spoken = decimal(amount)
    if upto:
        spoken += f" to {decimal(upto)}"
    if scale:
        spoken += f" {scale}"
    joint = "-" if re.match(r"-(?:a|an|per)-", match.string[match.end() : match.end() + 5]) else " "
    singular = spoken == "one" or joint == "-" or describes(match)
    return f"{minus}{spoken}{joint}{currency.one if singular else currency.many}{dot}"


def _with_change(unit: str, small: int, currency: _Currency) -> str:
    large = whole(unit)
    cents = f"{cardinal(small)} {currency.one_small if small == 1 else currency.many_small}"
    if small and not int(unit.replace(",", "")):
        return cents
    spoken = f"{large} {currency.one if large == 'one' else currency.many}"
    return f"{spoken} and {cents}" if small else spoken


def _old_money(match: re.Match[str]) -> str:
    parts = []
    if match["pounds"]:
        parts.append(f"{whole(match['pounds'])} {'pound' if match['pounds'] == '1' else 'pounds'}")
    shillings = match["shillings"]
    parts.append(f"{whole(shillings)} {'shilling' if shillings == '1' else 'shillings'}")
    if match["pence"]:
        parts.append(f"and {whole(match['pence'])} {'penny' if match['pence'] == '1' else 'pence'}")
    return " ".join(parts) + closing_dot(match)


def _pence(match: re.Match[str]) -> str:
    return f"{whole(match[1])} {'penny' if match[1] == '1' else 'pence'}"


def _old_pence(match: re.Match[str]) -> str:
    return _pence(match) + closing_dot(match)


def _old_shillings(match: re.Match[str]) -> str:
    unit = "shilling" if match[1] == "1" else "shillings"
    return f"{whole(match[1])} {unit}{closing_dot(match)}"


def _rand(match: re.Match[str]) -> str:
    scale = f" {match[2]}" if match[2] else ""
    if not scale:
        unit, _, small = match[1].partition(".")
        return _with_change(unit, int(small), _CODES["ZAR"])
    return f"{decimal(match[1])}{scale} rand"


def _grouped(match: re.Match[str]) -> str:
    """1'200, 1 000 000 and 2,50,000 with a comma between their thousands."""
    digits = re.sub("[^0-9]", "", match.group())
    return f"{int(digits):,}"


#: Thousands as the Swiss, the rest of the Continent and India part them. Before a number is read.
GROUPING_RULES = (
    *(
        Rule(re.compile(pattern), _grouped, needs)
        for pattern, needs in (
            (r"(?<![\w.,'])[1-9][0-9]{0,2}(?:'[0-9]{3}){1,4}(?![\w,'])", ("'",)),
            (
                r"(?<![\w.,])[1-9][0-9]{0,2}(?:(?: 000){1,4}|(?: [0-9]{3}){2,4})(?![\w,]|\.[0-9]"
                r"| [0-9])",
                (" ",),
            ),
            (
                rf"(?<=[{CURRENCY_SIGNS}])[1-9][0-9]{{0,2}}(?: [0-9]{{3}}){{1,4}}(?![\w,]| [0-9])",
                (" ",),
            ),
            (
                rf"(?<![\w.,])(?<![\w.,] )[1-9][0-9]{{0,2}}(?: [0-9]{{3}}){{1,4}}(?= ?"
                rf"(?:[{CURRENCY_SIGNS}]|EUR|kr|zł)(?!\w))",
                (" ",),
            ),
            (r"(?<![\w.,])[1-9][0-9]?(?:,[0-9]{2}){1,4},[0-9]{3}(?![\w,])", (",",)),
        )
    ),
    # Fr. 5.–
    Rule(
        re.compile(r"(?:(?<=Fr\. [0-9])|(?<=Fr\. [0-9]{2})|(?<=[0-9]))[.,][-–—]{1,2}(?=[\s.;)]|$)"),
        lambda match: "",
        (".–", ".-", ".—", ",–", ",-", ",—"),
    ),
)

MONEY_RULES = tuple(
    Rule(re.compile(pattern), spoken, needs)
    for pattern, spoken, needs in (
        (
            r"(?:£(?P<pounds>[0-9]{1,6}),? )(?P<shillings>[0-9]{1,2})s\.?(?:,? "
            r"(?P<pence>1?[0-9])d\b\.?)?"
            r"(?!\w)",
            _old_money,
            ("£",),
        ),
        (
            rf"{EDGE}(?P<pounds>)(?P<shillings>1?[0-9])s\.?,? (?P<pence>1?[0-9])d\b\.?",
            _old_money,
            ("d",),
        ),
        (
            rf"{_MINUS}(?:(?<![^\W\d_])(?P<sign>{_either(_COUNTRIES)}|US \$|{_either(_SIGNS)}))"
            rf" ?(?P<inner>[-−])?{_AMOUNT}(?:{TO}(?:(?P=sign))?(?P<upto>{NUMBER}))?{_SCALE}"
            rf"(?: ?(?P<code>{_either(_CODES)})(?!\w))?",
            _money,
            tuple(_SIGNS),
        ),
        (
            rf"{_MINUS}(?<!\w)(?P<sign>{_either(_CODES)}) ?{_AMOUNT}(?:{TO}"
            rf"(?P<upto>{NUMBER}))?{_SCALE}"
            r"(?!\w)",
            _money,
            tuple(_CODES),
        ),
        (
            rf"{EDGE}{_AMOUNT}(?:{TO}(?P<upto>{NUMBER}))?{_SCALE} ?(?P<sign>{_either(_SIGNS)})"
            rf"(?![\w$])",
            _money,
            tuple(_SIGNS),
        ),
        (
            rf"{EDGE}{_AMOUNT}(?:{TO}(?P<upto>{NUMBER}))?{_SCALE} ?"
            rf"(?P<sign>{_either(_CODES, _AFTER)})"
            r"(?!\w)",
            _money,
            (*_CODES, *_AFTER),
        ),
        (r"(?<![\w.,])([0-9]{1,2})p(?!\w)", _pence, ("p",)),
        # 5d. and 2s. by themselves; "his 20s." is of an age.
        (r"(?<![\w.,])(1?[0-9])d\.", _old_pence, ("d.",)),
        (r"(?<![\w.,'])(1[0-9]|[1-9])s\.", _old_shillings, ("s.",)),
        (r"(?<!\w)R ?([0-9]{1,9}\.[0-9]{2})()(?![\w.])", _rand, ("R",)),
        (r"(?<!\w)R ?([0-9]{1,4}(?:\.[0-9]{1,3})?) ?(million|billion)\b", _rand, ("R",)),
    )
)
