"""The mutants of the protocol's model (``tests/protocol``), as they look in the code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from narrator_daemon.catalogue import CLAIM, PROCESSING, PROGRESS, REQUESTED, STATUS
from narrator_daemon.claims import book as books
from narrator_daemon.claims import claims as claiming
from narrator_daemon.claims import leases as leasing
from narrator_daemon.claims import outcome as outcomes
from narrator_daemon.claims.book import Transition, Verdict
from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.lease_watch import LeaseWatch
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.outcome import Publication
from narrator_daemon.claims.work import Work
from narrator_daemon.daemon import desk
from narrator_daemon.daemon.job import Job
from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase import books as shelf
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.housekeeping import sweep
from tests.simulation.mutants.registry import blind, mutant
from tests.simulation.seams import Seams


@mutant
def fence_off(seams: Seams) -> None:
    """An outcome is applied to whatever claim stands."""
    settle = outcomes.settle

    def broken(book: object, *, claim: Claim, **known: Any) -> Transition:
        if isinstance(book, dict):
            book = {**book, CLAIM: claim.as_record()}
        return settle(book, claim=claim, **known)

    seams.set(outcomes, "settle", broken)


@mutant
def attempt_counted_late(seams: Seams) -> None:
    """An attempt is counted when its outcome is written, and not when the book is claimed."""
    claim, settle = books.claim, outcomes.settle

    def broken(book: object, **known: Any) -> Transition:
        seen = claim(book, **known)
        if seen.verdict is Verdict.CLAIMED and seen.book is not None and seen.claim is not None:
            uncounted = {**seen.claim.as_record(), "attempt": seen.claim.attempt - 1}
            return Transition(seen.verdict, {**seen.book, CLAIM: uncounted}, seen.claim)
        return seen

    def settled(book: object, **known: Any) -> Transition:
        found = Claim.from_record(book.get(CLAIM)) if isinstance(book, dict) else None
        if found is not None and isinstance(book, dict):
            book = {**book, CLAIM: replace(found, attempt=found.attempt + 1).as_record()}
        return settle(book, **known)

    seams.set(books, "claim", broken)
    seams.set(outcomes, "settle", settled)


class _WallWatch(LeaseWatch):
    def dead(self, name: Any) -> bool:
        seen = self._seen.get(name)
        if seen is None or not isinstance(seen.beat, float):
            return super().dead(name)
        return leasing.time.time() - seen.beat >= seen.ttl


@mutant
def wall_clocks(seams: Seams) -> None:
    """Leases hold the owner's time, and others hold it against their own."""

    def lease(self: Leases, _beat: int) -> dict[str, Any]:
        return {"owner": self._owner, "beat": leasing.time.time(), "ttl": self._ttl}

    seams.set(Leases, "_lease", lease)
    seams.set(desk, "LeaseWatch", _WallWatch)


@mutant
def child_write(seams: Seams) -> None:
    """Progress is written to its leaf whatever is there."""

    def broken(self: Claims, work: Work, fraction: float) -> None:
        with claiming.database_errors():
            self._project.book(work.book_id, PROGRESS).set(fraction)

    seams.set(Claims, "show_progress", broken)


@mutant
def blind_write(seams: Seams) -> None:
    """Books are read, changed and written with no condition."""
    seams.set(shelf, "transact", blind)


@mutant
def own_token_not_recognised(seams: Seams) -> None:
    """A claim whose answer was lost is taken for another's."""
    claim = books.claim

    def broken(book: object, **known: Any) -> Transition:
        seen = claim(book, **known)
        return Transition(Verdict.LOST) if seen.verdict is Verdict.MINE else seen

    seams.set(books, "claim", broken)


@mutant
def own_publication_not_recognised(seams: Seams) -> None:
    """A publication whose answer was lost is taken for having been fenced."""
    seams.set(Publication, "stands", lambda *_: False)


@mutant
def shared_object_name(seams: Seams) -> None:
    """All takes of a book are one object."""
    seams.set(AudioStore, "path", lambda _self, book_id, _token: f"narrations/{book_id}/all.wav")


@mutant
def reaps_any_token(seams: Seams) -> None:
    """Whatever claim stands on a book is freed once some claim on it was judged dead."""
    reap = books.reap

    def broken(book: object, *, token: str | None, record: object = None) -> Transition:
        found = Claim.from_record(book.get(CLAIM)) if isinstance(book, dict) else None
        return reap(book, token=token if found is None else found.token, record=record)

    seams.set(books, "reap", broken)


@mutant
def deletes_when_unsure(seams: Seams) -> None:
    """No answer to a publication is taken for a refusal."""
    once = Job._settle_once

    def broken(self: Job, outcome: Any) -> Transition:
        try:
            return once(self, outcome)
        except Unavailable:
            self._attempt(self._delivery.delete)
            raise

    seams.set(Job, "_settle_once", broken)


@mutant
def reads_again_after_a_lost_claim(seams: Seams) -> None:
    """After a lost answer, the text is taken from the book as it is by then."""

    class Broken(claiming._Claiming):
        def decide(self, record: object) -> Transition:
            seen = super().decide(record)
            if seen.verdict is Verdict.MINE and seen.claim and isinstance(record, dict):
                self.written[seen.claim.input_hash] = record
            return seen

    seams.set(claiming, "_Claiming", Broken)


@mutant
def ignores_other_text(seams: Seams) -> None:
    """Asked for again with another text, the work in progress is shown all the same."""
    settle = outcomes.settle

    def broken(book: object, **known: Any) -> Transition:
        if isinstance(book, dict) and book.get(STATUS) == REQUESTED:
            book = {**book, STATUS: PROCESSING}
        return settle(book, **known)

    seams.set(outcomes, "settle", broken)


@mutant
def ignores_cancel(seams: Seams) -> None:
    """A book whose status was removed is published all the same."""
    settle = outcomes.settle

    def broken(book: object, **known: Any) -> Transition:
        if isinstance(book, dict) and STATUS not in book:
            book = {**book, STATUS: PROCESSING}
        return settle(book, **known)

    seams.set(outcomes, "settle", broken)


@mutant
def claims_over_a_live_lease(seams: Seams) -> None:
    """A waiting book is claimed though another works on it."""
    claim = books.claim
    seams.set(
        books,
        "claim",
        lambda book, **known: claim(book, **{**known, "lease_dead": lambda _token: True}),
    )


class _OnlyBeats(LeaseWatch):
    def dead(self, name: Any) -> bool:
        seen = self._seen.get(name)
        return seen is not None and seen.beat is not None and super().dead(name)


@mutant
def no_lease_is_no_death(seams: Seams) -> None:
    """What was never seen to beat is waited for."""
    seams.set(desk, "LeaseWatch", _OnlyBeats)


@mutant
def drops_what_is_reaped(seams: Seams) -> None:
    """A reaped book loses its status with its claim."""
    reap = books.reap

    def broken(book: object, **known: Any) -> Transition:
        seen = reap(book, **known)
        if seen.book is None:
            return seen
        return Transition(seen.verdict, books.without(seen.book, STATUS), seen.claim)

    seams.set(books, "reap", broken)


@mutant
def lease_after_claim(seams: Seams) -> None:
    """The lease is written once the claim stands."""
    claim = Claims.claim

    def broken(self: Claims, book_id: str) -> Any:
        attempted = claim(self, book_id)
        if attempted.work is not None:
            Leases.announce(self._leases, book_id, attempted.work.token)
        return attempted

    class Broken(claiming._Claiming):
        def __init__(self, decide: Any, _announce: Any) -> None:
            super().__init__(decide, lambda: None)

    seams.set(Claims, "claim", broken)
    seams.set(claiming, "_Claiming", Broken)


@mutant
def sweeps_twice(seams: Seams) -> None:
    """A sweep that saw no path and then no claim deletes."""
    named = sweep.Sweeper._named

    def broken(self: sweep.Sweeper, stored: Any) -> bool:
        looks: list[bool] = []

        def look(_self: Any, book_id: str, path: str) -> bool:
            if looks:
                return False
            looks.append(True)
            return named(self, book_id, path)

        self._named = lambda book_id, path: look(self, book_id, path)  # type: ignore[method-assign]
        return orphaned(self, stored)

    orphaned = sweep.Sweeper._orphaned
    seams.set(sweep.Sweeper, "_orphaned", broken)


@mutant
def attempts_of_the_settings(seams: Seams) -> None:
    """A replica with another voice counts attempts of its own."""
    claim = books.claim
    seams.set(
        books,
        "claim",
        lambda book, **known: claim(book, **{**known, "text_digest": known["digest"]}),
    )
