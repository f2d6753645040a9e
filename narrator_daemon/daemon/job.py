"""One claimed book on its way through the house: narration → storage → outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf

from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_never,
    wait_random_exponential,
)

from narrator_daemon import logs
from narrator_daemon.catalogue import FAILED, READY_BY, REQUESTED, STATUS, moment
from narrator_daemon.claims import leases
from narrator_daemon.claims.book import Transition, Verdict
from narrator_daemon.claims.ending import Ending
from narrator_daemon.claims.failure import ErrorCode, Failure
from narrator_daemon.claims.outcome import GiveBack, Outcome, Publication, Rejection, Retry
from narrator_daemon.claims.work import Work
from narrator_daemon.clock import seconds_since
from narrator_daemon.daemon.delivery import Delivery
from narrator_daemon.daemon.job_context import JobContext
from narrator_daemon.daemon.making import Making
from narrator_daemon.daemon.tries import Finality, backoff_ms
from narrator_daemon.errors import NodeRefused, Unavailable
from narrator_daemon.narration.accepting import Unnarratable
from narrator_daemon.narration.narrate import Stopped
from narrator_daemon.narration.progress import Progress
from narrator_daemon.queue.forecast import seconds_left
from narrator_daemon.speech import SpeechError

#: Seconds a book is left alone after a dependency failed it.
_GIVE_BACK_PAUSE_SECONDS = 3.0

#: Seconds between two writes of when a book will be ready, and the share of what is left, and the
#: seconds, by which it has to be off to be written anew.
_READY_BY_SECONDS, _READY_BY_SHARE, _READY_BY_LEAST = 15.0, 0.1, 3.0

#: Seconds between lines in the log that say how far a long narration is.
_LOG_PROGRESS_SECONDS = 60.0

_log = logs.get(__name__)


def failure_of(error: Exception) -> Failure:
    """What an admin is told of an attempt that went wrong; the log holds what an operator needs."""
    if isinstance(error, SpeechError):
        code = ErrorCode(error.code)
        return Failure(code, _OF_SPEECH[code])
    return Failure(
        ErrorCode.INTERNAL_ERROR, "The narrator met an internal error; its log says more."
    )


_OF_SPEECH = {
    ErrorCode.ENGINE_ERROR: "The speech engine failed while reading this book.",
    ErrorCode.OUT_OF_MEMORY: "The speech engine ran out of memory while reading this book.",
}

_OF_REFUSAL = (
    "The database or the storage refuses what belongs to this book; the narrator's log says why."
)


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
    """

    def __init__(self, context: JobContext, work: Work, on_end: Callable[[Job], None]) -> None:
        self.work = work
        self._context = context
        self.progress_at = context.clock()
        self.stuck = False
        self._on_end = on_end
        self._shown_at = self._logged_at = self.progress_at
        self._share = 0.0
        self._ready_by: int | None = None
        self._foretold_at = float("-inf")
        self._enter: Callable[[], None] | None = None
        self._entered = False
        self._delivery = Delivery(context.store, work.book_id, work.token, self._get_anywhere)
        self._lock = threading.Lock()
        self._settling = False
        self._log = _log.bind(
            **context.facts,
            book=work.book_id,
            attempt=work.claim.attempt,
            token=work.token,
            take=work.claim.take,
        )
        self._trace = context.traces.begin(
            book_id=work.book_id,
            token=work.token,
            attempt=work.claim.attempt,
            take=work.claim.take,
            began=work.claimed_at,
        )
        self._making = Making(
            context,
            work,
            self._delivery,
            self._trace,
            self._log,
            get_anywhere=self._get_anywhere,
            show_progress=self._show_progress,
            attempt=self._attempt,
        )
        self._thread = threading.Thread(target=self._run, name="job", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._log.info("claimed")
        self._trace.add("claim", self.work.claimed_at, time.monotonic())
        self._thread.start()

    def watch(self, now: float, patience: float, *, awake_since: float = -inf) -> None:
        """Count it as stuck if it has not got anywhere for ``patience`` seconds.

        One that waits for the database to take its outcome is not: the database is known to be
        down, and a new process would have to wait as well. Where only this book cannot be written,
        it gives up by itself (``tries.Finality``).

        Args:
            now: monotonic seconds.
            patience: seconds.
            awake_since: monotonic seconds; before that this process slept, and nothing got on.
        """
        since = max(self.progress_at, awake_since)
        self.stuck |= not self._settling and now - since >= patience

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
        logs.say_in_this_thread(self._context.facts)
        self._end(self._work)

    def _work(self) -> None:
        self._attempt(lambda: self._context.leases.hold(self.work))
        self._foretell()
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
            self._trace.end("unknown")
            self._on_end(self)

    def _begin_settling(self) -> bool:
        with self._lock:
            first, self._settling = not self._settling, True
            return first

    def _make(self) -> Outcome:
        """The outcome of this attempt; whatever goes wrong becomes one."""
        try:
            made = self._making.make()
            self._enter = made.enter
            return made.publication
        except Stopped:
            return self._interrupted()
        except Unnarratable as error:
            return Rejection(error.failure)
        except SpeechError as error:
            self._log.warning("speech_failed", code=error.code, why=str(error))
            return self._failed(error)
        except Unavailable as error:
            if isinstance(error, NodeRefused):
                self._log.error("book_refused", why=str(error))
                return self._retry(Failure(ErrorCode.REFUSED, _OF_REFUSAL))
            return self._give_back(error)
        except Exception as error:
            self._log.exception("narration_failed")
            return self._failed(error)

    def _failed(self, error: Exception) -> Outcome:
        """An attempt that counts, unless it is this worker's fault and would be for any book."""
        fault = self._context.own_fault(error)
        return self._retry(failure_of(error)) if fault is None else self._give_back(fault)

    def _give_back(self, error: Unavailable) -> Outcome:
        self._context.report(error)
        return GiveBack(not_before=self._context.now_ms() + int(_GIVE_BACK_PAUSE_SECONDS * 1000))

    def _interrupted(self) -> Outcome:
        """Given back at no cost, unless the watchdog stopped it: such a book may be at fault."""
        if not self.stuck:
            if self.work.late:
                # Claimed again at once it would go the same way, for ever and at no cost.
                ttl = self._context.settings.claims.lease_ttl_seconds
                self._context.report(leases.too_late(ttl))
            return GiveBack(shutdown=self._context.stopping.is_set())
        seconds = self._context.settings.daemon.stuck_seconds
        message = f"The speech engine made no progress on this book for {seconds:g} seconds."
        return self._retry(Failure(ErrorCode.STUCK, message))

    def _retry(self, failure: Failure) -> Outcome:
        wait = backoff_ms(self.work.claim.attempt, self._context.random_unit())
        return Retry(
            failure, self._context.now_ms() + wait, self._context.settings.claims.max_attempts
        )

    def _get_anywhere(self) -> None:
        """Take in that something was done, unless nobody wants it any more."""
        if self.work.stopped is not None:
            raise Stopped
        self.progress_at = self._context.clock()
        self.stuck = False

    @property
    def seconds_left(self) -> float | None:
        """How long this will still take; None while nothing can be said."""
        text = self._context.claims.text(self.work.book)
        pace = self._context.pace()
        expected = pace.takes(len(text)) if pace is not None and isinstance(text, str) else None
        return seconds_left(self._context.clock() - self.work.claimed_at, self._share, expected)

    def _foretell(self) -> None:
        """Write when the book will be ready, where that is news."""
        now, left = self._context.clock(), self.seconds_left
        if left is None or now - self._foretold_at < _READY_BY_SECONDS:
            return
        now_ms = self._context.now_ms()
        ready_by = round(now_ms / 1000 + left) * 1000
        shown = moment(self.work.book.get(READY_BY)) if self._ready_by is None else self._ready_by
        off = None if shown is None else abs(ready_by - shown) / 1000
        if off is None or off > max(_READY_BY_LEAST, _READY_BY_SHARE * left):
            self._ready_by, self._foretold_at = ready_by, now
            try:
                self._context.claims.show_ready_by(self.work, ready_by)
            except NodeRefused:
                # Rules from before there was the field.
                self._foretold_at = float("inf")
            except Unavailable as error:
                self._context.report(error)

    def _show_progress(self, progress: Progress) -> None:
        self._get_anywhere()
        self._share = progress.share
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
            self._foretell()

    def _settle(self, outcome: Outcome, *, once: bool = False) -> None:
        """Write the outcome, trying until the database answers, or once, and tidy up.

        Raises:
            Unavailable: the database did not answer, or does not take it. The claim is reaped.
        """
        final = Finality(
            self._context.clock, self._context.claims, self._context.settings.daemon.stuck_seconds
        )
        trying = Retrying(
            retry=retry_if_exception(lambda error: not final.reached(error)),
            wait=wait_random_exponential(multiplier=0.5, max=10.0),
            sleep=self._context.sleep,
            stop=stop_after_attempt(1) if once else stop_never,
            reraise=True,
        )
        try:
            seen = trying(self._settle_once, outcome)
        except NodeRefused as error:
            self._context.refusals.add(self.work.book_id, error)
            if once or not isinstance(outcome, Publication | Retry):
                raise
            # What can be said of it may be less than what was to be said. Files of a publication
            # that was refused are left to the sweep: a copy of the refused write may be on its way.
            self._delivery.leave()
            outcome, seen = self._settle_less(outcome)
        self._context.refusals.clear(self.work.book_id)
        self._tidy(outcome, seen)

    def _settle_less(self, outcome: Outcome) -> tuple[Outcome, Transition]:
        """Write less than what was refused: no files beside the WAV, and else that it was."""
        if isinstance(outcome, Publication) and (outcome.files or outcome.captions):
            bare = replace(outcome, files={}, captions={})
            try:
                seen = self._settle_once(bare)
            except NodeRefused:
                pass
            else:
                self._log.error(
                    "files_refused",
                    note="the database takes the narration without the files beside it; deploy "
                    "the rules of this version",
                )
                return bare, seen
        failed = Rejection(Failure(ErrorCode.REFUSED, _OF_REFUSAL))
        return failed, self._settle_once(failed)

    def _settle_once(self, outcome: Outcome) -> Transition:
        try:
            with self._trace.step("outcome"):
                self._enter_in_register(outcome)
                return self._context.claims.settle(self.work, outcome)
        except Unavailable as error:
            self._context.report(error)
            raise

    def _enter_in_register(self, outcome: Outcome) -> None:
        """Write the entry before what it speaks of; once.

        Raises:
            Unavailable: the database did not answer.
        """
        if self._enter is None or not isinstance(outcome, Publication):
            return
        try:
            self._enter()
        except NodeRefused as error:
            # Listeners do not wait for what an operator has not allowed yet.
            self._log.error("register_refused", why=str(error))
        self._enter = None
        self._entered = True

    def _tidy(self, outcome: Outcome, seen: Transition) -> None:
        context = self._context
        named: Sequence[str] = ()
        if isinstance(outcome, Publication) and not seen.lost_work:
            named = outcome.paths
        self._attempt(lambda: self._delivery.delete(keep=named))
        if self._entered and isinstance(outcome, Publication):
            if seen.lost_work:
                self._attempt(lambda: context.register.remove(self.work))
            else:
                self._attempt(lambda: context.register.confirm(self.work))
        self._forget_segments(outcome, seen.verdict)
        ending = self._ending(outcome, seen)
        error = ending.failure.as_record() if ending.failure else None
        level = self._log.info if error is None else self._log.warning
        level(ending.outcome, seconds=ending.seconds, **(error or {}))
        self._trace.end(ending.outcome, code=ending.failure.code.value if ending.failure else None)
        context.endings.announce(ending)
        # Last: whoever dies before it is found by the lease, and what is left of the claim too.
        self._attempt(lambda: context.leases.drop(self.work))

    def _ending(self, outcome: Outcome, seen: Transition) -> Ending:
        ended = seen.verdict.value
        if seen.verdict in (Verdict.APPLIED, Verdict.DONE):
            ended = _NAMES[type(outcome)]
            if seen.book is not None and seen.book.get(STATUS) == FAILED:
                ended = "failed"  # a retry that was the last
        claim = self.work.claim
        return Ending(
            self.work.book_id,
            ended,
            claim,
            outcome.failure if isinstance(outcome, Rejection | Retry) else None,
            self._making.facts,
            seconds=round(self._context.clock() - self.work.claimed_at, 3),
            since_request=seconds_since(self.work.waited_from, self._context.now_ms()),
            lease_lost=Verdict.FENCED in (seen.verdict, self.work.stopped),
            book_gone=seen.verdict is Verdict.GONE,
            book=self.work.book,
            waiting=seen.book if seen.book and seen.book.get(STATUS) == REQUESTED else None,
        )

    def _forget_segments(self, outcome: Outcome, verdict: Verdict) -> None:
        """Remove the kept segments once nobody will go on from them; published ones stay."""
        settled = verdict in (Verdict.APPLIED, Verdict.DONE)
        over = settled and isinstance(outcome, Rejection)
        if settled and isinstance(outcome, Publication):
            self._making.keep_segments()
        elif over or verdict in (Verdict.GONE, Verdict.SUPERSEDED):
            self._making.forget_segments()

    def _attempt(self, call: Callable[[], object]) -> None:
        """Do what is good to have done and nothing depends on."""
        try:
            call()
        except Unavailable as error:
            self._context.report(error)


_NAMES: dict[type[Outcome], str] = {
    Publication: "published",
    Rejection: "failed",
    Retry: "retried",
    GiveBack: "given_back",
}
