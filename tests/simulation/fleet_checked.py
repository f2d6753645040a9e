"""Judges what replicas agree on beside claims: limits, budgets, marks, batches, what is told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from greenlet import getcurrent

from narrator_daemon.catalogue import (
    BATCH,
    BATCHES,
    CLAIM,
    JOBS,
    MARKS,
    PROCESSING,
    READY,
    READY_BY,
    REQUESTED,
    REQUESTED_AT,
    STATUS,
    Record,
    children,
)
from narrator_daemon.claims.claim import Claim
from tests.simulation.grants_checked import GrantsChecked
from tests.simulation.ledger import Held, Ledger
from tests.simulation.limits import (
    BATCH_SECONDS,
    BEAT,
    CANCEL_SECONDS,
    CONTROL_SECONDS,
    DRAIN_SECONDS,
    FORECAST_OFF_SECONDS,
    NOTICED_SECONDS,
    PACE_BOOKS,
    SEEN_SECONDS,
    STEADY_CHARACTERS,
    STEADY_SECONDS,
)
from tests.simulation.scheduler import EPOCH, Process, Task

#: Ends of a request.
_OVER = ("ready", "failed", "cancelled")


@dataclass
class Told:
    """What an operator tells a worker, since when, seconds.

    Attributes:
        state: of ``narrationControl``.
        since: when that began.
        at_once: the most books at once that were told of late, and when: the last is in force.
    """

    state: str = "running"
    since: float = 0.0
    at_once: list[tuple[float, int]] = field(default_factory=list)


class FleetChecked:
    """The promises of a fleet."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.grants = GrantsChecked(ledger)
        self._told: dict[int, Told] = {}
        # When each request last ended, by book and how, and under which claim.
        self._ends: dict[tuple[str, str], tuple[float, Held | None]] = {}
        self._asked: dict[str, float] = {}
        # When it was said of a book that waits when it will be ready, and what; seconds.
        self._said: dict[str, list[tuple[float, float]]] = {}
        # Those that are taken back, and since when; and those that ever were.
        self._cancelled: dict[str, float] = {}
        self._taken_back: set[str] = set()

    def claimed(self, book_id: str, old: Record, held: Held) -> None:
        """Judge a claim: whether it was granted, and whether the worker may claim anything."""
        self.grants.claimed(book_id, old, held)
        self._judge_told(held)
        batch = old.get(BATCH)
        since, world = self._cancelled.get(str(batch)), self._ledger.world
        # Who looked after batches may have ended, or been taken away, which the others find out.
        taken_over = max(world.plan.ttls) + 2 * BEAT
        if since is not None and not world.nothing_went_wrong():
            awake = [max(seat.began_at, seat.process.paused_until) for seat in world.seats]
            quiet_since = self._ledger.now if world.quiet_since is None else world.quiet_since
            since = max(since, quiet_since, *awake) + taken_over
        if since is not None:
            since = max([since, *(at + taken_over for at in world.taken_away.values())])
        # Who scribbles `processing` into a book that was taken back asks for it anew.
        scribbled = any(name.endswith(" scribble") for name in world.faults.fired)
        self._ledger.demand(
            scribbled or since is None or self._ledger.now - since < CANCEL_SECONDS,
            "batch",
            f"{book_id} is claimed, whose batch was cancelled",
        )

    # What operators tell.

    def tells(self, number: int, state: str, at_once: int | None) -> None:
        """Take in what an operator tells a worker from now on.

        Args:
            number: of its seat.
            state: whether it claims.
            at_once: most books at once; None for what its settings say.
        """
        told = self._told.setdefault(number, Told())
        if told.state != state:
            told.state, told.since = state, self._ledger.now
        most = self._ledger.world.plan.at_once[number] if at_once is None else at_once
        told.at_once.append((self._ledger.now, most))

    def _judge_told(self, held: Held) -> None:
        process, now = held.process, self._ledger.now
        number = int(process.name[1])
        told = self._told.get(number, Told())
        known = not self._knows_late(process)
        self._ledger.demand(
            told.state == "running" or now - told.since < CONTROL_SECONDS or not known,
            "control",
            f"{held.book_id} is claimed by {process.name}, which was told to be {told.state} "
            f"{now - told.since:.1f} s before",
        )
        claims = (Claim.from_record(one.get(CLAIM)) for one in self._ledger.books.values())
        found = (self._ledger.held.get(str(one.token)) for one in claims if one is not None)
        standing = [one for one in found if one is not None and one.process is process]
        changed = [most for at, most in told.at_once if now - at < CONTROL_SECONDS]
        before = [most for at, most in told.at_once if now - at >= CONTROL_SECONDS]
        in_force = before[-1] if before else self._ledger.world.plan.at_once[number]
        most = max([in_force, *changed])
        self._ledger.demand(
            len(standing) <= most or not known or any(map(self._ledger.is_excused, standing)),
            "control",
            f"{process.name} has {len(standing)} books in work, and not {most} at most",
        )

    def _knows_late(self, process: Process) -> bool:
        """Whether something keeps a worker from hearing what it is told, or from claiming soon."""
        world, own = self._ledger.world, {f"{process.name}/control", f"{process.name}/claimer"}
        return (
            world.paused[process.name] > 0
            or process.name in world.cut_off
            or world.is_late
            or any(
                one.split("#")[0] in own or ("gremlin" in one and "database" in one)
                for one in world.faults.fired
            )
        )

    def look_at_drains(self) -> None:
        """A worker that was told to drain while it ran ends once nothing is in work."""
        world = self._ledger.world
        for seat in world.seats:
            told = self._told.get(seat.number, Told())
            process = seat.process
            if told.state != "draining" or process.dead or seat.began_at >= told.since - 10.0:
                continue
            works = [
                one.gone_at or self._ledger.now
                for one in self._ledger.held.values()
                if one.process is process
            ]
            since = max([told.since, world.quiet_since or 0.0, *works])
            self._ledger.demand(
                self._ledger.now - since < DRAIN_SECONDS or self._knows_late(process),
                "control",
                f"{process.name} was told to drain {self._ledger.now - since:.1f} s ago and runs",
            )

    def given_back(self, held: Held) -> None:
        """Judge that a worker gives a book back as it stops: a drain finishes what is in work."""
        world, process = self._ledger.world, held.process
        if self._told.get(int(process.name[1]), Told()).state == "draining":
            self._ledger.demand(
                not world.nothing_went_wrong() or world.stopped(process),
                "control",
                f"{held.book_id} is given back by {process.name}, which was told to drain",
            )

    # Batches.

    def asked_together(self, batch: str) -> None:
        """Take in that a batch is asked for."""
        self._asked[batch] = self._ledger.now

    def cancelled(self, batch: str) -> None:
        """Take in that a batch is taken back."""
        self._cancelled.setdefault(batch, self._ledger.now)
        self._taken_back.add(batch)

    def forgotten(self, batch: str) -> None:
        """Take in that a batch is deleted, which takes nothing back."""
        self._cancelled.pop(batch, None)

    def takes_back(self, book_id: str, old: Record) -> bool:
        """Whether a daemon may take a request back, as its batch was."""
        if str(old.get(BATCH)) not in self._taken_back:
            return False
        self.ended(book_id, "cancelled")
        return True

    def ended(self, book_id: str, how: str, held: Held | None = None) -> None:
        """Take in how a request has ended, and under which claim."""
        self._ends[book_id, how] = self._ledger.now, held
        if how == READY and self._ledger.world.plan.steady:
            self._judge_foretold(book_id)

    def batch(self, batch: str, before: dict[str, Any]) -> None:
        """Judge what a daemon has written to a batch."""
        ledger = self._ledger
        old = children(children(before.get(BATCHES)).get(batch))
        new = children(ledger.get(BATCHES, batch))
        ledger.demand(bool(old) or not new, "ghost", f"{batch} was deleted and is back: {new}")
        if not new or not old:
            return
        were, are = children(old.get("books")), children(new.get("books"))
        ledger.demand(were.keys() == are.keys(), "batch", f"books of {batch} come or go: {are}")
        for name in ("requestedAt", "requestedBy", "title", "cancel"):
            ledger.demand(
                old.get(name) == new.get(name), "foreign", f"a daemon changes {name} of {batch}"
            )
        for book_id, state in are.items():
            if state != were.get(book_id):
                self._judge_state(batch, book_id, were.get(book_id), state)
        by_state = Counter(are.values())
        counted = {name: by_state[name] for name in ("requested", *_OVER)}
        ledger.demand(
            new.get("counts") == {"total": len(are), **counted},
            "batch",
            f"{batch} counts {new.get('counts')}, and its books are {are}",
        )
        is_open = by_state["requested"] > 0
        ledger.demand(
            (new.get("open") is True) == is_open and ("finishedAt" in new) == (not is_open),
            "batch",
            f"{batch} is open or not, and its books are not so: {new}",
        )

    def _judge_state(self, batch: str, book_id: str, was: Any, state: str) -> None:
        ledger = self._ledger
        ledger.demand(
            was == "requested" and state in _OVER,
            "batch",
            f"{book_id} was {was} in {batch} and becomes {state}",
        )
        at, held = self._ends.get((book_id, state), (-1.0, None))
        ledger.demand(
            at >= self._asked.get(batch, 0.0),
            "batch",
            f"{book_id} is said to be {state} in {batch}, which it did not become",
        )
        task = getcurrent()
        is_late = held is not None and held.batch == batch and ledger.now - at > BATCH_SECONDS
        if held is not None and is_late and isinstance(task, Task) and "/batches" in task.name:
            # Who ended it writes that at once; only what was missed is looked for.
            gone_at = ledger.world.taken_away.get(held.process.name, ledger.now)
            ledger.demand(
                gone_at - at < BATCH_SECONDS or not ledger.world.nothing_went_wrong(),
                "batch",
                f"that {book_id} is {state} is found in {batch} {BATCH_SECONDS} s later",
            )

    # What is said of books.

    def foretold(self, book_id: str, old: Record, new: Record) -> None:
        """Judge when a book is said to be ready."""
        said = new.get(READY_BY)
        if said is None or said == old.get(READY_BY):
            return
        now_ms = self._ledger.world.database.now_ms()
        self._ledger.demand(
            new.get(STATUS) in (REQUESTED, PROCESSING),
            "ready by",
            f"{book_id} is {new.get(STATUS)}, and is said to be ready by {said}",
        )
        claim = Claim.from_record(new.get(CLAIM))
        held = self._ledger.held.get(str(claim.token)) if claim else None
        self._ledger.demand(
            held is None or held.process is self._ledger.world.writer,
            "ready by",
            f"{book_id} is in work, and another says when it will be ready",
        )
        writer = self._ledger.world.writer
        # Who slept between looking and writing says what was so when it fell asleep.
        asleep = writer is not None and self._ledger.now - writer.paused_until < NOTICED_SECONDS
        self._ledger.demand(
            asleep or (isinstance(said, int) and said > now_ms - 30_000),
            "ready by",
            f"{book_id} is said to be ready {(now_ms - said) / 1000:.1f} s ago",
        )
        # Not before a pace is known, and all that was asked for has been read.
        asked = [children(one).get(REQUESTED_AT, 0) for one in self._ledger.books.values()]
        seen = now_ms - max(asked) > 1000 * SEEN_SECONDS
        if seen and new.get(STATUS) == REQUESTED and len(self._ledger.published) >= PACE_BOOKS:
            self._said.setdefault(book_id, []).append((self._ledger.now, said / 1000 - EPOCH))

    def _judge_foretold(self, book_id: str) -> None:
        """Where nothing disturbs, what was said comes true but for a book that was just begun.

        Replicas that were slower than others pick among several of the first: what goes before
        others is ready sooner than was said, and they are later, by a book each time.
        """
        longest = max(1 + len(text) // STEADY_CHARACTERS for text in self._ledger.world.plan.texts)
        alone = len(self._ledger.world.plan.ttls) == 1
        begun = 1 if alone else 1 + self._ledger.overtaken[book_id]
        least = begun * longest * STEADY_SECONDS + FORECAST_OFF_SECONDS
        overtakes = not alone and any(
            held.overtakes for held in self._ledger.held.values() if held.book_id == book_id
        )
        for at, said in self._said.get(book_id, []):
            off, left = self._ledger.now - said, self._ledger.now - at
            off = max(0.0, off) if overtakes else abs(off)
            self._ledger.demand(
                # A book, and the pace that is known by the few before it.
                off <= max(least + 0.05 * left, 0.15 * left),
                "ready by",
                f"{book_id} was said to be ready in {said - at:.0f} s and is so in {left:.0f} s",
            )

    # Marks and histories.

    def mark(self, book_id: str, before: dict[str, Any]) -> None:
        """Judge the index of a book."""
        marks = children(self._ledger.get(MARKS))
        old = children(before.get(MARKS)).get(book_id)
        self._ledger.demand(
            old is None or marks.get(book_id) == old, "mark", f"{book_id} gets another mark"
        )
        others = [name for name, mark in marks.items() if mark == marks.get(book_id)]
        self._ledger.demand(len(others) == 1, "mark", f"{others} have one mark")

    def entries(self, book_id: str, before: dict[str, Any]) -> None:
        """Of an outcome whose answer was lost the history says what the book tells of it."""
        old = children(children(before.get(JOBS)).get(book_id))
        new = children(self._ledger.get(JOBS, book_id))
        for token in [token for token, entry in new.items() if entry != old.get(token)]:
            held, said = self._ledger.held.get(token), children(new[token]).get("outcome")
            code = children(children(new[token]).get("error")).get("code")
            self._ledger.demand(
                token not in self._ledger.world.kept
                or not (said == "superseded" or (said == "failed" and code == "text_too_long")),
                "kept",
                f"segments of {token} are kept, from which nobody will go on",
            )
            ended_well = held is not None and held.left is not None and not held.untold
            told_well = said in ("published", "failed", "retried", "given_back")
            published = token in self._ledger.published
            self._ledger.demand(
                (told_well or not ended_well) and (said != "published" or published),
                "history",
                f"the history of {book_id} says of {token}: {said}",
            )
