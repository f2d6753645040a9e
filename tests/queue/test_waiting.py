from __future__ import annotations

from typing import Any

import pytest

from narrator_daemon.claims.claim import Claim
from narrator_daemon.firebase.subscription import Hint
from narrator_daemon.queue.place import Level
from narrator_daemon.queue.waiting import Waiting
from tests.queue.asking import NOW, order


def book(requested_at: Any = None, by: Any = None, claim: Any = None) -> dict[str, Any]:
    fields = {
        "narrativeAudioStatus": "requested",
        "narrativeAudioRequestedAt": requested_at,
        "narrativeAudioRequestedBy": by,
        "narrativeAudioClaim": claim,
    }
    return {name: value for name, value in fields.items() if value is not None}


def test_the_oldest_request_is_first_whenever_it_was_seen() -> None:
    waiting = Waiting()
    waiting.offer("late", book(NOW + 5), NOW)
    waiting.offer("early", book(NOW - 5), NOW + 100)
    waiting.offer("middle", book(NOW), NOW + 50)
    assert len(waiting) == 3 and waiting.oldest() == NOW - 5
    assert order(waiting) == ["early", "middle", "late"]
    assert len(waiting) == 0 and waiting.oldest() is None


def test_requests_without_a_time_go_by_first_sight() -> None:
    waiting = Waiting()
    for number, book_id in enumerate(["c", "a", "b"]):
        waiting.offer(book_id, book(), NOW + number)
    waiting.offer("c", book(), NOW + 10)
    assert order(waiting) == ["c", "a", "b"]


@pytest.mark.parametrize("requested_at", ["yesterday", True, {"x": 1}, [1]])
def test_a_request_time_of_another_type_goes_by_first_sight(requested_at: Any) -> None:
    waiting = Waiting()
    waiting.offer("odd", book(requested_at), NOW)
    waiting.offer("next", book(NOW + 1), NOW)
    assert order(waiting) == ["odd", "next"]


def test_a_book_that_must_wait_holds_nobody_up() -> None:
    waiting = Waiting()
    waiting.offer("first", book(NOW), NOW)
    waiting.offer("second", book(NOW + 1), NOW)
    first = waiting.take(0.0)
    assert first is not None
    waiting.put_back(first, 10.0)
    assert (waiting.free(0.0), waiting.free(10.0)) == (1, 2)
    assert order(waiting, now=9.9) == ["second"]
    assert order(waiting, now=10.0) == ["first"]


def test_a_book_that_is_wanted_later_is_free_from_then_on() -> None:
    waiting = Waiting(lambda: 100.0)
    waiting.offer("b", {**book(NOW), "narrativeAudioNotBefore": NOW + 500_000}, NOW)
    assert (waiting.free(599.9), waiting.free(600.0)) == (0, 1)
    waiting.offer("now", {**book(NOW), "narrativeAudioNotBefore": NOW - 500_000}, NOW)
    assert (waiting.free(99.9), waiting.free(100.0)) == (0, 1)


def test_a_requester_is_passed_over_until_a_moment() -> None:
    waiting = Waiting()
    waiting.offer("b", book(NOW, by="ada"), NOW)
    waiting.pass_over("ada", 10.0, 0.0)
    assert (waiting.limited(9.9), waiting.limited(10.0)) == ({"ada"}, frozenset())
    assert (waiting.free(9.9), waiting.free(10.0)) == (0, 1)
    waiting.pass_over_budget("ada", 20.0, 0.0)
    assert (waiting.over_budget(19.9), waiting.over_budget(20.0)) == ({"ada"}, frozenset())
    assert (waiting.free(19.9), waiting.free(20.0)) == (0, 1)
    waiting.pass_over_budget(None, 30.0, 0.0)
    assert (waiting.over_budget(20.0), waiting.free(20.0), waiting.free(30.0)) == ({None}, 0, 1)


def test_a_hint_that_is_no_reading_leaves_the_others() -> None:
    waiting = Waiting()
    waiting.offer("a", book(NOW), NOW)
    waiting.take_in(Hint({"b": book(NOW)}), NOW)
    assert len(waiting) == 2
    waiting.take_in(Hint({"b": book(NOW)}, resync=True), NOW)
    assert order(waiting) == ["b"]


def test_a_reading_does_not_shorten_a_wait_and_a_new_press_ends_it() -> None:
    waiting = Waiting()
    waiting.offer("b", book(NOW), NOW)
    candidate = waiting.take(0.0)
    assert candidate is not None
    waiting.put_back(candidate, 10.0)
    waiting.refresh({"b": book(NOW)}, NOW, complete=True)
    assert waiting.take(5.0) is None
    waiting.offer("b", book(NOW + 1), NOW)
    again = waiting.take(5.0)
    assert again is not None and again.requested_at == NOW + 1


def test_one_that_was_put_back_after_a_reading_began_is_newer_than_it() -> None:
    waiting = Waiting()
    waiting.offer("b", book(NOW), NOW)
    candidate = waiting.take(0.0)
    assert candidate is not None
    since = waiting.now_reading()
    waiting.put_back(candidate, 10.0)
    waiting.refresh({}, NOW, complete=True, since=since)
    assert len(waiting) == 1
    waiting.refresh({}, NOW, complete=True, since=waiting.now_reading())
    assert len(waiting) == 0


def test_a_request_that_comes_in_while_its_book_is_tried_is_kept() -> None:
    waiting = Waiting()
    waiting.offer("b", book(NOW), NOW)
    tried = waiting.take(0.0)
    assert tried is not None
    waiting.offer("b", book(NOW + 1), NOW)
    waiting.put_back(tried, 100.0)
    again = waiting.take(0.0)
    assert again is not None and again.requested_at == NOW + 1


def test_a_complete_reading_forgets_the_rest_and_an_incomplete_one_does_not() -> None:
    waiting = Waiting()
    for book_id in ("a", "b"):
        waiting.offer(book_id, book(), NOW)
    waiting.refresh({"a": book()}, NOW, complete=False)
    assert len(waiting) == 2
    waiting.refresh({"a": book()}, NOW, complete=True)
    assert order(waiting) == ["a"]
    waiting.offer("a", book(), NOW)
    waiting.forget(["a", "never seen"])
    assert len(waiting) == 0


def test_a_book_known_by_its_id_alone_is_filled_in() -> None:
    waiting = Waiting()
    waiting.offer("b", None, NOW)
    waiting.offer("b", {"title": "a part of it"}, NOW)
    waiting.offer("b", book(by="uid"), NOW + 50)
    candidate = waiting.take(0.0)
    assert candidate is not None
    assert candidate.known and candidate.requested_by == "uid" and candidate.order == NOW


def test_a_hint_that_says_nothing_new_ends_a_wait_and_keeps_the_place() -> None:
    waiting = Waiting()
    waiting.offer("b", book(NOW - 5), NOW)
    candidate = waiting.take(0.0)
    assert candidate is not None
    waiting.put_back(candidate, 10.0)
    waiting.offer("b", None, NOW + 60)
    again = waiting.take(0.0)
    assert again is not None and not again.known and again.order == NOW - 5


def test_a_claim_that_was_dropped_ends_the_wait_for_it() -> None:
    claim = Claim("t", "w", 1, 0, "hash", 1, NOW, NOW).as_record()
    waiting = Waiting()
    waiting.offer("b", book(NOW, claim=claim), NOW)
    candidate = waiting.take(0.0)
    assert candidate is not None and candidate.held_by == "t"
    waiting.put_back(candidate, 10.0)
    waiting.offer("b", book(NOW, claim=claim), NOW)
    assert waiting.take(0.0) is None
    waiting.offer("b", book(NOW), NOW)
    assert waiting.take(0.0) is not None


@pytest.mark.parametrize("by", ["", 5, True, ["uid"], {"uid": "x"}])
def test_a_requester_that_is_no_uid_is_nobody(by: Any) -> None:
    waiting = Waiting()
    waiting.offer("b", book(by=by), NOW)
    candidate = waiting.take(0.0)
    assert candidate is not None and candidate.requested_by is None


@pytest.mark.parametrize(
    ("requested_at", "is_retry"), [(7, True), (8, False), (None, False), ("7", False)]
)
def test_a_request_that_was_claimed_before_is_a_retry(requested_at: Any, is_retry: bool) -> None:
    claim = Claim(None, "w", 1, 0, "hash", 1, 7, NOW).as_record()
    waiting = Waiting()
    waiting.offer("b", book(requested_at, claim=claim), NOW)
    candidate = waiting.take(0.0)
    assert candidate is not None and candidate.is_retry is is_retry


def test_what_is_asked_for_is_counted_by_level_over_half_an_hour() -> None:
    waiting = Waiting()
    minute = 60_000
    assert waiting.arriving(NOW) == {}
    for number in range(60):
        book = {
            "narrative": "x" * 600,
            "narrativeAudioStatus": "requested",
            "narrativeAudioRequestedAt": NOW + number * minute,
            "narrativeAudioPriority": "bulk" if number % 2 else "now",
        }
        waiting.offer(f"b{number}", book, NOW + number * minute)
        waiting.offer(f"b{number}", book, NOW + number * minute)
    waiting.offer("old", {**book, "narrativeAudioRequestedAt": NOW - 90 * minute}, NOW)
    assert waiting.arriving(NOW + 59 * minute) == pytest.approx(
        {Level.NOW: 5.0, Level.BULK: 5.0}, rel=0.1
    )


@pytest.mark.parametrize("other_news", ["a change of a field", "a reading", "nothing"])
def test_a_claim_left_by_a_cancelled_retry_is_gone_to_whatever_is_heard_meanwhile(
    other_news: str,
) -> None:
    waiting = Waiting()
    left = Claim(None, "w", 1, 0, "hash", 1, NOW, NOW, not_before=NOW + 60_000).as_record()
    waiting.offer("b", book(NOW, claim=left), NOW)
    if other_news == "a change of a field":
        waiting.take_in(Hint({"b": None}), NOW)
    waiting.take_in(Hint(gone=frozenset({"b"})), NOW)
    if other_news == "a reading":
        # Nothing could be claimed meanwhile, as the database was down.
        waiting.refresh({}, NOW, complete=True)
        waiting.take_in(Hint({}, resync=True), NOW)
    assert order(waiting) == ["b"]
    waiting.refresh({}, NOW, complete=True)
    assert len(waiting) == 0


def test_what_was_left_to_wait_here_is_known_unless_something_newer_is() -> None:
    waiting = Waiting()
    left = Claim(None, "w", 1, 0, "hash", 1, NOW, NOW, not_before=NOW + 60_000).as_record()
    waiting.wait_again("b", book(NOW, claim=left), NOW)
    (known,) = waiting.candidates
    assert known.waits_for_retry and known.requested_at == NOW
    # Cancelled outside the window of the stream: the next reading brings it no more.
    waiting.refresh({}, NOW, complete=True)
    assert order(waiting) == ["b"]
    waiting.offer("b", book(NOW + 1), NOW)
    waiting.wait_again("b", book(NOW, claim=left), NOW)
    (known,) = waiting.candidates
    assert known.requested_at == NOW + 1 and not known.is_retry
