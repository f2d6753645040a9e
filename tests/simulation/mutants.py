"""The program with one rule taken out at a time, each as a bug that somebody could write.

Those of the protocol's model, as they look in the code, and others of the rooms that are simulated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
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
from narrator_daemon.claims.outcome import GiveBack, Publication, Retry
from narrator_daemon.claims.register import Register
from narrator_daemon.claims.work import Work
from narrator_daemon.daemon import assembly, job, tries
from narrator_daemon.daemon.heart import Heart
from narrator_daemon.daemon.job import Job
from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase import books as shelf
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.housekeeping import forgetting, renewal, sweep
from narrator_daemon.housekeeping.lookouts import Seat
from narrator_daemon.housekeeping.reaper import Reaper
from narrator_daemon.housekeeping.reconciler import Reconciler
from narrator_daemon.marks import allotment
from narrator_daemon.queue import budgets, picking, requesters
from narrator_daemon.queue.waiting import Candidate, Waiting
from tests.simulation.seams import Seams

Mutant = Callable[[Seams], None]

#: All of them, by name.
ALL: dict[str, Mutant] = {}


def mutant(break_it: Mutant) -> Mutant:
    ALL[break_it.__name__.replace("_", " ")] = break_it
    return break_it


def said(name: str) -> str:
    """What a mutant does, in a sentence."""
    return (ALL[name].__doc__ or "").split("\n")[0].rstrip(".")


# Those of the protocol's model.


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
    seams.set(assembly, "LeaseWatch", _WallWatch)


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
    seams.set(shelf, "transact", _blind)


def _blind(reference: Any, decide: Callable[[Any], tuple[Any, Any]]) -> Any:
    with shelf.database_errors():
        value, decision = decide(reference.get())
        if value is not None:
            reference.set(value)
    return decision


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
    seams.set(assembly, "LeaseWatch", _OnlyBeats)


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


# Of the protocol's code, which its tests once did not find.


@mutant
def outcome_tried_once(seams: Seams) -> None:
    """An outcome that is not taken at once is left to be reaped."""
    settle = Job._settle
    seams.set(Job, "_settle", lambda self, outcome, **_: settle(self, outcome, once=True))


@mutant
def two_outcomes(seams: Seams) -> None:
    """Who shuts down writes an outcome beside that of the job's own thread."""
    seams.set(Job, "_begin_settling", lambda _self: True)


@mutant
def minder_ignores_the_token(seams: Seams) -> None:
    """Whether a book that was written anew is still in work is seen by its status alone."""
    changed = Claims._changed

    def broken(self: Claims, work: Work, *keys: str) -> object:
        return claiming._SAME if keys[0] == CLAIM else changed(self, work, *keys)

    seams.set(Claims, "_changed", broken)


@mutant
def judges_across_gaps(seams: Seams) -> None:
    """A replica that slept holds the beats of before against those whom it sees again."""
    watch = assembly.LeaseWatch
    seams.set(assembly, "LeaseWatch", lambda ttl, longest_gap: watch(ttl, inf))


@mutant
def judges_by_its_own_lifetime(seams: Seams) -> None:
    """A lease is judged by the lifetime of who looks."""
    observe = LeaseWatch.observe
    seams.set(LeaseWatch, "observe", lambda self, beats, now, _ttls=None: observe(self, beats, now))


@mutant
def judges_early(seams: Seams) -> None:
    """A lease is dead after half its lifetime."""
    watch = assembly.LeaseWatch

    class Broken(watch):  # type: ignore[misc,valid-type]
        def observe(self, beats: Any, now: float, ttls: Any = None) -> None:
            halves = {name: ttl / 2 for name, ttl in (ttls or {}).items()}
            super().observe(beats, now, halves)

    seams.set(assembly, "LeaseWatch", lambda ttl, longest_gap: Broken(ttl / 2, longest_gap))


@mutant
def works_on_without_beats(seams: Seams) -> None:
    """Who cannot beat works on, and finds out in the end; nobody is asked to stop."""
    seams.set(Leases, "let_go", lambda *_: None)


@mutant
def beats_for_what_is_stuck(seams: Seams) -> None:
    """Beats go on for a job that hangs."""

    def broken(self: Heart) -> float:
        self._leases.beat([one.work for one in self._in_work.jobs])
        return self._beat_seconds

    seams.set(Heart, "beat", broken)


@mutant
def asleep_is_stuck(seams: Seams) -> None:
    """The time in which a process slept counts as one in which its engine got nowhere."""
    watch = Job.watch
    seams.set(Job, "watch", lambda self, now, patience, **_: watch(self, now, patience))


@mutant
def lost_audio_is_left(seams: Seams) -> None:
    """What has no place is left to the sweep."""
    seams.set(job.Delivery, "delete", lambda *_, **__: None)


@mutant
def deletes_what_is_shown(seams: Seams) -> None:
    """Files of a publication that was taken before are deleted as if it had not been."""
    delete = job.Delivery.delete
    seams.set(job.Delivery, "delete", lambda self, **_: delete(self))


@mutant
def first_backoff_of_four_seconds(seams: Seams) -> None:
    """The first pause before a retry is twice as long."""
    backoff = tries.backoff_ms
    seams.set(job, "backoff_ms", lambda attempt, unit: 2 * backoff(attempt, unit))


@mutant
def give_backs_cost_an_attempt(seams: Seams) -> None:
    """A book that is given back as storage is down has an attempt less."""
    seams.set(
        GiveBack,
        "_waiting",
        lambda self, claim: replace(claim, not_before=self.not_before),
    )


@mutant
def retries_cost_nothing(seams: Seams) -> None:
    """A failed attempt is not counted."""
    waiting = Retry._waiting
    seams.set(
        Retry,
        "_waiting",
        lambda self, claim: replace(waiting(self, claim), attempt=claim.attempt - 1),
    )


@mutant
def own_fault_is_the_books(seams: Seams) -> None:
    """A full disk or a broken engine costs each book its attempts."""
    seams.set(assembly.Trial, "own_fault", lambda *_: None)


@mutant
def done_is_fenced(seams: Seams) -> None:
    """An outcome whose answer was lost goes into the history as another's."""
    settle = outcomes.settle

    def broken(book: object, **known: Any) -> Transition:
        seen = settle(book, **known)
        if seen.verdict is Verdict.DONE and isinstance(known["outcome"], Publication):
            return seen
        return Transition(Verdict.FENCED) if seen.verdict is Verdict.DONE else seen

    seams.set(outcomes, "settle", broken)


@mutant
def cancelled_retry_is_forgotten(seams: Seams) -> None:
    """A hint that says little makes a replica forget that a claim waits on the book."""
    offer = Waiting._offer

    def broken(self: Waiting, book_id: str, record: object, now_ms: int) -> None:
        offer(self, book_id, record, now_ms)
        if record is None:
            self._candidates[book_id].waits_for_retry = False

    seams.set(Waiting, "_offer", broken)


# Of what replicas do beside claims.


@mutant
def blind_grants(seams: Seams) -> None:
    """The limit is read, and a grant written, with no condition."""
    seams.set(requesters, "transact", _blind)


@mutant
def blind_budgets(seams: Seams) -> None:
    """A budget is read, and a grant written, with no condition."""
    seams.set(budgets, "transact", _blind)


@mutant
def asks_no_budget(seams: Seams) -> None:
    """Nobody is asked whether a budget is used up."""
    seams.set(picking.Picker, "_ask_budgets", lambda *_: None)


@mutant
def budget_of_one_more(seams: Seams) -> None:
    """A book more is granted once a budget is used up."""
    take = budgets.take
    seams.set(
        budgets,
        "take",
        lambda stored, *, most_seconds, **known: take(
            stored, most_seconds=most_seconds + 1.5, **known
        ),
    )


@mutant
def asks_no_limit(seams: Seams) -> None:
    """Nobody is asked whether a requester is at the limit."""
    seams.set(picking.Picker, "_ask_limit", lambda *_: None)


@mutant
def limit_of_one_more(seams: Seams) -> None:
    """One more is granted than is allowed."""
    take = requesters.take
    seams.set(
        requesters,
        "take",
        lambda granted, *, limit, **known: take(granted, limit=limit + 1, **known),
    )


@mutant
def a_wish_for_later_is_for_now(seams: Seams) -> None:
    """A book is taken before the time from which it is wanted."""
    seams.set(books, "wanted_from", lambda _book: None)
    seams.set(Candidate, "wanted_at", None)


@mutant
def marks_without_condition(seams: Seams) -> None:
    """Two replicas may draw the same indices."""
    seams.set(allotment, "transact", _blind)


@mutant
def renews_whatever_is_shown(seams: Seams) -> None:
    """A signed URL is written though another narration is shown by then."""
    renew = renewal.renew

    def broken(book: object, *, path: str, **known: Any) -> Transition:
        shown = book.get("narrativeAudioPath", path) if isinstance(book, dict) else path
        return renew(book, path=shown, **known)

    seams.set(renewal, "renew", broken)


@mutant
def renews_nothing(seams: Seams) -> None:
    """URLs run out."""
    seams.set(renewal.Renewer, "step", lambda _self: 10.0)


@mutant
def sweeps_what_is_claimed(seams: Seams) -> None:
    """A sweep looks at what is shown and not at what is in work."""
    seams.set(
        sweep.Sweeper,
        "_orphaned",
        lambda self, stored: (
            self._store.is_ours(stored) and not self._named(stored.metadata["bookId"], stored.path)
        ),
    )


@mutant
def sweeps_nothing(seams: Seams) -> None:
    """Nobody sweeps."""
    seams.set(sweep.Sweeper, "_delete_orphan", lambda *_: False)


@mutant
def register_not_confirmed(seams: Seams) -> None:
    """Entries of the register are written and neither confirmed nor removed."""
    seams.set(Register, "confirm", lambda *_: None)
    seams.set(forgetting.Forgetter, "_settle", lambda *_: None)


@mutant
def register_not_written(seams: Seams) -> None:
    """Narrations are published without an entry in the register."""
    seams.set(Register, "enter", lambda *_: None)


@mutant
def nobody_reconciles(seams: Seams) -> None:
    """What the stream has missed is never read."""
    seams.set(Reconciler, "round", lambda _self: 8.0)


@mutant
def nobody_minds(seams: Seams) -> None:
    """Books in work are not looked after."""
    seams.set(Claims, "look_after", lambda *_: None)


@mutant
def nobody_looks_out(seams: Seams) -> None:
    """Leases are looked after by those alone who took the seats first."""
    seams.set(Seat, "is_free", lambda self, *_: self.value is None)
    seams.set(Seat, "is_kept", lambda self, *_: self.value is not None)


@mutant
def reaps_nothing(seams: Seams) -> None:
    """Nobody takes up what dead workers left."""
    seams.set(Reaper, "_free", lambda *_: False)


@mutant
def leaves_dead_leases(seams: Seams) -> None:
    """A lease stays when its book was freed."""
    delete = Leases.delete

    def broken(self: Leases, book_id: str, token: str) -> None:
        if leasing.threading is not None and _is_reaper():
            return
        delete(self, book_id, token)

    seams.set(Leases, "delete", broken)


def _is_reaper() -> bool:
    from tests.simulation.scheduler import current

    return "/reaper" in current().name


@mutant
def a_full_window_is_complete(seams: Seams) -> None:
    """A reading that brings as many as were asked for counts as all there are."""
    seams.set(shelf, "is_complete", lambda found, most=4: len(found) <= most)
    from narrator_daemon.queue import waiting

    seams.set(waiting, "is_complete", lambda found, most=4: len(found) <= most)


@mutant
def reads_the_window_alone(seams: Seams) -> None:
    """Where more wait than a window holds, the rest is not read."""
    step = Reconciler.round

    def broken(self: Reconciler) -> float:
        self._more_wait = False
        return step(self)

    seams.set(Reconciler, "round", broken)


@mutant
def newest_first(seams: Seams) -> None:
    """The last request goes first."""
    since = Candidate.of

    def broken(book_id: str, record: object, order: float) -> Candidate:
        found = since(book_id, record, order)
        return replace(found, order=-found.order)

    seams.set(Candidate, "of", staticmethod(broken))


@mutant
def levels_are_ignored(seams: Seams) -> None:
    """What is wanted now waits its turn."""
    since = Candidate.of

    def broken(book_id: str, record: object, order: float) -> Candidate:
        return replace(since(book_id, record, order), level=books_level())

    def books_level() -> Any:
        from narrator_daemon.queue.place import Level

        return Level.NORMAL

    seams.set(Candidate, "of", staticmethod(broken))
