"""Spoken blocks to the segments that a speech engine reads in one breath each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum
from functools import cached_property

import nupunkt

from csm.text.cutting import cuts
from csm.text.dialogue import Cast, roles
from csm.text.layout import Block, Kind
from csm.text.words import Word, word_starts, words_of, words_of_part

#: Sentences are gathered until a segment has this many characters.
_ENOUGH = 120
#: Of what another voice reads, nothing shorter than this is spoken alone.
_TOO_SHORT_FOR_A_VOICE = 10
#: Nothing shorter than this is spoken alone: voices make gibberish of it.
TOO_SHORT = 20

_QUOTED_END = re.compile(
    r"(?<=[.!?]['\"]) (?=['\"]?[^\W\d_a-z])|(?<=[.!?]['\"]{2}) (?=[^\W\d_a-z])"
)
_SHOUTED = re.compile(
    r"\b(?:shout|yell|scream|bellow|roar|shriek|holler|thunder|bawl|howl)(?:ed|s|ing)?\b"
    r"|\bat the top of (?:his|her|their|my) (?:voice|lungs)\b|!\"",
    re.IGNORECASE,
)
_WHISPERED = re.compile(
    r"\b(?:whisper|murmur|mutter|mumble)(?:ed|s|ing|d)?\b|\bunder (?:his|her|my|their) breath\b"
    r"|\bsotto voce\b|\bin a (?:low|small|hushed|faint) voice\b|\bsaid (?:softly|quietly)\b",
    re.IGNORECASE,
)


class Break(IntEnum):
    """What comes after a sentence, from the shortest pause to the longest."""

    CLAUSE = 1
    SENTENCE = 2
    TURN = 3
    ITEM = 4
    PARAGRAPH = 5
    HEADING = 6
    SCENE = 7
    CHAPTER = 8
    END = 9


class Delivery(Enum):
    """How loud the text asks to be read."""

    PLAIN = "plain"
    LOUD = "loud"
    QUIET = "quiet"


@dataclass(frozen=True)
class Heading:
    """A heading of the text.

    Attributes:
        title: as it was written, without markup.
        level: 1 or 2 opens a chapter; up to 6.
    """

    title: str
    level: int


@dataclass(frozen=True)
class Sentence:
    """A sentence, or a part of one that was too long for a segment.

    Attributes:
        text: ends in ``.``, ``?`` or ``!``, a part that goes on in ``,``, ``;`` or ``:``; with
            closing quotes after it if it has some.
        start: where in the original text it begins, in code points.
        end: where it ends there.
        follows: what comes after it.
        heading: the heading it belongs to, if it does.
        words: its words, with their places in the original.
        voice: who reads it, as the cast has it; empty for the narrator.
        pause: seconds of silence after it, where the text asks for them; None for what is usual.
    """

    text: str
    start: int
    end: int
    follows: Break = Break.SENTENCE
    heading: Heading | None = None
    words: tuple[Word, ...] = field(default=(), compare=False, repr=False)
    voice: str = ""
    pause: float | None = None


@dataclass(frozen=True)
class Segment:
    """What is spoken in one go.

    Attributes:
        sentences: at least one, in order.
    """

    sentences: tuple[Sentence, ...]

    @cached_property
    def text(self) -> str:
        """What the engine is given."""
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def voice(self) -> str:
        """Who reads it: whoever reads most of it."""
        return max(self.sentences, key=lambda sentence: len(sentence.text)).voice

    @property
    def words(self) -> tuple[Word, ...]:
        """Of each word of the text its place in the original."""
        return tuple(word for sentence in self.sentences for word in sentence.words)

    @property
    def shares(self) -> tuple[float, ...]:
        """What share of the text, 0..1, is behind each sentence once it is read; the last is 1."""
        lengths = itertools.accumulate(len(sentence.text) + 1 for sentence in self.sentences)
        return tuple(length / (len(self.text) + 1) for length in lengths)

    @property
    def start(self) -> int:
        """Where in the original text it begins, in code points."""
        return self.sentences[0].start

    @property
    def end(self) -> int:
        """Where in the original text it ends."""
        return self.sentences[-1].end

    @property
    def follows(self) -> Break:
        """What comes after it."""
        return self.sentences[-1].follows

    @property
    def delivery(self) -> Delivery:
        """Whether the text says that it is shouted or whispered."""
        if _SHOUTED.search(self.text):
            return Delivery.LOUD
        return Delivery.QUIET if _WHISPERED.search(self.text) else Delivery.PLAIN


def pack(
    blocks: list[Block],
    max_characters: int,
    cast: Cast | None = None,
    paused: Callable[[list[list[Sentence]]], list[list[Sentence]]] = lambda sentences: sentences,
) -> list[Segment]:
    """The segments of spoken blocks, each at most ``max_characters`` long.

    Words keep their order and none is lost. Sentences of a block share a segment until it is long
    enough; blocks share one only where one of them is too short to be read alone. With a cast, what
    different voices read is in different segments, but for what is too short to be read alone.
    """
    parts: list[Segment] = []
    for sentences in paused(list(_blocks_of_sentences(blocks, cast))):
        parts += _packed(sentences, max_characters)
    parts = _without_short(parts, max_characters)
    if parts:
        parts[-1] = _followed(parts[-1], Break.END)
    return parts


def _blocks_of_sentences(blocks: list[Block], cast: Cast | None) -> Iterator[list[Sentence]]:
    """The sentences of each block that has some, the last with the break after the block."""
    before: Block | None = None
    sentences: list[Sentence] = []
    scene = False
    none: list[tuple[int, int, str]] = []
    stretches = roles(blocks, cast) if cast else [none] * len(blocks)
    for block, voiced in zip(blocks, stretches, strict=True):
        if block.kind is Kind.SCENE:
            scene = True
            continue
        found = _sentences(block, voiced)
        if not found:
            continue
        if sentences and before is not None:
            yield [*sentences[:-1], replace(sentences[-1], follows=_break(before, block, scene))]
        before, sentences, scene = block, found, False
    if sentences:
        yield sentences


def _break(one: Block, two: Block, scene: bool) -> Break:
    """What parts two blocks."""
    if two.kind is Kind.HEADING and one.kind is not Kind.HEADING:
        return Break.CHAPTER if two.level <= 2 else Break.SCENE if scene else Break.HEADING
    if scene:
        return Break.SCENE
    if Kind.HEADING in (one.kind, two.kind):
        return Break.HEADING
    if two.kind is Kind.ITEM:
        return Break.ITEM
    return Break.TURN if one.kind is two.kind is Kind.TURN else Break.PARAGRAPH


def _sentences(block: Block, voiced: Sequence[tuple[int, int, str]] = ()) -> list[Sentence]:
    text = block.text.text
    heading = Heading(block.title, block.level) if block.kind is Kind.HEADING else None
    found: list[Sentence] = []
    for start, end, voice, last in _voiced(_spans(text), voiced):
        start += len(text[start:end]) - len(text[start:end].lstrip(" "))
        words = finished(text[start:end], "." if last else ",")
        if words and not found:
            # Voices know by it that a new sentence begins, if another goes before it.
            words = words[0].upper() + words[1:]
        if words:
            found.append(
                Sentence(
                    words,
                    block.text.start(start),
                    block.text.end(end),
                    heading=heading,
                    words=words_of(words, block.text, start, end),
                    voice=voice,
                    follows=Break.SENTENCE if last else Break.CLAUSE,
                )
            )
    return found


def _voiced(
    spans: Iterable[tuple[int, int]], voiced: Sequence[tuple[int, int, str]]
) -> Iterator[tuple[int, int, str, bool]]:
    """Sentences cut where another voice goes on: start, end, voice, whether its sentence ends."""
    for start, end in spans:
        place = start
        for first, last, voice in voiced:
            first, last = max(first, place), min(last, end)
            if first >= last:
                continue
            if place < first:
                yield place, first, "", False
            yield first, last, voice, last == end
            place = last
        if place < end:
            yield place, end, "", True


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where the sentences of a paragraph are."""
    # The splitter's time grows with the square of a run of marks; normalised text holds no runs.
    for start, end in nupunkt.sent_spans(text) if text else ():
        start += len(text[start:end]) - len(text[start:end].lstrip(" "))
        end = start + len(text[start:end].rstrip(" "))
        # It sometimes carries on after a closing quote.
        for gap in _QUOTED_END.finditer(text, start, end):
            yield start, gap.start()
            start = gap.end()
        yield start, end


def _packed(sentences: list[Sentence], limit: int) -> list[Segment]:
    packed: list[Segment] = []
    current: list[Sentence] = []
    length = 0
    for sentence in sentences:
        joined = length + 1 + len(sentence.text) if current else len(sentence.text)
        another = bool(current) and (
            current[-1].voice != sentence.voice or current[-1].pause is not None
        )
        if current and (another or joined > limit or length >= min(_ENOUGH, limit // 2)):
            packed.append(Segment(tuple(current)))
            current, joined = [], len(sentence.text)
        *cut, last = divided(sentence, limit)
        packed += [Segment((part,)) for part in cut]
        current, length = [*current, last], len(last.text) if cut else joined
    if current:
        packed.append(Segment(tuple(current)))
    return packed


def divided(sentence: Sentence, limit: int) -> list[Sentence]:
    """A sentence in parts of at most ``limit`` characters that sound as if they go on."""
    text = sentence.text
    if len(text) <= limit:
        return [sentence]
    parts: list[Sentence] = []
    # A part may gain the mark that keeps it open.
    places = [0, *cuts(text, limit - 1), len(text)]
    scale = (sentence.end - sentence.start) / len(text)
    starts = word_starts(text)
    for start, end in itertools.pairwise(places):
        last = end == len(text)
        words = finished(text[start:end], "." if last else ",")
        if words:
            origin = sentence.start + round(start * scale), sentence.start + round(end * scale)
            follows = sentence.follows if last else Break.CLAUSE
            pause = sentence.pause if last else None
            at = end - len(text[start:end].lstrip(" "))
            own = words_of_part(words, at, starts, sentence.words)
            parts.append(
                replace(
                    sentence,
                    text=words,
                    start=origin[0],
                    end=origin[1],
                    follows=follows,
                    words=own,
                    pause=pause,
                )
            )
    parts[-1] = replace(parts[-1], follows=sentence.follows, pause=sentence.pause)
    return parts


def _without_short(parts: list[Segment], limit: int) -> list[Segment]:
    """Join what is too short to be spoken alone to the neighbour it belongs to more closely."""
    kept: list[Segment] = []
    waiting = list(reversed(parts))
    while waiting:
        part = waiting.pop()
        if not (kept or waiting) or _stands_alone(part, kept, waiting):
            kept.append(part)
        elif waiting and (not kept or _parted(part) <= _parted(kept[-1])):
            waiting += reversed(_joined(part, waiting.pop(), limit))
        else:
            kept += _joined(kept.pop(), part, limit)
    return kept


def _parted(part: Segment) -> tuple[float, Break]:
    """How much a part is apart from what follows it."""
    return part.sentences[-1].pause or 0.0, part.follows


def _stands_alone(part: Segment, kept: list[Segment], waiting: list[Segment]) -> bool:
    """Whether a part is long enough; between those of other voices it need not be as long."""
    if len(part.text) >= TOO_SHORT:
        return True
    beside = (*kept[-1:], *waiting[-1:])
    others = all(other.voice != part.voice for other in beside)
    return others and len(part.text) >= _TOO_SHORT_FOR_A_VOICE


def _joined(one: Segment, two: Segment, limit: int) -> list[Segment]:
    """Two neighbours, one of them too short, as one segment or as two that are long enough."""
    sentences = one.sentences + two.sentences
    if len(one.text) + 1 + len(two.text) <= limit:
        return [Segment(sentences)]
    if len(one.text) < len(two.text):
        first, *rest = two.sentences
        inner, outer = divided(first, max(len(first.text) // 2 + 10, TOO_SHORT)), rest
        head = (*one.sentences, inner[0])
        tail = (*inner[1:], *outer)
        if len(inner) > 1:
            return [Segment(head), *_packed(list(tail), limit)]
        return [Segment(head), Segment(tuple(outer))]
    *rest, last = one.sentences
    inner = divided(last, max(len(last.text) // 2 + 10, TOO_SHORT))
    head = (*rest, *inner[:-1])
    tail = (inner[-1], *two.sentences)
    return [Segment(head), Segment(tail)]


def _followed(segment: Segment, follows: Break) -> Segment:
    *before, last = segment.sentences
    return Segment((*before, replace(last, follows=follows)))


def finished(sentence: str, mark: str) -> str:
    """``sentence`` with a mark at its end, inside its closing quotes; "" if nothing is left.

    Args:
        sentence: some text.
        mark: "." for the end of a sentence, "," where it goes on; put where it has none.
    """
    sentence = sentence.strip(" ")
    words = sentence.rstrip("\"'")
    quotes = sentence[len(words) :]
    words = words.rstrip(" -" if mark == "," else " ,;:-")
    if not any(map(str.isalnum, words)):
        return ""
    enough = ".!?,;:" if mark == "," else ".!?"
    return f"{words}{'' if words[-1] in enough else mark}{quotes}"


def headings(segments: Iterable[Segment]) -> list[tuple[int, Heading]]:
    """Each heading and the number of the segment it begins in, from 0."""
    found: list[tuple[int, Heading]] = []
    for number, segment in enumerate(segments):
        for sentence in segment.sentences:
            if sentence.heading and not (found and found[-1][1] is sentence.heading):
                found.append((number, sentence.heading))
    return found
