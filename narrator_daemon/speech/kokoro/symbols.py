"""The symbols that Kokoro reads, and what text becomes on its way to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum, auto

from csm.said import Said

#: Kokoro-82M's own numbers: ``vocab`` of its config.json, Apache-2.0. 0 stands at both ends.
NUMBERS = {
    **{symbol: number for number, symbol in enumerate(";:,.!?", 1)},
    "—": 9,
    "…": 10,
    '"': 11,
    "(": 12,
    ")": 13,
    "“": 14,
    "”": 15,
    " ": 16,
    "\u0303": 17,
    "ʣ": 18,
    "ʥ": 19,
    "ʦ": 20,
    "ʨ": 21,
    "ᵝ": 22,
    "ꭧ": 23,
    "A": 24,
    "I": 25,
    "O": 31,
    "Q": 33,
    "S": 35,
    "T": 36,
    "W": 39,
    "Y": 41,
    "ᵊ": 42,
    "a": 43,
    "b": 44,
    "c": 45,
    "d": 46,
    "e": 47,
    "f": 48,
    "h": 50,
    "i": 51,
    "j": 52,
    "k": 53,
    "l": 54,
    "m": 55,
    "n": 56,
    "o": 57,
    "p": 58,
    "q": 59,
    "r": 60,
    "s": 61,
    "t": 62,
    "u": 63,
    "v": 64,
    "w": 65,
    "x": 66,
    "y": 67,
    "z": 68,
    "ɑ": 69,
    "ɐ": 70,
    "ɒ": 71,
    "æ": 72,
    "β": 75,
    "ɔ": 76,
    "ɕ": 77,
    "ç": 78,
    "ɖ": 80,
    "ð": 81,
    "ʤ": 82,
    "ə": 83,
    "ɚ": 85,
    "ɛ": 86,
    "ɜ": 87,
    "ɟ": 90,
    "ɡ": 92,
    "ɥ": 99,
    "ɨ": 101,
    "ɪ": 102,
    "ʝ": 103,
    "ɯ": 110,
    "ɰ": 111,
    "ŋ": 112,
    "ɳ": 113,
    "ɲ": 114,
    "ɴ": 115,
    "ø": 116,
    "ɸ": 118,
    "θ": 119,
    "œ": 120,
    "ɹ": 123,
    "ɾ": 125,
    "ɻ": 126,
    "ʁ": 128,
    "ɽ": 129,
    "ʂ": 130,
    "ʃ": 131,
    "ʈ": 132,
    "ʧ": 133,
    "ʊ": 135,
    "ʋ": 136,
    "ʌ": 138,
    "ɣ": 139,
    "ɤ": 140,
    "χ": 142,
    "ʎ": 143,
    "ʒ": 147,
    "ʔ": 148,
    "ˈ": 156,
    "ˌ": 157,
    "ː": 158,
    "ʰ": 162,
    "ʲ": 164,
    "↓": 169,
    "→": 171,
    "↗": 172,
    "↘": 173,
    "ᵻ": 177,
}


class _Kind(Enum):
    """What a part of a text is."""

    WORDS = auto()
    MARK = auto()
    GIVEN = auto()


#: Symbols that the model takes at once, without the two at the ends.
MOST_SYMBOLS = 510

#: Marks that the voice reads as pauses and tunes, where they end a word or begin one.
_MARKS = re.compile(
    r"""(?P<end>[;:,.!?…]+["”’')]*(?=\s|$) | \s[-–]+\s | [—–]+ | --+ | [“”"()])""", re.VERBOSE
)
_SPACES = re.compile(r"\s+")

#: From eSpeak NG's phonemes to those that the model was trained on. Source:
#: github.com/hexgrad/misaki, ``espeak.py`` (Apache-2.0).
_BOTH = (
    ("ʔˌn\u0329", "ʔn"),
    ("ʔn\u0329", "ʔn"),
    ("a^ɪ", "I"),
    ("a^ʊ", "W"),
    ("d^ʒ", "ʤ"),
    ("e^ɪ", "A"),
    ("t^ʃ", "ʧ"),
    ("ɔ^ɪ", "Y"),
    ("ə^l", "ᵊl"),
    ("ʲo", "jo"),
    ("ʲə", "jə"),
    ("ʲ", ""),
    ("ɚ", "əɹ"),
    ("r", "ɹ"),
    ("x", "k"),
    ("ç", "k"),
    ("ɐ", "ə"),
    ("ɬ", "l"),
    ("\u0303", ""),
)
_BRITISH = (("e^ə", "ɛː"), ("iə", "ɪə"), ("ə^ʊ", "Q"))
_AMERICAN = (("o^ʊ", "O"), ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɪə", "iə"), ("ː", ""))
_SYLLABIC = re.compile(r"(\S)\u0329")
#: "I", alone, before "am", or with a verb drawn to it: eSpeak NG gives it no stress, and the voice,
#: which was trained with some, then swallows it in every third sentence. Source: misaki, ``en.py``.
_PRONOUN = re.compile(r"(?<!\S)I(?=[mvld]?(?!\S)|ˈæm)")

#: Ties, and the points between syllables.
_UNTIED = re.compile("[.\u0361\u035c]")
#: What is typed for lack of the proper sign.
_PLAIN = str.maketrans({"'": "ˈ", ",": "ˌ", ":": "ː", "g": "ɡ"})
#: Two signs that are one sound.
_TOGETHER = re.compile("a(?=[ɪʊ])|e(?=[ɪə])|[oə](?=ʊ)|ɔ(?=ɪ)|t(?=ʃ)|d(?=ʒ)")

#: Stands in a text for what is said by its IPA: of private use, and in no text that is read.
_GIVEN = "\ue000"

#: From a text's phonemes, several texts at once.
Phonemise = Callable[[Sequence[str]], Sequence[str]]


def phonemes(text: str, phonemise: Phonemise, *, british: bool, said: Sequence[Said] = ()) -> str:
    """What the model reads for a text: phonemes, and the marks between them.

    Args:
        text: speakable, on one line or several.
        phonemise: eSpeak NG's phonemes of texts without marks.
        british: whether it is for a British voice.
        said: what of the text is said by its IPA.

    Returns:
        Symbols that are all in ``NUMBERS``; empty where nothing can be said.
    """
    pieces: list[str] = []
    done = 0
    for one in said:
        pieces += (text[done : one.start].replace(_GIVEN, ""), _GIVEN)
        done = one.end
    pieces.append(text[done:].replace(_GIVEN, ""))
    parts = _parts(_SPACES.sub(" ", "".join(pieces)).strip())
    heard = iter(phonemise([part for part, kind in parts if kind is _Kind.WORDS]))
    given = iter([from_ipa(one.ipa, british) for one in said])
    joined = "".join(
        part
        if kind is _Kind.MARK
        else next(given)
        if kind is _Kind.GIVEN
        else adapted(next(heard), british)
        for part, kind in parts
    )
    known = "".join(symbol for symbol in joined if symbol in NUMBERS)
    return _SPACES.sub(" ", known).strip()


def from_ipa(ipa: str, british: bool) -> str:
    """Phonemes as dictionaries write them, as those that the model knows.

    Args:
        ipa: composed (NFC).
        british: whether it is for a British voice.
    """
    ipa = _UNTIED.sub("", ipa).translate(_PLAIN)
    ipa = ipa.replace("oʊ", "əʊ") if british else ipa.replace("əʊ", "oʊ")
    return adapted(_TOGETHER.sub(lambda match: f"{match.group()}^", ipa), british)


def adapted(said: str, british: bool) -> str:
    """Phonemes of eSpeak NG as those that the model knows."""
    for old, new in (*_BOTH, *(_BRITISH if british else _AMERICAN)):
        said = said.replace(old, new)
    said = _SYLLABIC.sub(r"ᵊ\1", said).replace("ʔ", "t").replace("^", "")
    return _PRONOUN.sub("ˌI", said)


def _parts(text: str) -> list[tuple[str, _Kind]]:
    """The text in its order, cut into words to say, marks, and what is given."""
    found: list[tuple[str, _Kind]] = []
    at = 0
    for match in _MARKS.finditer(text):
        found += _words(text[at : match.start()])
        opens = match.start() == 0 or _opens(text, match)
        found.append((_mark(match.group(), opens=opens), _Kind.MARK))
        at = match.end()
    return found + _words(text[at:])


def _words(text: str) -> list[tuple[str, _Kind]]:
    """A stretch without marks, with the spaces around its words."""
    first, *others = text.split(_GIVEN)
    found = _plain_words(first)
    for other in others:
        found += [(_GIVEN, _Kind.GIVEN), *_plain_words(other)]
    return found


def _plain_words(text: str) -> list[tuple[str, _Kind]]:
    if not any(map(str.isalnum, text)):
        return [(" ", _Kind.MARK)] if text else []
    before, after = text[:1].isspace(), text[-1:].isspace()
    spaces = [(" ", _Kind.MARK)]
    return [*spaces[:before], (text.strip(), _Kind.WORDS), *spaces[:after]]


def _opens(text: str, match: re.Match[str]) -> bool:
    return text[match.start() - 1] in " (—"


def _mark(found: str, *, opens: bool) -> str:
    if found.strip(" -–—") == "":
        return "—"
    quote = "“" if opens else "”"
    kept = [quote if one == '"' else one for one in found if one not in "'’"]
    return "".join(kept).replace("...", "…")


def cut(said: str, most: int = MOST_SYMBOLS) -> list[str]:
    """Symbols in parts that the model takes, cut behind marks, else at spaces, else anywhere.

    Nothing is lost but spaces at the cuts.
    """
    parts = []
    while len(said) > most:
        head = said[: most + 1]
        places = [head.rfind(f"{mark} ") + 1 for mark in ".!?…;:,—”)"]
        place = max(places) or head.rfind(" ")
        if place <= 0:
            place = most
        parts.append(said[:place].strip())
        said = said[place:].strip()
    return [*parts, said] if said else parts
