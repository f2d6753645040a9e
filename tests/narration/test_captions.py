"""What is said of when words are heard, and read back by parsers that are not ours."""

from __future__ import annotations

import io
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csm import SAMPLE_RATE
from csm.text import NothingToSpeak, segment
from narrator_daemon.narration.captions import captions_of
from narrator_daemon.narration.companions import chapters_of
from narrator_daemon.narration.marking import Mark
from narrator_daemon.narration.narrate import narrate
from narrator_daemon.narration.narrated import NarratedPart, Narration
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.narration.timing import TimedBy
from narrator_daemon.settings import Kept, Limits
from narrator_daemon.speech import Amended, Spoken
from tests.narration.test_narrate import KEY, Voice, said

PAGE = (
    "<h1>Chapter IV</h1><p>He <b>pa</b>id &pound;5 to 😀 Mr.&nbsp;Darcy &amp; the "
    "caf&eacute;&rsquo;s owner&mdash;in 1815!</p>\n<p>“Twenty-five,” he said, **20 %** off.</p>"
)


def made(text: str, *, word_seconds: float = 0.25, by: TimedBy = TimedBy.ENGINE) -> Narration:
    """A narration of a text in which each word takes as long as any other."""
    parts = []
    segments = segment(text)
    now = 0.5
    sentences: list[list[int]] = []
    for part in segments:
        begins, words = [], []
        start = now
        for sentence in part.sentences:
            begins.append(now)
            for _ in sentence.words:
                words.append((now, now + 0.8 * word_seconds))
                now += word_seconds
        sentences.append([round(begin * SAMPLE_RATE) for begin in begins])
        parts.append(NarratedPart(part.text, start, now, {}, part, tuple(begins), tuple(words), by))
        now += 0.5
    chapters = chapters_of(segments, sentences)
    return Narration(0, round(now, 3), tuple(parts), {}, chapters)


def document(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(captions_of(made(text), text).files["json"])
    return found


def as_javascript(text: str, begin: int, end: int) -> str:
    units = text.encode("utf-16-le", "surrogatepass")
    return units[2 * begin : 2 * end].decode("utf-16-le", "surrogatepass")


def words_on_the_page(text: str) -> list[str]:
    return [
        as_javascript(text, begin, end)
        for one in document(text)["segments"]
        for _, _, begin, end in one["words"]
    ]


def cues(vtt: bytes) -> list[tuple[float, float, str]]:
    """As FFmpeg reads them: start, end, text."""
    with av.open(io.BytesIO(vtt), format="webvtt") as file:
        return [
            (
                float(packet.pts * packet.time_base),
                float((packet.pts + packet.duration) * packet.time_base),
                bytes(packet).decode(),
            )
            for packet in file.demux()
            if packet.pts is not None
        ]


def test_words_are_found_on_the_page_as_it_is_written() -> None:
    assert words_on_the_page(PAGE) == [
        *("Chapter", "IV", "He", "pa</b>id", "&pound;5", "to", "Mr", "Darcy", "&amp;", "the"),
        *("caf&eacute;&rsquo;s", "owner", "in", "1815", "Twenty-five", "he", "said", "20 %", "off"),
    ]


def test_a_word_of_the_page_lasts_as_long_as_all_that_is_said_for_it() -> None:
    words = document("It was 1815 then, in that town.")["segments"][0]["words"]
    assert [round(end - start, 2) for start, end, _, _ in words[1:4]] == [0.2, 0.45, 0.2]


def test_a_word_that_stands_a_thousand_times_is_found_each_time() -> None:
    text = "again and " * 999 + "again."
    places = [word for one in document(text)["segments"] for word in one["words"]]
    assert [text[begin:end] for _, _, begin, end in places] == text.rstrip(".").split()
    assert len({begin for _, _, begin, _ in places}) == len(places)


def test_times_are_told_to_the_millisecond() -> None:
    text = "# One\n\nIt begins here, as all things do.\n\n# Two\n\nThe end of it."
    found = json.loads(captions_of(made(text, word_seconds=0.123_456), text).files["json"])
    words = [word[:2] for one in found["segments"] for word in one["words"]]
    times = [one[name] for one in found["segments"] for name in ("start", "end")]
    times += [one["start"] for one in found["headings"]] + [time for word in words for time in word]
    assert len(times) > 20
    assert times == [round(time, 3) for time in times]
    assert any(time != round(time, 2) for time in times)


def test_quotes_stand_as_they_are_and_what_could_be_markup_does_not() -> None:
    text = 'He said "no" & left for 5 &lt; 6 of them.'
    vtt = captions_of(made(text), text).files["vtt"].decode()
    assert '"no"' in vtt and "&quot;" not in vtt
    assert "&lt;" in vtt and "< " not in vtt


def test_times_of_a_long_book_go_on_after_an_hour() -> None:
    text = "It was a day."
    late = made(text)
    (part,) = late.parts

    def shown(later: float) -> list[str]:
        words = tuple((start + later, end + later) for start, end in part.words)
        vtt = captions_of(replace(late, parts=(replace(part, words=words),)), text).files["vtt"]
        return vtt.decode().splitlines()[2:]

    assert shown(36_610.0) == [
        "10:10:10.500 --> 10:10:11.450",
        "It <10:10:10.750>was <10:10:11.000>a <10:10:11.250>day.",
    ]
    assert shown(3599.25)[1] == "It <01:00:00.000>was <01:00:00.250>a <01:00:00.500>day."
    assert shown(59.25)[1] == "It <00:01:00.000>was <00:01:00.250>a <00:01:00.500>day."


def test_each_word_of_a_cue_but_the_first_has_its_time() -> None:
    text = "It was a bright cold day in April."
    vtt = captions_of(made(text), text).files["vtt"].decode()
    assert vtt.splitlines()[-1] == (
        "It <00:00:00.750>was <00:00:01.000>a <00:00:01.250>bright <00:00:01.500>cold "
        "<00:00:01.750>day <00:00:02.000>in <00:00:02.250>April."
    )


def test_words_that_begin_at_once_share_a_time() -> None:
    text = "It was a bright cold day in April."
    vtt = captions_of(made(text, word_seconds=0.0004), text).files["vtt"].decode()
    times = re.findall(r"<([\d:.]+)>", vtt)
    assert times == ["00:00:00.501", "00:00:00.502"]


def plain_cues(text: str) -> list[str]:
    """What each cue shows, without times."""
    shown = cues(captions_of(made(text), text).files["vtt"])
    return [re.sub(r"<[\d:.]+>", "", line) for _, _, line in shown]


@pytest.mark.parametrize(("last", "count"), [("x" * 13, 1), ("x" * 14, 2)])
def test_a_cue_holds_eighty_four_characters(last: str, count: int) -> None:
    text = f"{'aaaa ' * 14}{last}."
    assert len(text) == 83 + count
    assert len(plain_cues(text)) == count


@pytest.mark.parametrize("before", [f"{'bbbb ' * 16}bbb", "It was a cold day in April."])
@pytest.mark.parametrize(("last", "count"), [("x" * 13, 2), ("x" * 14, 3)])
def test_a_later_cue_holds_as_much(before: str, last: str, count: int) -> None:
    # What is before fills a cue or ends a sentence.
    found = plain_cues(f"{before} Aaaa {'aaaa ' * 13}{last}.")
    assert found[0].strip() == before and len(found) == count


@pytest.mark.parametrize(("first", "count"), [("aaaa", 1), ("aaaaa", 2)])
def test_a_cue_that_is_half_full_ends_at_a_comma(first: str, count: int) -> None:
    # Forty-one characters to the comma and what is behind it, or forty-two.
    text = f"{first} {'aaaa ' * 6}aaaa, and then no more."
    assert len(plain_cues(text)) == count


def test_where_words_and_times_do_not_agree_no_word_is_told() -> None:
    text = "It was a bright cold day in April."
    narration = made(text)
    part = replace(narration.parts[0], words=narration.parts[0].words[1:])
    files = captions_of(replace(narration, parts=(part,)), text).files
    (one,) = json.loads(files["json"])["segments"]
    assert (one["words"], files["vtt"]) == ([], b"WEBVTT\n")


def test_headings_and_chapters() -> None:
    text = (
        "# One & two\n\nIt begins here, as all things do.\n\n### Small\n\nMore.\n\n# Three\n\nEnd."
    )
    found = document(text)["headings"]
    assert [(one["title"], one["level"], text[one["from"] :][:3]) for one in found] == [
        ("One & two", 1, "One"),
        ("Small", 3, "Sma"),
        ("Three", 1, "Thr"),
    ]
    narration = made(text)
    track = cues(captions_of(narration, text).files["chapters"])
    assert [name for _, _, name in track] == ["One &amp; two", "Three"]
    assert track[0][0] == 0.0
    assert track[0][1] == track[1][0] == pytest.approx(found[2]["start"], abs=0.001)
    assert track[1][1] == pytest.approx(narration.duration_seconds, abs=0.001)


def test_a_text_without_headings_has_no_chapters() -> None:
    text = "He came home early, and nobody saw him."
    assert set(captions_of(made(text), text).files) == {"json", "vtt"}


def test_cues_end_with_sentences_and_not_with_abbreviations() -> None:
    text = "Mr. Bennet <i>replied</i> that he had not. It is, returned she, for Mrs. Long was here."
    shown = [
        "".join(part for part in line.split("<") for part in [part.partition(">")[2] or part])
        for _, _, line in cues(captions_of(made(text), text).files["vtt"])
    ]
    assert shown == [
        "Mr. Bennet replied that he had not.",
        "It is, returned she, for Mrs. Long was here.",
    ]


def test_what_looks_like_markup_is_shown_and_not_obeyed() -> None:
    text = "She wrote a &lt;script&gt; and x --&gt; y, and AT&amp;T sent it home again."
    vtt = captions_of(made(text), text).files["vtt"].decode()
    assert "<script" not in vtt
    assert vtt.count("-->") == len(cues(vtt.encode()))


def test_the_least_exact_times_are_told() -> None:
    text = "He came home early, and nobody saw him."
    told = [
        json.loads(captions_of(made(text, by=by), text).files["json"])["timedBy"] for by in TimedBy
    ]
    assert told == ["engine", "recogniser", "length"]


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.sampled_from(
            [
                *("Mr.", "5%", "<b>a", "b</b>", "&amp;", "😀", "\ud800", "1815", "no.", "“Oh!”"),
                *("word", "# Title\n\n", "£3", "-", "—", "...", "x" * 60, "&lt;i&gt;", "<p>"),
                *("\n\n", "\x00", "&#0;", "&#10;", "\x85", "\u2028", "WEBVTT", "NOTE"),
            ]
        ),
        max_size=40,
    ).map(" ".join),
    st.sampled_from([0.0, 0.0004, 0.25]),
)
def test_places_ascend_whatever_the_text(text: str, word_seconds: float) -> None:
    try:
        narration = made(text, word_seconds=word_seconds)
    except NothingToSpeak:
        return
    files = captions_of(narration, text).files
    words = [word for one in json.loads(files["json"])["segments"] for word in one["words"]]
    size = len(text.encode("utf-16-le", "surrogatepass")) // 2
    assert all(0 <= begin < end <= size for _, _, begin, end in words)
    assert all(one[3] <= two[2] for one, two in itertools.pairwise(words))
    assert all(start <= end for start, end, _, _ in words)
    read = cues(files["vtt"])
    assert len(read) == files["vtt"].count(b"-->")
    assert all(start < end for start, end, _ in read)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(read))


class Teller(Voice):
    """A voice that tells where its words begin, and amends what it said of its first segment."""

    def speak(self, segments, **asked):  # type: ignore[no-untyped-def]
        for index, text in enumerate(segments):
            if index not in asked["skip"]:
                self.asked.append(index)
                sound = said(text, index, asked["seed"])
                step = len(sound) / SAMPLE_RATE / len(text.split())
                starts = tuple(number * step for number in range(len(text.split())))
                yield Spoken(index, sound, {"draws": 1}, word_seconds=starts)
        yield Amended(0, {"draws": 2})


def test_what_an_engine_tells_is_kept_over_attempts(tmp_path: Path) -> None:
    text = "He came home early, and nobody saw him go. " * 8
    runs = []
    for _ in range(2):
        engine = Teller()
        runs.append(
            narrate(
                text,
                io.BytesIO(),
                engine=engine,
                limits=Limits(),
                seed=7,
                mark=Mark(KEY, 5, 1.5, False),
                kept=KeptSegments(Kept(folder=tmp_path)),
            )
        )
    assert not engine.asked  # all was kept
    assert {part.timed_by for part in runs[1].parts} == {TimedBy.ENGINE}
    assert [part.words for part in runs[0].parts] == [part.words for part in runs[1].parts]
    assert "words" not in runs[1].parts[0].note
    assert runs[1].parts[0].note["draws"] == 2


def test_without_anything_told_words_share_the_sound(tmp_path: Path) -> None:
    narration = narrate(
        "He came home early, and nobody saw him go, not even the cat.",
        io.BytesIO(),
        engine=Voice(),
        limits=Limits(),
        seed=7,
        mark=Mark(KEY, 5, 1.5, False),
        kept=KeptSegments(Kept(folder=tmp_path)),
    )
    (part,) = narration.parts
    assert part.timed_by is TimedBy.LENGTH
    places = np.array(part.words)
    assert len(places) == 13
    assert (np.diff(places[:, 0]) > 0).all()
    assert part.start_seconds <= places[0, 0]
    assert places[-1, 1] <= part.end_seconds


def test_a_spoken_notice_is_told_apart_and_has_no_place_in_the_text() -> None:
    text = "The first of all sentences here. The second of all sentences."
    book = made(text)
    words = 'Read by a <machine> & "nobody". Nothing else is said.'
    (told,) = segment(words)
    notice = replace(
        book.parts[0],
        text=told.text,
        segment=told,
        start_seconds=0.1,
        end_seconds=0.45,
        sentence_seconds=(0.1, 0.3),
        words=((0.1, 0.2),) * len(told.words),
        is_notice=True,
    )
    last = replace(notice, start_seconds=90.0, end_seconds=92.0, sentence_seconds=(90.0, 91.0))
    both = replace(book, parts=(notice, *book.parts, last), duration_seconds=93.0)
    found = json.loads(captions_of(both, text).files["json"])
    assert found["notices"][0] == {"start": 0.1, "end": 0.3, "text": told.sentences[0].text}
    assert [one["start"] for one in found["notices"]] == [0.1, 0.3, 90.0, 91.0]
    assert found["segments"] == json.loads(captions_of(book, text).files["json"])["segments"]
    shown = cues(captions_of(both, text).files["vtt"])
    assert [start for start, _, _ in shown] == sorted(start for start, _, _ in shown)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(shown))
    flagged = [cue for _, _, cue in shown if cue.startswith("<c.notice>")]
    assert flagged[0] == flagged[2] == '<c.notice>Read by a machine and "nobody."</c>'
    assert len(flagged) == 4
    assert "notices" not in json.loads(captions_of(book, text).files["json"])
