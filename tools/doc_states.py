"""The table of states, made by asking the state machine itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from narrator_daemon import catalogue
from narrator_daemon.claims import book, outcome
from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.failure import ErrorCode, Failure

_CLAIM = "mine"
_STATUSES = (
    "none",
    catalogue.REQUESTED,
    catalogue.PROCESSING,
    catalogue.READY,
    catalogue.FAILED,
)
_FAILURE = Failure(ErrorCode.ENGINE_ERROR, "said")
_PUBLICATION = outcome.Publication("https://example.com/a.wav", None, 1.0, "a.wav", "hash")


def _digest(record: dict[str, Any]) -> str:
    return str(record["narrative"])


def _settled(end: outcome.Outcome) -> Callable[[dict[str, Any]], book.Transition]:
    def settle(record: dict[str, Any]) -> book.Transition:
        claim = Claim.from_record(record[catalogue.CLAIM])
        assert claim is not None  # noqa: S101 - of the books that are made here
        return outcome.settle(record, claim=claim, outcome=end, digest=_digest)

    return settle


def _claimed(record: dict[str, Any]) -> book.Transition:
    return book.claim(
        {name: value for name, value in record.items() if name != catalogue.CLAIM},
        token=_CLAIM,
        owner="worker",
        digest=_digest,
        text_digest=_digest,
        lease_dead=lambda token: False,
        now_ms=1,
        max_attempts=5,
    )


def _asked(record: dict[str, Any]) -> book.Transition:
    return book.Transition(book.Verdict.APPLIED, {**record, catalogue.STATUS: catalogue.REQUESTED})


def _cancelled(record: dict[str, Any]) -> book.Transition:
    return book.Transition(book.Verdict.APPLIED, {**record, catalogue.STATUS: None})


#: What can happen, who does it, and the function that decides. All but the first two are done by
#: the worker that holds the claim, or to it.
_EVENTS: tuple[tuple[str, str, Callable[[dict[str, Any]], book.Transition]], ...] = (
    ("asked for", "frontend", _asked),
    ("cancelled", "frontend", _cancelled),
    ("claimed", "daemon", _claimed),
    ("narrated", "daemon", _settled(_PUBLICATION)),
    ("cannot be narrated", "daemon", _settled(outcome.Rejection(_FAILURE))),
    ("went wrong, may be tried again", "daemon", _settled(outcome.Retry(_FAILURE, 1, 5))),
    ("went wrong for the last time", "daemon", _settled(outcome.Retry(_FAILURE, 1, 1))),
    ("given back", "daemon", _settled(outcome.GiveBack())),
    ("its worker was lost", "daemon", lambda record: book.reap(record, token=_CLAIM)),
)


def states() -> str:
    """A row for each event, a column for each state: what state follows. A blank: it stays."""
    base = {"narrative": "A text.", catalogue.STATUS: catalogue.REQUESTED}
    claimed = _claimed(base).book or {}
    lines = [["what happens", "by", *(f"`{status}`" for status in _STATUSES)]]
    lines.append(["---"] * len(lines[0]))
    for what, who, decide in _EVENTS:
        cells = []
        for status in _STATUSES:
            before = {**claimed, catalogue.STATUS: None if status == "none" else status}
            after = (decide(before).book or before).get(catalogue.STATUS) or "none"
            cells.append("" if after == status else f"`{after}`")
        lines.append([what, who, *cells])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
