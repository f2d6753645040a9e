"""Abbreviations, initials, addresses and symbols as an English reader says them."""

from __future__ import annotations

import re
from string import ascii_uppercase

from csm.text.rules import Rule, apply, closing_dot, closing_dot_before_opener
from csm.text.spoken_numbers import month

# Expanded before a name; with the stop also where none follows ("Mr. and Mrs. Bennet").
_TITLES = {
    "Mr": "Mister",
    "Mrs": "Missus",
    "Ms": "Miz",
    "Dr": "Doctor",
    "Messrs": "Messieurs",
    "Mme": "Madame",
    "Mlle": "Mademoiselle",
    "Prof": "Professor",
    "Capt": "Captain",
    "Lt": "Lieutenant",
    "Sgt": "Sergeant",
}
# Expanded, with their stop, only before a capital: elsewhere they are other words.
_TITLES_BEFORE_NAME = {
    "Rev": "Reverend",
    "Hon": "Honourable",
    "Col": "Colonel",
    "Gen": "General",
    "Maj": "Major",
    "Cmdr": "Commander",
    "Adm": "Admiral",
    "Gov": "Governor",
    "Sen": "Senator",
    "Rep": "Representative",
    "Pres": "President",
    "Fr": "Father",
    "St": "Saint",
    "Mt": "Mount",
    "Ft": "Fort",
}
# With their stop, anywhere; the stop may close the sentence.
_ABBREVIATIONS = {
    "etc": "et cetera",
    "viz": "namely",
    "cf": "compare",
    "vs": "versus",
    "approx": "approximately",
    "dept": "department",
    "Inc": "Incorporated",
    "Ltd": "Limited",
    "Co": "Company",
    "Corp": "Corporation",
    "Bros": "Brothers",
    "Jr": "Junior",
    "Sr": "Senior",
    "Esq": "Esquire",
    "Ave": "Avenue",
    "Blvd": "Boulevard",
    "Rd": "Road",
}
_NEVER_LAST = frozenset(("viz", "cf", "vs", "approx"))
_OF_NAMES = frozenset(("Inc", "Ltd", "Co", "Corp", "Bros", "Jr", "Sr", "Esq", "Ave", "Blvd", "Rd"))
# Before a number.
_LABELS = {
    "No": "number",
    "Nos": "numbers",
    "vol": "volume",
    "vols": "volumes",
    "p": "page",
    "pp": "pages",
    "fig": "figure",
    "figs": "figures",
    "ch": "chapter",
    "chap": "chapter",
    "sec": "section",
    "c": "circa",
    "ca": "circa",
    "art": "article",
}
_ACRONYMS_THAT_CLOSE = frozenset(
    (
        *("US", "USA", "UK", "UN", "EU", "USSR", "DC", "LA", "NY", "TV", "RSVP", "PS"),
        *("BC", "AD", "BCE", "CE", "AM", "PM", "MD", "PhD", "BA", "MA"),
    )
)

_LETTERS = r"[^\W\d_]"
_HOST = r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,5}"
_TOP = r"\.(?:com|org|net|edu|gov|info|io|co\.uk|uk|de|fr|eu|tv)"
_PATH = r"(?:[/?#][^\s<>\"')\]]{0,200})?"
_ADDRESS_PARTS = {
    ".": " dot ",
    "/": " slash ",
    "@": " at ",
    "-": " dash ",
    "_": " underscore ",
    "?": " question mark ",
    "=": " equals ",
    "&": " and ",
    "#": " hash ",
    "%": " percent ",
    "~": " tilde ",
    ":": " colon ",
    "+": " plus ",
}
_SYMBOLS = {
    "&": " and ",
    "@": " at ",
    "+": " plus ",
    "=": " equals ",
    "×": " times ",
    "÷": " divided by ",
    "±": " plus or minus ",
    "≠": " is not equal to ",
    "≤": " at most ",
    "≥": " at least ",
    "√": " square root of ",
    "∞": " infinity ",
    "%": " percent ",
    "°": " degrees ",
    "§": " section ",
    "¶": " paragraph ",
    "©": " copyright ",
    "²": " squared ",
    "³": " cubed ",
}
_SYMBOL = re.compile(r"[&@+=×÷±≠≤≥√∞%°§¶©²³<>#/\\_*~^|$£€¥¢₹•]")


def _address(match: re.Match[str]) -> str:
    written = match.group()
    address = re.sub(r"^[a-z]{3,5}://", "", written, flags=re.IGNORECASE)
    bare = address.rstrip(".,;:!?/)")
    words = "".join(_ADDRESS_PARTS.get(part, part) for part in bare)
    words = re.sub(r"\bwww\b", "w w w", words, flags=re.IGNORECASE)
    tail = address[len(bare) :].replace("/", "")
    return " ".join(words.split()) + tail


def _abbreviation(match: re.Match[str]) -> str:
    written = match[1]
    key = written if written in _ABBREVIATIONS else written.lower()
    if key in _NEVER_LAST:
        return _ABBREVIATIONS[key]
    dot = closing_dot_before_opener(match) if written in _OF_NAMES else closing_dot(match)
    return _ABBREVIATIONS[key] + dot


def _spelled(match: re.Match[str]) -> str:
    letters = match.group().replace(".", "").replace(" ", "")
    dot = closing_dot_before_opener(match) if letters in _ACRONYMS_THAT_CLOSE else ""
    if not dot and not match.string[match.end() :].strip("'\") "):
        dot = "."
    return " ".join(letters) + dot


def _initial(match: re.Match[str]) -> str:
    return " ".join(match.group().replace(".", " ").split()) + " "


def _label(match: re.Match[str]) -> str:
    written = match[1]
    word = _LABELS.get(written) or _LABELS.get(written.lower()) or _LABELS[written.capitalize()]
    return (word.capitalize() if written[0].isupper() and written != "No" else word) + " "


def _table(words: dict[str, str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


def _stopped(*words: str) -> tuple[str, ...]:
    return tuple(f"{word}." for word in words)


_CAPITAL_STOPS = _stopped(*ascii_uppercase)
# What no address is without; a stop inside a word is rare in prose.
_ADDRESS = re.compile(r"[.][A-Za-z0-9]|@|://")
_ADDRESSES = (
    Rule(re.compile(r"\bhttps?://[^\s<>\"']{1,2000}", re.IGNORECASE), _address, ("://",)),
    Rule(
        re.compile(rf"(?<![\w.+%-])[\w.+%-]{{1,64}}@{_HOST}\.[A-Za-z]{{2,12}}\b"),
        _address,
        ("@",),
    ),
    Rule(re.compile(rf"(?<![\w.-])(?:www\.{_HOST}|{_HOST}{_TOP})\b{_PATH}(?!\w)"), _address),
)

_STOPPED = (
    Rule(re.compile(r"&c\."), lambda match: f"et cetera{closing_dot(match)}", ("&c.",)),
    Rule(re.compile(r"\b[Ee]\. ?g\.,?"), lambda match: "for example,", ("g.",)),
    Rule(re.compile(r"\b[Ii]\. ?e\.,?"), lambda match: "that is,", ("i.", "I.")),
    Rule(
        re.compile(rf"\b({_table(_TITLES)})\."),
        lambda match: _TITLES[match[1]],
        _stopped(*_TITLES),
    ),
    # "Baker St." but "St. Paul": a street follows its name.
    Rule(
        re.compile(r"(?<=[a-z] )St\.(?!\s+[A-Z])"),
        lambda match: f"Street{closing_dot(match)}",
        ("St.",),
    ),
    Rule(
        re.compile(rf"\b({_table(_TITLES_BEFORE_NAME)})\.(?=\s+[A-Z])"),
        lambda match: _TITLES_BEFORE_NAME[match[1]],
        _stopped(*_TITLES_BEFORE_NAME),
    ),
    Rule(
        re.compile(rf"\b({_table(_LABELS)}|Vols?|Figs?|Ch|Chap|Sec|Art)\. ?(?=[0-9])"),
        _label,
        _stopped(*_LABELS, "Vol", "Vols", "Fig", "Figs", "Ch", "Chap", "Sec", "Art"),
    ),
    Rule(
        re.compile(r"\b(?:Jan|Feb|Apr|Aug|Sept?|Oct|Nov|Dec)\.(?! ?[0-9])"),
        lambda match: month(match.group()),
        _stopped("Jan", "Feb", "Apr", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec"),
    ),
    Rule(
        re.compile(rf"\b({_table(_ABBREVIATIONS)}|Etc|Dept|Approx)\."),
        _abbreviation,
        _stopped(*_ABBREVIATIONS, "Etc", "Dept", "Approx"),
    ),
    Rule(re.compile(r"\b(?:Ph\. ?D\.|(?:[A-Z]\.){2,6})(?![a-z])"), _spelled, _CAPITAL_STOPS),
    Rule(
        re.compile(r"(?<![0-9\w])(?<![0-9] )([ap])\. ?m\."),
        lambda match: f"{match[1].upper()} M{closing_dot(match)}",
        ("m.",),
    ),
    # J. R. R. Tolkien; John F. Kennedy. "Plan B. The" stays a sentence's end.
    Rule(
        re.compile(
            r"(?<![\w.'])(?:(?:[A-Z]\. ?){2,5}|(?:[A-Z][a-z]{1,20} |^)[A-HJ-Z]\. )(?=[A-Z][a-z])"
            r"(?!(?:He|She|It|They|We|You|The|But|And|In|On|At|When|Then|There|This)\b)"
        ),
        _initial,
        _CAPITAL_STOPS,
    ),
)
# Any stop that the rules above could mean; most paragraphs have none.
_STOP = re.compile(
    rf"\b(?:[A-Z][A-Za-z]{{0,5}}|{_table(_ABBREVIATIONS)}|{_table(_LABELS)}|[eiapm])\."
    r"|&c\."
)
_UNSTOPPED = (
    Rule(
        re.compile(rf"\b({_table(_TITLES)}|St)(?=\s[A-Z][a-z])"),
        lambda match: _TITLES.get(match[1], "Saint"),
        (*_TITLES, "St"),
    ),
    Rule(re.compile(r"\bvs?\b(?!\.)(?<=[a-z ]vs)"), lambda match: "versus", ("vs",)),
)


def speak_addresses(text: str) -> str:
    """URLs, host names and e-mail addresses: "example dot com slash books"."""
    return apply(_ADDRESSES, text) if _ADDRESS.search(text) else text


def speak_abbreviations(text: str) -> str:
    """Titles, initials and abbreviations; their stops stay only where they close a sentence."""
    if _STOP.search(text):
        text = apply(_STOPPED, text)
    return apply(_UNSTOPPED, text)


def speak_symbols(text: str) -> str:
    """Symbols that have a spoken form in words; the rest of them become spaces."""
    if not _SYMBOL.search(text):
        return text
    text = apply(_AROUND_SYMBOLS, text)
    return _SYMBOL.sub(lambda match: _SYMBOLS.get(match.group(), " "), text)


_AROUND_SYMBOLS = (
    Rule(re.compile(r"(?<= )<(?= )"), lambda match: "is less than"),
    Rule(re.compile(r"(?<= )>(?= )"), lambda match: "is greater than"),
    Rule(re.compile(rf"#(?={_LETTERS})"), lambda match: "hashtag "),
    Rule(re.compile(r"\b([Aa]nd)/([Oo]r)\b"), lambda match: f"{match[1]} {match[2]}", ("/",)),
    Rule(re.compile(r"\bw/o\b"), lambda match: "without", ("w/o",)),
    Rule(re.compile(r"\bw/(?= ?\w)"), lambda match: "with ", ("w/",)),
    Rule(re.compile(r"(?<=[a-z])/(?=[a-z])"), lambda match: " or ", ("/",)),
)
