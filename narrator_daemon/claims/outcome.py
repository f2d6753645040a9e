"""How a claim of one's own ends: four outcomes, one table of what becomes of the book.

Pure functions, as those of ``book``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from narrator_daemon.catalogue import (
    CAPTIONS,
    CLAIM,
    DURATION,
    ERROR,
    FAILED,
    FILE_PATH,
    FILES,
    INPUT_HASH,
    OF_REQUEST,
    PATH,
    PREVIEW,
    PROCESSING,
    READY,
    READY_BY,
    REQUESTED,
    SERVER_TIMESTAMP,
    STATUS,
    TAKE,
    TEXT_HASH,
    UPDATED_AT,
    URL,
    URL_EXPIRES_AT,
    Record,
)
from narrator_daemon.claims.book import (
    Transition,
    Verdict,
    as_failed,
    as_waiting,
    dropped,
    without,
)
from narrator_daemon.claims.claim import Claim, same
from narrator_daemon.claims.failure import Failure

#: Give-backs at shutdown that cost no attempt, for one input. Past these each counts, so that a
#: book which always outlasts the grace period does not go round for ever.
MAX_GIVE_BACKS = 3


@dataclass(frozen=True)
class Publication:
    """A finished narration, ready to be shown.

    Attributes:
        url: where the WAV plays from.
        url_expires_at: epoch milliseconds, or None for a URL that does not expire.
        duration_seconds: from the samples.
        path: the object's name in the bucket; unique to the claim.
        text_hash: ``text_hash`` of the text that was read.
        files: what lies beside it, by format: ``{url, urlExpiresAt, bytes, path}``.
        captions: what says when its words are heard, by name: the same of each.
    """

    url: str
    url_expires_at: int | None
    duration_seconds: float
    path: str
    text_hash: str
    files: Mapping[str, Record] = field(default_factory=dict)
    captions: Mapping[str, Record] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[str, ...]:
        """All the objects that it names."""
        beside = (*self.files.values(), *self.captions.values())
        return self.path, *(str(record[FILE_PATH]) for record in beside)

    def apply(self, book: Record, claim: Claim) -> Record:
        """The book made ``ready``: every field at once, claim, progress and error removed."""
        changed = without(dropped(book), ERROR, URL_EXPIRES_AT, FILES, CAPTIONS, *OF_REQUEST)
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
        if self.files:
            changed[FILES] = {name: dict(record) for name, record in self.files.items()}
        if self.captions:
            changed[CAPTIONS] = {name: dict(record) for name, record in self.captions.items()}
        return changed

    def stands(self, book: Record, _claim: Claim) -> bool:
        """Whether it was applied before: its object is the book's."""
        return bool(book.get(PATH) == self.path)


@dataclass(frozen=True)
class Rejection:
    """The book cannot be narrated as it is; trying again would change nothing."""

    failure: Failure

    def apply(self, book: Record, claim: Claim) -> Record:
        """The book made ``failed``. An earlier narration's fields are kept."""
        return as_failed(book, self.failure, claim.attempt)

    def stands(self, book: Record, claim: Claim) -> bool:
        """Whether it was applied before, as far as the book shows."""
        return _has_failed(book, self.failure, claim)


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
            return as_failed(book, self.failure, claim.attempt)
        return as_waiting(book, self._waiting(claim))

    def stands(self, book: Record, claim: Claim) -> bool:
        """Whether it was applied before, as far as the book shows."""
        if claim.attempt >= self.max_attempts:
            return _has_failed(book, self.failure, claim)
        found, waiting = Claim.from_record(book.get(CLAIM)), self._waiting(claim)
        if found is None:
            return False
        if found.token is None:
            return found == replace(waiting, token=None)
        # Followed by the next claim of the same request, which remembers why this one ended.
        return (
            found.attempt == waiting.attempt + 1
            and found.last_error == self.failure
            and found.text_hash == waiting.text_hash
            and same(found.requested_at, waiting.requested_at)
        )

    def _waiting(self, claim: Claim) -> Claim:
        return replace(claim, not_before=self.not_before, last_error=self.failure)


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
        return as_waiting(book, self._waiting(claim))

    def stands(self, book: Record, claim: Claim) -> bool:
        """Whether it was applied before, as far as the book shows."""
        waiting = replace(self._waiting(claim), token=None)
        return Claim.from_record(book.get(CLAIM)) == waiting

    def _waiting(self, claim: Claim) -> Claim:
        free = not self.shutdown or claim.give_backs < MAX_GIVE_BACKS
        return replace(
            claim,
            attempt=claim.attempt - 1 if free else claim.attempt,
            give_backs=claim.give_backs + 1 if self.shutdown and free else claim.give_backs,
            not_before=self.not_before,
        )


def _has_failed(book: Record, failure: Failure, claim: Claim) -> bool:
    error = book.get(ERROR)
    wanted = {**failure.as_record(), "attempts": claim.attempt}
    return (
        book.get(STATUS) == FAILED
        and CLAIM not in book
        and isinstance(error, dict)
        and all(same(error.get(name), value) for name, value in wanted.items())
    )


Outcome: TypeAlias = Publication | Rejection | Retry | GiveBack


def settle(
    book: object, *, claim: Claim, outcome: Outcome, digest: Callable[[Record], str]
) -> Transition:
    """End one's claim on a book with an outcome; the contract's outcome table.

    Args:
        book: as read.
        claim: one's own, as it was made.
        outcome: what to do if the book still wants it.
        digest: the input hash of a book, as for ``claim``.
    """
    if not isinstance(book, dict):
        return Transition(Verdict.GONE)
    held = Claim.from_record(book.get(CLAIM))
    if held is None or held.token != claim.token:
        # Applied before, and only the answer was lost; or the claim is another's by now.
        stands = outcome.stands(book, claim)
        return Transition(Verdict.DONE if stands else Verdict.FENCED)
    status = book.get(STATUS)
    if status is None:
        return Transition(Verdict.CANCELLED, without(dropped(book), *OF_REQUEST))
    same_input = status == REQUESTED and digest(book) == held.input_hash
    if status == REQUESTED and not same_input:
        return Transition(Verdict.SUPERSEDED, dropped(book))
    if status == PROCESSING or same_input:
        return Transition(Verdict.APPLIED, outcome.apply(book, held), held)
    return Transition(Verdict.DISCARDED, dropped(book))


def show_preview(book: object, *, claim: Claim, preview: Record) -> Transition:
    """Show the beginning of a narration that is being made; it goes when the claim goes.

    Args:
        book: as read.
        claim: one's own, as it was made.
        preview: ``{url, urlExpiresAt, bytes, path, duration}``.
    """
    if not isinstance(book, dict):
        return Transition(Verdict.GONE)
    held = Claim.from_record(book.get(CLAIM))
    if held is None or held.token != claim.token:
        return Transition(Verdict.FENCED)
    if book.get(STATUS) != PROCESSING:
        return Transition(Verdict.UNCHANGED)
    return Transition(Verdict.APPLIED, {**book, PREVIEW: preview})


def show_ready_by(book: object, *, claim: Claim, ready_by: int) -> Transition:
    """Say when a book that is in work will be ready; it goes when the claim goes.

    Args:
        book: as read.
        claim: one's own, as it was made.
        ready_by: epoch milliseconds.
    """
    if not isinstance(book, dict):
        return Transition(Verdict.GONE)
    held = Claim.from_record(book.get(CLAIM))
    if held is None or held.token != claim.token:
        return Transition(Verdict.FENCED)
    if book.get(STATUS) != PROCESSING or same(book.get(READY_BY), ready_by):
        return Transition(Verdict.UNCHANGED)
    return Transition(Verdict.APPLIED, {**book, READY_BY: ready_by})


def still_wanted(book: object, *, claim: Claim, digest: Callable[[Record], str]) -> Verdict:
    """What has become of a book in work: ``UNCHANGED``, or the verdict its outcome would get."""
    seen = settle(book, claim=claim, outcome=GiveBack(), digest=digest)
    if seen.verdict is Verdict.DONE:
        return Verdict.FENCED  # not by us: nothing was settled yet
    return Verdict.UNCHANGED if seen.verdict is Verdict.APPLIED else seen.verdict
