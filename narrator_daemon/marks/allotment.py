"""Which watermark index is which book: allotted once by transaction, never reused.

An index says nothing about its book, so two books can never share one by a collision, and a book
keeps its own over every take.
"""

from __future__ import annotations

from typing import Any

from narrator_daemon.firebase.project import (
    MARKS,
    NEXT_MARK,
    Project,
    Unavailable,
    children,
    database_errors,
    transact,
)

#: Indices are 32 bits wide in the watermark; 0 is left to files marked outside a database.
FIRST_INDEX = 1
LAST_INDEX = 2**32 - 1


def is_index(value: object) -> bool:
    """Whether a value can be a book's index."""
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and FIRST_INDEX <= value <= LAST_INDEX
    )


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
    kept = drawn

    def update(seen: Any) -> int | None:
        nonlocal kept
        kept = int(seen) if is_index(seen) else drawn
        return None if is_index(seen) else drawn

    transact(project.reference(MARKS, book_id), update)
    return kept


def index_of(project: Project, book_id: str) -> int | None:
    """The book's index, or None where it has none yet.

    Raises:
        Unavailable: the database did not answer.
    """
    with database_errors():
        known = project.reference(MARKS, book_id).get()
    return int(known) if is_index(known) else None


def _draw(project: Project) -> int:
    counter = project.reference(NEXT_MARK)
    drawn = first = FIRST_INDEX
    with database_errors():
        if not is_index(counter.get()):
            # The first book of all, or a counter that was lost: no index is given out twice.
            first = max(read_all(project), default=FIRST_INDEX - 1) + 1

    def update(seen: Any) -> int:
        nonlocal drawn
        drawn = int(seen) if is_index(seen) else first
        if drawn >= LAST_INDEX:
            raise Unavailable("database", f"all watermark indices under /{MARKS} are used up")
        return drawn + 1

    # Whether a draw whose answer was lost was taken does not matter: the next one is higher.
    transact(counter, update)
    return drawn


def read_all(project: Project) -> dict[int, str]:
    """Every allotted index and its book.

    Raises:
        Unavailable: the database did not answer.
    """
    with database_errors():
        tree = project.reference(MARKS).get()
    return {int(index): book_id for book_id, index in children(tree).items() if is_index(index)}
