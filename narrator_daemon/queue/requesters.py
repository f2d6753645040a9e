"""The limit on new narrations a minute for one requester, across replicas.

Under ``/narrationLimits/{sha256 of uid}`` lies what was granted in the last minute: ``{grant: epoch
ms}``, where a grant is one request of one book. A request that was granted by another replica, or
whose answer was lost, finds its grant there and is not counted twice. All times are the database's:
it stamps each grant, and its answers say what time it is.
"""

from __future__ import annotations

import hashlib
import json

from narrator_daemon.catalogue import LIMITS, SERVER_TIMESTAMP, Record, children, is_count
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.transact import transact

_WINDOW_MS = 60_000


def grant_name(book_id: str, requested_at: object, shown: str | None) -> str:
    """A key for one request of one book.

    Args:
        book_id: the book.
        requested_at: when it was requested, or None where the frontend does not say.
        shown: the narration it had then; a request that is made once this is replaced is another.
    """
    request = json.dumps([book_id, requested_at, shown], sort_keys=True)
    return hashlib.sha256(request.encode("ascii")).hexdigest()[:32]


def take(
    granted: object, *, name: str, now_ms: int, limit: int
) -> tuple[dict[str, int] | None, int]:
    """Grant a request if fewer than ``limit`` were granted in the last minute.

    Args:
        granted: what is stored, of whatever shape.
        name: the request (``grant_name``).
        now_ms: epoch milliseconds, by the database, as is what is stored. A time ahead counts as
            now, as this one is not exact; one ahead by more than a minute, which an earlier version
            wrote by a wrong clock, does not count.
        limit: grants a minute.

    Returns:
        What to store, or None where nothing changes; and the milliseconds to wait, 0 when granted.
    """
    recent = {
        key: min(at, now_ms)
        for key, at in children(granted).items()
        if is_count(at) and abs(at - now_ms) < _WINDOW_MS
    }
    if name in recent:
        return None, 0
    if len(recent) >= limit:
        newest_first = sorted(recent.values(), reverse=True)
        return None, newest_first[limit - 1] + _WINDOW_MS - now_ms
    return {**recent, name: now_ms}, 0


def grant(project: Project, uid: str, name: str, *, limit: int) -> int:
    """Ask for one narration in the name of ``uid``, by transaction.

    Args:
        project: the database.
        uid: whose limit.
        name: the request (``grant_name``).
        limit: grants a minute.

    Returns:
        Milliseconds to wait before asking again; 0 when it is granted.

    Raises:
        Unavailable: the database did not answer.
        NodeRefused: it does not take the grant.
    """
    node = hashlib.sha256(uid.encode("utf-8", errors="surrogatepass")).hexdigest()

    def decide(granted: object) -> tuple[Record | None, int]:
        # Asked for once it is read: that answer says what time it is.
        now_ms = project.database_clock.now_ms()
        stored, wait = take(granted, name=name, now_ms=now_ms, limit=limit)
        return None if stored is None else {**stored, name: dict(SERVER_TIMESTAMP)}, wait

    grants, place = project.node(LIMITS, node), project.node_path(LIMITS, node)
    return books.on_node(project, place, lambda: transact(grants, decide))
