"""Pauses that a text asks for: ``[pause 2s]``, ``[pause]``, ``<break time="500ms"/>``.

They are taken out before anything else reads the text, so that no rule meets them, and cut its
sentences where they stood.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from csm.text.segments import Break, Sentence, finished
from csm.text.traced import Traced
from csm.text.words import word_starts

#: Seconds of a pause whose length is not said, and of the shortest and longest that is made.
USUAL, SHORTEST, LONGEST = 1.0, 0.12, 10.0

_LENGTH = (
    r"(?P<{0}>[0-9]{{1,9}}(?:[.,][0-9]{{1,9}})?) ?(?P<{0}unit>ms|milliseconds?|s|secs?|seconds?)?"
)
_MARK = re.compile(
    rf"\[ ?(?:pause|silence)(?:[ :=] ?{_LENGTH.format('a')})? ?\]"
    rf"|<break(?:\s+time\s*=\s*[\"']?{_LENGTH.format('b')}[\"']?)?\s*/?>",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class PauseMark:
    """A pause that a text asks for.

    Attributes:
        place: where its mark begins, in code points.
        seconds: how long it is.
    """

    place: int
    seconds: float


def taken_out(text: str) -> tuple[Traced, list[PauseMark]]:
    """A text without its marks, and these."""
    edits: list[tuple[int, int, str]] = []
    marks: list[PauseMark] = []
    for match in _MARK.finditer(text):
        start, end = match.span()
        glued = not text[start - 1 : start].isspace() and not text[end : end + 1].isspace()
        edits.append((start, end, " " if glued else ""))
        marks.append(PauseMark(start, _seconds(match)))
    return Traced(text).replaced(edits) if edits else Traced(text), marks


def _seconds(match: re.Match[str]) -> float:
    name = "a" if match["a"] else "b"
    if not match[name]:
        return USUAL
    thousandths = (match[f"{name}unit"] or "s").lower().startswith("m")
    seconds = float(match[name].replace(",", ".")) / (1000 if thousandths else 1)
    return min(max(seconds, SHORTEST), LONGEST)


def paused(
    blocks: Sequence[Sequence[Sentence]], marks: Sequence[PauseMark]
) -> list[list[Sentence]]:
    """Sentences with the pauses of marks after them, cut where one stands inside.

    Of marks without a word between them the pauses add up. Those before the first word and behind
    the last say nothing: there is silence anyway.

    Args:
        blocks: the sentences of a text, by paragraphs.
        marks: of the same text, ascending.
    """
    made = [list(block) for block in blocks]
    waiting = list(reversed(marks))
    before: tuple[int, int] | None = None
    for number, block in enumerate(made):
        place = 0
        while place < len(block):
            sentence = block[place]
            starts = [word.start for word in sentence.words] or [sentence.start]
            # What stood between this sentence and the one before it.
            while waiting and waiting[-1].place <= starts[0]:
                mark = waiting.pop()
                if before is not None:
                    last = made[before[0]][before[1]]
                    made[before[0]][before[1]] = _with_pause(last, mark.seconds)
            if waiting and waiting[-1].place < starts[-1]:
                inside = sum(start < waiting[-1].place for start in starts)
                block[place : place + 1] = _cut(sentence, inside)
            before = number, place
            place += 1
    return made


def _with_pause(sentence: Sentence, seconds: float) -> Sentence:
    return replace(sentence, pause=min((sentence.pause or 0.0) + seconds, LONGEST))


def _cut(sentence: Sentence, words: int) -> list[Sentence]:
    """A sentence in two, the first of so many words; as it is where one would say nothing."""
    starts = word_starts(sentence.text)
    if len(starts) != len(sentence.words):
        return [sentence]
    at = starts[words]
    first, second = finished(sentence.text[:at], ","), finished(sentence.text[at:], ".")
    if not first or not second:
        return [sentence]
    one, two = sentence.words[:words], sentence.words[words:]
    return [
        replace(sentence, text=first, end=one[-1].end, words=one, follows=Break.CLAUSE, pause=None),
        replace(sentence, text=second, start=two[0].start, words=two),
    ]
