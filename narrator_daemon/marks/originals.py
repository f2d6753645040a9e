"""The narrations that a database and its bucket keep, for marked files to be held against.

Of each publication the register keeps a fingerprint. Of what was published before it did, or longer
ago than the register reaches, there may still be the audio in the bucket.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from narrator_daemon.catalogue import PATH, Record, is_key, moment
from narrator_daemon.errors import Unavailable, Unreadable
from narrator_daemon.firebase import books, register
from narrator_daemon.firebase.fetching import fetch
from narrator_daemon.firebase.project import Project
from narrator_daemon.marks.detect import Finding, Source
from narrator_daemon.marks.ledger import database
from narrator_daemon.marks.recording import Compared, Original, compare
from narrator_daemon.settings import Settings
from watermark.marking.fingerprint import FORM

#: Takes of a book that are looked at, the newest first.
MOST_TAKES = 50


class Originals:
    """Holds marked files against what is known of their books' narrations.

    Args:
        settings: where the database is.
        given: a narration's file, that is held against instead of what the database has.

    Raises:
        Unreadable: that file cannot be read.
    """

    def __init__(self, settings: Settings, given: Path | None = None) -> None:
        self._settings = settings
        self._given = Original.read(given) if given else None

    def all_compared(self, finding: Finding) -> list[Compared]:
        """Of each mark in a file, whether the recording is the mark's too.

        Raises:
            Unreadable: the file cannot be read.
        """
        return [self.compared(finding.path, source) for source in finding.sources]

    def compared(self, path: Path, source: Source) -> Compared:
        """Whether a file that bears a mark is the recording, too, that the mark was made for.

        Raises:
            Unreadable: the file cannot be read.
        """
        if self._given:
            return compare(path, source, [self._given])
        if source.is_local or source.book_id is None or not is_key(source.book_id):
            return Compared(note="no narration of it is kept; --original names one")
        with database(self._settings) as project:
            if project is None:
                return Compared(note="no database is configured; --original names the narration")
            try:
                found = compare(path, source, _kept(project, source.book_id, source))
            except Unavailable as error:
                return Compared(note=f"no narration of it could be asked for: {error}")
        if found.original is None:
            return Compared(note="neither the register nor the bucket has a narration of it")
        return found


def _kept(project: Project, book_id: str, source: Source) -> Iterator[Original]:
    """A book's narrations of a mark, the newest first."""
    entries = _entries(register.of_book(project, book_id), source.sighting.book_index)
    current = books.read(project, book_id, PATH)
    from_register = False
    for token, entry in entries[:MOST_TAKES]:
        kept = register.fingerprint_of(project, token, FORM)
        if kept:
            from_register = from_register or entry.get("path") == current
            yield Original(_name(book_id, entry), kept)
    if not from_register and isinstance(current, str):
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            if fetch(project, current, file):
                try:
                    yield Original.read(Path(file.name), f"{book_id}, its audio in the bucket")
                except Unreadable:
                    # Whatever lies there, it is no narration.
                    return


def _entries(found: Record, index: int) -> Sequence[tuple[str, dict[str, Any]]]:
    of_mark = [
        (token, entry)
        for token, entry in found.items()
        if isinstance(entry, dict) and entry.get("watermarkIndex") == index
    ]
    return sorted(of_mark, key=lambda each: -(moment(each[1].get("publishedAt")) or math.inf))


def _name(book_id: str, entry: dict[str, Any]) -> str:
    at = moment(entry.get("publishedAt"))
    when = f", published {datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d}" if at else ""
    return f"{book_id}, take {entry.get('take', '?')}{when}"
