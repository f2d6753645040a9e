"""One job from its claim to its outcome, with no process and no network."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import structlog

from narrator_daemon.claims.book import Verdict
from narrator_daemon.clock import now_ms
from narrator_daemon.credentials import signer as signers
from narrator_daemon.credentials.errors import CannotSign
from narrator_daemon.credentials.files import FileCredentials
from narrator_daemon.daemon import job as jobs
from narrator_daemon.daemon.traces import Trace
from narrator_daemon.daemon.tries import backoff_ms
from narrator_daemon.errors import NodeRefused, Refused, Unavailable
from narrator_daemon.queue.forecast import Pace
from narrator_daemon.speech import SpeechError
from tests.desk import TEXT, Desk
from tests.memory import SERVER_NOW, refusal


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_narration_is_published_and_nothing_else_is_left(desk: Desk) -> None:
    ending = desk.run()
    assert (ending.outcome, ending.failure, ending.lease_lost) == ("published", None, False)
    (path,) = desk.store.objects_by_path
    book = desk.book
    assert (book["narrativeAudioStatus"], book["narrativeAudioPath"]) == ("ready", path)
    assert book["narrativeAudioUrl"] == f"https://storage.example/{path}"
    assert ending.audio_seconds == book["narrativeAudioDuration"] > 2
    assert ending.seconds_by_step["upload"] >= 0
    assert desk.leases_left is None
    assert list(desk.kept_folder.iterdir()) == []
    assert len(desk.ended) == 1
    assert not desk.reported


@pytest.mark.parametrize(
    ("text", "outcome", "level"), [(TEXT, "published", "info"), (17, "failed", "warning")]
)
def test_how_it_ended_is_logged_with_how_long_it_took(
    desk: Desk, text: Any, outcome: str, level: str
) -> None:
    desk.edit(narrative=text)
    with structlog.testing.capture_logs() as logged:
        work = desk.claim()
        desk.now = work.claimed_at + 1.23456
        ending = desk.run(desk.job(work))
    assert (ending.outcome, ending.seconds) == (outcome, 1.235)
    (event,) = [event for event in logged if event["event"] == outcome]
    assert (event["log_level"], event["seconds"]) == (level, 1.235)


def test_its_lease_is_kept_alive_as_long_as_it_works(desk: Desk) -> None:
    held: list[int] = []
    desk.engine.before = lambda _index: held.append(desk.leases.held()[0])
    desk.run()
    assert set(held) == {1} and desk.leases.held() == (0, None)


def test_its_lease_goes_once_it_is_told_how_it_ended(desk: Desk) -> None:
    seen: list[list[str]] = []
    desk.context.endings.listen(lambda ending: seen.append([*desk.leases_left[ending.book_id]]))
    work = desk.claim()
    desk.run(desk.job(work))
    assert seen == [[work.token]] and desk.leases_left is None


class Recorded:
    """Traces that are kept as they end."""

    def __init__(self) -> None:
        self.ended: list[tuple[Trace, str, str | None]] = []

    def begin(self, *, began: float | None = None, **_facts: Any) -> Trace:
        assert began is not None
        return Trace(began, lambda trace, outcome, code: self.ended.append((trace, outcome, code)))

    def close(self) -> None: ...


def test_each_step_of_a_claim_is_traced(desk: Desk) -> None:
    traces = Recorded()
    desk.context = replace(desk.context, traces=traces)
    before = time.monotonic()
    desk.run()
    ((trace, outcome, code),) = traces.ended
    assert (outcome, code) == ("published", None)
    assert list(trace.steps) == [
        *("claim", "text", "speech", "mastering", "watermark", "write", "fingerprint"),
        *("credentials", "upload", "outcome"),
    ]
    assert before <= trace.began
    assert all(step.began <= step.ended <= time.monotonic() for step in trace.steps.values())
    assert not any(step.failed for step in trace.steps.values())


def test_a_claim_that_fails_is_traced_as_far_as_it_came(desk: Desk) -> None:
    traces = Recorded()
    desk.context = replace(desk.context, traces=traces)

    def break_down(_index: int) -> None:
        raise SpeechError("engine_error", "broken")

    desk.engine.before = break_down
    desk.run()
    ((trace, outcome, code),) = traces.ended
    assert (outcome, code) == ("retried", "engine_error")
    assert list(trace.steps) == ["claim", "text", "speech", "outcome"]
    assert trace.steps["speech"].failed


def test_a_claim_whose_outcome_nobody_takes_is_traced_too(desk: Desk) -> None:
    traces = Recorded()
    desk.context = replace(desk.context, traces=traces)
    work = desk.claim()
    job = desk.job(work)
    job._end(lambda: (_ for _ in ()).throw(Unavailable("database", "down")))
    assert [(outcome, code) for _, outcome, code in traces.ended] == [("unknown", None)]


def cancel(desk: Desk) -> None:
    desk.edit(narrativeAudioStatus=None)


def delete(desk: Desk) -> None:
    del desk.project.shelf["b"]


def ask_with_another_text(desk: Desk) -> None:
    desk.edit(narrative="Another text.", narrativeAudioStatus="requested")


def claim_for_another(desk: Desk) -> None:
    desk.book["narrativeAudioClaim"]["token"] = "another"


def call_it_ready(desk: Desk) -> None:
    desk.edit(narrativeAudioStatus="ready")


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (cancel, "cancelled"),
        (delete, "gone"),
        (ask_with_another_text, "superseded"),
        (claim_for_another, "fenced"),
        (call_it_ready, "discarded"),
    ],
)
def test_audio_that_nobody_wants_any_more_is_deleted(
    desk: Desk, change: Callable[[Desk], None], outcome: str
) -> None:
    uploaded: list[str] = []

    def on_upload() -> None:
        uploaded.extend(desk.store.objects_by_path)
        change(desk)

    desk.store.on_upload = on_upload
    ending = desk.run()
    assert len(uploaded) == 1
    assert desk.store.objects_by_path == {}
    assert ending.outcome == outcome
    assert ending.lease_lost == (outcome == "fenced")
    assert ending.book_gone == (outcome == "gone")
    assert desk.leases_left is None
    assert desk.book is None or "narrativeAudioUrl" not in desk.book
    # Kept for whoever goes on with the same input, and for nobody where there is none.
    kept = [] if outcome in ("gone", "superseded") else [True]
    assert [path.stat().st_size > 0 for path in desk.kept_folder.iterdir()] == kept


def test_a_publication_whose_answer_was_lost_keeps_its_audio(desk: Desk) -> None:
    job = desk.job()

    def lose() -> None:
        desk.project.mend()
        book = desk.book
        book |= {"narrativeAudioStatus": "ready", "narrativeAudioPath": path}
        book.pop("narrativeAudioClaim")
        raise refusal(503)

    path = desk.store.path("b", job.work.token)
    desk.project.at_each("write /books/b$", lose)
    assert desk.run(job).outcome == "published"
    assert list(desk.store.objects_by_path) == [path]
    assert [error.dependency for error in desk.reported] == ["database"]


class TestStopping:
    def test_at_the_next_boundary_the_book_is_given_back(self, desk: Desk) -> None:
        job = desk.job()
        spoken: list[int] = []

        def before(index: int) -> None:
            spoken.append(index)
            desk.stopping.set()
            job.give_back_at_boundary()

        desk.engine.before = before
        assert desk.run(job).outcome == "given_back"
        assert spoken == [0]
        assert desk.store.objects_by_path == {}
        claim = desk.book["narrativeAudioClaim"]
        assert (claim["attempt"], claim["giveBacks"]) == (0, 1)
        assert "token" not in claim and "notBefore" not in claim
        assert desk.book["narrativeAudioStatus"] == "requested"
        assert desk.leases_left is None

    def test_what_was_spoken_is_not_spoken_again(self, desk: Desk) -> None:
        job = desk.job()
        desk.engine.before = lambda index: index == 1 and job.give_back_at_boundary()
        desk.run(job)
        desk.endings.clear()
        desk.over.clear()
        spoken: list[int] = []
        desk.engine.before = spoken.append
        assert desk.run().facts["segmentsKept"] == 2
        assert spoken == []

    def test_from_outside_while_the_engine_does_not_come_back(self, desk: Desk) -> None:
        reached, release = threading.Event(), threading.Event()

        def before(_index: int) -> None:
            reached.set()
            assert release.wait(90)

        desk.engine.before = before
        job = desk.job()
        job.start()
        assert reached.wait(90)
        desk.stopping.set()
        job.give_back_now()
        (ending,) = desk.endings
        assert ending.outcome == "given_back"
        assert desk.book["narrativeAudioStatus"] == "requested"
        # Whoever claims it next is not disturbed when the engine does come back.
        desk.edit(narrativeAudioStatus="processing")
        desk.book["narrativeAudioClaim"]["token"] = "another"
        release.set()
        wait = time.monotonic() + 90
        while len(desk.ended) < 2 and time.monotonic() < wait:
            time.sleep(0.01)
        assert len(desk.ended) == 2
        assert len(desk.endings) == 1
        assert desk.book["narrativeAudioClaim"]["token"] == "another"

    def test_not_where_its_outcome_is_on_the_way(self, desk: Desk) -> None:
        job = desk.job()
        desk.project.at_each("read /books/b$", lambda: job.give_back_now())
        assert desk.run(job).outcome == "published"


class TestWatching:
    def test_no_progress_for_long_enough_is_stuck(self, desk: Desk) -> None:
        job = desk.job()
        job.watch(job.progress_at + 99.9, 100)
        assert not job.stuck
        job.watch(job.progress_at + 100, 100)
        assert job.stuck

    def test_no_progress_of_a_process_that_slept_is_not_stuck(self, desk: Desk) -> None:
        job = desk.job()
        woke = job.progress_at + 500
        job.watch(woke + 99.9, 100, awake_since=woke)
        assert not job.stuck
        job.watch(woke + 100, 100, awake_since=woke)
        assert job.stuck

    def test_a_stuck_one_that_stops_costs_an_attempt(self, desk: Desk) -> None:
        job = desk.job()

        def before(_index: int) -> None:
            job.watch(job.progress_at + 100, 100)
            job.work.stop(jobs.Verdict.UNCHANGED)

        desk.engine.before = before
        ending = desk.run(job)
        assert ending.outcome == "retried"
        error = desk.book["narrativeAudioClaim"]["lastError"]
        assert error["code"] == "stuck" and "100 seconds" in error["message"]
        assert desk.book["narrativeAudioClaim"]["attempt"] == 1

    def test_one_that_gets_on_again_is_not(self, desk: Desk) -> None:
        job = desk.job()
        seen: list[bool] = []

        def before(index: int) -> None:
            seen.append(job.stuck)
            if index == 0:
                job.watch(job.progress_at + 100, 100)
                assert job.stuck

        desk.engine.before = before
        assert desk.run(job).outcome == "published"
        assert seen == [False, False]

    def test_nor_one_that_waits_for_the_database_to_take_its_outcome(self, desk: Desk) -> None:
        job = desk.job()
        desk.project.at_each("read /books/b$", lambda: job.watch(job.progress_at + 1e6, 100))
        desk.run(job)
        assert not job.stuck


class TestFailure:
    def test_the_waits_double_from_two_seconds_to_a_minute(self) -> None:
        seconds = [backoff_ms(attempt, 1.0) / 1000 for attempt in range(1, 9)]
        assert seconds == [2, 4, 8, 16, 32, 60, 60, 60]
        assert backoff_ms(10**9, 1.0) == 60_000
        assert [backoff_ms(3, unit) for unit in (0.0, 0.25)] == [0, 2000]

    @pytest.mark.parametrize("code", ["engine_error", "out_of_memory"])
    def test_of_the_engine_is_tried_again(self, desk: Desk, code: str) -> None:
        def fail(_index: int) -> None:
            raise SpeechError(code, "cuda:0 is lost; see nvidia-smi")

        desk.engine.before = fail
        started = now_ms()
        ending = desk.run()
        assert ending.outcome == "retried" and ending.failure is not None
        assert (ending.failure.code.value, ending.engine_broke) == (code, code == "engine_error")
        claim = desk.book["narrativeAudioClaim"]
        assert (desk.book["narrativeAudioStatus"], claim["attempt"]) == ("requested", 1)
        assert claim["lastError"]["code"] == code
        # For an admin, who knows of no GPU.
        assert "cuda" not in claim["lastError"]["message"]
        assert started + 2000 <= claim["notBefore"] <= now_ms() + 2000

    def test_the_last_attempt_fails_the_book(self, desk: Desk) -> None:
        def fail(_index: int) -> None:
            raise SpeechError("engine_error", "no")

        desk.engine.before = fail
        work = desk.claim()
        last = {**desk.book["narrativeAudioClaim"], "attempt": 5}
        desk.book["narrativeAudioClaim"] = last
        work = replace(work, claim=replace(work.claim, attempt=5))
        assert desk.run(desk.job(work)).outcome == "failed"
        assert desk.book["narrativeAudioStatus"] == "failed"
        assert desk.book["narrativeAudioError"]["attempts"] == 5

    @pytest.mark.parametrize(
        "error", [OSError(errno.ENOENT, "No such file"), ZeroDivisionError("secret /home/x")]
    )
    def test_whatever_else_goes_wrong(self, desk: Desk, error: Exception) -> None:
        def fail(_index: int) -> None:
            raise error

        desk.engine.before = fail
        with structlog.testing.capture_logs() as logged:
            assert desk.run().outcome == "retried"
        message = desk.book["narrativeAudioClaim"]["lastError"]["message"]
        assert message == "The narrator met an internal error; its log says more."
        assert "narration_failed" in [event["event"] for event in logged]

    @pytest.mark.parametrize("error", [SpeechError("engine_error", "cuda:0"), OSError(5, "broken")])
    def test_of_the_worker_costs_the_book_no_attempt(self, desk: Desk, error: Exception) -> None:
        def fail(_index: int) -> None:
            raise error

        asked: list[Exception] = []
        fault = Unavailable("narration", "a sentence cannot be narrated either")

        def own_fault(error: Exception) -> Unavailable:
            asked.append(error)
            return fault

        desk.engine.before = fail
        desk.context = replace(desk.context, own_fault=own_fault)
        assert desk.run().outcome == "given_back"
        assert (asked, desk.reported) == ([error], [fault])
        assert desk.book["narrativeAudioStatus"] == "requested"
        assert desk.book["narrativeAudioClaim"]["attempt"] == 0

    def test_of_the_text_is_for_good(self, desk: Desk) -> None:
        desk.edit(narrative=17)
        ending = desk.run()
        assert (ending.outcome, desk.book["narrativeAudioStatus"]) == ("failed", "failed")
        assert desk.book["narrativeAudioError"]["code"] == "text_not_string"
        assert not ending.engine_broke

    def test_of_a_text_that_is_too_long_to_hear_leaves_no_segments(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("narrator_daemon.narration.accepting.MOST_SAMPLES", 60_000)
        kept: list[int] = []
        desk.engine.before = lambda index: kept.append(len(list(desk.kept_folder.iterdir())))
        assert desk.run().outcome == "failed"
        assert kept[0] == 1
        assert list(desk.kept_folder.iterdir()) == []
        assert desk.book["narrativeAudioError"]["code"] == "text_too_long"


class TestDependencies:
    @pytest.mark.parametrize("error", [Unavailable("storage", "503"), Refused("storage", "403")])
    def test_storage_that_fails_costs_no_attempt(self, desk: Desk, error: Unavailable) -> None:
        desk.store.fault = error
        started = now_ms()
        ending = desk.run()
        assert (ending.outcome, ending.failure) == ("given_back", None)
        assert desk.reported == [error]
        claim = desk.book["narrativeAudioClaim"]
        assert claim["attempt"] == 0 and "giveBacks" in claim and claim["giveBacks"] == 0
        assert started + 3000 <= claim["notBefore"] <= now_ms() + 3000
        # What was spoken is not spoken again.
        assert len(list(desk.kept_folder.iterdir())) == 1

    def test_an_outcome_is_written_once_the_database_answers(self, desk: Desk) -> None:
        job = desk.job()
        desk.project.fail("read /books/b$", refusal(503), times=3)
        assert desk.run(job).outcome == "published"
        assert [error.dependency for error in desk.reported] == ["database"] * 3

    def pass_time_between_tries(self, desk: Desk, seconds: float) -> None:
        desk.context = replace(desk.context, sleep=lambda _: desk.pass_seconds(seconds))

    def test_an_outcome_that_is_refused_for_good_fails_the_book_and_frees_the_slot(
        self, desk: Desk
    ) -> None:
        self.pass_time_between_tries(desk, 1.0)
        work = desk.claim()
        # A rule of the catalogue on what is published, say.
        desk.project.fail("write /books/b$", refusal(401, "Permission denied"), times=22)
        ending = desk.run(desk.job(work))
        assert ending.outcome == "failed"
        assert ending.failure is not None and ending.failure.code == "refused"
        assert desk.book["narrativeAudioStatus"] == "failed"
        assert desk.book["narrativeAudioError"]["code"] == "refused"
        assert desk.leases_left is None
        assert all(isinstance(error, NodeRefused) for error in desk.reported)
        assert desk.now - 1000 < desk.settings.daemon.stuck_seconds

    def test_where_not_even_that_is_taken_the_slot_is_free_and_the_lease_dies(
        self, desk: Desk
    ) -> None:
        self.pass_time_between_tries(desk, 1.0)
        work = desk.claim()
        desk.project.fail("write /books/b$", refusal(400, "too deep"))
        job = desk.job(work)
        job.start()
        assert desk.over.wait(90)
        assert desk.ended == [job] and desk.endings == []
        assert desk.book["narrativeAudioStatus"] == "processing"
        assert list(desk.context.refusals.books) == ["b"]
        (_path,) = desk.store.objects_by_path  # for the sweep: what was decided is not known

    def test_a_book_that_alone_cannot_be_written_is_given_up(self, desk: Desk) -> None:
        self.pass_time_between_tries(desk, 10.0)
        work = desk.claim()
        desk.project.fail("write /books/b$", refusal(500))
        job = desk.job(work)
        job.start()
        assert desk.over.wait(90)
        # Three times, once it does not get on.
        assert desk.endings == [] and desk.now - 1000 == desk.settings.daemon.stuck_seconds + 20

    def test_an_outage_is_waited_out_however_long(self, desk: Desk) -> None:
        self.pass_time_between_tries(desk, 10.0)
        work = desk.claim()
        began = desk.project.count("write /books/b$")
        failing = refusal(503)
        desk.project.fail("write /books/b$", failing, times=200)
        desk.project.fail("query /books", failing, times=190)
        assert desk.run(desk.job(work)).outcome == "published"
        assert desk.project.count("write /books/b$") == began + 201

    @pytest.mark.parametrize("of_all", [False, True])
    def test_audio_that_storage_refuses_costs_an_attempt_where_it_takes_other_audio(
        self, desk: Desk, of_all: bool
    ) -> None:
        kind = Refused if of_all else NodeRefused
        desk.store.fault = kind("storage", "storage answers 413: too large")
        ending = desk.run()
        assert ending.outcome == ("given_back" if of_all else "retried")
        assert desk.book["narrativeAudioClaim"]["attempt"] == (0 if of_all else 1)
        assert bool(desk.reported) is of_all

    @pytest.mark.parametrize("of_all", [False, True])
    def test_what_the_database_refuses_costs_an_attempt_where_it_is_of_this_book(
        self, desk: Desk, of_all: bool
    ) -> None:
        """The counter of marks is of all."""
        kind = Refused if of_all else NodeRefused
        refused = kind("database", "the database answers 401: Permission denied")

        def allot(_book_id: str, _is_new: bool) -> int:
            raise refused

        desk.context = replace(desk.context, allot=allot)
        ending = desk.run()
        assert ending.outcome == ("given_back" if of_all else "retried")
        assert desk.book["narrativeAudioClaim"]["attempt"] == (0 if of_all else 1)
        assert desk.reported == ([refused] if of_all else [])

    def test_a_lease_that_could_not_be_renewed_in_time_is_told_and_pauses_claiming(
        self, desk: Desk
    ) -> None:
        """A machine that is too slow would claim and give back for ever."""
        work = desk.claim()

        def late(_index: int) -> None:
            desk.leases.let_go(time.monotonic() + 32)

        desk.engine.before = late
        ending = desk.run(desk.job(work))
        assert (ending.outcome, ending.lease_lost) == ("given_back", True)
        (told,) = desk.reported
        assert told.dependency == "leases" and "45 s" in str(told)
        desk.leases.check()  # nothing is held any more

    def test_who_takes_the_work_of_another_for_its_own_is_not_too_slow(self, desk: Desk) -> None:
        work = desk.claim()
        desk.engine.before = lambda _index: work.stop(Verdict.FENCED)
        desk.run(desk.job(work))
        assert desk.reported == []

    def test_one_who_shuts_down_tries_once(self, desk: Desk) -> None:
        job = desk.job()
        desk.project.fail("/books/b$", refusal(503))
        job.give_back_now()
        assert desk.project.count("read /books/b$") == 2  # the claim, and the one try
        assert desk.endings == [] and len(desk.ended) == 1
        assert desk.leases_left is not None  # it stands still, and is reaped

    def test_a_lease_or_a_progress_that_is_not_taken_harms_nothing(self, desk: Desk) -> None:
        job = desk.job()
        desk.project.fail("/narrationLeases", refusal(503))
        assert desk.run(job).outcome == "published"
        assert {error.dependency for error in desk.reported} == {"database"}

    def test_audio_that_cannot_be_deleted_is_left_to_the_sweep(self, desk: Desk) -> None:
        def on_upload() -> None:
            cancel(desk)
            desk.store.fault = Unavailable("storage", "503")

        desk.store.on_upload = on_upload
        assert desk.run().outcome == "cancelled"
        assert [error.dependency for error in desk.reported] == ["storage"]
        assert desk.leases_left is None

    def test_a_fault_of_the_program_lets_the_claim_be_reaped(self, desk: Desk) -> None:
        job = desk.job()
        desk.project.fail("read /books/b$", RuntimeError("a bug"))
        job.start()
        assert desk.over.wait(90)
        assert desk.endings == []
        assert desk.leases_left is None
        assert desk.leases.held() == (0, None)


def test_a_lease_that_was_lost_is_told(desk: Desk) -> None:
    job = desk.job()
    desk.engine.before = lambda _index: job.work.stop(jobs.Verdict.FENCED)
    ending = desk.run(job)
    assert ending.lease_lost
    assert ending.outcome == "given_back"


class TestProgress:
    def test_it_is_shown_once_a_second_at_most(self, desk: Desk) -> None:
        times: list[float] = []
        place = "/books/b/narrativeAudioProgress"
        desk.project.at_each(f"write {place}", lambda: times.append(desk.now))
        desk.edit(narrative="\n\n".join(["The clocks were striking thirteen."] * 10))
        desk.engine.before = lambda _index: desk.pass_seconds(0.4)
        desk.run()
        assert len(times) == 3
        assert all(later - sooner >= 1 for sooner, later in pairwise(times))

    def test_the_log_says_once_a_minute_how_far_it_is(self, desk: Desk) -> None:
        desk.edit(narrative="\n\n".join(["The clocks were striking thirteen."] * 10))
        desk.engine.before = lambda _index: desk.pass_seconds(25)
        with structlog.testing.capture_logs() as logged:
            desk.run()
        lines = [event for event in logged if event["event"] == "narrating"]
        assert len(lines) == 3
        shares = [line["share"] for line in lines]
        assert shares == sorted(shares) and 0 < shares[0] < shares[-1] < 1

    def test_none_is_written_where_there_is_none(self, desk: Desk) -> None:
        work = desk.claim()
        del desk.book["narrativeAudioProgress"]
        desk.claims.show_progress(work, 0.5)
        assert "narrativeAudioProgress" not in desk.book


def test_a_signer_that_fails_costs_the_book_no_attempt(desk: Desk) -> None:
    leaf = signers.throwaway()

    def fails(_data: bytes) -> bytes:
        raise CannotSign("the key service does not answer")

    credentials = FileCredentials(replace(leaf, key=fails), desk.settings)
    desk.context = replace(desk.context, credentials=credentials)
    ending = desk.run()
    assert ending.outcome == "given_back"
    assert [error.dependency for error in desk.reported] == ["credentials"]
    assert desk.book["narrativeAudioStatus"] == "requested"
    assert desk.store.objects_by_path == {}
    with pytest.raises(CannotSign):
        credentials.check()


def test_a_job_says_when_its_book_will_be_ready(desk: Desk) -> None:
    context = replace(desk.context, pace=lambda: Pace(0, 0.5))
    desk.context = context
    work = desk.claim()
    shown = []
    desk.engine.before = lambda _index: shown.append(desk.book.get("narrativeAudioReadyBy"))
    desk.now = work.claimed_at
    assert desk.run(desk.job(work)).published
    # 35 seconds for a text of seventy characters; once, as nothing is news.
    now_ms = context.now_ms()
    assert shown[0] == pytest.approx(now_ms + 500 * len(TEXT), abs=60_000)
    assert len(set(shown)) == 1
    assert "narrativeAudioReadyBy" not in desk.book


@pytest.mark.parametrize(("off_seconds", "news"), [(0, False), (20, False), (60, True)])
def test_a_time_that_was_told_is_told_anew_where_it_is_a_tenth_off(
    desk: Desk, off_seconds: int, news: bool
) -> None:
    desk.context = replace(desk.context, pace=lambda: Pace(0, 5.0), now_ms=lambda: SERVER_NOW)
    told = SERVER_NOW + 5_000 * len(TEXT) + 1000 * off_seconds
    desk.edit(narrativeAudioReadyBy=told)
    work = desk.claim()
    desk.now = work.claimed_at
    seen = []
    desk.engine.before = lambda _index: seen.append(desk.book.get("narrativeAudioReadyBy"))
    assert desk.run(desk.job(work)).published
    assert seen[0] == (SERVER_NOW + 5_000 * len(TEXT) if news else told)


def test_a_time_that_the_database_does_not_take_is_an_outage(desk: Desk) -> None:
    desk.context = replace(desk.context, pace=lambda: Pace(0, 5.0))
    work = desk.claim()
    fail_times = iter([True])

    def show(*_: Any) -> None:
        if next(fail_times, False):
            raise Unavailable("database", "down")

    desk.claims.show_ready_by = show  # type: ignore[method-assign,assignment]
    assert desk.run(desk.job(work)).published
    assert [error.dependency for error in desk.reported] == ["database"]


def test_the_thread_of_a_job_holds_no_process(desk: Desk) -> None:
    seen: list[threading.Thread] = []
    desk.engine.before = lambda _index: seen.append(threading.current_thread())
    desk.run()
    assert seen[0].name == "job" and seen[0].daemon


def test_a_job_that_knows_no_pace_says_nothing(desk: Desk) -> None:
    seen: list[bool] = []
    desk.engine.before = lambda _index: seen.append("narrativeAudioReadyBy" in desk.book)
    assert desk.run().published
    assert seen and not any(seen)


def test_rules_without_the_field_cost_a_job_nothing(desk: Desk) -> None:
    desk.context = replace(desk.context, pace=lambda: Pace(0, 0.5))
    work = desk.claim()
    desk.project.fail("write /books/b$", refusal(401), times=1)
    assert desk.run(desk.job(work)).published
