"""What is announced of a claim: that it was made, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.failure import ErrorCode, Failure


@dataclass(frozen=True)
class Claimed:
    """A claim that was made.

    Attributes:
        book_id: of which book.
        claim: the fence.
        since_request: seconds from the request to the claim; None where the request has no time.
    """

    book_id: str
    claim: Claim
    since_request: float | None


@dataclass(frozen=True)
class Ending:
    """How one claim ended.

    Attributes:
        book_id: of which book.
        outcome: ``published``, ``failed``, ``retried``, ``given_back``, or why nothing was written
            (the value of the verdict).
        claim: the fence; None where the book failed as no attempt was left to claim it for.
        failure: what went wrong, where something did.
        facts: what it took, as JSON values, as far as it came: ``secondsByStep``, ``segments``, ….
        seconds: from the claim to the end.
        since_request: seconds from the request to the end; None where the request has no time.
        lease_lost: whether the claim was lost because its lease was not renewed in time.
        book_gone: whether the book is deleted.
        book: the book as it was claimed.
        waiting: the book as it was left, where it waits again: it was given back, or is retried.
    """

    book_id: str
    outcome: str
    claim: Claim | None = None
    failure: Failure | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    since_request: float | None = None
    lease_lost: bool = False
    book_gone: bool = False
    book: Mapping[str, Any] = field(default_factory=dict, repr=False)
    waiting: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def published(self) -> bool:
        """Whether a narration is shown."""
        return self.outcome == "published"

    @property
    def engine_broke(self) -> bool:
        """Whether it was the engine that failed."""
        return self.failure is not None and self.failure.code is ErrorCode.ENGINE_ERROR

    @property
    def seconds_by_step(self) -> Mapping[str, float]:
        """What each step took, as far as it came."""
        steps: Mapping[str, float] = self.facts.get("secondsByStep", {})
        return steps

    @property
    def audio_seconds(self) -> float:
        """Of the narration that was published; 0 for none."""
        return float(self.facts["audioSeconds"]) if self.published else 0.0
