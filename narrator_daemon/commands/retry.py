"""Failed books asked for again by an operator: ``narrator-daemon retry``."""

from __future__ import annotations

from collections.abc import Sequence

from narrator_daemon.claims import book as books
from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.claims import now_ms
from narrator_daemon.firebase.project import Project, children, database_errors, is_key, transact
from narrator_daemon.settings import Settings

ASKED = "requested"

#: Failed books read at once.
_PAGE = 100


def request_failed(settings: Settings, book_ids: Sequence[str] | None) -> dict[str, str]:
    """Put failed books back to ``requested``.

    Args:
        settings: the project.
        book_ids: which; None for all that have failed.

    Returns:
        What became of each: ``requested``, or why not.

    Raises:
        ConfigError: the settings name no project.
        Unavailable: the database did not answer; those asked for before stay so.
    """
    project = Project(settings)
    try:
        if book_ids is not None:
            return {book_id: _request(project, book_id) for book_id in book_ids}
        asked: dict[str, str] = {}
        while True:
            with database_errors(project.books_path):
                by_status = project.books().order_by_child(books.STATUS)
                # Those that failed again meanwhile stand in the way of those not yet asked for.
                window = by_status.equal_to(books.FAILED).limit_to_first(len(asked) + _PAGE)
                failed = children(window.get())
            new = failed.keys() - asked.keys()
            if not new:
                return asked
            asked |= {book_id: _request(project, book_id) for book_id in sorted(new)}
    finally:
        project.close()


def _request(project: Project, book_id: str) -> str:
    if not is_key(book_id):
        return "no such book"
    verdict = Verdict.GONE

    def update(record: object) -> books.Record | None:
        nonlocal verdict
        seen = books.request_again(record, now_ms=now_ms())
        verdict = seen.verdict
        return seen.book

    transact(project.book(book_id), update, project.books_path)
    return {Verdict.APPLIED: ASKED, Verdict.GONE: "no such book"}.get(verdict, "has not failed")
