"""Which watermark index is which book: allotted once by transaction, never reused.

An index says nothing about its book, so two books can never share one by a collision, and a book
keeps its own over every take.

One key serves several tables: a database's, and the ``marks.json`` beside files that were marked
outside one. So that no mark of one table is ever named by another, a database draws from the lower
half of all indices, from a place of its own chosen by chance (two projects with one key share an
index about once in twenty thousand pairs of a hundred thousand books), and files draw from the
upper half, each by chance. Before, both counted from 1; those marks stay what they were. The
catalogues of a database have tables of their own and draw from one counter, so that one key never
finds one's mark in another's audio. Daemons draw from it in blocks.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import TypeGuard

from narrator_daemon.catalogue import CATALOGUES, MARKS, NEXT_MARK, children, is_count
from narrator_daemon.errors import Refused, Unavailable
from narrator_daemon.firebase import books
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
#: Where the counter was lost, the next index is so far above all that are in tables: daemons hold
#: indices that are in none yet.
_IN_BLOCKS = 2**20
#: Indices that a process draws at first and at most: one that ends soon wastes few, and a thousand
#: new books a second take four draws.
FIRST_BLOCK, LARGEST_BLOCK = 4, 256


#: The ETag of a node that is not there.
#: Source: https://firebase.google.com/docs/database/rest/save-data#section-conditional-requests
_NOTHING = "null_etag"


def is_index(value: object) -> TypeGuard[int]:
    """Whether a value can be a book's index."""
    return is_count(value, FIRST_INDEX, LAST_INDEX)


class Indices:
    """What one process allots: indices that it draws a block at a time, more with each block.

    Those that are left when it ends are lost. Safe to use from several threads.

    Args:
        project: the database.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._lock = threading.Lock()
        self._left = range(0)
        self._block = FIRST_BLOCK

    def allot(self, book_id: str, *, is_new: bool = False) -> int:
        """The book's index, a new one if it has none yet.

        Args:
            book_id: the book.
            is_new: whether it probably has none: then its new one is written at once, by one
                request. Where that is wrong, an index is lost.

        Raises:
            Unavailable: the database did not answer.
            NodeRefused: it takes no index for this book.
        """
        given = _give(self._project, book_id, self._next()) if is_new else None
        return _allot(self._project, book_id, self._next) if given is None else given

    def _next(self) -> int:
        with self._lock:
            if not self._left:
                self._left = _draw(self._project, self._block)
                self._block = min(4 * self._block, LARGEST_BLOCK)
            # Not to be had again, whatever becomes of the write to the table.
            index, self._left = self._left[0], self._left[1:]
            return index


def allot(project: Project, book_id: str) -> int:
    """The book's index, a new one if it has none yet, for whoever needs one alone.

    Raises:
        Unavailable: the database did not answer.
    """
    return _allot(project, book_id, lambda: _draw(project, 1)[0])


def _give(project: Project, book_id: str, index: int) -> int | None:
    """Write an index to a book that has none; gives the book's, or None where it must be read.

    Raises:
        Unavailable: the database did not answer.
    """
    try:
        with database_errors():
            taken, seen, _ = project.node(MARKS, book_id).set_if_unchanged(_NOTHING, index)
    except Refused:
        # Rules let nobody write anew what is there, and may be asked before the condition is.
        return None
    if taken:
        return index
    return seen if is_index(seen) else None


class _NotDrawn(Exception):
    """Leaves a transaction on a book's node, as there is no index for it; its cause says why."""


def _allot(project: Project, book_id: str, draw: Callable[[], int]) -> int:
    """The number is drawn before it is written to the book, so that none is handed out twice."""
    drawn: list[int] = []

    def decide(seen: object) -> tuple[int | None, int]:
        if is_index(seen):
            return None, seen
        if not drawn:
            try:
                drawn.append(draw())
            except Unavailable as error:
                # What the counter refuses is not refused of this book.
                raise _NotDrawn from error
        return drawn[0], drawn[0]

    try:
        node, place = project.node(MARKS, book_id), project.node_path(MARKS, book_id)
        return books.on_node(project, place, lambda: transact(node, decide))
    except _NotDrawn as failed:
        raise failed.__cause__ or failed from None


def _draw(project: Project, count: int) -> range:
    """So many indices that nobody has drawn, or fewer where these are the last.

    Raises:
        Unavailable: the database did not answer, or all indices are used up.
    """
    counter = project.reference(NEXT_MARK)
    first = FIRST_INDEX
    with database_errors():
        if not is_index(counter.get()):
            # The first book of all, or a counter that was lost: no index is given out twice.
            allotted = [index for index in _of_all_catalogues(project) if index < FIRST_LOCAL]
            first = FIRST_INDEX + secrets.randbelow(_LAST_START)
            if allotted:
                first = max(allotted) + 1 + _IN_BLOCKS

    def decide(seen: object) -> tuple[int, range]:
        drawn = seen if is_index(seen) else first
        if drawn >= FIRST_LOCAL:
            raise Unavailable("database", f"all watermark indices under /{MARKS} are used up")
        end = min(drawn + count, FIRST_LOCAL)
        return end, range(drawn, end)

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
