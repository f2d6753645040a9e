"""Which watermark index is which book: allotted once by transaction, never reused.

An index says nothing about its book, so two books can never share one by a collision, and a book
keeps its own over every take.

One key serves several tables: a database's, and the ``marks.json`` beside files that were marked
outside one. So that no mark of one table is ever named by another, a database draws from the lower
half of all indices, from a place of its own chosen by chance (two projects with one key share an
index about once in twenty thousand pairs of a hundred thousand books), and files draw from the
upper half, each by chance. Before, both counted from 1; those marks stay what they were. The
catalogues of a database have tables of their own and draw from one counter, so that one key never
finds one's mark in another's audio.
"""

from __future__ import annotations

import secrets
from typing import TypeGuard

from narrator_daemon.catalogue import CATALOGUES, MARKS, NEXT_MARK, children, is_count
from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.transact import transact

#: Indices are 32 bits wide in the watermark; 0 is left to files marked outside a database.
FIRST_INDEX = 1
LAST_INDEX = 2**32 - 1
#: From here on indices are given out beside files; below, by databases.
FIRST_LOCAL = 2**31
#: A new database begins below this, so that it has room for a billion books.
_LAST_START = 2**30


def is_index(value: object) -> TypeGuard[int]:
    """Whether a value can be a book's index."""
    return is_count(value, FIRST_INDEX, LAST_INDEX)


def allot(project: Project, book_id: str) -> int:
    """The book's index, a new one if it has none yet.

    The number is drawn before it is written to the book, so a crash in between wastes it and can
    never hand it out twice.

    Raises:
        Unavailable: the database did not answer.
    """
    known = index_of(project, book_id)
    if known is not None:
        return known
    drawn = _draw(project)
    return transact(
        project.node(MARKS, book_id),
        lambda seen: (None, seen) if is_index(seen) else (drawn, drawn),
    )


def index_of(project: Project, book_id: str) -> int | None:
    """The book's index, or None where it has none yet.

    Raises:
        Unavailable: the database did not answer.
    """
    with database_errors():
        known = project.node(MARKS, book_id).get()
    return known if is_index(known) else None


def _draw(project: Project) -> int:
    counter = project.reference(NEXT_MARK)
    first = FIRST_INDEX
    with database_errors():
        if not is_index(counter.get()):
            # The first book of all, or a counter that was lost: no index is given out twice.
            allotted = [index for index in _of_all_catalogues(project) if index < FIRST_LOCAL]
            first = max(allotted) + 1 if allotted else FIRST_INDEX + secrets.randbelow(_LAST_START)

    def decide(seen: object) -> tuple[int, int]:
        drawn = seen if is_index(seen) else first
        if drawn >= FIRST_LOCAL:
            raise Unavailable("database", f"all watermark indices under /{MARKS} are used up")
        return drawn + 1, drawn

    # Whether a draw whose answer was lost was taken does not matter: the next one is higher.
    return transact(counter, decide)


def _of_all_catalogues(project: Project) -> list[int]:
    """Every index that was allotted in this database.

    Raises:
        Unavailable: the database did not answer.
    """
    with database_errors():
        others = children(project.reference(CATALOGUES).get(shallow=True))
        tables = [project.reference(MARKS).get()]
        tables += [project.reference(CATALOGUES, name, MARKS).get() for name in others]
    return [index for table in tables for index in children(table).values() if is_index(index)]


def read_all(project: Project) -> dict[int, str]:
    """Every index that was allotted in this catalogue, and its book.

    Raises:
        Unavailable: the database did not answer.
    """
    with database_errors():
        tree = project.node(MARKS).get()
    return {index: book_id for book_id, index in children(tree).items() if is_index(index)}
