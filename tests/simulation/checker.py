"""Judges a history by what reaches the services: the promises of the claim protocol.

For each book it keeps what the frontend wants of it, as far as anyone can tell from what it wrote,
and for each claim what became of its worker. Every write to the database is judged when it is
taken, and what is left over at the end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent

from narrator_daemon.catalogue import (
    BUDGETS,
    CAPTIONS,
    CLAIM,
    ERROR,
    FAILED,
    FILE_PATH,
    FILES,
    INPUT_HASH,
    JOBS,
    LEASES,
    LIMITS,
    MARKS,
    NOT_BEFORE,
    PATH,
    PREVIEW,
    PROCESSING,
    PROGRESS,
    READY,
    REGISTER,
    REQUESTED,
    REQUESTED_AT,
    REQUESTED_BY,
    STATUS,
    TEXT_HASH,
    URL,
    URL_EXPIRES_AT,
    Record,
    children,
)
from narrator_daemon.claims.book import text_hash
from narrator_daemon.claims.claim import Claim, same
from narrator_daemon.queue.place import level_of
from narrator_daemon.queue.requesters import grant_name
from tests.simulation.database import Path
from tests.simulation.limits import IDLE_SECONDS, MAX_ATTEMPTS, SEEN_SECONDS, WINDOW_SECONDS
from tests.simulation.scheduler import Process, Task

if TYPE_CHECKING:
    from tests.simulation.world import World

TEXT = "narrative"
#: What a frontend writes, and no daemon changes.
_FRONTENDS = (TEXT, "title", REQUESTED_BY)
#: Ends of an attempt that need not be tried again.
_PERMANENT = {"no_text", "text_not_string", "nothing_speakable"}


class Violation(AssertionError):
    """Something happened that is promised not to. ``kind`` says which promise it breaks."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


@dataclass
class Wish:
    """What the frontend wants of a book.

    Attributes:
        open: asked for, and neither answered nor cancelled.
        texts: the book's texts from the last request on.
        since: how many claims there were when the frontend last wrote.
    """

    exists: bool = True
    open: bool = False
    texts: frozenset[str] = frozenset()
    since: int = 0


@dataclass
class Held:
    """A claim, from when it was written.

    Attributes:
        excuses: why its worker may lose it, as far as something has gone wrong.
        bad: whether the attempt went wrong by the book's fault, for all that is known.
        maybe: whether it may have gone wrong so that it counts.
        over: whether it stands no longer.
        left: what its worker has left in its place: a claim that waits, or an error.
        retried: whether that is to be tried again for what went wrong, and the next claim says so.
        untold: whether the book has changed so much since that it does not tell so any longer.
        failed_at: when its engine failed; seconds.
        gone_at: since when it stands no longer, whoever wrote that; seconds.
    """

    book_id: str
    token: str
    number: int
    process: Process
    at: float
    text: Any
    requested_at: Any
    attempt: int
    ttl: float
    paused: float
    troubles: int
    excuses: set[str] = field(default_factory=set)
    bad: bool = False
    maybe: bool = False
    over: bool = False
    left: Claim | Record | None = None
    retried: bool = False
    untold: bool = False
    failed_at: float | None = None
    gone_at: float | None = None


class Checker:
    """Hears of all writes of a history, and of what goes wrong."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.wishes: dict[str, Wish] = {}
        self.held: dict[str, Held] = {}
        self.published: dict[str, str] = {}
        self._gaps: dict[tuple[str, str], tuple[float, float]] = {}
        self._granted: set[str] = set()
        self._ungranted: list[float] = []
        self._grants: dict[str, list[float]] = {}
        self._requests: set[tuple[str, str]] = set()
        self.claims = 0
        self._passed = 0
        self._budgeted: set[str] = set()
        self._unbudgeted: set[str] = set()

    # What the simulation tells.

    def failed(self, token: str) -> None:
        """The engine fails under a claim."""
        held = self.held.get(token)
        if held is not None:
            held.failed_at = self._world.scheduler.now

    def tried(self, process: Process, began_at: float, *, passed: bool) -> None:
        """A worker has read a sentence of its own: whether books are at fault that failed before.

        Args:
            process: the worker.
            began_at: seconds.
            passed: whether it went well.
        """
        for held in self.held.values():
            failed_at = held.failed_at
            if held.process is process and failed_at is not None and failed_at <= began_at:
                held.maybe = held.bad = passed
                held.failed_at = None

    def hangs(self, token: str) -> None:
        """The engine hangs under a claim."""
        held = self.held.get(token)
        if held is not None:
            held.maybe = True
            held.excuses.add("hangs")

    def demand(self, holds: bool, kind: str, what: str) -> None:
        """See that something holds.

        Raises:
            Violation: it does not. The history ends, whoever catches this.
        """
        if not holds:
            found = Violation(kind, what)
            self._world.scheduler.failure = self._world.scheduler.failure or found
            raise found

    # The frontend's wishes.

    def wishes_for(self, book_id: str, text: str | None, *, asks: bool | None, whole: bool) -> None:
        """Take in that the frontend is about to write.

        Args:
            book_id: to which book.
            text: that the book has from then on; None for a book that is deleted.
            asks: whether it is asked for; None where the request stays what it is.
            whole: whether the book is written anew.
        """
        old = self.wishes.get(book_id, Wish())
        if text is None:
            self.wishes[book_id] = Wish(exists=False, since=self.claims)
            return
        open_ = old.open and not whole if asks is None else asks
        keeps = asks is None and not whole
        texts = frozenset({text}) | (old.texts if keeps else frozenset())
        self.wishes[book_id] = Wish(True, open_, texts, self.claims)

    # Writes.

    def judge(self, before: dict[str, Any], paths: list[Path]) -> None:
        """Judge a write that was just taken."""
        now = self._world.database.root
        for path in paths:
            match path[0]:
                case "books" if len(path) > 1:
                    old = before.get("books", {}).get(path[1])
                    new = now.get("books", {}).get(path[1])
                    self._see_gone(old, new)
                    self._see_untold(path[1], new)
                    if self._world.writer is not None:
                        self._judge_book(path[1], old, new)
                case name if name == LEASES and len(path) > 2:
                    self._judge_lease(path[1], path[2])
                case name if name == LIMITS and len(path) > 1:
                    self._judge_grants(path[1], before)
                case name if name == BUDGETS and len(path) > 1:
                    self._judge_budget(path, before)
                case name if name == MARKS and len(path) > 1:
                    self._judge_mark(path[1], before)
                case name if name == JOBS and len(path) > 1:
                    self._judge_entries(path[1], before)

    def _see_gone(self, old: Any, new: Any) -> None:
        """Take in that a claim stands no longer, or that the request was cancelled."""
        before, after = (Claim.from_record(children(one).get(CLAIM)) for one in (old, new))
        held = self.held.get(str(before.token)) if before else None
        if held is None:
            return
        if after is None or after.token != held.token or STATUS not in children(new):
            held.gone_at = held.gone_at or self._world.scheduler.now
        elif same(children(new).get(TEXT), held.text):
            held.gone_at = None  # cancelled, and asked for again

    def _see_untold(self, book_id: str, new: Any) -> None:
        """Take in which ends of claims the book tells no longer."""
        for held in self.held.values():
            if held.book_id == book_id and held.left is not None and not held.untold:
                held.untold = not _tells(children(new), held.left, retried=held.retried)

    def works(self, token: str) -> None:
        """Judge that a segment is begun under a claim."""
        held, world = self.held.get(token), self._world
        if held is None or held.gone_at is None:
            return
        names = {f"{held.process.name}/{task}" for task in ("minder", "look", "heart", "main")}
        if held.process.name in world.cut_off or any(
            one.split("#")[0].rstrip("0123456789") in names
            or ("gremlin" in one and "database" in one)
            for one in world.faults.fired
        ):
            return
        seconds = world.scheduler.now - max(held.gone_at, held.process.paused_until)
        self.demand(
            seconds < IDLE_SECONDS,
            "idle",
            f"{held.book_id} is still read {seconds:.1f} s after nobody wants it",
        )

    def _judge_lease(self, book_id: str, token: str) -> None:
        now = self._world.scheduler.now
        if self._world.database.get((LEASES, book_id, token)) is None:
            return
        longest, last = self._gaps.get((book_id, token), (0.0, now))
        self._gaps[book_id, token] = max(longest, now - last), now

    def _judge_grants(self, node: str, before: dict[str, Any]) -> None:
        old = children(before.get(LIMITS, {}).get(node))
        new = children(self._world.database.get((LIMITS, node)))
        now = self._world.scheduler.now
        fresh = sorted(new.keys() - old.keys())
        # The services' clock is known to a second or two.
        grants = [at for at in self._grants.get(node, []) if now - at < WINDOW_SECONDS - 2.0]
        grants += [now for _ in fresh]
        self._grants[node] = grants
        self._granted.update(fresh)
        limit = self._world.plan.limit
        self.demand(
            not fresh or len(grants) <= limit,
            "limit",
            f"{len(grants)} narrations of one requester are granted in its window, not {limit}",
        )

    def _judge_budget(self, path: Path, before: dict[str, Any]) -> None:
        """A grant is given only while the day's sum is below the budget, and none is lost."""
        old = children(children(before.get(path[0])).get(path[1]))
        new = children(self._world.database.get(path[:2]))
        granted, now = children(old.get("granted")), children(new.get("granted"))
        if old.get("day") != new.get("day"):
            granted = {}
        more, gone = sorted(now.keys() - granted.keys()), sorted(granted.keys() - now.keys())
        # One write grants one request, or takes one that is over.
        self.demand(len(more) + len(gone) <= 1, "budget", f"{more} are granted, {gone} are lost")
        if more:
            spent = new.get("seconds", 0) + sum(now[name] for name in now if name not in more)
            most = self._world.plan.budget
            self.demand(spent < most + 0.1, "budget", f"{spent:.1f} s are gone of {most:g} s")
            self._budgeted |= set(more)

    def _judge_mark(self, book_id: str, before: dict[str, Any]) -> None:
        marks = children(self._world.database.get((MARKS,)))
        old = children(before.get(MARKS)).get(book_id)
        self.demand(
            old is None or marks.get(book_id) == old, "mark", f"{book_id} gets another mark"
        )
        others = [name for name, mark in marks.items() if mark == marks.get(book_id)]
        self.demand(len(others) == 1, "mark", f"{others} have one mark")

    def _judge_book(self, book_id: str, old: Any, new: Any) -> None:
        wish = self.wishes.get(book_id, Wish(exists=False))
        self.demand(
            new is None or wish.exists, "ghost", f"{book_id} was deleted and is back: {new}"
        )
        self.demand(new is not None or not wish.exists, "lost", f"{book_id} is deleted by a daemon")
        if new is None:
            return
        old = old if isinstance(old, dict) else {}
        for name in _FRONTENDS:
            by_operator = name == REQUESTED_BY and old.get(STATUS) == FAILED
            self.demand(
                by_operator or same(old.get(name), new.get(name)),
                "foreign",
                f"a daemon changes {name} of {book_id}",
            )
        before, after = Claim.from_record(old.get(CLAIM)), Claim.from_record(new.get(CLAIM))
        was = before.token if before else None
        is_ = after.token if after else None
        if was is not None and was != is_:
            self._judge_end(book_id, was, old, new)
        if is_ is not None and is_ != was and after is not None:
            self._judge_claim(book_id, wish, old, new, after)
        if new.get(PATH) != old.get(PATH) and new.get(PATH) is not None:
            self._judge_publication(book_id, wish, new)
        if new.get(URL) != old.get(URL) and new.get(URL) is not None:
            self.demand(
                str(new.get(PATH)).split("/")[-1] in str(new[URL]),
                "stale",
                f"the URL of {book_id} leads elsewhere than to {new.get(PATH)}",
            )
        if new.get(STATUS) == FAILED and old.get(STATUS) != FAILED:
            self._judge_failure(book_id, wish, old, new)
        if not wish.open and old.get(STATUS) not in (REQUESTED, PROCESSING):
            self.demand(
                same(old.get(STATUS), new.get(STATUS)),
                "stale",
                f"{book_id} was {old.get(STATUS)} and becomes {new.get(STATUS)} unasked",
            )
        wish = self.wishes[book_id]
        self.demand(
            not wish.open or new.get(STATUS) in (REQUESTED, PROCESSING),
            "lost",
            f"{book_id} was asked for and is {new.get(STATUS)}",
        )

    def _judge_claim(
        self, book_id: str, wish: Wish, old: Record, new: Record, claim: Claim
    ) -> None:
        world = self._world
        process, token = world.writer, str(claim.token)
        assert process is not None
        self.claims += 1
        self.demand(wish.open, "stale", f"{book_id} is claimed though nobody waits for it")
        wanted = old.get(NOT_BEFORE)
        if isinstance(wanted, int):
            self.demand(
                world.database.now_ms() >= wanted - 2_500,
                "early",
                f"{book_id} is claimed before it is wanted",
            )
        known = self.held.get(token)
        self.demand(known is None, "duplicate", f"{token} is claimed twice")
        lease = world.database.get((LEASES, book_id, token))
        self.demand(
            lease is not None or world.is_late,
            "lease",
            f"{book_id} is claimed under {token}, which has no lease",
        )
        held = Held(
            book_id,
            token,
            self.claims,
            process,
            world.scheduler.now,
            new.get(TEXT),
            claim.requested_at,
            claim.attempt,
            world.ttl_of(process),
            world.paused[process.name],
            world.troubles(process),
        )
        if world.is_late or world.request_fault == "gone after":
            # Its worker may never hear that it stands.
            held.excuses.add(world.request_fault or "late")
        self._judge_attempt(held, wish)
        self._judge_limit(book_id, old, held)
        if world.plan.queue:
            self._judge_order(book_id, old)
        self.held[token] = held

    def _of_request(self, held: Held) -> list[Held]:
        return [
            one
            for one in self.held.values()
            if one.book_id == held.book_id
            and one.text == held.text
            and same(one.requested_at, held.requested_at)
        ]

    def _judge_attempt(self, held: Held, wish: Wish) -> None:
        earlier = self._of_request(held)
        most = sum(one.maybe or bool(one.excuses) or one.process.dead for one in earlier)
        most += sum(self._world.stopped(one.process) for one in earlier)
        if held.book_id in self._world.ever_refused:
            most = len(earlier)
        self.demand(
            held.attempt - 1 <= most,
            "attempts",
            f"attempt {held.attempt} of {held.book_id}, of which {most} may have gone wrong",
        )
        sure = sum(one.bad and one.over and one.number > wish.since for one in earlier)
        self.demand(
            held.attempt - 1 >= sure,
            "attempts",
            f"attempt {held.attempt} of {held.book_id}, of which {sure} went wrong before",
        )
        self.demand(
            sure < MAX_ATTEMPTS,
            "attempts",
            f"{held.book_id} is tried more than {MAX_ATTEMPTS} times",
        )

    def _judge_order(self, book_id: str, old: Record) -> None:
        """Where one replica is alone and nothing disturbs it, the order is strict."""
        world = self._world
        level, asked = level_of(old), (old[REQUESTED_AT], book_id)
        seen, is_oldest = [], True
        for name, record in children(world.database.get(("books",))).items():
            waits = record.get(STATUS) == REQUESTED and CLAIM not in record
            at = record.get(REQUESTED_AT)
            if name == book_id or not waits:
                continue
            is_oldest = is_oldest and asked < (at, name)
            if world.database.now_ms() - at > 1000 * SEEN_SECONDS:
                seen.append((level_of(record), (at, name)))
        # The oldest goes first once so many others went before it.
        is_its_turn = is_oldest and self._passed >= 1
        self._passed = 0 if is_oldest else self._passed + 1
        before = [one for one in seen if one < (level, asked) and not is_its_turn]
        self.demand(not before, "order", f"{book_id} goes before {before}")

    def _judge_limit(self, book_id: str, old: Record, held: Held) -> None:
        uid, limit = old.get(REQUESTED_BY), self._world.plan.limit
        name = grant_name(book_id, old.get(REQUESTED_AT), old.get(PATH))
        if self._world.plan.budget and held.attempt == 1 and name not in self._budgeted:
            # One a replica may have been asked for anew just as it was granted.
            self._unbudgeted.add(name)
            self.demand(
                len(self._unbudgeted) <= self._world.lives,
                "budget",
                f"{len(self._unbudgeted)} books are claimed without their grants",
            )
        if not isinstance(uid, str) or not limit or (book_id, name) in self._requests:
            return
        self._requests.add((book_id, name))
        if name in self._granted or held.attempt > 1:
            return
        now = self._world.scheduler.now
        self._ungranted = [at for at in self._ungranted if now - at < WINDOW_SECONDS] + [now]
        self.demand(
            len(self._ungranted) <= self._world.lives,
            "limit",
            f"{len(self._ungranted)} books are claimed in one window without a grant",
        )

    def _judge_end(self, book_id: str, token: str, old: Record, new: Record) -> None:
        """A claim stands no longer: settled by its worker, or taken from it."""
        held = self.held.get(token)
        if held is None or held.over:
            return
        held.over = True
        world = self._world
        before, claim = (Claim.from_record(one.get(CLAIM)) for one in (old, new))
        error = claim.last_error if claim else None
        said_before = before.last_error if before else None
        lost = error is not None and error.code == "worker_lost" and error != said_before
        if world.writer is held.process and not lost and (claim is None or claim.token is None):
            held.left = claim if new.get(STATUS) != FAILED else children(new.get(ERROR))
            counts = claim is not None and before is not None and claim.attempt == before.attempt
            held.retried = counts and claim is not None and claim.not_before is not None
            held.untold = world.is_old(held.process)
            if claim is not None and before is not None and claim.attempt == before.attempt:
                self._judge_backoff(claim)
            return
        now = world.scheduler.now
        longest, last = self._gaps.get((book_id, token), (now - held.at, held.at))
        still = max(longest, now - last)
        self.demand(
            still >= held.ttl - 1e-6,
            "taken",
            f"{token} is taken from {held.process.name}, whose lease stood still for {still:.1f} s",
        )
        held.maybe = True
        self.demand(
            self._is_excused(held),
            "taken",
            f"{book_id} is taken from {held.process.name}, which went wrong in nothing",
        )

    def _judge_backoff(self, claim: Claim) -> None:
        if any(self._world.plan.skews) or "wall clock jumps" in self._world.plan.kinds:
            return
        wait = (claim.not_before or 0) - self._world.database.now_ms()
        most = 2000 * 2 ** max(claim.attempt - 1, 0)
        self.demand(
            wait <= most + 100,
            "backoff",
            f"attempt {claim.attempt} is to be followed by the next in {wait} ms",
        )

    def _is_excused(self, held: Held) -> bool:
        world, process = self._world, held.process
        return bool(
            held.excuses
            or process.dead
            or world.stopped(process)
            or world.paused[process.name] - held.paused > 0.1 * held.ttl
            or world.troubles(process) > held.troubles
            or process.name in world.cut_off
            or held.book_id in world.ever_refused
        )

    def _judge_publication(self, book_id: str, wish: Wish, new: Record) -> None:
        path = str(new[PATH])
        stored = self._world.objects.by_name.get(path)
        self.demand(stored is not None, "lost", f"{book_id} is published without {path}")
        assert stored is not None
        said = json.loads(stored.data)["text"]
        self.demand(
            wish.open, "duplicate", f"{book_id} is published again, or after it was cancelled"
        )
        self.demand(
            said in wish.texts,
            "stale",
            f"{book_id} shows {said!r} after {sorted(wish.texts)} was asked for",
        )
        token = path.split("/")[-1].removesuffix(".wav")
        self.demand(token not in self.published, "duplicate", f"{token} is published twice")
        self.demand(
            new.get(STATUS) == READY
            and path.split("/")[-1] in str(new.get(URL))
            and isinstance(new.get(INPUT_HASH), str)
            and new.get(TEXT_HASH) == text_hash(said),
            "half",
            f"{book_id} is published in part: {new}",
        )
        self.demand(
            all(name not in new for name in (CLAIM, PROGRESS, PREVIEW, ERROR)),
            "half",
            f"{book_id} is published, and something is left over: {new}",
        )
        for name in _named(new):
            self.demand(
                name in self._world.objects.by_name, "lost", f"{book_id} names {name}, which is not"
            )
        self.published[token] = book_id
        wish.open = False

    def _judge_failure(self, book_id: str, wish: Wish, old: Record, new: Record) -> None:
        self.demand(wish.open, "stale", f"{book_id} fails though nobody waits for it")
        error = children(new.get(ERROR))
        code, attempts = error.get("code"), error.get("attempts", 0)
        claim = Claim.from_record(old.get(CLAIM))
        if code == "refused":
            self.demand(
                book_id in self._world.ever_refused or self._world.ever_closed,
                "attempts",
                f"{book_id} fails as refused, which it never was",
            )
        elif code not in _PERMANENT and claim is not None:
            text, requested_at = new.get(TEXT), claim.requested_at
            bad = [
                one
                for one in self.held.values()
                if one.book_id == book_id
                and one.text in {text, *wish.texts}
                and same(one.requested_at, requested_at)
                and (
                    one.maybe or one.excuses or one.process.dead or self._world.stopped(one.process)
                )
            ]
            self.demand(
                attempts >= MAX_ATTEMPTS and len(bad) >= MAX_ATTEMPTS,
                "attempts",
                f"{book_id} fails by {attempts} attempts, {len(bad)} of which failed: {error}",
            )
        wish.open = False

    # Objects.

    def deletes(self, name: str) -> None:
        """Judge the deletion of an object."""
        world = self._world
        for book_id, record in children(world.database.get(("books",))).items():
            self.demand(
                name not in _named(record), "lost", f"{book_id} plays {name}, which is deleted"
            )
        task = getcurrent()
        token = name.split("/")[-1].split(".")[0]
        held = self.held.get(token)
        over = (
            held and held.gone_at is not None and held.gone_at < world.scheduler.now - IDLE_SECONDS
        )
        known = over and held and not held.process.dead and token not in self.published
        if isinstance(task, Task) and "/sweeper" in task.name and known:
            # What replaces another leaves that to the sweep; what has no place goes at once.
            self.demand(
                not all(one.startswith("frontend") for one in world.faults.fired),
                "orphan",
                f"{name} is left to the sweep",
            )

    # Later.

    def look(self, *, quiet_since: float | None) -> None:
        """What must hold at any time once all has been quiet for a while."""
        world = self._world
        if quiet_since is None or world.scheduler.now - quiet_since < world.plan.url_seconds:
            return
        for book_id, record in children(world.database.get(("books",))).items():
            until = record.get(URL_EXPIRES_AT) if isinstance(record, dict) else None
            if isinstance(until, int):
                self.demand(
                    until > world.database.now_ms(),
                    "url",
                    f"the URL of {book_id} has expired",
                )

    def settled(self) -> bool:
        """Whether nothing is left to do."""
        return not self.left()

    def left(self) -> list[str]:
        """What is left to be done."""
        found = [f"{name} was asked for" for name, wish in self.wishes.items() if wish.open]
        found += [f"lease of {name}" for name in children(self._world.database.get((LEASES,)))]
        for name, record in children(self._world.database.get(("books",))).items():
            if isinstance(record, dict) and Claim.from_record(record.get(CLAIM)) is not None:
                found.append(f"claim on {name}: {record.get(STATUS)} {record[CLAIM]}")
        return found

    def end(self) -> None:
        """Judge what is left, once all that is left over was swept."""
        world = self._world
        books = children(world.database.get(("books",)))
        named: set[str] = set()
        for book_id, record in books.items():
            named |= _named(record)
            status = record.get(STATUS)
            # What a frontend scribbles where no rules keep it from it is its own to clean up.
            held = Claim.from_record(record.get(CLAIM))
            scribbled = CLAIM in record and held is None
            self.demand(
                scribbled or not {CLAIM, PROGRESS, PREVIEW} & record.keys(),
                "left over",
                f"{book_id} is {status}: {record}",
            )
            if status == READY:
                self.demand(
                    PATH in record and ERROR not in record, "half", f"{book_id} is half ready"
                )
        left = set(world.objects.by_name) - named
        self.demand(not left, "orphan", f"objects are left: {sorted(left)}")
        missing = named - set(world.objects.by_name)
        self.demand(not missing, "lost", f"objects are gone: {sorted(missing)}")
        self._judge_register(books)
        self._judge_history()

    def _judge_register(self, books: dict[str, Any]) -> None:
        entries = children(self._world.database.get((REGISTER,)))
        for token, entry in entries.items():
            self.demand(
                "state" not in entry, "register", f"the entry of {token} is not confirmed: {entry}"
            )
            self.demand(
                token in self.published, "register", f"{token} has an entry and never was published"
            )
        for book_id, record in books.items():
            path = record.get(PATH)
            if isinstance(path, str):
                token = path.split("/")[-1].removesuffix(".wav")
                self.demand(
                    token in entries or self._world.ever_closed,
                    "register",
                    f"{book_id} shows {token}, which has no entry",
                )

    def _judge_entries(self, book_id: str, before: dict[str, Any]) -> None:
        """Of an outcome whose answer was lost the history says what the book tells of it."""
        old = children(children(before.get(JOBS)).get(book_id))
        new = children(self._world.database.get((JOBS, book_id)))
        for token in new.keys() - old.keys():
            held, said = self.held.get(token), children(new[token]).get("outcome")
            self.demand(
                said != "fenced" or held is None or held.left is None or held.untold,
                "history",
                f"the history of {book_id} says of {token}, which ended well: {said}",
            )

    def _judge_history(self) -> None:
        for book_id, entries in children(self._world.database.get((JOBS,))).items():
            for token, entry in children(entries).items():
                said = entry.get("outcome")
                self.demand(
                    (said == "published") == (token in self.published),
                    "history",
                    f"the history of {book_id} says of {token}: {said}",
                )


def _tells(book: Record, left: Claim | Record, *, retried: bool) -> bool:
    """Whether a book tells how a claim has ended: by what that left, or by the next attempt."""
    claim = Claim.from_record(book.get(CLAIM))
    if not isinstance(left, Claim):
        return claim is None and book.get(STATUS) == FAILED and same(book.get(ERROR), left)
    if claim is None or claim == left or not retried:
        return claim == left
    return (
        claim.token is not None
        and (claim.attempt, claim.last_error) == (left.attempt + 1, left.last_error)
        and (claim.text_hash, claim.requested_at) == (left.text_hash, left.requested_at)
    )


def _named(record: Any) -> set[str]:
    """The objects that a book names."""
    if not isinstance(record, dict):
        return set()
    found = {record.get(PATH)}
    for name in (FILES, CAPTIONS):
        found |= {children(file).get(FILE_PATH) for file in children(record.get(name)).values()}
    claim = Claim.from_record(record.get(CLAIM))
    if claim is not None and claim.token is not None:
        found.add(children(record.get(PREVIEW)).get(FILE_PATH))
    return {path for path in found if isinstance(path, str)}
