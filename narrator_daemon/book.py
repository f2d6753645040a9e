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
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Any, TypeAlias, TypeGuard

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

#: Longest wait before a retry, in milliseconds. A ``notBefore`` further ahead than twice this was
#: written by, or is read with, a wrong clock, and is not honoured: no book waits for a clock.
MAX_BACKOFF_MS = 60_000

#: Give-backs at shutdown that cost no attempt, for one input. Past these each counts, so that a
#: book which always outlasts the grace period does not go round for ever.
MAX_GIVE_BACKS = 3

# Tokens become keys of leases and of the history, which not every string can be.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,100}")


class ErrorCode(StrEnum):
    """Why a book failed. The list is closed: frontends may switch on it."""

    NO_TEXT = "no_text"
    TEXT_NOT_STRING = "text_not_string"
    TEXT_TOO_LONG = "text_too_long"
    TOO_MANY_WORDS = "too_many_words"
    NOTHING_SPEAKABLE = "nothing_speakable"
    ENGINE_ERROR = "engine_error"
    OUT_OF_MEMORY = "out_of_memory"
    STUCK = "stuck"
    WORKER_LOST = "worker_lost"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True)
class Failure:
    """One error as an admin reads it: a code of the closed list and a plain sentence."""

    code: ErrorCode
    message: str

    def as_record(self) -> Record:
        """The form in which a claim remembers it: ``{code, message}``."""
        return {"code": self.code.value, "message": self.message}

    @classmethod
    def from_record(cls, value: object) -> Failure | None:
        """The failure a claim remembers, or None where it holds none that can be read."""
        if not isinstance(value, Mapping):
            return None
        code, message = value.get("code"), value.get("message")
        if not isinstance(message, str) or not isinstance(code, str) or code not in set(ErrorCode):
            return None
        return cls(ErrorCode(code), message)


@dataclass(frozen=True)
class Claim:
    """The fence: who works on a book, on which input, for the how-many-th time.

    Attributes:
        token: the identity of this one claim; None while the book waits for a retry.
        owner: the worker that made the claim.
        attempt: how often this input was claimed, from 1.
        give_backs: how often it was given back at shutdown at no cost.
        input_hash: of the text, voice and settings as claimed (``input_hash``).
        take: the take being made, from 1.
        requested_at: ``narrativeAudioRequestedAt`` as claimed, whatever the frontend put there.
        at: when, epoch milliseconds, by the owner's clock; for people, decides nothing.
        not_before: earliest next claim, epoch milliseconds; None for at once.
        last_error: what ended the attempt before.
    """

    token: str | None
    owner: str
    attempt: int
    give_backs: int
    input_hash: str
    take: int
    requested_at: Any
    at: int
    not_before: int | None = None
    last_error: Failure | None = None

    def as_record(self) -> Record:
        """The form stored under ``narrativeAudioClaim``; absent values are left out."""
        record = {
            "token": self.token,
            "owner": self.owner,
            "attempt": self.attempt,
            "giveBacks": self.give_backs,
            "inputHash": self.input_hash,
            "take": self.take,
            "requestedAt": self.requested_at,
            "at": self.at,
            "notBefore": self.not_before,
            "lastError": self.last_error.as_record() if self.last_error else None,
        }
        return {name: value for name, value in record.items() if value is not None}

    @classmethod
    def from_record(cls, value: object) -> Claim | None:
        """The claim in a book, or None where there is none or it has the wrong shape.

        Clients can be kept from writing it by rules, but not every project has them.
        """
        if not isinstance(value, Mapping):
            return None
        token, owner, digest = value.get("token"), value.get("owner"), value.get("inputHash")
        attempt, take = value.get("attempt"), value.get("take")
        give_backs, at = value.get("giveBacks", 0), value.get("at", 0)
        not_before = value.get("notBefore")
        if not (
            (token is None or (isinstance(token, str) and _TOKEN.fullmatch(token)))
            and isinstance(owner, str)
            and _TOKEN.fullmatch(owner)
            and isinstance(digest, str)
            and _is_count(attempt, 0)
            and _is_count(take, 1)
            and _is_count(give_backs, 0)
            and _is_count(at, 0)
            and (not_before is None or _is_count(not_before, 0))
        ):
            return None
        return cls(
            token=token,
            owner=owner,
            attempt=attempt,
            give_backs=give_backs,
            input_hash=digest,
            take=take,
            requested_at=value.get("requestedAt"),
            at=at,
            not_before=not_before,
            last_error=Failure.from_record(value.get("lastError")),
        )


def _is_count(value: object, least: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


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


def waits_until(claim: Claim | None, now_ms: int) -> int | None:
    """Epoch milliseconds before which a waiting book is not to be claimed, or None."""
    if claim is None or claim.not_before is None:
        return None
    return claim.not_before if now_ms < claim.not_before <= now_ms + 2 * MAX_BACKOFF_MS else None


def is_retry(claim: Claim | None, digest: str, requested_at: object) -> bool:
    """Whether claiming goes on with the same request for the same input as ``claim``."""
    return (
        claim is not None and claim.input_hash == digest and same(claim.requested_at, requested_at)
    )


def same(left: object, right: object) -> bool:
    """Equality of JSON values: True is not 1."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


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
    return take if isinstance(take, int) and _is_count(take, 0) else 0


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
    if book.get(PATH) != path or not _is_count(shown, 1) or shown >= expires_at:
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
