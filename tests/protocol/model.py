"""Small worlds in which workers, a frontend, a database and a bucket meet in every order.

What is real here: every decision of ``narrator_daemon.claims.book`` and ``LeaseWatch``. What is
simulated is what lies between decisions: a transaction is a read, then a write that names what was
read; its answer may be lost after it was taken, in which case the same write is sent again, as the
SDK does; a copy of it may arrive later; the database may refuse it; a worker may die or sleep
between any two steps, its clock may be an hour off, and its voice may be another than the others'.

A world offers actions (``enabled``) and takes one at a time (``do``). After each it checks what
must hold at every moment, and raises ``Violation`` with what does not. ``drain`` checks what must
hold in the end: once faults stop and a worker goes on, nothing that was asked for is lost.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from narrator_daemon.catalogue import (
    CLAIM,
    ERROR,
    FAILED,
    INPUT_HASH,
    PATH,
    PROCESSING,
    PROGRESS,
    READY,
    REQUESTED,
    REQUESTED_AT,
    STATUS,
    TEXT_HASH,
    Record,
)
from narrator_daemon.claims import book as books
from narrator_daemon.claims import outcome as outcomes
from narrator_daemon.claims.book import Transition, Verdict
from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.failure import ErrorCode, Failure
from narrator_daemon.claims.lease_watch import LeaseWatch
from narrator_daemon.claims.outcome import Outcome

TEXT = "narrative"
TICK = 10
TTL = 25.0
LONGEST_GAP = 3.0 * TICK
MAX_ATTEMPTS = 2
HOUR = 3600
#: A day in 2025, so that clocks an hour off are still past zero.
EPOCH = 1_750_000_000
#: Ticks an object must be old before a sweep looks at it.
SWEEP_AGE = 6

Action = tuple[Any, ...]


class Violation(AssertionError):
    """Something happened that the protocol promises will not."""


def digest(record: Record, voice: str = "voice") -> str:
    return books.input_hash(record.get(TEXT), voice)


def text_digest(record: Record) -> str:
    return books.claimed_text_hash(record.get(TEXT))


class Rules:
    """The protocol's rules as the product has them. Mutants override one each."""

    #: Whether a transaction's write names what was read.
    conditional = True
    #: Whether the lease is written before the claim. ``test_applying`` holds the product to it.
    announces_first = True
    #: Whether a sweep looks at the path once more after it has looked at the claim.
    sweeps_thrice = True

    def claim(self, book: Any, **known: Any) -> Transition:
        known = {"text_digest": text_digest, **known}
        return books.claim(book, max_attempts=MAX_ATTEMPTS, **known)

    def settle(self, book: Any, claim: Claim, outcome: Outcome, voice: str = "voice") -> Transition:
        return outcomes.settle(
            book, claim=claim, outcome=outcome, digest=lambda record: digest(record, voice)
        )

    def reap(self, book: Any, token: str | None, record: Any) -> Transition:
        return books.reap(book, token=token, record=record)

    def claimed_text(self, written: Any, _now: Record) -> Any:
        """The text to read under a claim whose answer was lost."""
        return written

    def path(self, book_id: str, token: str) -> str:
        return f"narrations/{book_id}/{token}.wav"

    def beat(self, count: int, _wall: int) -> Any:
        return count

    def watch(self, _worker: Worker) -> LeaseWatch:
        return LeaseWatch(TTL, LONGEST_GAP)

    def show_progress(self, book: Record | None) -> Record | None:
        """What a write to the progress leaf makes of a book; None for no write."""
        return None if book is None or PROGRESS not in book else {**book, PROGRESS: 0.5}

    def deletes_when_unsure(self) -> bool:
        """Whether an object is deleted before it is known whether its publication was taken."""
        return False


@dataclass(frozen=True)
class Put:
    """A transaction between its read and its write."""

    book_id: str
    base: Any
    new: Record
    seen: Transition
    written: tuple[Transition, ...] = ()  # the claims that this call has tried to write


@dataclass(frozen=True)
class Job:
    """One claim of a worker: ``claiming → claimed → working → settling → over``."""

    book_id: str
    token: str
    number: int
    stage: str
    claim: Claim | None = None
    text: Any = None
    outcome: Outcome | None = None
    stored: bool = False
    stopped: bool = False
    beat_at: float = 0.0
    disturbed: bool = False  # its worker slept since the claim
    put: Put | None = None
    lost_work: bool = False


@dataclass(frozen=True)
class Reaping:
    """One dead claim being taken up: ``(judged) → freeing → freed``."""

    book_id: str
    token: str | None
    record: Any
    stage: str = "judged"
    put: Put | None = None


@dataclass
class Worker:
    name: str
    skew: int
    watch: LeaseWatch
    voice: str = "voice"
    up: bool = True
    asleep: bool = False
    beats: int = 0
    job: Job | None = None
    reaping: tuple[Reaping, ...] = ()
    sweeping: tuple[str, str] | None = None  # the path, and what is looked at next

    @property
    def live(self) -> bool:
        return self.up and not self.asleep


@dataclass(frozen=True)
class Wish:
    """What the frontend wants of a book, as far as anyone can tell from what it wrote."""

    exists: bool = True
    open: bool = False  # asked for, and neither answered nor cancelled
    texts: frozenset[str] = frozenset()  # the book's texts from the last request on
    since: int = 0  # the last token there was when the frontend last wrote
    burnt: int = 0  # later claims than that which ended badly
    claims: int = 0  # in all


@dataclass(frozen=True)
class Object:
    book_id: str
    token: str
    text: Any
    at: int


@dataclass
class Limits:
    """How much of what a world may see."""

    writes: int = 2
    faults: int = 2
    laps: int = 12
    upsets: int = 2  # errors of the engine and of storage


@dataclass
class World:
    rules: Rules
    limits: Limits
    workers: list[Worker]
    books: dict[str, Record]
    poison: frozenset[str] = frozenset()
    leases: dict[tuple[str, str], Any] = field(default_factory=dict)
    bucket: dict[str, Object] = field(default_factory=dict)
    network: tuple[Put, ...] = ()
    wishes: dict[str, Wish] = field(default_factory=dict)
    published: frozenset[str] = frozenset()
    live: dict[str, Object] = field(default_factory=dict)
    orphaned: frozenset[str] = frozenset()  # tokens whose worker died or was told nothing
    time: int = 0
    tokens: int = 0
    presses: int = 0
    trail: tuple[Action, ...] = ()

    @classmethod
    def start(
        cls,
        rules: Rules,
        limits: Limits,
        *,
        workers: int = 2,
        count: int = 1,
        poison: bool = False,
        voices: int = 1,
    ) -> World:
        skews = (0, HOUR, -HOUR)
        crew = [Worker(f"w{n}", skews[n], LeaseWatch(TTL, LONGEST_GAP)) for n in range(workers)]
        for worker in crew:
            worker.watch = rules.watch(worker)
        for number, worker in enumerate(crew):
            worker.voice = ("voice", "another voice")[number % voices]
        ids = [f"b{n}" for n in range(count)]
        return cls(
            rules,
            replace(limits),
            crew,
            {one: {TEXT: "A", STATUS: REQUESTED} for one in ids},
            poison=frozenset(ids[:1]) if poison else frozenset(),
            wishes={one: Wish(open=True, texts=frozenset("A")) for one in ids},
        )

    def copy(self) -> World:
        other = copy.copy(self)
        other.limits = replace(self.limits)
        other.workers = [copy.copy(worker) for worker in self.workers]
        for worker in other.workers:
            worker.watch = copy.copy(worker.watch)  # a reading replaces what it holds
        other.books = dict(self.books)
        other.leases = dict(self.leases)
        other.bucket = dict(self.bucket)
        other.wishes = dict(self.wishes)
        other.live = dict(self.live)
        return other

    def key(self) -> int:
        """Equal for worlds from which the same can happen."""
        return hash(
            (
                repr((self.books, self.leases, self.bucket, self.network, self.wishes)),
                repr([{**vars(one), "watch": vars(one.watch)} for one in self.workers]),
                repr((self.limits, sorted(self.published), self.time, self.presses)),
                tuple(sorted(self.orphaned)),
            )
        )

    # Which actions there are.

    def enabled(self) -> list[Action]:
        found: list[Action] = []
        for number, worker in enumerate(self.workers):
            found += [(name, number, *rest) for name, *rest in self._of_worker(worker)]
        if self.limits.laps:
            found += [("tick",), ("lapse",)]
        if self.limits.writes:
            for book_id in self.wishes:
                found += self._of_frontend(book_id)
        found += [("deliver", number) for number in range(len(self.network))]
        return found

    def _of_worker(self, worker: Worker) -> list[Action]:
        faults = self.limits.faults > 0
        if not worker.up:
            return [("restart",)]
        if worker.asleep:
            return [("wake",)]
        found: list[Action] = []
        job = worker.job
        if job is None:
            found += [
                ("claim", book_id)
                for book_id, record in self.books.items()
                if record.get(STATUS) == REQUESTED
            ]
        elif job.put is not None:
            found += [("put",)]
            if faults:
                found += [("lose",), ("give_up",), ("duplicate",), ("refuse",)]
        elif job.stage == "claimed":
            found += [("hold",)]
        elif job.stage == "working":
            found += [("work", what) for what in self._ways_to_work(job)]
            found += [("mind",), ("progress",)]
        else:
            found += [("go_on",)]
        if worker.reaping:
            found += [("reap",)]
            if faults and worker.reaping[0].put is not None:
                found += [("reap_lose",)]
        if worker.sweeping is not None:
            found += [("unlink",)]
        else:
            found += [
                ("sweep", path)
                for path, stored in self.bucket.items()
                if self.time - stored.at >= SWEEP_AGE * TICK
            ]
        if faults:
            found += [("crash",), ("sleep",)]
        return found

    def _ways_to_work(self, job: Job) -> list[str]:
        if job.book_id in self.poison:
            return ["die"]
        if job.stopped:
            return ["stop"]
        return ["upload", *(["fail", "storage", "shutdown"] if self.limits.upsets else [])]

    def _of_frontend(self, book_id: str) -> list[Action]:
        if book_id not in self.books:
            return [("set", book_id, "B", True), ("set", book_id, "A", True)]
        other = "B" if self.books[book_id].get(TEXT) == "A" else "A"
        return [
            ("press", book_id, False),
            ("press", book_id, True),
            ("ask", book_id, other),
            ("edit", book_id, other),
            ("cancel", book_id),
            ("delete", book_id),
            ("set", book_id, other, False),
            ("set", book_id, "A", True),
            ("scribble", book_id),
        ]

    # What they do.

    def do(self, action: Action) -> None:
        """Take one enabled action.

        Raises:
            Violation: it broke the protocol.
        """
        self.trail += (action,)
        name, *rest = action
        if name in {"tick", "lapse"}:
            self.limits.laps -= 1
            for _ in range(1 if name == "tick" else 4):
                self._tick()
        elif name == "deliver":
            put, self.network = _pick(self.network, rest[0])
            self._write(put)
        elif name in _FRONTEND:
            self.limits.writes -= 1
            self._frontend(name, *rest)
        else:
            number, *rest = rest
            if name in _FAULTS:
                self.limits.faults -= 1
            getattr(self, f"_do_{name}")(self.workers[number], *rest)
        self._check()

    def _frontend(self, name: str, book_id: str, *rest: Any) -> None:
        wish = replace(self.wishes[book_id], since=self.tokens, burnt=0)
        book = dict(self.books.get(book_id, {}))
        asks = name in {"press", "ask", "scribble"} or (name == "set" and rest[1])
        if name == "set":
            book = {TEXT: rest[0]}
            self.published = frozenset()  # a book of its own: tokens of the old one mean nothing
        if name in {"ask", "edit"}:
            book[TEXT] = rest[0]
        if asks:
            book[STATUS] = REQUESTED
            if name == "scribble":  # in work, by nobody
                book |= {STATUS: PROCESSING, CLAIM: "of the wrong shape"}
            if name == "ask" or (name == "press" and rest[0]):
                self.presses += 1
                book[REQUESTED_AT] = self.presses
        elif name == "cancel":
            book.pop(STATUS, None)
        if name == "delete":
            self.books.pop(book_id)
            self.wishes[book_id] = replace(wish, exists=False, open=False, texts=frozenset())
            return
        self.books[book_id] = book
        texts = frozenset({book[TEXT]}) | (frozenset() if asks else wish.texts)
        still_open = wish.open and name == "edit"
        self.wishes[book_id] = replace(wish, exists=True, open=asks or still_open, texts=texts)

    def _tick(self) -> None:
        """A beat interval passes: who is awake beats, reads the leases and judges."""
        self.time += TICK
        for worker in self.workers:
            if not worker.live:
                continue
            job = worker.job
            if job is not None and job.stage in {"claiming", "claimed"}:
                # It takes its time and does not beat yet: the others may take it for dead.
                worker.job = replace(job, disturbed=True)
            elif job is not None and job.stage != "over":
                if self.time - job.beat_at > 0.7 * TTL:
                    job = replace(job, stopped=True)
                worker.beats += 1
                beat = self.rules.beat(worker.beats, self._wall(worker))
                self.leases[job.book_id, job.token] = beat
                worker.job = replace(job, beat_at=float(self.time))
        for worker in self.workers:
            if worker.live:
                self._judge(worker)

    def _judge(self, worker: Worker) -> None:
        claimed: dict[tuple[str, str], tuple[str | None, Any]] = {}
        for book_id, record in self.books.items():
            if record.get(STATUS) not in {REQUESTED, PROCESSING}:
                continue
            found = record.get(CLAIM)
            claim = Claim.from_record(found)
            token = None if claim is None else claim.token
            if token is not None or record.get(STATUS) == PROCESSING:
                claimed[book_id, token if token is not None else repr(found)] = token, found
        worker.watch.observe({**dict.fromkeys(claimed), **self.leases}, float(self.time))
        judged = [Reaping(*name, None) for name in self.leases if worker.watch.dead(name)]
        judged += [
            Reaping(name[0], token, found)
            for name, (token, found) in claimed.items()
            if name not in self.leases and worker.watch.dead(name)
        ]
        known = {(one.book_id, one.token) for one in worker.reaping}
        worker.reaping += tuple(one for one in judged if (one.book_id, one.token) not in known)

    def _wall(self, worker: Worker) -> int:
        return EPOCH + self.time + worker.skew

    # Claim and outcome.

    def _do_claim(self, worker: Worker, book_id: str) -> None:
        self.tokens += 1
        worker.job = Job(
            book_id, f"t{self.tokens}", self.tokens, "claiming", beat_at=float(self.time)
        )
        self._decide(worker)

    def _decide(self, worker: Worker, written: tuple[Transition, ...] = ()) -> None:
        """Read the book, decide, and have the write ready or the transaction over."""
        job = worker.job
        assert job is not None
        book = self.books.get(job.book_id)
        if job.stage == "claiming":
            seen = self.rules.claim(
                book,
                token=job.token,
                owner=worker.name,
                digest=lambda record: digest(record, worker.voice),
                lease_dead=lambda token: worker.watch.dead((job.book_id, token)),
                now_ms=self._wall(worker) * 1000,
            )
            if seen.verdict is Verdict.CLAIMED:
                if not written and self.rules.announces_first:
                    beat = self.rules.beat(0, self._wall(worker))
                    self.leases[job.book_id, job.token] = beat
                written += (seen,)
        else:
            assert job.claim is not None and job.outcome is not None
            seen = self.rules.settle(book, job.claim, job.outcome, worker.voice)
        worker.job = replace(job, put=None)
        if seen.book is not None:
            put = Put(job.book_id, book, seen.book, seen, written)
            worker.job = replace(job, put=put)
        elif job.stage == "claiming":
            self._end_claim(worker, seen, written)
        else:
            worker.job = replace(job, put=None, stage="over", lost_work=seen.lost_work)

    def _end_claim(self, worker: Worker, seen: Transition, written: tuple[Transition, ...]) -> None:
        job = worker.job
        assert job is not None
        if seen.claim is None or seen.verdict not in {Verdict.CLAIMED, Verdict.MINE}:
            if written:
                self.leases.pop((job.book_id, job.token), None)
            worker.job = None
            return
        claimed = {one.claim.input_hash: one.book for one in written if one.claim and one.book}
        text = claimed[seen.claim.input_hash].get(TEXT)
        if seen.verdict is Verdict.MINE:
            text = self.rules.claimed_text(text, self.books.get(job.book_id, {}))
        worker.job = replace(job, put=None, stage="claimed", claim=seen.claim, text=text)

    def _do_put(self, worker: Worker) -> None:
        job = worker.job
        assert job is not None and job.put is not None
        if not self._write(job.put):
            self._decide(worker, job.put.written)
        elif job.stage == "claiming":
            if not self.rules.announces_first:
                self.leases[job.book_id, job.token] = self.rules.beat(0, self._wall(worker))
            self._end_claim(worker, job.put.seen, job.put.written)
        else:
            lost = job.put.seen.lost_work
            worker.job = replace(job, put=None, stage="over", lost_work=lost)

    def _do_lose(self, worker: Worker) -> None:
        """The write is taken, or refused; its answer is lost; it will be sent again."""
        assert worker.job is not None and worker.job.put is not None
        self._write(worker.job.put)

    def _do_give_up(self, worker: Worker) -> None:
        """No answer comes, and the caller is told so."""
        job = worker.job
        assert job is not None
        if job.stage == "claiming":
            self._orphan(job.token)
            worker.job = None
            return
        if self.rules.deletes_when_unsure():
            self.bucket.pop(self.rules.path(job.book_id, job.token), None)
        worker.job = replace(job, put=None)

    def _do_refuse(self, worker: Worker) -> None:
        """The database does not take it, and says so."""
        job = worker.job
        assert job is not None
        if job.stage == "settling" and isinstance(
            job.outcome, outcomes.Publication | outcomes.Retry
        ):
            refused = Failure(ErrorCode.REFUSED, "The database refuses this book.")
            # What was uploaded is left to the sweep.
            worker.job = replace(job, put=None, stored=False, outcome=outcomes.Rejection(refused))
            return
        # One before it may have been taken, and its answer lost: the lease stays, to be reaped.
        self._orphan(job.token)
        worker.job = None

    def _do_duplicate(self, worker: Worker) -> None:
        """A copy of the write will arrive some time."""
        job = worker.job
        assert job is not None and job.put is not None
        if job.stage == "claiming":
            self._orphan(job.token)
        self.network += (job.put,)

    def _write(self, put: Put) -> bool:
        """Let a conditional write reach the database."""
        old = self.books.get(put.book_id)
        if self.rules.conditional and old != put.base:
            return False
        new = _stamped(put.new, EPOCH * 1000 + self.time)
        self._see(put, old or {}, new)
        if new:
            self.books[put.book_id] = new
        return True

    def _see(self, put: Put, old: Record, new: Record) -> None:
        """Judge a write that is being taken."""
        book_id, wish = put.book_id, self.wishes[put.book_id]
        if put.seen.verdict is Verdict.CLAIMED:
            self.wishes[book_id] = replace(wish, claims=wish.claims + 1)
        if put.seen.verdict in {Verdict.CLAIMED, Verdict.REAPED}:
            self._see_taken(old)
        if new.get(PATH) is not None and new.get(PATH) != old.get(PATH):
            self._see_published(book_id, wish, new)
        if new.get(STATUS) == FAILED and old.get(STATUS) != FAILED:
            _demand(wish.open, f"{book_id} fails though nobody waits for it")
            refused = new[ERROR]["code"] == ErrorCode.REFUSED
            _demand(
                refused or wish.claims >= MAX_ATTEMPTS,
                f"{book_id} fails after {wish.claims} claims: {new}",
            )
            self.wishes[book_id] = replace(wish, open=False, burnt=0)

    def _see_published(self, book_id: str, wish: Wish, new: Record) -> None:
        path = str(new[PATH])
        _demand(path in self.bucket, f"{book_id} is published without its object {path}")
        stored = self.bucket[path]
        _demand(wish.open, f"{book_id} is published again, or after it was cancelled")
        _demand(
            stored.text in wish.texts,
            f"{book_id} shows text {stored.text} after {sorted(wish.texts)} was asked for",
        )
        _demand(stored.token not in self.published, f"{stored.token} is published twice")
        _demand(
            new[INPUT_HASH] in {digest({TEXT: stored.text}, one.voice) for one in self.workers}
            and new[TEXT_HASH] == books.text_hash(stored.text),
            f"{book_id} names another input than its audio was made from",
        )
        self.published |= {stored.token}
        self.live[path] = stored
        self.wishes[book_id] = replace(wish, open=False, burnt=0)

    def _see_taken(self, old: Record) -> None:
        claim = Claim.from_record(old.get(CLAIM))
        for worker in self.workers:
            job = worker.job
            if claim is None or job is None or job.token != claim.token or not worker.live:
                continue
            if not job.disturbed and job.stage in {"working", "settling"}:
                raise Violation(f"{claim.token} is taken from {worker.name}, which is alive")

    def _do_hold(self, worker: Worker) -> None:
        job = worker.job
        assert job is not None
        worker.beats += 1
        beat = self.rules.beat(worker.beats, self._wall(worker))
        self.leases[job.book_id, job.token] = beat
        worker.job = replace(job, stage="working", beat_at=float(self.time))

    # Work.

    def _do_work(self, worker: Worker, what: str) -> None:
        job = worker.job
        assert job is not None and job.claim is not None
        if what == "die":
            self._burn(job)
            self._fall(worker)
            return
        now_ms = self._wall(worker) * 1000
        path = self.rules.path(job.book_id, job.token)
        if what == "upload":
            self.bucket[path] = Object(job.book_id, job.token, job.text, self.time)
            job = replace(job, stored=True)
            url = f"https://storage.example/{path}"
            outcome: Outcome = outcomes.Publication(
                url, None, 2.0, path, books.text_hash(str(job.text))
            )
        elif what == "fail":
            self.limits.upsets -= 1
            self._burn(job)
            failure = Failure(ErrorCode.ENGINE_ERROR, "The engine failed.")
            outcome = outcomes.Retry(failure, now_ms + TICK * 1000, MAX_ATTEMPTS)
        else:
            self.limits.upsets -= what != "stop"
            outcome = outcomes.GiveBack(
                now_ms + 3000 if what == "storage" else None, shutdown=what == "shutdown"
            )
        worker.job = replace(job, stage="settling", outcome=outcome)

    def _do_mind(self, worker: Worker) -> None:
        job = worker.job
        assert job is not None and job.claim is not None
        seen = outcomes.still_wanted(
            self.books.get(job.book_id),
            claim=job.claim,
            digest=lambda record: digest(record, worker.voice),
        )
        worker.job = replace(job, stopped=job.stopped or seen is not Verdict.UNCHANGED)

    def _do_progress(self, worker: Worker) -> None:
        assert worker.job is not None
        book_id = worker.job.book_id
        changed = self.rules.show_progress(self.books.get(book_id))
        if changed is not None:
            self.books[book_id] = changed

    def _do_go_on(self, worker: Worker) -> None:
        """Begin the outcome's transaction; after it, delete what has no place, then the lease."""
        job = worker.job
        assert job is not None
        if job.stage == "settling":
            self._decide(worker)
        elif job.lost_work and job.stored:
            self.bucket.pop(self.rules.path(job.book_id, job.token), None)
            worker.job = replace(job, stored=False)
        else:
            self.leases.pop((job.book_id, job.token), None)
            worker.job = None

    # Reaping and sweeping.

    def _do_reap(self, worker: Worker) -> None:
        first, *rest = worker.reaping
        if first.put is not None and self._write(first.put):
            first = replace(first, put=None, stage="freed")
        elif first.stage == "freed":
            if first.token is not None:
                self.leases.pop((first.book_id, first.token), None)
            worker.reaping = tuple(rest)
            return
        else:
            book = self.books.get(first.book_id)
            seen = self.rules.reap(book, first.token, first.record)
            if seen.verdict is Verdict.LATER:
                worker.reaping = tuple(rest)
                return
            if seen.book is None:
                first = replace(first, put=None, stage="freed")
            else:
                first = replace(first, put=Put(first.book_id, book, seen.book, seen))
        worker.reaping = (first, *rest)

    def _do_reap_lose(self, worker: Worker) -> None:
        put = worker.reaping[0].put
        assert put is not None
        self._write(put)

    def _do_sweep(self, worker: Worker, path: str) -> None:
        """Look at one old object, and whether its book names it."""
        record = self.books.get(self.bucket[path].book_id, {})
        if record.get(PATH) != path:
            worker.sweeping = path, "claim"

    def _do_unlink(self, worker: Worker) -> None:
        """Look at the claim, then at the path once more, then delete: each is a reading."""
        assert worker.sweeping is not None
        path, looks_at = worker.sweeping
        stored = self.bucket.get(path)
        record = self.books.get(stored.book_id, {}) if stored else {}
        claim = Claim.from_record(record.get(CLAIM))
        if looks_at == "claim":
            held = claim is not None and stored is not None and claim.token == stored.token
            after = "path" if self.rules.sweeps_thrice else "none"
            worker.sweeping = None if held else (path, after)
        elif looks_at == "path":
            worker.sweeping = None if record.get(PATH) == path else (path, "none")
        else:
            self.bucket.pop(path, None)
            worker.sweeping = None

    # Faults.

    def _orphan(self, token: str) -> None:
        self.orphaned |= {token}

    def _burn(self, job: Job) -> None:
        wish = self.wishes[job.book_id]
        if job.number > wish.since:
            self.wishes[job.book_id] = replace(wish, burnt=wish.burnt + 1)
            _demand(
                wish.burnt < MAX_ATTEMPTS, f"{job.book_id} is tried more than {MAX_ATTEMPTS} times"
            )

    def _fall(self, worker: Worker) -> None:
        if worker.job is not None:
            self._orphan(worker.job.token)
        worker.up, worker.job, worker.reaping, worker.sweeping = False, None, (), None
        worker.watch = self.rules.watch(worker)

    def _do_crash(self, worker: Worker) -> None:
        self._fall(worker)

    def _do_restart(self, worker: Worker) -> None:
        worker.up = True

    def _do_sleep(self, worker: Worker) -> None:
        worker.asleep = True
        if worker.job is not None:
            self._orphan(worker.job.token)
            worker.job = replace(worker.job, disturbed=True)

    def _do_wake(self, worker: Worker) -> None:
        worker.asleep = False

    # What must hold.

    def _check(self) -> None:
        for book_id, wish in self.wishes.items():
            record = self.books.get(book_id)
            _demand(wish.exists or record is None, f"{book_id} was deleted and is back: {record}")
            _demand(not wish.exists or record is not None, f"{book_id} is gone")
            if record is None:
                continue
            path = record.get(PATH)
            if path is not None:
                _demand(path in self.bucket, f"{book_id} plays from {path}, which is deleted")
                _demand(self.bucket[path] == self.live[path], f"{path} changed under its listeners")
            status = record.get(STATUS)
            _demand(
                not wish.open or status in {REQUESTED, PROCESSING},
                f"{book_id} was asked for and is {status}",
            )
            self._check_claim(book_id, record)

    def _check_claim(self, book_id: str, record: Record) -> None:
        claim = Claim.from_record(record.get(CLAIM))
        if claim is None or claim.token is None or claim.token in self.orphaned:
            return
        held = [one.job.token for one in self.workers if one.job is not None]
        _demand(claim.token in held, f"nobody works under {claim.token}, though nobody was lost")

    def drain(self, survivor: int, *, others_live: bool) -> None:
        """Faults stop; one worker goes on, or all; then nothing may be left over.

        Raises:
            Violation: something that was asked for is lost, or something is left lying about.
        """
        self.network = ()
        self.limits = Limits(writes=0, faults=0, laps=10**6, upsets=0)
        for number, worker in enumerate(self.workers):
            if number != survivor and not others_live and worker.up:
                self._fall(worker)
            worker.asleep = False
            worker.up = worker.up or number == survivor or others_live
        for _ in range(20 * len(self.books) + 20):
            for worker in self.workers:
                for _ in range(30):
                    if not self._step(worker):
                        break
                if worker is self.workers[survivor]:
                    worker.up = True
            self.do(("tick",))
            if self._settled():
                break
        self._check_end()

    def _step(self, worker: Worker) -> bool:
        number = self.workers.index(worker)
        if not worker.live:
            return False
        wanted = {"put", "hold", "go_on", "reap", "unlink", "claim"}
        for action in self._of_worker(worker):
            if action[0] in wanted or action in {
                ("work", "upload"),
                ("work", "die"),
                ("work", "stop"),
            }:
                before = (worker.job, worker.reaping, worker.sweeping)
                self.do((action[0], number, *action[1:]))
                if before != (worker.job, worker.reaping, worker.sweeping):
                    return True
        return False

    def _settled(self) -> bool:
        return (
            not any(wish.open for wish in self.wishes.values())
            and not self.leases
            and all(one.job is None and not one.reaping for one in self.workers)
        )

    def _check_end(self) -> None:
        for book_id, wish in self.wishes.items():
            record = self.books.get(book_id, {})
            _demand(not wish.open, f"{book_id} was asked for and never answered: {record}")
            if record.get(STATUS) in {READY, FAILED}:
                _demand(CLAIM not in record and PROGRESS not in record, f"left over: {record}")
            held = Claim.from_record(record.get(CLAIM))
            if STATUS not in record:
                _demand(held is None or held.token is None, f"claimed for ever: {record}")
            if record.get(STATUS) == READY:
                _demand(PATH in record and ERROR not in record, f"half ready: {record}")
        _demand(not self.leases, f"leases left: {self.leases}")
        self.time += SWEEP_AGE * TICK
        sweeper = next(worker for worker in self.workers if worker.live)
        for path in list(self.bucket):
            self._do_sweep(sweeper, path)
            while sweeper.sweeping is not None:
                self._do_unlink(sweeper)
        self._check()
        named = {record.get(PATH) for record in self.books.values()}
        _demand(set(self.bucket) <= named, f"objects left: {set(self.bucket) - named}")


_FRONTEND = {"press", "ask", "edit", "cancel", "delete", "set", "scribble"}
_FAULTS = {"lose", "give_up", "duplicate", "refuse", "reap_lose", "crash", "sleep"}


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise Violation(message)


def _pick(items: tuple[Put, ...], index: int) -> tuple[Put, tuple[Put, ...]]:
    return items[index], items[:index] + items[index + 1 :]


def _stamped(value: Any, now_ms: int) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {".sv"}:
            return now_ms
        return {key: _stamped(child, now_ms) for key, child in value.items()}
    return json.loads(json.dumps(value))
