"""Names in a spoken text that are said by their IPA, for voices that take phonemes."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from functools import lru_cache

from csm.said import Said
from csm.text.lexicon import EMPTY, Entry, Lexicon
from csm.text.normalise import normalise

#: What no rule of normalisation changes: small letters, each word with a capital or none.
_UNCHANGED = re.compile(r"[A-Z]?[a-z]{2,}(?:[ -][A-Z]?[a-z]{2,})*")
_POSSESSIVE = re.compile(r"'s(?!\w)")
_HISSED = frozenset("szʃʒʧʤɕʑʂʐ")
_VOICELESS = frozenset("ptkfθxχɸ")


@lru_cache(maxsize=4)
def pronounced(lexicon: Lexicon) -> Lexicon:
    """The entries with IPA, written as a text has them once it is normalised.

    Args:
        lexicon: one that lives for longer than a narration is kept for the next.
    """
    return Lexicon(
        tuple(
            replace(one, written=written)
            for one in lexicon.entries
            if one.ipa and (written := _normalised(one))
        )
    )


def said(text: str, lexicon: Lexicon = EMPTY) -> list[Said]:
    """Where a text holds entries, with what is said there; ascending, none overlapping another.

    Args:
        text: normalised.
        lexicon: of ``pronounced``.
    """
    found: list[Said] = []
    for start, end, entry in lexicon.found(text) if lexicon else ():
        ipa = unicodedata.normalize("NFC", entry.ipa)
        ending = _POSSESSIVE.match(text, end)
        if ending:
            ipa, end = ipa + _possessive(ipa), ending.end()
        found.append(Said(start, end, ipa))
    return found


def _normalised(entry: Entry) -> str:
    if _UNCHANGED.fullmatch(entry.written):
        return entry.written
    return normalise(entry.written).replace("\n", " ").strip(" .")


def _possessive(ipa: str) -> str:
    last = next((sound for sound in reversed(ipa) if sound.isalpha()), "")
    if last in _HISSED:
        return "ɪz"
    return "s" if last in _VOICELESS else "z"
