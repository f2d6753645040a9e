"""Failed books asked for again by an operator: ``narrator-daemon retry``."""

from __future__ import annotations

from collections.abc import Sequence

from narrator_daemon.catalogue import FAILED, is_key
from narrator_daemon.claims.book import Verdict, request_again
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
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
    with Project(settings) as project:
        if book_ids is not None:
            return {book_id: _request(project, book_id) for book_id in book_ids}
        asked: dict[str, str] = {}
        while True:
            # Those that failed again meanwhile stand in the way of those not yet asked for.
            failed = books.with_status(project, FAILED, len(asked) + _PAGE)
            new = failed.keys() - asked.keys()
            if not new:
                return asked
            asked |= {book_id: _request(project, book_id) for book_id in sorted(new)}


def _request(project: Project, book_id: str) -> str:
    if not is_key(book_id):
        return "no such book"
    seen = books.change(
        project,
        book_id,
        lambda book: request_again(book, now_ms=project.database_clock.now_ms()),
    )
    told = {Verdict.APPLIED: ASKED, Verdict.GONE: "no such book"}
    return told.get(seen.verdict, "has not failed")
