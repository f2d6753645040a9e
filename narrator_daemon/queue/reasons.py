"""Why a requested book is not in work yet.

Told from two sides: by a worker, of the books that it knows (``of_candidates``), and by whoever
reads the database (``of_records``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from narrator_daemon.catalogue import CLAIM, PATH, REQUESTED_AT, REQUESTED_BY, children
from narrator_daemon.claims.book import wanted_from
from narrator_daemon.claims.claim import Claim, same, waits_until
from narrator_daemon.queue import requesters
from narrator_daemon.queue.place import Level, level_of, waits_since
from narrator_daemon.queue.waiting import Candidate


class Reason(StrEnum):
    """What a book waits for. The list is closed: metrics have a series for each."""

    NO_ROOM = "no_room"
    NOT_BEFORE = "not_before"
    LIMIT = "limit"
    BUDGET = "budget"
    RETRY = "retry"
    CLAIMED = "claimed"
    PAUSED = "paused"
    OPERATOR = "operator"
    DEPENDENCY = "dependency"
    REFUSED = "refused"


#: In words for people, of one book.
WORDS = {
    Reason.NO_ROOM: "for a worker with room",
    Reason.NOT_BEFORE: "for the time from which it is wanted (narrativeAudioNotBefore)",
    Reason.LIMIT: "for the limit of its requester (limits.requests_per_minute)",
    Reason.BUDGET: "for the next day, as this day's hours of audio are used up ([limits])",
    Reason.RETRY: "for the pause before its next attempt",
    Reason.CLAIMED: "for the claim that another worker holds on it",
    Reason.PAUSED: "as claiming is paused",
    Reason.OPERATOR: "as it is paused by an operator (narrator-daemon control)",
    Reason.DEPENDENCY: "as what the workers depend on does not answer",
    Reason.REFUSED: "as the database does not take its claim",
}


@dataclass(frozen=True)
class Wait:
    """Why one book waits.

    Attributes:
        reason: for what.
        until: epoch milliseconds at which that is over, where it is known.
    """

    reason: Reason
    until: int | None = None


@dataclass(frozen=True)
class Waits:
    """Why all the books that a worker knows wait.

    Attributes:
        counts: how many, by reason; each reason is there.
        claimable_since: the place in the queue of the oldest that only waits for a worker with
            room, epoch milliseconds, or None.
    """

    counts: Mapping[Reason, int]
    claimable_since: float | None


def of_candidates(
    candidates: Iterable[Candidate],
    now: float,
    now_ms: int,
    *,
    limited: Collection[str],
    limit: int,
    refused: Collection[str] = (),
    held_up: Reason | None = None,
    over_budget: Collection[str | None] = (),
) -> Waits:
    """Why the books that a worker knows wait.

    Args:
        candidates: the books.
        now: monotonic seconds.
        now_ms: epoch milliseconds.
        limited: the requesters that are known to be at their limit.
        limit: ``limits.requests_per_minute``.
        refused: ids of the books whose claim the database does not take.
        held_up: why this worker claims nothing at all now, if it does not.
        over_budget: the requesters whose budget is known to be used up; None among them where the
            catalogue's is.
    """
    counts = Counter[Reason]()
    # Nobody's requests count towards the catalogue's budget alone.
    over_budget_of = frozenset(over_budget)
    free_of = Counter[str]()
    since: float | None = None
    for one in sorted(candidates, key=lambda one: (one.level, one.order, one.book_id)):
        reason = held_up or Reason.NO_ROOM
        uid = one.requested_by
        if one.book_id in refused:
            reason = Reason.REFUSED
        elif one.held_by is not None:
            reason = Reason.CLAIMED
        elif one.wanted_at is not None and now_ms < one.wanted_at:
            reason = Reason.NOT_BEFORE
        elif one.is_retry and one.not_before > now:
            reason = Reason.RETRY
        elif not one.is_retry and not over_budget_of.isdisjoint({None, uid}):
            reason = Reason.BUDGET
        elif limit and uid is not None and not one.is_retry:
            # More than a minute brings are not claimable, whatever of this minute is used up.
            free_of[uid] += 1
            if uid in limited or free_of[uid] > limit:
                reason = Reason.LIMIT
        counts[reason] += 1
        if reason is Reason.NO_ROOM:
            since = one.order if since is None else min(since, one.order)
    return Waits({reason: counts[reason] for reason in Reason}, since)


def of_records(
    requested: Mapping[str, Any],
    granted: Callable[[str], object],
    *,
    limit: int,
    now_ms: int,
    held_up: Reason | None = None,
    used_up: Callable[[str | None], int | None] = lambda _uid: None,
) -> dict[str, Wait]:
    """Why requested books wait, as the database shows it.

    Args:
        requested: records by id, of whatever shape.
        granted: gives what ``/narrationLimits`` holds of a uid.
        limit: grants a minute of one uid; 0 for no limit.
        now_ms: epoch milliseconds.
        held_up: why nothing at all is claimed now, if nothing is.
        used_up: gives until when the budget of a uid, or of the catalogue alone, is used up.

    Returns:
        For each of them; ``NO_ROOM`` where a worker with room would be given it now.
    """

    def place(book_id: str) -> tuple[Level, float, str]:
        book = children(requested[book_id])
        return level_of(book), waits_since(book, float(now_ms)), book_id

    grants: dict[str, object] = {}
    budgets: dict[str | None, int | None] = {}
    waits = {}
    for book_id in sorted(requested, key=place):
        record = children(requested[book_id])
        claim = Claim.from_record(record.get(CLAIM))
        requested_at, uid = record.get(REQUESTED_AT), record.get(REQUESTED_BY)
        is_retry = claim is not None and same(claim.requested_at, requested_at)
        wait = Wait(held_up or Reason.NO_ROOM)
        if claim is not None and claim.token is not None:
            wait = Wait(Reason.CLAIMED)
        elif (wanted_at := wanted_from(record)) is not None and now_ms < wanted_at:
            wait = Wait(Reason.NOT_BEFORE, wanted_at)
        elif is_retry and (until := waits_until(claim, now_ms)) is not None:
            wait = Wait(Reason.RETRY, until)
        elif not is_retry and (until := _over(uid, budgets, used_up)) is not None:
            wait = Wait(Reason.BUDGET, until)
        elif limit and not is_retry and isinstance(uid, str) and uid:
            if uid not in grants:
                grants[uid] = granted(uid)
            shown = record.get(PATH)
            name = requesters.grant_name(
                book_id, requested_at, None if shown is None else str(shown)
            )
            stored, pause = requesters.take(grants[uid], name=name, now_ms=now_ms, limit=limit)
            if pause:
                wait = Wait(Reason.LIMIT, now_ms + pause)
            else:
                grants[uid] = stored or grants[uid]
        waits[book_id] = wait
    return waits


def _over(
    uid: object, known: dict[str | None, int | None], used_up: Callable[[str | None], int | None]
) -> int | None:
    """Until when a budget is used up; each is asked for once."""
    whose = uid if isinstance(uid, str) and uid else None
    if whose not in known:
        known[whose] = used_up(whose)
    return known[whose]
