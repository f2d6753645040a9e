"""Digits that are said one by one: telephones, postcodes, codes, cards, books' numbers."""

from __future__ import annotations

import re

from csm.text.rules import END, Rule
from csm.text.spoken_numbers import cardinal, digits, whole, year

_DIGITS_AT_END = re.compile(r"[0-9]+\Z")
_GROUPS = re.compile(r"[0-9]+")
_LETTERS_OR_DIGITS = re.compile(r"[A-Za-z]|[0-9]+")

#: Words after which a number is a code, with what may stand between.
_CODE_WORDS = re.compile(
    r"\b(?:(?:zip(?: code)?|post(?:al |-)?code|pin(?: code| number)?|pass(?:word|code)"
    r"|area code|code"
    r"|sort code|iban|ssn|account no\.?"
    r"|(?:account|serial|tracking|order|phone|telephone|mobile|fax|card|passport|licen[cs]e|policy"
    r"|invoice|case|badge|reference|routing|social security|model|part|id|ticket|booking"
    r"|confirmation|catalogue|registration) (?:number|no\.?)"
    r"|prisoner|inmate|convict|text \w{1,12} to)"
    r"(?: (?:is|was|of))?"
    r"|(?:extension|ext|telephone|(?P<hundreds>flight|room|cell))(?: (?:number|no\.?))?"
    r"|ending in|ends in):? ?#?\Z",
    re.IGNORECASE,
)
_STATES = (
    r"(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]"
    r"|UT|V[AT]|W[AIVY]|Beverly Hills|California|Texas|Florida|York)"
)


def _groups(match: re.Match[str]) -> str:
    spoken = ", ".join(map(digits, _GROUPS.findall(match.group())))
    return f"plus {spoken}" if match.group().startswith("+") else spoken


def _abroad(match: re.Match[str]) -> str:
    """Abroad the zero in "+44 (0)20" is not dialled."""
    return "plus " + ", ".join(map(digits, _GROUPS.findall(match.group().replace("(0)", " "))))


def _isbn(match: re.Match[str]) -> str:
    groups = re.split(r"[- ]", match["number"])
    spoken = (" ".join("X" if one in "Xx" else digits(one) for one in group) for group in groups)
    return match["label"].replace(":", "") + ", ".join(spoken)


def _labelled(match: re.Match[str]) -> str:
    label, number = match["label"], match["number"]
    return label + ", ".join(map(digits, _GROUPS.findall(number)))


def _number_of(match: re.Match[str]) -> str:
    return f"{match.group().split(' ')[0]} number "


def _coded(match: re.Match[str]) -> str:
    label = _CODE_WORDS.search(match.string, max(0, match.start() - 40), match.start())
    if label is None:
        return match.group()
    return _hundreds(match.group()) if label["hundreds"] else digits(match.group())


def _hundreds(number: str) -> str:
    """Rooms and flights of three figures: "one oh one", "three seventy"."""
    if len(number) != 3 or number[0] == "0":
        return digits(number) if len(number) > 3 or number[0] == "0" else whole(number)
    rest = int(number[1:])
    if not rest:
        return cardinal(int(number))
    end = f"oh {cardinal(rest)}" if rest < 10 else cardinal(rest)
    return f"{cardinal(int(number[0]))} {end}"


def _by_pairs(number: str) -> str:
    return _hundreds(number) if len(number) == 3 else year(int(number))


def _postcode(match: re.Match[str]) -> str:
    return " ".join(
        part if part.isalpha() else whole(part)
        for part in re.findall("[A-Z]|[0-9]+", match.group())
    )


def _network(match: re.Match[str]) -> str:
    return " dot ".join(digits(part) for part in match.group().split("."))


def _letters_and_digits(match: re.Match[str]) -> str:
    """Each letter and digit: "NE-123"; round numbers stay whole: "T-1000"."""
    return " ".join(
        part if part.isalpha() else whole(part) if part.endswith("00") else digits(part)
        for part in _LETTERS_OR_DIGITS.findall(match.group())
    )


def _mixed(match: re.Match[str]) -> str:
    """Letters and numbers that change twice or more: "R2D2", "H2O", "SW1A"."""
    parts = _LETTERS_OR_DIGITS.findall(match.group())
    return " ".join(
        part if part.isalpha() else digits(part) if len(part) > 2 else whole(part) for part in parts
    )


def _formula(match: re.Match[str]) -> str:
    return " ".join(part if part.isalpha() else whole(part) for part in _ELEMENTS.findall(match[0]))


_ELEMENT = "(?:H|C|N|O|S|P|F|I|Cl|Na|K|Ca|Fe|Mg|Al|Si|Cu|Zn|Ag|Au|Pb)"
_ELEMENTS = re.compile(r"[A-Z][a-z]?|[0-9]+")


def _aircraft(match: re.Match[str]) -> str:
    maker, letter, hundreds, rest = match.groups()
    tail = "hundred" if rest == "00" else f"oh {cardinal(int(rest))}"
    spoken = tail if rest == "00" or rest[0] == "0" else cardinal(int(rest))
    return " ".join(filter(None, (maker, letter, whole(hundreds), spoken)))


CODE_RULES = tuple(
    Rule(re.compile(pattern), spoken, needs)
    for pattern, spoken, needs in (
        # Bug#123; section A.1.2
        (r"(?<=[A-Za-z])#(?=[0-9])", lambda match: " number ", ("#",)),
        (r"(?<![\w&#])#(?=[0-9])", lambda match: "number ", ("#",)),
        (
            r"(?<![\w.])([A-Z])((?:\.[0-9]{1,3}){1,5})(?![\w]|\.[0-9])",
            lambda match: (
                match[1] + "".join(f" point {whole(one)}" for one in _GROUPS.findall(match[2]))
            ),
            (".",),
        ),
        # ISBN 978-0-306-40615-7
        (
            r"(?P<label>\bIS[BS]N(?:-1[03])?:? )(?P<number>[0-9](?:[0-9]|[- ]"
            r"(?=[0-9Xx])){7,16}[0-9Xx]?)"
            r"(?![\w-])",
            _isbn,
            ("ISBN", "ISSN"),
        ),
        # 192.168.0.1
        (
            r"(?<![\w.])(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})(?:\.(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})){3}"
            r"(?![\w]|\.[0-9])",
            _network,
            (".",),
        ),
        # +44 20 7946 0958, +44 (0)20 7946 0958, +1 (415) 555-2671
        (
            r"(?<!\w)\+[0-9]{1,3}[ -]?\(0\)[ -]?[0-9]{2,5}(?:[ -][0-9]{2,5}){1,4}(?![\w-])",
            _abroad,
            ("+",),
        ),
        (
            r"(?<!\w)\+[0-9]{1,3}[ -.]?(?:\([0-9]{1,5}\)|[0-9]{2,5})(?:[ .-][0-9]{2,5}){1,5}"
            r"(?![\w-])",
            _groups,
            ("+",),
        ),
        (r"(?<!\w)\+[0-9]{8,15}(?!\w)", lambda match: f"plus {digits(match.group())}", ("+",)),
        # 1-800-555-1234, (212) 555-1234, 555.123.4567, 555-1234
        (
            r"(?<![\w.-])(?:1[ .-])?(?:\([0-9]{3}\) ?|[0-9]{3}[ .-])[0-9]{3}[.-][0-9]{4}"
            r"(?![\w-]|\.[0-9])",
            _groups,
            ("-", "."),
        ),
        # (02) 9876 5432, 020 7946 0958, 0800 123 4567, 1300 555 019
        (
            r"(?<![\w.,/-])(?:\(0[0-9]{1,4}\)|0[0-9]{2,4})(?:[ -][0-9]{3,6}){1,3}(?![\w,/-]"
            r"|\.[0-9])",
            _groups,
            ("0",),
        ),
        (
            r"(?<![\w.,/-])1[38]00[ -][0-9]{3}[ -][0-9]{3}(?![\w,/-]|\.[0-9])",
            _groups,
            ("1300", "1800"),
        ),
        # 123-45-6789, 4111 1111 1111 1111
        (r"(?<![\w.,/-])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![\w,/-])", _groups, ("-",)),
        (r"(?<![\w.,/-])[0-9]{4}(?:[ -][0-9]{4}){3}(?![\w,/-])", _groups, ()),
        (r"(?<![\w.-])[0-9]{3}-[0-9]{4}(?![\w-])", _groups, ("-",)),
        # Numbers to be dialled, and aircraft: digit by digit, and as people call them.
        (
            r"(?i:\b(?:text|dial|ring|phone)(?:s|ed|ing)? )[0-9]{5,8}(?![\w,]|\.[0-9]| [a-z]+s\b)",
            lambda match: _DIGITS_AT_END.sub(lambda one: digits(one.group()), match.group()),
            (),
        ),
        (
            r"(?i:\b(?:dial(?:s|led|ed|ling|ing)?|call(?:s|ed|ing)?|rings?|rang|phoned?|text"
            r"(?:ed)?) )"
            rf"(?:[149]11|112|999|000){END}(?! [a-z])",
            lambda match: f"{match.group()[:-3]}{digits(match.group()[-3:])}",
            ("11", "999", "000"),
        ),
        (
            r"(?i:\b(?:dial(?:s|led|ed|ling|ing)?|call(?:s|ed|ing)?|rings?|rang|phoned?) )"
            rf"(?:[149]11|112|999){END}(?= (?:twice|again|at|and|now|if|when|but|before|from|as"
            rf"|for|in|on"
            r"|to|then)\b)",
            lambda match: f"{match.group()[:-3]}{digits(match.group()[-3:])}",
            ("11", "999"),
        ),
        (
            r"(?<![\w.,-])(?:911|999|112)(?= (?:calls?|callers?|operators?|dispatchers?"
            r"|emergency)\b)",
            lambda match: digits(match.group()),
            ("11", "999"),
        ),
        (
            r"(?:(?<=\b[Aa] )|(?<=\b[Tt]he ))7[0-9]7(?=[.,;:!?)]|$| (?:and|or|to|at|in|on"
            r"|was|is|that|flew|landed|took)\b)",
            lambda match: _hundreds(match.group()),
            ("7",),
        ),
        (
            rf"\b(Boeing|Airbus)(?: (A))?[ -]?([2-9])([0-9]{{2}}){END}",
            _aircraft,
            ("Boeing", "Airbus"),
        ),
        # After a word that says so.
        (
            r"(?i:\b(?:account|serial|case|order|part|model|ticket|invoice|catalogue|item|lot|file"
            r"|flight|bus|train|house|seat|registration|reference|passport|card|room|booking) )"
            r"no\.? (?=#?[0-9])",
            _number_of,
            ("no", "No"),
        ),
        (rf"(?<=[ :#])[0-9]{{3,16}}{END}", _coded, ()),
        (rf"(?P<label>\b{_STATES},? )(?P<number>[0-9]{{5}}(?:-[0-9]{{4}})?){END}", _labelled, ()),
        # Highway 101, Form 1040; MH370
        (
            r"\b(Form|Highway|Hwy|Route|Rte|Interstate) ([1-9][0-9]{2,3})(?![\w,]|\.[0-9])",
            lambda match: f"{match[1]} {_by_pairs(match[2])}",
            ("Form", "Highway", "Hwy", "Route", "Rte", "Interstate"),
        ),
        (
            r"(?<![\w-])([A-Z]{2})([1-9][0-9]{2})(?![\w-]|\.[0-9])",
            lambda match: f"{' '.join(match[1])} {_hundreds(match[2])}",
            (),
        ),
        # A1B2C3, SW1A 1AA, NE-123
        (
            r"(?<![\w-])[A-Z]{1,2}[0-9][0-9A-Z]? [0-9][ABD-HJLNP-UW-Z]{2}(?![\w-])",
            _postcode,
            (" ",),
        ),
        (
            r"(?<![\w-])[A-Z]{1,3}-[0-9]{3,6}(?![\w-])",
            _letters_and_digits,
            ("-",),
        ),
        (
            rf"(?<![\w-])(?![A-Z]{{3}}){_ELEMENT}[2-9]?(?:{_ELEMENT}[2-9]?){{0,4}}(?<=[2-9])(?!\w)",
            _formula,
            (),
        ),
        (
            r"(?<![\w-])(?![0-9]+[XE][0-9]+(?!\w))(?=[A-Z0-9]{0,9}[A-Z][0-9]{1,6}[A-Z]|[A-Z0-9]{0,9}[0-9][A-Z]{1,6}[0-9])"
            r"(?=[A-Z0-9]{0,11}[A-Z])[A-Z0-9]{3,12}(?![\w-])",
            _mixed,
            (),
        ),
    )
)
