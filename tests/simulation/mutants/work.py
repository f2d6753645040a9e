"""Mutants of claims, leases and jobs."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

from narrator_daemon.catalogue import CLAIM
from narrator_daemon.claims import claims as claiming
from narrator_daemon.claims import outcome as outcomes
from narrator_daemon.claims.book import Transition, Verdict
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.lease_watch import LeaseWatch
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.outcome import GiveBack, Publication, Rejection, Retry
from narrator_daemon.claims.work import Work
from narrator_daemon.daemon import desk, job, trial, tries
from narrator_daemon.daemon.heart import Heart
from narrator_daemon.daemon.job import Job
from narrator_daemon.queue.waiting import Waiting
from tests.simulation.mutants.registry import mutant
from tests.simulation.seams import Seams


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
    watch = desk.LeaseWatch
    seams.set(desk, "LeaseWatch", lambda ttl, longest_gap: watch(ttl, inf))


@mutant
def judges_by_its_own_lifetime(seams: Seams) -> None:
    """A lease is judged by the lifetime of who looks."""
    observe = LeaseWatch.observe
    seams.set(LeaseWatch, "observe", lambda self, beats, now, _ttls=None: observe(self, beats, now))


@mutant
def judges_early(seams: Seams) -> None:
    """A lease is dead after half its lifetime."""
    watch = desk.LeaseWatch

    class Broken(watch):  # type: ignore[misc,valid-type]
        def observe(self, beats: Any, now: float, ttls: Any = None) -> None:
            halves = {name: ttl / 2 for name, ttl in (ttls or {}).items()}
            super().observe(beats, now, halves)

    seams.set(desk, "LeaseWatch", lambda ttl, longest_gap: Broken(ttl / 2, longest_gap))


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
    seams.set(trial.Trial, "own_fault", lambda *_: None)


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


@mutant
def shutdown_does_not_interrupt(seams: Seams) -> None:
    """At the end of the grace period nobody asks jobs to stop at the next sentence."""
    seams.set(Job, "give_back_at_boundary", lambda _self: None)


@mutant
def rejected_segments_are_kept(seams: Seams) -> None:
    """Segments of a book that cannot be narrated stay."""
    forget = Job._forget_segments

    def broken(self: Job, outcome: Any, verdict: Verdict) -> None:
        if not isinstance(outcome, Rejection):
            forget(self, outcome, verdict)

    seams.set(Job, "_forget_segments", broken)
