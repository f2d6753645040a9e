"""Which index is which book: the tables that marks are looked up in.

Files that were marked outside a database have their index ↔ book table in a ``marks.json`` beside
them: ``{"books": {bookId: index}}``. Elsewhere ``/narrationMarks`` holds it.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from narrator_daemon.catalogue import is_key
from narrator_daemon.config import require_project
from narrator_daemon.errors import ConfigError, NoSuchMark
from narrator_daemon.firebase.project import Project
from narrator_daemon.marks import allotment
from narrator_daemon.settings import Settings

MARKS_FILE = "marks.json"


def read_marks(folder: Path) -> dict[int, str]:
    """Index → book of a folder's ``marks.json``; empty where there is none.

    Raises:
        ConfigError: the file is there and holds something else.
    """
    path = folder / MARKS_FILE
    try:
        books = json.loads(path.read_text(encoding="utf-8"))["books"]
        known = {
            index: str(book_id) for book_id, index in books.items() if allotment.is_index(index)
        }
        if len(known) < len(books):
            raise ValueError("an index that is none, or that two books have")
        return known
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError('must hold {"books": {"BOOK_ID": INDEX}}', where=str(path)) from None


def write_marks(folder: Path, known: dict[int, str]) -> None:
    """Write a folder's ``marks.json``."""
    books = {book_id: index for index, book_id in sorted(known.items())}
    document = json.dumps({"books": books}, ensure_ascii=False, indent=2) + "\n"
    new = folder / f"{MARKS_FILE}.new"
    # Of a file name that is no UTF-8, JSON can hold what UTF-8 cannot.
    new.write_text(document, encoding="utf-8", errors="backslashreplace")
    new.replace(folder / MARKS_FILE)


def local_index(folder: Path, book_id: str) -> int:
    """The index of a book that is marked outside a database, a new one if it has none yet.

    Processes that ask at once get different ones.

    Raises:
        ConfigError: the folder's ``marks.json`` cannot be used.
    """
    with (folder / f"{MARKS_FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = read_marks(folder)
        for index, known_id in known.items():
            if known_id == book_id:
                return index
        index = max(known, default=allotment.FIRST_INDEX - 1) + 1
        write_marks(folder, known | {index: book_id})
        return index


def known_marks(settings: Settings, folder: Path) -> dict[int, str]:
    """Index → book, from a local ``marks.json``, else from the database where one is configured.

    Raises:
        ConfigError: the local file cannot be used.
        Unavailable: the database did not answer.
    """
    local = read_marks(folder)
    if local:
        return local
    with _database(settings) as project:
        return {} if project is None else allotment.read_all(project)


def index_of(settings: Settings, folder: Path, book_id: str) -> int:
    """A book's index, from a local ``marks.json``, else from the database.

    Raises:
        NoSuchMark: it has none.
        ConfigError: the local file cannot be used.
        Unavailable: the database did not answer.
    """
    for index, known_id in read_marks(folder).items():
        if known_id == book_id:
            return index
    place = str(folder / MARKS_FILE)
    with _database(settings) as project:
        if project is not None:
            place += " or in the database"
            allotted = allotment.index_of(project, book_id) if is_key(book_id) else None
            if allotted is not None:
                return allotted
        else:
            place += ", and no database is configured"
    raise NoSuchMark(
        f"The book {book_id!r} has no watermark index in {place}: it was never marked."
    )


def allotted_index(settings: Settings, folder: Path, book_id: str) -> int:
    """A book's index, a new one if it has none yet, from where :func:`known_marks` will find it.

    Raises:
        NoSuchMark: the database cannot hold a book of such an id.
        ConfigError: the local file cannot be used.
        Unavailable: the database did not answer.
    """
    if not read_marks(folder):
        with _database(settings) as project:
            if project is not None:
                if not is_key(book_id):
                    raise NoSuchMark(f"{book_id!r} cannot be the id of a book in the database.")
                return allotment.allot(project, book_id)
    return local_index(folder, book_id)


@contextmanager
def _database(settings: Settings) -> Iterator[Project | None]:
    try:
        require_project(settings)
    except ConfigError:
        yield None
        return
    with Project(settings) as project:
        yield project
