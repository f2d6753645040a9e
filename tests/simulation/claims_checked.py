"""Judges claims: when a book is claimed, how often, in which order, and who takes it from whom."""

from __future__ import annotations

from typing import Any

from greenlet import getcurrent

from narrator_daemon.catalogue import (
    BATCH,
    CLAIM,
    ERROR,
    FAILED,
    LEASES,
    NOT_BEFORE,
    PATH,
    REQUESTED,
    REQUESTED_AT,
    STATUS,
    Record,
    children,
)
from narrator_daemon.claims.claim import Claim, same
from narrator_daemon.queue.place import level_of
from tests.simulation.ledger import TEXT, Held, Ledger, Wish
from tests.simulation.limits import (
    FAREWELL_SECONDS,
    IDLE_SECONDS,
    MAX_ATTEMPTS,
    NOTICED_SECONDS,
    SEEN_SECONDS,
    STOPPED_SECONDS,
)
from tests.simulation.scheduler import Process


class ClaimsChecked:
    """The promises of claims and leases."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._gaps: dict[tuple[str, str], tuple[float, float]] = {}
        self._beaten: dict[tuple[str, str], object] = {}
        self._passed = 0
        # When each book last left the stream's window, waiting or not.
        self._left_window_at: dict[str, float] = {}

    # What the simulation tells.

    def failed(self, token: str) -> None:
        """The engine fails under a claim; where that has been given back, nothing comes of it."""
        held = self._ledger.held.get(token)
        if held is not None and not held.over:
            held.failed_at = self._ledger.now

    def tried(self, process: Process, began_at: float, *, passed: bool) -> None:
        """A worker has read a sentence of its own: whether books are at fault that failed before.

        Args:
            process: the worker.
            began_at: seconds.
            passed: whether it went well.
        """
        for held in self._ledger.held.values():
            failed_at = held.failed_at
            if held.process is process and failed_at is not None and failed_at <= began_at:
                held.maybe = held.bad = passed
                held.failed_at = None

    def leaves_window(self, book_id: str, told_at: float) -> None:
        """A replica is told that a book is not among the first that wait any more.

        Args:
            book_id: the book.
            told_at: when it hears of it for the last time, seconds.
        """
        self._left_window_at[book_id] = max(told_at, self._left_window_at.get(book_id, told_at))

    def hangs(self, token: str) -> None:
        """The engine hangs under a claim."""
        held = self._ledger.held.get(token)
        if held is not None:
            held.maybe = True
            held.excuses.add("hangs")

    def works(self, token: str) -> None:
        """Judge that a segment is begun under a claim."""
        held, world = self._ledger.held.get(token), self._ledger.world
        if held is None:
            return
        self._judge_going_on(held)
        if held.gone_at is None:
            return
        names = {f"{held.process.name}/{task}" for task in ("minder", "look", "heart", "main")}
        if held.process.name in world.cut_off or any(
            one.split("#")[0].rstrip("0123456789") in names
            or ("gremlin" in one and "database" in one)
            for one in world.faults.fired
        ):
            return
        seconds = self._ledger.now - max(held.gone_at, held.process.paused_until)
        self._ledger.demand(
            seconds < IDLE_SECONDS,
            "idle",
            f"{held.book_id} is still read {seconds:.1f} s after nobody wants it",
        )

    def _judge_going_on(self, held: Held) -> None:
        """Who cannot beat, or has been told to stop, begins no other sentence."""
        ledger, process = self._ledger, held.process
        _, beaten_at = self._gaps.get((held.book_id, held.token), (0.0, held.at))
        silent = ledger.now - max(beaten_at, process.paused_until)
        ledger.demand(
            silent < 0.7 * held.ttl + NOTICED_SECONDS,
            "idle",
            f"{held.book_id} is still read {silent:.1f} s after the last beat of {process.name}",
        )
        told_at = ledger.world.stops.get(process.name)
        grace = ledger.world.plan.grace_seconds + STOPPED_SECONDS
        # Meanwhile whoever claims is waited for, as long as a farewell takes.
        grace = max(grace, FAREWELL_SECONDS + NOTICED_SECONDS)
        ledger.demand(
            told_at is None or ledger.now - max(told_at, process.paused_until) < grace,
            "stop",
            f"{process.name} begins a sentence of {held.book_id} after its grace period",
        )

    # Writes.

    def see(self, book_id: str, old: Any, new: Any) -> None:
        """Take in a write to a book: which claim is gone, and which ends it tells no longer."""
        before, after = (Claim.from_record(children(one).get(CLAIM)) for one in (old, new))
        for one in self._ledger.held.values():
            if one.book_id == book_id and one.left is not None and not one.untold:
                one.untold = not _tells(children(new), one.left, retried=one.retried)
        held = self._ledger.held.get(str(before.token)) if before else None
        if held is None:
            return
        if after is None or after.token != held.token or STATUS not in children(new):
            held.gone_at = held.gone_at or self._ledger.now
        elif same(children(new).get(TEXT), held.text):
            held.gone_at = None  # cancelled, and asked for again

    def beats(self, book_id: str, token: str) -> None:
        """Take in a write to a lease."""
        now = self._ledger.now
        value = self._ledger.get(LEASES, book_id, token)
        # What is delivered late, or once more, is no beat: its owner may have ended since. Nor is
        # the same value, which nobody who watches can tell from the one before.
        if (
            value is None
            or self._ledger.world.is_late
            or value == self._beaten.get((book_id, token))
        ):
            return
        self._beaten[book_id, token] = value
        longest, last = self._gaps.get((book_id, token), (0.0, now))
        self._gaps[book_id, token] = max(longest, now - last), now

    def made(self, book_id: str, wish: Wish, old: Record, new: Record, claim: Claim) -> Held:
        """Judge a claim that was just made."""
        ledger, world = self._ledger, self._ledger.world
        process, token = world.writer, str(claim.token)
        assert process is not None
        ledger.claims += 1
        ledger.demand(wish.open, "stale", f"{book_id} is claimed though nobody waits for it")
        wanted = old.get(NOT_BEFORE)
        if isinstance(wanted, int):
            ledger.demand(
                world.database.now_ms() >= wanted - 2_500,
                "early",
                f"{book_id} is claimed before it is wanted",
            )
        # Once more where the answer was lost, and the frontend has written the book anew.
        known = ledger.held.get(token)
        ledger.demand(
            known is None or (known.gone_at is not None and not known.over),
            "duplicate",
            f"{token} is claimed twice",
        )
        # Who slept for a lifetime after it had written the lease may find it gone.
        _, written_at = self._gaps.get((book_id, token), (0.0, ledger.now))
        was_dead = ledger.now - written_at >= world.ttl_of(process)
        ledger.demand(
            ledger.get(LEASES, book_id, token) is not None or world.is_late or was_dead,
            "lease",
            f"{book_id} is claimed under {token}, which has no lease",
        )
        passed_over = [
            name
            for name, one in ledger.books.items()
            if children(one).get(STATUS) == REQUESTED
            and isinstance(claim.requested_at, int)
            and (level_of(one), one.get(REQUESTED_AT, 0), name)
            < (level_of(old), claim.requested_at, book_id)
        ]
        held = Held(
            book_id,
            token,
            ledger.claims,
            process,
            ledger.now,
            new.get(TEXT),
            claim.requested_at,
            claim.attempt,
            world.ttl_of(process),
            world.paused[process.name],
            world.troubles(process),
            old.get(BATCH),
            unheard=world.request_fault == "lost once after",
            overtakes=bool(passed_over),
        )
        ledger.overtaken.update(passed_over)
        if world.is_late or world.request_fault == "gone after":
            # Its worker may never hear that it stands.
            held.excuses.add(world.request_fault or "late")
        if ledger.now - written_at > 0.5 * held.ttl:
            held.excuses.add("slept before its claim stood")
        self._judge_attempt(held, wish)
        if world.plan.queue:
            self._judge_order(book_id, old)
        ledger.held[token] = held
        return held

    def _judge_attempt(self, held: Held, wish: Wish) -> None:
        ledger = self._ledger
        earlier = [
            one
            for one in ledger.held.values()
            if one.is_of(held.book_id, held.text, held.requested_at)
        ]
        most = sum(one.maybe or bool(one.excuses) or one.process.dead for one in earlier) + sum(
            ledger.world.stopped(one.process) for one in earlier
        )
        if held.book_id in ledger.world.ever_refused:
            most = len(earlier)
        ledger.demand(
            held.attempt - 1 <= most,
            "attempts",
            f"attempt {held.attempt} of {held.book_id}, of which {most} may have gone wrong",
        )
        sure = sum(one.bad and one.over and one.number > wish.since for one in earlier)
        ledger.demand(
            held.attempt - 1 >= sure,
            "attempts",
            f"attempt {held.attempt} of {held.book_id}, of which {sure} went wrong before",
        )
        ledger.demand(
            sure < MAX_ATTEMPTS,
            "attempts",
            f"{held.book_id} is tried more than {MAX_ATTEMPTS} times",
        )

    def _judge_order(self, book_id: str, old: Record) -> None:
        """Where one replica is alone and nothing disturbs it, the order is strict."""
        now_ms = self._ledger.world.database.now_ms()
        level, asked = level_of(old), (old[REQUESTED_AT], book_id)
        seen, is_oldest, is_first = [], True, True
        for name, record in self._ledger.books.items():
            at = record.get(REQUESTED_AT)
            if name == book_id or record.get(STATUS) != REQUESTED:
                continue
            is_oldest = is_oldest and asked < (at, name)
            if CLAIM in record:
                continue  # which may wait for its retry
            is_first = is_first and asked < (at, name)
            # One that is pushed out of the window by another is seen again with all that wait.
            told_at = self._left_window_at.get(name, 0.0)
            if min(now_ms - at, 1000 * (self._ledger.now - told_at)) > 1000 * SEEN_SECONDS:
                seen.append((level_of(record), (at, name)))
        # The oldest goes first once so many others went before it.
        is_its_turn = is_first and self._passed >= 1
        self._passed = 0 if is_oldest else self._passed + 1
        before = [one for one in seen if one < (level, asked) and not is_its_turn]
        self._ledger.demand(not before, "order", f"{book_id} goes before {before}")

    def ends(self, book_id: str, token: str, old: Record, new: Record) -> None:
        """A claim stands no longer: settled by its worker, or taken from it."""
        held, world = self._ledger.held.get(token), self._ledger.world
        if held is None or held.over:
            return
        held.over = True
        before, claim = (Claim.from_record(one.get(CLAIM)) for one in (old, new))
        error = claim.last_error if claim else None
        said_before = before.last_error if before else None
        lost = error is not None and error.code == "worker_lost" and error != said_before
        own = world.writer is held.process and "/reaper" not in getattr(getcurrent(), "name", "")
        if own and not lost and (claim is None or claim.token is None):
            held.left = claim
            if new.get(STATUS) == FAILED:
                held.left = children(new.get(ERROR))
            elif new.get(PATH) != old.get(PATH):
                held.left = str(new[PATH])
            counts = claim is not None and before is not None and claim.attempt == before.attempt
            held.retried = counts and claim is not None and claim.not_before is not None
            held.untold = world.is_old(held.process)
            if counts and claim is not None:
                self._judge_backoff(claim)
            if claim and before and claim.give_backs > before.give_backs:
                # As it stops: whose fault it was that the engine failed need not be known by then.
                held.failed_at, held.bad = None, False
            return
        longest, last = self._gaps.get((book_id, token), (self._ledger.now - held.at, held.at))
        still = max(longest, self._ledger.now - last)
        # A lease of a version that says no lifetime is held against that of whoever looks.
        told = children(self._beaten.get((book_id, token))).get("ttl")
        lifetime = held.ttl if told or world.writer is None else world.ttl_of(world.writer)
        self._ledger.demand(
            still >= lifetime - 1e-6,
            "taken",
            f"{token} is taken from {held.process.name}, whose lease stood still for {still:.1f} s",
        )
        held.maybe = True
        self._ledger.demand(
            self._ledger.is_excused(held),
            "taken",
            f"{book_id} is taken from {held.process.name}, which went wrong in nothing",
        )

    def _judge_backoff(self, claim: Claim) -> None:
        world = self._ledger.world
        if any(world.plan.skews) or "wall clock jumps" in world.plan.kinds:
            return
        wait = (claim.not_before or 0) - world.database.now_ms()
        most = 2000 * 2 ** max(claim.attempt - 1, 0)
        self._ledger.demand(
            wait <= most + 100,
            "backoff",
            f"attempt {claim.attempt} is to be followed by the next in {wait} ms",
        )


def _tells(book: Record, left: Claim | Record | str, *, retried: bool) -> bool:
    """Whether a book tells how a claim has ended: by what that left, or by the next attempt."""
    claim = Claim.from_record(book.get(CLAIM))
    if isinstance(left, str):
        return bool(book.get(PATH) == left)
    if not isinstance(left, Claim):
        return claim is None and book.get(STATUS) == FAILED and same(book.get(ERROR), left)
    if claim is None or claim == left or not retried:
        return claim == left
    return (
        claim.token is not None
        and (claim.attempt, claim.last_error) == (left.attempt + 1, left.last_error)
        and (claim.text_hash, claim.requested_at) == (left.text_hash, left.requested_at)
    )
