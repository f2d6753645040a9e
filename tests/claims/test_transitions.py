"""Transitions besides claims and their outcomes: what operators ask, what is shown of work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from narrator_daemon.catalogue import (
    BATCH,
    CLAIM,
    NOT_BEFORE,
    OPERATOR,
    PATH,
    PREVIEW,
    PROGRESS,
    READY_BY,
    REQUESTED_AT,
    REQUESTED_BY,
    RETAKE,
    STATUS,
    URL,
)
from narrator_daemon.claims import book as books
from narrator_daemon.claims import outcome as outcomes
from narrator_daemon.claims.book import Transition, Verdict
from tests.claims.test_book import NOW, a_claim, digest, in_work, waiting

PREVIEWED = {"url": "https://storage.example/p", "path": "narrations/b/p.wav"}

Change = Callable[[Any], Transition]


def show_preview(book: Any) -> Transition:
    return outcomes.show_preview(book, claim=a_claim(), preview=PREVIEWED)


def show_ready_by(book: Any) -> Transition:
    return outcomes.show_ready_by(book, claim=a_claim(), ready_by=NOW + 5)


def settle(book: Any) -> Transition:
    return outcomes.settle(book, claim=a_claim(), outcome=outcomes.GiveBack(), digest=digest)


def reap(book: Any) -> Transition:
    return books.reap(book, token="mine")


def renew(book: Any) -> Transition:
    return books.renew(book, path="p", url="u", expires_at=NOW, files={}, now_ms=NOW)


def request_again(book: Any) -> Transition:
    return books.request_again(book, now_ms=NOW)


def request_retake(book: Any) -> Transition:
    return books.request_retake(book, (2, 3), now_ms=NOW)


def request_in_batch(book: Any) -> Transition:
    return books.request_in_batch(book, "spring", now_ms=NOW, wishes={NOT_BEFORE: NOW + 9})


def cancel_of_batch(book: Any) -> Transition:
    return books.cancel_of_batch(book, "spring")


def foretell(book: Any) -> Transition:
    return books.foretell(book, requested_at=7, ready_by=NOW + 5)


ALL: list[Change] = [
    *(show_preview, show_ready_by, settle, reap, renew, request_again, request_retake),
    *(request_in_batch, cancel_of_batch, foretell),
]


@pytest.mark.parametrize("change", ALL, ids=lambda change: change.__name__)
@pytest.mark.parametrize("book", [None, "a string", 5, [{"a": 1}]], ids=repr)
def test_what_is_no_book_is_gone(change: Change, book: Any) -> None:
    assert change(book) == Transition(Verdict.GONE)


@pytest.mark.parametrize(
    ("change", "book"),
    [
        pytest.param(reap, waiting(), id="reap-what-waits"),
        pytest.param(reap, {"narrative": "A"}, id="reap-what-nobody-asked-for"),
        pytest.param(request_again, waiting(), id="again-what-waits"),
        pytest.param(request_again, in_work(), id="again-what-is-in-work"),
        pytest.param(request_again, {STATUS: "ready", PATH: "p"}, id="again-what-is-read"),
        pytest.param(request_again, {}, id="again-what-nobody-asked-for"),
        pytest.param(request_retake, {STATUS: "requested", PATH: "p"}, id="retake-what-waits"),
        pytest.param(request_retake, in_work(**{PATH: "p"}), id="retake-what-is-in-work"),
        pytest.param(request_retake, {STATUS: "ready"}, id="retake-what-was-never-read"),
        pytest.param(request_retake, {STATUS: "ready", PATH: 5}, id="retake-an-odd-path"),
        pytest.param(request_in_batch, waiting(), id="batch-what-waits"),
        pytest.param(request_in_batch, in_work(), id="batch-what-is-in-work"),
        pytest.param(cancel_of_batch, waiting(), id="cancel-of-no-batch"),
        pytest.param(cancel_of_batch, waiting(**{BATCH: "autumn"}), id="cancel-of-another"),
        pytest.param(cancel_of_batch, {STATUS: "ready", BATCH: "spring"}, id="cancel-the-read"),
        pytest.param(cancel_of_batch, {BATCH: "spring"}, id="cancel-the-cancelled"),
        pytest.param(foretell, in_work(), id="foretell-what-is-in-work"),
        pytest.param(foretell, waiting(a_claim()), id="foretell-what-is-claimed"),
        pytest.param(foretell, waiting(**{REQUESTED_AT: 8}), id="foretell-another-request"),
        pytest.param(foretell, waiting(**{READY_BY: NOW + 5}), id="foretell-no-news"),
        pytest.param(foretell, {"narrative": "A"}, id="foretell-what-nobody-asked-for"),
        pytest.param(show_preview, waiting(a_claim()), id="preview-of-a-new-request"),
        pytest.param(show_ready_by, waiting(a_claim()), id="ready-by-of-a-new-request"),
        pytest.param(show_ready_by, in_work(**{READY_BY: NOW + 5}), id="ready-by-no-news"),
    ],
)
def test_where_there_is_nothing_to_do_nothing_is_written(change: Change, book: Any) -> None:
    assert change(book) == Transition(Verdict.UNCHANGED)


def test_only_the_claim_that_was_judged_is_reaped() -> None:
    nothing = Transition(Verdict.UNCHANGED)
    assert books.reap(in_work(), token="another") == nothing
    assert books.reap(in_work(), token=None) == nothing
    assert books.reap({**in_work(), CLAIM: "new"}, token=None, record="old") == nothing
    assert books.reap({**in_work(), CLAIM: "torn"}, token="mine") == nothing


@pytest.mark.parametrize("change", [show_preview, show_ready_by])
@pytest.mark.parametrize(
    "claim", [None, "torn", a_claim(token="another").as_record(), a_claim(token=None).as_record()]
)
def test_only_the_owner_of_a_claim_shows_something(change: Change, claim: Any) -> None:
    book = {**in_work(), CLAIM: claim}
    assert change(book) == Transition(Verdict.FENCED)


def test_what_is_shown_of_work_changes_nothing_else() -> None:
    assert show_preview(in_work()) == Transition(Verdict.APPLIED, {**in_work(), PREVIEW: PREVIEWED})
    assert show_ready_by(in_work()) == Transition(Verdict.APPLIED, {**in_work(), READY_BY: NOW + 5})


@pytest.mark.parametrize("shown", [PROGRESS, PREVIEW, READY_BY])
def test_what_is_shown_of_work_goes_when_its_worker_is_dead(shown: str) -> None:
    left = {STATUS: "ready", shown: 1, "narrative": "A"}
    assert reap(left) == Transition(Verdict.UNCHANGED)
    assert books.reap(left, token=None).book == {STATUS: "ready", "narrative": "A"}
    again = waiting(a_claim(), **{shown: 1})
    assert reap(again).book == waiting(a_claim(token=None))


def test_a_batch_asks_as_an_operator_and_takes_back_what_it_asked() -> None:
    shown = {"narrative": "A", STATUS: "ready", URL: "u", RETAKE: [1]}
    asked = request_in_batch(shown)
    assert asked.verdict is Verdict.APPLIED and asked.book is not None
    assert asked.book == {
        "narrative": "A",
        URL: "u",
        STATUS: "requested",
        REQUESTED_AT: NOW,
        REQUESTED_BY: OPERATOR,
        BATCH: "spring",
        NOT_BEFORE: NOW + 9,
    }
    cancelled = cancel_of_batch({**asked.book, CLAIM: a_claim(token=None).as_record()})
    assert cancelled.verdict is Verdict.CANCELLED and cancelled.book is not None
    assert not {STATUS, CLAIM, BATCH, NOT_BEFORE} & cancelled.book.keys()


@pytest.mark.parametrize("status", ["requested", "processing"])
def test_a_batch_that_is_cancelled_leaves_the_claim_to_its_worker(status: str) -> None:
    book = in_work(**{STATUS: status, BATCH: "spring"})
    seen = cancel_of_batch(book)
    del book[STATUS]
    assert seen == Transition(Verdict.CANCELLED, book)


def test_the_text_is_hashed_alike_however_its_fields_are_ordered() -> None:
    one, other = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}
    assert books.input_hash(one, "voice") == books.input_hash(other, "voice")
