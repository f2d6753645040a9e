"""One claimed book on its way through the house: narration → storage → outcome."""

from __future__ import annotations

import errno
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_never,
    wait_exponential_jitter,
)

from narrator_daemon import logs
from narrator_daemon.claims import book as books
from narrator_daemon.claims import history
from narrator_daemon.claims.book import Outcome, Transition, Verdict
from narrator_daemon.claims.claim import MAX_BACKOFF_MS
from narrator_daemon.claims.claims import Claims, Leases, Work, now_ms
from narrator_daemon.claims.failure import ErrorCode, Failure
from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.daemon.tally import Ending
from narrator_daemon.firebase.project import Project, Unavailable
from narrator_daemon.firebase.storage import AudioStore, StoredAudio
from narrator_daemon.marks import allotment
from narrator_daemon.narration.narrate import (
    Mark,
    Narration,
    Stopped,
    Unnarratable,
    kept_name,
    narrate,
    seed_of,
)
from narrator_daemon.narration.progress import Progress
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Settings
from narrator_daemon.speech import SpeechEngine, SpeechError

#: Seconds a book is left alone after a dependency failed it.
_GIVE_BACK_PAUSE_SECONDS = 3.0

#: Seconds between lines in the log that say how far a long narration is.
_LOG_PROGRESS_SECONDS = 60.0

_log = logs.get("job")


def backoff_ms(attempt: int, random_unit: float) -> int:
    """Milliseconds before the next attempt: doubling from 2 s to 60 s, full jitter.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Args:
        attempt: the one that failed, from 1.
        random_unit: a number in 0..1.
    """
    ceiling = min(MAX_BACKOFF_MS, 2_000 * 2 ** min(attempt - 1, 10))
    return int(ceiling * random_unit)


def seconds_since(requested_at: object, now_ms: int) -> float | None:
    """Seconds since a request; None where its time is missing or cannot be one."""
    if not isinstance(requested_at, int | float) or isinstance(requested_at, bool):
        return None
    seconds = (now_ms - requested_at) / 1000
    # The service's clock may be a little ahead of this machine's.
    return max(0.0, seconds) if -60 < seconds < 10 * 365 * 86_400 else None


@dataclass(frozen=True)
class JobContext:
    """What every job of a worker works with.

    Attributes:
        settings: all of them.
        project: the Firebase project.
        engine: loaded.
        key: the watermark key.
        store: where audio goes.
        claims: this worker's claims.
        leases: this worker's leases.
        dependencies: told when one fails.
        stopping: set once the worker is shutting down.
        on_ending: told how each claim ended.
        kept: the finished segments of narrations that are not published yet.
    """

    settings: Settings
    project: Project
    engine: SpeechEngine
    key: bytes = field(repr=False)
    store: AudioStore
    claims: Claims
    leases: Leases
    dependencies: Dependencies
    stopping: threading.Event
    on_ending: Callable[[Ending], None]
    kept: KeptSegments


class Job:
    """One claim being worked on, in a thread of its own.

    Args:
        context: what to work with.
        work: the claim.
        on_end: called when everything about it is over; once more where its thread comes back
            from an engine after the book was given back without it.

    Attributes:
        work: the claim.
        progress_at: when it last got anywhere, monotonic seconds.
        stuck: whether its lease is left to die, as it has not got anywhere for too long.
        progress: how far its narration is, once it has begun.
    """

    def __init__(self, context: JobContext, work: Work, on_end: Callable[[Job], None]) -> None:
        self.work = work
        self.progress_at = time.monotonic()
        self.stuck = False
        self.progress: Progress | None = None
        self._context = context
        self._on_end = on_end
        self._shown_at = self._logged_at = time.monotonic()
        self._kept_name: str | None = None
        self._facts: dict[str, Any] = {}
        self._stored: StoredAudio | None = None
        self._lock = threading.Lock()
        self._settling = False
        self._log = _log.bind(
            book=work.book_id, attempt=work.claim.attempt, token=work.token, take=work.claim.take
        )
        self._thread = threading.Thread(target=self._run, name="job", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._log.info("claimed")
        self._thread.start()

    def watch(self, now: float, patience: float) -> None:
        """Count it as stuck if it has not got anywhere for ``patience`` seconds.

        One that waits for the database to take its outcome is not: the database is known to be
        down, and a new process would have to wait as well.
        """
        self.stuck |= not self._settling and now - self.progress_at >= patience

    def give_back_at_boundary(self) -> None:
        """Ask it to stop at the next segment boundary and give its book back."""
        self.work.stop(Verdict.UNCHANGED)

    def give_back_now(self) -> None:
        """Give its book back from here, as its thread is deep in the engine.

        Nothing happens where the thread has come to its outcome by itself: two outcomes of one
        claim would fence each other, and the loser would delete the winner's audio.
        """
        if self._begin_settling():
            self._end(lambda: self._settle(self._interrupted(), once=True))

    def _run(self) -> None:
        self._end(self._work)

    def _work(self) -> None:
        self._attempt(lambda: self._context.leases.hold(self.work))
        outcome = self._make()
        if self._begin_settling():
            self._settle(outcome)

    def _end(self, last_step: Callable[[], None]) -> None:
        """Take the last step and let go of the claim, whatever happens on the way."""
        try:
            last_step()
        except Unavailable:
            # Reported; whoever shuts down has no time for more. The claim is reaped.
            self._log.warning("outcome_unknown")
        except Exception:
            # Without its lease the claim is reaped.
            self._log.exception("job_failed")
            self._attempt(lambda: self._context.leases.drop(self.work))
        finally:
            self._on_end(self)

    def _begin_settling(self) -> bool:
        with self._lock:
            first, self._settling = not self._settling, True
            return first

    def _make(self) -> Outcome:
        """The outcome of this attempt; whatever goes wrong becomes one."""
        context = self._context
        try:
            with context.kept.scratch() as wav:
                narration = self._narrate(wav)
                self._stored = self._upload(wav, narration)
            return books.Publication(
                url=self._stored.url,
                url_expires_at=self._stored.url_expires_at,
                duration_seconds=narration.duration_seconds,
                path=self._stored.path,
                text_hash=books.text_hash(str(context.claims.text(self.work.book))),
            )
        except Stopped:
            return self._interrupted()
        except Unnarratable as error:
            return books.Rejection(error.failure)
        except SpeechError as error:
            # What an operator needs goes to the log; the book's error is for an admin.
            self._log.warning("speech_failed", code=error.code, why=str(error))
            failure = Failure(ErrorCode(error.code), _FOR_ADMINS[ErrorCode(error.code)])
        except Unavailable as error:
            context.dependencies.report(error)
            return books.GiveBack(not_before=now_ms() + int(_GIVE_BACK_PAUSE_SECONDS * 1000))
        except Exception as error:
            self._log.exception("narration_failed")
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            met = "a full disk" if full else "an internal error"
            failure = Failure(
                ErrorCode.INTERNAL_ERROR, f"The narrator met {met}; its log says more."
            )
        return self._retry(failure)

    def _interrupted(self) -> Outcome:
        """Given back at no cost, unless the watchdog stopped it: such a book may be at fault."""
        if not self.stuck:
            return books.GiveBack(shutdown=self._context.stopping.is_set())
        seconds = self._context.settings.daemon.stuck_seconds
        message = f"The speech engine made no progress on this book for {seconds:g} seconds."
        return self._retry(Failure(ErrorCode.STUCK, message))

    def _retry(self, failure: Failure) -> Outcome:
        wait = backoff_ms(self.work.claim.attempt, random.random())  # noqa: S311
        return books.Retry(failure, now_ms() + wait, self._context.settings.claims.max_attempts)

    def _narrate(self, wav: BinaryIO) -> Narration:
        context, settings = self._context, self._context.settings
        mark = Mark(
            context.key,
            allotment.allot(context.project, self.work.book_id),
            settings.watermark.strength_db,
            settings.watermark.self_check,
        )
        seed = seed_of(self.work.claim.input_hash, self.work.claim.take)
        self._kept_name = kept_name(context.engine, seed)
        narration = narrate(
            context.claims.text(self.work.book),
            wav,
            engine=context.engine,
            limits=settings.limits,
            seed=seed,
            mark=mark,
            kept=context.kept,
            loudness_lufs=settings.mastering.loudness_lufs,
            pauses=settings.pauses,
            on_progress=self._show_progress,
            stopped=lambda: self.work.stopped is not None,
        )
        self._facts = {**narration.facts, "audioSeconds": narration.duration_seconds}
        self._log.info("narrated", seconds=narration.facts["secondsByStep"])
        return narration

    def _upload(self, wav: BinaryIO, narration: Narration) -> StoredAudio:
        store = self._context.store
        started = time.monotonic()
        path = store.path(self.work.book_id, self.work.token)
        wav.seek(0)
        stored = store.upload(
            path, wav, narration.size, book_id=self.work.book_id, on_read=self._get_anywhere
        )
        seconds = round(time.monotonic() - started, 3)
        self._facts["secondsByStep"]["upload"] = seconds
        self._log.info("uploaded", bytes=narration.size, seconds=seconds)
        return stored

    def _get_anywhere(self) -> None:
        """Take in that something was done, unless nobody wants it any more."""
        if self.work.stopped is not None:
            raise Stopped
        self.progress_at = time.monotonic()
        self.stuck = False

    def _show_progress(self, progress: Progress) -> None:
        self._get_anywhere()
        self.progress = progress
        if self.progress_at - self._logged_at >= _LOG_PROGRESS_SECONDS:
            self._logged_at = self.progress_at
            left = progress.seconds_left
            self._log.info(
                "narrating",
                step=progress.step,
                share=round(progress.share, 3),
                seconds_left=None if left is None else round(left),
            )
        if self.progress_at - self._shown_at >= 1.0:
            self._shown_at = self.progress_at
            self._attempt(lambda: self._context.claims.show_progress(self.work, progress.share))

    def _settle(self, outcome: Outcome, *, once: bool = False) -> None:
        """Write the outcome, trying until the database answers, or once, and tidy up."""
        trying = Retrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_exponential_jitter(initial=0.5, max=10.0),
            stop=stop_after_attempt(1) if once else stop_never,
            reraise=True,
        )
        self._tidy(outcome, trying(self._settle_once, outcome))

    def _settle_once(self, outcome: Outcome) -> Transition:
        try:
            return self._context.claims.settle(self.work, outcome)
        except Unavailable as error:
            self._context.dependencies.report(error)
            raise

    def _tidy(self, outcome: Outcome, seen: Transition) -> None:
        context, stored = self._context, self._stored
        if seen.lost_work and stored is not None:
            self._attempt(lambda: context.store.delete(stored.path))
        self._attempt(lambda: context.leases.drop(self.work))
        self._forget_segments(outcome, seen.verdict)
        taken = seen.verdict in (Verdict.APPLIED, Verdict.DONE)
        ended = _NAMES[type(outcome)] if taken else seen.verdict.value
        failure = outcome.failure if isinstance(outcome, books.Rejection | books.Retry) else None
        error = failure.as_record() if failure else None
        if taken and seen.book is not None and seen.book.get(books.STATUS) == books.FAILED:
            ended = "failed"  # a retry that was the last
        seconds = round(time.monotonic() - self.work.claimed_at, 3)
        self._context.on_ending(self._ending(ended, failure, seen))
        level = self._log.info if error is None else self._log.warning
        level(ended, seconds=seconds, **(error or {}))
        if seen.verdict is Verdict.GONE:
            return
        entry = {
            "owner": self.work.claim.owner,
            "attempt": self.work.claim.attempt,
            "take": self.work.claim.take,
            "claimedAt": self.work.claim.at,
            "outcome": ended,
            "seconds": seconds,
            "error": error,
            **self._facts,
        }
        self._attempt(
            lambda: history.record(context.project, self.work.book_id, self.work.token, entry)
        )

    def _ending(self, ended: str, failure: Failure | None, seen: Transition) -> Ending:
        published = ended == "published"
        broke = failure is not None and failure.code is ErrorCode.ENGINE_ERROR
        return Ending(
            ended,
            code=failure.code.value if failure else None,
            seconds_by_step=self._facts.get("secondsByStep", {}),
            audio_seconds=self._facts["audioSeconds"] if published else 0.0,
            since_request=seconds_since(self.work.claim.requested_at, now_ms()),
            lease_lost=Verdict.FENCED in (seen.verdict, self.work.stopped),
            engine_broke=self.work.book_id if broke else None,
        )

    def _forget_segments(self, outcome: Outcome, verdict: Verdict) -> None:
        """Remove the kept segments once nobody will go on from them."""
        settled = verdict in (Verdict.APPLIED, Verdict.DONE)
        over = settled and isinstance(outcome, books.Publication | books.Rejection)
        if self._kept_name and (over or verdict in (Verdict.GONE, Verdict.SUPERSEDED)):
            self._context.kept.remove(self._kept_name)

    def _attempt(self, call: Callable[[], object]) -> None:
        """Do what is good to have done and nothing depends on."""
        try:
            call()
        except Unavailable as error:
            self._context.dependencies.report(error)


_FOR_ADMINS = {
    ErrorCode.ENGINE_ERROR: "The speech engine failed while reading this book.",
    ErrorCode.OUT_OF_MEMORY: "The speech engine ran out of memory while reading this book.",
}

_NAMES: dict[type[Outcome], str] = {
    books.Publication: "published",
    books.Rejection: "failed",
    books.Retry: "retried",
    books.GiveBack: "given_back",
}
