"""What an operator tells the fleet, or one worker: to pause, to drain, how many books at once.

``/narrationControl`` = ``{fleet: part, workers: {workerId: part}}``, where a part is ``{state,
booksAtOnce, why, at}`` and may lack any of these. ``narrator-daemon control`` writes it, or someone
by hand, in the database's console. What cannot be meant changes nothing, and is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from narrator_daemon.catalogue import CONTROL, children, is_count, moment

#: The parts of the node: of all workers, and of each by its id.
FLEET, WORKERS = "fleet", "workers"

#: What a part may hold.
STATE, BOOKS_AT_ONCE, WHY, AT = "state", "booksAtOnce", "why", "at"

#: The most books at once that a worker can be told, as in the settings.
MOST_AT_ONCE = 64

#: Most characters of a reason that is given, and of a value that cannot be meant.
LONGEST_WHY = 200
_LONGEST_SHOWN = 40

#: Things ignored that are told of one reading.
_MOST_IGNORED = 10


class State(StrEnum):
    """Whether books are claimed. Of two that are said, the later in this list holds."""

    RUNNING = "running"
    PAUSED = "paused"
    DRAINING = "draining"


_ORDER = list(State)


@dataclass(frozen=True)
class Control:
    """What one worker is told.

    Attributes:
        state: whether it claims books.
        books_at_once: most books in work at once; None for what the settings say.
        why: what the operator gave as a reason for the state; may be empty.
        at: since when that is said, epoch milliseconds, or None.
        of_fleet: whether the state is said of the whole fleet.
        ignored: what stands there and cannot be meant, in words.
    """

    state: State = State.RUNNING
    books_at_once: int | None = None
    why: str = ""
    at: int | None = None
    of_fleet: bool = True
    ignored: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing is claimed."""
        return self.state is not State.RUNNING

    def told(self) -> str:
        """What keeps a worker from claiming, for people; empty where nothing does."""
        if not self.holds:
            return ""
        what = f"{self.state} by an operator{', with the whole fleet' if self.of_fleet else ''}"
        return f"{what}: {self.why}" if self.why else what

    def as_record(self) -> dict[str, object]:
        """JSON values."""
        return {
            "state": str(self.state),
            "books_at_once": self.books_at_once,
            "why": self.why,
            "at": self.at,
            "of_fleet": self.of_fleet,
        }


@dataclass
class _Part:
    state: State = State.RUNNING
    books_at_once: int | None = None
    why: str = ""
    at: int | None = None
    ignored: list[str] = field(default_factory=list)


def of_worker(node: object, worker_id: str) -> Control:
    """What a worker is told.

    Args:
        node: what lies under ``/narrationControl``, of whatever shape.
        worker_id: its own.
    """
    ignored = list(_odd(node))
    fleet = _part(children(node).get(FLEET), f"{CONTROL}/{FLEET}")
    workers = children(node).get(WORKERS)
    if workers is not None and not children(workers):
        ignored.append(f"{CONTROL}/{WORKERS} holds no workers: {_shown(workers)}")
    own = _part(children(workers).get(worker_id), f"{CONTROL}/{WORKERS}/{worker_id}")
    stricter = max(own, fleet, key=lambda part: _ORDER.index(part.state))
    return Control(
        stricter.state,
        fleet.books_at_once if own.books_at_once is None else own.books_at_once,
        stricter.why if stricter.state is not State.RUNNING else "",
        stricter.at if stricter.state is not State.RUNNING else None,
        stricter is fleet or stricter.state is State.RUNNING,
        tuple([*ignored, *fleet.ignored, *own.ignored][:_MOST_IGNORED]),
    )


def of_fleet(node: object) -> Control:
    """What is told of all workers alike, as for ``of_worker``."""
    return of_worker({name: part for name, part in children(node).items() if name == FLEET}, "")


def holds_all(node: object, worker_ids: Iterable[str]) -> bool:
    """Whether no book is claimed by any of these workers, nor by one that comes to them."""
    if of_fleet(node).holds:
        return True
    told = [of_worker(node, worker_id).holds for worker_id in worker_ids]
    return bool(told) and all(told)


def _odd(node: object) -> Iterator[str]:
    if node is None:
        return
    if not isinstance(node, Mapping):
        yield f"{CONTROL} holds neither {FLEET} nor {WORKERS}: {_shown(node)}"
        return
    for name in sorted(node.keys() - {FLEET, WORKERS}):
        yield f"{CONTROL}/{_shown(name)} means nothing; it may hold {FLEET} and {WORKERS}"


def _part(value: object, place: str) -> _Part:
    part = _Part()
    if value is None:
        return part
    if not isinstance(value, Mapping):
        part.ignored.append(f"{place} holds no fields: {_shown(value)}")
        return part
    for name, found in sorted(value.items()):
        if name == STATE:
            if isinstance(found, str) and found in _ORDER:
                part.state = State(found)
            else:
                part.ignored.append(
                    f"{place}/{STATE} is {_shown(found)}, and not one of {', '.join(_ORDER)}"
                )
        elif name == BOOKS_AT_ONCE:
            if is_count(found, 1, MOST_AT_ONCE):
                part.books_at_once = found
            else:
                part.ignored.append(
                    f"{place}/{BOOKS_AT_ONCE} is {_shown(found)}, and not a whole number from 1 "
                    f"to {MOST_AT_ONCE}"
                )
        elif name == WHY:
            part.why = " ".join(found.split())[:LONGEST_WHY] if isinstance(found, str) else ""
        elif name == AT:
            part.at = moment(found)
        else:
            part.ignored.append(f"{place}/{_shown(name)} means nothing")
    return part


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
