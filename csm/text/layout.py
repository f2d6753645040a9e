"""Lines to blocks: paragraphs, headings, items of lists, and the breaks between scenes.

Hard-wrapped prose is joined; verse and lists keep their lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from csm.text import marks
from csm.text.headings import bare_heading, chapter_line, own_line
from csm.text.traced import Traced, joined


class Kind(Enum):
    """What a block is."""

    PROSE = "prose"
    #: A paragraph of dialogue.
    TURN = "turn"
    HEADING = "heading"
    ITEM = "item"
    SCENE = "scene"


@dataclass(frozen=True)
class Block:
    """One paragraph, heading or item, in one line without marks of structure.

    Attributes:
        text: empty for a break between scenes.
        kind: what it is.
        title: of a heading, as it was written; else empty.
        level: of a heading, from 1 (a part or chapter) to 6, else 0.
    """

    text: Traced
    kind: Kind = Kind.PROSE
    level: int = 0
    title: str = ""


_BLANK = re.compile(r"\n(?: *+\n)++")
_SPACES = re.compile(r" {2,}")
_NEWLINE = re.compile(r" *+\n *")
_LINE_HYPHEN = re.compile(r"(?<=\w)- *+\n *(?=\w)")
_HYPHENATED = re.compile(r"(-?)(\w{1,40})\Z")
_CELL = re.compile(rf"[ \n]*{marks.CELL}[ \n]*")
_HEADING_MARKS = "".join(marks.HEADINGS)
_MARKED = re.compile(rf"[{marks.ALL}]")

_TURN = re.compile(r"\"|'(?=[A-Z])(?=[^']*\w'[^\w])|[^\"]*[,:] \"[^\"]*\"$")
_BULLET = re.compile(r"(?:•|[-*+–—](?= )) *")
_LIST_ITEM = re.compile(
    r"(?:[•—]|[-*+–] |\(?[0-9]{1,3}[.)](?: |(?=[A-Z][a-z]))|\((?:[a-zA-Z]|[ivx]{1,5})\) |"
    r"(?:[a-z]|[ivx]{1,5})[.)] )"
)
#: In a list that begins with "I."; elsewhere these are initials.
_NUMERAL_ITEM = re.compile(r"[IVX]{1,6}[.)] (?=[A-Z])")
_LETTER_ITEM = re.compile(r"[A-Z][.)] (?=[A-Z])")
_ROMAN_ITEM = re.compile(r"(\(?)([ivx]{1,5})([.)]) ")
_ENDED = re.compile(r"[.!?:]['\")\]]*$")
_ROMANS = "i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx"
_ROMAN = {name: str(value) for value, name in enumerate(_ROMANS.split(" "), 1)}

#: Hard-wrapped prose: no line longer than this many characters …
_WRAP_LONGEST = 100
#: … and at least this share of the longest line in each line that does not close a paragraph.
_WRAP_SHORTEST = 0.6
#: A line of verse is at most this long.
_VERSE_LONGEST = 60

#: First halves of words that keep their hyphen at a line's end.
_COMPOUNDS = frozenset(
    (
        *("self", "well", "half", "ex", "all", "ill", "cross", "so", "great", "mother", "father"),
        *("sister", "brother", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty"),
        *("ninety", "quarter", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
        *("ten", "one", "first", "second", "third", "long", "short", "high", "low", "old", "new"),
        *("hard", "soft", "full", "left", "right", "ever", "good", "bad", "free", "dark", "light"),
        *(
            "red",
            "blue",
            "green",
            "black",
            "white",
            "open",
            "deep",
            "far",
            "near",
            "small",
            "large",
        ),
        *(
            "non",
            "anti",
            "semi",
            "quasi",
            "vice",
            "by",
            "passer",
            "man",
            "woman",
            "broad",
            "narrow",
        ),
    )
)


def blocks(text: Traced) -> list[Block]:
    """The blocks of cleaned text, in order, none but a break between scenes without a letter.

    A blank line always parts blocks. Within one, a line break does so too where the lines are not
    simply wrapped: after a finished sentence, and before an item of a list. A line of verse that
    ends without punctuation gets a comma, the small pause that a reader makes there.
    """
    text = _without_line_hyphens(text)
    text = text.sub(_CELL, ", ") if marks.CELL in text.text else text
    found: list[Block] = []
    start = 0
    for gap in _BLANK.finditer(text.text):
        found += _of_stretch(text.part(start, gap.start()))
        start = gap.end()
    found += _of_stretch(text.part(start, len(text)))
    return _with_bare_headings(found)


def _without_line_hyphens(text: Traced) -> Traced:
    """Words that were divided at the end of a line in one piece."""
    if "-" not in text.text:
        return text

    def join(match: re.Match[str]) -> str:
        first = _HYPHENATED.search(match.string, max(0, match.start() - 40), match.start())
        half = first[2] if first else ""
        if first and first[1]:
            # "mother-in-law" is divided at a hyphen of its own.
            return "-"
        divided = half.islower() or half.istitle()
        if divided and match.string[match.end()].islower() and half.lower() not in _COMPOUNDS:
            return ""
        return "-"

    return text.sub(_LINE_HYPHEN, join)


def _of_stretch(text: Traced) -> list[Block]:
    """The blocks between two blank lines."""
    text = text.stripped(" \n")
    if not text.text:
        return []
    text = text.sub(_SPACES, " ") if "  " in text.text else text
    if "\n" not in text.text:
        return [_block([text])]
    lines: list[Traced] = []
    start = 0
    for end in _NEWLINE.finditer(text.text):
        lines.append(text.part(start, end.start()))
        start = end.end()
    lines.append(text.part(start, len(text)))
    return _of_lines([line for line in lines if line.text])


def _of_lines(lines: list[Traced]) -> list[Block]:
    found: list[list[Traced]] = []
    headings = 0
    while len(lines) > headings + 1 and own_line(
        lines[headings].text,
        lines[headings + 1].text,
        first=not headings,
        above=lines[headings - 1].text if headings else "",
    ):
        headings += 1
    found += [[line] for line in lines[:headings]]
    rest = lines[headings:]
    wrapped = _is_wrapped([line.text for line in rest])
    items = sum(_LIST_ITEM.match(line.text) is not None for line in rest)
    numerals = len(rest) > 1 and rest[0].text.startswith(("I. ", "I) "))
    letters = len(rest) > 1 and (
        (rest[0].text[:3], rest[1].text[:3]) in (("A. ", "B. "), ("A) ", "B) "))
    )
    current: list[Traced] = []
    for number, line in enumerate(rest):
        item = _starts_item(line.text, items, number) or (
            (numerals and _NUMERAL_ITEM.match(line.text) is not None)
            or (letters and _LETTER_ITEM.match(line.text) is not None)
        )
        previous = current[-1].text if current else ""
        if current and (item or (not wrapped and _ENDED.search(previous[-4:]))):
            found.append(current)
            current = []
        elif current and not wrapped and not items and _is_verse(previous, line.text):
            current[-1] = joined((current[-1], line.part(0, 0)), ",")
        current.append(line)
    found.append(current)
    return _listed([_block(part) for part in found if part])


def _starts_item(line: str, items: int, number: int) -> bool:
    """Whether a line begins an item: a lone dash inside a paragraph is only a dash."""
    if line[:1] == marks.ITEM:
        return True
    if not _LIST_ITEM.match(line):
        return False
    return items > 1 or number > 0 or line[0] in "•—–"


def _listed(found: list[Block]) -> list[Block]:
    """Small Roman numerals as numbers, in a list that begins with the first of them."""
    roman = False
    listed: list[Block] = []
    for block in found:
        number = _ROMAN_ITEM.match(block.text.text)
        roman = bool(number) and (roman or number[2] == "i")  # type: ignore[index]
        if roman and number and number[2] in _ROMAN and len(found) > 1:
            digits = _ROMAN[number[2]]
            block = Block(
                block.text.sub(_ROMAN_ITEM_START, f"{number[1]}{digits}{number[3]} "), block.kind
            )
        listed.append(block)
    return listed


_ROMAN_ITEM_START = re.compile(r"\A\(?[ivx]{1,5}[.)] ")


def _block(lines: list[Traced]) -> Block:
    text = joined(lines, " ")
    first = text.text[0]
    if first in _HEADING_MARKS:
        return Block(_unmarked(text), Kind.HEADING, _HEADING_MARKS.index(first) + 1)
    if first == marks.SCENE:
        return Block(text.part(0, 0), Kind.SCENE)
    level = chapter_line(text.text)
    if level:
        return Block(_unmarked(text), Kind.HEADING, level)
    if first == marks.ITEM or _LIST_ITEM.match(text.text):
        text = _unmarked(text)
        bullet = _BULLET.match(text.text)
        # European printers open a turn of dialogue with a dash.
        speech = bullet is not None and bullet.group()[0] in "—–"
        text = text.part(bullet.end(), len(text)) if bullet else text
        return Block(text, Kind.TURN if speech else Kind.ITEM)
    text = _unmarked(text)
    return Block(text, Kind.TURN if _TURN.match(text.text) else Kind.PROSE)


def _unmarked(text: Traced) -> Traced:
    return text.sub(_MARKED, "") if _MARKED.search(text.text) else text


def _with_bare_headings(found: list[Block]) -> list[Block]:
    """A short line that ends without a mark, above a paragraph, is its heading."""
    after: list[Block] = []
    for number, block in enumerate(found):
        following = found[number + 1] if number + 1 < len(found) else None
        if following and block.kind is Kind.PROSE and following.kind in (Kind.PROSE, Kind.TURN):
            level = bare_heading(block.text.text, following.text.text)
            block = Block(block.text, Kind.HEADING, level) if level else block
        if any(map(str.isalnum, block.text.text)) or block.kind is Kind.SCENE:
            after.append(block)
    return after


def _is_wrapped(lines: list[str]) -> bool:
    """Whether the lines are one paragraph that was broken to a width."""
    if len(lines) < 2:
        return False
    longest = max(map(len, lines))
    return _VERSE_LONGEST <= longest <= _WRAP_LONGEST and all(
        len(line) >= _WRAP_SHORTEST * longest for line in lines[:-1]
    )


def _is_verse(line: str, following: str) -> bool:
    return (
        len(line) <= _VERSE_LONGEST
        and line[-1:].isalpha()
        and following.lstrip("'\"")[:1].isupper()
    )
