"""Normalised text to the segments that a speech engine reads in one breath each."""

from __future__ import annotations

import re
from dataclasses import dataclass

import nupunkt

#: Seconds of silence after a segment that ends a sentence, a paragraph, or a part of a sentence
#: that was too long for one segment.
SENTENCE_PAUSE = 0.35
PARAGRAPH_PAUSE = 0.9
CLAUSE_PAUSE = 0.2

#: Sentences are gathered until a segment has this many characters.
_ENOUGH = 120
#: Nothing shorter than this is spoken alone: voices make gibberish of it.
_TOO_SHORT = 20

_QUOTED_END = re.compile(
    r"(?<=[.!?]['\"]) (?=['\"]?[^\W\d_a-z])|(?<=[.!?]['\"]{2}) (?=[^\W\d_a-z])"
)
_CLAUSE_END = re.compile(r"[,;:][\"']? ")


@dataclass(frozen=True)
class Segment:
    """What is spoken in one go.

    Attributes:
        text: ends in ``.``, ``?`` or ``!``, with closing quotes after it if it has some.
        pause_seconds: the silence after it; 0 after the last segment of a text.
    """

    text: str
    pause_seconds: float


def pack(paragraphs: list[str], max_characters: int) -> list[Segment]:
    """The segments of normalised paragraphs, each at most ``max_characters`` long.

    Words keep their order and none is lost. Sentences of a paragraph share a segment until it is
    long enough; paragraphs share one only where one of them is too short to be read alone.
    """
    parts: list[Segment] = []
    for paragraph in paragraphs:
        spoken = _pack_sentences(_sentences(paragraph), max_characters)
        if spoken:
            spoken[-1] = Segment(spoken[-1].text, PARAGRAPH_PAUSE)
            parts += spoken
    parts = _without_short(parts, max_characters)
    if parts:
        parts[-1] = Segment(parts[-1].text, 0.0)
    return parts


def _sentences(paragraph: str) -> list[str]:
    sentences: list[str] = []
    # The splitter's time grows with the square of a run of marks; normalised text holds no runs.
    for sentence in nupunkt.sent_tokenize(paragraph):
        # It sometimes carries on after a closing quote.
        sentences += _QUOTED_END.split(sentence.strip())
    return [sentence for sentence in sentences if any(map(str.isalnum, sentence))]


def _pack_sentences(sentences: list[str], limit: int) -> list[Segment]:
    packed: list[Segment] = []
    current = ""
    for sentence in map(_finished, sentences):
        joined = f"{current} {sentence}" if current else sentence
        if len(joined) <= limit and len(current) < min(_ENOUGH, limit // 2):
            current = joined
            continue
        if current:
            packed.append(Segment(current, SENTENCE_PAUSE))
        *cut, current = _balanced(sentence, limit)
        packed += [Segment(part, CLAUSE_PAUSE) for part in cut]
    if current:
        packed.append(Segment(current, SENTENCE_PAUSE))
    return packed


def _without_short(parts: list[Segment], limit: int) -> list[Segment]:
    """Join what is too short to its follower, or at the end to what goes before it."""
    kept: list[Segment] = []
    for part in parts:
        if kept and len(kept[-1].text) < _TOO_SHORT:
            part = _joined(kept.pop(), part)
        kept += _cut(part, limit)
    if len(kept) > 1 and len(kept[-1].text) < _TOO_SHORT:
        last = kept.pop()
        kept += _cut(_joined(kept.pop(), last), limit)
    return kept


def _joined(first: Segment, second: Segment) -> Segment:
    return Segment(f"{first.text} {second.text}", second.pause_seconds)


def _cut(part: Segment, limit: int) -> list[Segment]:
    *cut, last = _balanced(part.text, limit)
    return [*(Segment(text, CLAUSE_PAUSE) for text in cut), Segment(last, part.pause_seconds)]


def _balanced(text: str, limit: int) -> list[str]:
    """Cut ``text`` into parts of similar length, at clauses if possible, each finished."""
    if len(text) <= limit:
        return [text]
    parts: list[str] = []
    start = 0
    # A part may gain the stop that finishes it.
    room = limit - 1
    while len(text) - start > room:
        left = len(text) - start
        target = start + left // -(-left // room)
        cut = _nearest_break(text, start + room // 3, min(start + room, len(text) - 1), target)
        parts.append(_finished(text[start:cut]))
        start = cut
    parts.append(_finished(text[start:]))
    return [part for part in parts if part]


def _nearest_break(text: str, low: int, high: int, target: int) -> int:
    """The end of a clause in ``low..high`` nearest to ``target``, else a space, else the target."""
    clauses = [match.end() for match in _CLAUSE_END.finditer(text, low, high)]
    if clauses:
        return min(clauses, key=lambda cut: abs(cut - target))
    before, after = text.rfind(" ", low, target), text.find(" ", target, high)
    spaces = [cut + 1 for cut in (before, after) if cut >= 0]
    return min(spaces, key=lambda cut: abs(cut - target)) if spaces else target


def _finished(sentence: str) -> str:
    """``sentence`` with a stop at its end, inside its closing quotes; "" if nothing is left."""
    sentence = sentence.strip(" ")
    words = sentence.rstrip("\"'")
    quotes = sentence[len(words) :]
    words = words.rstrip(" ,;:-")
    if not any(map(str.isalnum, words)):
        return ""
    return f"{words}{'' if words[-1] in '.!?' else '.'}{quotes}"
