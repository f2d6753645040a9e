"""Segments spoken side by side, each by a thread of its own, as many at once as there are cores."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from narrator_daemon.speech import SpeechError, Spoken

#: Seconds between looks at what was cancelled before it began: of that nobody is told.
_LOOK_SECONDS = 0.5


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Parallel:
    """Threads that are started when they are needed, and again after ``close``.

    Args:
        size: segments at once.
        name: of the threads.
    """

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self._name = name
        self._threads: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def speak(
        self,
        speak_one: Callable[[int, str], Spoken],
        segments: Sequence[str],
        skip: Collection[int],
    ) -> Generator[Spoken, None, None]:
        """Each segment's sound as soon as it is there. Closing it begins no more segments.

        Raises:
            SpeechError: the engine was closed meanwhile; else what ``speak_one`` raises.
        """
        waiting = ((index, text) for index, text in enumerate(segments) if index not in skip)
        running: set[Future[Spoken]] = set()
        try:
            for index, text in islice(waiting, self.size):
                running.add(self._submit(speak_one, index, text))
            while running:
                done, running = wait(running, _LOOK_SECONDS, return_when=FIRST_COMPLETED)
                if any(future.cancelled() for future in (*done, *running)):
                    raise _closed()
                for index, text in islice(waiting, len(done)):
                    running.add(self._submit(speak_one, index, text))
                for future in done:
                    yield future.result()
        finally:
            for future in running:
                future.cancel()

    def forget(self) -> ThreadPoolExecutor | None:
        """The threads, which are no longer used for what comes; None where there are none."""
        with self._lock:
            threads, self._threads = self._threads, None
        return threads

    def _submit(
        self, speak_one: Callable[[int, str], Spoken], index: int, text: str
    ) -> Future[Spoken]:
        try:
            return self._executor().submit(speak_one, index, text)
        except RuntimeError as error:  # shut down since it was asked for
            raise _closed() from error

    def _executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self.size, thread_name_prefix=self._name)
            return self._threads


def _closed() -> SpeechError:
    return SpeechError("engine_error", "the speech engine was closed")


def end(threads: ThreadPoolExecutor | None) -> None:
    """Wait for what runs in the threads, and let what waits be."""
    if threads is not None:
        threads.shutdown(wait=True, cancel_futures=True)
