"""Where news of claims is announced, so that who makes it need not know who wants it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from narrator_daemon import logs
from narrator_daemon.errors import Unavailable

News = TypeVar("News")

_log = logs.get(__name__)


class Announcements(Generic[News]):
    """News of one kind and those who listen to it.

    Listeners are told one after the other, in the thread of whoever announces. One that fails
    costs nobody else anything.

    Args:
        on_unavailable: told when a dependency failed a listener.
    """

    def __init__(self, on_unavailable: Callable[[Unavailable], None]) -> None:
        self._on_unavailable = on_unavailable
        self._listeners: list[Callable[[News], object]] = []

    def listen(self, listener: Callable[[News], object]) -> None:
        """Tell this one too, after those that listen already."""
        self._listeners.append(listener)

    def announce(self, news: News) -> None:
        """Tell everyone who listens."""
        for listener in self._listeners:
            try:
                listener(news)
            except Unavailable as error:
                self._on_unavailable(error)
            except Exception:
                _log.exception("listener_failed", news=type(news).__name__)
