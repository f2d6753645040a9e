"""Failed books asked for again by an operator: ``narrator-daemon retry``."""

from __future__ import annotations

from collections.abc import Sequence

from narrator_daemon.catalogue import FAILED, PRIORITY, Record, is_key
from narrator_daemon.claims.book import Transition, Verdict, request_again
from narrator_daemon.commands.failures import Failed, Filter
from narrator_daemon.errors import NodeUnavailable
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project

ASKED = "requested"

#: Failed books read at once, at first.
_PAGE = 100


def request_named(project: Project, book_ids: Sequence[str]) -> dict[str, str]:
    """Put failed books back to ``requested``, by their ids.

    Returns:
        What became of each: ``requested``, or why not.

    Raises:
        Unavailable: the database did not answer; those asked for before stay so.
    """
    return {book_id: _request(project, book_id, Filter(), {}) for book_id in book_ids}


def request_failed(project: Project, wanted: Filter) -> dict[str, str]:
    """Put all failed books that a filter takes back to ``requested``, behind presses of a button.

    Args:
        project: the database.
        wanted: which.

    Returns:
        What became of each that it takes: ``requested``, or why not.

    Raises:
        Unavailable: the database did not answer; those asked for before stay so.
    """
    asked: dict[str, str] = {}
    seen: set[str] = set()
    while True:
        # Those that are not meant, or failed again meanwhile, stand in the way of the rest.
        failed = books.with_status(project, FAILED, 2 * len(seen) + _PAGE)
        new = failed.keys() - seen
        if not new:
            return asked
        seen |= new
        for book_id in sorted(new):
            if wanted.takes(Failed.of(book_id, failed[book_id])):
                asked[book_id] = _request(project, book_id, wanted, {PRIORITY: "bulk"})


def _request(project: Project, book_id: str, wanted: Filter, wishes: Record) -> str:
    if not is_key(book_id):
        return "no such book"

    def decide(book: object) -> Transition:
        # It may have failed anew since it was read, by another cause.
        if not wanted.takes(Failed.of(book_id, book)):
            return Transition(Verdict.UNCHANGED)
        return request_again(book, now_ms=project.database_clock.now_ms(), wishes=wishes)

    try:
        seen = books.change(project, book_id, decide)
    except NodeUnavailable as error:
        # One that a rule refuses, or that others keep writing to, costs the rest nothing.
        return f"not now: {error}"
    told = {Verdict.APPLIED: ASKED, Verdict.GONE: "no such book"}
    return told.get(seen.verdict, "has not failed")
