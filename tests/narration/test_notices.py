"""The spoken notice: who gets one, where it comes, and that it is in the narration's own voice."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from csm.text import segment
from csm.text.segments import Break
from narrator_daemon.claims.claims import Claims
from narrator_daemon.marks.keys import DEMO_KEY
from narrator_daemon.narration.marking import Mark
from narrator_daemon.narration.narrate import narrate
from narrator_daemon.narration.narrated import Narration
from narrator_daemon.narration.notices import notice_segments, placed
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.notice import Notice, notice_for
from narrator_daemon.settings import Credentials, Kept, Limits, Settings
from narrator_daemon.speech.tone import ToneSpeech
from tests.memory import MemoryProject

WORDS = "This book is read by a machine."
BOOK = "\n\n".join(f"Paragraph {n} of the book has a few words in it." for n in range(30))


def test_a_notice_that_says_nothing_is_none() -> None:
    assert notice_segments(None) == []
    assert notice_segments(Notice("...", True, True, 0)) == []
    assert [one.text for one in notice_segments(Notice(WORDS, True, True, 0))] == [WORDS]


@pytest.mark.parametrize(
    ("books", "choice", "said"),
    [
        ("all", None, True),
        ("all", False, True),
        ("unless-declined", None, True),
        ("unless-declined", False, False),
        ("unless-declined", "no", True),
        ("asked", None, False),
        ("asked", True, True),
        ("asked", 1, False),
    ],
)
def test_who_gets_one(books: Any, choice: object, said: bool) -> None:
    settings = Credentials(spoken_notice=WORDS, spoken_notice_books=books)
    book = {} if choice is None else {"narrativeAudioNotice": choice}
    assert (notice_for(settings, book) is not None) is said


def test_without_words_there_is_none() -> None:
    assert notice_for(Credentials(), {"narrativeAudioNotice": True}) is None
    assert notice_for(Credentials(spoken_notice="  "), {}) is None
    with pytest.raises(ValidationError, match="letters or digits"):
        Credentials(spoken_notice="— * —")


def test_what_is_said_is_part_of_what_a_narration_is_made_from() -> None:
    """So that asking again after the choice has changed drops the work on the old one."""
    project: Any = MemoryProject()
    unused: Any = None

    def digest(book: Any, **credentials: Any) -> str:
        settings = Settings(credentials=Credentials(**credentials))
        claims = Claims(project, settings, "voice", lambda *_: False, unused)
        return claims.digest({"narrative": "Text.", **book})

    plain = digest({})
    assert digest({"narrativeAudioNotice": True}) == plain
    said = digest({}, spoken_notice=WORDS)
    declined = {"narrativeAudioNotice": False}
    assert len({plain, said, digest({}, spoken_notice="Other words.")}) == 3
    assert digest({}, spoken_notice=WORDS, spoken_notice_at=("end",)) != said
    assert digest({}, spoken_notice=WORDS, spoken_notice_minutes=5) != said
    assert digest(declined, spoken_notice=WORDS) == said
    assert digest(declined, spoken_notice=WORDS, spoken_notice_books="unless-declined") == plain


@given(
    lengths=st.lists(st.floats(0.5, 40), min_size=1, max_size=30),
    at_start=st.booleans(),
    at_end=st.booleans(),
    minutes=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
)
def test_every_segment_is_heard_once_in_its_order_and_notices_in_their_places(
    lengths: list[float], at_start: bool, at_end: bool, minutes: float
) -> None:
    book = segment(BOOK)[: len(lengths)]
    lengths = lengths[: len(book)]
    notice = Notice(WORDS, at_start, at_end, minutes)
    told = notice_segments(notice)
    order = placed(book, told, lengths, notice)
    assert [part.index for part in order if not part.is_notice] == list(range(len(book)))
    assert {part.index for part in order if part.is_notice} <= {len(book)}
    assert order[0].is_notice is at_start
    assert order[-1].is_notice is at_end
    for before, part in itertools.pairwise(order):
        assert not (before.is_notice and part.is_notice)
        if part.is_notice:
            assert before.segment.follows >= Break.HEADING
    heard = 0.0
    for before, part in itertools.pairwise(order):
        if before.is_notice:
            heard = 0.0
        else:
            heard += lengths[before.index]
        middle = part.is_notice and part is not order[-1]
        if middle:
            assert minutes > 0
            assert heard >= minutes * 60
            # Not just before the end.
            assert sum(lengths[before.index + 1 :]) > 60


def test_a_long_paragraph_is_not_waited_for_without_end() -> None:
    book = segment("One sentence is here. " * 200)
    notice = Notice(WORDS, at_start=False, at_end=False, every_minutes=1)
    lengths = [30.0] * len(book)
    order = placed(book, notice_segments(notice), lengths, notice)
    assert len(book) > 8
    assert next(n for n, part in enumerate(order) if part.is_notice) == 4


@pytest.mark.parametrize(("rest", "notices"), [(60.0, 0), (60.5, 1)])
def test_none_comes_in_the_last_minute(rest: float, notices: int) -> None:
    book = segment(BOOK)[:2]
    notice = Notice(WORDS, at_start=False, at_end=False, every_minutes=1)
    order = placed(book, notice_segments(notice), [60.0, rest], notice)
    assert sum(part.is_notice for part in order) == notices


def narrated(folder: Path, notice: Notice | None) -> tuple[Narration, np.ndarray[Any, Any]]:
    engine = ToneSpeech()
    engine.load()
    out = io.BytesIO()
    narration = narrate(
        BOOK[:500],
        out,
        engine=engine,
        limits=Limits(),
        seed=3,
        mark=Mark(DEMO_KEY, 1, 1.5, self_check=True),
        kept=KeptSegments(Kept(folder=folder)),
        notice=notice,
    )
    return narration, np.frombuffer(out.getvalue()[44:], "<i2")


def test_it_is_heard_where_it_is_wanted(tmp_path: Path) -> None:
    plain, _ = narrated(tmp_path / "a", None)
    told, samples = narrated(tmp_path / "b", Notice(WORDS, True, True, 0))
    first, *book, last = told.parts
    assert (first.is_notice, last.is_notice) == (True, True)
    assert first.text == last.text == WORDS
    assert [part.text for part in book] == [part.text for part in plain.parts]
    assert not any(part.is_notice for part in book)
    lengths = [
        [part.end_seconds - part.start_seconds for part in parts] for parts in (plain.parts, book)
    ]
    assert len(book) > 1
    assert lengths[0] == pytest.approx(lengths[1], abs=0.01)
    assert told.facts["notices"] == 2
    assert "notices" not in plain.facts
    assert told.facts["segments"] == plain.facts["segments"]
    assert told.duration_seconds > plain.duration_seconds + 2
    for part in (first, last):
        sound = samples[int(part.start_seconds * 24_000) : int(part.end_seconds * 24_000)]
        assert np.abs(sound).max() > 1000
    assert book[0].start_seconds - first.end_seconds == pytest.approx(1.2, abs=0.15)
