"""Which index is which book: the tables that marks are looked up in.

Files that were marked outside a database have their index ↔ book table in a ``marks.json`` beside
them: ``{"books": {bookId: index}}``. Elsewhere ``/narrationMarks`` holds it. A file is looked up in
both. Their indices differ (``marks.allotment``), but for those of tables from before they did:
where both tables know an index, both are named, and neither is believed.
"""

from __future__ import annotations

import fcntl
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from narrator_daemon.catalogue import MARKS, is_key
from narrator_daemon.config import names_project
from narrator_daemon.errors import ConfigError, NoSuchMark, Unavailable
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
        index = _new_index(known)
        write_marks(folder, known | {index: book_id})
        return index


@dataclass(frozen=True)
class Entry:
    """A book as one table knows it.

    Attributes:
        book_id: which.
        table: which table says so, for people.
    """

    book_id: str
    table: str


#: Index → the books that tables have it for: one, or several where tables contradict each other.
Known = Mapping[int, tuple[Entry, ...]]


@dataclass(frozen=True)
class Tables:
    """What is known of marks in one place.

    Attributes:
        known: index → books.
        note: what could not be asked; else empty.
    """

    known: Known
    note: str


def known_marks(settings: Settings, folder: Path) -> Tables:
    """The marks of a folder's ``marks.json`` and of the database, if one is configured.

    Raises:
        ConfigError: the local file cannot be used, or several databases are configured.
        Unavailable: the database did not answer, and there is no local file.
    """
    local = table_of(read_marks(folder), str(folder / MARKS_FILE))
    try:
        with database(settings) as project:
            stored = {} if project is None else _stored(project)
    except Unavailable as error:
        if not local:
            raise
        return Tables(local, f"the database's table could not be asked: {error}")
    return Tables(_joined(local, stored), "")


def _stored(project: Project) -> Known:
    return table_of(allotment.read_all(project), f"the database's {project.node_path(MARKS)}")


def table_of(books: Mapping[int, str], table: str) -> Known:
    """A table's own view, from index → book."""
    return {index: (Entry(book_id, table),) for index, book_id in books.items()}


def _joined(one: Known, other: Known) -> Known:
    return {index: one.get(index, ()) + other.get(index, ()) for index in {**one, **other}}


def indices_of(tables: Tables, folder: Path, book_id: str) -> list[int]:
    """The indices that tables have for a book: one, or one of each table.

    Raises:
        NoSuchMark: none has any.
    """
    found = [
        index
        for index, entries in tables.known.items()
        if any(entry.book_id == book_id for entry in entries)
    ]
    if not found:
        raise NoSuchMark(
            f"The book {book_id!r} has no watermark index in {folder / MARKS_FILE} or in the "
            f"database, if one is configured: it was never marked.{_told(tables.note)}"
        )
    return found


def _told(note: str) -> str:
    return f" ({note})" if note else ""


def allotted_index(settings: Settings, folder: Path, book_id: str) -> int:
    """A book's index, a new one if it has none yet, from where ``known_marks`` will find it.

    Raises:
        NoSuchMark: the database cannot hold a book of such an id.
        ConfigError: the local file cannot be used, or several databases are configured.
        Unavailable: the database did not answer.
    """
    if not read_marks(folder):
        with database(settings) as project:
            if project is not None:
                if not is_key(book_id):
                    raise NoSuchMark(f"{book_id!r} cannot be the id of a book in the database.")
                return allotment.allot(project, book_id)
    return local_index(folder, book_id)


def _new_index(known: Mapping[int, str]) -> int:
    while True:
        index = secrets.randbelow(allotment.LAST_INDEX + 1 - allotment.FIRST_LOCAL)
        if (index := allotment.FIRST_LOCAL + index) not in known:
            return index


@contextmanager
def database(settings: Settings) -> Iterator[Project | None]:
    """The database that is configured; None where none is.

    Raises:
        ConfigError: several are.
    """
    if not names_project(settings):
        yield None
        return
    with Project(settings) as project:
        yield project
