r"""How names and rare words are said: a list of ways of writing, each with what to read instead.

    lexicon = parse("Bingley\tBing-lee\nHermione\tHer my oh nee\n")
    segment(text, lexicon=lexicon)

A line has two to four columns, parted by tabs: what is written; what is read in its place; how it
is said, in IPA, for voices that take phonemes; and words that say how it is found. Blank lines and
those that begin with ``#`` are left out. Nothing in it is a pattern: what is written is found as it
stands, by a walk over the text that takes the same time whatever the list holds.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from csm.text.characters import clean
from csm.text.traced import Traced

#: The most that one list may hold.
MOST_LINES = 100_000
#: Characters that a column may have at most.
MOST_CHARACTERS = 200
#: Problems that are told at most.
_MOST_TOLD = 10

#: What text is walked over in: words, and marks one by one.
_ATOM = re.compile(r"\w+|[^\w\s]")
_EXACT, _INSIDE = "case", "part"


class BadLexicon(ValueError):
    """Lines that cannot be used; the text names each by its number and holds nothing of them."""


@dataclass(frozen=True)
class Entry:
    """One way of writing.

    Attributes:
        written: a word or phrase as the text has it.
        spelling: what is read in its place; empty to read what is written.
        ipa: how it is said, for voices that take phonemes; empty where that is not known.
        exact: whether capitals must be the same.
        inside: whether it is found inside words too, not only as a whole one.
    """

    written: str
    spelling: str
    ipa: str = ""
    exact: bool = False
    inside: bool = False


@dataclass(eq=False)
class _Node:
    """What can follow: the next atoms, and the entries that end here, by how they are written."""

    following: dict[str, _Node] = field(default_factory=dict)
    exact: dict[str, Entry] = field(default_factory=dict)
    any_case: Entry | None = None


class Lexicon:
    """Entries, ready to be found. Where two are for the same writing the later one counts.

    Args:
        entries: any number.
    """

    def __init__(self, entries: tuple[Entry, ...] = ()) -> None:
        self.entries = entries
        self._root = _Node()
        self._inside: dict[str, Entry] = {}
        for entry in entries:
            if entry.inside:
                self._inside[entry.written if entry.exact else entry.written.lower()] = entry
            else:
                self._add(entry)
        self._lengths = sorted({len(written) for written in self._inside}, reverse=True)
        self._spelled: dict[bool, Lexicon] = {}

    def __bool__(self) -> bool:
        return bool(self.entries)

    @property
    def digest(self) -> str:
        """Another one whenever an entry differs; empty where there are none."""
        if not self.entries:
            return ""
        return hashlib.blake2b(repr(self.entries).encode(), digest_size=8).hexdigest()

    def with_phonemes(self, taken: bool) -> Lexicon:
        """The entries that the text is spelled by, for a voice that takes phonemes or does not.

        What such a voice says by phonemes is ``csm.text.pronounced``.
        """
        if taken not in self._spelled:
            self._spelled[taken] = Lexicon(
                tuple(one for one in self.entries if one.spelling and not (taken and one.ipa))
            )
        return self._spelled[taken]

    def applied(self, text: Traced) -> Traced:
        """The text with what is written replaced by what is read; once, from left to right."""
        if not self.entries:
            return text
        edits = [(start, end, entry.spelling) for start, end, entry in self.found(text.text)]
        return text.replaced(edits) if edits else text

    def found(self, text: str) -> Iterator[tuple[int, int, Entry]]:
        """Where entries stand in a text, the longest at each place: start, end, entry."""
        atoms = list(_ATOM.finditer(text))
        number = 0
        while number < len(atoms):
            match = self._longest(text, atoms, number)
            if match is not None:
                last, entry = match
                yield atoms[number].start(), atoms[last].end(), entry
                number = last + 1
                continue
            if self._inside:
                yield from self._found_inside(atoms[number])
            number += 1

    def _add(self, entry: Entry) -> None:
        node = self._root
        for step in _steps(entry.written):
            node = node.following.setdefault(step.lower(), _Node())
        if entry.exact:
            node.exact[entry.written] = entry
        else:
            node.any_case = entry

    def _longest(
        self, text: str, atoms: list[re.Match[str]], number: int
    ) -> tuple[int, Entry] | None:
        node = self._root
        best = None
        first = atoms[number].start()
        for place in range(number, len(atoms)):
            atom = atoms[place]
            parted = place > number and atom.start() > atoms[place - 1].end()
            following = node.following.get((" " if parted else "") + atom.group().lower())
            if following is None:
                break
            node, entry = following, following.any_case
            if node.exact:
                written = " ".join(text[first : atom.end()].split())
                entry = node.exact.get(written) or entry
            if entry is not None:
                best = place, entry
        return best

    def _found_inside(self, atom: re.Match[str]) -> Iterator[tuple[int, int, Entry]]:
        word, place = atom.group(), 0
        while place < len(word):
            for length in self._lengths:
                part = word[place : place + length]
                entry = self._inside.get(part) or self._inside.get(part.lower())
                if (
                    entry is not None
                    and len(part) == length
                    and (not entry.exact or part == entry.written)
                ):
                    yield atom.start() + place, atom.start() + place + length, entry
                    place += length - 1
                    break
            place += 1


def _steps(written: str) -> Iterator[str]:
    """The atoms of an entry, each with a space before it where one stands there."""
    end = None
    for atom in _ATOM.finditer(written):
        parted = end is not None and atom.start() > end
        yield (" " if parted else "") + atom.group()
        end = atom.end()


#: A list that holds nothing.
EMPTY = Lexicon()


def parse(text: str) -> Lexicon:
    """Read a list.

    Raises:
        BadLexicon: lines cannot be used, or there are too many.
    """
    entries: dict[tuple[str, bool, bool], Entry] = {}
    lines: dict[tuple[str, bool, bool], int] = {}
    problems: list[str] = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        if number > MOST_LINES:
            problems.append(f"it has more than {MOST_LINES:,} lines")
            break
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            entry = _entry(line)
            written = entry.written if entry.exact else entry.written.lower()
            key = written, entry.exact, entry.inside
            if key in entries:
                raise ValueError(f"is for the same writing as line {lines[key]}")
        except ValueError as error:
            problems.append(f"line {number} {error}")
            continue
        entries[key], lines[key] = entry, number
    if problems:
        told = problems[:_MOST_TOLD]
        if len(problems) > len(told):
            told.append(f"and {len(problems) - len(told):,} more")
        raise BadLexicon("; ".join(told))
    return Lexicon(tuple(entries.values()))


def _entry(line: str) -> Entry:
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) < 2:
        raise ValueError("has no tab between what is written and what is read")
    if len(columns) > 4:
        raise ValueError("has more than four columns")
    written, spelling, ipa, rules = (*columns, "", "")[:4]
    if max(map(len, columns)) > MOST_CHARACTERS:
        raise ValueError(f"has a column of more than {MOST_CHARACTERS} characters")
    unknown = set(rules.split()) - {_EXACT, _INSIDE}
    if unknown:
        raise ValueError(f'has other rules than "{_EXACT}" and "{_INSIDE}" in its fourth column')
    # As the text is when it is looked through: straight quotes, composed letters.
    written = " ".join(clean(Traced(written)).text.split())
    spelling = " ".join(clean(Traced(spelling)).text.split())
    ipa = unicodedata.normalize("NFD", ipa.strip("/"))
    if not any(map(str.isalnum, written)):
        raise ValueError("has no letter or digit in what is written")
    if not spelling and not ipa:
        raise ValueError("says neither what is read nor how it is said")
    if spelling and not any(map(str.isalnum, spelling)):
        raise ValueError("has no letter or digit in what is read")
    if ipa and (any(mark in ipa for mark in "[]{}<>") or any(map(str.isdigit, ipa))):
        raise ValueError("has signs in its third column that are no IPA")
    if _INSIDE in rules.split() and not re.fullmatch(r"\w+", written):
        raise ValueError(f'is to be found inside words ("{_INSIDE}") and is no part of one')
    if _INSIDE in rules.split() and ipa:
        raise ValueError(f'is to be found inside words ("{_INSIDE}"), which takes no IPA')
    return Entry(written, spelling, ipa, _EXACT in rules.split(), _INSIDE in rules.split())


def merged(first: Lexicon, second: Lexicon) -> Lexicon:
    """Both lists; where they are for the same writing, the second counts."""
    if not first or not second:
        return second or first
    own: Mapping[Any, Entry] = {_key(entry): entry for entry in second.entries}
    kept = tuple(entry for entry in first.entries if _key(entry) not in own)
    return Lexicon(kept + second.entries)


def _key(entry: Entry) -> str:
    return entry.written.lower()
