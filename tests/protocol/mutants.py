"""The protocol with one rule taken out at a time, each as a bug that somebody could write."""

from __future__ import annotations

from typing import Any

from model import EPOCH, TEXT, TTL, Rules, Worker

from narrator_daemon.catalogue import CLAIM, PROCESSING, PROGRESS, REQUESTED, STATUS, Record
from narrator_daemon.claims.book import Transition, Verdict
from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.lease_watch import LeaseWatch


class FenceOff(Rules):
    """An outcome is applied to whatever claim stands."""

    def settle(self, book: Any, claim: Claim, *rest: Any) -> Transition:
        if isinstance(book, dict):
            book = {**book, CLAIM: claim.as_record()}
        return super().settle(book, claim, *rest)


class AttemptCountedLate(Rules):
    """An attempt is counted when its outcome is written, and not when the book is claimed."""

    def claim(self, book: Any, **known: Any) -> Transition:
        seen = super().claim(book, **known)
        if seen.verdict is Verdict.CLAIMED and seen.book is not None and seen.claim is not None:
            uncounted = {**seen.claim.as_record(), "attempt": seen.claim.attempt - 1}
            return Transition(seen.verdict, {**seen.book, CLAIM: uncounted}, seen.claim)
        return seen

    def settle(self, book: Any, claim: Claim, *rest: Any) -> Transition:
        found = Claim.from_record(book.get(CLAIM)) if isinstance(book, dict) else None
        if found is not None:
            book = {**book, CLAIM: {**found.as_record(), "attempt": found.attempt + 1}}
        return super().settle(book, claim, *rest)


class _WallWatch(LeaseWatch):
    """Believes what the owner's clock wrote into the lease."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(TTL, TTL)
        self._skew = worker.skew

    def dead(self, name: Any) -> bool:
        seen = self._seen.get(name)
        if seen is None or not isinstance(seen.beat, int) or self._read_at is None:
            return super().dead(name)
        return EPOCH + self._read_at + self._skew - seen.beat >= TTL


class WallClocks(Rules):
    """Leases hold the owner's time, and others hold it against their own."""

    def beat(self, _count: int, wall: int) -> Any:
        return wall

    def watch(self, worker: Worker) -> LeaseWatch:
        return _WallWatch(worker)


class ChildWrite(Rules):
    """Progress is written to its leaf whatever is there."""

    def show_progress(self, book: Record | None) -> Record | None:
        return {**(book or {}), PROGRESS: 0.5}


class BlindWrite(Rules):
    """Books are read, changed and written with no condition."""

    conditional = False


class OwnTokenNotRecognised(Rules):
    """A claim whose answer was lost is taken for another's."""

    def claim(self, book: Any, **known: Any) -> Transition:
        seen = super().claim(book, **known)
        return Transition(Verdict.LOST) if seen.verdict is Verdict.MINE else seen


class OwnPublicationNotRecognised(Rules):
    """A publication whose answer was lost is taken for having been fenced."""

    def settle(self, book: Any, claim: Claim, *rest: Any) -> Transition:
        seen = super().settle(book, claim, *rest)
        return Transition(Verdict.FENCED) if seen.verdict is Verdict.DONE else seen


class SharedObjectName(Rules):
    """All takes of a book are one object."""

    def path(self, book_id: str, _token: str) -> str:
        return f"narrations/{book_id}.wav"


class ReapsAnyToken(Rules):
    """Whatever claim stands on a book is freed once some claim on it was judged dead."""

    def reap(self, book: Any, token: str | None, record: Any) -> Transition:
        found = Claim.from_record(book.get(CLAIM)) if isinstance(book, dict) else None
        return super().reap(book, token if found is None else found.token, record)


class DeletesWhenUnsure(Rules):
    """No answer to a publication is taken for a refusal."""

    def deletes_when_unsure(self) -> bool:
        return True


class ReadsAgainAfterLostClaim(Rules):
    """After a lost answer, the text is taken from the book as it is by then."""

    def claimed_text(self, written: Any, now: Record) -> Any:
        return now.get(TEXT, written)


class IgnoresOtherText(Rules):
    """Asked for again with another text, the work in progress is shown all the same."""

    def settle(self, book: Any, claim: Claim, *rest: Any) -> Transition:
        if isinstance(book, dict) and book.get(STATUS) == REQUESTED:
            book = {**book, STATUS: PROCESSING}
        return super().settle(book, claim, *rest)


class IgnoresCancel(Rules):
    """A book whose status was removed is published all the same."""

    def settle(self, book: Any, claim: Claim, *rest: Any) -> Transition:
        if isinstance(book, dict) and STATUS not in book:
            book = {**book, STATUS: PROCESSING}
        return super().settle(book, claim, *rest)


class ClaimsOverLiveLease(Rules):
    """A waiting book is claimed though another works on it."""

    def claim(self, book: Any, **known: Any) -> Transition:
        return super().claim(book, **{**known, "lease_dead": lambda _token: True})


class NoLeaseIsNoDeath(Rules):
    """What was never seen to beat is waited for."""

    def watch(self, _worker: Worker) -> LeaseWatch:
        return _OnlyBeats(TTL, TTL)


class _OnlyBeats(LeaseWatch):
    def dead(self, name: Any) -> bool:
        seen = self._seen.get(name)
        return seen is not None and seen.beat is not None and super().dead(name)


class DropsRetry(Rules):
    """A reaped book loses its status with its claim."""

    def reap(self, book: Any, token: str | None, record: Any) -> Transition:
        seen = super().reap(book, token, record)
        if seen.book is None:
            return seen
        kept = {key: value for key, value in seen.book.items() if key != STATUS}
        return Transition(seen.verdict, kept, seen.claim)


class LeaseAfterClaim(Rules):
    """The lease is written once the claim stands."""

    announces_first = False


class SweepsTwice(Rules):
    """A sweep that saw no path and then no claim deletes."""

    sweeps_thrice = False


class AttemptsOfTheSettings(Rules):
    """A replica with another voice counts attempts of its own."""

    def claim(self, book: Any, **known: Any) -> Transition:
        return super().claim(book, **{**known, "text_digest": known["digest"]})


#: Every mutant.
ALL: list[type[Rules]] = Rules.__subclasses__()
