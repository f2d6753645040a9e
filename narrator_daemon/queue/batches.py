"""Many books that are asked for together: ``/narrationBatches/{id}``.

``{requestedAt, requestedBy, title, open, cancel, books: {bookId: state}, counts, finishedAt}``. A
frontend, or ``narrator-daemon batch``, writes it together with the requests of its books, which
name it in ``narrativeAudioBatch``. Whoever ends a book writes the book's state here; one replica
looks for what was missed, and cancels the books of a batch whose ``cancel`` is true. ``open`` goes,
and ``finishedAt`` comes, when no book is ``requested`` any more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from narrator_daemon import logs
from narrator_daemon.catalogue import (
    BATCH,
    BATCHES,
    FAILED,
    READY,
    SERVER_TIMESTAMP,
    STATUS,
    Record,
    children,
    is_key,
)
from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.book import cancel_of_batch as cancelled
from narrator_daemon.claims.ending import Ending
from narrator_daemon.errors import NodeRefused
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.transact import transact
from narrator_daemon.rounds import Round

OPEN, CANCEL, BOOKS, COUNTS, FINISHED_AT = "open", "cancel", "books", "counts", "finishedAt"

#: The most books that are asked for in one batch by the commands.
MOST_BOOKS = 1_000

#: Seconds between two looks; open batches at each, and books of each whose state is asked for.
LOOK_SECONDS = 15.0
_MOST_BATCHES, _MOST_ASKED = 20, 20

#: Seconds after which a look takes back no more books; the next one goes on with those that follow.
_LONGEST_SECONDS = 60.0

#: Seconds for which a replica does without where the rules do not know the node.
_WITHOUT_SECONDS = 600.0

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")

_log = logs.get(__name__)


class BookState(StrEnum):
    """What has become of a book of a batch."""

    REQUESTED = "requested"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


_OF_OUTCOME = {
    "published": BookState.READY,
    "failed": BookState.FAILED,
    "cancelled": BookState.CANCELLED,
    "gone": BookState.CANCELLED,
}
_OF_STATUS = {None: BookState.CANCELLED, READY: BookState.READY, FAILED: BookState.FAILED}


def is_id(value: object) -> bool:
    """Whether a value can be the id of a batch."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def waiting_of(batch: object) -> list[str]:
    """The books of a batch that are not over, in the order of their ids."""
    found = children(children(batch).get(BOOKS))
    over = {BookState.READY, BookState.FAILED, BookState.CANCELLED}
    return sorted(book for book, state in found.items() if state not in over and is_key(book))


def settle(batch: object, states: Mapping[str, BookState]) -> Record | None:
    """A batch with what has become of some of its books; None where nothing changes.

    Args:
        batch: as read, of whatever shape; null where it was deleted.
        states: by book.
    """
    record = children(batch)
    known = children(record.get(BOOKS))
    waiting = set(waiting_of(batch))
    news = {book: str(state) for book, state in states.items() if book in waiting}
    if not known or not (news or (record.get(OPEN) is True and not waiting)):
        return None
    changed = {**record, BOOKS: {**known, **news}}
    changed[COUNTS] = counts(changed)
    if not waiting - news.keys() and OPEN in changed:
        del changed[OPEN]
        changed[FINISHED_AT] = dict(SERVER_TIMESTAMP)
    return changed


def counts(batch: object) -> dict[str, int]:
    """How many books of a batch there are, in all and by state."""
    found = children(children(batch).get(BOOKS))
    by_state = Counter(state for state in found.values() if isinstance(state, str))
    total = {"total": len(found), "requested": len(waiting_of(batch))}
    ended = (BookState.READY, BookState.FAILED, BookState.CANCELLED)
    return total | {str(state): by_state[state] for state in ended}


class Batches:
    """A replica's part in batches.

    Args:
        project: the database.
        leads: whether this replica looks after them for all.
        clock: monotonic seconds.
    """

    def __init__(
        self, project: Project, leads: Callable[[], bool], clock: Callable[[], float]
    ) -> None:
        self._project = project
        self._leads = leads
        self._clock = clock
        self._without_until = float("-inf")
        # From which book on the state of each batch's books is asked for next.
        self._asked: dict[str, str] = {}
        # The same of those that are taken back; and the batch that a look begins with.
        self._taken_back: dict[str, str] = {}
        self._first = ""

    def end(self, ending: Ending) -> None:
        """Take in how a claim ended.

        Raises:
            Unavailable: the database did not answer; whoever leads finds it later.
        """
        state, batch = _OF_OUTCOME.get(ending.outcome), ending.book.get(BATCH)
        if state is not None and isinstance(batch, str) and is_id(batch):
            self._settle(batch, {ending.book_id: state})

    def step(self) -> float:
        """Look after the open batches; gives seconds until the next look.

        Raises:
            Unavailable: the database did not answer.
        """
        if self._leads() and self._clock() >= self._without_until:
            round_, until = Round("batches"), self._clock() + _LONGEST_SECONDS
            found = self._open()
            for batch_id in _from(self._first, found):
                with round_.item(batch=batch_id):
                    self._look_after(batch_id, found[batch_id], until)
        return LOOK_SECONDS

    def _open(self) -> Record:
        try:
            return books.on_node(self._project, self._project.node_path(BATCHES), self._read_open)
        except NodeRefused as error:
            # Rules from before there were batches.
            _log.info("no_batches", why=str(error))
            self._without_until = self._clock() + _WITHOUT_SECONDS
            return {}

    def _read_open(self) -> Record:
        found = self._project.node(BATCHES).order_by_child(OPEN).equal_to(True)
        return children(found.limit_to_first(_MOST_BATCHES).get())

    def _look_after(self, batch_id: str, batch: object, until: float) -> None:
        waiting = waiting_of(batch)
        states: dict[str, BookState] = {}
        if children(batch).get(CANCEL) is True:
            for book_id in _from(self._taken_back.pop(batch_id, ""), waiting):
                if self._clock() >= until:
                    # Whatever cannot be taken back holds up neither the others nor other batches.
                    self._first, self._taken_back[batch_id] = batch_id, book_id
                    break
                if self._cancel(batch_id, book_id):
                    states[book_id] = BookState.CANCELLED
        after = self._asked.get(batch_id, "")
        turn = [book for book in waiting if book > after and book not in states][:_MOST_ASKED]
        self._asked[batch_id] = turn[-1] if len(turn) == _MOST_ASKED else ""
        for book_id in turn:
            status = books.read(self._project, book_id, STATUS)
            if (status is None or isinstance(status, str)) and status in _OF_STATUS:
                states[book_id] = _OF_STATUS[status]
        self._settle(batch_id, states)

    def _cancel(self, batch_id: str, book_id: str) -> bool:
        """Take back a book of a batch; gives whether that was done now."""
        try:
            seen = books.change(self._project, book_id, lambda book: cancelled(book, batch_id))
        except NodeRefused as error:
            _log.warning("book_not_cancelled", book=book_id, why=str(error))
            return False
        if seen.verdict is not Verdict.CANCELLED:
            return False
        _log.info("book_cancelled", book=book_id, batch=batch_id)
        return True

    def _settle(self, batch_id: str, states: Mapping[str, BookState]) -> None:
        def decide(batch: object) -> tuple[Record | None, None]:
            return settle(batch, states), None

        node, place = (
            self._project.node(BATCHES, batch_id),
            self._project.node_path(BATCHES, batch_id),
        )
        books.on_node(self._project, place, lambda: transact(node, decide))


def _from(first: str, names: Iterable[str]) -> list[str]:
    """Names in their order, from one on, and those before it at the end."""
    return sorted(names, key=lambda name: (name < first, name))
