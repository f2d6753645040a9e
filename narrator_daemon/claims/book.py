"""The book record and its state machine: pure functions, no I/O.

The audio of a book (``catalogue``) moves

    none → requested → processing → ready | failed        processing → requested (retry, give-back)

Each function takes a book as it was just read and says what it becomes, or why nothing is written.
Whoever applies them does so in a transaction on the whole book, so that what was decided on is what
is replaced. Time, tokens and the liveness of other claims come in as arguments. A book that is
given is never changed; what is returned is new. How a claim of one's own ends is in ``outcome``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from narrator_daemon.catalogue import (
    BATCH,
    BESIDE,
    CLAIM,
    ERROR,
    FAILED,
    FILE_PATH,
    NOT_BEFORE,
    OF_REQUEST,
    OPERATOR,
    PATH,
    PREVIEW,
    PROCESSING,
    PROGRESS,
    READY_BY,
    REQUESTED,
    REQUESTED_AT,
    REQUESTED_BY,
    RETAKE,
    SERVER_TIMESTAMP,
    STATUS,
    TAKE,
    UPDATED_AT,
    URL,
    URL_EXPIRES_AT,
    Record,
    children,
    files_of,
    is_count,
    moment,
)
from narrator_daemon.claims.claim import Claim, is_retry, same, waits_until
from narrator_daemon.claims.failure import ErrorCode, Failure
from narrator_daemon.claims.signed_url import is_by_a_wrong_clock


def input_hash(text: object, settings_fingerprint: str) -> str:
    """SHA-256 hex of what a narration is made from: text, voice and settings.

    Args:
        text: the text field as it was read, of any JSON type: a number is an input too, and a
            different one than the same digits in a string.
        settings_fingerprint: everything else that shapes the audio, as one string.
    """
    made_from = json.dumps([text, settings_fingerprint], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(made_from.encode("ascii")).hexdigest()


def text_hash(text: str) -> str:
    """SHA-256 hex of the UTF-8 text alone, which a frontend can compute too."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def claimed_text_hash(text: object) -> str:
    """SHA-256 hex of a text field, whatever it holds; of a text, ``text_hash``."""
    return text_hash(text) if isinstance(text, str) else input_hash(text, "")


class Verdict(Enum):
    """What a transition did to a book, or why it did nothing."""

    # Of a claim.
    CLAIMED = "claimed"
    MINE = "mine"  # claimed by the same call before: its answer was lost on the way
    EXHAUSTED = "exhausted"  # attempts used up; the book has failed
    LOST = "lost"  # not waiting, or no longer
    LEASED = "leased"  # another worker's claim stands on it, and that worker may be alive
    LATER = "later"  # waits for its retry, or is not wanted yet
    # Of an outcome.
    APPLIED = "applied"
    DONE = "done"  # applied by the same call before
    FENCED = "fenced"  # the claim is another's by now
    CANCELLED = "cancelled"  # the frontend removed the status
    SUPERSEDED = "superseded"  # asked for again with another input
    DISCARDED = "discarded"  # in a state that no claim belongs to
    # Of both, and of reaping.
    GONE = "gone"  # the book is deleted, or no book
    REAPED = "reaped"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Transition:
    """What becomes of a book.

    Attributes:
        verdict: what was found.
        book: the book to write, or None where nothing is to be written.
        claim: the claim that was made, or that was found and decided on.
        until: when the book may be claimed, epoch milliseconds, where it is too early.
    """

    verdict: Verdict
    book: Record | None = None
    claim: Claim | None = None
    until: int | None = None

    @property
    def lost_work(self) -> bool:
        """Whether audio made under the claim has no place in the book and must be deleted."""
        return self.verdict in {
            Verdict.GONE,
            Verdict.FENCED,
            Verdict.CANCELLED,
            Verdict.SUPERSEDED,
            Verdict.DISCARDED,
        }


def claim(
    book: object,
    *,
    token: str,
    owner: str,
    digest: Callable[[Record], str],
    text_digest: Callable[[Record], str],
    lease_dead: Callable[[str], bool],
    now_ms: int,
    max_attempts: int,
) -> Transition:
    """Claim a waiting book for ``token``; the contract's claim table.

    The attempt is counted here and not when it ends, so that a book which kills its worker runs
    out of attempts too.

    Args:
        book: as read.
        token: fresh for this call; seen in the book, it means an answer of this call was lost.
        owner: the claiming worker.
        digest: the input hash of a book (``input_hash`` of its text).
        text_digest: the hash of its text alone (``claimed_text_hash``).
        lease_dead: whether the lease of a foreign token was observed to be dead.
        now_ms: epoch milliseconds.
        max_attempts: claims of one input before it fails.
    """
    if not isinstance(book, dict):
        return Transition(Verdict.GONE)
    old = Claim.from_record(book.get(CLAIM))
    if old is not None and old.token == token:
        return Transition(Verdict.MINE, claim=old)
    if book.get(STATUS) != REQUESTED:
        if STATUS not in book and old is not None and old.token is None:
            # Cancelled while it waited for its retry. Asked for again, it starts from attempt 1.
            return Transition(Verdict.CANCELLED, without(dropped(book), *OF_REQUEST))
        return Transition(Verdict.LOST, claim=old)
    if old is not None and old.token is not None and not lease_dead(old.token):
        return Transition(Verdict.LEASED)
    wanted_at = wanted_from(book)
    if wanted_at is not None and now_ms < wanted_at:
        return Transition(Verdict.LATER, until=wanted_at)
    requested_at = book.get(REQUESTED_AT)
    wanted, text = digest(book), text_digest(book)
    retry = is_retry(old, text_hash=text, input_hash=wanted, requested_at=requested_at)
    if old is not None and retry:
        if (until := waits_until(old, now_ms)) is not None:
            return Transition(Verdict.LATER, claim=old, until=until)
        if old.attempt >= max_attempts:
            failure = old.last_error or Failure(
                ErrorCode.WORKER_LOST,
                "The worker was lost each time it read this book.",
            )
            return Transition(Verdict.EXHAUSTED, as_failed(book, failure, old.attempt))
        attempt, give_backs, take = old.attempt + 1, old.give_backs, old.take
    else:
        attempt, give_backs, take = 1, 0, _published_take(book) + 1
    made = Claim(
        token=token,
        owner=owner,
        attempt=attempt,
        give_backs=give_backs,
        input_hash=wanted,
        take=take,
        requested_at=requested_at,
        at=now_ms,
        last_error=old.last_error if old is not None and retry else None,
        text_hash=text,
    )
    # The beginning of another claim goes with that claim's files.
    bare = without(book, PREVIEW)
    changed = {**bare, STATUS: PROCESSING, PROGRESS: 0, CLAIM: made.as_record()}
    return Transition(Verdict.CLAIMED, changed, made)


def wanted_from(book: Mapping[str, object]) -> int | None:
    """``narrativeAudioNotBefore`` in epoch milliseconds; None where it holds no time."""
    return moment(book.get(NOT_BEFORE))


def _published_take(book: Record) -> int:
    take = book.get(TAKE)
    return take if is_count(take) else 0


def reap(book: object, *, token: str | None, record: object = None) -> Transition:
    """Take a book away from a claim whose lease is dead, so that it can be claimed again.

    Nothing happens unless the judged claim stands there still, so two replicas that judge alike do
    it once, and a claim made since is safe. A claim that waits for its next attempt was ended by
    its worker, which then died with the lease in its hands: on a book that is not asked for any
    more it goes, and else the lease is to stay (``LATER``), as nothing else may tell of that claim.

    Args:
        book: as read.
        token: of the claim that was judged dead; None for one that holds no token.
        record: without a token, what lay under ``narrativeAudioClaim`` when it was judged.
    """
    if not isinstance(book, dict):
        return Transition(Verdict.GONE)
    found = book.get(CLAIM)
    held = Claim.from_record(found)
    if held is not None and held.token is not None:
        if held.token != token:
            return Transition(Verdict.UNCHANGED)
    elif token is not None:
        if held is not None and STATUS not in book:
            return Transition(Verdict.REAPED, dropped(book))
        waits = held is not None and book.get(STATUS) == REQUESTED
        return Transition(Verdict.LATER if waits else Verdict.UNCHANGED)
    elif not same(found, record):
        return Transition(Verdict.UNCHANGED)
    status = book.get(STATUS)
    if status == PROCESSING:
        if held is None or held.token is None:
            # Nobody works on it and there is nothing to count attempts from.
            waiting = {**dropped(book), STATUS: REQUESTED}
            return Transition(Verdict.REAPED, waiting)
        lost = Failure(ErrorCode.WORKER_LOST, f"The worker {held.owner} was lost while reading.")
        return Transition(Verdict.REAPED, as_waiting(book, replace(held, last_error=lost)), held)
    if status == REQUESTED:
        if held is None or held.token is None:
            return Transition(Verdict.UNCHANGED)
        kept = replace(held, token=None).as_record()
        kept_book = without(book, PROGRESS, PREVIEW, READY_BY)
        return Transition(Verdict.REAPED, {**kept_book, CLAIM: kept}, held)
    if found is None and not {PROGRESS, PREVIEW, READY_BY} & book.keys():
        return Transition(Verdict.UNCHANGED)
    return Transition(Verdict.REAPED, dropped(book), held)


def renew(
    book: object,
    *,
    path: str,
    url: str,
    expires_at: int,
    files: Mapping[str, Mapping[str, Record]],
    now_ms: int,
) -> Transition:
    """Give a narration new URLs, if it is still the one that is shown.

    Args:
        book: as read.
        path: the object that ``url`` opens.
        url: freshly signed.
        expires_at: epoch milliseconds.
        files: of what lies beside it, by field and name: ``url``, ``urlExpiresAt``, ``path``.
        now_ms: by the clock that signed, epoch milliseconds.
    """
    if not isinstance(book, dict):
        return Transition(Verdict.GONE)
    shown = book.get(URL_EXPIRES_AT)
    if book.get(PATH) != path or not is_count(shown, 1):
        return Transition(Verdict.UNCHANGED)  # another narration, or one that does not expire
    if shown >= expires_at and not is_by_a_wrong_clock(book.get(URL), shown, now_ms):
        return Transition(Verdict.UNCHANGED)  # renewed by another replica
    changed = {**book, URL: url, URL_EXPIRES_AT: expires_at}
    for field in BESIDE:
        now = files_of(book, field)
        renewed = {
            name: {**now[name], **record}
            for name, record in files.get(field, {}).items()
            if name in now and now[name].get(FILE_PATH) == record[FILE_PATH]
        }
        if renewed:
            changed[field] = {**children(book[field]), **renewed}
    return Transition(Verdict.APPLIED, changed)


def request_again(book: object, *, now_ms: int, wishes: Record | None = None) -> Transition:
    """Ask for a failed book once more, as pressing the button would.

    The request gets a time of its own, so that its attempts start from 1, and is the operator's: it
    counts towards the operator's limit and not that of whoever asked first.

    Args:
        book: as read.
        now_ms: epoch milliseconds.
        wishes: other fields of the request.
    """
    if not isinstance(book, dict):
        return Transition(Verdict.GONE)
    if book.get(STATUS) != FAILED:
        return Transition(Verdict.UNCHANGED)
    asked = {STATUS: REQUESTED, REQUESTED_AT: now_ms, REQUESTED_BY: OPERATOR, **(wishes or {})}
    return Transition(Verdict.APPLIED, {**without(book, *OF_REQUEST), **asked})


def request_retake(book: object, segments: Sequence[int], *, now_ms: int) -> Transition:
    """Ask for some segments of a finished narration to be read anew, as an operator.

    Args:
        book: as read.
        segments: their numbers, from 1.
        now_ms: epoch milliseconds.
    """
    if not isinstance(book, dict):
        return Transition(Verdict.GONE)
    if book.get(STATUS) in (REQUESTED, PROCESSING) or not isinstance(book.get(PATH), str):
        return Transition(Verdict.UNCHANGED)
    asked = {
        STATUS: REQUESTED,
        REQUESTED_AT: now_ms,
        REQUESTED_BY: OPERATOR,
        RETAKE: list(segments),
    }
    return Transition(Verdict.APPLIED, {**without(book, *OF_REQUEST), **asked})


def request_in_batch(book: object, batch: str, *, now_ms: int, wishes: Record) -> Transition:
    """Ask for a book as one of many, as an operator; one that is asked for already stays so.

    Args:
        book: as read.
        batch: the id of the batch.
        now_ms: epoch milliseconds.
        wishes: other fields of the request.
    """
    if not isinstance(book, dict):
        return Transition(Verdict.GONE)
    if book.get(STATUS) in (REQUESTED, PROCESSING):
        return Transition(Verdict.UNCHANGED)
    asked = {STATUS: REQUESTED, REQUESTED_AT: now_ms, REQUESTED_BY: OPERATOR, BATCH: batch}
    return Transition(Verdict.APPLIED, {**without(book, *OF_REQUEST), **asked, **wishes})


def cancel_of_batch(book: object, batch: str) -> Transition:
    """Take the request of a batch back, if it is this batch's and not over.

    Who has it in work sees the status gone, as when a frontend cancels.
    """
    if not isinstance(book, dict):
        return Transition(Verdict.GONE)
    if book.get(BATCH) != batch or book.get(STATUS) not in (REQUESTED, PROCESSING):
        return Transition(Verdict.UNCHANGED)
    held = Claim.from_record(book.get(CLAIM))
    if held is not None and held.token is not None:
        return Transition(Verdict.CANCELLED, without(book, STATUS))
    return Transition(Verdict.CANCELLED, without(dropped(book), STATUS, *OF_REQUEST))


def foretell(book: object, *, requested_at: object, ready_by: int | None) -> Transition:
    """Say when a waiting book will be ready, or that nobody knows.

    Of a request that was cancelled, what was said goes, and its wishes with it.

    Args:
        book: as read.
        requested_at: of the request that this is about.
        ready_by: epoch milliseconds, or None.
    """
    if not isinstance(book, dict):
        return Transition(Verdict.GONE)
    held = Claim.from_record(book.get(CLAIM))
    if STATUS not in book and CLAIM not in book and READY_BY in book:
        return Transition(Verdict.CANCELLED, without(book, READY_BY, *OF_REQUEST))
    if (
        book.get(STATUS) != REQUESTED
        or not same(book.get(REQUESTED_AT), requested_at)
        or (held is not None and held.token is not None)
        or same(book.get(READY_BY), ready_by)
    ):
        return Transition(Verdict.UNCHANGED)
    bare = without(book, READY_BY)
    return Transition(Verdict.APPLIED, bare if ready_by is None else {**bare, READY_BY: ready_by})


def as_failed(book: Record, failure: Failure, attempts: int) -> Record:
    """The book made ``failed`` after so many attempts. An earlier narration's fields are kept."""
    return {
        **without(dropped(book), *OF_REQUEST),
        STATUS: FAILED,
        UPDATED_AT: dict(SERVER_TIMESTAMP),
        ERROR: {
            **failure.as_record(),
            "attempts": attempts,
            "at": dict(SERVER_TIMESTAMP),
        },
    }


def as_waiting(book: Record, claim: Claim) -> Record:
    """The book waiting again, with what its claim remembers and without its token."""
    return {
        **without(book, PROGRESS, PREVIEW, READY_BY),
        STATUS: REQUESTED,
        CLAIM: replace(claim, token=None).as_record(),
    }


def dropped(book: Record) -> Record:
    """The book without its claim and what is shown while one stands."""
    return without(book, CLAIM, PROGRESS, PREVIEW, READY_BY)


def without(book: Record, *names: str) -> Record:
    """The book without these fields."""
    return {name: value for name, value in book.items() if name not in names}
