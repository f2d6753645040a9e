"""References to chapter and verse: "1 Cor. 13:4" is "First Corinthians thirteen four"."""

from __future__ import annotations

import re

from csm.text.rules import Rule, apply_near_digits
from csm.text.spoken_numbers import cardinal, roman
from csm.text.traced import Traced

# Each book with its abbreviations; a number may stand before those of the second table.
_BOOKS = {
    "Genesis": "Gen Gn",
    "Exodus": "Exod Ex",
    "Leviticus": "Lev Lv",
    "Numbers": "Num Nm",
    "Deuteronomy": "Deut Dt",
    "Joshua": "Josh",
    "Judges": "Judg Jdg",
    "Ruth": "",
    "Ezra": "",
    "Nehemiah": "Neh",
    "Esther": "Esth",
    "Job": "",
    "Psalms": "Pss",
    "Psalm": "Ps Psa",
    "Proverbs": "Prov Prv",
    "Ecclesiastes": "Eccl Eccles",
    "Song of Songs": "",
    "Song of Solomon": "",
    "Isaiah": "Isa Is",
    "Jeremiah": "Jer",
    "Lamentations": "Lam",
    "Ezekiel": "Ezek Ez",
    "Daniel": "Dan Dn",
    "Hosea": "Hos",
    "Joel": "",
    "Amos": "",
    "Obadiah": "Obad",
    "Jonah": "Jon",
    "Micah": "Mic",
    "Nahum": "Nah",
    "Habakkuk": "Hab",
    "Zephaniah": "Zeph",
    "Haggai": "Hag",
    "Zechariah": "Zech",
    "Malachi": "Mal",
    "Matthew": "Matt Mt",
    "Mark": "Mk",
    "Luke": "Lk",
    "John": "Jn",
    "Acts": "",
    "Romans": "Rom",
    "Galatians": "Gal",
    "Ephesians": "Eph",
    "Philippians": "Phil",
    "Colossians": "Col",
    "Titus": "Tit",
    "Philemon": "Philem Phlm",
    "Hebrews": "Heb",
    "James": "Jas",
    "Jude": "",
    "Revelation": "Rev",
    "Revelations": "",
    "Tobit": "",
    "Judith": "",
    "Wisdom": "",
    "Sirach": "Sir",
    "Baruch": "",
    "Qur'an": "",
    "Quran": "",
    "Koran": "",
    "Surah": "",
    "Sura": "",
}
_NUMBERED = {
    "Samuel": "Sam Sm",
    "Kings": "Kgs Kg",
    "Chronicles": "Chron Chr",
    "Corinthians": "Cor",
    "Thessalonians": "Thess Thes",
    "Timothy": "Tim",
    "Peter": "Pet Pt",
    "John": "Jn Jo",
    "Maccabees": "Macc",
    "Esdras": "Esd",
    "Nephi": "Ne",
}
#: With a number before them these are books, whether or not a chapter follows.
_ALWAYS_BOOKS = "Corinthians|Thessalonians|Chronicles|Maccabees|Esdras|Samuel|Timothy|Nephi"


def _names(books: dict[str, str]) -> dict[str, str]:
    names = {short: book for book, shorts in books.items() for short in shorts.split()}
    return names | {book: book for book in books}


_BY_NAME = _names(_BOOKS)
_BY_NUMBERED_NAME = _names(_NUMBERED)


def _either(names: dict[str, str]) -> str:
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True))


_VERSES = (
    r"(?P<chapter>[0-9]{1,3}):(?P<verse>[0-9]{1,3})[a-c]?(?![0-9])"
    r"(?P<more>(?: ?[-–—] ?[0-9]{1,3}(?::[0-9]{1,3})?(?![0-9])|,(?: "
    r"(?![0-9]{1,3} [A-Z]))?[0-9]{1,3}"
    r"(?![0-9:,]| ?[A-Za-z]))*)(?P<following>ff?(?!\w))?(?!\w| ?[apAP]\.?[mM])"
)
_CHAPTER = r"(?P<chapter>[0-9]{1,3})(?:(?P<to> ?[-–—] ?)(?P<last>[0-9]{1,3}))?(?![\w:]|[.,][0-9])"
_COUNT = r"(?P<count>[1-4]|I{1,3}|[1-4](?:st|nd|rd|th)|First|Second|Third)"
_MORE = re.compile(r"([-–—,]) ?([0-9]{1,3})(?::([0-9]{1,3}))?")
_ORDINALS = {"1": "First", "2": "Second", "3": "Third", "4": "Fourth"}


def _count(written: str) -> str:
    if written[1:2].islower() and written[0].isupper():
        return written
    return _ORDINALS[written[0] if written[0].isdigit() else str(roman(written))]


def _book(match: re.Match[str]) -> str:
    groups = match.groupdict()
    if groups.get("count"):
        return f"{_count(match['count'])} {_BY_NUMBERED_NAME[match['book']]}"
    return _BY_NAME[match["book"]]


def _verses(match: re.Match[str]) -> str:
    chapter, verse = cardinal(int(match["chapter"])), cardinal(int(match["verse"]))
    following = {None: "", "f": " and the next", "ff": " and following"}[match["following"]]
    if not match["more"]:
        return f"{_book(match)} {chapter} {verse}{following}"
    # A comma keeps the chapter apart from what may be many verses.
    spoken = f"{_book(match)} {chapter}, {verse}"
    for sign, first, second in _MORE.findall(match["more"]):
        number = cardinal(int(first)) + (f", {cardinal(int(second))}" if second else "")
        spoken += f", {number}" if sign == "," else f" to {number}"
    return spoken + following


def _chapter(match: re.Match[str]) -> str:
    spoken = f"{_book(match)} {cardinal(int(match['chapter']))}"
    return f"{spoken} to {cardinal(int(match['last']))}" if match["to"] else spoken


#: Abbreviations that mean a book even where only a chapter follows.
_SHORT_BOOKS = (
    "Gen|Exod|Lev|Deut|Josh|Judg|Neh|Esth|Pss?|Psa|Prov|Eccl|Isa|Jer|Ezek|Hos|Mic|Hab|Zech|Mal"
    "|Matt|Rom|Gal|Eph|Heb|Jas|Rev"
)
#: Books whose name before "3.16" is no name of a person or a thing with a number.
_UNMISTAKABLE = (
    "Genesis|Exodus|Leviticus|Deuteronomy|Psalms?|Proverbs|Isaiah|Jeremiah|Ezekiel|Matthew|Luke|John"
    "|Romans|Galatians|Ephesians|Philippians|Colossians|Hebrews|Corinthians|Thessalonians|Revelation"
)


def _old_style(match: re.Match[str]) -> str:
    """As it is written today: "Rom. viii. 28" is "Rom. 8:28"."""
    chapter = roman(match["chapter"].upper())
    return f"{match['book']} {chapter}:" if chapter else match.group()


_RULES = (
    Rule(
        re.compile(
            rf"(?<!\w)(?P<book>(?:{_either(_BY_NAME)}|{_either(_BY_NUMBERED_NAME)})\.?) "
            r"(?P<chapter>[ivxlc]{1,8})(?:\. ?|, ?|: ?)(?=[0-9]{1,3}(?!\w))"
        ),
        _old_style,
        ("i", "v", "x", "l", "c"),
    ),
    Rule(
        re.compile(
            rf"(?<!\w)((?:{_UNMISTAKABLE}|(?:{_SHORT_BOOKS}|Cor|Thess|Tim|Pet|Sam)\.|Jn|Mt"
            rf"|Lk|Mk) [0-9]{{1,3}})\."
            r"(?=[1-9][0-9]{0,2}(?![\w%]|\.[0-9]))"
        ),
        lambda match: f"{match[1]}:",
        (".",),
    ),
    Rule(
        re.compile(rf"\b{_COUNT} ?(?P<book>{_either(_BY_NUMBERED_NAME)})\.? ?{_VERSES}"),
        _verses,
        (":",),
    ),
    Rule(re.compile(rf"(?<!\w)(?P<book>{_either(_BY_NAME)})\.? {_VERSES}"), _verses, (":",)),
    Rule(re.compile(rf"\b{_COUNT} (?P<book>{_either(_BY_NUMBERED_NAME)})\.? {_CHAPTER}"), _chapter),
    Rule(re.compile(rf"(?<!\w)(?P<book>{_SHORT_BOOKS})\. {_CHAPTER}"), _chapter, (". ",)),
    Rule(re.compile(rf"(?<!\w)(?P<book>Ps) {_CHAPTER}"), _chapter, ("Ps",)),
    Rule(re.compile(rf"\b(?P<count>[1-4]) (?P<book>{_ALWAYS_BOOKS})\b"), _book),
)


def speak_scripture(text: Traced) -> Traced:
    """References to the Bible and the Koran in words."""
    return apply_near_digits(_RULES, text)
