"""The state machine applied by transaction, over a database in memory."""

from __future__ import annotations

import time
from typing import Any

import pytest

from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.outcome import GiveBack, Publication
from narrator_daemon.claims.work import Work
from narrator_daemon.errors import Contended, Unavailable
from narrator_daemon.settings import Settings
from tests.memory import MemoryProject, refusal

NOW = 1_750_000_000_000
REQUESTED = {"narrative": "A", "narrativeAudioStatus": "requested", "narrativeAudioRequestedAt": 7}


class Worker:
    def __init__(self, **book: Any) -> None:
        self.project = MemoryProject({"b": {**REQUESTED, **book}})
        project: Any = self.project
        self.settings = Settings.model_validate(
            {"daemon": {"worker_id": "w"}, "claims": {"max_attempts": 3}}
        )
        self.leases = Leases(project, "w", 45.0)
        self.dead: list[tuple[str, str]] = []
        self.claims = Claims(
            project,
            self.settings,
            "voice",
            lambda book_id, token: (book_id, token) in self.dead,
            self.leases,
            lambda: NOW,
        )

    @property
    def book(self) -> dict[str, Any]:
        found: dict[str, Any] = self.project.shelf["b"]
        return found

    @property
    def lease_tokens(self) -> list[str]:
        return list(self.project.tree.get("narrationLeases", {}).get("b", {}))

    def claim(self) -> Work:
        work = self.claims.claim("b").work
        assert work is not None
        return work


def test_a_claim_writes_its_lease_before_the_book() -> None:
    worker = Worker()
    order: list[str] = []
    worker.project.at_each("^set /narrationLeases", lambda: order.append("lease"))
    worker.project.at_each("^write /books/b$", lambda: order.append("book"))
    before = time.monotonic()
    work = worker.claim()
    assert order == ["lease", "book"]
    assert before <= work.claimed_at <= time.monotonic()
    assert worker.lease_tokens == [work.token]
    assert worker.project.tree["narrationLeases"]["b"][work.token] == {
        "owner": "w",
        "beat": 0,
        "ttl": 45.0,
    }
    assert worker.book["narrativeAudioClaim"]["token"] == work.token
    assert work.book == worker.book
    assert (work.claim.at, work.claim.owner, work.claim.attempt) == (NOW, "w", 1)


def test_each_claim_has_a_token_of_its_own() -> None:
    first, second = Worker().claim(), Worker().claim()
    assert first.token != second.token
    assert len(first.token) == 32


def test_a_claim_that_is_not_made_leaves_no_lease() -> None:
    worker = Worker(narrativeAudioStatus="ready")
    attempted = worker.claims.claim("b")
    assert (attempted.verdict, attempted.work) == (Verdict.LOST, None)
    assert worker.project.count("narrationLeases") == 0


def test_one_that_another_was_faster_with_takes_its_lease_back() -> None:
    worker = Worker()

    def win() -> None:
        # For the same text with the same voice; it is no claim of this worker's all the same.
        wins = Worker().claim().claim
        claim = {**wins.as_record(), "token": "theirs", "owner": "another"}
        worker.book.update(narrativeAudioStatus="processing", narrativeAudioClaim=claim)

    worker.project.at_each("^write /books/b$", win)
    attempted = worker.claims.claim("b")
    assert (attempted.verdict, attempted.work) == (Verdict.LOST, None)
    assert attempted.rival == "another"
    assert worker.project.count("^set /narrationLeases") == 1
    assert worker.lease_tokens == []


def test_the_lease_is_written_once_however_often_the_book_changes() -> None:
    worker = Worker()
    changes = iter([True, True, False, False])

    def edit() -> None:
        if next(changes):
            worker.book["narrative"] += "!"

    worker.project.at_each("^write /books/b$", edit)
    work = worker.claim()
    assert worker.project.count("^set /narrationLeases") == 1
    assert work.book["narrative"] == "A!!"
    assert work.claim.input_hash == worker.claims.digest({"narrative": "A!!"})


def test_a_lease_that_is_not_taken_leaves_the_book_alone() -> None:
    worker = Worker()
    worker.project.fail("^set /narrationLeases", refusal(503))
    with pytest.raises(Unavailable):
        worker.claims.claim("b")
    assert worker.book == REQUESTED


@pytest.mark.parametrize(("ahead", "wait"), [(5000, 5.0), (1, 0.001)])
def test_a_retry_says_how_long_it_waits(ahead: int, wait: float) -> None:
    worker = Worker()
    claim = {"owner": "w", "attempt": 1, "take": 1, "requestedAt": 7, "notBefore": NOW + ahead}
    digest = worker.claims.digest(REQUESTED)
    worker.book["narrativeAudioClaim"] = {**claim, "inputHash": digest}
    attempted = worker.claims.claim("b")
    assert (attempted.verdict, attempted.work) == (Verdict.LATER, None)
    assert attempted.wait_seconds == wait
    assert worker.lease_tokens == []


def test_attempts_are_counted_up_to_those_of_the_settings() -> None:
    worker = Worker()
    for attempt in (1, 2, 3):
        work = worker.claim()
        assert work.claim.attempt == attempt
        worker.dead.append(("b", work.token))
        worker.claims.reap("b", work.token)
    attempted = worker.claims.claim("b")
    assert (attempted.verdict, attempted.work) == (Verdict.EXHAUSTED, None)
    assert worker.book["narrativeAudioStatus"] == "failed"


def test_only_a_dead_lease_is_passed_over() -> None:
    worker = Worker()
    first = worker.claim()
    worker.book["narrativeAudioStatus"] = "requested"
    assert worker.claims.claim("b").verdict is Verdict.LEASED
    worker.dead.append(("other", first.token))
    assert worker.claims.claim("b").verdict is Verdict.LEASED
    assert worker.claims.lease_alive("b", first.token)
    worker.dead.append(("b", first.token))
    assert not worker.claims.lease_alive("b", first.token)
    assert worker.claim().token != first.token


def test_an_outcome_is_that_of_the_claim_s_own_token() -> None:
    worker = Worker()
    work = worker.claim()
    done = Publication("https://x", None, 2.0, "narrations/b/x.wav", "hash")
    assert worker.claims.settle(work, done).verdict is Verdict.APPLIED
    assert worker.book["narrativeAudioStatus"] == "ready"
    assert worker.claims.settle(work, done).verdict is Verdict.DONE
    assert worker.claims.settle(work, GiveBack()).verdict is Verdict.FENCED


def test_the_text_is_that_of_the_settings_field() -> None:
    worker = Worker()
    assert worker.claims.text({"narrative": "A", "text": "B"}) == "A"
    assert worker.claims.text({}) is None
    assert worker.claims.digest({"narrative": "A", "x": 1}) == worker.claims.digest(REQUESTED)
    assert worker.claims.digest({"narrative": "B"}) != worker.claims.digest(REQUESTED)
    hashes = [worker.claims.text_digest({"narrative": text}) for text in ("A", "A", "B")]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_busy_book_is_contended_and_no_outage() -> None:
    worker = Worker()
    numbers = iter(range(1000))
    worker.project.at_each("^write /books/b$", lambda: worker.book.update(n=next(numbers)))
    with pytest.raises(Contended):
        worker.claims.claim("b")


def test_whether_the_database_answers_has_nothing_to_do_with_any_one_book() -> None:
    worker = Worker()
    worker.project.fail("/books/b", refusal(503))
    assert worker.claims.answers() is True
    worker.project.fail("^query ", refusal(503))
    assert worker.claims.answers() is False


class TestProgress:
    def test_it_is_written_to_its_leaf_in_thousandths(self) -> None:
        worker = Worker()
        work = worker.claim()
        worker.claims.show_progress(work, 0.123456)
        assert worker.book["narrativeAudioProgress"] == 0.123
        assert worker.project.count("^write /books/b/narrativeAudioProgress") == 1

    def test_nobody_shows_it_of_work_that_is_stopped(self) -> None:
        worker = Worker()
        work = worker.claim()
        work.stop(Verdict.CANCELLED)
        worker.claims.show_progress(work, 0.5)
        assert worker.book["narrativeAudioProgress"] == 0

    def test_it_brings_no_deleted_book_back(self) -> None:
        worker = Worker()
        work = worker.claim()
        del worker.project.shelf["b"]
        worker.claims.show_progress(work, 0.5)
        assert worker.project.shelf == {}


class TestWork:
    def test_new_work_is_neither_stopped_nor_asked_for_again_and_a_won_book_waits_for_nothing(
        self,
    ) -> None:
        attempted = Worker().claims.claim("b")
        assert attempted.work is not None and attempted.wait_seconds == 0
        assert attempted.work.stopped is None and not attempted.work.asked_again

    def test_the_first_reason_to_stop_stays(self) -> None:
        work = Worker().claim()
        assert work.stopped is None
        work.stop(Verdict.CANCELLED)
        work.stop(Verdict.FENCED)
        assert work.stopped is Verdict.CANCELLED


class TestLeases:
    def test_all_are_read_by_book_and_token(self) -> None:
        worker = Worker()
        worker.project.tree["narrationLeases"] = {
            "b": {"t": {"owner": "w", "beat": 3}, "u": "junk"},
            "c": {"v": {"owner": "x", "ttl": 3}, "w": {"ttl": 0}, "x": {"ttl": True}},
            "e": {"y": {"ttl": 1}, "z": {"ttl": 3600}, "0": {"ttl": 0.9}, "1": {"ttl": 3601}},
            "d": "junk",
        }
        reading = worker.leases.read()
        assert reading.beats == {
            ("b", "t"): 3,
            ("b", "u"): "junk",
            ("c", "v"): None,
            ("c", "w"): None,
            ("c", "x"): None,
            **{("e", token): None for token in "yz01"},
        }
        assert reading.ttls == {("c", "v"): 3, ("e", "y"): 1, ("e", "z"): 3600}

    def test_one_that_is_refused_costs_the_others_no_beat(self) -> None:
        worker = Worker()
        works = []
        for book_id in ("a", "b", "c"):
            worker.project.shelf[book_id] = dict(REQUESTED)
            work = worker.claims.claim(book_id).work
            assert work is not None
            works.append(work)
            worker.leases.hold(work)
        worker.project.fail("take /narrationLeases/b/", refusal(401))
        before = worker.leases.read().beats
        worker.leases.beat(works)
        after = worker.leases.read().beats
        beaten = {name[0] for name, beat in after.items() if beat != before[name]}
        assert beaten == {"a", "c"}
        worker.leases.let_go(max(work.claimed_at for work in works) + 0.7 * 45)
        assert [work.stopped for work in works] == [None, Verdict.FENCED, None]

    def test_a_beat_is_new_each_time_and_for_what_is_held(self) -> None:
        worker = Worker()
        work = worker.claim()
        worker.leases.beat([work])
        assert worker.project.count("^update /narrationLeases") == 0
        worker.leases.hold(work)
        seen = [worker.project.tree["narrationLeases"]["b"][work.token]["beat"]]
        for _ in range(3):
            worker.leases.beat([work])
            seen.append(worker.project.tree["narrationLeases"]["b"][work.token]["beat"])
        assert len(set(seen)) == 4
        assert worker.project.tree["narrationLeases"]["b"][work.token]["owner"] == "w"

    def test_what_is_held_is_known_with_its_oldest_beat(self) -> None:
        worker = Worker()
        assert worker.leases.held() == (0, None)
        work = worker.claim()
        worker.leases.hold(work)
        count, beat_at = worker.leases.held()
        assert count == 1 and beat_at is not None and beat_at >= work.claimed_at
        worker.leases.drop(work)
        assert worker.leases.held() == (0, None)
        assert worker.lease_tokens == []

    def test_a_claim_counts_as_a_beat(self) -> None:
        worker = Worker()
        work = worker.claim()
        worker.project.fail("^update /narrationLeases", refusal(503))
        with pytest.raises(Unavailable):
            worker.leases.hold(work)
        assert worker.leases.held() == (1, work.claimed_at)
        worker.leases.let_go(work.claimed_at + 31.4)
        assert work.stopped is None
        worker.leases.let_go(work.claimed_at + 31.6)
        assert work.stopped is Verdict.FENCED
