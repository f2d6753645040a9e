"""What is known of a history while it is judged: wishes of the frontend, and claims."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from narrator_daemon.catalogue import (
    CAPTIONS,
    CLAIM,
    FILE_PATH,
    FILES,
    PATH,
    PREVIEW,
    Record,
    children,
)
from narrator_daemon.claims.claim import Claim, same
from tests.simulation.scheduler import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

TEXT = "narrative"


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
        batch: that the book names.
        unheard: whether the answer to it was lost once: its worker asks again.
        overtakes: whether a book that was asked for before waits still.
        excuses: why its worker may lose it, as far as something has gone wrong.
        bad: whether the attempt went wrong by the book's fault, for all that is known.
        maybe: whether it may have gone wrong so that it counts.
        over: whether it stands no longer.
        left: what its worker has left in its place: a claim that waits, an error, or the path of a
            narration.
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
    batch: Any
    unheard: bool = False
    overtakes: bool = False
    excuses: set[str] = field(default_factory=set)
    bad: bool = False
    maybe: bool = False
    over: bool = False
    left: Claim | Record | str | None = None
    retried: bool = False
    untold: bool = False
    failed_at: float | None = None
    gone_at: float | None = None

    def is_of(self, book_id: str, text: Any, requested_at: Any) -> bool:
        """Whether it was made for this request."""
        return (
            self.book_id == book_id and self.text == text and same(self.requested_at, requested_at)
        )


class Ledger:
    """What all who judge a history know.

    Args:
        world: the history.

    Attributes:
        wishes: by book.
        held: claims, by token.
        published: books, by the token of the claim.
        claims: how many there were.
        overtaken: how often each book was passed over for one that was asked for later.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.wishes: dict[str, Wish] = {}
        self.held: dict[str, Held] = {}
        self.published: dict[str, str] = {}
        self.claims = 0
        self.overtaken = Counter[str]()

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.world.scheduler.now

    def get(self, *path: str) -> Any:
        """What lies in the database."""
        return self.world.database.get(path)

    @property
    def books(self) -> dict[str, Any]:
        """All of them."""
        return children(self.get("books"))

    def demand(self, holds: bool, kind: str, what: str) -> None:
        """See that something holds.

        Raises:
            Violation: it does not. The history ends, whoever catches this.
        """
        if not holds:
            found = Violation(kind, what)
            self.world.scheduler.failure = self.world.scheduler.failure or found
            raise found

    def is_excused(self, held: Held) -> bool:
        """Whether something went wrong with a worker for which it may have lost its claim."""
        world, process = self.world, held.process
        return bool(
            held.excuses
            or process.dead
            or world.stopped(process)
            or world.paused[process.name] - held.paused > 0.1 * held.ttl
            or world.troubles(process) > held.troubles
            or process.name in world.cut_off
            or held.book_id in world.ever_refused
            # Whoever asks again while the database is down for all never hears that it stands.
            or (held.unheard and any("database" in name for name in world.faults.fired))
        )

    def may_count(self, held: Held) -> bool:
        """Whether an attempt may have gone wrong so that it counts."""
        process = held.process
        return bool(held.maybe or held.excuses or process.dead or self.world.stopped(process))


def named(record: Any) -> set[str]:
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
