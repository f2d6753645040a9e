from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.catalogue import (
    CLAIM,
    ERROR,
    INPUT_HASH,
    NOT_BEFORE,
    OF_REQUEST,
    PATH,
    PRIORITY,
    PROGRESS,
    REQUESTED_AT,
    RETAKE,
    STATUS,
    TAKE,
    TEXT_HASH,
    URL,
    URL_EXPIRES_AT,
    Record,
)
from narrator_daemon.claims import book as books
from narrator_daemon.claims.book import Transition, Verdict
from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.failure import ErrorCode, Failure
from narrator_daemon.claims.outcome import (
    MAX_GIVE_BACKS,
    GiveBack,
    Outcome,
    Publication,
    Rejection,
    Retry,
    still_wanted,
)
from narrator_daemon.claims.outcome import settle as settle_claim

NOW = 1_750_000_000_000
HOUR = 3_600_000
MAX_ATTEMPTS = 5
ENGINE_FAILED = Failure(ErrorCode.ENGINE_ERROR, "The engine failed.")
PUBLICATION = Publication(
    url="https://storage.example/a.wav",
    url_expires_at=NOW + HOUR,
    duration_seconds=2.5,
    path="narrations/b/mine.wav",
    text_hash=books.text_hash("A"),
)
OUTCOMES: list[Outcome] = [
    PUBLICATION,
    Rejection(Failure(ErrorCode.NO_TEXT, "The book has no text to read.")),
    Retry(ENGINE_FAILED, NOW + 2000, MAX_ATTEMPTS),
    GiveBack(),
    GiveBack(NOW + 3000),
    GiveBack(shutdown=True),
]


def digest(record: Record) -> str:
    return books.input_hash(record.get("narrative"), "voice")


def text_digest(record: Record) -> str:
    return books.claimed_text_hash(record.get("narrative"))


def a_claim(**changes: Any) -> Claim:
    made = Claim(
        token="mine",
        owner="w1",
        attempt=1,
        give_backs=0,
        input_hash=digest({"narrative": "A"}),
        take=1,
        requested_at=7,
        at=NOW,
    )
    return replace(made, **changes)


def waiting(claim: Claim | None = None, **fields: Any) -> Record:
    record = {"title": "T", "narrative": "A", STATUS: "requested", REQUESTED_AT: 7, **fields}
    if claim is not None:
        record[CLAIM] = claim.as_record()
    return record


def in_work(claim: Claim | None = None, **fields: Any) -> Record:
    return waiting(claim or a_claim(), **{STATUS: "processing", PROGRESS: 0.4, **fields})


def try_claim(book: Any, *, dead: bool = False, now_ms: int = NOW) -> Transition:
    return books.claim(
        book,
        token="new",
        owner="w2",
        digest=digest,
        text_digest=text_digest,
        lease_dead=lambda _token: dead,
        now_ms=now_ms,
        max_attempts=MAX_ATTEMPTS,
    )


def settle(book: Any, outcome: Outcome = PUBLICATION, claim: Claim | None = None) -> Transition:
    return settle_claim(book, claim=claim or a_claim(), outcome=outcome, digest=digest)


# The claim table, row by row.


@pytest.mark.parametrize(
    ("book", "dead", "verdict"),
    [
        pytest.param(None, True, Verdict.GONE, id="null"),
        pytest.param("a string", True, Verdict.GONE, id="not-a-record"),
        pytest.param([{"a": 1}], True, Verdict.GONE, id="list"),
        pytest.param(in_work(a_claim(token="new")), False, Verdict.MINE, id="mine"),
        pytest.param(
            waiting(a_claim(token="new")), False, Verdict.MINE, id="mine-though-asked-for-again"
        ),
        pytest.param({"narrative": "A"}, True, Verdict.LOST, id="status-absent"),
        pytest.param(in_work(), True, Verdict.LOST, id="processing"),
        pytest.param(waiting(**{STATUS: "ready"}), True, Verdict.LOST, id="ready"),
        pytest.param(waiting(**{STATUS: "failed"}), True, Verdict.LOST, id="failed"),
        pytest.param(waiting(**{STATUS: {"x": 1}}), True, Verdict.LOST, id="status-no-string"),
        pytest.param(waiting(a_claim()), False, Verdict.LEASED, id="foreign-and-alive"),
        pytest.param(waiting(a_claim()), True, Verdict.CLAIMED, id="foreign-and-dead"),
        pytest.param(
            waiting(a_claim(token=None, not_before=NOW + 1)), False, Verdict.LATER, id="later"
        ),
        pytest.param(
            waiting(a_claim(token=None, not_before=NOW)), False, Verdict.CLAIMED, id="wait-is-over"
        ),
        pytest.param(
            waiting(a_claim(token=None, attempt=MAX_ATTEMPTS)),
            False,
            Verdict.EXHAUSTED,
            id="attempts-used-up",
        ),
        pytest.param(
            waiting(**{NOT_BEFORE: NOW + 1}), False, Verdict.LATER, id="not-wanted-before"
        ),
        pytest.param(waiting(**{NOT_BEFORE: NOW}), False, Verdict.CLAIMED, id="wanted-from-now"),
        pytest.param(
            waiting(**{NOT_BEFORE: "tonight"}), False, Verdict.CLAIMED, id="wanted-from-no-time"
        ),
        pytest.param(
            waiting(a_claim(), **{NOT_BEFORE: NOW + 1}), True, Verdict.LATER, id="dead-and-later"
        ),
        pytest.param(
            in_work(a_claim(token="new"), **{NOT_BEFORE: NOW + 1}),
            False,
            Verdict.MINE,
            id="mine-though-wanted-later",
        ),
        pytest.param(waiting(), False, Verdict.CLAIMED, id="waiting"),
    ],
)
def test_claim_table(book: Any, dead: bool, verdict: Verdict) -> None:
    seen = try_claim(book, dead=dead)
    assert seen.verdict is verdict
    assert (seen.book is not None) == (verdict in {Verdict.CLAIMED, Verdict.EXHAUSTED})


def test_the_beginning_that_another_claim_has_shown_is_not_this_ones() -> None:
    left = {"narrativeAudioPreview": {"path": "narrations/b/theirs.preview.m4a"}}
    seen = try_claim({**waiting(), CLAIM: "scribbled over", **left})
    assert seen.verdict is Verdict.CLAIMED
    assert seen.book is not None and not left.keys() & seen.book.keys()


def test_a_claimed_book_is_processing_with_a_new_token_and_attempt_1() -> None:
    seen = try_claim(waiting())
    assert seen.book is not None
    assert seen.book[STATUS] == "processing" and seen.book[PROGRESS] == 0
    assert seen.book["title"] == "T"
    assert Claim.from_record(seen.book[CLAIM]) == seen.claim
    text = text_digest(seen.book)
    assert seen.claim == a_claim(token="new", owner="w2", text_hash=text)


@pytest.mark.parametrize(
    ("claim", "attempt", "last_error"),
    [
        pytest.param(a_claim(token=None, attempt=2), 3, None, id="same-request"),
        pytest.param(
            a_claim(token=None, attempt=2, last_error=ENGINE_FAILED), 3, ENGINE_FAILED, id="error"
        ),
        pytest.param(a_claim(token=None, attempt=0), 1, None, id="after-a-free-give-back"),
        pytest.param(a_claim(token=None, attempt=2, input_hash="x"), 1, None, id="other-input"),
        pytest.param(a_claim(token=None, attempt=2, requested_at=6), 1, None, id="pressed-again"),
        pytest.param(a_claim(token=None, attempt=2, requested_at=None), 1, None, id="first-press"),
        pytest.param(
            a_claim(token=None, attempt=5, requested_at=6), 1, None, id="pressed-after-the-last"
        ),
    ],
)
def test_an_attempt_is_counted_at_the_claim(
    claim: Claim, attempt: int, last_error: Failure | None
) -> None:
    seen = try_claim(waiting(claim))
    assert seen.claim is not None
    assert (seen.claim.attempt, seen.claim.last_error) == (attempt, last_error)


def test_an_edit_or_a_press_does_not_wait_for_the_retry_of_what_was_before() -> None:
    pausing = a_claim(token=None, not_before=NOW + 50_000)
    assert try_claim(waiting(pausing, narrative="B")).verdict is Verdict.CLAIMED
    assert try_claim(waiting(pausing, **{REQUESTED_AT: 8})).verdict is Verdict.CLAIMED


@pytest.mark.parametrize("last_error", [ENGINE_FAILED, None])
def test_used_up_attempts_fail_the_book_with_what_ended_the_last(
    last_error: Failure | None,
) -> None:
    old = a_claim(token=None, attempt=MAX_ATTEMPTS, last_error=last_error)
    seen = try_claim(waiting(old, **{PATH: "old", URL: "old"}))
    assert seen.book is not None
    assert seen.book[STATUS] == "failed" and CLAIM not in seen.book and PROGRESS not in seen.book
    assert seen.book[ERROR]["code"] == (last_error.code if last_error else ErrorCode.WORKER_LOST)
    assert seen.book[ERROR]["attempts"] == MAX_ATTEMPTS
    assert seen.book[PATH] == "old" and seen.book[URL] == "old"


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [
        (120_000, Verdict.LATER),
        (120_001, Verdict.CLAIMED),
        (HOUR, Verdict.CLAIMED),
        (10**15, Verdict.CLAIMED),
    ],
)
def test_a_wait_further_ahead_than_any_backoff_was_set_by_a_wrong_clock(
    ahead: int, verdict: Verdict
) -> None:
    assert try_claim(waiting(a_claim(token=None, not_before=NOW + ahead))).verdict is verdict


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_a_clock_that_jumps_an_hour_keeps_no_book_waiting(jump: int) -> None:
    waits = waiting(a_claim(token=None, not_before=NOW + 30_000))
    assert try_claim(waits, now_ms=NOW + jump).verdict is Verdict.CLAIMED


@pytest.mark.parametrize(
    ("published", "take"), [({}, 1), ({TAKE: 3}, 4), ({TAKE: "3"}, 1), ({TAKE: True}, 1)]
)
def test_a_press_on_a_read_book_makes_the_next_take(published: Record, take: int) -> None:
    seen = try_claim(waiting(**published))
    assert seen.claim is not None and seen.claim.take == take


def test_a_retry_repeats_its_take() -> None:
    seen = try_claim(waiting(a_claim(token=None, take=2), **{TAKE: 9}))
    assert seen.claim is not None and seen.claim.take == 2


MALFORMED = [
    pytest.param("t", id="string"),
    pytest.param([{"token": "t"}], id="list"),
    pytest.param({}, id="empty"),
    *(
        pytest.param({**a_claim().as_record(), name: value}, id=f"{name}-{value!r}"[:40])
        for name, value in [
            ("token", ""),
            ("token", 5),
            ("token", "a/b"),
            ("token", "a.b"),
            ("token", "x" * 101),
            ("owner", None),
            ("attempt", -1),
            ("attempt", 1.5),
            ("attempt", True),
            ("attempt", "1"),
            ("take", 0),
            ("giveBacks", -1),
            ("giveBacks", []),
            ("inputHash", 3),
            ("at", "now"),
            ("notBefore", "later"),
        ]
    ),
]


@pytest.mark.parametrize("shape", MALFORMED)
def test_a_malformed_claim_holds_nobody_up(shape: Any) -> None:
    assert Claim.from_record(shape) is None
    seen = try_claim(waiting(**{CLAIM: shape}))
    assert seen.claim is not None and seen.claim.attempt == 1


@pytest.mark.parametrize(
    "error",
    [5, "x", [], {"code": "x"}, {"code": "y", "message": "m"}, {"code": [], "message": "m"}],
)
def test_a_claim_with_an_unreadable_error_is_a_claim_without_one(error: Any) -> None:
    claim = Claim.from_record({**a_claim().as_record(), "lastError": error})
    assert claim == a_claim()


def test_a_claim_of_a_version_without_give_backs_and_time_has_none() -> None:
    record = a_claim().as_record()
    del record["giveBacks"], record["at"]
    assert Claim.from_record(record) == a_claim(give_backs=0, at=0)


def test_a_claim_survives_the_database() -> None:
    whole = a_claim(not_before=NOW, last_error=ENGINE_FAILED, requested_at={"any": [1, "x"]})
    assert Claim.from_record(whole.as_record()) == whole
    assert None not in whole.as_record().values()


# The outcome table, row by row.


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
@pytest.mark.parametrize(
    ("book", "verdict", "deletes", "status"),
    [
        pytest.param(None, Verdict.GONE, True, None, id="null"),
        pytest.param(7, Verdict.GONE, True, None, id="not-a-record"),
        pytest.param(in_work(a_claim(token="x")), Verdict.FENCED, True, None, id="foreign"),
        pytest.param(waiting(a_claim(token="x")), Verdict.FENCED, True, None, id="foreign-waiting"),
        pytest.param(waiting(a_claim(token=None)), Verdict.FENCED, True, None, id="reaped"),
        pytest.param(waiting(), Verdict.FENCED, True, None, id="set-whole-with-a-request"),
        pytest.param({"narrative": "A"}, Verdict.FENCED, True, None, id="set-whole-without"),
        pytest.param(
            {**in_work(), CLAIM: "torn"}, Verdict.FENCED, True, None, id="malformed-claim"
        ),
        pytest.param(in_work(**{STATUS: None}), Verdict.CANCELLED, True, None, id="cancelled"),
        pytest.param(
            waiting(a_claim(), narrative="B"), Verdict.SUPERSEDED, True, "requested", id="other"
        ),
        pytest.param(in_work(**{STATUS: "ready"}), Verdict.DISCARDED, True, "ready", id="ready"),
        pytest.param(in_work(**{STATUS: "failed"}), Verdict.DISCARDED, True, "failed", id="failed"),
        pytest.param(in_work(**{STATUS: 5}), Verdict.DISCARDED, True, 5, id="unknown-status"),
        pytest.param(in_work(), Verdict.APPLIED, False, "outcome", id="processing"),
        pytest.param(in_work(narrative="B"), Verdict.APPLIED, False, "outcome", id="edited"),
        pytest.param(waiting(a_claim()), Verdict.APPLIED, False, "outcome", id="pressed-again"),
        pytest.param(
            waiting(a_claim(), **{REQUESTED_AT: 8}), Verdict.APPLIED, False, "outcome", id="later"
        ),
    ],
)
def test_outcome_table(
    book: Any, verdict: Verdict, deletes: bool, status: object, outcome: Outcome
) -> None:
    seen = settle(book, outcome)
    assert seen.verdict is verdict
    assert seen.lost_work is deletes
    if verdict in {Verdict.GONE, Verdict.FENCED}:
        assert seen.book is None
        return
    assert seen.book is not None and seen.book["title"] == "T"
    assert PROGRESS not in seen.book
    if status == "outcome":
        kept = Claim.from_record(seen.book.get(CLAIM))
        assert kept is None or kept.token is None
    else:
        assert seen.book.get(STATUS) == status and CLAIM not in seen.book


def test_a_publication_whose_answer_was_lost_is_recognised_whatever_came_after() -> None:
    mine = {PATH: PUBLICATION.path}
    for book in (
        waiting(**mine, **{STATUS: "ready"}),
        waiting(**mine),
        waiting(a_claim(token="another"), **mine, **{STATUS: "processing"}),
        {"narrative": "A", **mine},
    ):
        seen = settle(book)
        assert seen.verdict is Verdict.DONE and seen.book is None and not seen.lost_work


def test_a_cancelled_book_keeps_the_narration_it_had() -> None:
    before = {PATH: "old", URL: "u", TAKE: 1, STATUS: None}
    seen = settle(in_work(**before))
    assert seen.book is not None and (seen.book[PATH], seen.book[URL]) == ("old", "u")


def test_a_publication_writes_every_field_at_once() -> None:
    old = {URL_EXPIRES_AT: 1, ERROR: {"code": "x"}, PATH: "old", TAKE: 1}
    seen = settle(in_work(a_claim(take=2), **old))
    assert seen.book is not None
    assert seen.book == {
        **waiting(),
        STATUS: "ready",
        URL: PUBLICATION.url,
        URL_EXPIRES_AT: NOW + HOUR,
        "narrativeAudioDuration": 2.5,
        "narrativeUpdatedAt": {".sv": "timestamp"},
        PATH: PUBLICATION.path,
        INPUT_HASH: digest({"narrative": "A"}),
        TEXT_HASH: books.text_hash("A"),
        TAKE: 2,
    }
    lasting = settle(in_work(**old), replace(PUBLICATION, url_expires_at=None))
    assert lasting.book is not None and URL_EXPIRES_AT not in lasting.book


def test_a_rejection_fails_the_book_and_keeps_its_narration() -> None:
    seen = settle(in_work(**{PATH: "old"}), OUTCOMES[1])
    assert seen.book is not None and seen.book[STATUS] == "failed" and seen.book[PATH] == "old"
    assert seen.book[ERROR] == {
        "code": "no_text",
        "message": "The book has no text to read.",
        "attempts": 1,
        "at": {".sv": "timestamp"},
    }


def test_a_retry_waits_with_its_error_until_attempts_are_used_up() -> None:
    retry = Retry(ENGINE_FAILED, NOW + 2000, MAX_ATTEMPTS)
    seen = settle(in_work(a_claim(attempt=4)), retry)
    assert seen.book is not None and seen.book[STATUS] == "requested"
    assert Claim.from_record(seen.book[CLAIM]) == a_claim(
        token=None, attempt=4, not_before=NOW + 2000, last_error=ENGINE_FAILED
    )
    last = settle(in_work(a_claim(attempt=5)), retry)
    assert last.book is not None and last.book[STATUS] == "failed"
    assert last.book[ERROR]["code"] == "engine_error" and last.book[ERROR]["attempts"] == 5


def claim_and_give_back(book: Record, outcome: GiveBack) -> Record:
    claimed = try_claim(book)
    assert claimed.book is not None
    assert claimed.claim is not None
    seen = settle_claim(claimed.book, claim=claimed.claim, outcome=outcome, digest=digest)
    assert seen.book is not None
    return seen.book


def test_so_many_give_backs_at_shutdown_are_free_and_then_each_costs_an_attempt() -> None:
    book, attempts = waiting(), []
    for _ in range(MAX_GIVE_BACKS + 2):
        book = claim_and_give_back(book, GiveBack(shutdown=True))
        attempts.append(book[CLAIM]["attempt"])
    assert attempts == [0, 0, 0, 1, 2]
    assert book[CLAIM]["giveBacks"] == MAX_GIVE_BACKS


def test_a_dependency_that_is_down_never_costs_an_attempt() -> None:
    book = waiting()
    for _ in range(20):
        book = claim_and_give_back(book, GiveBack(NOW))
    assert book[CLAIM]["attempt"] == 0 and book[CLAIM]["giveBacks"] == 0


@pytest.mark.parametrize(
    ("book", "verdict"),
    [
        (in_work(), Verdict.UNCHANGED),
        (waiting(a_claim()), Verdict.UNCHANGED),
        (in_work(narrative="B"), Verdict.UNCHANGED),
        (waiting(a_claim(), narrative="B"), Verdict.SUPERSEDED),
        (in_work(**{STATUS: None}), Verdict.CANCELLED),
        (None, Verdict.GONE),
        (in_work(a_claim(token="x")), Verdict.FENCED),
    ],
)
def test_the_owner_is_told_what_became_of_its_book(book: Any, verdict: Verdict) -> None:
    assert still_wanted(book, claim=a_claim(), digest=digest) is verdict


# Answers that were lost: what was applied before is recognised.

FAILURE = Failure(ErrorCode.STUCK, "It was stuck.")
LOST_ANSWERS = [*OUTCOMES, Retry(FAILURE, NOW + 5, max_attempts=1)]


@pytest.mark.parametrize("outcome", LOST_ANSWERS, ids=str)
def test_an_outcome_whose_answer_was_lost_is_done_and_not_fenced(outcome: Outcome) -> None:
    mine = a_claim(text_hash=text_digest({"narrative": "A"}))
    applied = settle(in_work(mine), outcome, mine)
    assert applied.verdict is Verdict.APPLIED and applied.book is not None
    assert settle(applied.book, outcome, mine).verdict is Verdict.DONE


def test_a_retry_is_known_by_the_claim_that_followed_it() -> None:
    mine = a_claim(text_hash=text_digest({"narrative": "A"}))
    retry = Retry(FAILURE, NOW, MAX_ATTEMPTS)
    after = settle(in_work(mine), retry, mine).book
    followed = try_claim(after, now_ms=NOW).book
    assert settle(followed, retry, mine).verdict is Verdict.DONE
    # One that was reaped instead was fenced.
    reaped = books.reap(in_work(mine), token="mine").book
    assert settle(try_claim(reaped).book, retry, mine).verdict is Verdict.FENCED


@pytest.mark.parametrize("outcome", LOST_ANSWERS, ids=str)
def test_what_another_made_of_the_book_is_fenced(outcome: Outcome) -> None:
    mine = a_claim(text_hash=text_digest({"narrative": "A"}))
    other = replace(mine, token=None, attempt=3)
    error = {"code": "stuck", "message": "Another.", "attempts": 3, "at": NOW}
    for book in (
        waiting(other),
        waiting(**{STATUS: "failed", ERROR: error}),
        waiting(**{STATUS: "failed", ERROR: "junk"}),
        waiting(**{STATUS: "ready", PATH: "another's"}),
        waiting(),
    ):
        assert settle(book, outcome, mine).verdict is Verdict.FENCED


# Attempts and pauses belong to the request.


def other_digest(record: Record) -> str:
    return books.input_hash(record.get("narrative"), "another voice")


def claim_as(book: Any, fingerprint: Any, *, now_ms: int = NOW) -> Transition:
    return books.claim(
        book,
        token=f"t{now_ms}",
        owner="w2",
        digest=fingerprint,
        text_digest=text_digest,
        lease_dead=lambda _token: True,
        now_ms=now_ms,
        max_attempts=MAX_ATTEMPTS,
    )


def test_replicas_with_two_settings_count_the_same_attempts_and_keep_the_same_pauses() -> None:
    book: Any = waiting()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        mine, theirs = (digest, other_digest) if attempt % 2 else (other_digest, digest)
        at = NOW + 10_000 * attempt
        seen = claim_as(book, mine, now_ms=at)
        assert seen.claim is not None and seen.claim.attempt == attempt
        assert seen.claim.input_hash == mine(book)
        retry = Retry(FAILURE, at + 5_000, MAX_ATTEMPTS)
        book = settle_claim(seen.book, claim=seen.claim, outcome=retry, digest=mine).book
        if attempt < MAX_ATTEMPTS:
            assert claim_as(book, theirs, now_ms=at + 4_999).verdict is Verdict.LATER
    assert book[STATUS] == "failed" and book[ERROR]["attempts"] == MAX_ATTEMPTS


def test_a_claim_of_a_version_without_the_text_s_hash_is_followed_by_its_input() -> None:
    old = a_claim(token=None, attempt=2)
    assert old.text_hash is None
    followed = claim_as(waiting(old), digest).claim
    assert followed is not None and followed.attempt == 3
    other = claim_as(waiting(old), other_digest).claim
    assert other is not None and other.attempt == 1


def test_a_cancel_during_the_wait_for_a_retry_removes_what_is_left_of_the_claim() -> None:
    book = waiting(a_claim(token=None, attempt=2, not_before=NOW + 60_000))
    del book[STATUS]
    seen = try_claim(book)
    assert seen.verdict is Verdict.CANCELLED and seen.book is not None
    assert CLAIM not in seen.book and STATUS not in seen.book
    again = try_claim({**seen.book, STATUS: "requested"}).claim
    assert again is not None and again.attempt == 1


# Reaping and asking again.


@pytest.mark.parametrize("shape", [None, *MALFORMED, a_claim(token=None).as_record()])
def test_processing_under_no_usable_claim_waits_again_from_attempt_0(shape: Any) -> None:
    book = {**in_work(), CLAIM: shape}
    if shape is None:
        del book[CLAIM]
    seen = books.reap(book, token=None, record=shape)
    assert seen.verdict is Verdict.REAPED and seen.book == waiting()
    claimed = try_claim(seen.book)
    assert claimed.claim is not None and claimed.claim.attempt == 1


def test_a_lost_worker_leaves_its_attempt_and_its_name() -> None:
    seen = books.reap(in_work(a_claim(attempt=3)), token="mine")
    assert seen.book is not None and seen.book[STATUS] == "requested" and PROGRESS not in seen.book
    left = Claim.from_record(seen.book[CLAIM])
    assert left is not None and left.token is None and left.attempt == 3
    assert left.last_error is not None and left.last_error.code is ErrorCode.WORKER_LOST
    assert "w1" in left.last_error.message


def test_a_request_under_a_dead_claim_loses_only_the_token() -> None:
    seen = books.reap(waiting(a_claim(last_error=ENGINE_FAILED)), token="mine")
    assert seen.book == waiting(a_claim(token=None, last_error=ENGINE_FAILED))


def test_a_claim_that_waits_under_a_dead_lease_is_told_of_until_nobody_asks() -> None:
    left = a_claim(token=None, last_error=ENGINE_FAILED)
    assert books.reap(waiting(left), token="mine").verdict is Verdict.LATER
    cancelled = {"narrative": "A", PATH: "old", CLAIM: left.as_record()}
    seen = books.reap(cancelled, token="mine")
    assert (seen.verdict, seen.book) == (Verdict.REAPED, {"narrative": "A", PATH: "old"})
    assert seen.claim is None
    for scribbled in (waiting(**{CLAIM: "junk"}), {"narrative": "A", CLAIM: "junk"}):
        assert books.reap(scribbled, token="mine").verdict is Verdict.UNCHANGED


@pytest.mark.parametrize("status", [None, "ready", "failed", 5])
def test_any_other_status_loses_claim_and_progress(status: Any) -> None:
    seen = books.reap(in_work(**{STATUS: status, PATH: "old"}), token="mine")
    assert seen.book is not None and seen.book[PATH] == "old"
    assert CLAIM not in seen.book and PROGRESS not in seen.book and seen.book[STATUS] == status


def test_a_book_that_kills_its_workers_fails_after_so_many_attempts() -> None:
    book: Record = waiting()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claimed = try_claim(book)
        assert claimed.claim is not None and claimed.claim.attempt == attempt
        freed = books.reap(claimed.book, token="new")
        assert freed.book is not None
        book = freed.book
    seen = try_claim(book)
    assert seen.verdict is Verdict.EXHAUSTED and seen.book is not None
    assert seen.book[ERROR]["code"] == "worker_lost"


def test_a_failed_book_asked_for_again_starts_anew() -> None:
    failed = settle(in_work(), OUTCOMES[1]).book
    seen = books.request_again(failed, now_ms=NOW)
    assert seen.book is not None
    assert (seen.book[STATUS], seen.book[REQUESTED_AT]) == ("requested", NOW)
    for other in (None, waiting(), in_work(), {"narrative": "A"}):
        assert books.request_again(other, now_ms=NOW).book is None


WISHES = {NOT_BEFORE: NOW - 1, PRIORITY: "bulk", RETAKE: [1]}


@pytest.mark.parametrize(
    ("outcome", "stays"),
    [
        (PUBLICATION, False),
        (OUTCOMES[1], False),
        (Retry(ENGINE_FAILED, NOW + 2000, MAX_ATTEMPTS), True),
        (Retry(ENGINE_FAILED, NOW + 2000, 1), False),
        (GiveBack(), True),
    ],
)
def test_what_was_wished_for_a_request_lasts_as_long_as_the_request(
    outcome: Outcome, stays: bool
) -> None:
    seen = settle(in_work(**WISHES), outcome).book
    assert seen is not None
    assert {name: seen[name] for name in OF_REQUEST if name in seen} == (WISHES if stays else {})


def test_what_was_wished_for_a_request_goes_when_it_is_cancelled_or_asked_by_an_operator() -> None:
    cancelled = in_work(**WISHES)
    del cancelled[STATUS]
    left = a_claim(token=None)
    for book in (
        settle(cancelled).book,
        try_claim({"narrative": "A", CLAIM: left.as_record(), **WISHES}).book,
        books.request_again({"narrative": "A", STATUS: "failed", **WISHES}, now_ms=NOW).book,
    ):
        assert book is not None and not set(OF_REQUEST) & book.keys()
    shown = {"narrative": "A", STATUS: "ready", PATH: "p", **WISHES}
    again = books.request_retake(shown, [2], now_ms=NOW).book
    assert again is not None
    assert (again[RETAKE], NOT_BEFORE in again, PRIORITY in again) == ([2], False, False)


# URLs that are renewed.


def renew(book: Any, *, expires_at: int = NOW + 2 * HOUR) -> Transition:
    return books.renew(
        book,
        path="narrations/b/mine.wav",
        url="https://new.example/a.wav",
        expires_at=expires_at,
        files={},
        now_ms=NOW,
    )


def test_a_renewed_url_changes_nothing_else() -> None:
    shown = settle(in_work()).book
    assert shown is not None and shown[URL_EXPIRES_AT] == NOW + HOUR
    seen = renew(shown)
    assert seen.verdict is Verdict.APPLIED
    renewed = {URL: "https://new.example/a.wav", URL_EXPIRES_AT: NOW + 2 * HOUR}
    assert seen.book == {**shown, **renewed}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({PATH: "narrations/b/other.wav"}, id="another-narration"),
        pytest.param({PATH: None}, id="no-narration"),
        pytest.param({URL_EXPIRES_AT: NOW + 2 * HOUR}, id="renewed-by-another"),
        pytest.param({URL_EXPIRES_AT: NOW + 3 * HOUR}, id="renewed-for-longer"),
        pytest.param({URL_EXPIRES_AT: 0}, id="expires-never"),
        pytest.param({URL_EXPIRES_AT: None}, id="no-expiry"),
        pytest.param({URL_EXPIRES_AT: "soon"}, id="an-odd-expiry"),
    ],
)
def test_only_the_narration_that_is_shown_is_renewed_and_never_for_less(
    changes: dict[str, Any],
) -> None:
    shown = settle(in_work()).book
    assert shown is not None
    seen = renew({**shown, **changes})
    assert (seen.verdict, seen.book) == (Verdict.UNCHANGED, None)


def test_a_narration_that_expires_at_the_first_moment_is_renewed() -> None:
    shown = settle(in_work()).book
    assert renew({**(shown or {}), URL_EXPIRES_AT: 1}).verdict is Verdict.APPLIED


# Hashes.


def test_the_input_hash_tells_types_and_settings_apart() -> None:
    inputs = ["1", 1, 1.0, True, None, ["1"], {"a": 1}, ""]
    hashes = {books.input_hash(value, "voice") for value in inputs}
    assert len(hashes) == len(inputs)
    assert books.input_hash("a", "b") != books.input_hash("a", "c")


def test_the_text_hash_is_sha256_of_utf8() -> None:
    assert books.text_hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert len(books.text_hash("\ud800")) == 64  # half a surrogate pair, as JSON can hold


# Whatever lies in the database.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
near_claims = st.fixed_dictionaries(
    {},
    optional={
        name: st.just(value) | json_values
        for name, value in {
            **a_claim(not_before=NOW + 1000, last_error=ENGINE_FAILED).as_record()
        }.items()
    },
) | st.just(a_claim().as_record())
near_errors = st.fixed_dictionaries({"code": json_values, "message": st.text(max_size=3)})
near_books = st.fixed_dictionaries(
    {},
    optional={
        "narrative": st.sampled_from(["A", "B"]) | json_values,
        STATUS: st.sampled_from(["requested", "processing", "ready", "failed"]) | json_values,
        REQUESTED_AT: st.just(7) | json_values,
        CLAIM: near_claims
        | st.builds(lambda claim, error: {**claim, "lastError": error}, near_claims, near_errors)
        | json_values,
        PROGRESS: json_values,
        PATH: st.just(PUBLICATION.path) | json_values,
        TAKE: json_values,
        NOT_BEFORE: st.sampled_from([NOW - 1, NOW + 1]) | json_values,
        PRIORITY: st.sampled_from(["now", "bulk"]) | json_values,
    },
)
any_book = near_books | json_values
MOVES: list[Callable[[Any], Transition]] = [
    try_claim,
    lambda book: try_claim(book, dead=True),
    *(lambda book, outcome=outcome: settle(book, outcome) for outcome in OUTCOMES),
    lambda book: books.reap(book, token="mine"),
    lambda book: books.reap(
        book, token=None, record=book.get(CLAIM) if isinstance(book, dict) else None
    ),
    lambda book: books.request_again(book, now_ms=NOW),
    renew,
]


@given(any_book, st.sampled_from(MOVES))
def test_no_book_raises_or_is_changed_in_place(
    book: Any, move: Callable[[Any], Transition]
) -> None:
    before = copy.deepcopy(book)
    seen = move(book)
    assert repr(book) == repr(before)
    if not isinstance(book, dict):
        assert seen.verdict in {Verdict.GONE} and seen.book is None
    elif seen.book is not None:
        others = {key for key in book if not key.startswith("narrativeAudio")}
        assert all(seen.book[key] == book[key] for key in others)


@given(near_books, st.sampled_from(OUTCOMES))
def test_claim_then_settle_leaves_no_claim_and_no_progress(book: Record, outcome: Outcome) -> None:
    claimed = try_claim(book, dead=True)
    if claimed.verdict is not Verdict.CLAIMED:
        return
    mine = claimed.claim
    assert mine is not None
    seen = settle_claim(claimed.book, claim=mine, outcome=outcome, digest=digest)
    assert seen.verdict is Verdict.APPLIED and seen.book is not None
    assert PROGRESS not in seen.book
    left = Claim.from_record(seen.book.get(CLAIM))
    assert left is None or (left.token is None and seen.book[STATUS] == "requested")
    again = settle_claim(seen.book, claim=mine, outcome=outcome, digest=digest)
    assert again.verdict is Verdict.DONE and again.book is None


@given(near_books)
def test_whatever_stands_on_a_requested_book_it_is_claimed_once_that_is_dead(book: Record) -> None:
    seen = try_claim({**book, STATUS: "requested"}, dead=True)
    assert seen.verdict in {Verdict.CLAIMED, Verdict.EXHAUSTED, Verdict.LATER, Verdict.MINE}


@given(near_books)
def test_whatever_stands_on_a_processing_book_it_waits_again_once_reaped(book: Record) -> None:
    book = {**book, STATUS: "processing"}
    claim = Claim.from_record(book.get(CLAIM))
    token = None if claim is None else claim.token
    seen = books.reap(book, token=token, record=book.get(CLAIM))
    assert seen.book is not None and seen.book[STATUS] == "requested"
    assert books.reap(seen.book, token=token, record=book.get(CLAIM)).book is None


class TestReadyBy:
    asked: ClassVar[dict[str, Any]] = {
        "narrative": "A",
        "narrativeAudioStatus": "requested",
        "narrativeAudioRequestedAt": 7,
    }

    def test_it_is_written_and_removed_for_the_request_it_is_about(self) -> None:
        seen = books.foretell(self.asked, requested_at=7, ready_by=99)
        assert seen.book == {**self.asked, "narrativeAudioReadyBy": 99}
        assert books.foretell(seen.book, requested_at=7, ready_by=99).book is None
        assert books.foretell(seen.book, requested_at=7, ready_by=None).book == self.asked
        assert books.foretell(self.asked, requested_at=8, ready_by=99).book is None
        assert books.foretell(None, requested_at=7, ready_by=99).book is None

    @pytest.mark.parametrize("status", [None, "processing", "ready", "failed"])
    def test_it_is_of_what_waits(self, status: str | None) -> None:
        book = {**self.asked, "narrativeAudioStatus": status}
        if status is None:
            del book["narrativeAudioStatus"]
        assert books.foretell(book, requested_at=7, ready_by=99).book is None

    def test_it_goes_with_a_cancelled_request(self) -> None:
        book = {"narrative": "A", "narrativeAudioReadyBy": 99, "narrativeAudioPriority": "bulk"}
        seen = books.foretell(book, requested_at=7, ready_by=None)
        assert seen.verdict is Verdict.CANCELLED and seen.book == {"narrative": "A"}
        assert books.foretell({"narrative": "A"}, requested_at=7, ready_by=None).book is None
