"""Whether a narration that went wrong is the book's fault or this worker's.

A worker whose engine, disk or files are broken would fail every book and use up the attempts of
each. After a failure it therefore narrates a sentence of its own, by all the same steps. If that
goes wrong too, no book is at fault.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import BinaryIO

from narrator_daemon import logs
from narrator_daemon.credentials.files import FileCredentials
from narrator_daemon.daemon import disk, finishing
from narrator_daemon.errors import Unavailable
from narrator_daemon.narration.captions import captions_of
from narrator_daemon.narration.companions import asked_for
from narrator_daemon.narration.marking import Mark
from narrator_daemon.narration.narrate import kept_name, narrate
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Limits, Settings
from narrator_daemon.speech import SpeechEngine

#: The dependency that is down while the trial fails.
NAME = "narration"

#: Trials that fail one after the other by no full disk, after which only a new process helps.
BROKEN_AFTER = 3

_TEXT = "One, two, three."
_SEED = 0

#: What the system says of a disk that takes no more, or of one that is broken.
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})

_log = logs.get(__name__)


class Trial:
    """Narrates a sentence by all the steps of a book. Safe to use from several threads.

    Args:
        engine: loaded.
        settings: all of them.
        key: the watermark key.
        credentials: puts label and credentials into files.
        kept: where segments are kept.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        engine: SpeechEngine,
        settings: Settings,
        key: bytes,
        credentials: FileCredentials,
        kept: KeptSegments,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._settings = settings
        marking = settings.watermark
        self._mark = Mark(key, 0, marking.strength_db, marking.self_check, marking.public)
        self._credentials = credentials
        self._kept = kept
        self._clock = clock
        self._lock = threading.Lock()
        self._began_at = float("-inf")
        self._fault: Unavailable | None = None
        self._failures = 0

    @property
    def broken(self) -> bool:
        """Whether it has failed so often that only a new process may help."""
        return self._failures >= BROKEN_AFTER

    def own_fault(self, error: Exception) -> Unavailable | None:
        """What of this worker is at fault for an error in a job; None where the book is.

        Args:
            error: what ended the job.
        """
        if (full := _of_the_disk(error)) is not None:
            return full
        failed_at = self._clock()
        with self._lock:
            # Of several jobs that fail together, one trial tells for all that failed before it.
            if self._began_at < failed_at:
                self._try()
            return self._fault

    def check(self, *, fresh_seconds: float = 0.0) -> None:
        """Narrate the sentence.

        Args:
            fresh_seconds: how young what the last time has shown may be, to be taken for this.

        Raises:
            Unavailable: it went wrong.
        """
        with self._lock:
            if self._clock() - self._began_at >= fresh_seconds:
                self._try()
            if self._fault is not None:
                raise self._fault

    def _try(self) -> None:
        self._began_at = self._clock()
        try:
            self._narrate()
        except Unavailable as error:
            # Of something else that is depended on: the signer. A new process would not help.
            self._fault = error
        except Exception as error:
            self._fault = _of_the_disk(error)
            if self._fault is None:
                _log.exception("trial_failed")
                self._failures += 1
                why = str(error) or type(error).__name__
                self._fault = Unavailable(
                    NAME,
                    f"a sentence of the daemon's own cannot be narrated either: {why}",
                    advice="the log says more; no book's attempts are counted meanwhile",
                )
        else:
            self._fault = None
            self._failures = 0

    def _narrate(self) -> None:
        try:
            with ExitStack() as open_files:

                def scratch() -> BinaryIO:
                    return open_files.enter_context(self._kept.scratch())

                files = self._settings.files
                wav, companions = scratch(), asked_for(files, scratch)
                narration = narrate(
                    _TEXT,
                    wav,
                    engine=self._engine,
                    limits=Limits(),
                    seed=_SEED,
                    mark=self._mark,
                    kept=self._kept,
                    loudness_lufs=self._settings.mastering.loudness_lufs,
                    words=files.captions,
                    companions=companions,
                )
                if files.captions:
                    captions_of(narration, _TEXT)
                made = self._credentials.made(book_id="trial", index=self._mark.index)
                finishing.sign(self._credentials, made, wav, companions, scratch)
                if self._mark.self_check:
                    finishing.scores(companions, self._mark)
        finally:
            self._kept.remove(kept_name(self._engine, _SEED))


def _of_the_disk(error: Exception) -> Unavailable | None:
    """The fault of the disk behind an error, if there is one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _DISK:
            return Unavailable(
                disk.NAME,
                f"a narration could not be written: {cause.strerror}",
                advice="free some space; no book's attempts are counted meanwhile",
            )
        cause = cause.__cause__ or cause.__context__
    return None
