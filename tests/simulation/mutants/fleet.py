"""Mutants of what replicas do beside claims: limits, queue, renewal, sweep, batches, control."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from narrator_daemon.catalogue import (
    BATCH,
    children,
)
from narrator_daemon.claims import book as books
from narrator_daemon.claims import leases as leasing
from narrator_daemon.claims.book import Transition, Verdict
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.outcome import Publication
from narrator_daemon.claims.register import Register
from narrator_daemon.daemon import controlled, forecaster
from narrator_daemon.daemon.controlled import Controlled
from narrator_daemon.firebase import books as shelf
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.housekeeping import forgetting, renewal, sweep
from narrator_daemon.housekeeping.lookouts import SEATS, Lookouts, Seat
from narrator_daemon.housekeeping.reaper import Reaper
from narrator_daemon.housekeeping.reconciler import Reconciler
from narrator_daemon.marks import allotment
from narrator_daemon.queue import batches, budgets, picking, requesters, waiting
from narrator_daemon.queue.place import Level
from narrator_daemon.queue.waiting import Candidate
from tests.simulation.mutants.registry import blind, mutant
from tests.simulation.scheduler import current
from tests.simulation.seams import Seams


@mutant
def blind_grants(seams: Seams) -> None:
    """The limit is read, and a grant written, with no condition."""
    seams.set(requesters, "transact", blind)


@mutant
def blind_budgets(seams: Seams) -> None:
    """A budget is read, and a grant written, with no condition."""
    seams.set(budgets, "transact", blind)


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
def the_catalogues_budget_alone(seams: Seams) -> None:
    """Who asks is asked for no budget, the catalogue alone is."""
    seams.set(
        budgets.Budgets,
        "_of",
        lambda self, _uid: (
            {None: 3600 * most} if (most := self._limits().audio_hours_per_day) else {}
        ),
    )


@mutant
def what_was_reckoned_stays(seams: Seams) -> None:
    """What was made is counted as it was reckoned."""
    settle = budgets.settle

    def broken(stored: Any, *, name: str, seconds: float, now_ms: int) -> Any:
        reckoned = children(children(stored).get("granted")).get(name, seconds)
        return settle(stored, name=name, seconds=reckoned, now_ms=now_ms)

    seams.set(budgets, "settle", broken)


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
    for module in (books, waiting):
        seams.set(module, "wanted_from", lambda _book: None)


@mutant
def marks_without_condition(seams: Seams) -> None:
    """Two replicas may draw the same indices."""
    seams.set(allotment, "transact", blind)


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
    return "/reaper" in current().name


@mutant
def a_full_window_is_complete(seams: Seams) -> None:
    """A reading that brings as many as were asked for counts as all there are."""
    seams.set(shelf, "is_complete", lambda found, most=4: len(found) <= most)
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

    def broken(book_id: str, record: object, order: float, *field: str) -> Candidate:
        found = since(book_id, record, order, *field)
        return replace(found, order=-found.order)

    seams.set(Candidate, "of", staticmethod(broken))


@mutant
def levels_are_ignored(seams: Seams) -> None:
    """What is wanted now waits its turn."""
    since = Candidate.of

    def broken(book_id: str, record: object, order: float, *field: str) -> Candidate:
        return replace(since(book_id, record, order, *field), level=Level.NORMAL)

    seams.set(Candidate, "of", staticmethod(broken))


@mutant
def lists_from_where_it_stopped(seams: Seams) -> None:
    """A sweep goes on at the object that it looked at last, and not after it."""
    objects = AudioStore.objects

    def broken(self: AudioStore, *, after: str = "", most: int) -> Any:
        return objects(self, after=after[:-1] if after else "", most=most)

    seams.set(AudioStore, "objects", broken)


@mutant
def the_second_never_leads(seams: Seams) -> None:
    """What one replica does for all is left to whoever holds the first seat."""
    seams.set(Lookouts, "leads", property(lambda self: self._held == SEATS[0]))


@mutant
def nobody_is_told(seams: Seams) -> None:
    """What an operator tells is read once, and never again."""
    read = Controlled._read

    def broken(self: Controlled) -> None:
        if not self._known:
            read(self)

    seams.set(Controlled, "_read", broken)


@mutant
def claims_before_it_is_told(seams: Seams) -> None:
    """A worker that is started while the fleet is paused claims until its first look."""
    seams.set(Controlled, "holds", property(lambda self: self.control.holds))


@mutant
def a_drain_gives_back(seams: Seams) -> None:
    """A worker that is told to drain ends at once."""
    drain = Controlled._drain

    def broken(self: Controlled) -> None:
        drain(self)
        if self._ends_when_empty:
            self.drained = True

    seams.set(Controlled, "_drain", broken)


@mutant
def a_drain_never_ends(seams: Seams) -> None:
    """A worker that is told to drain claims nothing more, and stays."""
    seams.set(Controlled, "_drain", lambda _self: None)


@mutant
def the_laxer_holds(seams: Seams) -> None:
    """Of what is told the fleet and the worker, the worker's holds."""
    of_worker = controlled.of_worker

    def broken(node: object, worker_id: str) -> Any:
        workers = children(children(node).get("workers"))
        own = "state" in children(workers.get(worker_id))
        return of_worker({"workers": workers} if own else node, worker_id)

    seams.set(controlled, "of_worker", broken)


@mutant
def books_at_once_are_the_settings(seams: Seams) -> None:
    """How many books at once an operator tells is not heeded."""
    of_worker = controlled.of_worker
    seams.set(
        controlled,
        "of_worker",
        lambda node, worker_id: replace(of_worker(node, worker_id), books_at_once=None),
    )


@mutant
def batches_are_not_taken_back(seams: Seams) -> None:
    """Books of a batch that was taken back are read all the same."""
    seams.set(batches, "cancelled", lambda *_: Transition(Verdict.UNCHANGED))


@mutant
def takes_back_what_is_no_longer_its_own(seams: Seams) -> None:
    """Taking a batch back takes back books that were asked for again since by themselves."""
    cancelled = batches.cancelled

    def broken(book: object, batch: str) -> Transition:
        return cancelled({**book, BATCH: batch} if isinstance(book, dict) else book, batch)

    seams.set(batches, "cancelled", broken)


@mutant
def batches_are_told_late(seams: Seams) -> None:
    """Whoever ends a book of a batch leaves it to the next look to say so there."""
    seams.set(batches.Batches, "end", lambda *_: None)


@mutant
def nobody_looks_after_batches(seams: Seams) -> None:
    """What was missed of a batch is never found."""
    seams.set(batches.Batches, "_look_after", lambda *_: None)


@mutant
def batches_without_condition(seams: Seams) -> None:
    """The states of a batch are read, changed and written with no condition."""
    seams.set(batches, "transact", blind)


@mutant
def counts_of_before(seams: Seams) -> None:
    """A batch counts its books as they were before the write."""
    counts = batches.counts

    def broken(batch: object) -> dict[str, int]:
        found, last = counts(batch), children(batch).get("counts")
        return {name: int(last[name]) for name in found} if last else found

    seams.set(batches, "counts", broken)


@mutant
def forecasts_without_looking(seams: Seams) -> None:
    """When a book will be ready is written whatever has become of it."""
    seams.set(
        books,
        "foretell",
        lambda book, *, requested_at, ready_by: Transition(
            Verdict.APPLIED, {**(book or {}), "narrativeAudioReadyBy": ready_by}
        ),
    )


@mutant
def forecasts_with_one_worker(seams: Seams) -> None:
    """When a book will be ready is reckoned as if one worker did it all."""
    places = forecaster.places
    seams.set(forecaster, "places", lambda entries, control: places(entries, control)[:1])


@mutant
def forecasts_without_a_queue(seams: Seams) -> None:
    """When a book will be ready is reckoned as if it came next."""
    foretold = forecaster.forecast

    def broken(loads: Any, free: Any, arriving: Any) -> dict[str, float]:
        return {one.book_id: foretold([one], free, arriving)[one.book_id] for one in loads}

    seams.set(forecaster, "forecast", broken)


@mutant
def a_forecast_stays(seams: Seams) -> None:
    """When a book will be ready is still said once it is."""
    apply = Publication.apply

    def broken(self: Publication, book: Any, claim: Any) -> Any:
        said = {key: book[key] for key in ("narrativeAudioReadyBy",) if key in book}
        return {**apply(self, book, claim), **said}

    seams.set(Publication, "apply", broken)


@mutant
def leaves_claims_of_the_cancelled(seams: Seams) -> None:
    """A claim stays on a book that was cancelled when all who knew of it have died."""
    seams.set(forgetting.Forgetter, "_free", lambda *_: None)
