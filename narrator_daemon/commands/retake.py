"""Some segments of a finished narration read anew: ``narrator-daemon retake``."""

from __future__ import annotations

from collections.abc import Sequence

from csm.text import NothingToSpeak, segment
from narrator_daemon.catalogue import CAST, LEXICON, TEXT_HASH, Record, is_key
from narrator_daemon.claims.book import Verdict, claimed_text_hash, request_retake
from narrator_daemon.errors import NoSuchBook, WrongUse
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.settings import Settings


def request(settings: Settings, book_id: str, numbers: Sequence[int]) -> None:
    """Ask for segments of a book to be read anew.

    Args:
        settings: the project.
        book_id: which.
        numbers: of the segments, from 1, as reports and histories give them.

    Raises:
        ConfigError: the settings name no project.
        NoSuchBook: the catalogue has none of this id.
        WrongUse: it has no narration, is in work, its text has changed, or has no such segment.
        Unavailable: the database did not answer.
    """
    with Project(settings) as project:
        record = books.read(project, book_id) if is_key(book_id) else None
        if not isinstance(record, dict):
            raise NoSuchBook(f"there is no book {book_id!r}", where=project.books_path)
        text = record.get(settings.books.text_field)
        if record.get(TEXT_HASH) != claimed_text_hash(text):
            raise WrongUse(
                "its text is not the one that was read aloud", where=book_id, advice=_ASK_FOR_ALL
            )
        if settings.text.lexicon is None and not settings.voice.dialogue and not _shaped(record):
            _check(book_id, text, numbers, settings.text.pause_marks)
        wanted = sorted(set(numbers))
        seen = books.change(
            project,
            book_id,
            lambda book: request_retake(book, wanted, now_ms=project.database_clock.now_ms()),
        )
        if seen.verdict is not Verdict.APPLIED:
            raise WrongUse(
                "it has no finished narration, or is in work", where=book_id, advice=_ASK_FOR_ALL
            )


_ASK_FOR_ALL = "ask for the whole narration, as its page does"


def _shaped(record: Record) -> bool:
    """Whether the book says itself how its text is cut, so that only the daemon can count."""
    return any(name in record for name in (CAST, LEXICON))


def _check(book_id: str, text: object, numbers: Sequence[int], pause_marks: bool) -> None:
    try:
        count = len(segment(str(text), pause_marks=pause_marks))
    except NothingToSpeak:
        count = 0
    for number in numbers:
        if not 1 <= number <= count:
            raise WrongUse(
                f"there is no segment {number}: its text has {count:,}, numbered from 1",
                where=book_id,
            )
