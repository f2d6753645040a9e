"""The claim record in a book: who works on it, on which input, for the how-many-th time.

It is the fence: whoever no longer finds its own token there writes nothing. Rules can keep clients
from it, but not every project has them, so whatever has another shape counts as no claim.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from narrator_daemon.catalogue import is_count
from narrator_daemon.claims.failure import Failure

#: Longest wait before a retry, in milliseconds. A ``notBefore`` further ahead than twice this was
#: written by, or is read with, a wrong clock, and is not honoured: no book waits for a clock.
MAX_BACKOFF_MS = 60_000

# Tokens become keys of leases and of the history, which not every string can be.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True)
class Claim:
    """The fence: who works on a book, on which input, for the how-many-th time.

    Attributes:
        token: the identity of this one claim; None while the book waits for a retry.
        owner: the worker that made the claim.
        attempt: how often this input was claimed, from 1.
        give_backs: how often it was given back at shutdown at no cost.
        input_hash: of the text, voice and settings as claimed (``input_hash``).
        take: the take being made, from 1.
        requested_at: ``narrativeAudioRequestedAt`` as claimed, whatever the frontend put there.
        at: when, epoch milliseconds, by the owner's clock; for people, decides nothing.
        not_before: earliest next claim, epoch milliseconds; None for at once.
        last_error: what ended the attempt before.
        text_hash: of the text alone, as claimed (``book.claimed_text_hash``); with the request's
            time it tells one request from another, whatever a replica's settings. None in claims
            of versions that did not write it.
    """

    token: str | None
    owner: str
    attempt: int
    give_backs: int
    input_hash: str
    take: int
    requested_at: Any
    at: int
    not_before: int | None = None
    last_error: Failure | None = None
    text_hash: str | None = None

    def as_record(self) -> dict[str, Any]:
        """The form stored under ``narrativeAudioClaim``; absent values are left out."""
        record = {
            "token": self.token,
            "owner": self.owner,
            "attempt": self.attempt,
            "giveBacks": self.give_backs,
            "inputHash": self.input_hash,
            "textHash": self.text_hash,
            "take": self.take,
            "requestedAt": self.requested_at,
            "at": self.at,
            "notBefore": self.not_before,
            "lastError": self.last_error.as_record() if self.last_error else None,
        }
        return {name: value for name, value in record.items() if value is not None}

    @classmethod
    def from_record(cls, value: object) -> Claim | None:
        """The claim in a book, or None where there is none or it has the wrong shape.

        Clients can be kept from writing it by rules, but not every project has them.
        """
        if not isinstance(value, Mapping):
            return None
        token, owner, digest = value.get("token"), value.get("owner"), value.get("inputHash")
        attempt, take = value.get("attempt"), value.get("take")
        give_backs, at = value.get("giveBacks", 0), value.get("at", 0)
        not_before, text_hash = value.get("notBefore"), value.get("textHash")
        if not (
            (token is None or (isinstance(token, str) and _TOKEN.fullmatch(token)))
            and isinstance(owner, str)
            and _TOKEN.fullmatch(owner)
            and isinstance(digest, str)
            and is_count(attempt)
            and is_count(take, 1)
            and is_count(give_backs)
            and is_count(at)
            and (not_before is None or is_count(not_before))
        ):
            return None
        return cls(
            token=token,
            owner=owner,
            attempt=attempt,
            give_backs=give_backs,
            input_hash=digest,
            take=take,
            requested_at=value.get("requestedAt"),
            at=at,
            not_before=not_before,
            last_error=Failure.from_record(value.get("lastError")),
            text_hash=text_hash if isinstance(text_hash, str) else None,
        )


def waits_until(claim: Claim | None, now_ms: int) -> int | None:
    """Epoch milliseconds before which a waiting book is not to be claimed, or None."""
    if claim is None or claim.not_before is None:
        return None
    return claim.not_before if now_ms < claim.not_before <= now_ms + 2 * MAX_BACKOFF_MS else None


def is_retry(claim: Claim | None, *, text_hash: str, input_hash: str, requested_at: object) -> bool:
    """Whether claiming goes on with the request that ``claim`` was made for.

    A replica with another voice or loudness goes on with it too: attempts belong to the request.

    Args:
        claim: the one before.
        text_hash: of the text as it is now.
        input_hash: of the input as it is now; decides where the claim has no hash of its text.
        requested_at: of the book as it is now.
    """
    if claim is None or not same(claim.requested_at, requested_at):
        return False
    if claim.text_hash is None:
        return claim.input_hash == input_hash
    return claim.text_hash == text_hash


def same(left: object, right: object) -> bool:
    """Equality of JSON values: True is not 1."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
