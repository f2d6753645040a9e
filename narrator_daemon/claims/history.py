"""What happened to a book: ``/narrationJobs/{bookId}``, one entry a claim, bounded in size.

An entry holds how the claim ended, with which error, and what it took: seconds by step, segments,
watermark score. For people and for ``narrator-daemon explain``; nothing is decided on it.
"""

from __future__ import annotations

from typing import Any

from narrator_daemon.catalogue import JOBS, SERVER_TIMESTAMP, Record, children, is_number
from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.ending import Ending
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.transact import transact

#: Entries kept for a book; the oldest go first.
MAX_ENTRIES = 20


def add(entries: object, token: str, entry: Record) -> Record:
    """The history with one entry more and the oldest beyond ``MAX_ENTRIES`` dropped."""
    kept = {key: value for key, value in children(entries).items() if isinstance(value, dict)}

    def claimed_at(key: str) -> float:
        at = kept[key].get("claimedAt")
        return at if is_number(at) else 0

    newest = sorted(kept, key=claimed_at)[-(MAX_ENTRIES - 1) :]
    return {key: kept[key] for key in newest if key != token} | {token: entry}


def record(
    project: Project, book_id: str, claim: Claim, outcome: str, facts: dict[str, Any]
) -> None:
    """Write how a claim ended.

    Args:
        project: the database.
        book_id: the book.
        claim: the claim, with its token.
        outcome: how it ended, in a word.
        facts: what else is known, as JSON values.

    Raises:
        Unavailable: the database did not answer.
    """
    entry = {
        "owner": claim.owner,
        "attempt": claim.attempt,
        "take": claim.take,
        "claimedAt": claim.at,
        "outcome": outcome,
        **facts,
        "endedAt": dict(SERVER_TIMESTAMP),
    }
    token = str(claim.token)
    node, place = project.node(JOBS, book_id), project.node_path(JOBS, book_id)
    books.on_node(
        project, place, lambda: transact(node, lambda seen: (add(seen, token, entry), None))
    )


def record_ending(project: Project, ending: Ending) -> None:
    """Write an ending into the history of its book, where there is one to write it for.

    Raises:
        Unavailable: the database did not answer.
    """
    if ending.claim is None or ending.book_gone:
        return
    facts = {
        "seconds": ending.seconds,
        "error": ending.failure.as_record() if ending.failure else None,
        **ending.facts,
    }
    record(project, ending.book_id, ending.claim, ending.outcome, facts)
