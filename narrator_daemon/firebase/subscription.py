"""The supervised stream of requested books.

Why not the SDK's ``Reference.listen``: it reads the whole catalogue, as only references and not
queries can be listened to; its thread dies for good when a reconnect is refused or a callback
raises; it hides keep-alives and ``cancel``, so that a deaf listener looks like a quiet catalogue;
and it reads one character at a time. Here the SDK's app, credential and address are used for a
query that the service filters, over a reader that survives all of that and says how it is.

The stream only cuts latency. Everything it brings is a hint: whoever acts on a book reads it again,
and the regular reconciling query finds what the stream missed.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

import google.auth.exceptions
import google.auth.transport.requests
import requests
import urllib3

from narrator_daemon import logs
from narrator_daemon.catalogue import children
from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase import books
from narrator_daemon.firebase.answers import database_error
from narrator_daemon.firebase.project import Project

#: Seconds without a byte after which a stream is dead. The service sends a keep-alive every 30.
SILENCE_SECONDS = 75.0

#: Seconds after which a stream is renewed, well before its hourly token expires.
RENEWAL_SECONDS = 50 * 60.0

_CONNECT_SECONDS = 10.0
_LONGEST_BACKOFF_SECONDS = 60.0

_log = logs.get(__name__)


@dataclass(frozen=True)
class StreamEvent:
    """One server-sent event: its name and its data, undecoded."""

    name: str
    data: str


def parse_events(chunks: Iterable[bytes]) -> Iterator[StreamEvent]:
    """Split a ``text/event-stream`` into events, whatever the chunks.

    Source: the WHATWG HTML standard, section "Server-sent events", without ids and retry times,
    which the database does not send.
    """
    begun = list[bytes]()
    name, data = "", list[str]()
    for chunk in chunks:
        # A line is joined once, when it is whole: a first snapshot can be megabytes long.
        first, *others = chunk.split(b"\n")
        begun.append(first)
        if not others:
            continue
        *lines, rest = b"".join(begun), *others
        begun = [rest]
        for line in lines:
            text = line.rstrip(b"\r").decode("utf-8", errors="replace")
            if not text:
                if name or data:
                    yield StreamEvent(name or "message", "\n".join(data))
                name, data = "", []
                continue
            key, _, value = text.partition(":")
            value = value.removeprefix(" ")
            if key == "event":
                name = value
            elif key == "data":
                data.append(value)


@dataclass(frozen=True)
class Hint:
    """What an event says of the waiting books.

    Attributes:
        books: by id, the record where the event held it whole; None where the book has left the
            waiting ones or only a part of it was told.
        gone: ids that are no longer waiting.
        resync: whether ``books`` is everything that waits, within the window.
    """

    books: dict[str, Any] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    resync: bool = False


def read_hint(event: StreamEvent) -> Hint | None:
    """What a ``put`` or ``patch`` says; None for one that says nothing usable."""
    try:
        message = json.loads(event.data)
        path, data = message["path"], message["data"]
        keys = [key for key in str(path).split("/") if key]
    except (ValueError, TypeError, KeyError):
        return None
    if not keys and event.name == "put":
        return Hint(children(data), resync=True)
    if not keys:
        changed = data if isinstance(data, Mapping) else {}
        gone = {key for key, value in changed.items() if value is None and "/" not in key}
        ids = {key.split("/")[0] for key in changed} - gone
        return Hint({key: changed.get(key) for key in ids}, frozenset(gone))
    if len(keys) == 1 and data is None:
        return Hint(gone=frozenset(keys))
    whole = len(keys) == 1 and event.name == "put"
    return Hint({keys[0]: data if whole else None})


@dataclass(frozen=True)
class StreamState:
    """How the stream is.

    Attributes:
        name: ``live`` while it is open; ``connecting``; ``waiting`` to try again after an error;
            ``stopped``.
        event_at: when the last event or keep-alive came, monotonic seconds; None for never.
        error: why it is not live, with what to do.
        opened: how often it was opened, reconnects and renewals included.
    """

    name: Literal["connecting", "live", "waiting", "stopped"] = "stopped"
    event_at: float | None = None
    error: str | None = None
    opened: int = 0


class _Session(requests.Session):
    """Keeps the authorization header on the service's own redirects, and only there."""

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        old = urlsplit(response.request.url or "").hostname or ""
        new = urlsplit(prepared_request.url or "").hostname or ""
        trusted = (".firebaseio.com", ".firebasedatabase.app")
        loopback = {"127.0.0.1", "localhost", "::1"}
        if (old.endswith(trusted) and new.endswith(trusted)) or {old, new} <= loopback:
            return
        super().rebuild_auth(prepared_request, response)  # type: ignore[no-untyped-call]


class _Ended(Exception):
    """The stream is over; the message says why. ``again`` is whether to reconnect at once."""

    def __init__(self, why: str, *, again: bool = False) -> None:
        super().__init__(why)
        self.again = again


class Subscription:
    """Keeps a stream of requested books open until it is stopped, whatever happens to it.

    Args:
        project: the database.
        on_hint: called from the stream's thread with what each event says.
        random_unit: gives numbers in 0..1, for the jitter of reconnects.
        facts: what all that is logged in its thread says.
    """

    def __init__(
        self,
        project: Project,
        on_hint: Callable[[Hint], None],
        random_unit: Callable[[], float] = random.random,
        facts: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self._facts = facts
        self._project = project
        self._on_hint = on_hint
        self._random_unit = random_unit
        self._stopping = threading.Event()
        self._response: requests.Response | None = None
        self._state = StreamState()
        self._thread = threading.Thread(target=self._run, name="subscription", daemon=True)

    @property
    def state(self) -> StreamState:
        """How the stream is now."""
        return self._state

    def start(self) -> None:
        """Open the stream, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Close the stream; its thread ends, at once unless it is just connecting."""
        self._stopping.set()
        self._cut()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _cut(self) -> None:
        response = self._response
        if response is not None:
            try:
                # Closing would wait for the next byte; this wakes the reader at once.
                response.raw.shutdown()
            except (OSError, ValueError, RuntimeError):
                response.close()

    def _run(self) -> None:
        logs.say_in_this_thread(self._facts)
        failures = 0
        while not self._stopping.is_set():
            self._state = replace(self._state, name="connecting")
            opened_at = time.monotonic()
            try:
                self._follow()
            except _Ended as ended:
                why, again = str(ended), ended.again
            except Unavailable as error:
                why, again = str(error), False
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                why, again = f"the database does not answer: {error}", False
            except google.auth.exceptions.GoogleAuthError as error:
                why, again = f"no access token can be fetched: {error}", False
            except Exception as error:
                # The reader outlives its own bugs: without it every book waits for a reconcile.
                _log.exception("stream_failed")
                why, again = f"internal error: {error!r}", False
            if self._stopping.is_set():
                break
            # One that held for a while was fine: its end is no failure of the address.
            lived = self._state.name == "live" and time.monotonic() - opened_at > 10
            failures = 0 if lived else failures + 1
            if again and failures <= 1:
                _log.info("stream_renewed", why=why)
                continue
            ceiling = min(_LONGEST_BACKOFF_SECONDS, 2.0 ** min(failures, 10) / 2)
            pause = ceiling * self._random_unit()
            self._state = replace(self._state, name="waiting", error=why)
            _log.warning("stream_lost", why=why, again_in_seconds=round(pause, 1))
            self._stopping.wait(pause)
        self._state = replace(self._state, name="stopped")

    def _follow(self) -> None:
        """Open one stream and read it to its end, which is always an exception."""
        url, parameters, headers = self._project.stream_request()
        with (
            _Session() as session,
            session.get(
                url,
                params={**parameters, **books.stream_query()},
                headers={**headers, "Accept": "text/event-stream", "Cache-Control": "no-cache"},
                stream=True,
                timeout=(_CONNECT_SECONDS, SILENCE_SECONDS),
            ) as response,
        ):
            if response.status_code != 200:
                raise database_error(
                    response.text[:300], response.status_code, self._project.books_path
                )
            self._response = response
            self._state = replace(self._state, opened=self._state.opened + 1)
            renew_at = time.monotonic() + RENEWAL_SECONDS
            try:
                for event in parse_events(_chunks(response)):
                    self._take(event)
                    if self._stopping.is_set():
                        raise _Ended("stopped")
                    if time.monotonic() > renew_at:
                        raise _Ended("the access token is about to expire", again=True)
            except urllib3.exceptions.ReadTimeoutError:
                raise _Ended(f"no sign of life for {SILENCE_SECONDS:.0f} s") from None
            finally:
                self._response = None
        raise _Ended("the database closed the stream", again=True)

    def _take(self, event: StreamEvent) -> None:
        if event.name == "cancel":
            raise _Ended(
                "the database cancelled the stream: the rules no longer let this account read "
                f"{self._project.books_path}, or the index is gone"
            )
        if event.name == "auth_revoked":
            raise _Ended("the access token expired or was revoked", again=True)
        self._state = StreamState("live", time.monotonic(), opened=self._state.opened)
        if event.name in {"put", "patch"}:
            hint = read_hint(event)
            if hint is not None:
                self._on_hint(hint)


def _chunks(response: requests.Response) -> Iterator[bytes]:
    raw = response.raw
    if getattr(raw, "chunked", False):
        yield from raw.read_chunked(65_536, decode_content=True)
        return
    while chunk := raw.read1(65_536, decode_content=True):
        yield chunk
