"""The book record and its state machine: pure functions, no I/O.

A book is what lies under ``/books/{bookId}``: whatever the frontend keeps there, and the
``narrativeAudio*`` fields of the contract. Its audio moves

    none → requested → processing → ready | failed        processing → requested (retry, give-back)

Each function takes a book as it was just read and says what it becomes, or why nothing is written.
Whoever applies them does so in a transaction on the whole book, so that what was decided on is what
is replaced. Time, tokens and the liveness of other claims come in as arguments. A book that is
given is never changed; what is returned is new.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeAlias

from narrator_daemon.claims.claim import Claim, is_count, is_retry, same, waits_until
from narrator_daemon.claims.failure import ErrorCode, Failure

#: A JSON object as the database gives it.
Record: TypeAlias = dict[str, Any]

STATUS = "narrativeAudioStatus"
REQUESTED_AT = "narrativeAudioRequestedAt"
REQUESTED_BY = "narrativeAudioRequestedBy"
URL = "narrativeAudioUrl"
URL_EXPIRES_AT = "narrativeAudioUrlExpiresAt"
DURATION = "narrativeAudioDuration"
UPDATED_AT = "narrativeUpdatedAt"
PROGRESS = "narrativeAudioProgress"
ERROR = "narrativeAudioError"
PATH = "narrativeAudioPath"
INPUT_HASH = "narrativeAudioInputHash"
TEXT_HASH = "narrativeAudioTextHash"
TAKE = "narrativeAudioTake"
CLAIM = "narrativeAudioClaim"

REQUESTED = "requested"
PROCESSING = "processing"
READY = "ready"
FAILED = "failed"

#: The database replaces this by its own clock, epoch milliseconds, when it is written.
SERVER_TIMESTAMP: Mapping[str, str] = {".sv": "timestamp"}

#: Give-backs at shutdown that cost no attempt, for one input. Past these each counts, so that a
#: book which always outlasts the grace period does not go round for ever.
MAX_GIVE_BACKS = 3


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


class Verdict(Enum):
    """What a transition did to a book, or why it did nothing."""

    # Of a claim.
    CLAIMED = "claimed"
    MINE = "mine"  # claimed by the same call before: its answer was lost on the way
    EXHAUSTED = "exhausted"  # attempts used up; the book has failed
    LOST = "lost"  # not waiting, or no longer
    LEASED = "leased"  # another worker's claim stands on it, and that worker may be alive
    LATER = "later"  # waits for its retry
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
    """

    verdict: Verdict
    book: Record | None = None
    claim: Claim | None = None

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
        return Transition(Verdict.LOST)
    if old is not None and old.token is not None and not lease_dead(old.token):
        return Transition(Verdict.LEASED)
    requested_at = book.get(REQUESTED_AT)
    wanted = digest(book)
    retry = old is not None and is_retry(old, wanted, requested_at)
    if old is not None and retry:
        if waits_until(old, now_ms) is not None:
            return Transition(Verdict.LATER, claim=old)
        if old.attempt >= max_attempts:
            failure = old.last_error or Failure(
                ErrorCode.WORKER_LOST,
                "The worker was lost each time it read this book.",
            )
            return Transition(Verdict.EXHAUSTED, _failed(book, failure, old.attempt))
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
    )
    changed = {**book, STATUS: PROCESSING, PROGRESS: 0, CLAIM: made.as_record()}
    return Transition(Verdict.CLAIMED, changed, made)


def _published_take(book: Record) -> int:
    take = book.get(TAKE)
    return take if isinstance(take, int) and is_count(take, 0) else 0


@dataclass(frozen=True)
class Publication:
    """A finished narration, ready to be shown.

    Attributes:
        url: where the WAV plays from.
        url_expires_at: epoch milliseconds, or None for a URL that does not expire.
        duration_seconds: from the samples.
        path: the object's name in the bucket; unique to the claim.
        text_hash: ``text_hash`` of the text that was read.
    """

    url: str
    url_expires_at: int | None
    duration_seconds: float
    path: str
    text_hash: str

    def apply(self, book: Record, claim: Claim) -> Record:
        """The book made ``ready``: every field at once, claim, progress and error removed."""
        changed = _without(book, CLAIM, PROGRESS, ERROR, URL_EXPIRES_AT)
        changed |= {
            STATUS: READY,
            URL: self.url,
            DURATION: self.duration_seconds,
            UPDATED_AT: dict(SERVER_TIMESTAMP),
            PATH: self.path,
            INPUT_HASH: claim.input_hash,
            TEXT_HASH: self.text_hash,
            TAKE: claim.take,
        }
        if self.url_expires_at is not None:
            changed[URL_EXPIRES_AT] = self.url_expires_at
        return changed


@dataclass(frozen=True)
class Rejection:
    """The book cannot be narrated as it is; trying again would change nothing."""

    failure: Failure

    def apply(self, book: Record, claim: Claim) -> Record:
        """The book made ``failed``. An earlier narration's fields are kept."""
        return _failed(book, self.failure, claim.attempt)


@dataclass(frozen=True)
class Retry:
    """An attempt went wrong in a way that the next may not.

    Attributes:
        failure: what went wrong.
        not_before: earliest next attempt, epoch milliseconds.
        max_attempts: claims of one input before it fails.
    """

    failure: Failure
    not_before: int
    max_attempts: int

    def apply(self, book: Record, claim: Claim) -> Record:
        """The book waiting again, or ``failed`` where this was the last attempt."""
        if claim.attempt >= self.max_attempts:
            return _failed(book, self.failure, claim.attempt)
        return _waiting(book, replace(claim, not_before=self.not_before, last_error=self.failure))


@dataclass(frozen=True)
class GiveBack:
    """The worker cannot go on, for a reason that is not the book's.

    Attributes:
        not_before: earliest next attempt, epoch milliseconds; None for at once.
        shutdown: the worker is stopping. Only so many of these are free (``MAX_GIVE_BACKS``); a
            dependency that is down costs the book nothing however often it happens.
    """

    not_before: int | None = None
    shutdown: bool = False

    def apply(self, book: Record, claim: Claim) -> Record:
        """The book waiting again, its attempt taken back where that is free."""
        free = not self.shutdown or claim.give_backs < MAX_GIVE_BACKS
        return _waiting(
            book,
            replace(
                claim,
                attempt=claim.attempt - 1 if free else claim.attempt,
                give_backs=claim.give_backs + 1 if self.shutdown and free else claim.give_backs,
                not_before=self.not_before,
            ),
        )


Outcome: TypeAlias = Publication | Rejection | Retry | GiveBack


def settle(
    book: object, *, token: str, outcome: Outcome, digest: Callable[[Record], str]
) -> Transition:
    """End one's claim on a book with an outcome; the contract's outcome table.

    Args:
        book: as read.
        token: one's own.
        outcome: what to do if the book still wants it.
        digest: the input hash of a book, as for ``claim``.
    """
    if not isinstance(book, dict):
        return Transition(Verdict.GONE)
    if isinstance(outcome, Publication) and book.get(PATH) == outcome.path:
        return Transition(Verdict.DONE)
    held = Claim.from_record(book.get(CLAIM))
    if held is None or held.token != token:
        return Transition(Verdict.FENCED)
    status = book.get(STATUS)
    dropped = _without(book, CLAIM, PROGRESS)
    if status is None:
        return Transition(Verdict.CANCELLED, dropped)
    same_input = status == REQUESTED and digest(book) == held.input_hash
    if status == REQUESTED and not same_input:
        return Transition(Verdict.SUPERSEDED, dropped)
    if status == PROCESSING or same_input:
        return Transition(Verdict.APPLIED, outcome.apply(book, held), held)
    return Transition(Verdict.DISCARDED, dropped)


def still_wanted(book: object, *, token: str, digest: Callable[[Record], str]) -> Verdict:
    """What has become of a book in work: ``UNCHANGED``, or the verdict its outcome would get."""
    seen = settle(book, token=token, outcome=GiveBack(), digest=digest)
    return Verdict.UNCHANGED if seen.verdict is Verdict.APPLIED else seen.verdict


def reap(book: object, *, token: str | None, record: object = None) -> Transition:
    """Take a book away from a claim whose lease is dead, so that it can be claimed again.

    Nothing happens unless the judged claim stands there still, so two replicas that judge alike do
    it once, and a claim made since is safe.

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
    elif token is not None or not same(found, record):
        return Transition(Verdict.UNCHANGED)
    status = book.get(STATUS)
    if status == PROCESSING:
        if held is None or held.token is None:
            # Nobody works on it and there is nothing to count attempts from.
            waiting = {**_without(book, CLAIM, PROGRESS), STATUS: REQUESTED}
            return Transition(Verdict.REAPED, waiting)
        lost = Failure(ErrorCode.WORKER_LOST, f"The worker {held.owner} was lost while reading.")
        return Transition(Verdict.REAPED, _waiting(book, replace(held, last_error=lost)), held)
    if status == REQUESTED:
        if held is None or held.token is None:
            return Transition(Verdict.UNCHANGED)
        kept = replace(held, token=None).as_record()
        return Transition(Verdict.REAPED, {**_without(book, PROGRESS), CLAIM: kept}, held)
    if found is None and PROGRESS not in book:
        return Transition(Verdict.UNCHANGED)
    return Transition(Verdict.REAPED, _without(book, CLAIM, PROGRESS), held)


def renew(book: object, *, path: str, url: str, expires_at: int) -> Transition:
    """Give a narration a new URL, if it is still the one that is shown.

    Args:
        book: as read.
        path: the object that ``url`` opens.
        url: freshly signed.
        expires_at: epoch milliseconds.
    """
    if not isinstance(book, dict):
        return Transition(Verdict.GONE)
    shown = book.get(URL_EXPIRES_AT)
    if book.get(PATH) != path or not is_count(shown, 1) or shown >= expires_at:
        return Transition(Verdict.UNCHANGED)  # another narration, or renewed by another replica
    return Transition(Verdict.APPLIED, {**book, URL: url, URL_EXPIRES_AT: expires_at})


def request_again(book: object, *, now_ms: int) -> Transition:
    """Ask for a failed book once more, as pressing the button would.

    The request gets a time of its own, so that its attempts start from 1.
    """
    if not isinstance(book, dict):
        return Transition(Verdict.GONE)
    if book.get(STATUS) != FAILED:
        return Transition(Verdict.UNCHANGED)
    return Transition(Verdict.APPLIED, {**book, STATUS: REQUESTED, REQUESTED_AT: now_ms})


def _failed(book: Record, failure: Failure, attempts: int) -> Record:
    return {
        **_without(book, CLAIM, PROGRESS),
        STATUS: FAILED,
        UPDATED_AT: dict(SERVER_TIMESTAMP),
        ERROR: {
            **failure.as_record(),
            "attempts": attempts,
            "at": dict(SERVER_TIMESTAMP),
        },
    }


def _waiting(book: Record, claim: Claim) -> Record:
    return {
        **_without(book, PROGRESS),
        STATUS: REQUESTED,
        CLAIM: replace(claim, token=None).as_record(),
    }


def _without(book: Record, *names: str) -> Record:
    return {name: value for name, value in book.items() if name not in names}
