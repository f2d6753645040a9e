"""Who says what: quoted speech, and its speakers where rules find them for sure.

Found are speakers that are named beside what they say ("said Alice", "Alice looked up. ‘Why?’"),
whom "he" or "she" stands for where only one can be meant, and turns between two. What is not sure
has no speaker; a reader reads it as the narrator.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

from csm.text.layout import Block, Kind
from csm.text.vocabulary import words

#: Turns without a name that are believed, counted from the last one with.
_MOST_TURNS = 6
#: Narration of so many characters between two paragraphs of speech ends their turns.
_LONG_NARRATION = 300

_SAID = words(
    """
    said says asked asks cried cries replied replies answered answers returned whispered shouted
    exclaimed added continued observed remarked murmured muttered called began repeated inquired
    enquired demanded interrupted went ejaculated sighed screamed growled pleaded suggested thought
    laughed sobbed declared protested insisted retorted resumed responded persisted pursued
    stammered snapped grunted gasped groaned mumbled yelled roared rejoined assented explained
    grumbled sang faltered hesitated echoed ventured lamented panted chuckled hissed wailed drawled
    """
)
_VERB = rf"(?:{'|'.join(sorted(_SAID))})"
_TITLE = (
    r"(?:Mister|Missus|Miss|Ms|Doctor|Sir|Lady|Lord|Captain|Colonel|Major|Professor|Uncle|Aunt"
    r"|Father|Mother|Saint|King|Queen|Prince|Princess|Inspector|Sergeant|Reverend|Madame|Monsieur)"
)
_CAPITAL = r"[A-Z](?:[\w-]|'(?!s\b))*[a-z]"
_PLAIN_NAME = (
    rf"(?:{_TITLE} )?{_CAPITAL}(?: (?:of |de |von )?{_CAPITAL}){{0,2}}"
    r"(?:'s (?:[a-z]+ )?[a-z]+(?<!ed))?"
)
_KIN = (
    r"(?:[Hh]is|[Hh]er|[Mm]y) (?:[a-z]+ )?(?:wife|lady|husband|father|mother|sister|brother|aunt"
    r"|uncle|companion|friend|master|mistress|son|daughter|nephew|niece|cousin)"
)
_ROLE = rf"[Tt]he (?:[a-z]+ ){{0,2}}?(?:{_CAPITAL}(?: {_CAPITAL})?|[a-z]+)"
_NAME = rf"(?:{_PLAIN_NAME}|{_ROLE}|{_KIN}|I)"
_ADVERB = r"(?:(?:then|only|just|at last|[a-z]+ly|again|now) )?"

#: Narration after a quote: "said Alice", "Alice said", "she said".
_AFTER_INVERTED = re.compile(rf"\W*{_VERB} (?P<name>{_NAME}|he|she|they)(?![\w'])")
_AFTER = re.compile(rf"\W*(?P<name>{_NAME}|[Hh]e|[Ss]he) {_ADVERB}{_VERB}\b")
#: Narration before a quote: "Alice said:", "and Alice replied, very gravely,".
_BEFORE = re.compile(
    rf"(?:\A|[^\w'])(?P<name>{_NAME}|[Hh]e|[Ss]he) {_ADVERB}{_VERB}\b[^.!?\"]{{0,80}}[,:]\W*\Z"
)
_BEFORE_INVERTED = re.compile(rf"\b{_VERB} (?P<name>{_NAME})[^.!?\"]{{0,60}}[,:]\W*\Z")
#: A paragraph that tells what its speaker does: "Alice sighed. 'I think …'".
_DOES = (
    r"(?:[a-z]+ed|had|was|looked|took|made|rose|sat|stood|shook|gave|put|came|ran|felt|thought"
    r"|smiled|got|went|began|held|fell|drew|turned)"
)
_BEAT = re.compile(
    rf"(?P<name>{_PLAIN_NAME}|{_ROLE}|He|She) (?:[a-z]+ly |then |just |immediately )?{_DOES}\b"
)
_QUOTE = re.compile(r'"[^"]*(?:"|\Z)')
_ADDRESSED = re.compile(rf"(?:^\"|, )(?P<name>{_PLAIN_NAME})(?=[,!?.])")

#: Capitals that name nobody: how sentences begin.
_NO_NAME = words(
    """
    The A An And But Or So If When Then There This That These Those It Its He She They We You What
    Why How Who Where Which While After Before At On In For With From To Of By As Not No Yes Oh Ah
    Well Now Here His Her Their My Your Our One Two Some All Any Every Nothing Something Everything
    Nobody Somebody Perhaps Such Come Very Do Did Let Just Still Yet Once Never Sunday Monday
    Tuesday Wednesday Thursday Friday Saturday Chapter God Heaven Good Dear Please Indeed Even
    """
)
_THEY = re.compile(rf"\W*(?:they|both|all|everyone|everybody) (?:all |both )?{_VERB}\b")
_MALE = words(
    """
    mister sir lord king prince uncle father captain colonel major monsieur he boy man husband
    brother master son nephew gentleman landlord
    """
)
_FEMALE = words(
    """
    missus miss ms lady queen princess aunt mother madame she girl woman wife sister mistress
    daughter niece
    """
)
_SPELLED = {"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint", "capt": "captain"}


@dataclass(frozen=True)
class Cast:
    """Who reads what is said.

    Attributes:
        voices: by ``speaker_key`` of the speaker.
        dialogue: what reads all other quoted speech; empty for the narrator.
    """

    voices: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    dialogue: str = ""

    def voice_of(self, speaker: str) -> str:
        """The voice for a speaker; the one of a part of a name, where only one is meant."""
        key = speaker_key(speaker)
        if key in self.voices:
            return self.voices[key]
        parts = set(key.split())
        alike = {
            voice
            for name, voice in self.voices.items()
            if parts and (parts <= set(name.split()) or set(name.split()) <= parts)
        }
        return alike.pop() if len(alike) == 1 else self.dialogue


@dataclass(frozen=True)
class Quote:
    """Quoted speech in a paragraph.

    Attributes:
        block: the paragraph's number.
        start: where it begins in the paragraph's text, its mark included.
        end: where it ends there.
        speaker: as the text names them; empty where that is not sure.
    """

    block: int
    start: int
    end: int
    speaker: str = ""


def speaker_key(name: str) -> str:
    """What is compared of a speaker's name: small letters, titles in full, no article or stops."""
    parts = [_SPELLED.get(part, part) for part in re.findall(r"[\w'-]+", name.lower())]
    return " ".join(parts[1:] if parts[:1] == ["the"] and len(parts) > 1 else parts)


def roles(blocks: Sequence[Block], cast: Cast) -> list[list[tuple[int, int, str]]]:
    """Of each paragraph the stretches that another voice than the narrator's reads."""
    found: list[list[tuple[int, int, str]]] = [[] for _ in blocks]
    for quote in quotes(
        [block.text.text if block.kind is not Kind.HEADING else "" for block in blocks]
    ):
        voice = cast.voice_of(quote.speaker) if quote.speaker else cast.dialogue
        if voice:
            found[quote.block].append((quote.start, quote.end, voice))
    return found


def quotes(paragraphs: Sequence[str]) -> list[Quote]:
    """All quoted speech with its speakers.

    Args:
        paragraphs: as they are said: straight quotes, titles in full.
    """
    return _Attribution().all(paragraphs)


class _Attribution:
    """One walk through a text, remembering who spoke."""

    def __init__(self) -> None:
        #: Speakers of the paragraphs with quotes before this one, the last one last; "" not known.
        self._turns: list[str] = []
        self._unnamed = 0
        self._genders: dict[str, str] = {}
        #: Whom the narration just before tells of.
        self._subject = ""
        self._open = False

    def all(self, paragraphs: Sequence[str]) -> list[Quote]:
        found: list[Quote] = []
        for number, text in enumerate(paragraphs):
            spans = [match.span() for match in _QUOTE.finditer(text)]
            if not spans:
                self._told(text)
                continue
            goes_on = self._open and bool(self._turns)
            self._open = text.count('"') % 2 == 1
            speaker = self._turns[-1] if goes_on else self._speaker(text, spans)
            for start, end in spans:
                several = _THEY.match(text, end) is not None
                found.append(Quote(number, start, end, "" if several else speaker))
            if not goes_on:
                self._turns.append(speaker)
            self._subject = ""
        return found

    def _told(self, text: str) -> None:
        """A paragraph without speech: after a long one, turns are over."""
        if not text:
            return
        if len(text) > _LONG_NARRATION:
            self._turns.clear()
        beat = _BEAT.match(text)
        named = beat is not None and not _is_no_name(beat["name"])
        self._subject = self._who(beat["name"]) if beat and named else ""
        self._unnamed += 1

    def _speaker(self, text: str, spans: list[tuple[int, int]]) -> str:
        told = text[: spans[0][0]] or text[spans[-1][1] :].lstrip(" ,.")
        beat = _BEAT.match(told)
        subject = ""
        if beat is not None and not _is_no_name(beat["name"]):
            subject = self._who(beat["name"])
        called = {speaker_key(match["name"]) for match in _ADDRESSED.finditer(text)}
        for name in _tags(text, spans):
            small = name.lower()
            if small in ("he", "she"):
                found = self._meant("m" if small == "he" else "f", subject, called)
            else:
                found = "" if _is_no_name(name) else self._who(name)
            if found:
                self._unnamed = 0
                return found
            return ""
        if subject:
            self._unnamed = 0
            return subject
        self._unnamed += 1
        return self._by_turns(text, spans, called)

    def _who(self, name: str) -> str:
        """The name under which someone is known, where this one is a part of it or more."""
        parts = _parts(name)
        gender = _gender(parts)
        for other in reversed(list(dict.fromkeys(self._turns))):
            theirs = _parts(other)
            alike = parts <= theirs or theirs <= parts
            if other and alike and self._genders.get(other, gender or "m") == (gender or "m"):
                name = other
                break
        if gender:
            self._genders[name] = gender
        return name

    def _meant(self, gender: str, subject: str, called: set[str]) -> str:
        """Who "he" or "she" is; empty where that is not sure.

        Whom the paragraph begins with, else whom the narration before it tells of, else the only
        one of the last speakers that can be.
        """
        last = self._turns[-1] if self._turns else ""
        for name in (subject, self._subject):
            if name and self._genders.get(name, gender) == gender:
                self._genders[name] = gender
                return name
        spoke = [one for one in dict.fromkeys(reversed(self._turns[-6:])) if one and one != last]
        fitting = [
            name
            for name in spoke
            if self._genders.get(name, gender) == gender and not _is_called(name, called)
        ]
        if len(fitting) == 1 and last:
            return fitting[0]
        certain = [name for name in fitting if self._genders.get(name) == gender]
        return certain[0] if len(certain) == 1 else ""

    def _by_turns(self, text: str, spans: list[tuple[int, int]], called: set[str]) -> str:
        """The other of two who speak in turn, where nothing else stands beside what is said."""
        outside = [text[: spans[0][0]], text[spans[-1][1] :]]
        outside += [text[one[1] : two[0]] for one, two in pairwise(spans)]
        if "".join(outside).strip(" .,") or len(self._turns) < 2 or self._unnamed > _MOST_TURNS:
            return ""
        one, two = self._turns[-2:]
        if not one or not two or one == two:
            return ""
        if self._subject:
            # Something was done between: only whom it is said to tells who goes on.
            other = [name for name in (one, two) if not _is_called(name, called)]
            return other[0] if len(other) == 1 else ""
        return "" if _is_called(one, called) else one


def _parts(name: str) -> frozenset[str]:
    return frozenset(speaker_key(name).split()) - {"mister"}


def _gender(parts: Collection[str]) -> str:
    if not _FEMALE.isdisjoint(parts):
        return "f"
    return "" if _MALE.isdisjoint(parts) else "m"


def _is_called(name: str, called: set[str]) -> bool:
    return any(_parts(name) & _parts(one) for one in called)


def _tags(text: str, spans: list[tuple[int, int]]) -> Iterator[str]:
    """Names that stand beside verbs of saying next to a quote, the surest first."""
    ends = [*(start for start, _ in spans[1:]), len(text)]
    begins = [0, *(end for _, end in spans[:-1])]
    for (_, end), until in zip(spans, ends, strict=True):
        after = text[end:until]
        for pattern in (_AFTER_INVERTED, _AFTER):
            if match := pattern.match(after):
                yield match["name"]
    for (start, _), since in zip(spans, begins, strict=True):
        before = text[since:start]
        for pattern in (_BEFORE, _BEFORE_INVERTED):
            if match := pattern.search(before):
                yield match["name"]


def _is_no_name(name: str) -> bool:
    return name.split()[0] in _NO_NAME and not (name.startswith("The ") and len(name.split()) > 1)
