"""The catalogue in the database: its only queries, and changes of one book.

Two indices are needed, by status and by expiry; a query without its index is refused by the
database. All here ask for no more than they are told to, however large the catalogue is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sized
from typing import Any, Protocol, TypeVar

from narrator_daemon.catalogue import REQUESTED, STATUS, URL_EXPIRES_AT, Record, children
from narrator_daemon.errors import NodeRefused, Refused
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.transact import transact

#: Most waiting books that the stream or a usual query brings at once.
WINDOW = 100

#: Most waiting books that are read at once, by what goes on without end.
MOST = 256 * WINDOW

#: What it may cost on average to read all that waits again and again, in bytes a second.
READ_BYTES_PER_SECOND = 250_000.0


class Change(Protocol):
    """What was decided on a book (``claims.book.Transition``)."""

    @property
    def book(self) -> Record | None:
        """The book to write, or None where nothing is to be written."""


C = TypeVar("C", bound=Change)
T = TypeVar("T")


def with_status(
    project: Project, status: str, most: int | None = None, *, last: bool = False
) -> Record:
    """Books of a status by their ids, of whatever shape.

    Args:
        project: the database.
        status: of ``catalogue``.
        most: how many at most, in the order of their ids; None for all.
        last: whether those with the last ids are wanted, not the first.

    Raises:
        Unavailable: the database did not answer.
    """
    with database_errors(project.books_path):
        found = project.books().order_by_child(STATUS).equal_to(status)
        if most is not None:
            found = found.limit_to_last(most) if last else found.limit_to_first(most)
        return children(found.get())


def is_complete(found: Sized, most: int = WINDOW) -> bool:
    """Whether a query that brings ``most`` at most has brought all there are."""
    return len(found) < most


def size(records: Record) -> int:
    """About so many bytes, as they were sent."""
    return len(json.dumps(records, ensure_ascii=False))


def expiring(project: Project, until: float, most: int, *, since: float = 1) -> Record:
    """Books whose URL expires, those that do so first, by their ids.

    Args:
        project: the database.
        until: epoch milliseconds; what expires later is left out.
        most: how many at most.
        since: epoch milliseconds; what expires sooner is left out.

    Raises:
        Unavailable: the database did not answer.
    """
    with database_errors(project.books_path):
        by_expiry = project.books().order_by_child(URL_EXPIRES_AT)
        # Books without the field sort before every number.
        return children(by_expiry.start_at(since).end_at(until).limit_to_first(most).get())


def stream_query() -> dict[str, str]:
    """The parameters that make a stream one of the waiting books, within the window."""
    return {
        "orderBy": json.dumps(STATUS),
        "equalTo": json.dumps(REQUESTED),
        "limitToFirst": str(WINDOW),
    }


def check_indices(project: Project) -> None:
    """Ask one book of each index: what the daemon lives on.

    Raises:
        Unavailable: the database did not answer.
        Refused: it lacks an index, or refuses to be read.
    """
    with_status(project, REQUESTED, 1)
    expiring(project, 1, 1)


def on_node(project: Project, place: str, call: Callable[[], T]) -> T:
    """Do something with one node; tells a refusal of it from one of everything.

    The database says "permission denied" to a book that breaks a rule of the catalogue, and to an
    account that may do nothing. What it says to a query that has nothing to do with the node tells
    which of the two it is. One that refuses everything for some seconds, as while rules are
    deployed, may answer again just as it is asked: so the node is tried once more after that.

    Args:
        project: the database.
        place: the node, for people.
        call: does it; may be called twice, the first time in vain.

    Raises:
        NodeRefused: the node is refused, and was so after the database had answered.
        Unavailable: the database did not answer.
    """
    try:
        with database_errors():
            return call()
    except Refused:
        check_indices(project)
    try:
        with database_errors():
            return call()
    except Refused as error:
        raise NodeRefused(
            "database",
            f"{place} cannot be written: {error.what}",
            advice="see which rule of the database, or which limit on its data, this node breaks",
        ) from error


def page(project: Project, name: str, after: str, most: int) -> Record:
    """Children of a node beside the books, in the order of their keys.

    Args:
        project: the database.
        name: of the node.
        after: the key behind which they lie; empty for the first.
        most: how many at most.

    Raises:
        Unavailable: the database did not answer.
    """
    with database_errors():
        found = project.node(name).order_by_key()
        if after:
            found = found.start_at(after)
        # What begins at a key brings it, too.
        brought = children(found.limit_to_first(most + 1).get())
        keys = [key for key in sorted(brought, key=_order_of_key) if key != after]
        return {key: brought[key] for key in keys[:most]}


def _order_of_key(key: str) -> tuple[bool, int, int, str]:
    """As the database sorts keys: whole numbers of 32 bits come first, as numbers.

    Source: ``nameCompare`` of the public SDKs, by which 007 comes behind 7 and before 8.
    """
    number = int(key) if re.fullmatch(r"-?0*[0-9]{1,10}", key, re.ASCII) else None
    if number is None or not -(2**31) <= number < 2**31:
        return True, 0, 0, key
    return False, number, len(key), key


def exists(project: Project, book_id: str) -> bool:
    """Whether there is a book of this id.

    Raises:
        Unavailable: the database did not answer.
    """
    return bool(fields(project, book_id))


def fields(project: Project, book_id: str) -> frozenset[str]:
    """The names of a book's fields; empty where there is no book.

    Raises:
        Unavailable: the database did not answer.
    """
    found = on_node(
        project, place_of(project, book_id), lambda: project.book(book_id).get(shallow=True)
    )
    if isinstance(found, dict):
        return frozenset(found)
    # What is no object is a book all the same, if not one of ours.
    return frozenset() if found is None else frozenset([""])


def read(project: Project, book_id: str, *keys: str) -> Any:
    """A book, or what lies at ``keys`` below it; None where there is nothing.

    Raises:
        Unavailable: the database did not answer.
    """
    return on_node(project, place_of(project, book_id), project.book(book_id, *keys).get)


def place_of(project: Project, book_id: str) -> str:
    """A book as people are told of it."""
    return f"{project.books_path}/{book_id}"


def change(project: Project, book_id: str, decide: Callable[[Any], C]) -> C:
    """Change a book by transaction on the whole of it; gives what was decided.

    A write to a child of a book could bring back one that was deleted meanwhile.

    Args:
        project: the database.
        book_id: which.
        decide: what becomes of the book as it was just read.

    Raises:
        Unavailable: the database did not answer, or it is not known whether it took the write.
        Contended: others kept writing in between.
        NodeRefused: it takes no such value for this book.
    """

    def decided(seen: Any) -> tuple[Record | None, C]:
        decision = decide(seen)
        return decision.book, decision

    book = project.book(book_id)
    return on_node(project, place_of(project, book_id), lambda: transact(book, decided))
