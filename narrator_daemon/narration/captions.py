"""What is heard when: WebVTT for players, JSON for pages that show the words as they are spoken.

Places in the text are those of the text as the book holds it, markup included, and are counted in
UTF-16 code units, as JavaScript does: ``text.slice(from, to)`` is the word.
"""

from __future__ import annotations

import html
import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from csm.text import Break
from csm.text.words import PageWord, page_words
from narrator_daemon.claims.book import text_hash
from narrator_daemon.narration.companions import Chapter
from narrator_daemon.narration.narrated import Narration
from narrator_daemon.narration.timing import TimedBy

#: Characters of one cue at most: two lines, as subtitles have them.
_CUE_CHARACTERS = 84
#: A cue may end at a comma once it has so many.
_CUE_ENOUGH = 42

_TAG = re.compile(r"<[^<>]{0,500}>")
#: Control characters, which end a cue in some readers, and halves of characters.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PAUSED = re.compile(r"[,;:—–][\"'”’»)]*\Z")


#: The kinds of files, by the names that they have in the database and as endings: the words with
#: their places, subtitles with the time of each word inside their cues, and the track of chapters.
CAPTION_FORMS = {
    "json": "application/json",
    "vtt": "text/vtt; charset=utf-8",
    "chapters": "text/vtt; charset=utf-8",
}


@dataclass(frozen=True)
class Captions:
    """What goes with a narration.

    Attributes:
        files: contents, by a name of ``CAPTION_FORMS``; a text without headings has no chapters.
    """

    files: dict[str, bytes]


@dataclass(frozen=True)
class _Timed:
    """A word of the page, and when it is heard."""

    word: PageWord
    start: float
    end: float


def captions_of(narration: Narration, text: str) -> Captions:
    """Say when what is heard.

    Args:
        narration: finished, its words' places found.
        text: that was read, as the book holds it.
    """
    timed = _timed(narration, text)
    document = json.dumps(_document(narration, text, timed), separators=(",", ":"))
    files = {"json": document.encode("ascii"), "vtt": _vtt(_cues(timed, narration, text))}
    if narration.chapters:
        files["chapters"] = _chapters(narration.chapters, narration.duration_seconds)
    return Captions(files)


def _timed(narration: Narration, text: str) -> list[list[_Timed]]:
    """Of each segment the words of the page that begin in it."""
    spoken = [word for part in narration.book_parts for word in part.segment.words]
    times = [place for part in narration.book_parts for place in part.words]
    of_segment = [number for number, part in enumerate(narration.book_parts) for _ in part.words]
    found: list[list[_Timed]] = [[] for _ in narration.book_parts]
    if len(times) != len(spoken):
        return found
    for word in page_words(spoken, text):
        start, end = times[word.first][0], times[word.first + word.count - 1][1]
        found[of_segment[word.first]].append(_Timed(word, start, max(start, end)))
    return found


def _document(narration: Narration, text: str, timed: Sequence[Sequence[_Timed]]) -> dict[str, Any]:
    units = _Units(text)
    by = {part.timed_by for part in narration.book_parts}
    notices = [
        {"start": round(one.start, 3), "end": round(one.end, 3), "text": one.text}
        for one in _notice_lines(narration)
    ]
    return {
        "version": 1,
        "textHash": text_hash(text),
        "duration": narration.duration_seconds,
        # The least exact of all segments'.
        "timedBy": next(one.value for one in reversed(TimedBy) if one in by or not by),
        "headings": list(_headings(narration, units)),
        "segments": [
            {
                "start": round(part.start_seconds, 3),
                "end": round(part.end_seconds, 3),
                "from": units.of(part.segment.start),
                "to": units.of(part.segment.end),
                "words": [
                    [
                        round(one.start, 3),
                        round(one.end, 3),
                        units.of(one.word.start),
                        units.of(one.word.end),
                    ]
                    for one in words
                ],
            }
            for part, words in zip(narration.book_parts, timed, strict=True)
        ],
        # Without places: the text does not hold them.
        **({"notices": notices} if notices else {}),
    }


def _headings(narration: Narration, units: _Units) -> Iterator[dict[str, Any]]:
    last = None
    for number, part in enumerate(narration.book_parts):
        for sentence, seconds in zip(part.segment.sentences, part.sentence_seconds, strict=True):
            heading = sentence.heading
            if heading is not None and heading is not last:
                yield {
                    "title": " ".join(heading.title.split()),
                    "level": heading.level,
                    "start": round(seconds, 3),
                    "from": units.of(sentence.start),
                    "segment": number,
                }
            last = heading


class _Units:
    """From code points to UTF-16 code units."""

    def __init__(self, text: str) -> None:
        self._wide = [place for place, character in enumerate(text) if character > "\uffff"]

    def of(self, place: int) -> int:
        """The place that many code points are at."""
        return place + bisect_left(self._wide, place)


@dataclass(frozen=True)
class _Cue:
    start_ms: int
    end_ms: int
    text: str


def _cues(timed: Sequence[Sequence[_Timed]], narration: Narration, text: str) -> Iterator[_Cue]:
    """A cue for each sentence, several for a long one; none overlaps another."""
    lasts = _last_words(narration)
    lines: list[list[tuple[_Timed, str]] | _Told] = [
        *_lines([word for words in timed for word in words], lasts, text),
        *_notice_lines(narration),
    ]
    lines.sort(key=_times)
    starts = [_ms(_times(line)[0]) for line in lines]
    for line, start, following in zip(lines, starts, [*starts, None][1:], strict=True):
        end = max(_ms(_times(line)[1]), start + 1)
        if following is not None:
            end = min(end, following)
        if end > start:
            shown = line.cue if isinstance(line, _Told) else _cue_text(line, start, end)
            yield _Cue(start, end, shown)


@dataclass(frozen=True)
class _Told:
    """A sentence of the spoken notice, which stands in no book."""

    start: float
    end: float
    text: str

    @property
    def cue(self) -> str:
        """What is shown of it, in a class of its own, so that pages can show it otherwise."""
        return f"<c.notice>{html.escape(_shown(self.text), quote=False)}</c>"


def _times(line: list[tuple[_Timed, str]] | _Told) -> tuple[float, float]:
    """When a cue begins and ends."""
    if isinstance(line, _Told):
        return line.start, line.end
    return line[0][0].start, line[-1][0].end


def _notice_lines(narration: Narration) -> Iterator[_Told]:
    for part in narration.parts:
        if part.is_notice:
            starts = part.sentence_seconds
            ends = [*starts[1:], part.end_seconds]
            for one, start, end in zip(part.segment.sentences, starts, ends, strict=True):
                yield _Told(start, end, one.text)


def _last_words(narration: Narration) -> set[int]:
    """The numbers of the words, as they are said, that end a sentence."""
    count = 0
    lasts: set[int] = set()
    for part in narration.book_parts:
        for sentence in part.segment.sentences:
            count += len(sentence.words)
            if sentence.follows is not Break.CLAUSE:
                lasts.add(count - 1)
    return lasts


def _lines(
    words: Sequence[_Timed], lasts: set[int], text: str
) -> Iterator[list[tuple[_Timed, str]]]:
    """The words of each cue, with what is shown of each.

    Args:
        words: of the page, all of them.
        lasts: numbers of words as they are said, after which a cue ends.
        text: the original.
    """
    line: list[tuple[_Timed, str]] = []
    length = 0
    for number, one in enumerate(words):
        begin, finish = one.word.outer
        shown = _shown(text[begin:finish])
        if line and length + len(shown) > _CUE_CHARACTERS:
            yield line
            line, length = [], 0
        following = words[number + 1] if number + 1 < len(words) else None
        glued = following is not None and following.word.outer[0] == finish
        line.append((one, shown if glued else shown + " "))
        length += len(shown) + 1
        said = range(one.word.first, one.word.first + one.word.count)
        if not lasts.isdisjoint(said) or (length >= _CUE_ENOUGH and _PAUSED.search(shown)):
            yield line
            line, length = [], 0
    if line:
        yield line


def _shown(stretch: str) -> str:
    """A stretch of the original as a cue shows it."""
    plain = html.unescape(_TAG.sub("", stretch))
    return " ".join(_CONTROL.sub(" ", plain).split())


def _cue_text(line: Sequence[tuple[_Timed, str]], start: int, end: int) -> str:
    """What a cue shows, with the time of each word; such times ascend between its own."""
    pieces: list[str] = []
    latest = start
    for one, shown in line:
        at = _ms(one.start)
        if latest < at < end:
            pieces.append(f"<{_clock(at)}>")
            latest = at
        pieces.append(html.escape(shown, quote=False))
    return "".join(pieces).strip()


def _chapters(chapters: Sequence[Chapter], duration: float) -> bytes:
    starts = [0, *(_ms(chapter.start_seconds) for chapter in chapters[1:]), _ms(duration)]
    return _vtt(
        _Cue(start, end, html.escape(chapter.title, quote=False))
        for chapter, (start, end) in zip(chapters, pairwise(starts), strict=True)
        if end > start and chapter.title
    )


def _vtt(cues: Iterator[_Cue]) -> bytes:
    blocks = (f"{_clock(cue.start_ms)} --> {_clock(cue.end_ms)}\n{cue.text}\n" for cue in cues)
    return "\n".join(["WEBVTT\n", *blocks]).encode("utf-8", "replace")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _clock(ms: int) -> str:
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}"
