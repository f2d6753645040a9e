"""Making the engine ready, beside the life of the process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from narrator_daemon import logs
from narrator_daemon.libraries import misfit
from narrator_daemon.speech import SpeechEngine, SpeechError

#: Seconds of loading after which it is said what can be done.
LONG_SECONDS = 120.0

_log = logs.get(__name__)


class Loading:
    """Loads the engine in a thread of its own, so that whoever asks after health is answered.

    Args:
        engine: not yet loaded.

    Attributes:
        loaded: whether the engine is ready.
    """

    def __init__(self, engine: SpeechEngine) -> None:
        self.loaded = False
        self._began: float | None = None
        self._engine = engine
        self._thread: threading.Thread | None = None

    def start(self, then: Callable[[], None]) -> None:
        """Begin.

        Args:
            then: called in the thread of the loading once the engine is ready.
        """
        self._thread = threading.Thread(target=self._load, args=[then], name="loading", daemon=True)
        self._thread.start()

    @property
    def state(self) -> str | None:
        """For how long it has gone on, in words; None before its beginning and once it is done."""
        if self._began is None or self.loaded:
            return None
        seconds = time.monotonic() - self._began
        told = f"for {seconds:.0f} s"
        if seconds < LONG_SECONDS:
            return told
        return (
            f"{told}; where it waits for the hub, narrator-daemon model fetch brings the model "
            "beforehand"
        )

    @property
    def over(self) -> bool:
        """Whether it has ended, well or not."""
        return self._thread is not None and not self._thread.is_alive()

    @property
    def failed(self) -> bool:
        """Whether the engine cannot be made ready; the log says why."""
        return self.over and not self.loaded

    def _load(self, then: Callable[[], None]) -> None:
        started = self._began = time.monotonic()
        try:
            self._engine.load()
        except SpeechError as error:
            _log.error("engine_failed", engine=self._engine.name, why=str(error))
            return
        except Exception as error:
            told = misfit(error, "speech.engine")
            if told is None:
                _log.exception("engine_failed", engine=self._engine.name)
            else:
                _log.error("engine_failed", engine=self._engine.name, why=str(told))
            return
        self.loaded = True
        seconds = round(time.monotonic() - started, 1)
        name, device = self._engine.name, self._engine.device
        _log.info("ready", engine=name, device=device, seconds=seconds)
        then()
