"""Why a requested book is not in work: as a worker tells it, and as the database shows it."""

from __future__ import annotations

from typing import Any

import pytest

from narrator_daemon.queue.reasons import Reason, Waits, of_candidates, of_records
from narrator_daemon.queue.waiting import Waiting

CLAIM = {
    "owner": "w",
    "attempt": 1,
    "giveBacks": 0,
    "inputHash": "a" * 64,
    "take": 1,
    "requestedAt": 5,
    "at": 6,
}
NOW = 1_750_000_000_000


def asked(**fields: Any) -> dict[str, Any]:
    named = {f"narrativeAudio{name}": value for name, value in fields.items()}
    return {"narrative": "Text.", "narrativeAudioStatus": "requested", **named}


def told(books: dict[str, Any], **known: Any) -> Waits:
    waiting = Waiting()
    for book_id, book in books.items():
        waiting.offer(book_id, book, NOW)
    if back := known.pop("put_back", None):
        for _ in books:
            candidate = waiting.take(10.0)
            if candidate is not None and candidate.book_id in back:
                waiting.put_back(candidate, 20.0)
            elif candidate is not None:
                waiting.offer(candidate.book_id, books[candidate.book_id], NOW)
                break
    return of_candidates(waiting.candidates, 10.0, NOW, **{"limited": (), "limit": 2, **known})


def counts(waits: Waits) -> dict[str, int]:
    return {str(reason): count for reason, count in waits.counts.items() if count}


def test_every_reason_is_counted_even_where_nothing_waits() -> None:
    assert told({}) == Waits(dict.fromkeys(Reason, 0), None)


def test_of_one_requester_no_more_is_claimable_than_the_limit_lets() -> None:
    by_ada = {f"b{n}": asked(RequestedAt=n + 1, RequestedBy="ada") for n in range(5)}
    assert counts(told(by_ada)) == {"no_room": 2, "limit": 3}
    assert counts(told(by_ada, limit=0)) == {"no_room": 5}
    assert counts(told(by_ada, limited={"ada"})) == {"limit": 5}
    assert counts(told(by_ada, limited={"bea"})) == {"no_room": 2, "limit": 3}


def test_the_oldest_that_is_claimable_gives_the_age() -> None:
    books = {
        "limited": asked(RequestedAt=1, RequestedBy="ada"),
        "free": asked(RequestedAt=7),
        "younger": asked(RequestedAt=9),
    }
    assert told(books, limited={"ada"}).claimable_since == 7


@pytest.mark.parametrize(
    ("book", "known", "reason"),
    [
        (asked(RequestedAt=5, Claim={**CLAIM, "token": "t"}), {}, "claimed"),
        (asked(RequestedAt=5, Claim=CLAIM), {"put_back": {"b"}}, "retry"),
        (asked(RequestedAt=5, Claim=CLAIM), {"limited": {"ada"}}, "no_room"),
        (asked(NotBefore=NOW + 1), {}, "not_before"),
        (asked(NotBefore=NOW), {}, "no_room"),
        (asked(NotBefore=True), {}, "no_room"),
        (asked(NotBefore=NOW + 1, RequestedBy="ada"), {"limited": {"ada"}}, "not_before"),
        (asked(NotBefore=NOW + 1), {"held_up": Reason.PAUSED}, "not_before"),
        (asked(), {"refused": {"b"}}, "refused"),
        (asked(), {"held_up": Reason.DEPENDENCY}, "dependency"),
        (asked(), {"held_up": Reason.PAUSED}, "paused"),
    ],
)
def test_each_reason(book: dict[str, Any], known: dict[str, Any], reason: str) -> None:
    assert counts(told({"b": book}, **known)) == {reason: 1}


def test_the_database_shows_until_when() -> None:
    books = {
        "held": asked(RequestedAt=5, Claim={**CLAIM, "token": "t"}),
        "retried": asked(RequestedAt=5, Claim={**CLAIM, "notBefore": NOW + 5_000}),
        "tonight": asked(RequestedAt=1, RequestedBy="ada", NotBefore=NOW + 9_000),
        "bulk": asked(RequestedAt=2, RequestedBy="ada", Priority="bulk"),
        "first": asked(RequestedAt=3, RequestedBy="ada"),
        "second": asked(RequestedAt=4, RequestedBy="ada"),
    }
    waits = of_records(books, lambda _uid: {"x": NOW - 10_000}, limit=2, now_ms=NOW)
    assert {book_id: (str(wait.reason), wait.until) for book_id, wait in waits.items()} == {
        "held": ("claimed", None),
        "retried": ("retry", NOW + 5_000),
        "tonight": ("not_before", NOW + 9_000),
        "first": ("no_room", None),
        "second": ("limit", NOW + 50_000),
        "bulk": ("limit", NOW + 50_000),
    }
