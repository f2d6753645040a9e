"""Names and rare words of a text, for a lexicon: unknown to a dictionary, or heard wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from csm.text.lexicon import Lexicon
from csm.text.normalise import normalise
from narrator_daemon.errors import CannotRead, NotInstalled

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_ENDINGS = ("'s", "’s", "s", "es", "ed", "d", "ing", "ly", "er", "est", "ness", "less", "ish")
#: Words of fewer letters are no names that anybody says wrong.
_LEAST_LETTERS = 3
#: Words around a word, where it is looked for in what was heard.
_AROUND = 40
#: How often a word must be in the dictionary's texts to be no rare one.
_COMMON = 300


@dataclass(frozen=True)
class Suggestion:
    """A word that may be said wrong.

    Attributes:
        word: as it is written, in its most frequent form.
        count: how often.
        around: some of the text around its first place.
        heard: what a recogniser heard of it; empty where none listened, or it was heard right.
    """

    word: str
    count: int
    around: str
    heard: str = ""


def read(path: Path) -> str:
    """A text file.

    Raises:
        CannotRead: it is not there, or no UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CannotRead(f"cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise CannotRead(f"is not UTF-8 text (byte {error.start})", where=str(path)) from None


def suggest(text: str, known: Callable[[str], bool], lexicon: Lexicon) -> list[Suggestion]:
    """The words of a text that are not known, the most frequent first.

    Args:
        text: any.
        known: whether a dictionary has a word, in small letters.
        lexicon: what is in it is left out.
    """
    spans = [(start, end) for start, end, _ in lexicon.found(text)]
    forms: dict[str, Counter[str]] = {}
    places: dict[str, int] = {}
    for match in _WORD.finditer(text):
        word = re.sub(r"['’]s\Z", "", match.group())
        small = word.lower().replace("’", "'")
        if len(small) < _LEAST_LETTERS or is_known(small, known):
            continue
        if normalise(f"{word}.").rstrip(".").lower() != word.lower():
            continue  # an abbreviation, which is read as what it stands for
        if any(start <= match.start() < end for start, end in spans):
            continue
        forms.setdefault(small, Counter())[word] += 1
        places.setdefault(small, match.start())
    found = [
        Suggestion(
            counted.most_common(1)[0][0],
            counted.total(),
            " ".join(text[max(0, places[small] - _AROUND) : places[small] + _AROUND].split()),
        )
        for small, counted in forms.items()
    ]
    return sorted(found, key=lambda one: (-one.count, one.word.lower()))


def is_known(word: str, known: Callable[[str], bool]) -> bool:
    """Whether a dictionary has a word, a form of it, or all its parts."""
    if known(word):
        return True
    if "-" in word:
        return all(len(part) < _LEAST_LETTERS or is_known(part, known) for part in word.split("-"))
    for ending in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < _LEAST_LETTERS:
            continue
        doubled = stem[:-1] if stem[-1] == stem[-2] else stem
        if any(map(known, (stem, stem + "e", doubled, stem[:-1] + "y"))):
            return True
    return False


def dictionary(own: Path | None = None) -> Callable[[str], bool]:
    """What knows whether a word is one, in small letters.

    Args:
        own: a list of more words, a line each; None for none.

    Raises:
        NotInstalled: the extra ``names`` is not.
        CannotRead: that list cannot be read.
    """
    try:
        from spellchecker import SpellChecker
    except ImportError:
        raise NotInstalled(
            "the dictionary is not installed",
            advice="install it with: pip install 'narrator-daemon[names]'",
        ) from None
    words = frozenset(read(own).lower().split()) if own else frozenset()
    frequency = SpellChecker(language="en").word_frequency

    def known(word: str) -> bool:
        # Names are in it too, as often as they are in films.
        return word in words or frequency[word] >= _COMMON

    return known


def listen(
    found: Sequence[Suggestion], speak: Callable[[list[str]], Iterable[str]]
) -> list[Suggestion]:
    """The words with what is heard where they are read, those that are heard wrong first.

    Args:
        found: the words.
        speak: reads sentences aloud, and gives what a recogniser hears of each.
    """
    heard = speak([f"They spoke of {one.word} for a while." for one in found])
    told = [
        replace(one, heard="" if one.word.lower() in text.lower() else text)
        for one, text in zip(found, heard, strict=True)
    ]
    return sorted(told, key=lambda one: not one.heard)


def lines(found: Iterable[Suggestion]) -> Iterator[str]:
    """The beginning of a lexicon: each word in a comment, to be completed behind its tab."""
    for one in found:
        note = f"; heard: {one.heard}" if one.heard else ""
        yield f"# {one.count} × … {one.around} …{note}"
        yield f"#{one.word}\t"
