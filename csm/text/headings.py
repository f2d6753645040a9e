"""Which lines are headings, where no markup says so."""

from __future__ import annotations

import re

from csm.text.vocabulary import words

_SMALL = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "hundred first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
    "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth "
    "thirtieth last"
)
_NUMBER = (
    rf"(?:the )?(?:[0-9]{{1,4}}|[ivxlc]{{1,9}}|(?:{'|'.join(_SMALL.split())})"
    rf"(?:[ -](?:{'|'.join(_SMALL.split())}|and)){{0,4}}|[a-z](?=[.: ]*$))"
)
_DIVISIONS = {"part": 1, "book": 1, "volume": 1, "act": 1, "chapter": 2, "canto": 2, "stave": 2}
_DIVISIONS |= {"scene": 3, "section": 3, "letter": 2, "appendix": 2, "epistle": 2, "lesson": 2}
_DIVISION = re.compile(
    rf"['\"]?({'|'.join(_DIVISIONS)})\.? ({_NUMBER})(?![\w'])\s*([.:—–-]*)\s*", re.IGNORECASE
)
_ALONE = re.compile(
    r"(?:the )?(prologue|epilogue|preface|foreword|introduction|afterword|interlude|contents"
    r"|conclusion|acknowledge?ments|dedication|appendix|author's note|table of contents|the end"
    r"|glossary|bibliography|index|intermission|postscript)\s*[.:]?",
    re.IGNORECASE,
)
_NUMERAL = re.compile(r"(?:[0-9]{1,3}|[IVXLC]{1,9})\s*[.:]?")
#: A division without its title, which may stand on the line below.
_NUMBER_ALONE = re.compile(
    rf"(?:{'|'.join(_DIVISIONS)})\.? {_NUMBER}[.: ]*|{_NUMERAL.pattern}", re.IGNORECASE
)
_SMALL_IN_TITLES = words(
    "a an the of and or nor but to in on at for from with by as into upon de la le du von van &"
)
_ENDS_OPEN = re.compile(r"[.!?:;,…'\"—–-]$")
_ENDS_SENTENCE = re.compile(r"[!?;,'\"—–-]$")
_SENTENCE_END = re.compile(r"[.!?]['\"]*$")
_LETTERS = re.compile(r"[^\W\d_]")

#: Longer lines are sentences.
_LONGEST_TITLE = 80
_LONGEST_BARE = 60


def chapter_line(line: str) -> int:
    """The level of a line that names a division of a book, with or without a title; else 0."""
    if len(line) > _LONGEST_TITLE:
        return 0
    division = _DIVISION.match(line)
    if division:
        title = line[division.end() :]
        if not title or (
            (division[3] or line.isupper())
            and _is_title(title)
            # "Part I. I went home." goes on; so does "Book 2, page 3".
            and not title.startswith(("'", ","))
        ):
            return _DIVISIONS[division[1].lower()]
        if _is_title(title) and title[:1].isupper() and title.istitle():
            return _DIVISIONS[division[1].lower()]
        return 0
    return 2 if _ALONE.fullmatch(line) and line[0].isupper() else 0


def _is_title(words: str) -> bool:
    first = words.lstrip("'\"(")[:1]
    return (first.isupper() or first.isdigit()) and not _ENDS_SENTENCE.search(words)


def _is_titled(line: str, following: str) -> bool:
    """Whether a line is written as titles are, each long word with a capital."""
    return (
        len(line) <= _LONGEST_BARE
        and len(line) < len(following)
        and line[:1].isupper()
        and not _ENDS_OPEN.search(line)
        and all(word[:1].isupper() or word in _SMALL_IN_TITLES for word in line.split())
    )


def own_line(line: str, following: str, *, first: bool, above: str = "") -> bool:
    """Whether a line above others is a heading, as no wrapped sentence would break there.

    Args:
        line: the line.
        following: the one below.
        first: whether it is the first after a blank line; titles follow chapters' numbers.
        above: the heading right above it, if any.
    """
    if not following[:1].isupper() and following[:1] not in "'\"([0123456789":
        return False
    if chapter_line(line):
        return not line.endswith(",")
    if above and _NUMBER_ALONE.fullmatch(above) and _is_titled(line, following):
        return True
    if not first or len(line) > _LONGEST_BARE or not line.isupper():
        return False
    return (
        len(_LETTERS.findall(line)) >= 3
        and not following.isupper()
        and not _ENDS_SENTENCE.search(line)
    )


def bare_heading(text: str, following: str) -> int:
    """The level of a paragraph that is a heading by its look alone, else 0.

    Args:
        text: the paragraph.
        following: the one after it.
    """
    if _NUMERAL.fullmatch(text):
        return 0 if _NUMERAL.fullmatch(following) else 2
    if len(text) > _LONGEST_BARE or len(following) <= len(text) or _ENDS_OPEN.search(text):
        return 0
    long = len(following) > _LONGEST_BARE or _SENTENCE_END.search(following)
    return 3 if text[0].isupper() and long else 0
