"""Lines to paragraphs: hard-wrapped prose is joined, verse and lists keep their lines."""

from __future__ import annotations

import re

_BLANK = re.compile(r"\n[ \n]*\n")
_SPACES = re.compile(r" {2,}")
_BULLET = re.compile(r"^(?:•|[-*—–](?= )) *")
_LIST_ITEM = re.compile(r"^(?:•|[-*—–] |\(?[0-9]{1,3}[.)] |\(?[a-z]\) )")
_ENDED = re.compile(r"[.!?:]['\")\]]*$")

#: Hard-wrapped prose: no line longer than this many characters …
_WRAP_LONGEST = 100
#: … and at least this share of the longest line in each line that does not close a paragraph.
_WRAP_SHORTEST = 0.6
#: A line of verse is at most this long.
_VERSE_LONGEST = 60


def paragraphs(text: str) -> list[str]:
    """The paragraphs of cleaned text, each one line without a newline, none empty.

    A blank line always parts paragraphs. Within a block, a line break does so too where the lines
    are not simply wrapped: after a finished sentence, and before an item of a list. A line of verse
    that ends without punctuation gets a comma, the small pause that a reader makes there.
    """
    found: list[str] = []
    for block in _BLANK.split(text):
        lines = [line.strip() for line in _SPACES.sub(" ", block).split("\n")]
        found += _of_block([line for line in lines if line])
    return [paragraph for paragraph in found if paragraph]


def _of_block(lines: list[str]) -> list[str]:
    if not lines:
        return []
    wrapped = _is_wrapped(lines)
    found: list[list[str]] = [[]]
    for line in lines:
        current = found[-1]
        item = _LIST_ITEM.match(line) is not None
        if current and (item or (not wrapped and _ENDED.search(current[-1][-4:]))):
            current = []
            found.append(current)
        if current and not wrapped and _is_verse(current[-1], line):
            current[-1] += ","
        current.append(_BULLET.sub("", line))
    return [" ".join(part) for part in found]


def _is_wrapped(lines: list[str]) -> bool:
    """Whether the block is one paragraph whose lines were broken to a width."""
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
